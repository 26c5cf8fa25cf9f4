//! EventBridge's pattern language: does an event match?
//!
//! The meanings are those of the EventBridge User Guide, "Comparison operators for use in event patterns": a field holds
//! an array of tests of which one must pass, fields are joined by *and*, an array in the event passes when one of its
//! elements does, and a table below an array must be matched by one and the same element. Two things differ. Numbers are
//! compared by value, so that `300` matches `300.0` everywhere (EventBridge does so in places). And TOML has no null: a field
//! that is null is matched by `{ exists = true }` and by `anything-but`, never literally.
//!
//! Events are written by others, so no test costs more than the product of the pattern's size and the event's.

mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;

pub(super) use read::EventPattern;

use super::wildcard::Wildcard;

/// A pattern over an event in EventBridge's form.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pattern {
    /// All of these have to hold,
    fields: BTreeMap<String, Field>,
    /// and one of these, if there are any: `$or`.
    either: Vec<Pattern>,
}

/// What one field has to be.
#[derive(Debug, Clone, PartialEq)]
enum Field {
    /// A value that passes one of the tests.
    Leaf(Vec<Test>),
    /// A table that matches.
    Nested(Pattern),
}

/// One test of a value that is neither a table nor an array.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// A text of this kind.
    Text(TextTest),
    /// A number of this value.
    Number(f64),
    /// This truth value.
    Bool(bool),
    /// Any value that passes none of these tests.
    AnythingBut(Vec<Test>),
    /// Whether there is a value at all.
    Exists(bool),
    /// A number for which all of these hold.
    Numeric(Vec<(Comparison, f64)>),
    /// A text that is an address in this network.
    Cidr(Network),
}

/// A test of a text. What ignores case is kept in lower case.
#[derive(Debug, Clone, PartialEq)]
enum TextTest {
    Equals(String),
    EqualsIgnoreCase(String),
    Prefix(String),
    PrefixIgnoreCase(String),
    Suffix(String),
    SuffixIgnoreCase(String),
    Wildcard(Wildcard),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

/// A network by its address and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Pattern {
    /// Whether `event` matches.
    pub fn matches(&self, event: &Value) -> bool {
        self.holds(Some(event))
    }

    /// Whether the field at `path` is matched against `value` as a plain text.
    pub fn names_literally(&self, path: &[&str], value: &str) -> bool {
        self.texts(path).contains(&value)
    }

    /// Whether every event that matches has been tested at `path`.
    pub(super) fn tests(&self, path: &[&str]) -> bool {
        let Some((first, rest)) = path.split_first() else { return true };
        let here = self.fields.get(*first).is_some_and(|field| match field {
            Field::Leaf(_) => rest.is_empty(),
            Field::Nested(pattern) => pattern.tests(rest),
        });
        here || (!self.either.is_empty() && self.either.iter().all(|pattern| pattern.tests(path)))
    }

    /// The plain texts that the field at `path` is matched against, in any alternative.
    pub(super) fn texts(&self, path: &[&str]) -> Vec<&str> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        let mut texts = match self.fields.get(*first) {
            Some(Field::Leaf(tests)) if rest.is_empty() => tests.iter().filter_map(Test::text).collect(),
            Some(Field::Nested(pattern)) => pattern.texts(rest),
            _ => Vec::new(),
        };
        texts.extend(self.either.iter().flat_map(|pattern| pattern.texts(path)));
        texts
    }

    /// The names of the fields directly below `path` that are tested, in any alternative.
    pub(super) fn fields_below(&self, path: &[&str]) -> BTreeSet<&str> {
        let mut fields = match path.split_first() {
            None => self.fields.keys().map(String::as_str).collect(),
            Some((first, rest)) => match self.fields.get(*first) {
                Some(Field::Nested(pattern)) => pattern.fields_below(rest),
                _ => BTreeSet::new(),
            },
        };
        fields.extend(self.either.iter().flat_map(|pattern| pattern.fields_below(path)));
        fields
    }

    /// Whether an event of which only `known` is known could match: fields it does not have may be anything.
    pub(super) fn could_match(&self, known: &Value) -> bool {
        let field = |(name, field): (&String, &Field)| {
            known.get(name).is_none_or(|value| match field {
                Field::Nested(pattern) if value.is_object() => pattern.could_match(value),
                _ => field.holds(Some(value)),
            })
        };
        self.fields.iter().all(field)
            && (self.either.is_empty() || self.either.iter().any(|pattern| pattern.could_match(known)))
    }

    fn holds(&self, value: Option<&Value>) -> bool {
        match value {
            // A pattern that asks only for absence is about the whole array: no element may have the field.
            Some(Value::Array(elements)) if self.only_absence() => elements.iter().all(|value| self.holds(Some(value))),
            Some(Value::Array(elements)) => elements.iter().any(|value| self.holds(Some(value))),
            _ => {
                let object = value.and_then(Value::as_object);
                self.fields.iter().all(|(name, field)| field.holds(object.and_then(|object| object.get(name))))
                    && (self.either.is_empty() || self.either.iter().any(|pattern| pattern.holds(value)))
            }
        }
    }

    fn only_absence(&self) -> bool {
        self.either.iter().all(Self::only_absence)
            && self.fields.values().all(|field| match field {
                Field::Leaf(tests) => tests.iter().all(|test| *test == Test::Exists(false)),
                Field::Nested(pattern) => pattern.only_absence(),
            })
    }
}

impl Field {
    fn holds(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Nested(pattern) => pattern.holds(value),
            Self::Leaf(tests) => tests.iter().any(|test| match test {
                Test::Exists(false) => !value.is_some_and(|value| any_leaf(value, &|_| true)),
                _ => value.is_some_and(|value| any_leaf(value, &|leaf| test.passes(leaf))),
            }),
        }
    }
}

/// Whether `value`, or an element of it, passes. Tables are no leaves, and what EventBridge tests are leaves.
fn any_leaf(value: &Value, passes: &dyn Fn(&Value) -> bool) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(|element| any_leaf(element, passes)),
        Value::Object(_) => false,
        leaf => passes(leaf),
    }
}

impl Test {
    /// The text that it is a plain comparison with.
    fn text(&self) -> Option<&str> {
        if let Self::Text(TextTest::Equals(text)) = self { Some(text) } else { None }
    }

    fn passes(&self, leaf: &Value) -> bool {
        match self {
            Self::Text(test) => leaf.as_str().is_some_and(|text| test.passes(text)),
            Self::Number(number) => leaf.as_f64() == Some(*number),
            Self::Bool(bool) => leaf.as_bool() == Some(*bool),
            Self::AnythingBut(tests) => !tests.iter().any(|test| test.passes(leaf)),
            Self::Exists(exists) => *exists,
            Self::Numeric(bounds) => leaf
                .as_f64()
                .is_some_and(|number| bounds.iter().all(|(comparison, bound)| comparison.holds(number, *bound))),
            Self::Cidr(network) => {
                leaf.as_str().and_then(|text| text.parse().ok()).is_some_and(|address| network.contains(address))
            }
        }
    }
}

impl TextTest {
    fn passes(&self, text: &str) -> bool {
        match self {
            Self::Equals(expected) => text == expected,
            Self::EqualsIgnoreCase(expected) => text.to_lowercase() == *expected,
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::PrefixIgnoreCase(prefix) => text.to_lowercase().starts_with(prefix),
            Self::Suffix(suffix) => text.ends_with(suffix),
            Self::SuffixIgnoreCase(suffix) => text.to_lowercase().ends_with(suffix),
            Self::Wildcard(wildcard) => wildcard.matches(text),
        }
    }
}

impl Comparison {
    fn holds(self, number: f64, bound: f64) -> bool {
        match self {
            Self::Less => number < bound,
            Self::AtMost => number <= bound,
            Self::Equal => number == bound,
            Self::AtLeast => number >= bound,
            Self::More => number > bound,
        }
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        let masked = |bits: u128, width: u8| bits.checked_shr(u32::from(width - self.prefix)).unwrap_or(0);
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                masked(u32::from(network).into(), 32) == masked(u32::from(address).into(), 32)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => masked(network.into(), 128) == masked(address.into(), 128),
            _ => false,
        }
    }
}
