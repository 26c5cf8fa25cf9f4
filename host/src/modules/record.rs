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
use crate::sandbox::WASI;

/// The host call that waits for nothing but time. What there is of WASI waits for nothing else either: it has no sockets.
const SLEEP: &str = "clock.sleep";

/// How many digests are remembered.
const DIGESTS: usize = 20;

/// How many of them are kept for being what handlers are pinned to.
const PINNED: usize = 5;

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
    /// Whether a handler was pinned to it.
    #[serde(default)]
    pub pinned: bool,
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
    /// What an outcome says of the module; none if it says more of the world. `hurried` is whether there was less time for it than the
    /// handler may take.
    pub fn of(outcome: &Outcome, hurried: bool) -> Option<Self> {
        match outcome {
            Outcome::Done | Outcome::Abandon { .. } => Some(Self::Ended),
            Outcome::Again(_) => Some(Self::Worked),
            // AWS, or the node, was waited for, or there was no more time: any other module would have waited too.
            Outcome::Failed(Failure::Budget(BudgetSpent { budget: "wall", during, .. }))
                if hurried || during.is_some_and(|call| ![SLEEP, WASI].contains(&call)) =>
            {
                None
            }
            Outcome::Failed(failure @ (Failure::Trap(_) | Failure::Contract(_) | Failure::Budget(_))) => {
                Some(Self::Crashed(failure.to_string()))
            }
            Outcome::Failed(
                Failure::NoModule(_)
                | Failure::NoSource(_)
                | Failure::Handler(_)
                | Failure::LeaseEnded
                | Failure::HostEnds
                | Failure::NoRoom,
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

    /// Whether there is a digest to go back to from this one, of those that `may` be run.
    pub fn goes_back(&self, digest: &str, may: impl Fn(&Told) -> bool) -> bool {
        self.good().any(|good| good.digest != digest && may(good))
    }

    /// Whether a digest has still to bring an event of `handler` to its end.
    pub fn is_on_trial(&self, digest: &str, handler: &str) -> bool {
        self.of(digest).is_none_or(|told| told.given_up.is_none() && !told.worked.contains(handler))
    }

    /// Notes what an attempt of `handler` says of a digest; `after` is how many crashes in a row are too many, if any are: with nothing to
    /// go back to, it is all there is. Says whether there is something new in it.
    pub fn note(&mut self, origin: &Origin, handler: &str, sign: &Sign, after: Option<u32>) -> bool {
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
                let too_many = *crashes >= after;
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
        // The same may be uploaded again, after it was deleted.
        let moved = match told.place_of(origin) {
            Some(place) if origin.version_id.is_some() && *place != origin.version_id => {
                place.clone_from(&origin.version_id);
                true
            }
            _ => false,
        };
        let pinned = !origin.accepted && !told.pinned;
        told.pinned |= pinned;
        more || moved || pinned
    }

    /// Adds what another has told of a digest. Says whether there is something new in it.
    pub fn learn(&mut self, other: &Told) -> bool {
        // A version belongs to the digest that was accepted as it first.
        let accepted =
            other.accepted.iter().filter(|(_, accepted)| !self.has_another_as(&accepted.version, &other.digest));
        let accepted = accepted.map(|(by, accepted)| (by.clone(), accepted.clone())).collect::<Vec<_>>();
        let new = || Told { digest: other.digest.clone(), ..Told::default() };
        let before = self.of(&other.digest).cloned().unwrap_or_else(new);
        let mut told = before.clone();
        told.version_id = told.version_id.take().or_else(|| other.version_id.clone());
        for (by, accepted) in accepted {
            told.accept(by, accepted);
        }
        told.pinned |= other.pinned;
        told.worked.extend(other.worked.iter().cloned());
        for (handler, crashes) in &other.crashes {
            let known = told.crashes.entry(handler.clone()).or_default();
            *known = (*known).max(*crashes);
        }
        told.crashes.retain(|handler, _| !told.worked.contains(handler));
        told.given_up = told.given_up.take().or_else(|| other.given_up.clone());
        let learned = told != before;
        if learned {
            *self.told(&other.digest) = told;
        }
        learned
    }

    /// Whether something is gone that was here `before`. Only a record that is full forgets.
    pub fn has_lost(&self, before: &Self) -> bool {
        self.digests.len() < DIGESTS && before.digests.iter().any(|told| self.of(&told.digest).is_none())
    }

    fn has_another_as(&self, version: &Version, digest: &str) -> bool {
        self.accepted().any(|(told, _, accepted)| told.digest != digest && accepted.version == *version)
    }

    /// The digests that are not forgotten: the one to go back to, of each key the one that no other may be older than, and what handlers
    /// are pinned to.
    fn kept(&self) -> BTreeSet<String> {
        let keys: BTreeSet<&str> = self.accepted().map(|(_, by, _)| by).collect();
        let newest = keys.into_iter().filter_map(|key| self.newest(|by| by == key)).map(|(_, digest)| digest);
        let pinned = self.digests.iter().rev().filter(|told| told.pinned).take(PINNED);
        let kept = newest.chain(self.good().next().into_iter().chain(pinned).map(|told| told.digest.as_str()));
        kept.map(str::to_owned).collect()
    }

    /// What is told of a digest, with where it comes from, and whether that is more than before.
    fn known(&mut self, origin: &Origin) -> (&mut Told, bool) {
        let told = self.told(&origin.digest);
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

    /// What is told of a digest: nothing yet, if it is new.
    fn told(&mut self, digest: &str) -> &mut Told {
        let place = self.digests.iter().position(|known| known.digest == digest);
        let place = place.unwrap_or_else(|| {
            if self.digests.len() >= DIGESTS {
                self.digests.remove(self.least());
            }
            self.digests.push(Told { digest: digest.to_owned(), ..Told::default() });
            self.digests.len() - 1
        });
        &mut self.digests[place]
    }

    /// Where that is which is forgotten first: what was given up is not to be run again, however much is uploaded after it.
    fn least(&self) -> usize {
        let kept = self.kept();
        let may_go = self.digests.iter().enumerate().filter(|(_, told)| !kept.contains(&told.digest));
        may_go.min_by_key(|(_, told)| told.given_up.is_some()).map_or(0, |(place, _)| place)
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
        let newer = self.accepted.get(&by).is_none_or(|before| before.version < now.version);
        if newer {
            self.accepted.insert(by, now);
        }
        newer
    }

    /// Where it is noted what the source calls this upload of it; none if another one counts.
    fn place_of(&mut self, origin: &Origin) -> Option<&mut Option<String>> {
        if !origin.accepted {
            return Some(&mut self.version_id);
        }
        let signed = origin.signed.as_ref()?;
        let accepted = self.accepted.get_mut(&signed.by.to_string())?;
        (accepted.version == signed.version).then_some(&mut accepted.version_id)
    }
}

#[cfg(test)]
mod tests;
