//! What the journal of a run tells: attempts, calls, and what the handler said.

use crate::sim::{Call, Entry, Line, What};

/// How the note of an attempt begins that the plugin cannot have meant to end so. The budgets of CPU and wall time are not among
/// them: the one is spent by a slow machine, the other by a world that does not answer.
const TRAPPED: [&str; 6] =
    ["the plugin trapped", "memory budget", "tables budget", "stack budget", "handles budget", "host-calls budget"];

/// What the host says.
pub(super) fn lines(journal: &[Entry]) -> impl Iterator<Item = &Line> {
    journal.iter().filter_map(|entry| if let What::Host(line) = &entry.what { Some(line) } else { None })
}

/// What the host says of each attempt.
pub(super) fn attempts(journal: &[Entry]) -> impl Iterator<Item = &Line> {
    lines(journal).filter(|line| line.message == "attempt")
}

/// Why attempts trapped, of those that did.
pub(super) fn traps(journal: &[Entry]) -> impl Iterator<Item = &str> {
    let notes = attempts(journal).map(|line| line.field("note"));
    notes.filter(|note| TRAPPED.iter().any(|trapped| note.starts_with(trapped)))
}

/// What the handler says.
pub(super) fn said(journal: &[Entry]) -> impl Iterator<Item = &str> {
    journal
        .iter()
        .filter_map(|entry| if let What::Guest(line) = &entry.what { Some(line.message.as_str()) } else { None })
}

/// Whether a handler read one of its settings.
pub(super) fn reads(journal: &[Entry], handler: &str, setting: &str) -> bool {
    let mut read = lines(journal).filter(|line| line.message == "setting read" && line.field("handler") == handler);
    read.any(|line| line.field("key") == setting)
}

/// The calls that were made, each as its operation and its target.
pub(super) fn made(journal: &[Entry]) -> Vec<String> {
    let calls = journal.iter().filter_map(|entry| match &entry.what {
        What::Call(Call { operation, target, .. }) => Some(format!("{operation} {target}")),
        _ => None,
    });
    calls.collect()
}

/// The calls that were refused, in the same form.
pub(super) fn refused(journal: &[Entry]) -> impl Iterator<Item = String> {
    let denied = lines(journal).filter(|line| line.message == "host call" && line.field("result") == "denied");
    denied.map(|line| format!("{} {}", line.field("call"), line.field("target")))
}
