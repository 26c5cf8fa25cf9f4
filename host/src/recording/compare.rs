//! Two recordings of the same event, and what is different between them: the calls, and the end.
//!
//! How often a handler looks while it waits says little, so calls that are made over and over count as made once; of those
//! that change something it is told all the same how often they were made. Heartbeats follow the clock alone and are left aside.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use similar::TextDiff;

use super::asked::Operation;
use super::file::{Call, Outcome, Recording};
use crate::dispatch::End;
use crate::lifecycle::Completion;
use crate::telemetry::visible;

/// The longest run of calls that is recognised when it comes again: what a handler does in one attempt.
const LONGEST_ROUND: usize = 16;

/// How many calls that stayed the same are shown around a difference.
const CONTEXT: usize = 3;

/// What is different between a recording and its replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Comparison {
    /// Whether the calls are the same, and the end is, if one was recorded.
    pub same: bool,
    /// The calls as a unified diff; empty when there is no difference.
    pub diff: String,
    /// Calls that change something, made on both sides but not as often.
    pub counts: Vec<Count>,
    /// Calls that the recording has no answer to.
    pub not_recorded: BTreeSet<String>,
    /// Whether the end is the same: the decision, and what became of the lifecycle action. None where there is no end to
    /// compare with, since the recording stops before it.
    pub same_end: Option<bool>,
    /// Whether the handler that took the event is the same.
    pub same_handler: bool,
    /// Whether the plugin is the same.
    pub same_module: bool,
    /// Whether the policy is the same.
    pub same_policy: bool,
}

/// How often a call was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The call.
    pub call: String,
    /// How often then.
    pub recorded: usize,
    /// How often now.
    pub replayed: usize,
}

impl Comparison {
    /// What is different in `replayed`.
    pub fn of(recorded: &Recording, replayed: &Recording) -> Self {
        let (then, now) = (lines(recorded), lines(replayed));
        let (text_then, text_now) = (once(&then), once(&now));
        let diff = TextDiff::from_lines(&text_then, &text_now)
            .unified_diff()
            .context_radius(CONTEXT)
            .header("recorded", "replayed")
            .to_string();
        let counts = counts(recorded, replayed);
        let known: BTreeSet<_> = then.into_iter().collect();
        // The host's own calls are answered for all the same.
        let handlers = calls(replayed).filter(|call| call.attempt.is_some()).map(line);
        let not_recorded = handlers.filter(|line| !known.contains(line)).collect();
        let same_end = end(recorded).map(|then| Some(then) == end(replayed));
        Self {
            same: diff.is_empty() && counts.is_empty() && same_end != Some(false),
            diff,
            counts,
            not_recorded,
            same_end,
            same_handler: recorded.header.handler == replayed.header.handler,
            same_module: recorded.modules() == replayed.modules(),
            same_policy: recorded.header.policy == replayed.header.policy,
        }
    }
}

/// The calls that are compared.
fn calls(recording: &Recording) -> impl Iterator<Item = &Call> {
    recording.calls.iter().filter(|call| call.asked.operation != Operation::Heartbeat)
}

/// Each call as a line.
fn lines(recording: &Recording) -> Vec<String> {
    calls(recording).map(line).collect()
}

fn line(call: &Call) -> String {
    visible(&call.asked.to_string())
}

/// The calls, one to a line, where each round of calls that is made again at once stands only once.
fn once(lines: &[String]) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for line in lines {
        kept.push(line);
        let again = (1..=LONGEST_ROUND.min(kept.len() / 2)).find(|round| {
            let (before, last) = kept.split_at(kept.len() - round);
            before.ends_with(last)
        });
        if let Some(round) = again {
            kept.truncate(kept.len() - round);
        }
    }
    kept.into_iter().map(|line| format!("{line}\n")).collect()
}

/// What is made on both sides, and changes something; what is made on one only, the diff shows.
fn counts(recorded: &Recording, replayed: &Recording) -> Vec<Count> {
    let count = |recording: &Recording| {
        let mut counts = BTreeMap::<String, usize>::new();
        for call in calls(recording).filter(|call| call.asked.operation.mutates()) {
            *counts.entry(line(call)).or_default() += 1;
        }
        counts
    };
    let now = count(replayed);
    let both = count(recorded).into_iter().filter_map(|(call, recorded)| Some((*now.get(&call)?, call, recorded)));
    let different = both.filter(|(replayed, _, recorded)| replayed != recorded);
    different.map(|(replayed, call, recorded)| Count { call, recorded, replayed }).collect()
}

/// What of an end has to be the same: not the words, nor how many attempts it took.
fn end(recording: &Recording) -> Option<(&str, Option<&'static str>)> {
    Some(match &recording.end.as_ref()?.outcome {
        Outcome::Result(End::Worked(worked)) => (worked.decision.as_str(), worked.lifecycle.map(Completion::as_str)),
        Outcome::Result(End::Already(already)) => {
            (already.decision.as_str(), already.lifecycle.map(Completion::as_str))
        }
        Outcome::Result(End::NoHandler) => ("no-handler", None),
        Outcome::Result(End::LeftAlone { .. }) => ("left-alone", None),
        Outcome::Error { name, .. } => (name, None),
    })
}
