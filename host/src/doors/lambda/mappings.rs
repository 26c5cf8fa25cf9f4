//! How Lambda takes what a function answers to a batch: message by message, or all of it as one.
//!
//! Its event source mapping says so, and no invocation does. Lambda is asked side by side with a batch, and the answer remembered
//! for some minutes. Where there is none, the mapping is taken for one with `ReportBatchItemFailures`, as it should be: a function in
//! a network without a way to Lambda's API, or without the permission, works like any other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::ports::{PortError, PortErrorKind};

/// How long an answer is remembered, how long that we may not ask, and how long that nobody answered.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(5);
const DENIAL_REMEMBERED: SignedDuration = SignedDuration::from_hours(1);
const SILENCE_REMEMBERED: SignedDuration = SignedDuration::from_secs(30);

/// How long Lambda is waited for. It answers within tens of milliseconds where it can be reached.
const ASKING: Duration = Duration::from_secs(2);

/// What Lambda knows of the event source mappings of a function.
#[async_trait]
pub trait Mappings: Send + Sync {
    /// The one that brings messages of the queue with the ARN `queue` to `function`, an ARN with or without a version or an alias.
    async fn between(&self, function: &str, queue: &str) -> Result<Option<Mapping>, PortError>;
}

/// An event source mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// Whether it has `ReportBatchItemFailures`.
    pub reports_item_failures: bool,
    /// Whether it has filter criteria.
    pub filters: bool,
}

/// How the answer to a batch is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answering {
    /// What it names comes again, and everything else is deleted.
    ForEach,
    /// All of the batch is deleted, or all of it comes again when the invocation fails.
    ForAll,
}

/// What has been seen of mappings.
pub(super) struct Seen {
    mappings: Arc<dyn Mappings>,
    /// The host's: between invocations a function is frozen, and tokio's time with it.
    clock: Arc<dyn Clock>,
    /// By the ARN of the queue, and until when that counts.
    seen: Mutex<HashMap<String, (Answering, Timestamp)>>,
}

impl Seen {
    pub(super) fn through(mappings: Arc<dyn Mappings>, clock: Arc<dyn Clock>) -> Self {
        Self { mappings, clock, seen: Mutex::default() }
    }

    /// How the answer of `function` to a batch of `queue` is taken, as far as that can be seen: two ARNs.
    pub(super) async fn answering(&self, function: &str, queue: &str) -> Answering {
        if queue.is_empty() {
            // Records without the ARN of their queue were made by hand.
            return Answering::ForEach;
        }
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(queue).copied();
        if let Some((answering, until)) = seen
            && self.clock.now() < until
        {
            return answering;
        }
        let (answering, remembered) = match self.look(function, queue).await {
            Ok(mapping) => (judged(queue, mapping), REMEMBERED),
            Err(error) => {
                // What was seen before still counts: a mapping is seldom changed, and the worse is the safer.
                let before = seen.map(|(answering, _)| answering);
                let meaning = "without ReportBatchItemFailures in it, Lambda deletes messages that wait";
                tracing::warn!(queue, %error, ?before, meaning, "the event source mapping cannot be seen");
                let denied = error.kind == PortErrorKind::Denied;
                let remembered = if denied { DENIAL_REMEMBERED } else { SILENCE_REMEMBERED };
                (before.unwrap_or(Answering::ForEach), remembered)
            }
        };
        let until = self.clock.now().saturating_add(remembered).unwrap_or(Timestamp::MAX);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(queue.to_owned(), (answering, until));
        answering
    }

    async fn look(&self, function: &str, queue: &str) -> Result<Option<Mapping>, PortError> {
        let late = |_| {
            let what = format!("lambda:ListEventSourceMappings for {queue}: no answer within {ASKING:?}");
            Err(PortError::new(PortErrorKind::Timeout, what))
        };
        timeout(ASKING, self.mappings.between(function, queue)).await.unwrap_or_else(late)
    }
}

/// How answers are taken, with a line for what is wrong with it.
fn judged(queue: &str, mapping: Option<Mapping>) -> Answering {
    // Messages in an event that was made by hand, or brought in another way, such as by a pipe.
    let Some(mapping) = mapping else { return Answering::ForEach };
    if mapping.filters {
        let meaning = "Lambda deletes what its filter does not match, unseen: take FilterCriteria out of it, and choose events in \
                       the rule of EventBridge";
        tracing::warn!(queue, meaning, "the event source mapping has a filter");
    }
    if mapping.reports_item_failures {
        return Answering::ForEach;
    }
    let meaning = "invocations fail while messages of their batch wait, which loses nothing and makes Lambda slow down: set its \
                   FunctionResponseTypes to ReportBatchItemFailures";
    tracing::error!(queue, meaning, "the event source mapping has no ReportBatchItemFailures");
    Answering::ForAll
}
