//! What the doors on Amazon SQS share: a message from its receipt to its end.
//!
//! A message waits in the queue itself: hidden while it is worked on, and until it is due again. It is deleted only when
//! everything it asks for has ended and that is written down. A message that cannot be handled at all is sent to the dead-letter
//! queue; nothing else is ever sent.
//!
//! There are two such doors. Lambda brings a batch of messages and answers for all of it at once; the agent's [`Poller`]
//! receives them itself, and answers for each when it is through. Both have an [`Inbox`].
//!
//! Whatever fails here, the queue gives a message again when the time runs out for which it is hidden, and the ledger tells what
//! has been done about it. So no failure of a call to SQS is more than a delay, or a message received once more.

mod batch;
mod delay;
mod in_flight;
mod inbox;
mod poller;
mod settle;
mod steps;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

pub use inbox::Inbox;
pub use poller::Poller;
pub use steps::Steps;

use crate::ports::PortError;

/// How long a message is hidden when it is received, and each time that is extended: a host that dies costs no more time than
/// this, whatever the queue's own visibility timeout is.
pub const FIRST_HIDE: Duration = Duration::from_secs(30);

/// How often that is extended while a message is worked on: what is left when one extension has failed is enough for two more.
pub const EXTEND_EVERY: Duration = Duration::from_secs(10);

/// The longest a message can be hidden, from its receipt on: SQS allows 12 hours and refuses what ends after that
/// ("ChangeMessageVisibility"). A minute is left for what its clock and ours disagree on.
const LONGEST_HIDE: Duration = Duration::from_secs(12 * 60 * 60 - 60);

/// An Amazon SQS queue, as both doors use it.
#[async_trait]
pub trait Queue: Send + Sync {
    /// The queue, for messages: its URL or its ARN.
    fn name(&self) -> &str;

    /// What is configured about it. Cheap: it is remembered for some minutes.
    async fn attributes(&self) -> Result<Attributes, PortError>;

    /// Up to `most` messages (ten at most), waited for up to `wait` (20 s at most), each hidden from now on for `hide`.
    async fn receive(&self, most: usize, wait: Duration, hide: Duration) -> Result<Vec<Received>, PortError>;

    /// Hides messages from now on, each for so long; zero shows them. An answer for each, in their order.
    async fn hide(&self, messages: &[(Receipt, Duration)]) -> Vec<Result<(), PortError>>;

    /// Deletes messages. An answer for each, in their order.
    async fn delete(&self, messages: &[Receipt]) -> Vec<Result<(), PortError>>;
}

/// Where messages go that cannot be handled: an SQS queue that people look at.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// The queue, for messages.
    fn name(&self) -> &str;

    /// Whether there is such a queue: an error of kind [`NotFound`](crate::ports::PortErrorKind::NotFound) if not.
    async fn check(&self) -> Result<(), PortError>;

    /// Sends it a copy of `message`, and beside it `why` it was not handled.
    async fn send(&self, message: &Received, why: &str) -> Result<(), PortError>;
}

/// What is configured about a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// `VisibilityTimeout`: how long a message is hidden on receipt when nobody says otherwise.
    pub visibility_timeout: Duration,
    /// `maxReceiveCount` of its `RedrivePolicy`: how often a message can be received before SQS moves it to the dead-letter queue;
    /// none if it never does.
    pub max_receives: Option<u32>,
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
    /// When that was.
    pub at: Instant,
    /// What it says.
    pub body: String,
    /// How often it has been received, this time included (`ApproximateReceiveCount`).
    pub receives: u32,
}
