//! What is outside of the hosts: the ledger's objects and Auto Scaling's actions, with a judge's eye on all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::actions::{Action, Actions, Ending};
use super::figures::Figures;
use super::host::{Power, holder};
use super::trouble::Trouble;
use crate::clock::Clock;
use crate::event::{Event, LifecycleAction};
use crate::ledger::{EndedItem, Lease, Listed, Page, Stored, Version, WriteError};
use crate::lifecycle::{Answer, LifecycleResult};
use crate::ports::InstanceId;
use crate::sweep::Waiting;
use crate::testing::VirtualClock;

/// How many objects come with one page of a list: few, so that there are several.
const PAGE: usize = 2;

pub(super) struct Cloud {
    /// The ledger's objects, each with the number of the write that made it: digests for versions would take most of a run.
    objects: Mutex<BTreeMap<String, (u64, Vec<u8>)>>,
    clock: VirtualClock,
    began: Instant,
    pub(super) troubles: BTreeMap<u32, Trouble>,
    seen: Mutex<Seen>,
    /// The queue that the sweep sends events to.
    pub(super) queue: mpsc::UnboundedSender<Event>,
    /// Whether the story is written down: that takes longer than the run.
    tells: bool,
}

/// What has been seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) figures: Figures,
    /// The troubles that have struck, and whether each struck a write.
    pub(super) struck: Vec<(Trouble, bool)>,
    writes: u64,
    story: Vec<String>,
    pub(super) breaches: Vec<String>,
    pub(super) actions: Actions,
    /// Who works on which instance: the number of the attempt, what runs its host, and how often that had been frozen by then.
    pub(super) at_work: BTreeMap<InstanceId, (u32, Arc<Power>, u32)>,
    /// Attempts whose host stood still while another took over: they must not go on.
    pub(super) overtaken: BTreeSet<u32>,
    /// The first decision that was written for each occurrence of an item, and what it lets Auto Scaling be told.
    decided: BTreeMap<String, (String, Option<String>)>,
    pub(super) ended: Vec<EndedItem>,
}

impl Cloud {
    pub(super) fn new(troubles: BTreeMap<u32, Trouble>, queue: mpsc::UnboundedSender<Event>, tells: bool) -> Self {
        let (clock, began) = (VirtualClock::new(), Instant::now());
        Self { objects: Mutex::default(), clock, began, troubles, seen: Mutex::default(), queue, tells }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            let line = format!("{:>9.3}  {}", self.began.elapsed().as_secs_f64(), what());
            self.seen().story.push(line);
        }
    }

    pub(super) fn tells(&self) -> bool {
        self.tells
    }

    pub(super) fn breach(&self, what: String) {
        self.tell(|| format!("BREACH: {what}"));
        self.seen().breaches.push(what);
    }

    pub(super) fn story(&self) -> String {
        self.seen().story.join("\n")
    }

    pub(super) fn figures(&self) -> Figures {
        let seen = self.seen();
        let count = |end: fn(&Ending) -> bool| {
            let ended = seen.actions.all().filter(|action| action.end.as_ref().is_some_and(end));
            u32::try_from(ended.count()).expect("a few")
        };
        Figures {
            runs: 1,
            longest_gap: seen.actions.all().map(|action| action.longest).max().unwrap_or_default(),
            completed: count(|end| matches!(end, Ending::Completed(_))),
            timed_out: count(|end| *end == Ending::TimedOut),
            ..seen.figures
        }
    }

    /// Auto Scaling begins the event's lifecycle action, if it tells of one. `has_message` says whether a message stays that says so.
    pub(super) fn happens(&self, event: &Event, has_message: bool) {
        if event.lifecycle_action.as_ref().is_some_and(|action| action.token.is_some()) {
            self.seen().actions.begin(event, has_message);
        }
    }

    /// Whether the hook holds the instance already: Auto Scaling begins no other action of it meanwhile.
    pub(super) fn holds(&self, event: &Event) -> bool {
        let Some(action) = &event.lifecycle_action else { return false };
        self.seen().actions.meant(&LifecycleAction { token: None, ..action.clone() }).is_some()
    }

    /// Whether nothing is open, and no action waits.
    pub(super) fn is_at_rest(&self) -> bool {
        let ended = self.objects.lock().unwrap().keys().all(|key| key.starts_with("ended/"));
        ended && self.seen().actions.waiting().next().is_none()
    }

    /// What the ledger holds in the end.
    pub(super) fn objects(&self) -> Vec<(String, Vec<u8>)> {
        let objects = self.objects.lock().unwrap();
        objects.iter().map(|(key, (_, bytes))| (key.clone(), bytes.clone())).collect()
    }
}

/// The ledger's store.
impl Cloud {
    pub(super) fn read(&self, key: &str) -> Option<Stored> {
        let objects = self.objects.lock().unwrap();
        objects.get(key).map(|(write, bytes)| Stored { bytes: bytes.clone(), version: Version(write.to_string()) })
    }

    pub(super) fn list(&self, prefix: &str, after: Option<&str>) -> Page {
        let objects = self.objects.lock().unwrap();
        let after = after.unwrap_or_default();
        let keys = objects.keys().filter(|key| key.starts_with(prefix) && key.as_str() > after);
        let mut listed: Vec<_> = keys.map(|key| Listed { key: key.clone(), modified: self.now() }).collect();
        let more = listed.len() > PAGE;
        listed.truncate(PAGE);
        Page { objects: listed, more }
    }

    /// Compare-and-swap, by that host; without bytes the object goes.
    pub(super) fn replace(
        &self,
        key: &str,
        over: Option<&Version>,
        bytes: Option<Vec<u8>>,
        host: usize,
    ) -> Result<Version, WriteError> {
        let mut objects = self.objects.lock().unwrap();
        if objects.get(key).map(|(write, _)| Version(write.to_string())).as_ref() != over {
            return Err(WriteError::Changed);
        }
        let write = {
            let mut seen = self.seen();
            seen.writes += 1;
            seen.writes
        };
        match bytes {
            Some(bytes) => {
                self.look_at(key, &bytes);
                if let Some((_, before)) = objects.get(key) {
                    self.look_at_lease(before, &bytes, host);
                }
                objects.insert(key.to_owned(), (write, bytes));
            }
            None => drop(objects.remove(key)),
        }
        Ok(Version(write.to_string()))
    }

    /// A written object: a decision that is in it must be the first that was written of its item.
    fn look_at(&self, key: &str, bytes: &[u8]) {
        const DECIDED: &[u8] = b"\"finishing\":{";
        let ended = key.starts_with("ended/");
        if !ended && !bytes.windows(DECIDED.len()).any(|window| window == DECIDED) {
            return;
        }
        let page: Value = serde_json::from_slice(bytes).expect("the ledger writes JSON");
        for item in page["items"].as_array().expect("items") {
            let (token, time) = match ended {
                true => (&item["token"], &item["time"]),
                false => (&item["event"]["lifecycle_action"]["token"], &item["event"]["time"]),
            };
            let occurrence = || self.occurrence(&text(&item["id"]), token.as_str(), &text(time));
            let finishing = &item["finishing"];
            if ended {
                self.is_the_first(&occurrence(), &text(&item["decision"]), None);
            } else if finishing.is_object() {
                let tell = finishing["tell"].as_str().map(str::to_owned);
                self.is_the_first(&occurrence(), &text(&finishing["decision"]), Some(tell));
            }
        }
    }

    /// A lease that has not ended is nobody's but its holder's: by no clock that a host may have can it be taken over yet.
    fn look_at_lease(&self, before: &[u8], after: &[u8], host: usize) {
        let Some(held) = lease(before).filter(|held| held.until > self.now()) else { return };
        if held.holder != holder(host) && lease(after).is_none_or(|lease| lease.id != held.id) {
            self.breach(format!("host {host} took the lease of {} on {} away", held.holder, held.item));
        }
    }

    /// What an item is about: the token of its lifecycle action, else the item itself.
    fn occurrence(&self, item: &str, token: Option<&str>, time: &str) -> String {
        let time = time.parse().expect("the ledger writes timestamps");
        self.seen().actions.occurrence(item, token, time).unwrap_or_else(|| item.to_owned())
    }

    /// Checks a decision, and what it lets Auto Scaling be told if that is written with it.
    fn is_the_first(&self, occurrence: &str, decision: &str, tell: Option<Option<String>>) {
        let first = self.seen().decided.get(occurrence).cloned();
        match (first, tell) {
            (None, Some(tell)) => {
                self.seen().decided.insert(occurrence.to_owned(), (decision.to_owned(), tell));
            }
            (None, None) => self.breach(format!("{occurrence} has ended as {decision}, and nothing had been decided")),
            (Some((first, told)), tell) => {
                if first != decision || tell.as_ref().is_some_and(|tell| *tell != told) {
                    self.breach(format!(
                        "{occurrence} was decided to be {first}, {told:?}, and then {decision}, {tell:?}"
                    ));
                }
            }
        }
    }
}

/// The lease in a written object, in which nothing is nested; to read the rest too would take most of a run.
fn lease(object: &[u8]) -> Option<Lease> {
    const LEASE: &[u8] = b"\"lease\":{";
    let start = object.windows(LEASE.len()).position(|window| window == LEASE)? + LEASE.len() - 1;
    let length = object[start..].iter().position(|byte| *byte == b'}')? + 1;
    serde_json::from_slice(&object[start..start + length]).ok()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Auto Scaling.
impl Cloud {
    pub(super) fn heartbeat(&self, action: &LifecycleAction) -> Answer {
        self.seen().actions.meant(action).map(Action::sign_of_life).map_or(Answer::Over, |()| Answer::Accepted)
    }

    pub(super) fn complete(&self, action: &LifecycleAction, result: LifecycleResult) -> Answer {
        let mut seen = self.seen();
        let meant = seen.actions.meant(action).map(|meant| meant.token().to_owned());
        let written = meant.or_else(|| action.token.clone()).and_then(|token| seen.decided.get(&token).cloned());
        let is_written = written.as_ref().is_some_and(|(_, tell)| tell.as_deref() == Some(result.as_str()));
        let answer = seen.actions.meant(action).map_or(Answer::Over, |meant| {
            meant.sign_of_life();
            meant.end = Some(Ending::Completed(result));
            Answer::Accepted
        });
        drop(seen);
        // Who names no token, and finds nothing that waits, tells it to nobody.
        if !is_written && (answer == Answer::Accepted || action.token.is_some()) {
            self.breach(format!("{action:?} is completed with {}, and written is {written:?}", result.as_str()));
        }
        self.tell(|| format!("{:?} is completed with {}: {answer:?}", action.token, result.as_str()));
        answer
    }

    /// The instances that wait, each once.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        let mut seen = self.seen();
        let mut waiting: Vec<_> = seen.actions.waiting().map(|action| action.instance()).collect();
        waiting.sort_by(|one, other| one.instance.cmp(&other.instance));
        waiting.dedup();
        waiting
    }
}
