//! Keeping lifecycle actions alive: the hooks' times, and heartbeats.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{CALL, Dispatch, after, time_between};
use crate::event::LifecycleAction;
use crate::ledger::Item;
use crate::lifecycle::{Answer, HookTimes};
use crate::ports::{GroupName, HookName};
use crate::recording::Recorder;

/// For how long a hook's times are taken for what they were. Who changes a hook does it for the actions after it.
const REMEMBERED: Duration = Duration::from_secs(300);

/// How many hooks are remembered: more than an account has.
const MOST_HOOKS: usize = 4096;

/// The hook's times when they cannot be read: the shortest Auto Scaling admits, so that heartbeats are early rather than late.
pub(super) const UNKNOWN_HOOK: HookTimes =
    HookTimes { heartbeat_timeout: Duration::from_secs(30), global_timeout: Duration::from_secs(48 * 60 * 60) };

/// `HeartbeatTimeout` of a hook when nobody sets another ("PutLifecycleHook").
const USUAL_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(3600);

/// What is known of hooks.
#[derive(Debug, Default)]
pub struct Hooks(Mutex<HashMap<(GroupName, HookName), (Instant, HookTimes)>>);

impl Hooks {
    /// The times of the action's hook, if they were read lately.
    pub(super) fn known(&self, action: &LifecycleAction) -> Option<HookTimes> {
        let hooks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, times) = hooks.get(&(action.group.clone(), action.hook.clone()))?;
        (read.elapsed() < REMEMBERED).then_some(*times)
    }

    pub(super) fn remember(&self, action: &LifecycleAction, times: HookTimes) {
        let mut hooks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hooks.len() >= MOST_HOOKS {
            hooks.retain(|_, (read, _)| read.elapsed() < REMEMBERED);
        }
        hooks.insert((action.group.clone(), action.hook.clone()), (Instant::now(), times));
    }
}

impl Dispatch {
    /// The hook's times: as read lately, as read now, as read when the item was taken, or the shortest there are.
    pub(super) async fn hook_times(&self, action: &LifecycleAction, item: &Item, recorder: &Recorder) -> HookTimes {
        if let Some(times) = self.hooks.known(action) {
            return times;
        }
        let why = match tokio::time::timeout(CALL, recorder.lifecycle(&self.lifecycle).hook(action)).await {
            Ok(Ok(Some(times))) => {
                self.hooks.remember(action, times);
                return times;
            }
            Ok(Ok(None)) => "the group has no such hook any more".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {CALL:?}"),
        };
        if let Some(times) = item.hook {
            return times;
        }
        let (group, hook) = (action.group.as_str(), action.hook.as_str());
        tracing::warn!(
            group,
            hook,
            error = why,
            "the hook's timeout is not known: heartbeats are sent as for the shortest"
        );
        UNKNOWN_HOOK
    }

    /// How long the action's hook waits for a sign of life: as Auto Scaling says, or as long as hooks usually do.
    pub(super) async fn heartbeat_timeout(&self, action: &LifecycleAction) -> Duration {
        match self.hooks.known(action) {
            Some(times) => times.heartbeat_timeout,
            None => match tokio::time::timeout(CALL, self.lifecycle.hook(action)).await {
                Ok(Ok(Some(times))) => times.heartbeat_timeout,
                _ => USUAL_HEARTBEAT_TIMEOUT,
            },
        }
    }

    /// Sends heartbeats for as long as it is polled, and notes in `alive` what comes of them.
    pub(super) async fn keep_alive(&self, alive: &Mutex<Item>, recorder: &Recorder) -> Infallible {
        let look = || alive.lock().unwrap_or_else(PoisonError::into_inner).clone();
        loop {
            let item = look();
            let (Some(action), Some(every), Some(due)) =
                (&item.event.lifecycle_action, item.heartbeat_every(), item.next_heartbeat())
            else {
                return std::future::pending().await;
            };
            tokio::time::sleep(time_between(self.ports.clock.now(), due)).await;
            let beat = self.heartbeat(action, recorder, every / 2).await;
            alive.lock().unwrap_or_else(PoisonError::into_inner).note_heartbeat(beat, self.ports.clock.now());
            if beat == Heartbeat::Failed {
                tokio::time::sleep(every / 4).await;
            }
        }
    }

    /// One heartbeat.
    pub(super) async fn heartbeat(
        &self,
        action: &LifecycleAction,
        recorder: &Recorder,
        patience: Duration,
    ) -> Heartbeat {
        let instance = action.instance.as_str();
        let lifecycle = recorder.lifecycle(&self.lifecycle);
        match tokio::time::timeout(patience, lifecycle.heartbeat(action)).await {
            Ok(Ok(Answer::Accepted)) => {
                tracing::debug!(instance, "heartbeat");
                Heartbeat::Accepted
            }
            // The work goes on: it is what the operator asked for, and completing will find the same.
            Ok(Ok(Answer::Over)) => {
                tracing::warn!(instance, "heartbeat: the lifecycle action is over already; no more are sent");
                Heartbeat::Over
            }
            Ok(Err(error)) => {
                tracing::warn!(instance, %error, "heartbeat failed; the next one follows soon");
                Heartbeat::Failed
            }
            Err(_) => {
                tracing::warn!(instance, "heartbeat not answered; the next one follows soon");
                Heartbeat::Failed
            }
        }
    }
}

/// What came of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heartbeat {
    /// The hook's timeout has started again.
    Accepted,
    /// There is nothing to keep alive.
    Over,
    /// The next should follow soon.
    Failed,
}

impl Item {
    /// How long a heartbeat can be kept from its action: half of what the hook allows.
    pub(super) fn heartbeat_every(&self) -> Option<Duration> {
        self.event.lifecycle_action.as_ref()?;
        // The times may come from a recording, which can say anything.
        let every = self.hook.unwrap_or(UNKNOWN_HOOK).heartbeat_timeout / 2;
        Some(every.clamp(Duration::from_secs(1), Duration::from_secs(3600)))
    }

    /// When its lifecycle action needs the next heartbeat; none if it has no action, or none that heartbeats can keep alive.
    pub(crate) fn next_heartbeat(&self) -> Option<Timestamp> {
        let every = self.heartbeat_every()?;
        let due = match (self.heartbeat, self.token()) {
            (Some(last), _) => after(last, every),
            (None, Some(_)) => after(self.event.time, every),
            // It was noticed, and not announced: how long the action has been waiting by then, nobody tells.
            (None, None) => self.event.time,
        };
        let last = after(self.event.time, self.hook.unwrap_or(UNKNOWN_HOOK).global_timeout);
        (due < last && !self.over).then_some(due)
    }

    /// When its lifecycle action ends unless it is kept alive before that; none if it has none, or that is not known.
    pub(super) fn alive_until(&self) -> Option<Timestamp> {
        let last = self.heartbeat.or_else(|| self.token().map(|_| self.event.time))?;
        (!self.over).then(|| Some(after(last, self.heartbeat_every()? * 2)))?
    }

    /// Notes what came of a heartbeat that was sent by `now`.
    pub(super) fn note_heartbeat(&mut self, heartbeat: Heartbeat, now: Timestamp) {
        match heartbeat {
            Heartbeat::Accepted => self.heartbeat = Some(now),
            Heartbeat::Over => self.over = true,
            Heartbeat::Failed => {}
        }
    }
}
