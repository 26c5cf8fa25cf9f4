//! The test harness: plays cases in simulated worlds, and compares what happened with what was expected.
//!
//! Owns the format of cases, playing them, judging them and exploring what else could go wrong. Everything between the event and
//! the ports is the code of production. Knows nothing of how plugins are built, or of how results are shown.

mod case;
mod event;
mod expect;
mod explore;
mod forms;
mod glance;
mod keys;
mod play;
mod plugins;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

pub use self::case::{Case, CaseError};
pub use self::expect::Deviation;
use self::explore::shrink;
pub use self::glance::Glance;
use self::play::{Ended, Played, Variation, play};
pub use self::plugins::{PluginError, Plugins};
use crate::dispatch::End;
use crate::event::Event;
use crate::reference;
use crate::sim::Entry;

/// What came of a case.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// What is not as expected; nothing when the case holds.
    pub deviations: Vec<Deviation>,
    /// What is no failure, and should be known.
    pub hints: Vec<String>,
    /// How long it took by the clock of the world. When seeds were explored: all of them together.
    pub virtual_time: Duration,
    /// What happened: in the failing run, when seeds were explored and one failed.
    pub journal: Vec<Entry>,
    /// What the clock of the world said at the beginning.
    pub start: Timestamp,
    /// Each delivery of each event of that run, in the order they ended: its end, or why it came to none.
    pub deliveries: Vec<(Event, Result<End, String>)>,
    /// What was explored, if it was asked for and the case holds as it is written.
    pub explored: Option<Explored>,
}

/// What exploring came to.
#[derive(Debug, Clone)]
pub struct Explored {
    /// How many seeds were played.
    pub seeds: u64,
    /// The first that failed.
    pub failed: Option<FailedSeed>,
}

/// A seed with which a case does not hold.
#[derive(Debug, Clone)]
pub struct FailedSeed {
    /// The seed.
    pub seed: u64,
    /// The least that has to go wrong, as one would write it in a case.
    pub least: String,
}

impl Verdict {
    /// Whether everything is as expected.
    pub fn holds(&self) -> bool {
        self.deviations.is_empty()
    }
}

/// The JSON Schema of cases.
pub fn schema() -> Value {
    reference::schema_of::<keys::File>()
}

/// Plays a case as it is written; `seed` decides what chance does, instead of the case's own.
pub fn test(case: &Case, plugins: &Plugins, seed: Option<u64>) -> Verdict {
    judge(case, play(case, plugins, &as_written(case, seed)))
}

/// Plays a case as it is written and, if it holds, with each of `seeds`, until one fails.
pub fn explore(case: &Case, plugins: &Plugins, seeds: RangeInclusive<u64>) -> Verdict {
    let usual = play(case, plugins, &as_written(case, None));
    let mut verdict = judge(case, usual.clone());
    if !verdict.holds() {
        return verdict;
    }
    let deviations = |played: &Played| case.expectation.judge(case, played, Some(&case.explore)).deviations;
    let mut explored = Explored { seeds: 0, failed: None };
    for seed in seeds {
        let variation = case.explore.variation(case, &usual, seed);
        let played = play(case, plugins, &variation);
        verdict.virtual_time = verdict.virtual_time.saturating_add(played.virtual_time);
        explored.seeds += 1;
        if deviations(&played).is_empty() {
            continue;
        }
        let least = shrink(variation, |fewer| !deviations(&play(case, plugins, fewer)).is_empty());
        let played = play(case, plugins, &least);
        verdict.deviations = deviations(&played);
        verdict.deliveries = deliveries(case, played.ends);
        verdict.journal = played.journal;
        explored.failed = Some(FailedSeed { seed, least: least.as_toml(case) });
        break;
    }
    verdict.explored = Some(explored);
    verdict
}

fn as_written(case: &Case, seed: Option<u64>) -> Variation {
    Variation { seed: seed.unwrap_or(case.seed), ..Variation::default() }
}

fn judge(case: &Case, played: Played) -> Verdict {
    let judgement = case.expectation.judge(case, &played, None);
    let Played { start, ends, journal, virtual_time, .. } = played;
    let (deviations, hints) = (judgement.deviations, judgement.hints);
    Verdict { deviations, hints, virtual_time, journal, start, deliveries: deliveries(case, ends), explored: None }
}

/// The deliveries, as they are shown.
fn deliveries(case: &Case, ends: Vec<(usize, Ended)>) -> Vec<(Event, Result<End, String>)> {
    let deliveries = ends.into_iter().map(|(index, ended)| {
        let end = match ended {
            Ended::Handled(end) => Ok(end),
            ended => Err(expect::words(&ended)),
        };
        (case.events[index].event.clone(), end)
    });
    deliveries.collect()
}
