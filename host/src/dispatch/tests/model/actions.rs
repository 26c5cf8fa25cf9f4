//! Auto Scaling's lifecycle actions: each waits until it is completed, or until its hook's timeout has passed without a heartbeat.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::event::{Event, LifecycleAction, Transition};
use crate::lifecycle::{HookTimes, LifecycleResult};
use crate::ports::{GroupName, HookName};
use crate::sweep::{Hook, Waiting};

/// The timeout of every hook.
pub(super) const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(300);

/// How far the clock of who saw an action can be behind Auto Scaling's.
const SEEN_BEFORE: SignedDuration = SignedDuration::from_secs(5);

/// The actions, in the order they began.
#[derive(Default)]
pub(super) struct Actions(Vec<Action>);

/// A lifecycle action.
pub(super) struct Action {
    /// The event that says all of it, whether it is delivered or not.
    event: Event,
    /// Whether a message stays that says so: else the sweep has to find it.
    pub(super) has_message: bool,
    alive_at: Instant,
    /// The longest that it had to wait for a sign of life.
    pub(super) longest: Duration,
    pub(super) end: Option<Ending>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Completed(LifecycleResult),
    TimedOut,
}

impl Actions {
    pub(super) fn begin(&mut self, event: &Event, has_message: bool) {
        if self.named(token(event)).is_none() {
            let (event, alive_at) = (event.clone(), Instant::now());
            self.0.push(Action { event, has_message, alive_at, longest: Duration::ZERO, end: None });
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Action> {
        self.0.iter()
    }

    /// The actions that wait.
    pub(super) fn waiting(&mut self) -> impl Iterator<Item = &mut Action> {
        self.0.iter_mut().filter_map(|action| action.still_waits().then_some(action))
    }

    /// The action that `wanted` means, if it waits. Without a token that is the one of its hook for its instance.
    pub(super) fn meant(&mut self, wanted: &LifecycleAction) -> Option<&mut Action> {
        self.waiting().find(|action| {
            let known = action.what();
            let same = (&known.group, &known.hook, &known.instance) == (&wanted.group, &wanted.hook, &wanted.instance);
            same && (wanted.token.is_none() || wanted.token == known.token)
        })
    }

    /// The token of the action that somebody means who names the work item, and perhaps the token, and says when it happened: the last
    /// that had begun by then.
    pub(super) fn occurrence(&self, item: &str, token: Option<&str>, time: Timestamp) -> Option<String> {
        let begun = |action: &&Action| action.event.work_item() == item && action.event.time <= time + SEEN_BEFORE;
        match token {
            Some(token) => self.named(token).map(|action| action.token().to_owned()),
            None => self.0.iter().rev().find(begun).map(|action| action.token().to_owned()),
        }
    }

    fn named(&self, token: &str) -> Option<&Action> {
        self.0.iter().find(|action| action.token() == token)
    }
}

impl Action {
    pub(super) fn token(&self) -> &str {
        token(&self.event)
    }

    fn what(&self) -> &LifecycleAction {
        self.event.lifecycle_action.as_ref().expect("the event of a lifecycle action")
    }

    /// A heartbeat, or its end.
    pub(super) fn sign_of_life(&mut self) {
        self.longest = self.longest.max(self.alive_at.elapsed());
        self.alive_at = Instant::now();
    }

    /// The instance, as Auto Scaling describes it.
    pub(super) fn instance(&self) -> Waiting {
        let what = self.what();
        let state = match what.transition {
            Transition::Launching => "Pending:Wait",
            Transition::Terminating => "Terminating:Wait",
        };
        Waiting { group: what.group.clone(), instance: what.instance.clone(), lifecycle_state: state.to_owned() }
    }

    fn still_waits(&mut self) -> bool {
        if self.end.is_none() && self.alive_at.elapsed() >= HEARTBEAT_TIMEOUT {
            self.longest = self.longest.max(HEARTBEAT_TIMEOUT);
            self.end = Some(Ending::TimedOut);
        }
        self.end.is_none()
    }
}

/// The token of an event that has one.
fn token(event: &Event) -> &str {
    let action = event.lifecycle_action.as_ref().expect("the event of a lifecycle action");
    action.token.as_deref().expect("Auto Scaling knows its own token")
}

pub(super) fn times() -> HookTimes {
    HookTimes { heartbeat_timeout: HEARTBEAT_TIMEOUT, global_timeout: HEARTBEAT_TIMEOUT * 100 }
}

/// The hooks of the group.
pub(super) fn hooks(_: &GroupName) -> Vec<Hook> {
    let hooks =
        [("drain", Transition::Terminating), ("archive", Transition::Terminating), ("boot", Transition::Launching)];
    let hook = |(name, transition)| Hook {
        name: HookName::parse(name).expect("a name"),
        transition,
        times: times(),
        metadata: None,
    };
    hooks.map(hook).into()
}
