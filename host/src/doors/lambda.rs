//! The Lambda function: bare events, SNS records and SQS batches.
//!
//! Everything that can be is set up once, before the first invocation. A failed invocation is an error for Lambda, which
//! delivers the event again. Of an SQS batch, Lambda deletes what is not named in `batchItemFailures`: so what comes again is
//! named there, whether it failed or only waits, and is hidden for as long as it waits.
//!
//! That takes an event source mapping with `ReportBatchItemFailures`. Without it Lambda does not read the answer, and deletes the
//! whole batch: so where [`mappings`] sees that it is missing, an invocation fails while anything in its batch waits.

pub mod mappings;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::queue::{DeadLetters, Inbox, Queue, Receipt, Received};
use super::sweeper;
use crate::dispatch::{Dispatch, End};
use crate::event::{Delivery, Event, Message, ParseError, QueueRecord, parse_payload};
use crate::sweep::{Adopt, Groups, Sweep};
use mappings::{Answering, Mappings, Seen};

/// What is kept back of an invocation's time to answer.
const TO_ANSWER: Duration = Duration::from_secs(2);

/// What an invocation has to have, for an attempt, its end, and the answer.
const LEAST_TIME: Duration = Duration::from_secs(20);

/// What is kept back of that when messages are deleted first.
const TO_SAY: Duration = Duration::from_millis(200);

/// The share of an invocation's time that is kept back to let go of ends, however long the round before it takes: a fifth.
const TO_TIDY: u32 = 5;

/// The queue of an ARN.
type OfArn = dyn Fn(&str) -> Arc<dyn Queue> + Send + Sync;

/// Messages of a queue, and what they say.
type Batch = Vec<(Received, Result<Message, ParseError>)>;

/// The function.
pub struct Door {
    dispatch: Arc<Dispatch>,
    dead_letters: Option<Arc<dyn DeadLetters>>,
    of_arn: Box<OfArn>,
    mappings: Seen,
    /// What the schedule of an EventBridge rule sets going; none if the policy has no sweep.
    sweep: Option<Sweep>,
    /// How long ends are kept in the ledger; none if nothing says for how long.
    keep: Option<Duration>,
    /// The inbox of each queue that has sent something.
    inboxes: Mutex<HashMap<String, Arc<Inbox>>>,
}

impl Door {
    /// A function that takes messages from the queues that `of_arn` gives, as `mappings` tell, and sends to `dead_letters` what cannot
    /// be handled.
    pub fn new(
        dispatch: Dispatch,
        of_arn: impl Fn(&str) -> Arc<dyn Queue> + Send + Sync + 'static,
        mappings: Arc<dyn Mappings>,
        dead_letters: Option<Arc<dyn DeadLetters>>,
    ) -> Self {
        Self {
            mappings: Seen::through(mappings, Arc::clone(&dispatch.ports.clock)),
            dispatch: Arc::new(dispatch),
            dead_letters,
            of_arn: Box::new(of_arn),
            sweep: None,
            keep: None,
            inboxes: Mutex::default(),
        }
    }

    /// The same, and when its schedule says so it sweeps, gives what it finds to `adopt`, and lets go of ends that are older than `keep`.
    pub fn sweeping(mut self, groups: Arc<dyn Groups>, adopt: Arc<dyn Adopt>, keep: Option<Duration>) -> Self {
        self.sweep = Some(Sweep::new(Arc::clone(&self.dispatch), groups, adopt));
        self.keep = keep;
        self
    }

    /// Serves invocations until Lambda ends the process.
    pub async fn serve(self) -> Result<(), Error> {
        lambda_runtime::run(service_fn(async |invocation: LambdaEvent<Box<RawValue>>| {
            let LambdaEvent { payload, context } = invocation;
            self.invoke(&context.invoked_function_arn, payload.get().as_bytes(), closes(context.deadline())).await
        }))
        .await
    }

    /// One invocation of the function with the ARN `function`: what Lambda is answered.
    async fn invoke(&self, function: &str, payload: &[u8], closes: Instant) -> Result<Value, Diagnostic> {
        let time = closes.saturating_duration_since(Instant::now());
        if time < LEAST_TIME {
            let meaning = "no attempt fits into it, so that nothing is brought to its end: set the function's timeout to 60 to 120 s";
            tracing::error!(?time, least = ?LEAST_TIME, meaning, "the invocation has too little time");
        }
        let delivery = parse_payload(payload).map_err(|error| {
            tracing::error!(%error, "not an event");
            failed("NotAnEvent", &error)
        })?;
        match delivery {
            Delivery::Direct(messages) => {
                if let [Message::Events(events)] = messages.as_slice()
                    && let [event] = events.as_slice()
                    && sweeper::is_schedule(event)
                {
                    match &self.sweep {
                        Some(sweep) => return sweep_once(sweep, self.keep, closes).await,
                        // Unless a handler takes it, whoever has made the schedule believes that there is a sweep.
                        None if self.dispatch.taker(event).is_none() => {
                            return Err(failed(
                                "NoSweep",
                                &"a schedule has invoked the function, and the policy has no [sweep]: add it",
                            ));
                        }
                        None => {}
                    }
                }
                let events = messages.into_iter().flat_map(events).collect();
                let ends = handle_all(&self.dispatch, events, closes).await?;
                Ok(json!({ "events": ends }))
            }
            Delivery::Queue(records) => {
                // A batch is of one queue.
                let queue = records.first().and_then(|record| record.queue.clone()).unwrap_or_default();
                let batch = records.into_iter().map(received).collect();
                self.bring_batch_on(function, &queue, batch, closes).await
            }
        }
    }

    /// Brings a batch of the queue with the ARN `queue` on, and answers in a way that makes Lambda delete nothing that comes again.
    async fn bring_batch_on(
        &self,
        function: &str,
        queue: &str,
        batch: Batch,
        closes: Instant,
    ) -> Result<Value, Diagnostic> {
        let inbox = self.inbox(queue);
        let (brought, answering) =
            tokio::join!(inbox.bring_batch_on(batch, closes), self.mappings.answering(function, queue));
        let again: Vec<_> = brought.again().collect();
        if answering == Answering::ForAll && !again.is_empty() {
            let say = closes.checked_sub(TO_SAY).unwrap_or(closes);
            // What is still there then is received again, and found ended.
            let _ = tokio::time::timeout_at(say, inbox.delete(&brought)).await;
            let why = format!(
                "not every message of the batch is over ({} to come again), and without ReportBatchItemFailures in the event source \
                 mapping of {queue} only a failed invocation makes Lambda keep them: add it to the FunctionResponseTypes of the mapping",
                again.len()
            );
            return Err(failed("BatchComesAgain", &why));
        }
        let failures: Vec<_> = again.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
        Ok(json!({ "batchItemFailures": failures }))
    }

    fn inbox(&self, arn: &str) -> Arc<Inbox> {
        let mut inboxes = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inbox) = inboxes.get(arn) {
            return Arc::clone(inbox);
        }
        if self.dispatch.policy.ledger.is_none() {
            let meaning = "each instance of the function begins all work anew, and two can work on one event: name a bucket, [ledger] \
                           with store = \"s3://BUCKET/PREFIX/\"";
            tracing::error!(queue = arn, meaning, "messages come from a queue, and the policy has no [ledger]");
        }
        let inbox = Inbox::new((self.of_arn)(arn), self.dead_letters.clone(), self.dispatch.clone());
        Arc::clone(inboxes.entry(arn.to_owned()).or_insert(Arc::new(inbox)))
    }
}

/// One round of the sweep, and what has ended long ago is let go of: both as far as they come before the invocation ends.
async fn sweep_once(sweep: &Sweep, keep: Option<Duration>, closes: Instant) -> Result<Value, Diagnostic> {
    let now = Instant::now();
    let stop = closes.checked_sub(TO_ANSWER).unwrap_or(now).max(now);
    let round_stops = stop - (stop - now) / TO_TIDY;
    let swept = tokio::time::timeout_at(round_stops, sweeper::round(sweep)).await;
    if let Some(keep) = keep
        && tokio::time::timeout_at(stop, sweeper::tidy(&sweep.dispatch.ledger, keep)).await.is_err()
    {
        tracing::info!("not everything that has ended long ago could be removed yet: the next round goes on with it");
    }
    match swept {
        Ok(Ok(swept)) => Ok(json!({ "swept": swept })),
        Ok(Err(error)) => Err(failed("Sweep", &error)),
        Err(_) => {
            Err(failed("Sweep", &"the round was not over when the time of the invocation was: give the function more"))
        }
    }
}

/// When the invocation ends, on the clock that waits are measured by.
fn closes(deadline: SystemTime) -> Instant {
    Instant::now() + deadline.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO)
}

/// A record as a message that was received just now, and what it says.
fn received(record: QueueRecord) -> (Received, Result<Message, ParseError>) {
    let QueueRecord { id, receipt, receives, body, says, .. } = record;
    // A record without a receipt was made by hand. Hiding it fails, and that is said.
    let receipt = Receipt(receipt.unwrap_or_default());
    (Received { id, receipt, at: Instant::now(), body, receives }, says)
}

/// The events of a message; none for a test.
fn events(message: Message) -> Vec<Event> {
    match message {
        Message::Events(events) => events,
        Message::Test => {
            tracing::info!("test notification acknowledged");
            Vec::new()
        }
    }
}

/// Handles events side by side. All of them are brought as far as they go; then the first failure is reported.
async fn handle_all(dispatch: &Arc<Dispatch>, events: Vec<Event>, closes: Instant) -> Result<Vec<End>, Diagnostic> {
    let mut handling = JoinSet::new();
    let count = events.len();
    for (index, event) in events.into_iter().enumerate() {
        let dispatch = Arc::clone(dispatch);
        handling.spawn(async move { (index, dispatch.handle(event, Some(closes)).await) });
    }
    let mut ends = Vec::with_capacity(count);
    let mut failure = None;
    while let Some(handled) = handling.join_next().await {
        match handled {
            Ok((index, Ok(end))) => ends.push((index, end)),
            Ok((_, Err(error))) => failure = failure.or(Some(failed(error.name(), &error))),
            Err(panic) => {
                tracing::error!(error = %panic, "a fault of this host");
                failure = failure.or(Some(failed("Fault", &panic)));
            }
        }
    }
    ends.sort_by_key(|(index, _)| *index);
    failure.map_or_else(|| Ok(ends.into_iter().map(|(_, end)| end).collect()), Err)
}

/// A failure as Lambda reports it: a name to count by, and a message to read.
fn failed(name: &str, error: &impl std::fmt::Display) -> Diagnostic {
    Diagnostic { error_type: name.to_owned(), error_message: error.to_string() }
}

#[cfg(test)]
mod tests;
