//! Patterns of calls and of log lines.

use super::deviation::{Deviation, instead};
use crate::harness::case::mend;
use crate::policy::Wildcard;
use crate::reading::{At, Reading};
use crate::sim::operations;

/// A text with `*` for any characters, as it is written in a case.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) text: String,
    pub(super) wildcard: Wildcard,
}

impl Pattern {
    pub(super) fn line(text: String) -> Self {
        Self { wildcard: Wildcard::name(&text), text }
    }

    /// An operation alone means it on any target.
    pub(super) fn matches_call(&self, call: &str) -> bool {
        let operation = !self.text.contains(' ');
        let compared = if operation { call.split(' ').next().unwrap_or_default() } else { call };
        self.wildcard.matches(compared)
    }
}

/// Calls whose operations there are.
pub(super) fn calls(reading: &mut Reading<'_>, texts: Vec<At<String>>) -> Vec<Pattern> {
    let known: Vec<_> = operations().collect();
    let pattern = |At { at, value: text }: At<String>| {
        let operation = text.split(' ').next().unwrap_or_default();
        let wildcard = Wildcard::name(operation);
        if !known.iter().any(|known| wildcard.matches(known)) {
            let message = format!("there is no operation {operation:?}; {}", mend(operation, &known));
            reading.findings.mistake(at, message);
        }
        Pattern::line(text)
    };
    texts.into_iter().map(pattern).collect()
}

/// Finds each pattern after the one before it.
pub(super) fn in_order(
    what: &str,
    patterns: &[Pattern],
    lines: &[String],
    matches: fn(&Pattern, &str) -> bool,
    found: &mut Vec<Deviation>,
) {
    let mut from = 0;
    for (index, pattern) in patterns.iter().enumerate() {
        match lines[from..].iter().position(|line| matches(pattern, line)) {
            Some(position) => from += position + 1,
            None => {
                let actual = match index.checked_sub(1).map(|before| &patterns[before].text) {
                    Some(before) => format!("nothing like it after {before}"),
                    None => "nothing like it".to_owned(),
                };
                found.push(Deviation::new(what, &pattern.text, actual).remarking(instead(lines)));
                return;
            }
        }
    }
}
