//! Scheduled changes of EC2 instances, as AWS Health announces them ("AWS Health events Amazon EventBridge schema").

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde_json::Value;

use super::fields::Fields;
use super::{Event, Kind, ParseError};
use crate::ports::{AccountId, InstanceId, Region};

/// What the events made of one announcement may come to together, in bytes of JSON or of memory, whichever is more. A full page of AWS
/// Health is 256 KB, nearly all of it instances, and comes to a third of this.
const MAX_EVENTS_BYTES: usize = 32 << 20;

/// Maintenance that lies ahead, with the instances it affects: at least one.
pub(super) struct Maintenance {
    arn: String,
    start: Option<Timestamp>,
    account: Option<AccountId>,
    region: Option<Region>,
    /// Each with its place in `affectedEntities`.
    instances: Vec<(InstanceId, usize)>,
}

impl Maintenance {
    /// The maintenance that `detail` announces; none for any other Health event, one that names no instance, and one that is
    /// closed, since what is over or called off is not ahead.
    pub(super) fn announced(detail: &Fields<'_>) -> Result<Option<Self>, ParseError> {
        if detail.optional_text("service")? != Some("EC2")
            || detail.optional_text("eventTypeCategory")? != Some("scheduledChange")
            || detail.optional_text("statusCode")? == Some("closed")
        {
            return Ok(None);
        }
        let mut seen = HashSet::new();
        let mut instances = Vec::new();
        for (position, entity) in detail.objects("affectedEntities")?.iter().enumerate() {
            let resolved = entity.optional_text("status")? == Some("RESOLVED");
            let Some(instance) = entity.optional_text("entityValue")?.and_then(instance_named) else { continue };
            if !resolved && seen.insert(instance.clone()) {
                instances.push((instance, position));
            }
        }
        if instances.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            arn: detail.name("eventArn")?.to_owned(),
            start: detail.optional_time("startTime")?,
            // An organization's view and the backup region deliver events of other accounts and regions.
            account: detail.optional_id("affectedAccount")?,
            region: detail.optional_id("eventRegion")?,
            instances,
        }))
    }

    /// One event per instance, each saying of `event` what concerns its own instance: a handler that is to look after one
    /// has no business with the others, and a list repeated in each of its members grows with the square of it.
    pub(super) fn events(self, mut event: Event) -> Result<Vec<Event>, ParseError> {
        let entities = take_list(event.envelope.pointer_mut("/detail/affectedEntities"));
        let mut resources: HashMap<InstanceId, Vec<Value>> = HashMap::new();
        for resource in take_list(event.envelope.get_mut("resources")) {
            if let Some(instance) = resource.as_str().and_then(instance_named) {
                resources.entry(instance).or_default().push(resource);
            }
        }
        let each = event.envelope.to_string().len().max(held(&event.envelope));
        if each.saturating_mul(self.instances.len()) > MAX_EVENTS_BYTES {
            return Err(ParseError::new(format!(
                "detail.affectedEntities: {} instances with {each} bytes each come to more than {MAX_EVENTS_BYTES} bytes",
                self.instances.len()
            )));
        }
        event.kind = Kind::ScheduledMaintenance;
        event.deadline = self.start;
        event.account = self.account.unwrap_or(event.account);
        event.region = self.region.unwrap_or(event.region);
        let of_instance = |(instance, position): (InstanceId, usize)| {
            let mut event = event.clone();
            if let Some(list) = event.envelope.pointer_mut("/detail/affectedEntities") {
                *list = entities.get(position).cloned().into_iter().collect();
            }
            if let Some(list) = event.envelope.get_mut("resources") {
                *list = resources.remove(&instance).into_iter().flatten().collect();
            }
            // What is moved to another time is another event.
            let start = self.start.map(|start| format!("@{start}")).unwrap_or_default();
            event.id = format!("{}#{instance}{start}", self.arn);
            event.instance = Some(instance);
            event
        };
        Ok(self.instances.into_iter().map(of_instance).collect())
    }
}

/// What a value takes in memory at least, in bytes: a list of single digits is sixteen times as large as its text.
fn held(value: &Value) -> usize {
    let below: usize = match value {
        Value::Array(values) => values.iter().map(held).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + held(value)).sum(),
        Value::String(text) => text.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + below
}

/// Leaves an empty list where there was one.
fn take_list(list: Option<&mut Value>) -> Vec<Value> {
    list.and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default()
}

/// The instance that `entity` names: its id, or its ARN. Volumes and hosts are maintained too.
fn instance_named(entity: &str) -> Option<InstanceId> {
    let id = match entity.split_once(":instance/") {
        Some((arn, id)) if arn.starts_with("arn:") => id,
        _ => entity,
    };
    InstanceId::parse(id).ok()
}
