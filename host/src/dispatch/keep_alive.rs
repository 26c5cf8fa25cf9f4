//! Keeping lifecycle actions alive: the hooks' times, and heartbeats.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::lifecycle::{Answer, HookTimes};
use super::{CALL, Dispatch, time_between};
use crate::event::LifecycleAction;
use crate::ledger::Item;
use crate::ports::{GroupName, HookName};
use crate::recording::Recorder;

/// For how long a hook's times are taken for what they were. Who changes a hook does it for the actions after it.
const REMEMBERED: Duration = Duration::from_secs(300);

/// How many hooks are remembered: more than an account has.
const MOST_HOOKS: usize = 4096;

/// The hook's times when they cannot be read: the shortest Auto Scaling admits, so that heartbeats are early rather than late.
const UNKNOWN_HOOK: HookTimes =
    HookTimes { heartbeat_timeout: Duration::from_secs(30), global_timeout: Duration::from_secs(48 * 60 * 60) };

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

    fn remember(&self, action: &LifecycleAction, times: HookTimes) {
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

    /// Sends heartbeats for as long as it is polled, and notes when the last was accepted.
    pub(super) async fn keep_alive(
        &self,
        item: &Item,
        recorder: &Recorder,
        last: &Mutex<Option<Timestamp>>,
    ) -> Infallible {
        let (Some(action), Some(every)) = (&item.event.lifecycle_action, item.heartbeat_every()) else {
            return std::future::pending().await;
        };
        let mut alive = item.clone();
        while let Some(due) = alive.next_heartbeat() {
            tokio::time::sleep(time_between(self.ports.clock.now(), due)).await;
            while !self.heartbeat(action, recorder, every / 2).await {
                tokio::time::sleep(every / 4).await;
            }
            alive.heartbeat = Some(self.ports.clock.now());
            *last.lock().unwrap_or_else(PoisonError::into_inner) = alive.heartbeat;
        }
        std::future::pending().await
    }

    /// One heartbeat; false if the next should follow soon.
    pub(super) async fn heartbeat(&self, action: &LifecycleAction, recorder: &Recorder, patience: Duration) -> bool {
        let instance = action.instance.as_str();
        let lifecycle = recorder.lifecycle(&self.lifecycle);
        match tokio::time::timeout(patience, lifecycle.heartbeat(action)).await {
            Ok(Ok(Answer::Accepted)) => tracing::debug!(instance, "heartbeat"),
            // The work goes on: it is what the operator asked for, and completing will find the same.
            Ok(Ok(Answer::Over)) => tracing::warn!(instance, "heartbeat: the lifecycle action is over already"),
            Ok(Err(error)) => {
                tracing::warn!(instance, %error, "heartbeat failed; the next one follows soon");
                return false;
            }
            Err(_) => {
                tracing::warn!(instance, "heartbeat not answered; the next one follows soon");
                return false;
            }
        }
        true
    }
}
