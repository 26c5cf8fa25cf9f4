//! What the ledger holds: for each instance its open work items with the lease on it, and those that have ended.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::claim::{CLOCK_SKEW, LEASE, MOST_WRONG};
use super::subject;
use crate::clock::doubling;
use crate::event::Event;
use crate::lifecycle::{Completion, HookTimes, LifecycleResult};
use crate::outcome::Decision;
use crate::ports::InstanceId;

/// The format of what is written. A reader refuses a later one, and does not take it for damage.
pub const FORMAT: u32 = 1;

/// How many writers' marks an object remembers: a writer whose answer was lost finds its own among them, unless so many others
/// have written since.
const WRITES_REMEMBERED: usize = 8;

/// How many attempts of an item are told; the first is always among them, the oldest after it go.
pub const ATTEMPTS_TOLD: usize = 40;

/// How many attempts in a row may end with their host before it is taken for more than chance, and the wait after each further one:
/// it doubles, up to the longest.
const BY_CHANCE: u32 = 3;
const AFTER_INTERRUPTIONS: Duration = Duration::from_secs(1);
const LONGEST_AFTER_INTERRUPTIONS: Duration = Duration::from_secs(60);

/// How many ended items are kept of an instance, whatever their age.
const ENDED_KEPT: usize = 24;

/// The open work items of one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Open {
    /// Counts the writes, so that no two states of an object are alike: S3 names a version by its content.
    pub generation: u64,
    /// The marks of the last writers, the newest last.
    pub writes: Vec<String>,
    /// Who works on the instance now.
    pub lease: Option<Lease>,
    /// The items, in the order they came.
    pub items: Vec<Item>,
}

/// The right to work on an instance, for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Names this one holding of it.
    pub id: String,
    /// The process that holds it, for people.
    pub holder: String,
    /// The item that is worked on.
    pub item: String,
    /// When it was taken.
    pub since: Timestamp,
    /// When it ends unless it is renewed, by its holder's clock.
    pub until: Timestamp,
}

/// One thing to be done for an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// [`Event::work_item`].
    pub id: String,
    /// What happened.
    pub event: Event,
    /// The handler that takes it.
    pub handler: String,
    /// When it was first written down.
    pub taken: Timestamp,
    /// When AWS or the policy goes on, whichever is first.
    pub deadline: Timestamp,
    /// The hook's times, as far as they are known.
    pub hook: Option<HookTimes>,
    /// When its lifecycle action was last kept alive by us.
    pub heartbeat: Option<Timestamp>,
    /// Whether Auto Scaling has said that the lifecycle action is over: then there is nothing to keep alive.
    pub over: bool,
    /// How many attempts were begun.
    pub attempts: u32,
    /// How many of the last ones failed, in a row.
    pub failures: u32,
    /// How many of the last ones ended with their host, or with their door's time, in a row.
    pub interrupted: u32,
    /// What the last attempt left for the next.
    pub state: Option<String>,
    /// When the next attempt is due.
    pub due: Timestamp,
    /// When its door brings it again, at the latest. Long past means that nobody will: its hosts are down, or its message is lost.
    pub wake: Timestamp,
    /// What a person has ordered, and is still to be done.
    pub order: Option<Order>,
    /// That a person has asked for another attempt, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<Retried>,
    /// How it ends: decided, written down, and from then on repeated by whoever comes, never decided again.
    pub finishing: Option<Finishing>,
    /// The attempts.
    pub told: Vec<Told>,
}

/// One attempt, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// 1 on the first.
    pub attempt: u32,
    /// When it began.
    pub began: Timestamp,
    /// When it ended; none while it runs, or if its host ended first.
    pub ended: Option<Timestamp>,
    /// `done`, `abandon`, `again` or `failed`; `interrupted` if its host ended first.
    pub outcome: Option<String>,
    /// What the handler said, or why it failed.
    pub note: String,
    /// SHA-256 of the module that ran; empty if none did.
    pub module: String,
}

/// What a person wants done with an item, whatever its handler says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What.
    pub result: LifecycleResult,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// That a person has asked for another attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// How many failures in a row were forgiven.
    pub failures: u32,
}

/// How an item ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finishing {
    /// What was decided.
    #[serde(flatten)]
    pub decision: Decision,
    /// What Auto Scaling is to be told; none if nothing.
    #[serde(rename = "tell")] // An order has a `result` of its own, beside this.
    pub result: Option<LifecycleResult>,
    /// Whether a call with it may have taken effect: written before each call, and taken back only when the call is known to have
    /// done nothing.
    pub sent: bool,
    /// When that was decided.
    pub at: Timestamp,
}

/// What tells one occurrence of a work item from another: its id comes again when an instance leaves its group more than once.
pub trait Occurs {
    /// Its id, and when it was first written down.
    fn occurrence(&self) -> (&str, Timestamp);

    /// Whether both are of one occurrence, open or ended.
    fn is_same_as(&self, other: &impl Occurs) -> bool {
        self.occurrence() == other.occurrence()
    }
}

impl Occurs for Item {
    fn occurrence(&self) -> (&str, Timestamp) {
        (&self.id, self.taken)
    }
}

impl Occurs for EndedItem {
    fn occurrence(&self) -> (&str, Timestamp) {
        (&self.id, self.taken)
    }
}

/// The work items of one instance that have ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Ended {
    /// As in [`Open`].
    pub generation: u64,
    /// As in [`Open`].
    pub writes: Vec<String>,
    /// The items, in the order they ended.
    pub items: Vec<EndedItem>,
}

/// An item that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedItem {
    /// [`Event::work_item`].
    pub id: String,
    /// The event's id.
    pub event: String,
    /// The token of the lifecycle action.
    pub token: Option<String>,
    /// The event's kind, as the contract has it.
    pub kind: String,
    /// When it happened.
    pub time: Timestamp,
    /// The handler.
    pub handler: String,
    /// When it was first written down.
    pub taken: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// What was decided.
    #[serde(flatten)]
    pub decision: Decision,
    /// What became of the lifecycle action; none if the event has none.
    pub lifecycle: Option<Completion>,
    /// That a person has asked for another attempt, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<Retried>,
    /// How many attempts were begun.
    pub attempts: u32,
    /// The attempts.
    pub told: Vec<Told>,
}

/// What both kinds of object have in common.
pub(super) trait Object: Serialize + DeserializeOwned + Default + Clone + Send {
    /// The folder of its keys.
    const FOLDER: &'static str;

    /// What that comes to, for people, that one of them is damaged.
    const LOST: &'static str = "its work items begin anew when their events come again";

    fn writes(&self) -> &[String];

    /// Marks the next write.
    fn mark(&mut self, nonce: &str);

    /// Whether nothing would be lost with it.
    fn is_empty(&self) -> bool;

    /// Whether what it tells is of what its key names: somebody may have copied it by hand.
    fn belongs_to(&self, key: &str) -> bool;
}

pub(super) fn mark(generation: &mut u64, writes: &mut Vec<String>, nonce: &str) {
    *generation = generation.wrapping_add(1);
    if writes.len() >= WRITES_REMEMBERED {
        writes.remove(0);
    }
    writes.push(nonce.to_owned());
}

impl Object for Open {
    const FOLDER: &'static str = "open";

    fn writes(&self) -> &[String] {
        &self.writes
    }

    fn mark(&mut self, nonce: &str) {
        mark(&mut self.generation, &mut self.writes, nonce);
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn belongs_to(&self, key: &str) -> bool {
        self.items.iter().all(|Item { event, .. }| {
            key == format!("{}/{}/{}/{}.json", Self::FOLDER, event.account, event.region, subject(event))
        })
    }
}

impl Object for Ended {
    const FOLDER: &'static str = "ended";

    fn writes(&self) -> &[String] {
        &self.writes
    }

    fn mark(&mut self, nonce: &str) {
        mark(&mut self.generation, &mut self.writes, nonce);
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Ends tell of no instance but in the ids of lifecycle actions, and nothing is done by them.
    fn belongs_to(&self, _: &str) -> bool {
        true
    }
}

impl Open {
    /// The item of that id.
    pub fn item(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    /// This very item, if it is still open.
    pub fn still(&self, item: &impl Occurs) -> Option<&Item> {
        self.items.iter().find(|open| open.is_same_as(item))
    }

    /// The item of that id, to be changed.
    pub(super) fn item_mut(&mut self, id: &str) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.id == id)
    }
}

impl Ended {
    /// The end of this very item.
    pub fn end_of(&self, item: &impl Occurs) -> Option<&EndedItem> {
        self.items.iter().rfind(|ended| ended.is_same_as(item))
    }

    /// The last end of a work item.
    pub fn last(&self, id: &str) -> Option<&EndedItem> {
        self.items.iter().rev().find(|item| item.id == id)
    }

    /// The end that covers `event`: the same work item, and the same occurrence of it.
    ///
    /// An instance can leave a group more than once (by way of a warm pool), so a second lifecycle action of the same hook is told
    /// from the first by its token; where one of them has none, by its time. An action before one that has ended is over: Auto
    /// Scaling holds an instance by one action of a hook at a time. What is no lifecycle action has an id of its own each time.
    pub fn covering(&self, id: &str, event: &Event) -> Option<&EndedItem> {
        self.items.iter().rev().filter(|item| item.id == id).find(|item| match (&item.token, token(event)) {
            _ if event.lifecycle_action.is_none() => true,
            (Some(then), Some(now)) => then == now || event.time < item.time,
            _ => event.time <= item.ended,
        })
    }

    /// Adds an end, unless this occurrence has one: a host that was frozen may come with another, long after the work was taken over.
    pub(super) fn add(&mut self, ended: EndedItem) {
        if self.end_of(&ended).is_some() {
            return;
        }
        if self.items.len() >= ENDED_KEPT {
            // The ends of lifecycle actions keep an action from being worked on twice: they go last.
            let of_no_action = self.items.iter().position(|item| item.lifecycle.is_none());
            self.items.remove(of_no_action.unwrap_or(0));
        }
        self.items.push(ended);
    }
}

impl EndedItem {
    /// Whether its lifecycle action was left to the hook's own timeout, as the policy wanted, and that has not run out yet: nobody has
    /// sent a heartbeat since.
    pub fn is_left_to_its_hook(&self, heartbeat_timeout: Duration, now: Timestamp) -> bool {
        let timeout = SignedDuration::try_from(heartbeat_timeout).unwrap_or(SignedDuration::MAX);
        self.lifecycle == Some(Completion::Left) && now < self.ended.saturating_add(timeout).unwrap_or(Timestamp::MAX)
    }
}

/// The token of the event's lifecycle action.
pub(super) fn token(event: &Event) -> Option<&String> {
    event.lifecycle_action.as_ref()?.token.as_ref()
}

impl Lease {
    /// From when on another host may take it over.
    pub fn free_at(&self) -> Timestamp {
        self.until.saturating_add(CLOCK_SKEW).unwrap_or(Timestamp::MAX)
    }

    /// Whether it keeps others from the instance.
    pub(super) fn holds(&self, now: Timestamp) -> bool {
        self.free_at() > now && self.until <= now + LEASE + MOST_WRONG
    }
}

impl Item {
    /// The token of its lifecycle action.
    pub fn token(&self) -> Option<&String> {
        token(&self.event)
    }

    /// Whether `event` tells of a later lifecycle action of the same hook.
    pub fn is_before(&self, event: &Event) -> bool {
        let known = self.token().zip(token(event));
        known.is_some_and(|(then, now)| then != now) && self.event.time < event.time
    }

    /// The instance it is for.
    pub fn instance(&self) -> Option<&InstanceId> {
        self.event.instance.as_ref()
    }

    /// Writes down that an attempt begins; one before it that never ended was interrupted.
    pub(super) fn begin_attempt(&mut self, now: Timestamp) {
        self.note_interrupted(now);
        self.attempts = self.attempts.saturating_add(1);
        if self.told.len() >= ATTEMPTS_TOLD {
            self.told.remove(1);
        }
        let (note, module) = (String::new(), String::new());
        self.told.push(Told { attempt: self.attempts, began: now, ended: None, outcome: None, note, module });
    }

    /// Writes down that the last attempt never ended, if so, and that its host was dead by `died`.
    pub(super) fn note_interrupted(&mut self, died: Timestamp) {
        if let Some(last) = self.told.last_mut().filter(|last| last.outcome.is_none()) {
            last.outcome = Some("interrupted".to_owned());
            self.interrupted = self.interrupted.saturating_add(1);
            // What takes its host with it takes its neighbours too. They must not all be there again for the next time.
            let pause = match self.interrupted {
                0..=BY_CHANCE => Duration::ZERO,
                more => doubling(AFTER_INTERRUPTIONS, more - BY_CHANCE, LONGEST_AFTER_INTERRUPTIONS),
            };
            self.due = self.due.max(died.saturating_add(pause).unwrap_or(Timestamp::MAX));
        }
    }

    /// The item as it was before the attempt that has just begun; none if that is the first.
    pub(crate) fn before_this_attempt(&self) -> Option<Self> {
        let mut before = self.clone();
        before.take_back_attempt();
        (before.attempts > 0).then_some(before)
    }

    /// Takes back that an attempt begins: it is not made.
    pub(crate) fn take_back_attempt(&mut self) {
        if self.told.pop_if(|told| told.outcome.is_none()).is_some() {
            self.attempts = self.attempts.saturating_sub(1);
        }
    }

    /// What becomes of it when it has ended.
    pub(super) fn at_its_end(&self, decision: Decision, lifecycle: Option<Completion>, now: Timestamp) -> EndedItem {
        EndedItem {
            id: self.id.clone(),
            event: self.event.id.clone(),
            token: self.token().cloned(),
            kind: self.event.kind.as_str().to_owned(),
            time: self.event.time,
            handler: self.handler.clone(),
            taken: self.taken,
            ended: now,
            decision,
            lifecycle,
            retried: self.retried.clone(),
            attempts: self.attempts,
            told: self.told.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_not_what_has_ended() {
        let then = crate::testing::open_item();
        let now = Item { taken: then.taken + SignedDuration::from_secs(1), ..then.clone() };
        let end = then.at_its_end(Decision::Done, None, now.taken);
        let (open, mut ended) = (Open { items: vec![now.clone()], ..Open::default() }, Ended::default());
        ended.add(end.clone());
        ended.add(end.clone());
        assert_eq!(ended.items, std::slice::from_ref(&end));
        assert_eq!((ended.end_of(&then), ended.end_of(&now)), (Some(&end), None));
        assert_eq!((open.still(&then), open.still(&now)), (None, Some(&now)));
    }

    #[test]
    fn whatever_is_decided_can_be_read_again() {
        let (why, by, result) = ("because".to_owned(), "me".to_owned(), LifecycleResult::Abandon);
        for decision in [
            Decision::Done,
            Decision::Abandon { why: why.clone() },
            Decision::GaveUp { why },
            Decision::Ordered { result, by },
        ] {
            for result in [None, Some(LifecycleResult::Continue)] {
                let finishing = Finishing { decision: decision.clone(), result, sent: true, at: Timestamp::UNIX_EPOCH };
                let written = serde_json::to_string(&finishing).unwrap();
                assert_eq!(serde_json::from_str::<Finishing>(&written).unwrap(), finishing, "{written}");
            }
        }
    }
}
