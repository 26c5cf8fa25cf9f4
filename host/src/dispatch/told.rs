//! What the log says of an event: a line when its work begins, one for each attempt, one for its end.

use super::Worked;
use super::work::Work;
use crate::event::Event;
use crate::ledger::Item;
use crate::lifecycle::Completion;
use crate::outcome::{Decision, Outcome};
use crate::sandbox::Report;

/// What is kept of a note in the ledger, in characters: a handler may write a lot.
const NOTE_CHARS: usize = 500;

/// What an event is about, for people.
pub(super) fn subject(event: &Event) -> String {
    event.instance.as_ref().map_or_else(|| format!("event {}", event.id), ToString::to_string)
}

/// A note, short enough to be kept with many others.
pub(super) fn shortened(note: &str) -> String {
    let mut kept: String = note.chars().take(NOTE_CHARS).collect();
    if kept.len() < note.len() {
        kept.push('…');
    }
    kept
}

/// One line for the beginning of the work: before the first attempt that is not known to have died with its host.
pub(super) fn taken(item: &Item) {
    if item.attempts > item.interrupted + 1 {
        return;
    }
    tracing::info!(
        event = item.event.id,
        kind = item.event.kind.as_str(),
        instance = item.event.instance.as_ref().map(|instance| instance.as_str()),
        handler = item.handler,
        deadline = %item.deadline,
        "event taken"
    );
}

/// One line for each attempt.
pub(super) fn attempt(work: &Work<'_>, module: &str, outcome: &Outcome, report: Option<&Report>) {
    let note = outcome.note();
    let instance = work.event.instance.as_ref().map(|instance| instance.as_str());
    tracing::info!(
        event = work.event.id,
        kind = work.event.kind.as_str(),
        instance,
        handler = work.handler.name,
        module,
        attempt = work.item.attempts,
        outcome = outcome.as_str(),
        note,
        cpu_ms = report.map(|report| report.cpu.as_secs_f64() * 1e3),
        wall_ms = report.map(|report| report.wall.as_secs_f64() * 1e3),
        peak_memory = report.map(|report| report.peak_memory),
        host_calls = report.map(|report| report.host_calls),
        log_lines_dropped = report.map(|report| report.log_dropped).filter(|dropped| *dropped > 0),
        "attempt"
    );
}

/// One line for the end of the work, as loud as it is bad.
pub(super) fn ended(work: &Work<'_>, worked: &Worked) {
    let (event, kind, handler) = (work.event.id.as_str(), work.event.kind.as_str(), worked.handler.as_str());
    let instance = work.event.instance.as_ref().map(|instance| instance.as_str());
    let lifecycle = worked.lifecycle.map(Completion::as_str);
    let attempts = worked.attempts;
    match (&worked.decision, worked.lifecycle) {
        (Decision::GaveUp { why }, _) => {
            tracing::error!(event, kind, instance, handler, attempts, lifecycle, why, "gave up");
        }
        (decision, Some(Completion::Late)) => {
            let why = "the lifecycle action was over before it was completed: by another hand, or the hook's timeout";
            let decision = decision.as_str();
            tracing::warn!(event, kind, instance, handler, attempts, lifecycle, decision, why, "late");
        }
        (Decision::Ordered { by, .. }, _) => {
            tracing::warn!(event, kind, instance, handler, attempts, lifecycle, by, "ended by order");
        }
        (Decision::Abandon { why }, _) => {
            tracing::warn!(event, kind, instance, handler, attempts, lifecycle, why, "abandoned");
        }
        (Decision::Done, _) => tracing::info!(event, kind, instance, handler, attempts, lifecycle, "done"),
    }
}
