//! What is said before an order is given, and after.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Here, Order};
use crate::clock::words::{brief, due, long, relative, to_the_second};
use crate::dispatch::{DispatchError, End};
use crate::event::{Kind, Transition};
use crate::ledger::{Item, Lease, Open};
use crate::lifecycle::LifecycleResult;

impl Order<'_> {
    /// The command that gives it.
    pub(super) fn command(&self) -> &'static str {
        match self.result {
            LifecycleResult::Continue => "finish",
            LifecycleResult::Abandon => "abandon",
        }
    }

    /// What the order is about, and what it will do.
    pub(super) fn announced(&self, now: Timestamp) -> Vec<String> {
        let Item { handler, attempts, taken, event, .. } = self.item;
        let taken = relative(*taken, now);
        let mut lines = vec![format!(
            "{}: {}; handler {handler}, taken {taken}, attempts: {attempts}",
            self.instance,
            event.about()
        )];
        if let Some(finishing) = &self.item.finishing {
            let (at, decided) = (relative(finishing.at, now), &finishing.decision);
            let result = finishing.result.map_or("nothing", |result| result.as_str());
            lines.push(format!(
                "its end was decided {at} and is not changed any more: {decided}; Auto Scaling is to be told: {result}. This only \
                 brings it there"
            ));
            return lines;
        }
        lines.push(format!("{} ends this work with {}: {}", self.command(), self.result.as_str(), self.effect()));
        if let Some(order) = &self.item.order {
            let (at, result) = (relative(order.at, now), order.result.as_str());
            lines.push(format!("it takes the place of an order by {}, {at}: {result}", order.by));
        }
        lines
    }

    /// What Auto Scaling makes of the result ("Complete a lifecycle action in an Auto Scaling group").
    fn effect(&self) -> &'static str {
        let Some(action) = &self.item.event.lifecycle_action else {
            return "it has no lifecycle action, so that nobody is told";
        };
        let pool = matches!(self.item.event.kind, Kind::InstanceReturningToWarmPool | Kind::InstanceEnteringWarmPool);
        match (action.transition, self.result) {
            (Transition::Terminating, LifecycleResult::Continue) if pool => {
                "Auto Scaling puts the instance into the warm pool"
            }
            (Transition::Terminating, LifecycleResult::Continue) => "Auto Scaling goes on to terminate the instance",
            (Transition::Terminating, LifecycleResult::Abandon) => {
                "Auto Scaling waits for no other hook and terminates the instance, unless its group retains such instances"
            }
            (Transition::Launching, LifecycleResult::Continue) if pool => {
                "Auto Scaling puts the instance into the warm pool"
            }
            (Transition::Launching, LifecycleResult::Continue) => "Auto Scaling puts the instance into service",
            (Transition::Launching, LifecycleResult::Abandon) => {
                "Auto Scaling terminates the instance and launches another in its place"
            }
        }
    }

    /// Nobody here can act on the world.
    pub(super) fn left_to_hosts(&self, item: &Item, why: &str, now: Timestamp) -> String {
        format!(
            "{}, and the next host that comes for the work carries it out, {} or sooner. It was not done from here: {why}",
            self.stands(item),
            // As it was before the order: that is when its message comes back.
            due(self.item.wake, now)
        )
    }

    /// A host is at it.
    pub(super) fn busy(&self, open: &Open, note: &str, now: Timestamp) -> String {
        let Some(lease) = open.held(now) else {
            return format!("{}; it takes effect later: {note}", self.stands(self.item));
        };
        let wall = self.policy.handlers.iter().find(|handler| handler.name == self.item.handler);
        let wall = wall.and_then(|handler| SignedDuration::try_from(handler.limits.wall).ok());
        let ends = wall.and_then(|wall| lease.since.checked_add(wall).ok());
        let until = ends.map(|ends| format!(", which ends by {}", to_the_second(ends))).unwrap_or_default();
        // A door brings what waits at the latest when its lifecycle action needs a heartbeat.
        let beat = self.item.hook.and_then(|hook| SignedDuration::try_from(hook.heartbeat_timeout / 2).ok());
        let latest = ends.zip(beat).and_then(|(ends, beat)| ends.checked_add(beat).ok());
        let latest = latest.map(|latest| format!(", at the latest at {}", to_the_second(latest)));
        let then = if self.wait.is_none() { ". To have it then at once, give the order again" } else { "" };
        format!(
            "{}, and {} is at work: it takes effect with the next step after this attempt{until}{}{then}",
            self.stands(self.item),
            lease.holder,
            latest.unwrap_or_default(),
        )
    }

    /// The policy at hand does not know the work.
    pub(super) fn not_ours(&self, end: &End) -> String {
        format!(
            "{}, and hosts carry it out. It was not done from here, since by this policy it is not to be worked on ({end}); is it the \
             one that the hosts have?",
            self.stands(self.item)
        )
    }

    /// The step failed.
    pub(super) fn not_told(&self, item: &Item, error: &DispatchError) -> String {
        format!("{}, and hosts try again to carry it out. From here that failed: {error}", self.stands(item))
    }

    fn stands(&self, item: &Item) -> String {
        match &item.finishing {
            Some(finishing) => format!("its end is decided ({})", finishing.decision),
            None => format!("the order {} is written down", self.result.as_str()),
        }
    }
}

/// It was waited for, and is no longer.
pub(super) fn hopeless(error: &DispatchError) -> String {
    let other = if error.is_denied() { ", or set AWS_PROFILE to credentials that are allowed it" } else { "" };
    format!(
        "it is waited for no longer, since what fails here does not pass by itself: {error}. Mend that{other}, and give the order \
         again; hosts try with rights of their own meanwhile"
    )
}

/// It was waited for in vain.
pub(super) fn not_in_time(at_most: Duration, here: &Here, lease: Option<&Lease>, now: Timestamp) -> String {
    let why = match (&here.failed, lease, &here.hand) {
        (Some(error), ..) => format!(": the last try from here failed: {error}"),
        (None, Some(lease), _) => {
            let since = brief(now.duration_since(lease.since));
            format!(": {} is at work on the instance, for {since}", lease.holder)
        }
        (None, None, Err(why)) => format!(": no host has done it, and it cannot be done from here: {why}"),
        (None, None, Ok(_)) => String::new(),
    };
    format!("it has not been carried out within {}{why}", long(at_most))
}
