//! EventBridge's form: the one form everything else is turned into, and the one place where an [`Event`] is made of it.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::fields::Fields;
use super::{Event, Kind, LifecycleAction, ParseError, Transition, health};
use crate::ports::GroupName;

/// How long before it takes a Spot instance EC2 says so ("Spot Instance interruption notices", Amazon EC2 User Guide).
pub(super) const SPOT_WARNING: SignedDuration = SignedDuration::from_secs(120);

/// The `source` of lifecycle actions.
pub(super) const AUTO_SCALING: &str = "aws.autoscaling";

impl Transition {
    /// The `detail-type` that goes with the transition ("Amazon EC2 Auto Scaling event reference").
    pub(crate) fn detail_type(self) -> &'static str {
        match self {
            Self::Launching => "EC2 Instance-launch Lifecycle Action",
            Self::Terminating => "EC2 Instance-terminate Lifecycle Action",
        }
    }
}

/// What the event in `envelope` says: one event, or one per instance it names. `detail_at` is where the message has the
/// fields of `detail`, for errors.
pub(super) fn events(envelope: Map<String, Value>, detail_at: &str) -> Result<Vec<Event>, ParseError> {
    let top = Fields::new("", &envelope);
    let detail = top.object("detail")?.shown_at(detail_at);
    let mut event = Event {
        id: top.name("id")?.to_owned(),
        kind: Kind::Other,
        source: top.name("source")?.to_owned(),
        detail_type: top.name("detail-type")?.to_owned(),
        account: top.id("account")?,
        region: top.id("region")?,
        time: top.time("time")?,
        instance: None,
        group: detail.get("AutoScalingGroupName").and_then(Value::as_str).and_then(|name| GroupName::parse(name).ok()),
        deadline: None,
        lifecycle_action: None,
        envelope: Value::Null,
    };

    // The source counts as much as the detail-type: nobody but AWS can put `aws.…` there, while anyone who may put events
    // on the bus can choose the detail-type.
    let mut maintenance = None;
    match (event.source.as_str(), event.detail_type.as_str()) {
        (AUTO_SCALING, "EC2 Instance-launch Lifecycle Action") => {
            lifecycle(&mut event, Transition::Launching, &detail)?
        }
        (AUTO_SCALING, "EC2 Instance-terminate Lifecycle Action") => {
            lifecycle(&mut event, Transition::Terminating, &detail)?;
        }
        ("aws.ec2", "EC2 Spot Instance Interruption Warning") => {
            let deadline = after(event.time, SPOT_WARNING);
            instance(&mut event, Kind::SpotInterruption, &detail, deadline)?;
        }
        // A fleet that shrinks gives its Spot instances the same two minutes ("Modify a Spot Fleet request").
        ("aws.ec2spotfleet" | "aws.ec2fleet", "EC2 Spot Fleet Instance Change" | "EC2 Fleet Instance Change")
            if detail.optional_text("sub-type")? == Some("termination_notified") =>
        {
            let deadline = after(event.time, SPOT_WARNING);
            instance(&mut event, Kind::SpotInterruption, &detail, deadline)?;
        }
        ("aws.ec2", "EC2 Instance Rebalance Recommendation") => {
            instance(&mut event, Kind::RebalanceRecommendation, &detail, None)?;
        }
        ("aws.ec2", "EC2 Instance State-change Notification") => {
            instance(&mut event, Kind::InstanceStateChange, &detail, None)?;
        }
        // Both names are in AWS's documents ("Monitor interruptible Capacity Reservations", "Monitor Capacity Blocks").
        (
            "aws.ec2",
            "EC2 Capacity Reservation Instance Interruption Warning"
            | "EC2 Interruptible Capacity Reservation Instance Interruption Warning",
        ) => {
            let deadline = detail.optional_time("instance-termination-time")?;
            instance(&mut event, Kind::CapacityReservationInterruption, &detail, deadline)?;
        }
        ("aws.health", "AWS Health Event") => maintenance = health::Maintenance::announced(&detail)?,
        _ => {}
    }
    event.envelope = Value::Object(envelope);
    match maintenance {
        Some(maintenance) => maintenance.events(event),
        None => Ok(vec![event]),
    }
}

/// An instance that a hook holds back ("Amazon EC2 Auto Scaling event reference", "Warm pool event types").
fn lifecycle(event: &mut Event, transition: Transition, detail: &Fields<'_>) -> Result<(), ParseError> {
    let said = detail.text("LifecycleTransition")?;
    if said != transition.as_str() {
        let expected = format!("{} with this detail-type", transition.as_str());
        return Err(detail.wrong("LifecycleTransition", &expected, &Value::from(said)));
    }
    let action = LifecycleAction {
        group: detail.id("AutoScalingGroupName")?,
        hook: detail.id("LifecycleHookName")?,
        instance: detail.id("EC2InstanceId")?,
        token: detail.optional_name("LifecycleActionToken")?.map(str::to_owned),
        transition,
    };
    let from_pool = detail.optional_text("Origin")? == Some("WarmPool");
    let to_pool = detail.optional_text("Destination")? == Some("WarmPool");
    event.kind = match (transition, from_pool, to_pool) {
        (Transition::Launching, _, true) => Kind::InstanceEnteringWarmPool,
        (Transition::Launching, true, false) => Kind::InstanceLeavingWarmPool,
        (Transition::Launching, false, false) => Kind::InstanceLaunching,
        (Transition::Terminating, _, true) => Kind::InstanceReturningToWarmPool,
        (Transition::Terminating, true, false) => Kind::WarmInstanceTerminating,
        (Transition::Terminating, false, false) => Kind::InstanceTerminating,
    };
    event.instance = Some(action.instance.clone());
    event.group = Some(action.group.clone());
    let token = action.token.clone();
    event.lifecycle_action = Some(action);
    event.id = token.unwrap_or_else(|| event.work_item());
    Ok(())
}

/// Something that happened to the instance in `instance-id`. The event's ARNs are of no use: that of a Spot interruption
/// holds an availability zone and no account.
fn instance(event: &mut Event, kind: Kind, detail: &Fields<'_>, deadline: Option<Timestamp>) -> Result<(), ParseError> {
    event.kind = kind;
    event.instance = Some(detail.id("instance-id")?);
    event.deadline = deadline;
    Ok(())
}

/// None only where calendars end.
fn after(time: Timestamp, duration: SignedDuration) -> Option<Timestamp> {
    time.checked_add(duration).ok()
}
