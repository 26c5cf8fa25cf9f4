//! Exploring: the same case with more going wrong, as a seed decides, and the least of it that still breaks the case.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::case::Case;
use super::keys::{Ending, ExploreKeys, Fate};
use super::play::{Played, Variation};
use crate::sim::{Fault, FaultKind, What, When};

/// How many faults are added, unless the case says otherwise: fewer than a policy's usual patience for failures in a row.
const FAULTS: u32 = 3;

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
    pub(super) fn read(keys: ExploreKeys) -> Self {
        // A handler that is refused what it needs rightly fails, so that is not among what it has to stand.
        let stood = || FaultKind::ALL.into_iter().filter(|kind| *kind != FaultKind::AccessDenied).collect();
        Self {
            faults: keys.faults.unwrap_or_else(stood),
            at_most: keys.at_most.unwrap_or(FAULTS),
            deliveries: keys.deliveries.unwrap_or(true),
            outcome: keys.outcome.map(|outcome| outcome.0).unwrap_or_default(),
            lifecycle: keys.lifecycle.map(|lifecycle| lifecycle.0).unwrap_or_default(),
            tasks_lost_at_most: keys.tasks_lost_at_most,
        }
    }

    /// What `seed` does to the case; `usual` is the run of it as it is written.
    pub(super) fn variation(&self, case: &Case, usual: &Played, seed: u64) -> Variation {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let calls = calls(usual);
        let faults = if self.faults.is_empty() || calls.is_empty() { 0 } else { chance.random_range(0..=self.at_most) };
        let faults = (0..faults).map(|_| {
            // Any call of the usual run is as likely as any other, and some that are made only once more goes wrong.
            let mut place = chance.random_range(0..calls.values().sum::<u32>());
            let (operation, count) = calls
                .iter()
                .find(|(_, count)| match place.checked_sub(**count) {
                    Some(rest) => {
                        place = rest;
                        false
                    }
                    None => true,
                })
                .expect("the place is below the sum");
            let kind = self.faults[chance.random_range(0..self.faults.len())];
            let nth = chance.random_range(1..=count + 2);
            Fault { operation: (*operation).to_owned(), kind, when: When::Nth(vec![nth]) }
        });
        let faults = faults.collect();
        let again = self.deliveries && chance.random_bool(0.5);
        let deliveries = again.then(|| {
            let event = chance.random_range(0..case.events.len());
            // Not before it happens.
            let first = case.events[event].at.iter().min().copied().unwrap_or_default();
            let span = (usual.virtual_time + LATER).saturating_sub(first);
            let later = chance.random_range(0..=u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
            (event, first + Duration::from_millis(later))
        });
        Variation { seed, faults, deliveries: deliveries.into_iter().collect() }
    }
}

/// How often each operation is called.
fn calls(played: &Played) -> BTreeMap<&'static str, u32> {
    let mut calls = BTreeMap::new();
    for entry in &played.journal {
        if let What::Call(call) = &entry.what {
            *calls.entry(call.operation).or_default() += 1;
        }
    }
    calls
}

/// The least of a variation that `fails`: nothing can be left out of it.
pub(super) fn shrink(variation: Variation, fails: impl Fn(&Variation) -> bool) -> Variation {
    let mut least = variation;
    loop {
        let fewer = (0..least.faults.len()).map(|index| {
            let mut fewer = least.clone();
            fewer.faults.remove(index);
            fewer
        });
        let fewer = fewer.chain((0..least.deliveries.len()).map(|index| {
            let mut fewer = least.clone();
            fewer.deliveries.remove(index);
            fewer
        }));
        match fewer.into_iter().find(|fewer| fails(fewer)) {
            Some(fewer) => least = fewer,
            None => return least,
        }
    }
}

/// As one would write it in a case.
impl fmt::Display for Variation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Fault { operation, kind, when } in &self.faults {
            write!(f, "[[fault]]\noperation = {operation:?}\nfault = \"{kind}\"\n")?;
            match when {
                When::Nth(numbers) if numbers.len() == 1 => writeln!(f, "nth = {}", numbers[0])?,
                When::Nth(numbers) => writeln!(f, "nth = {numbers:?}")?,
                When::Probability(probability) => writeln!(f, "probability = {probability}")?,
                When::Always => {}
            }
        }
        for (event, at) in &self.deliveries {
            writeln!(f, "# event {} is delivered once more, at = \"{}\"", event + 1, humantime::format_duration(*at))?;
        }
        if self.faults.is_empty() && self.deliveries.is_empty() {
            writeln!(f, "# nothing more goes wrong: it is chance within the case, with seed = {}", self.seed)?;
        }
        Ok(())
    }
}
