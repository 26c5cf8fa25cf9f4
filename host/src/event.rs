//! Events: what happened to which instance, normalised from whatever form it arrived in.
//!
//! Owns the forms AWS sends (EventBridge, Auto Scaling notifications, Lambda payloads, instance metadata) and the one form
//! everything else uses. Pure: bytes in, [`Event`]s out. Knows nothing of policy, of who handles an event, or of AWS clients.

mod eventbridge;
mod fields;
mod health;
pub mod imds;
mod known;
mod notification;
mod payload;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use known::{KNOWN, Known};
pub use payload::{Delivery, MAX_MESSAGE, MAX_PAYLOAD, Message, ParseError, QueueRecord, parse_message, parse_payload};

use crate::ports::{AccountId, GroupName, HookName, InstanceId, Region};

/// One thing that happened to one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Identity of what happened: the same for every delivery of it. The lifecycle action's token where there is one, else
    /// the id AWS gave the event, with the instance where one event names several.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// EventBridge `source`.
    pub source: String,
    /// EventBridge `detail-type`.
    pub detail_type: String,
    /// The account it happened in.
    pub account: AccountId,
    /// The region it happened in.
    pub region: Region,
    /// When it happened.
    pub time: Timestamp,
    /// The instance it happened to. None only for [`Kind::Other`].
    pub instance: Option<InstanceId>,
    /// The Auto Scaling group, where the event names one.
    pub group: Option<GroupName>,
    /// When AWS acts whatever we do, as far as the event itself tells (a Spot interruption: two minutes after `time`).
    pub deadline: Option<Timestamp>,
    /// The lifecycle action that waits for a result, where there is one.
    pub lifecycle_action: Option<LifecycleAction>,
    /// The event in EventBridge's form, whatever form it arrived in: what the patterns of a policy are matched against. Where
    /// one event names several instances, each has its own, which names no other.
    pub envelope: Value,
}

impl Event {
    /// The event's own `detail`, as JSON text.
    pub fn detail(&self) -> String {
        self.envelope.get("detail").map_or_else(|| "{}".to_owned(), Value::to_string)
    }

    /// What it is about, for people: `terminating, hook drain of group web`.
    pub(crate) fn about(&self) -> String {
        let kind = self.kind.in_short();
        match (&self.lifecycle_action, &self.group) {
            (Some(action), _) => format!("{kind}, hook {} of group {}", action.hook, action.group),
            (None, Some(group)) => format!("{kind}, group {group}"),
            (None, None) => kind.to_owned(),
        }
    }

    /// What is to be done, whichever way it was announced: account, region, group, hook, instance and transition of a
    /// lifecycle action, the instance that EC2 takes back for good, else the event's id. Unlike the id it is the same with and without a
    /// token, and from EventBridge and the instance's own metadata.
    pub fn work_item(&self) -> String {
        let (account, region) = (&self.account, &self.region);
        if let (Kind::SpotInterruption, Some(instance)) = (self.kind, &self.instance)
            && self.envelope["detail"]["instance-action"] == "terminate"
        {
            return format!("{account}/{region}/{instance}/spot-termination");
        }
        match &self.lifecycle_action {
            Some(LifecycleAction { group, hook, instance, transition, .. }) => {
                format!("{account}/{region}/{group}/{hook}/{instance}/{}", transition.as_str())
            }
            // Its sender chose the id: it must not be taken for that of a lifecycle action.
            None if self.id.starts_with(&format!("{}/", self.account)) => format!("event {}", self.id),
            None => self.id.clone(),
        }
    }
}

/// What happened, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A lifecycle hook holds the instance back on its way out of the group.
    InstanceTerminating,
    /// A lifecycle hook holds the instance back on its way into service.
    InstanceLaunching,
    /// A hook on terminate, with destination `WarmPool`: the instance leaves service but is kept.
    InstanceReturningToWarmPool,
    /// A hook on launch, with destination `WarmPool`: the instance is being prepared for the pool.
    InstanceEnteringWarmPool,
    /// A hook on terminate, with origin `WarmPool`: an instance of the pool goes for good. It may be stopped.
    WarmInstanceTerminating,
    /// A hook on launch, with origin `WarmPool`: an instance leaves the pool for service.
    InstanceLeavingWarmPool,
    /// EC2 takes the Spot instance back two minutes after `time`.
    SpotInterruption,
    /// EC2 expects to take the Spot instance back.
    RebalanceRecommendation,
    /// The instance entered another state.
    InstanceStateChange,
    /// EC2 takes back the capacity reservation the instance runs in.
    CapacityReservationInterruption,
    /// AWS Health announces maintenance of the instance.
    ScheduledMaintenance,
    /// Any other event.
    Other,
}

impl Kind {
    /// The word of the contract, without what all of them are about.
    pub(crate) fn in_short(self) -> &'static str {
        let word = self.as_str();
        word.strip_prefix("instance-").unwrap_or(word)
    }

    /// The word of the contract, `event.kind` in `wit/types.wit`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InstanceTerminating => "instance-terminating",
            Self::InstanceLaunching => "instance-launching",
            Self::InstanceReturningToWarmPool => "instance-returning-to-warm-pool",
            Self::InstanceEnteringWarmPool => "instance-entering-warm-pool",
            Self::WarmInstanceTerminating => "warm-instance-terminating",
            Self::InstanceLeavingWarmPool => "instance-leaving-warm-pool",
            Self::SpotInterruption => "spot-interruption",
            Self::RebalanceRecommendation => "rebalance-recommendation",
            Self::InstanceStateChange => "instance-state-change",
            Self::CapacityReservationInterruption => "capacity-reservation-interruption",
            Self::ScheduledMaintenance => "scheduled-maintenance",
            Self::Other => "other",
        }
    }
}

/// What waits for a result: an instance held back by a lifecycle hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleAction {
    /// The group that owns the hook.
    pub group: GroupName,
    /// The hook.
    pub hook: HookName,
    /// The instance held back.
    pub instance: InstanceId,
    /// Names this one occurrence to Auto Scaling; without it the action is completed by instance id.
    pub token: Option<String>,
    /// Which way the instance is going.
    pub transition: Transition,
}

/// Auto Scaling's `LifecycleTransition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transition {
    /// Into service, or into the warm pool.
    #[serde(rename = "autoscaling:EC2_INSTANCE_LAUNCHING")]
    Launching,
    /// Out of service.
    #[serde(rename = "autoscaling:EC2_INSTANCE_TERMINATING")]
    Terminating,
}

impl Transition {
    /// Auto Scaling's own word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Launching => "autoscaling:EC2_INSTANCE_LAUNCHING",
            Self::Terminating => "autoscaling:EC2_INSTANCE_TERMINATING",
        }
    }
}
