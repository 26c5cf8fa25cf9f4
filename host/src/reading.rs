//! TOML into serde types, with every mistake and its place: what all our files are read with.
//!
//! Pure, and knows nothing of what any file says.
//!
//! serde stops at the first error, but one set of types should be the whole definition of the format. So the text is
//! parsed once into a tree that knows its places, and the tree is deserialised again and again: each error is noted, the
//! entry it points to is taken out, and the next round finds the next error. That asks of the types that every key is
//! optional to serde; [`Reading::required`] then reports the ones that are missing, and knows which were taken out.

mod mistake;
pub(crate) mod units;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, ValueDeserializer};

use self::mistake::Findings;
pub use self::mistake::{Mistake, Mistakes};

/// A round costs a walk over the whole text, so there is an end to them.
const MAX_ROUNDS: usize = 100;

/// A value and its place: the byte offset where it begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct At<T> {
    pub(crate) at: usize,
    pub(crate) value: T,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { at: spanned.span().start, value: spanned.into_inner() })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A table of the file, read as a `T`. serde alone would take an array for one, too.
#[derive(Debug, Default)]
pub(crate) struct Table<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyTables<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyTables<T> {
            type Value = Table<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Table<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Table)
            }
        }

        deserializer.deserialize_any(OnlyTables(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Table<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A table, with its place.
pub(crate) type Section<T> = At<Table<T>>;

/// A table that a file can hold several times.
#[derive(Debug)]
pub(crate) struct Tables<T>(pub(crate) Vec<Section<T>>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Tables<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyArrays<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyArrays<T> {
            type Value = Tables<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("double brackets, [[…]], since there can be several of these")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tables<T>, A::Error> {
                let mut tables = Vec::new();
                while let Some(table) = seq.next_element()? {
                    tables.push(table);
                }
                Ok(Tables(tables))
            }
        }

        deserializer.deserialize_any(OnlyArrays(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Tables<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("SeveralOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "array", "items": generator.subschema_for::<T>() })
    }
}

/// A text being read: what has been found in it, and what was taken out of it.
#[derive(Debug)]
pub(crate) struct Reading<'t> {
    pub(crate) findings: Findings<'t>,
    /// Keys taken out, or misspelt, by the place of their table. For an array the key is empty.
    lost: HashSet<(usize, String)>,
}

impl<'t> Reading<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { findings: Findings::new(text), lost: HashSet::new() }
    }

    /// Reads the text as a `T`, which is none only when not even TOML, or more than [`MAX_ROUNDS`] mistakes, was found.
    pub(crate) fn read<T: DeserializeOwned>(&mut self, text: &str) -> Option<T> {
        let (tree, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            self.findings.mistake(start(error), format!("not TOML: {}", error.message()));
        }
        if !errors.is_empty() {
            return None;
        }
        let mut tree = Spanned::new(tree.span(), DeValue::Table(tree.into_inner()));
        for _ in 0..MAX_ROUNDS {
            let error = match Table::<T>::deserialize(ValueDeserializer::from(tree.clone())) {
                Ok(read) => return Some(read.0),
                Err(error) => error,
            };
            let at = error.span().unwrap_or_default();
            let Some(removed) = take_out(&mut tree, &at) else {
                self.findings.mistake(at.start, plain(error.message()));
                return None;
            };
            // What is left of a list, or of a table, is wrong only for want of what was taken out of it, and has been reported as
            // that.
            if !self.lost.iter().any(|(from, _)| *from == at.start) {
                let message = match Choice::of(error.message()) {
                    Some(choice) => {
                        if let Some(meant) = choice.meant() {
                            self.lost.insert((removed.from, meant.to_owned()));
                        }
                        choice.to_string()
                    }
                    None => plain(error.message()),
                };
                self.findings.mistake(at.start, message);
            }
            self.lost.insert((removed.from, removed.key));
        }
        self.findings.mistake(text.len(), format!("more than {MAX_ROUNDS} mistakes: mend these first, there are more"));
        None
    }

    /// A key that has to be there, in the table at `table`. Reports its absence unless it was there and wrong.
    pub(crate) fn required<T>(&mut self, table: usize, key: &str, value: Option<T>, example: &str) -> Option<T> {
        if value.is_none() && !self.lost.contains(&(table, key.to_owned())) {
            self.findings.mistake(table, format!("{key} is missing: write {example}"));
        }
        value
    }

    /// A value within its bounds; the default when it is not written, or not sound.
    pub(crate) fn within<T: Copy + Ord + fmt::Display>(
        &mut self,
        key: &str,
        written: Option<At<T>>,
        default: T,
        bounds: RangeInclusive<T>,
    ) -> T {
        match written {
            Some(At { value, .. }) if bounds.contains(&value) => value,
            Some(At { value, at }) => {
                let message = format!("{key} is {value}, but has to be from {} to {}", bounds.start(), bounds.end());
                self.findings.mistake(at, message);
                default
            }
            None => default,
        }
    }

    /// A number within its bounds, likewise.
    pub(crate) fn count(
        &mut self,
        key: &str,
        written: Option<At<i64>>,
        default: u32,
        bounds: RangeInclusive<i64>,
    ) -> u32 {
        u32::try_from(self.within(key, written, default.into(), bounds)).unwrap_or(default)
    }

    /// Whether something was taken out of the array at `at`, so that its being short says nothing.
    pub(crate) fn lost_part(&self, at: usize) -> bool {
        self.lost.contains(&(at, String::new()))
    }
}

fn start(error: &toml::de::Error) -> usize {
    error.span().unwrap_or_default().start
}

/// An entry that was taken out: of the table or array at `from`, under `key`.
struct Removed {
    from: usize,
    key: String,
}

/// Takes out the entry whose key, or whose value, stands at `span`: the innermost, should there be several.
fn take_out(value: &mut Spanned<DeValue<'_>>, span: &std::ops::Range<usize>) -> Option<Removed> {
    let from = value.span().start;
    match value.get_mut() {
        DeValue::Table(table) => {
            if let Some(removed) = table.iter_mut().find_map(|(_, value)| take_out(value, span)) {
                return Some(removed);
            }
            let key = table.iter().find(|(key, value)| key.span() == *span || value.span() == *span)?.0.clone();
            table.remove(&key);
            Some(Removed { from, key: key.into_inner().into_owned() })
        }
        DeValue::Array(array) => {
            if let Some(removed) = array.iter_mut().find_map(|value| take_out(value, span)) {
                return Some(removed);
            }
            let index = array.iter().position(|value| value.span() == *span)?;
            let items = std::mem::replace(array, DeArray::new()).into_iter().enumerate();
            *array = items.filter(|(other, _)| *other != index).map(|(_, item)| item).collect();
            Some(Removed { from, key: String::new() })
        }
        _ => None,
    }
}

/// serde's complaint about a key or a value that is none of those allowed.
struct Choice<'m> {
    what: &'static str,
    found: &'m str,
    allowed: Vec<&'m str>,
}

impl<'m> Choice<'m> {
    fn of(message: &'m str) -> Option<Self> {
        let (what, rest) = match message.strip_prefix("unknown field `") {
            Some(rest) => ("key", rest),
            None => ("value", message.strip_prefix("unknown variant `")?),
        };
        let (found, expected) = rest.rsplit_once("`, expected ")?;
        Some(Self { what, found, allowed: expected.split('`').skip(1).step_by(2).collect() })
    }

    fn meant(&self) -> Option<&'m str> {
        nearest(self.found, &self.allowed)
    }
}

impl fmt::Display for Choice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown {} {:?}", self.what, self.found)?;
        if let Some(meant) = self.meant() {
            write!(f, ", did you mean {meant:?}?")?;
        }
        write!(f, " (allowed here: {})", self.allowed.join(", "))
    }
}

/// The one of `allowed` that somebody may have meant by `found`.
pub(crate) fn nearest<'a>(found: &str, allowed: &[&'a str]) -> Option<&'a str> {
    // A long text is nobody's slip of the pen, and the distance would be costly.
    if found.len() > 64 {
        return None;
    }
    let plain = |text: &str| text.replace('_', "-").to_lowercase();
    allowed
        .iter()
        .map(|&allowed| (strsim::damerau_levenshtein(&plain(found), &plain(allowed)), allowed))
        .filter(|(distance, allowed)| *distance <= 1.max(allowed.len() / 3))
        .min()
        .map(|(_, allowed)| allowed)
}

/// serde's other complaints, in the words of the rest.
fn plain(message: &str) -> String {
    if message == "wanted string or table" {
        return "expected a string in quotes".to_owned();
    }
    let wrong = message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: "));
    let Some((found, expected)) = wrong.and_then(|wrong| wrong.split_once(", expected ")) else {
        return message.to_owned();
    };
    let word = |serdes: &str| match serdes {
        "i64" => "a whole number".to_owned(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" => "a whole number from 0".to_owned(),
        "a boolean" => "true or false, without quotes".to_owned(),
        "map" | "a map" => "a table".to_owned(),
        "sequence" | "a sequence" => "an array".to_owned(),
        other => other.replace('`', ""),
    };
    format!("expected {}, found {}", word(expected), word(found))
}
