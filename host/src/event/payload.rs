//! Bytes to events: what Lambda hands over, and what one message says.

use serde_json::{Map, Value};

use super::fields::{Fields, describe};
use super::{Event, eventbridge, notification};
use crate::ports::Region;

/// The largest payload that is read, in bytes: what Lambda hands to one invocation ("Lambda quotas").
pub const MAX_PAYLOAD: usize = 6 << 20;

/// The largest message that is read, in bytes: what SQS and EventBridge carry ("Amazon SQS message quotas").
pub const MAX_MESSAGE: usize = 1 << 20;

/// How deep events may nest: those of AWS do to about ten. What is written about them nests deeper, and has to be read again.
const MAX_DEPTH: usize = 64;

/// What is quoted on each side of the place where parsing stopped, in bytes.
const QUOTED_BYTES: usize = 20;

/// What came in at a door: how it has to be answered, and its messages.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// One event, or an SNS notification, handed to the function directly. An error makes Lambda try again.
    Direct(Vec<Message>),
    /// A batch from an SQS queue, answered with `batchItemFailures`.
    Queue(Vec<QueueRecord>),
}

/// A message that Lambda has received from an SQS queue ("Using Lambda with Amazon SQS").
#[derive(Debug, Clone, PartialEq)]
pub struct QueueRecord {
    /// `messageId`: what `batchItemFailures` names it by.
    pub id: String,
    /// `receiptHandle`: what hiding it takes. Lambda always gives one, a file made by hand may not.
    pub receipt: Option<String>,
    /// `eventSourceARN`: the queue.
    pub queue: Option<String>,
    /// `attributes.ApproximateReceiveCount`: how often it has been received, this time included; 1 when that is not said.
    pub receives: u32,
    /// `body`, as it is; empty when there is none.
    pub body: String,
    /// What that says.
    pub says: Result<Message, ParseError>,
}

/// What one message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Things that happened: one, or one per instance that an AWS Health event names. Never empty.
    Events(Vec<Event>),
    /// `autoscaling:TEST_NOTIFICATION`, sent when a notification is set up: acknowledged, and nothing done.
    Test,
}

/// What is not an event at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    message: String,
}

impl ParseError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// The same error, of something that stands at `path`.
    pub(super) fn at(self, path: &str) -> Self {
        Self { message: format!("{path}: {}", self.message) }
    }
}

/// Reads a Lambda payload: a bare event, SNS `Records` or SQS `Records`.
///
/// One bad record of a queue is that record's error; any other error is the payload's.
pub fn parse_payload(bytes: &[u8]) -> Result<Delivery, ParseError> {
    bounded("payload", bytes, MAX_PAYLOAD)?;
    let payload = object(bytes)?;
    if !payload.contains_key("Records") {
        bounded("message", bytes, MAX_MESSAGE)?;
        return Ok(Delivery::Direct(vec![enveloped(payload, None)?]));
    }
    let records = Fields::new("", &payload).objects("Records")?;
    match records.first() {
        None => Err(ParseError::new("Records is empty: expected records of SNS or of SQS")),
        Some(first) if first.get("Sns").is_some() => {
            Ok(Delivery::Direct(records.iter().map(sns_record).collect::<Result<_, _>>()?))
        }
        Some(first) if first.get("messageId").is_some() => {
            Ok(Delivery::Queue(records.iter().map(sqs_record).collect::<Result<_, _>>()?))
        }
        Some(first) => {
            let source = first.get("eventSource").map_or_else(|| "an unnamed source".to_owned(), describe);
            Err(ParseError::new(format!("Records[0]: expected a record of SNS or of SQS, found one of {source}")))
        }
    }
}

/// Reads one message: an EventBridge event, an Auto Scaling notification, or either inside an SNS envelope.
///
/// `region` is that of the queue it came through, where there is one: Auto Scaling notifications do not say theirs.
pub fn parse_message(bytes: &[u8], region: Option<&Region>) -> Result<Message, ParseError> {
    bounded("message", bytes, MAX_MESSAGE)?;
    enveloped(object(bytes)?, region)
}

/// The region that `arn` names.
pub(super) fn region_of_arn(arn: &str) -> Option<Region> {
    Region::parse(arn.strip_prefix("arn:")?.split(':').nth(2)?).ok()
}

/// A record that SNS hands to Lambda.
fn sns_record(record: &Fields<'_>) -> Result<Message, ParseError> {
    sns(&record.object("Sns")?, None)
}

/// A record that Lambda takes from a queue. Without an id it cannot be answered for; everything else it may lack.
fn sqs_record(record: &Fields<'_>) -> Result<QueueRecord, ParseError> {
    let id = record.name("messageId")?.to_owned();
    let said = |name| record.get(name).and_then(Value::as_str).map(str::to_owned);
    let receives = record.get("attributes").and_then(|attributes| attributes.get("ApproximateReceiveCount")?.as_str());
    Ok(QueueRecord {
        id,
        receipt: said("receiptHandle"),
        queue: said("eventSourceARN"),
        receives: receives.and_then(|receives| receives.parse().ok()).unwrap_or(1),
        body: said("body").unwrap_or_default(),
        says: sqs_message(record),
    })
}

fn sqs_message(record: &Fields<'_>) -> Result<Message, ParseError> {
    let region = record.optional_text("eventSourceARN")?.and_then(region_of_arn);
    parse_message(record.text("body")?.as_bytes(), region.as_ref()).map_err(|error| error.at(&record.path("body")))
}

/// A message that SNS may have wrapped.
fn enveloped(fields: Map<String, Value>, region: Option<&Region>) -> Result<Message, ParseError> {
    if fields.contains_key("TopicArn") && fields.contains_key("Message") {
        return sns(&Fields::new("", &fields), region);
    }
    bare(fields, region)
}

/// What SNS wrapped. A topic stands in the region of what is announced through it, wherever its queues are.
fn sns(envelope: &Fields<'_>, region: Option<&Region>) -> Result<Message, ParseError> {
    match envelope.optional_text("Type")? {
        None | Some("Notification") => {}
        Some(other) => return Err(envelope.wrong("Type", "a Notification of SNS", &Value::from(other))),
    }
    let topic = envelope.optional_text("TopicArn")?.and_then(region_of_arn);
    let text = envelope.text("Message")?.as_bytes();
    bounded("message", text, MAX_MESSAGE)
        .and_then(|()| object(text))
        .and_then(|fields| bare(fields, topic.as_ref().or(region)))
        .map_err(|error| error.at(&envelope.path("Message")))
}

/// A message as its sender wrote it, if as much can be kept of it.
fn bare(fields: Map<String, Value>, region: Option<&Region>) -> Result<Message, ParseError> {
    let message = read(fields, region)?;
    if let Message::Events(events) = &message {
        // Numbers can take several times as much when they are written again, as they are into the ledger.
        let written = events.iter().map(|event| event.envelope.to_string().len()).max().unwrap_or_default();
        if written > MAX_MESSAGE {
            let message = format!(
                "an event has {written} bytes when it is written again, more than the {MAX_MESSAGE} that are kept"
            );
            return Err(ParseError::new(message));
        }
    }
    Ok(message)
}

fn read(fields: Map<String, Value>, region: Option<&Region>) -> Result<Message, ParseError> {
    if fields.contains_key("detail-type") || fields.contains_key("detail") {
        return eventbridge::events(fields, "detail").map(Message::Events);
    }
    if notification::is_notification(&fields) {
        return notification::message(fields, region);
    }
    Err(ParseError::new(
        "not an event: neither EventBridge's (there is no `detail-type`), nor a notification of Auto Scaling (no \
         `LifecycleTransition`), nor either in a message of SNS (no `TopicArn` and `Message`)",
    ))
}

fn bounded(what: &str, bytes: &[u8], limit: usize) -> Result<(), ParseError> {
    if bytes.len() <= limit {
        return Ok(());
    }
    Err(ParseError::new(format!("the {what} has {} bytes, more than the {limit} that are read", bytes.len())))
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, ParseError> {
    if bytes.is_empty() {
        return Err(ParseError::new("empty, where a JSON object is expected"));
    }
    match json_value(bytes)? {
        Value::Object(fields) => Ok(fields),
        other => Err(ParseError::new(format!("not an event: expected a JSON object, found {}", describe(&other)))),
    }
}

/// JSON of whatever kind. An error quotes the place.
pub(super) fn json_value(bytes: &[u8]) -> Result<Value, ParseError> {
    let value = serde_json::from_slice(bytes)
        .map_err(|error| ParseError::new(format!("not JSON: {error}, near `{}`", near(bytes, &error))))?;
    if nests_deeper(&value, MAX_DEPTH) {
        return Err(ParseError::new(format!("it nests deeper than the {MAX_DEPTH} levels that are read")));
    }
    Ok(value)
}

fn nests_deeper(value: &Value, levels: usize) -> bool {
    let deeper = |inner: &Value| levels == 0 || nests_deeper(inner, levels - 1);
    match value {
        Value::Array(values) => values.iter().any(deeper),
        Value::Object(fields) => fields.values().any(deeper),
        _ => false,
    }
}

/// The text around the place where parsing stopped, on one line.
fn near(bytes: &[u8], error: &serde_json::Error) -> String {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let line_start: usize = lines.take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    let stopped = (line_start + error.column()).min(bytes.len());
    let quoted = &bytes[stopped.saturating_sub(QUOTED_BYTES)..(stopped + QUOTED_BYTES).min(bytes.len())];
    String::from_utf8_lossy(quoted).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
