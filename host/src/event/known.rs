//! The events that have a kind of their own, by what shows of each before it has happened.
//!
//! What a message really says is read in [`super::eventbridge`]; a test holds the two together.

use serde_json::{Value, json};

use super::Kind;
use super::eventbridge::AUTO_SCALING;

/// What all events of a kind have in common. Where a kind has several sources or detail-types, each is one of these.
#[derive(Debug)]
pub struct Known {
    /// The kind.
    pub kind: Kind,
    /// EventBridge `source`.
    pub source: &'static str,
    /// EventBridge `detail-type`.
    pub detail_type: &'static str,
    /// The fields of `detail` that tell the kind from others of the same detail-type.
    detail: &'static [(&'static str, &'static str)],
    /// All fields that `detail` may have, as far as AWS's documents show.
    pub fields: &'static [&'static str],
}

/// The detail-types of lifecycle actions.
const LAUNCH: &str = "EC2 Instance-launch Lifecycle Action";
const TERMINATE: &str = "EC2 Instance-terminate Lifecycle Action";

/// The fields of lifecycle actions ("Amazon EC2 Auto Scaling event reference").
const OF_ACTIONS: &[&str] = &[
    "AutoScalingGroupName",
    "Destination",
    "EC2InstanceId",
    "LifecycleActionToken",
    "LifecycleHookName",
    "LifecycleTransition",
    "NotificationMetadata",
    "Origin",
];

/// The fields of what fleets tell ("Monitor fleet events using Amazon EventBridge", Amazon EC2 User Guide).
const OF_FLEETS: &[&str] = &["description", "instance-id", "sub-type"];

/// The fields of notices about capacity ("Monitor Capacity Blocks", "Monitor interruptible Capacity Reservations").
const OF_CAPACITY: &[&str] = &[
    "availability-zone-id",
    "azId",
    "instance-action",
    "instance-id",
    "instance-lifecycle",
    "instance-termination-time",
];

/// The fields of AWS Health's events ("AWS Health events Amazon EventBridge schema").
const OF_HEALTH: &[&str] = &[
    "actionability",
    "affectedAccount",
    "affectedEntities",
    "backupEvent",
    "communicationId",
    "endTime",
    "eventArn",
    "eventDescription",
    "eventMetadata",
    "eventRegion",
    "eventScopeCode",
    "eventTypeCategory",
    "eventTypeCode",
    "lastUpdatedTime",
    "page",
    "personas",
    "service",
    "startTime",
    "statusCode",
    "totalPages",
];

/// All of them, in the order of [`Kind`].
pub const KNOWN: [Known; 14] = [
    lifecycle(Kind::InstanceTerminating, TERMINATE, &[("Origin", "AutoScalingGroup"), ("Destination", "EC2")]),
    lifecycle(Kind::InstanceLaunching, LAUNCH, &[("Origin", "EC2"), ("Destination", "AutoScalingGroup")]),
    lifecycle(
        Kind::InstanceReturningToWarmPool,
        TERMINATE,
        &[("Origin", "AutoScalingGroup"), ("Destination", "WarmPool")],
    ),
    lifecycle(Kind::InstanceEnteringWarmPool, LAUNCH, &[("Origin", "EC2"), ("Destination", "WarmPool")]),
    lifecycle(Kind::WarmInstanceTerminating, TERMINATE, &[("Origin", "WarmPool"), ("Destination", "EC2")]),
    lifecycle(Kind::InstanceLeavingWarmPool, LAUNCH, &[("Origin", "WarmPool"), ("Destination", "AutoScalingGroup")]),
    of_ec2(Kind::SpotInterruption, "EC2 Spot Instance Interruption Warning", &["instance-action", "instance-id"]),
    Known {
        kind: Kind::SpotInterruption,
        source: "aws.ec2spotfleet",
        detail_type: "EC2 Spot Fleet Instance Change",
        detail: &[("sub-type", "termination_notified")],
        fields: OF_FLEETS,
    },
    Known {
        kind: Kind::SpotInterruption,
        source: "aws.ec2fleet",
        detail_type: "EC2 Fleet Instance Change",
        detail: &[("sub-type", "termination_notified")],
        fields: OF_FLEETS,
    },
    of_ec2(Kind::RebalanceRecommendation, "EC2 Instance Rebalance Recommendation", &["instance-id"]),
    of_ec2(Kind::InstanceStateChange, "EC2 Instance State-change Notification", &["instance-id", "state"]),
    of_ec2(
        Kind::CapacityReservationInterruption,
        "EC2 Capacity Reservation Instance Interruption Warning",
        OF_CAPACITY,
    ),
    of_ec2(
        Kind::CapacityReservationInterruption,
        "EC2 Interruptible Capacity Reservation Instance Interruption Warning",
        OF_CAPACITY,
    ),
    Known {
        kind: Kind::ScheduledMaintenance,
        source: "aws.health",
        detail_type: "AWS Health Event",
        detail: &[("service", "EC2"), ("eventTypeCategory", "scheduledChange")],
        fields: OF_HEALTH,
    },
];

const fn lifecycle(kind: Kind, detail_type: &'static str, detail: &'static [(&'static str, &'static str)]) -> Known {
    Known { kind, source: AUTO_SCALING, detail_type, detail, fields: OF_ACTIONS }
}

const fn of_ec2(kind: Kind, detail_type: &'static str, fields: &'static [&'static str]) -> Known {
    Known { kind, source: "aws.ec2", detail_type, detail: &[], fields }
}

impl Known {
    /// Whether it is a lifecycle action, which a hook holds back.
    pub fn is_lifecycle_action(&self) -> bool {
        self.source == AUTO_SCALING
    }

    /// What shows of such an event, in EventBridge's form.
    pub fn envelope(&self) -> Value {
        let mut envelope = json!({ "source": self.source, "detail-type": self.detail_type });
        for (field, value) in self.detail {
            envelope["detail"][field] = (*value).into();
        }
        envelope
    }
}
