//! What a component was made with: the `producers` sections that compilers and tools leave in it.
//!
//! Anybody can write anything there, so it is shown, and nothing is concluded from it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use wasmparser::{KnownCustom, Parser, Payload, ProducersField};

use crate::telemetry::visible;

/// Names with their versions, by kind: `language`, `sdk` or `processed-by`.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Producers(BTreeMap<String, BTreeSet<String>>);

/// More of a kind than these are not shown.
const MOST: usize = 20;

/// What is kept of a name and its version.
const NAME_CHARS: usize = 80;

impl Producers {
    /// Reads the sections of a component and of all that is in it, up to the first that is broken.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut producers = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            let Ok(payload) = payload else { break };
            let Payload::CustomSection(section) = payload else { continue };
            let KnownCustom::Producers(fields) = section.as_known() else { continue };
            fields.into_iter().map_while(Result::ok).for_each(|field| producers.add(field));
        }
        producers
    }

    fn add(&mut self, field: ProducersField<'_>) {
        let names = self.0.entry(field.name.to_owned()).or_default();
        for value in field.values.into_iter().map_while(Result::ok) {
            if names.len() == MOST {
                return;
            }
            let name = format!("{} {}", value.name, value.version);
            names.insert(visible(&name.trim().chars().take(NAME_CHARS).collect::<String>()));
        }
    }

    /// Each kind with its names.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (&str, String)> {
        self.0
            .iter()
            .map(|(kind, names)| (kind.as_str(), names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A core module with one `producers` section: a field of one value.
    fn module(name: &str, version: &str) -> Vec<u8> {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let section = [text("producers"), vec![1], text("processed-by"), vec![1], text(name), text(version)].concat();
        [b"\0asm\x01\0\0\0\0".as_slice(), &[u8::try_from(section.len()).unwrap()], &section].concat()
    }

    #[test]
    fn what_is_in_the_sections_is_listed_once_and_made_visible() {
        let made_by = |bytes: &[u8]| {
            Producers::read(bytes).kinds().map(|(kind, names)| format!("{kind}: {names}")).collect::<Vec<_>>()
        };
        assert_eq!(made_by(&module("rustc", "1.95.0")), ["processed-by: rustc 1.95.0"]);
        assert_eq!(made_by(&module("a\x1b[2J", "")), ["processed-by: a\\u{1b}[2J"]);
        let twice =
            [module("rustc", "1"), module("rustc", "1")[8..].to_vec(), module("lld", "2")[8..].to_vec()].concat();
        assert_eq!(made_by(&twice), ["processed-by: lld 2, rustc 1"]);
    }

    #[test]
    fn what_is_broken_ends_the_list() {
        let whole = module("rustc", "1.95.0");
        for length in 0..whole.len() {
            assert_eq!(Producers::read(&whole[..length]).kinds().find(|(_, names)| !names.is_empty()), None);
        }
        assert_eq!(Producers::read(b"#!/bin/sh"), Producers::default());
    }

    #[test]
    fn what_is_without_end_is_cut() {
        let many = (0..100).flat_map(|number| module(&format!("t{number}"), "1")[8..].to_vec());
        let many: Vec<u8> = b"\0asm\x01\0\0\0".iter().copied().chain(many).collect();
        assert_eq!(Producers::read(&many).0["processed-by"].len(), MOST);
        assert_eq!(Producers::read(&module(&"x".repeat(90), "1")).0["processed-by"].first().unwrap().len(), NAME_CHARS);
    }
}
