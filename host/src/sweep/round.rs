//! One round: what nobody brings to its end is found, noted in the ledger, and given to somebody.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::{Groups, Hook, Waiting};
use crate::dispatch::lifecycle::Answer;
use crate::dispatch::{Completion, Dispatch, Place};
use crate::event::{Event, Message, Transition, parse_message};
use crate::ledger::{Ended, LedgerError, Open, Wanted};
use crate::ports::{GroupName, PortError};
use crate::recording::Recorder;

/// How long after its time an item is taken for one that nobody brings: its message has died. A queue may be behind, so this is
/// more than a moment; a copy too many is found to be one, but costs a receive.
const GRACE: SignedDuration = SignedDuration::from_mins(3);

/// How long it may take to give an item to somebody: when its host dies meanwhile, a round after that gives it again.
const GIVING: SignedDuration = SignedDuration::from_secs(30);

/// When an item that was given to somebody is looked at again.
const LOOKED_AT_AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// How many items are given away in one round: a backlog must not double itself.
const MOST_ADOPTED: usize = 200;

/// Who brings an event to its end from here on.
#[async_trait]
pub trait Adopt: Send + Sync {
    /// Takes the event. An error leaves it to a later round.
    async fn adopt(&self, event: &Event) -> Result<(), PortError>;
}

/// What a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Swept {
    /// Instances that lifecycle hooks hold back.
    pub waiting: usize,
    /// Work items that were open.
    pub open: usize,
    /// Of both, what nobody brought, and somebody was given.
    pub adopted: usize,
    /// What could not be looked at, or not be given to anybody: the next round tries again.
    pub failed: usize,
}

/// What looks.
pub struct Sweep {
    /// The policy, the ledger and the lifecycle actions.
    pub dispatch: Arc<Dispatch>,
    /// Where instances wait.
    pub groups: Arc<dyn Groups>,
    /// Who takes what is found.
    pub adopt: Arc<dyn Adopt>,
}

impl Sweep {
    /// Looks once, at everything. Fails as a whole only when Auto Scaling or the ledger cannot be asked at all.
    pub async fn round(&self) -> Result<Swept, SweepError> {
        let mut swept = Swept::default();
        self.dead_messages(&mut swept).await?;
        self.unheard_instances(&mut swept).await?;
        let Swept { waiting, open, adopted, failed } = swept;
        if adopted > 0 || failed > 0 {
            tracing::warn!(waiting, open, adopted, failed, "swept: what nobody brought to its end was found");
        } else {
            tracing::debug!(waiting, open, "swept: everything is being brought to its end");
        }
        Ok(swept)
    }

    /// Open items whose time is long past, and those whose lifecycle action would end before their time comes.
    async fn dead_messages(&self, swept: &mut Swept) -> Result<(), SweepError> {
        let mut after = None;
        loop {
            let (page, next) = self.dispatch.ledger.all_open(after.as_deref()).await?;
            for open in page {
                match open {
                    Ok(open) => self.of_one_instance(&open, swept).await,
                    Err(error) => {
                        tracing::error!(%error, "swept past what cannot be read");
                        swept.failed += 1;
                    }
                }
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn of_one_instance(&self, open: &Open, swept: &mut Swept) {
        swept.open += open.items.len();
        for item in &open.items {
            let now = self.now();
            if open.held(now).is_none_or(|lease| lease.item != item.id) {
                // Whoever brings it is late, or dead. Until that is found out the action has to live.
                self.dispatch.keep_waiting_alive(&mut item.clone(), None, &Recorder::off()).await;
            }
            if item.wake < now - GRACE {
                self.give_away(&item.event, "its message has died", swept).await;
            }
        }
    }

    /// Instances that wait, and whose event never came.
    async fn unheard_instances(&self, swept: &mut Swept) -> Result<(), SweepError> {
        let mut by_group: BTreeMap<GroupName, Vec<Waiting>> = BTreeMap::new();
        for waiting in self.groups.waiting().await.map_err(SweepError::Groups)? {
            swept.waiting += 1;
            by_group.entry(waiting.group.clone()).or_default().push(waiting);
        }
        for (group, waiting) in by_group {
            match self.groups.hooks(&group).await {
                Ok(hooks) => {
                    for waiting in &waiting {
                        self.unheard_actions(waiting, &hooks, swept).await;
                    }
                }
                Err(error) => {
                    let (group, instances) = (group.as_str(), waiting.len());
                    tracing::error!(group, instances, %error, "not swept: the group's hooks are not known");
                    swept.failed += 1;
                }
            }
        }
        Ok(())
    }

    async fn unheard_actions(&self, waiting: &Waiting, hooks: &[Hook], swept: &mut Swept) {
        for hook in hooks.iter().filter(|hook| hook.transition == transition(&waiting.lifecycle_state)) {
            let Some(event) = announcement(waiting, hook, &self.dispatch.place, self.now()) else { continue };
            if self.dispatch.taker(&event).is_none() {
                continue;
            }
            match self.is_unheard(&event, hook).await {
                Ok(true) => self.give_away(&event, "its event never came", swept).await,
                Ok(false) => {}
                Err(error) => {
                    let (instance, hook) = (waiting.instance.as_str(), hook.name.as_str());
                    tracing::error!(instance, hook, %error, "not swept");
                    swept.failed += 1;
                }
            }
        }
    }

    /// Whether this action waits, and nobody has noted it.
    async fn is_unheard(&self, event: &Event, hook: &Hook) -> Result<bool, SweepError> {
        let (Some(instance), Some(action)) = (&event.instance, &event.lifecycle_action) else { return Ok(false) };
        let id = event.work_item();
        if self.dispatch.ledger.open(instance).await?.item(&id).is_some() {
            return Ok(false);
        }
        if was_left(&self.dispatch.ledger.ended(instance).await?, &id, hook, self.now()) {
            return Ok(false);
        }
        // A group can have several hooks, and Auto Scaling does not say which of them an instance waits for; but only an action
        // that waits takes a heartbeat.
        let answer = self.dispatch.lifecycle.heartbeat(action).await.map_err(SweepError::Groups)?;
        Ok(answer == Answer::Accepted)
    }

    /// Notes an event in the ledger and gives it to somebody.
    async fn give_away(&self, event: &Event, why: &str, swept: &mut Swept) {
        if swept.adopted >= MOST_ADOPTED {
            return;
        }
        let instance = event.instance.as_ref().map(|instance| instance.as_str());
        let Some(handler) = self.dispatch.taker(event) else {
            let why =
                "no handler of the policy takes its event any more; end it with `hostler finish` or `hostler abandon`";
            tracing::error!(event = event.id, instance, why, "an open work item stays where it is");
            swept.failed += 1;
            return;
        };
        let now = self.now();
        let deadline = self.dispatch.deadline(event, handler);
        let wanted = Wanted { event, handler: &handler.name, deadline, hook: None };
        // Until it is given it passes for one that nobody brings, but for the sweeps of other hosts, which leave it to us so long.
        let giving = now - GRACE + GIVING;
        let given = match self.dispatch.ledger.adopt(&wanted, (now - GRACE, giving)).await {
            Ok(true) => self.adopt.adopt(event).await.map_err(|error| error.to_string()),
            // Somebody has come for it meanwhile.
            Ok(false) => return,
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = given {
            tracing::error!(event = event.id, instance, why, error, "not adopted; a later round tries again");
            swept.failed += 1;
            return;
        }
        tracing::warn!(event = event.id, instance, handler = handler.name, why, "adopted");
        swept.adopted += 1;
        let looked_at_again = self.now() + LOOKED_AT_AGAIN;
        let noted = self.dispatch.ledger.remark(event, |item| {
            // Who was given it may have come for it by now.
            if item.wake == giving {
                item.wake = looked_at_again;
            }
        });
        if let Err(error) = noted.await {
            let meaning = "a later round gives it to somebody once more, who finds it under way";
            tracing::warn!(event = event.id, instance, %error, meaning, "it could not be written down that it was adopted");
        }
    }

    fn now(&self) -> Timestamp {
        self.dispatch.ports.clock.now()
    }
}

/// Why nothing was swept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SweepError {
    /// Auto Scaling cannot be asked.
    #[error("nothing was swept: {0}")]
    Groups(PortError),
    /// The ledger cannot be asked.
    #[error("nothing was swept: {0}")]
    Ledger(#[from] LedgerError),
}

/// Whether the action was left to the hook's own timeout, as the policy wanted, and that has not come yet.
fn was_left(ended: &Ended, id: &str, hook: &Hook, now: Timestamp) -> bool {
    let left = |lifecycle: Option<Completion>| lifecycle == Some(Completion::Left);
    ended.items.iter().rev().find(|item| item.id == id).is_some_and(|item| {
        let over = SignedDuration::try_from(hook.times.global_timeout)
            .ok()
            .and_then(|timeout| item.time.checked_add(timeout).ok())
            .unwrap_or(Timestamp::MAX);
        left(item.lifecycle) && now < over
    })
}

/// Which way an instance in that state is going.
fn transition(lifecycle_state: &str) -> Transition {
    if lifecycle_state.contains("Terminating") { Transition::Terminating } else { Transition::Launching }
}

/// The event that should have come, in EventBridge's own form, without the token that only the real one has. Where it says less than
/// the real one (an instance may come from a warm pool), it says what is so for most.
fn announcement(waiting: &Waiting, hook: &Hook, place: &Place, now: Timestamp) -> Option<Event> {
    let (detail_type, origin, destination) = match (hook.transition, waiting.lifecycle_state.starts_with("Warmed:")) {
        (Transition::Terminating, false) => ("EC2 Instance-terminate Lifecycle Action", "AutoScalingGroup", "EC2"),
        (Transition::Terminating, true) => ("EC2 Instance-terminate Lifecycle Action", "WarmPool", "EC2"),
        (Transition::Launching, false) => ("EC2 Instance-launch Lifecycle Action", "EC2", "AutoScalingGroup"),
        (Transition::Launching, true) => ("EC2 Instance-launch Lifecycle Action", "EC2", "WarmPool"),
    };
    let (group, instance) = (waiting.group.as_str(), waiting.instance.as_str());
    let event = json!({
        "version": "0", "id": format!("swept-{instance}-{}-{}", hook.name, now.as_second()),
        "detail-type": detail_type, "source": "aws.autoscaling", "account": place.account, "region": place.region,
        "time": now.to_string(), "resources": [],
        "detail": {
            "AutoScalingGroupName": group, "LifecycleHookName": hook.name, "EC2InstanceId": instance,
            "LifecycleTransition": hook.transition.as_str(), "Origin": origin, "Destination": destination,
        },
    });
    match parse_message(event.to_string().as_bytes(), None) {
        Ok(Message::Events(mut events)) => events.pop(),
        Ok(Message::Test) => None,
        Err(error) => {
            tracing::error!(instance, group, %error, "not swept: what waits cannot be put into an event");
            None
        }
    }
}
