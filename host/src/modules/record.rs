//! What is remembered of a module's uploads beyond one process: the newest version that was accepted, which digests have worked, and
//! which are not to be run again. Pure.
//!
//! A digest is on trial for a handler until it has brought an event to its end there. While it is, so many crashes in a row are the
//! end of it: it is never run again, and the digest that worked before it takes its place.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Version;
use super::signature::Signed;
use crate::outcome::{BudgetSpent, Failure, Outcome};

/// The host call that waits for nothing but time.
const SLEEP: &str = "clock.sleep";

/// How many digests are remembered.
const DIGESTS: usize = 20;

/// The record of one module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Record {
    /// The digests, in the order in which they were first told of.
    pub digests: Vec<Told>,
}

/// What is told of one digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Told {
    /// Where it comes from, as it was last accepted.
    #[serde(flatten)]
    pub origin: Origin,
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

/// Where a digest comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Origin {
    /// SHA-256, in hexadecimal.
    pub digest: String,
    /// What it was signed as.
    #[serde(default)]
    pub version: Option<Version>,
    /// The key that has signed it.
    #[serde(default)]
    pub by: Option<String>,
    /// Whether a host has accepted it as the newest: what a handler is pinned to need not be.
    #[serde(default)]
    pub accepted: bool,
    /// What its source calls it.
    #[serde(default)]
    pub version_id: Option<String>,
}

impl Origin {
    /// That of a digest which nobody has accepted as the newest.
    pub fn new(digest: &str, signed: Option<Signed>, version_id: Option<String>) -> Self {
        let (version, by) = signed.map(|Signed { version, by }| (version, by.to_string())).unzip();
        Self { digest: digest.to_owned(), version, by, accepted: false, version_id }
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
        self.digests.iter().find(|told| told.origin.digest == digest)
    }

    /// Why a digest is not to be run again, if so.
    pub fn given_up(&self, digest: &str) -> Option<&str> {
        self.of(digest)?.given_up.as_deref()
    }

    /// The digests to go back to, the newest first.
    pub fn good(&self) -> impl Iterator<Item = &Told> {
        self.digests.iter().rev().filter(|told| !told.worked.is_empty() && told.given_up.is_none())
    }

    /// The digests that a process may begin with, the newest first: those that have worked, and those that were accepted.
    pub fn usable(&self) -> impl Iterator<Item = &Origin> {
        let in_force = self.digests.iter().rev().filter(|told| told.given_up.is_none());
        in_force.filter(|told| told.origin.accepted || !told.worked.is_empty()).map(|told| &told.origin)
    }

    /// The newest version that was accepted, and was not given up, of those that are signed by a key that `is_trusted`; an older one is
    /// refused.
    pub fn newest(&self, is_trusted: impl Fn(&str) -> bool) -> Option<&Version> {
        let trusted = |origin: &&Origin| origin.by.as_deref().is_none_or(&is_trusted);
        self.accepted().filter(trusted).filter_map(|origin| origin.version.as_ref()).max()
    }

    fn accepted(&self) -> impl Iterator<Item = &Origin> {
        let in_force = self.digests.iter().filter(|told| told.given_up.is_none());
        in_force.map(|told| &told.origin).filter(|origin| origin.accepted)
    }

    /// Notes what an attempt of `handler` says of a digest; `after` is how many crashes in a row are too many. Says whether there is
    /// something new in it.
    pub fn note(&mut self, origin: &Origin, handler: &str, sign: &Sign, after: Option<u32>) -> bool {
        let others = self.good().any(|good| good.origin.digest != origin.digest);
        let (known, more) = self.known(origin);
        let new = match sign {
            Sign::Ended => {
                let crashed = known.crashes.remove(handler).is_some();
                known.worked.insert(handler.to_owned()) || crashed
            }
            Sign::Worked => known.crashes.remove(handler).is_some(),
            Sign::Crashed(_) if known.worked.contains(handler) || known.given_up.is_some() => false,
            Sign::Crashed(why) => {
                let Some(after) = after else { return more };
                let crashes = known.crashes.entry(handler.to_owned()).or_default();
                let counts = *crashes < after;
                *crashes = after.min(crashes.saturating_add(1));
                // With nothing to go back to, it is all there is.
                let too_many = others && *crashes >= after;
                if too_many {
                    known.given_up =
                        Some(format!("{crashes} attempts of handler {handler:?} in a row crashed; the last: {why}"));
                }
                counts || too_many
            }
        };
        new || more
    }

    /// Notes where a digest comes from, and that it was accepted, if so. Says whether there is something new in it.
    pub fn accept(&mut self, origin: &Origin) -> bool {
        self.known(origin).1
    }

    /// The digests that are not forgotten: the one to go back to, and, of each key, the one that no other may be older than.
    fn kept(&self) -> BTreeSet<String> {
        let mut newest = BTreeMap::new();
        for origin in self.accepted() {
            let newest = newest.entry(&origin.by).or_insert(origin);
            if newest.version <= origin.version {
                *newest = origin;
            }
        }
        let to_go_back_to = self.good().next().map(|good| &good.origin);
        newest.into_values().chain(to_go_back_to).map(|origin| origin.digest.clone()).collect()
    }

    /// What is known of a digest, and whether more than before.
    fn known(&mut self, origin: &Origin) -> (&mut Told, bool) {
        let place = self.digests.iter().position(|known| known.origin.digest == origin.digest);
        let place = place.unwrap_or_else(|| {
            if self.digests.len() >= DIGESTS {
                let kept = self.kept();
                let oldest = self.digests.iter().position(|told| !kept.contains(&told.origin.digest));
                self.digests.remove(oldest.unwrap_or_default());
            }
            // Without what is to be told of it: that it is known at all is nothing new.
            let origin = Origin { accepted: false, version_id: None, ..origin.clone() };
            let (worked, crashes, given_up) = (BTreeSet::new(), BTreeMap::new(), None);
            self.digests.push(Told { origin, worked, crashes, given_up });
            self.digests.len() - 1
        });
        let told = &mut self.digests[place];
        let known = &mut told.origin;
        // A bucket may keep versions only since then.
        let named = known.version_id.is_none() && origin.version_id.is_some();
        if named {
            known.version_id.clone_from(&origin.version_id);
        }
        // The same module may be signed again, as a newer version.
        let accepted = origin.accepted && (!known.accepted || known.version < origin.version);
        if accepted {
            known.accepted = true;
            (known.version, known.by) = (origin.version.clone(), origin.by.clone());
        }
        (told, named || accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(digest: &str, version: &str) -> Origin {
        Origin { version: version.parse().ok(), accepted: true, ..Origin::new(digest, None, None) }
    }

    fn newest(record: &Record) -> Option<String> {
        record.newest(|_| true).map(ToString::to_string)
    }

    fn crash() -> Sign {
        Sign::Crashed("unreachable".into())
    }

    /// A record in which `old` has worked, and `new` was accepted.
    fn record() -> Record {
        let mut record = Record::default();
        record.note(&origin("old", "1"), "h", &Sign::Ended, Some(3));
        record.accept(&origin("new", "2"));
        record
    }

    #[test]
    fn crashes_in_a_row_are_the_end_of_a_new_digest() {
        let mut record = record();
        for crashes in 1..=3 {
            assert_eq!(record.given_up("new"), None, "after {crashes}");
            record.note(&origin("new", "2"), "h", &crash(), Some(3));
        }
        assert_eq!(record.given_up("new"), Some("3 attempts of handler \"h\" in a row crashed; the last: unreachable"));
        assert_eq!(record.good().map(|told| told.origin.digest.as_str()).collect::<Vec<_>>(), ["old"]);
        assert_eq!(newest(&record).as_deref(), Some("1"), "else the one before would be too old to be run");
    }

    #[test]
    fn what_was_accepted_counts_though_it_has_ended_nothing_and_what_a_handler_is_pinned_to_does_not() {
        let mut record = record();
        record.note(&Origin { accepted: false, ..origin("pinned", "9") }, "h", &Sign::Ended, Some(3));
        assert_eq!(newest(&record).as_deref(), Some("2"));
        for _ in 0..3 {
            record.note(&origin("newer", "3"), "h", &crash(), Some(3));
        }
        assert!(record.given_up("newer").is_some());
        assert_eq!(newest(&record).as_deref(), Some("2"), "a version that was a mend is not undone");
        // However many follow.
        for number in 0..DIGESTS * 2 {
            record.note(&Origin { accepted: false, ..origin(&format!("old {number}"), "1") }, "h", &crash(), Some(3));
        }
        assert_eq!(newest(&record).as_deref(), Some("2"));
    }

    #[test]
    fn a_version_counts_only_while_its_key_is_trusted() {
        let mut record = record();
        record.accept(&Origin { by: Some("leaked".into()), ..origin("bad", "18446744073709551615") });
        for number in 0..DIGESTS * 2 {
            record.note(&Origin { accepted: false, ..origin(&format!("old {number}"), "1") }, "h", &crash(), Some(3));
        }
        assert_eq!(record.newest(|by| by != "leaked"), "2".parse().ok().as_ref());
        assert_eq!(newest(&record).as_deref(), Some("18446744073709551615"));
    }

    #[test]
    fn what_is_learned_of_a_digest_later_is_noted() {
        let mut record = Record::default();
        let unnamed = Origin { accepted: false, ..origin("a", "1") };
        assert!(record.note(&unnamed, "h", &Sign::Ended, None));
        assert!(!record.note(&unnamed, "h", &Sign::Ended, None));
        assert!(record.note(&Origin { version_id: Some("v1".into()), ..unnamed.clone() }, "h", &Sign::Ended, None));
        assert!(record.accept(&origin("a", "1")) && !record.accept(&origin("a", "1")));
        assert_eq!(record.of("a").and_then(|told| told.origin.version_id.as_deref()), Some("v1"));
        // The same module, signed again.
        assert!(record.accept(&origin("a", "3")) && !record.accept(&origin("a", "2")));
        assert_eq!(newest(&record).as_deref(), Some("3"));
    }

    #[test]
    fn what_works_between_begins_the_row_anew_and_an_end_ends_the_trial() {
        let mut record = record();
        for sign in [crash(), crash(), Sign::Worked, crash(), crash(), Sign::Ended, crash(), crash(), crash(), crash()]
        {
            record.note(&origin("new", "2"), "h", &sign, Some(3));
        }
        assert_eq!(record.given_up("new"), None);
        for _ in 0..3 {
            record.note(&origin("new", "2"), "another", &crash(), Some(3));
        }
        assert!(record.given_up("new").is_some(), "for another handler it is still on trial");
    }

    #[test]
    fn with_nothing_to_go_back_to_it_stays_and_so_it_never_flaps() {
        let mut record = Record::default();
        for digest in ["first", "first", "first", "first"] {
            record.note(&origin(digest, "1"), "h", &crash(), Some(3));
        }
        assert_eq!(record.given_up("first"), None);
        let mut record = self::record();
        for _ in 0..10 {
            record.note(&origin("new", "2"), "h", &crash(), Some(3));
            record.note(&origin("old", "1"), "other", &crash(), Some(3));
        }
        assert!(record.given_up("new").is_some() && record.given_up("old").is_none());
    }

    #[test]
    fn the_one_to_go_back_to_is_never_forgotten() {
        let mut record = record();
        for number in 0..DIGESTS * 2 {
            record.note(&origin(&format!("new {number}"), "2"), "h", &crash(), Some(3));
        }
        assert_eq!(
            (record.digests.len(), record.good().next().map(|good| good.origin.digest.as_str())),
            (DIGESTS, Some("old"))
        );
    }

    #[test]
    fn what_is_known_already_need_not_be_written_again() {
        let mut record = Record::default();
        let mut new = |sign: &Sign| record.note(&origin("first", "1"), "h", sign, Some(2));
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
            record.note(&origin("new", "2"), "h", &crash(), None);
        }
        assert_eq!(record.given_up("new"), None);
    }

    #[test]
    fn what_other_hosts_have_written_can_be_read_whichever_their_version() {
        let mut record = Record::default();
        let signed = Origin { by: Some("key".into()), version_id: Some("id".into()), ..origin("ab12", "1.4") };
        record.accept(&signed);
        record.note(&signed, "drain", &Sign::Ended, Some(3));
        record.note(&signed, "stop", &crash(), Some(3));
        let written = serde_json::to_string(&record).unwrap();
        insta::assert_snapshot!(written, @r#"{"digests":[{"digest":"ab12","version":"1.4","by":"key","accepted":true,"version-id":"id","worked":["drain"],"crashes":{"stop":1},"given-up":null}]}"#);
        assert_eq!(serde_json::from_str::<Record>(&written).unwrap(), record);
        let other = r#"{"digests": [{"digest": "ab12", "more": 1}], "more": 2}"#;
        assert_eq!(serde_json::from_str::<Record>(other).unwrap().digests[0].origin, Origin::new("ab12", None, None));
    }
}
