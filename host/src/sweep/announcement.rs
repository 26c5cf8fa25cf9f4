//! The event that should have come of an instance that waits.

use jiff::Timestamp;
use serde_json::json;

use super::{Hook, Waiting};
use crate::event::{Event, Message, Transition, parse_message};
use crate::ports::Place;

/// On its way into the warm pool, or back into it: Auto Scaling has one word for both.
const INTO_THE_POOL: &str = "Warmed:Pending:Wait";

/// Which way an instance may be going that waits in that state: the hooks of these transitions can hold it back ("Lifecycle state
/// transitions for instances in a warm pool").
pub(super) fn transitions(lifecycle_state: &str) -> &'static [Transition] {
    match lifecycle_state {
        INTO_THE_POOL => &[Transition::Launching, Transition::Terminating],
        state if state.contains("Terminating") => &[Transition::Terminating],
        _ => &[Transition::Launching],
    }
}

/// The event, in EventBridge's own form, without the token that only the real one has. Where it says less than the real one (an
/// instance may come from a warm pool), it says what is so for most.
pub(super) fn announcement(waiting: &Waiting, hook: &Hook, place: &Place, now: Timestamp) -> Option<Event> {
    let (origin, destination) = from_where_to_where(&waiting.lifecycle_state, hook.transition);
    let (group, instance) = (waiting.group.as_str(), waiting.instance.as_str());
    let mut detail = json!({
        "AutoScalingGroupName": group, "LifecycleHookName": hook.name, "EC2InstanceId": instance,
        "LifecycleTransition": hook.transition.as_str(), "Origin": origin, "Destination": destination,
    });
    if let Some(metadata) = &hook.metadata {
        detail["NotificationMetadata"] = json!(metadata);
    }
    let event = json!({
        "version": "0", "id": format!("swept-{instance}-{}-{}", hook.name, now.as_second()),
        "detail-type": hook.transition.detail_type(), "source": "aws.autoscaling",
        "account": place.account, "region": place.region, "time": now.to_string(), "resources": [], "detail": detail,
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

/// `Origin` and `Destination` ("Warm pool event types").
fn from_where_to_where(lifecycle_state: &str, transition: Transition) -> (&'static str, &'static str) {
    match (transition, lifecycle_state.starts_with("Warmed:")) {
        (Transition::Terminating, _) if lifecycle_state == INTO_THE_POOL => ("AutoScalingGroup", "WarmPool"),
        (Transition::Terminating, false) => ("AutoScalingGroup", "EC2"),
        (Transition::Terminating, true) => ("WarmPool", "EC2"),
        (Transition::Launching, false) => ("EC2", "AutoScalingGroup"),
        (Transition::Launching, true) => ("EC2", "WarmPool"),
    }
}
