//! How Lambda takes what a function answers to a batch: message by message, or all of it as one.
//!
//! Its event source mapping says so, and no invocation does. Lambda is asked side by side with a batch, and the answer remembered
//! for some minutes. Where there is none, the mapping is taken for one with `ReportBatchItemFailures`, as it should be: a function in
//! a network without a way to Lambda's API, or without the permission, works like any other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};

use crate::ports::{PortError, PortErrorKind};

/// How long an answer is remembered, and how long that there was none.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);
const FAILURE_REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// How long Lambda is waited for. It answers within tens of milliseconds where it can be reached.
const ASKING: Duration = Duration::from_secs(2);

/// What Lambda knows of the event source mappings of a function.
#[async_trait]
pub trait Mappings: Send + Sync {
    /// Those that bring messages of the queue with the ARN `queue` to `function`, an ARN with or without a version or an alias.
    async fn between(&self, function: &str, queue: &str) -> Result<Vec<Mapping>, PortError>;
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
    /// By the ARN of the queue, and until when that counts.
    seen: Mutex<HashMap<String, (Answering, Instant)>>,
}

impl Seen {
    pub(super) fn through(mappings: Arc<dyn Mappings>) -> Self {
        Self { mappings, seen: Mutex::default() }
    }

    /// How the answer of `function` to a batch of `queue` is taken, as far as that can be seen: two ARNs.
    pub(super) async fn answering(&self, function: &str, queue: &str) -> Answering {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(queue).copied();
        if let Some((answering, until)) = seen
            && Instant::now() < until
        {
            return answering;
        }
        let found = self.look(function, queue).await;
        let (answering, remembered) = match found {
            Ok(mappings) => (judged(queue, &mappings), REMEMBERED),
            Err(error) => {
                let meaning =
                    "it is taken to have ReportBatchItemFailures: without it, Lambda deletes messages that wait";
                tracing::warn!(queue, %error, meaning, "the event source mapping cannot be seen");
                (Answering::ForEach, FAILURE_REMEMBERED)
            }
        };
        let seen = (answering, Instant::now() + remembered);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(queue.to_owned(), seen);
        answering
    }

    async fn look(&self, function: &str, queue: &str) -> Result<Vec<Mapping>, PortError> {
        let late = |_| {
            let what = format!("lambda:ListEventSourceMappings for {queue}: no answer within {ASKING:?}");
            Err(PortError::new(PortErrorKind::Timeout, what))
        };
        timeout(ASKING, self.mappings.between(function, queue)).await.unwrap_or_else(late)
    }
}

/// How answers are taken, with a line for what is wrong with it.
fn judged(queue: &str, mappings: &[Mapping]) -> Answering {
    if mappings.iter().any(|mapping| mapping.filters) {
        let meaning = "Lambda deletes what its filter does not match, unseen: take FilterCriteria out of it, and choose events in \
                       the rule of EventBridge";
        tracing::warn!(queue, meaning, "the event source mapping has a filter");
    }
    if mappings.iter().all(|mapping| mapping.reports_item_failures) {
        return Answering::ForEach;
    }
    let meaning = "invocations fail while messages of their batch wait, which loses nothing and makes Lambda slow down: set its \
                   FunctionResponseTypes to ReportBatchItemFailures";
    tracing::error!(queue, meaning, "the event source mapping has no ReportBatchItemFailures");
    Answering::ForAll
}
