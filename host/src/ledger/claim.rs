//! Who may work on what now. Pure: the open items of an instance and the time in, a verdict out.

use jiff::{SignedDuration, Timestamp};

use super::record::{Item, Lease, Open};
use crate::dispatch::lifecycle::HookTimes;
use crate::event::Event;

/// How long a lease lasts unless it is renewed: what a crash costs before another host takes over.
pub const LEASE: SignedDuration = SignedDuration::from_secs(20);

/// How far the clocks of two hosts may be apart: a lease is taken over only so long after it has ended.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(5);

/// How many items an instance can have open. There are few ways for an instance to go; this bounds what a flood of events does.
const MOST_ITEMS: usize = 16;

/// An event that somebody wants to work on.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The event.
    pub event: &'a Event,
    /// The handler that takes it.
    pub handler: &'a str,
    /// When AWS or the policy goes on.
    pub deadline: Timestamp,
    /// The hook's times, if they could be read.
    pub hook: Option<HookTimes>,
}

/// What a claim comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The lease is ours, to work on the item.
    Ours,
    /// The item is not due yet.
    NotDue,
    /// Another holds the lease, or held it and died.
    Busy(Lease),
    /// The instance has as many open items as it can have.
    Full,
}

/// Notes the event, if it is new, and takes the lease if it is free and the item due. Also says whether anything was changed.
pub(super) fn claim(open: &mut Open, wanted: &Wanted<'_>, lease: (&str, &str), now: Timestamp) -> (Verdict, bool) {
    let id = wanted.event.work_item();
    let mut changed = false;
    let room = open.items.len() < MOST_ITEMS;
    match open.item_mut(&id) {
        Some(item) => changed |= refresh(item, wanted, now),
        None if !room => return (Verdict::Full, false),
        None => {
            open.items.push(new(id.clone(), wanted, now));
            changed = true;
        }
    }
    if let Some(held) = open.lease.as_ref().filter(|held| held.until + CLOCK_SKEW > now) {
        return (Verdict::Busy(held.clone()), changed);
    }
    // Whoever held it went away in the middle of an attempt, if there was one under way.
    if let Some(died) = open.lease.take() {
        changed = true;
        if let Some(item) = open.item_mut(&died.item) {
            item.note_interrupted();
        }
    }
    let Some(item) = open.item_mut(&id) else { return (Verdict::Full, changed) };
    if item.due > now && item.finishing.is_none() && item.order.is_none() {
        return (Verdict::NotDue, changed);
    }
    if item.finishing.is_none() && item.order.is_none() {
        item.begin_attempt(now);
    }
    let (lease, holder) = lease;
    item.wake = now + LEASE + CLOCK_SKEW;
    let (lease, holder) = (lease.to_owned(), holder.to_owned());
    open.lease = Some(Lease { id: lease, holder, item: id, since: now, until: now + LEASE });
    (Verdict::Ours, true)
}

/// Notes an event that nobody brings, to be brought at `wake`. False if somebody does: it was to be brought after `dead`, or is
/// worked on now.
pub(super) fn adopt(
    open: &mut Open,
    wanted: &Wanted<'_>,
    (dead, wake): (Timestamp, Timestamp),
    now: Timestamp,
) -> bool {
    let id = wanted.event.work_item();
    let worked_on = open.lease.as_ref().is_some_and(|lease| lease.item == id && lease.until + CLOCK_SKEW > now);
    let room = open.items.len() < MOST_ITEMS;
    match open.item_mut(&id) {
        Some(item) if worked_on || item.wake >= dead => false,
        Some(item) => {
            item.wake = wake;
            true
        }
        None if room => {
            open.items.push(Item { wake, ..new(id, wanted, now) });
            true
        }
        None => false,
    }
}

fn new(id: String, wanted: &Wanted<'_>, now: Timestamp) -> Item {
    Item {
        id,
        event: wanted.event.clone(),
        handler: wanted.handler.to_owned(),
        taken: now,
        deadline: wanted.deadline,
        hook: wanted.hook,
        heartbeat: None,
        attempts: 0,
        failures: 0,
        interrupted: 0,
        state: None,
        due: now,
        wake: now,
        order: None,
        finishing: None,
        told: Vec::new(),
    }
}

/// Takes over what a further delivery knows better. True if anything is new.
fn refresh(item: &mut Item, wanted: &Wanted<'_>, now: Timestamp) -> bool {
    let token = |event: &Event| event.lifecycle_action.as_ref().and_then(|action| action.token.clone());
    let (known, told) = (token(&item.event), token(wanted.event));
    // Auto Scaling holds an instance by one action of a hook at a time: with a newer token the older action is over, and what
    // was done for it says nothing of this one. While its result is on the way it is left alone: the newer comes after.
    if known.is_some() && told.is_some() && known != told {
        let newer = wanted.event.time > item.event.time && item.finishing.is_none();
        if newer {
            *item = new(item.id.clone(), wanted, now);
        }
        return newer;
    }
    let mut changed = false;
    if let (Some(action), None, Some(_)) = (&mut item.event.lifecycle_action, known, &told) {
        action.token = told;
        changed = true;
    }
    let better = |old: Option<HookTimes>| wanted.hook.is_some() && old != wanted.hook;
    if better(item.hook) || item.deadline != wanted.deadline || item.handler != wanted.handler {
        item.hook = wanted.hook.or(item.hook);
        item.deadline = wanted.deadline;
        item.handler = wanted.handler.to_owned();
        changed = true;
    }
    changed
}
