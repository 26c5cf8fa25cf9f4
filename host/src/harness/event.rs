//! Events of a case that are given by their kind: the rest is what AWS would send for an ordinary instance.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::event::{Kind, Transition};
use crate::ports::{AccountId, GroupName, HookName, InstanceId, Region};

/// What an event is about. What a case leaves out has its default here, and nowhere else.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) account: AccountId,
    pub(super) region: Region,
    pub(super) time: Timestamp,
    pub(super) id: Option<String>,
    pub(super) token: Option<String>,
    pub(super) instance: InstanceId,
    pub(super) group: GroupName,
    pub(super) hook: HookName,
    /// Further fields of `detail`, over those that are made here.
    pub(super) detail: Map<String, Value>,
}

/// The event in EventBridge's form ("Amazon EC2 Auto Scaling event reference", "EC2 Spot Instance interruption notices",
/// "EC2 instance state change events", "Reference for AWS Health events").
pub(super) fn envelope(kind: Kind, about: &About) -> Value {
    let About { account, region, instance, .. } = about;
    let arn = format!("arn:aws:ec2:{region}:{account}:instance/{instance}");
    let warning = json!({ "instance-id": instance.as_str(), "instance-action": "terminate" });
    let (source, detail_type, detail) = match kind {
        Kind::InstanceTerminating => lifecycle(about, Transition::Terminating, "AutoScalingGroup", "EC2"),
        Kind::InstanceReturningToWarmPool => lifecycle(about, Transition::Terminating, "AutoScalingGroup", "WarmPool"),
        Kind::WarmInstanceTerminating => lifecycle(about, Transition::Terminating, "WarmPool", "EC2"),
        Kind::InstanceLaunching => lifecycle(about, Transition::Launching, "EC2", "AutoScalingGroup"),
        Kind::InstanceEnteringWarmPool => lifecycle(about, Transition::Launching, "EC2", "WarmPool"),
        Kind::InstanceLeavingWarmPool => lifecycle(about, Transition::Launching, "WarmPool", "AutoScalingGroup"),
        Kind::SpotInterruption => ("aws.ec2", "EC2 Spot Instance Interruption Warning", warning),
        Kind::RebalanceRecommendation => {
            ("aws.ec2", "EC2 Instance Rebalance Recommendation", json!({ "instance-id": instance.as_str() }))
        }
        Kind::InstanceStateChange => {
            let detail = json!({ "instance-id": instance.as_str(), "state": "shutting-down" });
            ("aws.ec2", "EC2 Instance State-change Notification", detail)
        }
        Kind::CapacityReservationInterruption => {
            ("aws.ec2", "EC2 Capacity Reservation Instance Interruption Warning", warning)
        }
        Kind::ScheduledMaintenance => ("aws.health", "AWS Health Event", maintenance(about, &arn)),
        Kind::Other => ("example", "Example", json!({})),
    };
    let mut detail = detail;
    if let Value::Object(detail) = &mut detail {
        detail.extend(about.detail.clone());
    }
    json!({
        "version": "0",
        "id": about.id.clone().unwrap_or_else(|| format!("{}-{instance}", kind.as_str())),
        "source": source,
        "detail-type": detail_type,
        "account": account.as_str(),
        "region": region.as_str(),
        "time": about.time.to_string(),
        "resources": [arn],
        "detail": detail,
    })
}

fn lifecycle(
    about: &About,
    transition: Transition,
    origin: &str,
    destination: &str,
) -> (&'static str, &'static str, Value) {
    let About { instance, group, hook, .. } = about;
    let token = about.token.clone().unwrap_or_else(|| format!("token-of-{hook}-{instance}"));
    let detail = json!({
        "LifecycleActionToken": token,
        "AutoScalingGroupName": group.as_str(),
        "LifecycleHookName": hook.as_str(),
        "EC2InstanceId": instance.as_str(),
        "LifecycleTransition": transition.as_str(),
        "Origin": origin,
        "Destination": destination,
    });
    let detail_type = match transition {
        Transition::Launching => "EC2 Instance-launch Lifecycle Action",
        Transition::Terminating => "EC2 Instance-terminate Lifecycle Action",
    };
    ("aws.autoscaling", detail_type, detail)
}

/// An instance whose hardware retires in two weeks.
fn maintenance(about: &About, arn: &str) -> Value {
    let About { region, time, .. } = about;
    let code = "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED";
    let starts = time.saturating_add(jiff::SignedDuration::from_hours(14 * 24)).unwrap_or(*time);
    json!({
        "eventArn": format!("arn:aws:health:{region}::event/EC2/{code}/{code}_1"),
        "service": "EC2",
        "eventTypeCode": code,
        "eventTypeCategory": "scheduledChange",
        "eventScopeCode": "ACCOUNT_SPECIFIC",
        "startTime": starts.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        "statusCode": "open",
        "eventRegion": region.as_str(),
        "affectedEntities": [{ "entityValue": arn, "status": "PENDING" }],
        "affectedAccount": about.account.as_str(),
        "page": "1",
        "totalPages": "1",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Message, parse_message};

    const KINDS: [Kind; 12] = [
        Kind::InstanceTerminating,
        Kind::InstanceLaunching,
        Kind::InstanceReturningToWarmPool,
        Kind::InstanceEnteringWarmPool,
        Kind::WarmInstanceTerminating,
        Kind::InstanceLeavingWarmPool,
        Kind::SpotInterruption,
        Kind::RebalanceRecommendation,
        Kind::InstanceStateChange,
        Kind::CapacityReservationInterruption,
        Kind::ScheduledMaintenance,
        Kind::Other,
    ];

    #[test]
    fn every_kind_is_read_as_itself() {
        let about = About {
            account: AccountId::parse("123456789012").unwrap(),
            region: Region::parse("eu-central-1").unwrap(),
            time: "2026-01-15T03:00:00Z".parse().unwrap(),
            id: None,
            token: None,
            instance: InstanceId::parse("i-0123456789abcdef0").unwrap(),
            group: GroupName::parse("web").unwrap(),
            hook: HookName::parse("drain").unwrap(),
            detail: Map::new(),
        };
        for kind in KINDS {
            let envelope = envelope(kind, &about).to_string();
            let events = match parse_message(envelope.as_bytes(), None) {
                Ok(Message::Events(events)) => events,
                other => panic!("{kind:?}: {other:?}"),
            };
            let [event] = &events[..] else { panic!("{kind:?}: {events:?}") };
            assert_eq!(event.kind, kind);
            let instance = event.instance.as_ref().map(InstanceId::as_str);
            assert_eq!(instance, (kind != Kind::Other).then_some("i-0123456789abcdef0"), "{kind:?}");
        }
    }
}
