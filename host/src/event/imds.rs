//! What the instance metadata service announces to the instance it is asked on, as the events that EventBridge has for the
//! same things, so that the patterns of a policy take either.
//!
//! The `id` of such an envelope begins with `imds/` and is made of what is announced: asked again, or by another process, it
//! is the same event. Auto Scaling's part is in `lifecycle`.

mod lifecycle;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Map, Value, json};

pub use lifecycle::{Member, Standing, standing};

use super::eventbridge::{self, SPOT_WARNING};
use super::fields::{Fields, describe};
use super::payload::json_value;
use super::{Event, ParseError};
use crate::ports::{AccountId, InstanceId, Region};

/// An item of instance metadata that announces something ("Instance metadata categories", Amazon EC2 User Guide).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    /// EC2 takes the Spot instance back.
    SpotAction,
    /// Where Auto Scaling is taking the instance.
    TargetLifecycleState,
    /// EC2 expects to take the Spot instance back.
    Rebalance,
    /// EC2 has planned maintenance of the instance.
    Maintenance,
}

impl Item {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [Self::SpotAction, Self::TargetLifecycleState, Self::Rebalance, Self::Maintenance];

    /// Where the item is, below `/latest/meta-data/`.
    pub fn path(self) -> &'static str {
        match self {
            Self::SpotAction => "spot/instance-action",
            Self::TargetLifecycleState => "autoscaling/target-lifecycle-state",
            Self::Rebalance => "events/recommendations/rebalance",
            Self::Maintenance => "events/maintenance/scheduled",
        }
    }
}

/// Who the instance is, as its instance identity document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The instance itself.
    pub instance: InstanceId,
    /// Its account.
    pub account: AccountId,
    /// Its region.
    pub region: Region,
    /// Such as `eu-central-1a`.
    pub availability_zone: String,
}

impl Identity {
    /// Where the document is.
    pub const PATH: &str = "dynamic/instance-identity/document";

    /// Reads the document ("Instance identity documents", Amazon EC2 User Guide).
    pub fn parse(document: &str) -> Result<Self, ParseError> {
        Self::read(document).map_err(|error| error.at(Self::PATH))
    }

    fn read(document: &str) -> Result<Self, ParseError> {
        let document = object(document)?;
        let document = Fields::new("", &document);
        Ok(Self {
            instance: document.id("instanceId")?,
            account: document.id("accountId")?,
            region: document.id("region")?,
            availability_zone: document.name("availabilityZone")?.to_owned(),
        })
    }

    /// Its ARN as AWS Health writes it.
    fn arn(&self) -> String {
        let Self { instance, account, region, .. } = self;
        format!("arn:{}:ec2:{region}:{account}:instance/{instance}", self.partition())
    }

    /// What ARNs of the region begin with ("Amazon Resource Names", AWS General Reference).
    fn partition(&self) -> &'static str {
        match self.region.as_str().split('-').next() {
            Some("cn") => "aws-cn",
            Some("us") if self.region.as_str().starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }

    /// The event that `told` is. `id` says which of those of `item` it is.
    fn event(&self, item: Item, id: &str, told: Told) -> Result<Vec<Event>, ParseError> {
        let envelope = [
            ("version", json!("0")),
            ("id", json!(format!("imds/{}/{}/{id}", item.path(), self.instance))),
            ("detail-type", json!(told.detail_type)),
            ("source", json!(told.source)),
            ("account", json!(self.account)),
            ("time", json!(told.time)),
            ("region", json!(self.region)),
            ("resources", json!(told.resources)),
            ("detail", told.detail),
        ];
        eventbridge::events(envelope.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(), "detail")
    }
}

/// What an envelope says that is not the same in all of them.
struct Told {
    source: &'static str,
    detail_type: &'static str,
    time: Timestamp,
    resources: Vec<String>,
    detail: Value,
}

/// The events that `item` announces with `text`: none when there is nothing ahead. Of Auto Scaling's target state see [`standing`].
///
/// `now` is the time of those whose notice does not say when it was given.
pub fn announced(item: Item, text: &str, instance: &Identity, now: Timestamp) -> Result<Vec<Event>, ParseError> {
    match item {
        Item::SpotAction => spot_action(text, instance),
        Item::Rebalance => rebalance(text, instance),
        Item::Maintenance => maintenance(text, instance, now),
        Item::TargetLifecycleState => Ok(Vec::new()),
    }
    .map_err(|error| error.at(item.path()))
}

/// `{"action": "terminate", "time": "2017-09-18T08:22:00Z"}`: what EC2 does, and when ("Spot Instance interruption notices").
fn spot_action(text: &str, instance: &Identity) -> Result<Vec<Event>, ParseError> {
    let notice = object(text)?;
    let notice = Fields::new("", &notice);
    let (action, acts) = (notice.name("action")?, notice.time("time")?);
    // EventBridge says when the warning was given, which everything else reckons from.
    let given = acts.checked_sub(SPOT_WARNING).unwrap_or(acts);
    let told = of_ec2("EC2 Spot Instance Interruption Warning", given, instance, Some(action));
    instance.event(Item::SpotAction, &format!("{action}/{acts}"), told)
}

/// `{"noticeTime": "2020-10-27T08:22:00Z"}` ("EC2 instance rebalance recommendations").
fn rebalance(text: &str, instance: &Identity) -> Result<Vec<Event>, ParseError> {
    let notice = object(text)?;
    let given = Fields::new("", &notice).time("noticeTime")?;
    let told = of_ec2("EC2 Instance Rebalance Recommendation", given, instance, None);
    instance.event(Item::Rebalance, &given.to_string(), told)
}

/// What EC2 itself announces. The ARN has, as in EC2's own events of these types, the availability zone and no account.
fn of_ec2(detail_type: &'static str, time: Timestamp, instance: &Identity, action: Option<&str>) -> Told {
    let mut detail = json!({ "instance-id": instance.instance });
    if let Some(action) = action {
        detail["instance-action"] = json!(action);
    }
    let Identity { instance: id, availability_zone, .. } = instance;
    let arn = format!("arn:{}:ec2:{availability_zone}:instance/{id}", instance.partition());
    Told { source: "aws.ec2", detail_type, time, resources: vec![arn], detail }
}

/// A list of what is planned ("View scheduled events that affect your Amazon EC2 instances"), as AWS Health announces it.
fn maintenance(text: &str, instance: &Identity, now: Timestamp) -> Result<Vec<Event>, ParseError> {
    let list = Map::from_iter([("scheduled".to_owned(), json_value(text.as_bytes())?)]);
    let mut events = Vec::new();
    for planned in Fields::new("", &list).objects("scheduled")? {
        // What was carried out or called off stays in the list for a while.
        if planned.optional_text("State")?.is_some_and(|state| state != "active") {
            continue;
        }
        let (code, id) = (planned.name("Code")?, planned.name("EventId")?);
        let (start, end) = (planned.time("NotBefore")?, planned.optional_time("NotAfter")?);
        let mut detail = json!({
            // AWS's own number is not to be had here. What is moved to another time is another event.
            "eventArn": format!(
                "arn:{}:health:{}::event/EC2/{type_code}/{type_code}_{id}_{start}",
                instance.partition(),
                instance.region,
                type_code = type_code(code),
            ),
            "service": "EC2",
            "eventTypeCode": type_code(code),
            "eventTypeCategory": "scheduledChange",
            "eventScopeCode": "ACCOUNT_SPECIFIC",
            "startTime": as_health_writes(start),
            "statusCode": "upcoming",
            "eventRegion": instance.region,
            "affectedEntities": [{ "entityValue": instance.arn(), "status": "PENDING" }],
            "affectedAccount": instance.account,
        });
        if let Some(end) = end {
            detail["endTime"] = json!(as_health_writes(end));
        }
        if let Some(description) = planned.optional_text("Description")? {
            detail["eventDescription"] = json!([{ "language": "en_US", "latestDescription": description }]);
        }
        let told = Told {
            source: "aws.health",
            detail_type: "AWS Health Event",
            time: now,
            resources: vec![instance.arn()],
            detail,
        };
        events.extend(instance.event(Item::Maintenance, &format!("{id}/{start}"), told)?);
    }
    Ok(events)
}

/// What AWS Health calls an event of the type `code` ("Types of scheduled events"). It has finer types than the metadata: a
/// `system-maintenance` is one of the network or of the power there.
fn type_code(code: &str) -> String {
    match code {
        "instance-reboot" => "AWS_EC2_INSTANCE_REBOOT_MAINTENANCE_SCHEDULED".to_owned(),
        "system-reboot" => "AWS_EC2_SYSTEM_REBOOT_MAINTENANCE_SCHEDULED".to_owned(),
        other => format!("AWS_EC2_{}_SCHEDULED", other.to_uppercase().replace('-', "_")),
    }
}

/// Such as `Thu, 27 Aug 2026 13:19:03 GMT`.
fn as_health_writes(time: Timestamp) -> String {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_else(|_| time.to_string())
}

fn object(text: &str) -> Result<Map<String, Value>, ParseError> {
    match json_value(text.as_bytes())? {
        Value::Object(fields) => Ok(fields),
        other => Err(ParseError::new(format!("expected a JSON object, found {}", describe(&other)))),
    }
}
