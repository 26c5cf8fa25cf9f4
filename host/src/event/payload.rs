//! Bytes to events.

use super::Event;

/// What came in at a door: how it has to be answered, and its messages.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// One event, or an SNS notification, handed to the function directly. An error makes Lambda try again.
    Direct(Vec<Message>),
    /// A batch from an SQS queue, answered with `batchItemFailures`. Each message with its `messageId`.
    Queue(Vec<(String, Result<Message, ParseError>)>),
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

/// Reads a Lambda payload: a bare event, SNS `Records` or SQS `Records`.
pub fn parse_payload(bytes: &[u8]) -> Result<Delivery, ParseError> {
    let _ = bytes;
    unimplemented!()
}

/// Reads one message: an EventBridge event, an Auto Scaling notification, or either inside an SNS envelope.
pub fn parse_message(bytes: &[u8]) -> Result<Message, ParseError> {
    let _ = bytes;
    unimplemented!()
}
