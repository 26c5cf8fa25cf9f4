//! What the doors on Amazon SQS share: a message from its receipt to its end.
//!
//! A message waits in the queue itself: hidden while it is worked on, and until it is due again. It is deleted only when its
//! event has ended and that is written down. Nothing is ever sent a second time.

use std::time::Duration;

use async_trait::async_trait;

use crate::ports::PortError;

/// An Amazon SQS queue, as both doors use it.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Up to `most` messages (ten at most), waited for up to `wait` (20 s at most), each hidden from now on for `hide`.
    async fn receive(&self, most: u32, wait: Duration, hide: Duration) -> Result<Vec<Received>, PortError>;

    /// Hides messages from now on, each for so long. An answer for each, in their order.
    async fn hide(&self, messages: &[(Receipt, Duration)]) -> Vec<Result<(), PortError>>;

    /// Deletes messages. An answer for each, in their order.
    async fn delete(&self, messages: &[Receipt]) -> Vec<Result<(), PortError>>;
}

/// Names one receipt of a message: what hiding and deleting take (`ReceiptHandle`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt(pub String);

/// A message, as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// `MessageId`: the same each time it is received.
    pub id: String,
    /// This receipt of it.
    pub receipt: Receipt,
    /// What it says.
    pub body: String,
    /// How often it has been received, this time included (`ApproximateReceiveCount`).
    pub receives: u32,
}
