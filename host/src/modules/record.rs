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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Told {
    /// SHA-256, in hexadecimal.
    pub digest: String,
    /// What its source calls it.
    #[serde(default)]
    pub version_id: Option<String>,
    /// What hosts have accepted it as, and by which keys: of each the newest. What a handler is pinned to need not be accepted.
    #[serde(default)]
    pub accepted: BTreeMap<String, Accepted>,
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

/// What a digest was accepted as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Accepted {
    /// What it was signed as.
    pub version: Version,
    /// What its source calls the upload with that signature.
    #[serde(default)]
    pub version_id: Option<String>,
}

/// Where a module comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// SHA-256, in hexadecimal.
    pub digest: String,
    /// What its signature says, if it has one.
    pub signed: Option<Signed>,
    /// Whether it is what uploaders want to be run, and not what a handler is pinned to.
    pub accepted: bool,
    /// What its source calls it.
    pub version_id: Option<String>,
}

impl Origin {
    /// That of a module which nobody has uploaded.
    pub fn built_here(digest: &str) -> Self {
        Self { digest: digest.to_owned(), signed: None, accepted: false, version_id: None }
    }

    /// What it was signed as.
    pub fn version(&self) -> Option<&Version> {
        self.signed.as_ref().map(|signed| &signed.version)
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

    /// The newest version that was accepted, and was not given up, of those that are signed by a key that `is_trusted`, and whose it is:
    /// the first digest that was told of. An older version is refused, and another digest of the same.
    pub fn newest(&self, is_trusted: impl Fn(&str) -> bool) -> Option<(&Version, &str)> {
        let accepted = self.accepted().filter(|(_, by, _)| is_trusted(by));
        let versions = accepted.map(|(told, _, accepted)| (&accepted.version, told.digest.as_str()));
        versions.reduce(|newest, next| if next.0 > newest.0 { next } else { newest })
    }

    /// What a process may begin with, as its source calls it, the newest first.
    pub fn usable(&self, is_trusted: impl Fn(&str) -> bool) -> Vec<&str> {
        let newest = self.newest(&is_trusted);
        let is_newest = |told: &Told, accepted: &Accepted| newest == Some((&accepted.version, told.digest.as_str()));
        let signed = self.accepted().filter(|(told, by, accepted)| is_trusted(by) && is_newest(told, accepted));
        let signed = signed.filter_map(|(_, _, accepted)| accepted.version_id.as_deref());
        let unsigned = self.good().filter(|told| told.accepted.is_empty());
        signed.chain(unsigned.filter_map(|told| told.version_id.as_deref())).collect()
    }

    /// The digests to go back to, the newest first.
    fn good(&self) -> impl Iterator<Item = &Told> {
        self.in_force().rev().filter(|told| !told.worked.is_empty())
    }

    /// What the digests were accepted as, and by which keys.
    fn accepted(&self) -> impl Iterator<Item = (&Told, &str, &Accepted)> {
        self.in_force().flat_map(|told| told.accepted.iter().map(move |(by, accepted)| (told, by.as_str(), accepted)))
    }

    fn in_force(&self) -> impl DoubleEndedIterator<Item = &Told> {
        self.digests.iter().filter(|told| told.given_up.is_none())
    }

    /// Notes what an attempt of `handler` says of a digest; `after` is how many crashes in a row are too many. Says whether there is
    /// something new in it.
    pub fn note(&mut self, origin: &Origin, handler: &str, sign: &Sign, after: Option<u32>) -> bool {
        let others = self.good().any(|good| good.digest != origin.digest);
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

    /// Notes where a module comes from, and that it was accepted, if so. Says whether there is something new in it.
    pub fn accept(&mut self, origin: &Origin) -> bool {
        let (told, more) = self.known(origin);
        // What a handler is pinned to may be uploaded again, after it was deleted.
        let moved = !origin.accepted && origin.version_id.is_some() && told.version_id != origin.version_id;
        if moved {
            told.version_id.clone_from(&origin.version_id);
        }
        more || moved
    }

    /// The digests that are not forgotten: the one to go back to, and, of each key, the one that no other may be older than.
    fn kept(&self) -> BTreeSet<String> {
        let keys: BTreeSet<&str> = self.accepted().map(|(_, by, _)| by).collect();
        let newest = keys.into_iter().filter_map(|key| self.newest(|by| by == key)).map(|(_, digest)| digest);
        newest.chain(self.good().next().map(|told| told.digest.as_str())).map(str::to_owned).collect()
    }

    /// What is known of a digest, and whether more than before.
    fn known(&mut self, origin: &Origin) -> (&mut Told, bool) {
        let place = self.digests.iter().position(|known| known.digest == origin.digest);
        let place = place.unwrap_or_else(|| {
            if self.digests.len() >= DIGESTS {
                let kept = self.kept();
                let oldest = self.digests.iter().position(|told| !kept.contains(&told.digest));
                self.digests.remove(oldest.unwrap_or_default());
            }
            // Without what is to be told of it: that it is known at all is nothing new.
            self.digests.push(Told { digest: origin.digest.clone(), ..Told::default() });
            self.digests.len() - 1
        });
        let told = &mut self.digests[place];
        // A bucket may keep versions only since then.
        let named = told.version_id.is_none() && origin.version_id.is_some();
        if named {
            told.version_id.clone_from(&origin.version_id);
        }
        let accepted = origin.signed.as_ref().filter(|_| origin.accepted).is_some_and(|signed| {
            let now = Accepted { version: signed.version.clone(), version_id: origin.version_id.clone() };
            told.accept(signed.by.to_string(), now)
        });
        (told, named || accepted)
    }
}

impl Told {
    /// What its source calls it, each time that it was uploaded.
    pub fn version_ids(&self) -> Vec<String> {
        let accepted = self.accepted.values().filter_map(|accepted| accepted.version_id.as_ref());
        self.version_id.iter().chain(accepted).cloned().collect()
    }

    /// Notes what it was accepted as, unless it was as something newer. Says whether that is new.
    fn accept(&mut self, by: String, now: Accepted) -> bool {
        let before = self.accepted.get(&by);
        let newer = before.is_none_or(|before| before.version < now.version);
        // The same may be uploaded again, after it was deleted.
        let elsewhere =
            before.is_some_and(|before| before.version == now.version && before.version_id != now.version_id);
        let new = newer || (elsewhere && now.version_id.is_some());
        if new {
            self.accepted.insert(by, now);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::signature::KeyId;

    const KEY: KeyId = KeyId::numbered(1);
    const OTHER: KeyId = KeyId::numbered(2);

    /// A module that `KEY` has signed.
    fn origin(digest: &str, version: &str) -> Origin {
        signed(digest, KEY, version)
    }

    fn signed(digest: &str, by: KeyId, version: &str) -> Origin {
        let signed = Some(Signed { by, version: version.parse().unwrap() });
        Origin { signed, accepted: true, ..Origin::built_here(digest) }
    }

    fn newest(record: &Record) -> Option<String> {
        record.newest(|_| true).map(|(version, _)| version.to_string())
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
        assert_eq!(record.good().map(|told| told.digest.as_str()).collect::<Vec<_>>(), ["old"]);
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
        record.accept(&signed("bad", OTHER, "18446744073709551615"));
        record.accept(&signed("new", OTHER, "18446744073709551614"));
        for number in 0..DIGESTS * 2 {
            record.note(&Origin { accepted: false, ..origin(&format!("old {number}"), "1") }, "h", &crash(), Some(3));
        }
        assert_eq!(record.newest(|by| by != OTHER.to_string()), Some((&"2".parse().unwrap(), "new")));
        assert_eq!(newest(&record).as_deref(), Some("18446744073709551615"));
    }

    #[test]
    fn a_version_is_that_of_the_digest_which_had_it_first() {
        let mut record = record();
        // Two hosts accept them at the same time.
        let other = Origin { version_id: Some("id".into()), ..origin("other", "2.0") };
        record.accept(&other);
        assert_eq!(record.newest(|_| true), Some((&"2".parse().unwrap(), "new")));
        assert!(record.usable(|_| true).is_empty(), "nobody begins with the other");
        let mut without = record.clone();
        for _ in 0..3 {
            without.note(&origin("new", "2"), "h", &crash(), Some(3));
        }
        assert_eq!(without.newest(|_| true).map(|(_, digest)| digest), Some("other"));
        for number in 0..DIGESTS * 2 {
            record.accept(&origin(&format!("old {number}"), "1"));
        }
        assert_eq!(record.newest(|_| true).map(|(_, digest)| digest), Some("new"), "it is not forgotten");
    }

    #[test]
    fn what_is_learned_of_a_digest_later_is_noted() {
        let mut record = Record::default();
        let unnamed = Origin { accepted: false, ..origin("a", "1") };
        assert!(record.note(&unnamed, "h", &Sign::Ended, None));
        assert!(!record.note(&unnamed, "h", &Sign::Ended, None));
        assert!(record.note(&Origin { version_id: Some("v1".into()), ..unnamed.clone() }, "h", &Sign::Ended, None));
        assert!(record.accept(&origin("a", "1")) && !record.accept(&origin("a", "1")));
        assert_eq!(record.of("a").and_then(|told| told.version_id.as_deref()), Some("v1"));
        // The same module, signed again; and the same signature, uploaded again.
        let uploaded = |id: &str, version| Origin { version_id: Some(id.into()), ..origin("a", version) };
        assert!(record.accept(&uploaded("v3", "3")) && !record.accept(&uploaded("v2", "2")));
        assert_eq!((newest(&record).as_deref(), record.usable(|_| true)), (Some("3"), vec!["v3"]));
        assert!(record.accept(&uploaded("v4", "3")) && !record.accept(&origin("a", "3")));
        assert_eq!(record.usable(|_| true), ["v4"]);
        assert!(record.usable(|_| false).is_empty());
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
            (record.digests.len(), record.good().next().map(|good| good.digest.as_str())),
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
        let signed = Origin { version_id: Some("id".into()), ..origin("ab12", "1.4") };
        record.accept(&signed);
        record.note(&signed, "drain", &Sign::Ended, Some(3));
        record.note(&signed, "stop", &crash(), Some(3));
        let written = serde_json::to_string(&record).unwrap();
        insta::assert_snapshot!(written, @r#"{"digests":[{"digest":"ab12","version-id":"id","accepted":{"0100000000000000":{"version":"1.4","version-id":"id"}},"worked":["drain"],"crashes":{"stop":1},"given-up":null}]}"#);
        assert_eq!(serde_json::from_str::<Record>(&written).unwrap(), record);
        let other = r#"{"digests": [{"digest": "ab12", "more": 1}], "more": 2}"#;
        assert_eq!(serde_json::from_str::<Record>(other).unwrap().digests[0].digest, "ab12");
    }
}
