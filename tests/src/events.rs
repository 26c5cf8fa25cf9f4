//! Events as EventBridge sends them, of what happens right now.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::stack::{ACCOUNT, REGION};

/// Now, as AWS writes it: in whole seconds.
pub fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).expect("now is a time")
}

/// An event with a `detail` of its own. `id` is a UUID.
pub fn envelope(source: &str, detail_type: &str, id: &str, detail: &Value) -> Value {
    json!({
        "version": "0", "id": id, "detail-type": detail_type, "source": source, "account": ACCOUNT,
        "time": now().to_string(), "region": REGION, "resources": [], "detail": detail,
    })
}

/// That `hook` of `group` holds back `instance` on its way out. `token` is what Auto Scaling gave for it.
pub fn termination(group: &str, hook: &str, instance: &str, token: &str) -> Value {
    let detail = json!({
        "LifecycleActionToken": token, "AutoScalingGroupName": group, "LifecycleHookName": hook, "EC2InstanceId": instance,
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING", "Origin": "AutoScalingGroup", "Destination": "EC2",
    });
    let id = format!("11111111-1111-4111-8111-{}", mark(token));
    let mut event = envelope("aws.autoscaling", "EC2 Instance-terminate Lifecycle Action", &id, &detail);
    let arn = format!("arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:0:autoScalingGroupName/{group}");
    event["resources"] = json!([arn]);
    event
}

/// That EC2 takes a Spot instance back. `mark` ends the id of the event, as the last 12 digits of a UUID.
pub fn spot_warning(instance: &str, mark: &str) -> Value {
    let id = format!("22222222-2222-4222-8222-{mark}");
    let detail = json!({ "instance-id": instance, "instance-action": "terminate" });
    envelope("aws.ec2", "EC2 Spot Instance Interruption Warning", &id, &detail)
}

/// That EC2 may take a Spot instance back. `mark` is as for the warning.
pub fn rebalance_recommendation(instance: &str, mark: &str) -> Value {
    let id = format!("44444444-4444-4444-8444-{mark}");
    envelope("aws.ec2", "EC2 Instance Rebalance Recommendation", &id, &json!({ "instance-id": instance }))
}

/// The `mark` of an instance for which Auto Scaling gave a token: what ends the ids of all events about it.
pub fn mark(token: &str) -> &str {
    &token[24..]
}
