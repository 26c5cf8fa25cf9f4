//! What is remembered of a module's uploads beyond one process: the newest version that was accepted, which digests have worked, and
//! which are not to be run again. Pure.
//!
//! A digest is on trial for a handler until it has brought an event to its end there. While it is, so many crashes in a row are the
//! end of it: it is never run again, and the digest that worked before it takes its place.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Version;
use crate::outcome::{BudgetSpent, Failure, Outcome};

/// The host call that waits for nothing but time.
const SLEEP: &str = "clock.sleep";

/// How many digests are remembered.
const DIGESTS: usize = 20;

/// The record of one module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Record {
    /// The newest version that was accepted; an older one is refused.
    pub newest: Option<Version>,
    /// The digests, in the order in which they were first told of.
    pub digests: Vec<Told>,
}

/// What is told of one digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Told {
    /// SHA-256, in hexadecimal.
    pub digest: String,
    /// What it was signed as.
    #[serde(default)]
    pub version: Option<Version>,
    /// What its source calls it.
    #[serde(default)]
    pub version_id: Option<String>,
    /// The handlers for which it has brought an event to its end.
    #[serde(default)]
    pub worked: BTreeSet<String>,
    /// Crashes in a row, by handler.
    #[serde(default)]
    pub crashes: BTreeMap<String, u32>,
    /// Why it is not to be run again.
    #[serde(default)]
    pub given_up: Option<String>,
}

impl Told {
    /// A digest of which nothing is known yet.
    pub fn new(digest: &str, version: Option<Version>, version_id: Option<String>) -> Self {
        let (worked, crashes, given_up) = (BTreeSet::new(), BTreeMap::new(), None);
        Self { digest: digest.to_owned(), version, version_id, worked, crashes, given_up }
    }
}

/// What one attempt says of the digest that it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// It brought the event to its end.
    Ended,
    /// It came to an outcome, and the event goes on.
    Worked,
    /// It trapped, spent a budget or broke the contract.
    Crashed(String),
}

impl Sign {
    /// What an outcome says of the module; none if it says more of the world.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Done | Outcome::Abandon { .. } => Some(Self::Ended),
            Outcome::Again(_) => Some(Self::Worked),
            // AWS, or the node, was waited for: any other module would have waited too.
            Outcome::Failed(Failure::Budget(BudgetSpent { budget: "wall", during: Some(call), .. }))
                if *call != SLEEP =>
            {
                None
            }
            Outcome::Failed(failure @ (Failure::Trap(_) | Failure::Contract(_) | Failure::Budget(_))) => {
                Some(Self::Crashed(failure.to_string()))
            }
            Outcome::Failed(
                Failure::NoModule(_) | Failure::NoSource(_) | Failure::Handler(_) | Failure::HostEnds | Failure::NoRoom,
            ) => None,
        }
    }
}

impl Record {
    /// What is told of a digest.
    pub fn of(&self, digest: &str) -> Option<&Told> {
        self.digests.iter().find(|told| told.digest == digest)
    }

    /// Why a digest is not to be run again, if so.
    pub fn given_up(&self, digest: &str) -> Option<&str> {
        self.of(digest)?.given_up.as_deref()
    }

    /// The digests to go back to, the newest first.
    pub fn good(&self) -> impl Iterator<Item = &Told> {
        self.digests.iter().rev().filter(|told| !told.worked.is_empty() && told.given_up.is_none())
    }

    /// Notes what an attempt of `handler` says of a digest; `after` is how many crashes in a row are too many. Says whether there is
    /// something new in it.
    pub fn note(&mut self, told: &Told, handler: &str, sign: &Sign, after: Option<u32>) -> bool {
        let others = self.good().any(|good| good.digest != told.digest);
        let known = self.known(told);
        match sign {
            Sign::Ended => {
                let crashed = known.crashes.remove(handler).is_some();
                known.worked.insert(handler.to_owned()) || crashed
            }
            Sign::Worked => known.crashes.remove(handler).is_some(),
            Sign::Crashed(_) if known.worked.contains(handler) || known.given_up.is_some() => false,
            Sign::Crashed(why) => {
                let Some(after) = after else { return false };
                let crashes = known.crashes.entry(handler.to_owned()).or_default();
                let counts = *crashes < after;
                *crashes = after.min(crashes.saturating_add(1));
                // With nothing to go back to, it is all there is.
                let too_many = others && *crashes >= after;
                if too_many {
                    known.given_up =
                        Some(format!("{crashes} attempts of handler {handler:?} in a row crashed; the last: {why}"));
                    self.newest = self.good().filter_map(|good| good.version.clone()).max();
                }
                counts || too_many
            }
        }
    }

    /// Notes that a version was accepted. Says whether it is the newest.
    pub fn accept(&mut self, version: &Version) -> bool {
        let newer = self.newest.as_ref().is_none_or(|newest| newest < version);
        if newer {
            self.newest = Some(version.clone());
        }
        newer
    }

    fn known(&mut self, told: &Told) -> &mut Told {
        let place = self.digests.iter().position(|known| known.digest == told.digest);
        let place = place.unwrap_or_else(|| {
            if self.digests.len() >= DIGESTS {
                // Never the one to go back to.
                let kept = self.good().next().map(|good| good.digest.clone());
                let oldest = self.digests.iter().position(|told| Some(&told.digest) != kept.as_ref());
                self.digests.remove(oldest.unwrap_or_default());
            }
            self.digests.push(told.clone());
            self.digests.len() - 1
        });
        &mut self.digests[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(digest: &str, version: &str) -> Told {
        Told::new(digest, version.parse().ok(), None)
    }

    fn crash() -> Sign {
        Sign::Crashed("unreachable".into())
    }

    /// A record in which `old` has worked, and `new` was accepted.
    fn record() -> Record {
        let mut record = Record::default();
        record.accept(&"1".parse().unwrap());
        record.note(&told("old", "1"), "h", &Sign::Ended, Some(3));
        record.accept(&"2".parse().unwrap());
        record
    }

    #[test]
    fn crashes_in_a_row_are_the_end_of_a_new_digest() {
        let mut record = record();
        for crashes in 1..=3 {
            assert_eq!(record.given_up("new"), None, "after {crashes}");
            record.note(&told("new", "2"), "h", &crash(), Some(3));
        }
        assert_eq!(record.given_up("new"), Some("3 attempts of handler \"h\" in a row crashed; the last: unreachable"));
        assert_eq!(record.good().map(|told| told.digest.as_str()).collect::<Vec<_>>(), ["old"]);
        assert_eq!(record.newest, "1".parse().ok(), "else the one before would be too old to be run");
    }

    #[test]
    fn what_works_between_begins_the_row_anew_and_an_end_ends_the_trial() {
        let mut record = record();
        for sign in [crash(), crash(), Sign::Worked, crash(), crash(), Sign::Ended, crash(), crash(), crash(), crash()]
        {
            record.note(&told("new", "2"), "h", &sign, Some(3));
        }
        assert_eq!(record.given_up("new"), None);
        for _ in 0..3 {
            record.note(&told("new", "2"), "another", &crash(), Some(3));
        }
        assert!(record.given_up("new").is_some(), "for another handler it is still on trial");
    }

    #[test]
    fn with_nothing_to_go_back_to_it_stays_and_so_it_never_flaps() {
        let mut record = Record::default();
        for digest in ["first", "first", "first", "first"] {
            record.note(&told(digest, "1"), "h", &crash(), Some(3));
        }
        assert_eq!(record.given_up("first"), None);
        let mut record = self::record();
        for _ in 0..10 {
            record.note(&told("new", "2"), "h", &crash(), Some(3));
            record.note(&told("old", "1"), "other", &crash(), Some(3));
        }
        assert!(record.given_up("new").is_some() && record.given_up("old").is_none());
    }

    #[test]
    fn the_one_to_go_back_to_is_never_forgotten() {
        let mut record = record();
        for number in 0..DIGESTS * 2 {
            record.note(&told(&format!("new {number}"), "2"), "h", &crash(), Some(3));
        }
        assert_eq!(
            (record.digests.len(), record.good().next().map(|good| good.digest.as_str())),
            (DIGESTS, Some("old"))
        );
    }

    #[test]
    fn what_is_known_already_need_not_be_written_again() {
        let mut record = Record::default();
        let mut new = |sign: &Sign| record.note(&told("first", "1"), "h", sign, Some(2));
        assert_eq!([new(&crash()), new(&crash()), new(&crash())], [true, true, false]);
        assert_eq!([new(&Sign::Worked), new(&Sign::Worked)], [true, false]);
        assert_eq!([new(&Sign::Ended), new(&Sign::Ended), new(&crash())], [true, false, false]);
    }

    #[test]
    fn what_says_more_of_the_world_than_of_the_module_is_no_sign() {
        let waiting =
            |during| Outcome::Failed(Failure::Budget(BudgetSpent { budget: "wall", limit: "5m".into(), during }));
        assert_eq!(Sign::of(&waiting(Some("ecs.describe"))), None);
        assert!(matches!(Sign::of(&waiting(Some(SLEEP))), Some(Sign::Crashed(_))));
        assert!(matches!(Sign::of(&waiting(None)), Some(Sign::Crashed(_))));
        assert!(matches!(Sign::of(&Outcome::Failed(Failure::Trap("unreachable".into()))), Some(Sign::Crashed(_))));
        assert_eq!(Sign::of(&Outcome::Failed(Failure::NoModule("gone".into()))), None);
        assert_eq!(Sign::of(&Outcome::Done), Some(Sign::Ended));
    }

    #[test]
    fn never_means_never() {
        let mut record = record();
        for _ in 0..100 {
            record.note(&told("new", "2"), "h", &crash(), None);
        }
        assert_eq!(record.given_up("new"), None);
    }
}
