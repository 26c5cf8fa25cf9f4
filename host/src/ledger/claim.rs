//! Who may work on what now. Pure: the open items of an instance and the time in, a verdict out.

use jiff::{SignedDuration, Timestamp};

use super::record::{Item, Lease, Open, token};
use crate::event::Event;
use crate::lifecycle::HookTimes;

/// How long a lease lasts unless it is renewed: what a crash costs before another host takes over.
pub const LEASE: SignedDuration = SignedDuration::from_secs(20);

/// How far the clocks of two hosts may be apart: a lease is taken over only so long after it has ended.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(5);

/// How far a clock may be set back while a lease is held. NTP slews, and does not step, below this.
const SET_BACK: SignedDuration = SignedDuration::from_millis(500);

/// How far ahead a lease can be and still be believed: by a clock that is further off nothing is written, for S3 refuses what it signs
/// ("RequestTimeTooSkewed"). What ends later was edited by hand.
pub(super) const MOST_WRONG: SignedDuration = SignedDuration::from_mins(15);

/// How long past the end of the lease it waits for a delivery says that it is there: it comes sooner, and need not write each time.
const WAITS: SignedDuration = SignedDuration::from_secs(60);

/// How many items an instance can have open. There are few ways for an instance to go; this bounds what a flood of events does.
const MOST_ITEMS: usize = 16;

/// How many of them can be of lifecycle actions, beside all others: no flood keeps those out.
const MOST_ACTIONS: usize = 16;

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

/// What it comes to that an event is noted which nobody brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adoption {
    /// It is noted, and now to be given to somebody.
    Noted,
    /// Somebody brings it, or works on it.
    Brought,
    /// The instance has as many open items as it can have.
    Full,
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
    let held = open.lease.clone().filter(|held| held.holds(now));
    let worked_on = held.as_ref().is_some_and(|held| held.item == id);
    let room = has_room(open, wanted.event);
    let mut changed = match open.item_mut(&id) {
        Some(item) => refresh(item, wanted, worked_on, now),
        None if !room => return (Verdict::Full, false),
        None => {
            open.items.push(new(id.clone(), wanted, now));
            true
        }
    };
    if let Some(held) = held {
        let waits = open.item_mut(&id).filter(|item| item.wake < held.free_at());
        changed |= waits.map(|item| item.wake = after(held.free_at(), WAITS)).is_some();
        return (Verdict::Busy(held), changed);
    }
    // Whoever held it went away in the middle of an attempt, if there was one under way.
    if let Some(died) = open.lease.take() {
        changed = true;
        if let Some(item) = open.item_mut(&died.item) {
            item.note_interrupted(died.until.min(now));
        }
    }
    let Some(item) = open.item_mut(&id) else { return (Verdict::Full, changed) };
    changed |= believe(item, now);
    if item.due > now && item.finishing.is_none() && item.order.is_none() {
        if changed {
            item.wake = item.wake.max(item.due);
        }
        return (Verdict::NotDue, changed);
    }
    if item.finishing.is_none() && item.order.is_none() {
        item.begin_attempt(now);
    }
    let (lease, holder) = (lease.0.to_owned(), lease.1.to_owned());
    let lease = Lease { id: lease, holder, item: id, since: now, until: now + LEASE };
    item.wake = lease.free_at();
    open.lease = Some(lease);
    (Verdict::Ours, true)
}

/// Corrects times that cannot be: somebody may have edited them by hand, to any time, or a clock was set back. True if there were such.
fn believe(item: &mut Item, now: Timestamp) -> bool {
    let before = (item.taken, item.heartbeat, item.due);
    if item.taken > now + MOST_WRONG {
        item.taken = now;
    }
    // One too many does no harm, and one too few lets the action end: a clock that was set back must not put it off.
    item.heartbeat = item.heartbeat.filter(|heartbeat| *heartbeat <= now + CLOCK_SKEW);
    // Whatever it waits for, at its deadline it is decided.
    item.due = item.due.min(item.deadline.max(item.taken));
    before != (item.taken, item.heartbeat, item.due)
}

/// Makes the lease last from now on; nobody else need bring its item before it ends. False if our clock has been set back: by it
/// nobody can tell any more when the lease ends.
pub(super) fn renew(open: &mut Open, now: Timestamp) -> bool {
    let Some(lease) = &mut open.lease else { return false };
    if now + LEASE + SET_BACK < lease.until {
        return false;
    }
    lease.until = lease.until.max(now + LEASE);
    let (id, free_at) = (lease.item.clone(), lease.free_at());
    if let Some(item) = open.item_mut(&id) {
        item.wake = item.wake.max(free_at);
    }
    true
}

/// Notes an event that nobody brings, to be brought at `wake`. Somebody does if it was to be brought after `dead`, or is worked on now.
pub(super) fn adopt(
    open: &mut Open,
    wanted: &Wanted<'_>,
    (dead, wake): (Timestamp, Timestamp),
    now: Timestamp,
) -> Adoption {
    let id = wanted.event.work_item();
    let worked_on = open.lease.as_ref().is_some_and(|lease| lease.item == id && lease.holds(now));
    let room = has_room(open, wanted.event);
    match open.item_mut(&id) {
        Some(item) if worked_on || item.wake >= dead => Adoption::Brought,
        Some(item) => {
            item.wake = wake;
            Adoption::Noted
        }
        None if room => {
            open.items.push(Item { wake, ..new(id, wanted, now) });
            Adoption::Noted
        }
        None => Adoption::Full,
    }
}

/// Whether an item of `event` can be opened.
fn has_room(open: &Open, event: &Event) -> bool {
    let is_action = event.lifecycle_action.is_some();
    let alike = open.items.iter().filter(|item| item.event.lifecycle_action.is_some() == is_action).count();
    alike < if is_action { MOST_ACTIONS } else { MOST_ITEMS }
}

fn new(id: String, wanted: &Wanted<'_>, now: Timestamp) -> Item {
    Item {
        id,
        event: noted(wanted.event, now),
        handler: wanted.handler.to_owned(),
        taken: now,
        deadline: wanted.deadline,
        hook: wanted.hook,
        heartbeat: None,
        over: false,
        attempts: 0,
        failures: 0,
        interrupted: 0,
        state: None,
        due: now,
        wake: now,
        order: None,
        retried: None,
        finishing: None,
        told: Vec::new(),
    }
}

/// The event, as it is kept: nothing has happened later than it is heard of, whatever a sender's clock says, and AWS acts as long
/// after that as the event tells.
fn noted(event: &Event, now: Timestamp) -> Event {
    let ahead = event.time.duration_since(now).max(SignedDuration::ZERO);
    let deadline = event.deadline.map(|deadline| deadline.saturating_sub(ahead).unwrap_or(Timestamp::MIN));
    Event { time: event.time.min(now), deadline, ..event.clone() }
}

/// Takes over what a further delivery knows better. True if anything is new. `worked_on` says that a host works on the item.
fn refresh(item: &mut Item, wanted: &Wanted<'_>, worked_on: bool, now: Timestamp) -> bool {
    // Auto Scaling holds an instance by one action of a hook at a time: with a newer token the older action is over, and what
    // was done for it says nothing of this one. While somebody works on it, or its result is on the way, it is left alone: the
    // newer comes after.
    if item.is_before(wanted.event) {
        let free = !worked_on && item.finishing.is_none();
        if free {
            *item = new(item.id.clone(), wanted, now);
        }
        return free;
    }
    let (known, told) = (item.token(), token(wanted.event));
    if known.is_some() && told.is_some() && known != told {
        return false;
    }
    let mut changed = false;
    if known.is_none() && told.is_some() {
        // Who made the item without a token could not know when the action began either.
        item.event = noted(wanted.event, now);
        item.over = false;
        changed = true;
    }
    // Who does not know the hook knows nothing better of the deadline, and neither does who dates the event later than it was heard of.
    let knows_hook = wanted.hook.is_some() || item.hook.is_none();
    let knows_deadline = knows_hook && wanted.event.time <= item.event.time;
    if knows_hook && item.hook != wanted.hook {
        item.hook = wanted.hook;
        changed = true;
    }
    if knows_deadline && item.deadline != wanted.deadline {
        item.deadline = wanted.deadline;
        changed = true;
    }
    if item.handler != wanted.handler {
        item.handler = wanted.handler.to_owned();
        changed = true;
    }
    changed
}

fn after(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.saturating_add(duration).unwrap_or(Timestamp::MAX)
}
