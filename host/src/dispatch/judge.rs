//! What follows from an attempt: another one, and when, or the end. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::time_between;
use crate::clock::doubling;
use crate::digest::sha256;
use crate::ledger::Item;
use crate::outcome::{Decision, Failure, Outcome};
use crate::policy::Finish;

/// The shortest and the longest wait between two attempts, whatever the handler asks.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(12 * 60 * 60);

/// The wait after the first failure; it doubles with each further one in a row, up to the longest.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// The wait for a source of modules that does not answer. It is as patient as the deadline.
const SOURCE_AGAIN: Duration = Duration::from_secs(10);

/// How many attempts in a row may end with their host or with their door's time. That is not the handler's failure, and hosts are
/// replaced; but a handler that takes its host with it each time has to come to an end too.
pub(super) const MOST_INTERRUPTIONS: u32 = 10;

/// How waits are spread, so that what began together does not come back together: by up to so much of each, longer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Jitter {
    /// Not at all: for worlds whose time is virtual, so that what a handler asks for is what is seen.
    None,
    /// By up to a tenth.
    Tenth,
}

/// What follows from an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The next attempt, after a wait.
    Again {
        /// How long.
        wait: Duration,
        /// What is being waited for, or what failed.
        note: String,
        /// What the next attempt is handed.
        state: Option<String>,
        /// How many attempts in a row have failed now.
        failures: u32,
    },
    /// The end.
    Decided(Decision),
}

/// Judges what an attempt came to. `last` says that it was made at the deadline, and `last_attempt` when that is.
pub(super) fn judge(
    item: &Item,
    outcome: Outcome,
    finish: &Finish,
    (now, last_attempt, deadline): (Timestamp, Timestamp, Timestamp),
    last: bool,
    jitter: Jitter,
) -> Verdict {
    let (wait, note, state, failures) = match outcome {
        Outcome::Done => return Verdict::Decided(Decision::Done),
        Outcome::Abandon { why } => return Verdict::Decided(Decision::Abandon { why }),
        Outcome::Again(retry) => (retry.after.clamp(SHORTEST_WAIT, LONGEST_WAIT), retry.note, retry.state, 0),
        // No handler has run, so that none has failed.
        Outcome::Failed(failure @ Failure::NoSource(_)) => {
            (SOURCE_AGAIN, failure.to_string(), item.state.clone(), item.failures)
        }
        Outcome::Failed(failure) => {
            let failures = item.failures.saturating_add(1);
            if failures >= finish.max_attempts {
                return Verdict::Decided(Decision::GaveUp { why: failed_for_good(failures, &failure) });
            }
            (backoff(failures), failure.to_string(), item.state.clone(), failures)
        }
    };
    if last {
        let why = format!("the deadline, {deadline}, has passed: {note}");
        return Verdict::Decided(Decision::GaveUp { why });
    }
    // A wait that would outlast the deadline is shortened, so that one attempt is made right at it.
    let wait = jitter.spread(wait, item).min(time_between(now, last_attempt));
    Verdict::Again { wait, note, state, failures }
}

fn failed_for_good(failures: u32, failure: &Failure) -> String {
    match failures {
        1 => format!("the attempt failed: {failure}"),
        _ => format!("{failures} attempts in a row failed; the last: {failure}"),
    }
}

/// The wait after so many failures in a row.
pub(super) fn backoff(failures: u32) -> Duration {
    doubling(FIRST_BACKOFF, failures, LONGEST_BACKOFF)
}

impl Jitter {
    /// The wait with its share: the same for the same attempt of the same item, whoever computes it.
    fn spread(self, wait: Duration, item: &Item) -> Duration {
        match self {
            Self::None => wait,
            Self::Tenth => {
                let digest = sha256(format!("{} {}", item.id, item.attempts));
                let share = u32::from_str_radix(&digest[..4], 16).unwrap_or_default();
                wait.saturating_add(wait / 10 * share / 0xffff)
            }
        }
    }
}
