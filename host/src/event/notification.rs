//! Auto Scaling's own notifications, sent to SNS or SQS without EventBridge, turned into EventBridge's form.

use serde_json::{Map, Value, json};

use super::eventbridge::{self, AUTO_SCALING};
use super::fields::Fields;
use super::payload::region_of_arn;
use super::{Message, ParseError, Transition};
use crate::ports::{AccountId, Region};

/// What Auto Scaling sends when a notification is set up.
const TEST: &str = "autoscaling:TEST_NOTIFICATION";

/// Whether `fields` are meant to be a notification, complete or not.
pub(super) fn is_notification(fields: &Map<String, Value>) -> bool {
    let begins = |name, prefix| fields.get(name).and_then(Value::as_str).is_some_and(|text| text.starts_with(prefix));
    fields.contains_key("LifecycleTransition")
        || begins("Event", "autoscaling:")
        || begins("Service", "AWS Auto Scaling")
}

/// Reads a notification. `region` is where it came through, as far as that is known: notifications do not say their region.
pub(super) fn message(mut fields: Map<String, Value>, region: Option<&Region>) -> Result<Message, ParseError> {
    let read = Fields::new("", &fields);
    let event = read.optional_name("Event")?;
    if event == Some(TEST) {
        return Ok(Message::Test);
    }
    let detail_type = match event {
        Some(event) if read.get("LifecycleTransition").is_none() => told_afterwards(event),
        _ => transition(&read)?.detail_type(),
    };
    let group_arn = read.optional_name("AutoScalingGroupARN")?;
    let region = group_arn.and_then(region_of_arn).or_else(|| region.cloned()).ok_or_else(|| {
        ParseError::new(
            "an Auto Scaling notification does not say its region, and this one came through no topic or queue whose ARN \
             does: send it through SNS or SQS, or add AutoScalingGroupARN",
        )
    })?;
    read.time("Time")?;
    let told = [
        ("version", json!("0")),
        ("id", json!(read.name("RequestId")?)),
        ("detail-type", json!(detail_type)),
        ("source", json!(AUTO_SCALING)),
        ("account", json!(read.id::<AccountId>("AccountId")?)),
        ("time", json!(read.text("Time")?)),
        ("region", json!(region)),
        ("resources", json!(Vec::from_iter(group_arn))),
    ];
    let mut envelope: Map<_, _> = told.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for told_by_the_envelope in ["AccountId", "AutoScalingGroupARN", "RequestId", "Service", "Time"] {
        fields.remove(told_by_the_envelope);
    }
    envelope.insert("detail".to_owned(), Value::Object(fields));
    Ok(Message::Events(eventbridge::events(envelope, "")?))
}

fn transition(read: &Fields<'_>) -> Result<Transition, ParseError> {
    let said = read.text("LifecycleTransition")?;
    [Transition::Launching, Transition::Terminating]
        .into_iter()
        .find(|transition| transition.as_str() == said)
        .ok_or_else(|| {
            let expected = format!("{} or {}", Transition::Launching.as_str(), Transition::Terminating.as_str());
            read.wrong("LifecycleTransition", &expected, &Value::from(said))
        })
}

/// The `detail-type` under which EventBridge has what a notification tells when it is over and nobody waits any more.
fn told_afterwards(event: &str) -> &str {
    match event {
        "autoscaling:EC2_INSTANCE_LAUNCH" => "EC2 Instance Launch Successful",
        "autoscaling:EC2_INSTANCE_LAUNCH_ERROR" => "EC2 Instance Launch Unsuccessful",
        "autoscaling:EC2_INSTANCE_TERMINATE" => "EC2 Instance Terminate Successful",
        "autoscaling:EC2_INSTANCE_TERMINATE_ERROR" => "EC2 Instance Terminate Unsuccessful",
        other => other,
    }
}
