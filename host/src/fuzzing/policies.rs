//! The policy, and its patterns against an oracle.

use serde_json::Value;

use super::{oracle, parts};
use crate::event::{KNOWN, Kind, Message, parse_message};
use crate::policy::{Mistake, Policy};

/// A policy.
///
/// It is read, or there are mistakes in it, with their places. What was read routes every known event, and knows which it takes.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines = text.matches('\n').count() + 1;
    let located = |mistake: &Mistake| assert!((1..=lines).contains(&mistake.line), "a mistake outside: {mistake:?}");
    match Policy::parse("hostler.toml", text) {
        Ok(policy) => {
            assert!(!policy.handlers.is_empty() && policy.digest.len() == 64);
            policy.warnings.iter().for_each(located);
            for known in KNOWN {
                let envelope = known.envelope();
                for handler in policy.handlers.iter().filter(|handler| handler.event.matches(&envelope)) {
                    assert!(handler.kinds().contains(&known.kind), "takes {envelope} and does not know it");
                }
            }
        }
        Err(mistakes) => {
            assert!(!mistakes.mistakes.is_empty(), "refused for no reason");
            mistakes.mistakes.iter().for_each(located);
            assert!(!mistakes.to_string().contains('\u{1b}'), "a terminal would obey it: {mistakes:?}");
        }
    }
}

/// A pattern, as it stands in `[handler.event]`, and behind `---` an event in JSON.
///
/// Whether they match, an oracle says too. A pattern that takes an event of a kind says that it takes that kind.
pub fn pattern(bytes: &[u8]) {
    let (pattern, event) = parts(bytes);
    let (Ok(pattern), Ok(event)) = (std::str::from_utf8(pattern), serde_json::from_slice::<Value>(event)) else {
        return;
    };
    let text = format!(
        "[modules]\nsource = \"dir:x\"\nallow-unsigned = true\n[[handler]]\nname = \"fuzzed\"\nmodule = \"x.wasm\"\n[handler.event]\n{pattern}"
    );
    let Ok(policy) = Policy::parse("hostler.toml", &text) else { return };
    let handler = &policy.handlers[0];
    let table: toml::Table = text.parse().expect("what a policy is read from is TOML");
    let written = table["handler"][0]["event"].as_table().expect("a pattern is a table");
    let matches = handler.event.matches(&event);
    assert_eq!(matches, oracle::matches(written, Some(&event)), "the oracle disagrees about\n{pattern}\nand {event}");
    if matches && let Ok(Message::Events(events)) = parse_message(event.to_string().as_bytes(), None) {
        let kinds = handler.kinds();
        for event in events.iter().filter(|event| event.kind != Kind::Other && handler.event.matches(&event.envelope)) {
            assert!(kinds.contains(&event.kind), "takes {:?}, and says that it takes {kinds:?}", event.kind);
        }
    }
}
