//! Exploring: the same case with more going wrong, as a seed decides, and the least of it that still breaks the case.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::case::Case;
use super::keys::{Ending, ExploreKeys, Fate};
use super::play::{Played, Variation};
use crate::reading::Reading;
use crate::sim::{Fault, FaultKind, When};

/// How many faults are added, unless the case says otherwise: fewer than a policy's usual patience for failures in a row.
const FAULTS: u32 = 3;

/// The most faults that may be added.
const MOST_FAULTS: i64 = 20;

/// How much later than the case says an event may come.
const DELAY: Duration = Duration::from_secs(10);

/// How much later than the run of the case an event may be delivered again.
const LATER: Duration = Duration::from_secs(60);

/// What exploring may do to a case, and what is right then.
#[derive(Debug)]
pub(super) struct Exploration {
    faults: Vec<FaultKind>,
    at_most: u32,
    deliveries: bool,
    pub(super) outcome: Vec<Ending>,
    pub(super) lifecycle: Vec<Fate>,
    pub(super) tasks_lost_at_most: Option<u32>,
}

impl Exploration {
    pub(super) fn read(reading: &mut Reading<'_>, keys: ExploreKeys) -> Self {
        // A handler that is refused what it needs rightly fails, and one that loses a minute to a call may come too late:
        // neither is among what it has to stand.
        let not_stood = [FaultKind::AccessDenied, FaultKind::AttemptKilled];
        let stood = || FaultKind::ALL.into_iter().filter(|kind| !not_stood.contains(kind)).collect();
        Self {
            faults: keys.faults.unwrap_or_else(stood),
            at_most: reading.count("at-most", keys.at_most, FAULTS, 0..=MOST_FAULTS),
            deliveries: keys.deliveries.unwrap_or(true),
            outcome: keys.outcome.map(|outcome| outcome.0).unwrap_or_default(),
            lifecycle: keys.lifecycle.map(|lifecycle| lifecycle.0).unwrap_or_default(),
            tasks_lost_at_most: keys.tasks_lost_at_most,
        }
    }

    /// What `seed` does to the case; `usual` is the run of it as it is written.
    pub(super) fn variation(&self, case: &Case, usual: &Played, seed: u64) -> Variation {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let calls = &usual.called;
        let faults = if self.faults.is_empty() || calls.is_empty() { 0 } else { chance.random_range(0..=self.at_most) };
        let faults = (0..faults).map(|_| {
            // A call that is made once matters as much as one that is made a hundred times. Some are made only once more goes
            // wrong.
            let (operation, count) = calls.iter().nth(chance.random_range(0..calls.len())).expect("a place in the map");
            let kind = self.faults[chance.random_range(0..self.faults.len())];
            let nth = chance.random_range(1..=count + 2);
            Fault { operation: (*operation).to_owned(), kind, when: When::Nth(vec![nth]) }
        });
        let faults = faults.filter(Fault::is_possible).collect();
        let delays = (0..case.events.len()).filter_map(|event| {
            let late = self.deliveries && chance.random_bool(0.25);
            late.then(|| (event, milliseconds(&mut chance, DELAY)))
        });
        let delays = delays.collect();
        let again = self.deliveries && chance.random_bool(0.5);
        let deliveries = again.then(|| {
            let event = chance.random_range(0..case.events.len());
            // Not before it happens.
            let first = case.events[event].at.iter().min().copied().unwrap_or_default();
            let span = (usual.virtual_time + LATER).saturating_sub(first);
            (event, first + milliseconds(&mut chance, span))
        });
        Variation { seed, faults, delays, deliveries: deliveries.into_iter().collect() }
    }
}

/// Any time up to `most`.
fn milliseconds(chance: &mut ChaCha8Rng, most: Duration) -> Duration {
    Duration::from_millis(chance.random_range(0..=u64::try_from(most.as_millis()).unwrap_or(u64::MAX)))
}

/// The least of a variation that `fails`: nothing can be left out of it.
pub(super) fn shrink(variation: Variation, fails: impl Fn(&Variation) -> bool) -> Variation {
    let mut least = variation;
    loop {
        let [faults, delays, deliveries] = [least.faults.len(), least.delays.len(), least.deliveries.len()];
        let fewer = (0..faults + delays + deliveries).map(|index| {
            let mut fewer = least.clone();
            match (index.checked_sub(faults), index.checked_sub(faults + delays)) {
                (None, _) => drop(fewer.faults.remove(index)),
                (Some(index), None) => _ = fewer.delays.remove(index),
                (_, Some(index)) => _ = fewer.deliveries.remove(index),
            }
            fewer
        });
        let fewer: Vec<_> = fewer.collect();
        match fewer.into_iter().find(|fewer| fails(fewer)) {
            Some(fewer) => least = fewer,
            None => return least,
        }
    }
}

impl Variation {
    /// The case as it would have to be written for the same to happen: what is added to it, or put in the place of what it says.
    pub(super) fn as_toml(&self, case: &Case) -> String {
        let mut text = String::new();
        let chance = case.faults.iter().any(|fault| matches!(fault.when, When::Probability(_)));
        if chance || self.faults.is_empty() && self.delays.is_empty() && self.deliveries.is_empty() {
            text += &format!("seed = {}\n", self.seed);
        }
        for (index, incident) in case.events.iter().enumerate() {
            let at = self.deliveries_of(index, &incident.at);
            if at != incident.at {
                let at: Vec<_> = at.iter().map(|at| humantime::format_duration(*at).to_string()).collect();
                text += &format!("# of the event {:?}:\nat = {at:?}\n", incident.name);
            }
        }
        for Fault { operation, kind, when } in &self.faults {
            text += &format!("[[fault]]\noperation = {operation:?}\nfault = \"{kind}\"\n");
            text += &match when {
                When::Always => String::new(),
                When::Nth(numbers) if numbers.len() == 1 => format!("nth = {}\n", numbers[0]),
                When::Nth(numbers) => format!("nth = {numbers:?}\n"),
                When::Probability(probability) => format!("probability = {probability}\n"),
            };
        }
        text
    }
}
