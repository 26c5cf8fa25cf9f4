//! The answers of a recording: which one a call gets that is made now.
//!
//! Whoever looks sees what was seen at that time: the last answer recorded until now, or the first when there is none yet. So a
//! handler that looks more seldom, or more often, than the recorded one did finds the same world at the same time. What
//! changes something, and what the host itself asks, is answered in the order of the recording, and from then on with the last.
//!
//! Three things bend the rule for those who look. An accident, such as being throttled, happens once: after it, what was seen
//! before holds on. A change that is made earlier than it was then takes the world along to the time after it. And a replay
//! is a little ahead of its recording, since the host's own work takes it no time: right after a change, what was seen next is
//! seen already, lest a handler look, find nothing changed, and make the change again.

use std::collections::{HashMap, VecDeque};

use super::asked::Asked;
use super::file::{Call, Recording, Reply};

/// How far the host's own work sets a recording behind its replay between a change and the next look, in milliseconds.
const OWN_WORK_MS: u64 = 1_000;

/// The answers, and how far they have been used.
pub(super) struct Answers {
    looks: HashMap<String, Looks>,
    others: HashMap<String, InOrder>,
    /// How far the world is ahead of the time that has passed, in milliseconds: as much as a change came early.
    ahead_ms: u64,
    /// The place in the recording of the latest change that has been made.
    changed: Option<usize>,
}

/// What was seen of one thing, each with its place in the recording.
#[derive(Default)]
struct Looks {
    seen: Vec<(usize, Call)>,
    /// The first that has not been given yet; those of one moment are given one after the other.
    next: usize,
}

/// What came of doing one thing, each with its place in the recording.
#[derive(Default)]
struct InOrder {
    calls: VecDeque<(usize, Call)>,
    begun: bool,
}

impl Answers {
    /// All of `recording`, none of them used.
    pub(super) fn of(recording: &Recording) -> Self {
        let (mut looks, mut others) = (HashMap::<_, Looks>::new(), HashMap::<_, InOrder>::new());
        for (place, call) in recording.calls.iter().enumerate() {
            let (key, answer) = (key(&call.asked), (place, call.clone()));
            if call.asked.operation.looks() {
                looks.entry(key).or_default().seen.push(answer);
            } else {
                others.entry(key).or_default().calls.push_back(answer);
            }
        }
        Self { looks, others, ahead_ms: 0, changed: None }
    }

    /// Whether there is any answer to `asked`.
    pub(super) fn know(&self, asked: &Asked) -> bool {
        let key = key(asked);
        self.looks.contains_key(&key) || self.others.contains_key(&key)
    }

    /// The answer to `asked` when `passed_ms` milliseconds have passed since the beginning.
    pub(super) fn next(&mut self, asked: &Asked, passed_ms: u64) -> Option<Call> {
        let key = key(asked);
        let world_ms = passed_ms.saturating_add(self.ahead_ms);
        if let Some(looks) = self.looks.get_mut(&key) {
            return looks.at(world_ms, self.changed);
        }
        let others = self.others.get_mut(&key)?;
        let first = !std::mem::replace(&mut others.begun, true);
        let (place, call) =
            if others.calls.len() > 1 { others.calls.pop_front() } else { others.calls.front().cloned() }?;
        if asked.operation.mutates() {
            self.changed = self.changed.max(Some(place));
            // Only the first time: what is done over and over, more often than then, must not hurry the world along.
            if first {
                self.ahead_ms = self.ahead_ms.max(call.at_ms.saturating_sub(passed_ms));
            }
        }
        Some(call)
    }
}

impl Looks {
    /// What is seen at `world_ms`, when the change at the place `changed` in the recording was the latest.
    fn at(&mut self, world_ms: u64, changed: Option<usize>) -> Option<Call> {
        let before = self.seen.partition_point(|(_, call)| call.at_ms < world_ms);
        let until_now = self.seen.partition_point(|(_, call)| call.at_ms <= world_ms);
        let last = until_now.saturating_sub(1);
        let in_force = if before < until_now { self.next.clamp(before, last) } else { last };
        let since = changed.and_then(|changed| {
            let soon = |call: &Call| call.at_ms <= world_ms.saturating_add(OWN_WORK_MS);
            self.seen.iter().position(|(place, call)| *place > changed && soon(call))
        });
        let given = since.map_or(in_force, |since| in_force.max(since));
        if self.seen.len() > 1 && self.seen.get(given).is_some_and(|(_, call)| is_accident(&call.reply)) {
            self.next = given;
            return Some(self.seen.remove(given).1);
        }
        self.next = given + 1;
        self.seen.get(given).map(|(_, call)| call.clone())
    }
}

/// Whether this says nothing of what was looked at: another look at once may well have seen it.
fn is_accident(reply: &Reply) -> bool {
    match reply {
        Reply::Answer(_) => false,
        Reply::Error(error) => error.retryable(),
        Reply::None => true,
    }
}

/// The same for calls that are the same: arguments are sorted by name.
fn key(asked: &Asked) -> String {
    asked.to_string()
}
