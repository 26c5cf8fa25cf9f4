//! The Lambda function: bare events, SNS records and SQS batches.
//!
//! Everything that can be is set up once, before the first invocation. A failed invocation is an error for Lambda, which
//! delivers the event again. Of an SQS batch, Lambda deletes what is not named in `batchItemFailures`: so what comes again is
//! named there, whether it failed or only waits, and is hidden for as long as it waits.
//!
//! That takes an event source mapping with `ReportBatchItemFailures`. Without it Lambda does not read the answer, deletes the
//! whole batch, and what only waits is left to the sweep. No invocation says whether the mapping has it, and only
//! `lambda:GetEventSourceMapping` would: whoever deploys the function has to see to it.

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
use crate::event::{Delivery, Event, Message, QueueRecord, parse_payload};
use crate::sweep::{Adopt, Groups, Sweep};

/// What is kept back of an invocation's time to answer.
const TO_ANSWER: Duration = Duration::from_secs(2);

/// What an invocation has to have, for an attempt, its end, and the answer.
const LEAST_TIME: Duration = Duration::from_secs(20);

/// The share of an invocation's time that is kept back to let go of ends, however long the round before it takes: a fifth.
const TO_TIDY: u32 = 5;

/// The queue of an ARN.
type OfArn = dyn Fn(&str) -> Arc<dyn Queue> + Send + Sync;

/// The function.
pub struct Door {
    dispatch: Arc<Dispatch>,
    dead_letters: Option<Arc<dyn DeadLetters>>,
    of_arn: Box<OfArn>,
    /// What the schedule of an EventBridge rule sets going; none if the policy has no sweep.
    sweep: Option<Sweep>,
    /// How long ends are kept in the ledger; none if nothing says for how long.
    keep: Option<Duration>,
    /// The inbox of each queue that has sent something.
    inboxes: Mutex<HashMap<String, Arc<Inbox>>>,
}

impl Door {
    /// A function that takes messages from the queues that `of_arn` gives, and sends to `dead_letters` what cannot be handled.
    pub fn new(
        dispatch: Dispatch,
        of_arn: impl Fn(&str) -> Arc<dyn Queue> + Send + Sync + 'static,
        dead_letters: Option<Arc<dyn DeadLetters>>,
    ) -> Self {
        let dispatch = Arc::new(dispatch);
        let inboxes = Mutex::default();
        Self { dispatch, dead_letters, of_arn: Box::new(of_arn), sweep: None, keep: None, inboxes }
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
            self.invoke(invocation.payload.get().as_bytes(), closes(invocation.context.deadline())).await
        }))
        .await
    }

    /// One invocation: what Lambda is answered.
    async fn invoke(&self, payload: &[u8], closes: Instant) -> Result<Value, Diagnostic> {
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
                    && let Some(sweep) = &self.sweep
                {
                    return sweep_once(sweep, self.keep, closes).await;
                }
                let events = messages.into_iter().flat_map(events).collect();
                let ends = handle_all(&self.dispatch, events, closes).await?;
                Ok(json!({ "events": ends }))
            }
            Delivery::Queue(records) => {
                // A batch is of one queue.
                let arn = records.first().and_then(|record| record.queue.clone()).unwrap_or_default();
                let batch = records.into_iter().map(received).collect();
                let again = self.inbox(arn).bring_batch_on(batch, closes).await;
                let failures: Vec<_> = again.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
                Ok(json!({ "batchItemFailures": failures }))
            }
        }
    }

    fn inbox(&self, arn: String) -> Arc<Inbox> {
        let mut inboxes = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let inbox = |arn: &String| Inbox::new((self.of_arn)(arn), self.dead_letters.clone(), self.dispatch.clone());
        Arc::clone(inboxes.entry(arn).or_insert_with_key(|arn| Arc::new(inbox(arn))))
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
fn received(record: QueueRecord) -> (Received, Result<Message, crate::event::ParseError>) {
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
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::dispatch::tests::host;
    use crate::ports::{GroupName, InstanceId, PortError, PortErrorKind};
    use crate::sim::queue::{QueueCall, SimQueue};
    use crate::sweep::{Hook, Waiting};
    use crate::testing::{INSTANCE, guests, terminating};

    const ARN: &str = "arn:aws:sqs:eu-central-1:123456789012:events";

    /// A function with one plugin, on a queue in memory.
    fn door(guest: Vec<u8>, queue: &SimQueue, dead_letters: bool) -> Door {
        let (queue, dead) = (Arc::new(queue.clone()), Arc::new(queue.clone()) as Arc<dyn DeadLetters>);
        let of_arn = move |arn: &str| -> Arc<dyn Queue> {
            assert_eq!(arn, ARN);
            queue.clone()
        };
        Door::new(host(Some(guest), "").dispatch, of_arn, dead_letters.then_some(dead))
    }

    fn queue() -> SimQueue {
        SimQueue::new(Duration::from_secs(720), None)
    }

    async fn answer(payload: Value) -> Result<Value, Diagnostic> {
        let closes = Instant::now() + Duration::from_secs(60);
        door(guests::done(), &queue(), false).invoke(payload.to_string().as_bytes(), closes).await
    }

    /// What Lambda makes of all messages that are visible.
    async fn batch(queue: &SimQueue) -> Value {
        let received = queue.receive(10, Duration::ZERO, Duration::from_secs(720)).await.unwrap();
        let record = |message: Received| {
            json!({
                "messageId": message.id, "receiptHandle": message.receipt.0, "body": message.body,
                "attributes": { "ApproximateReceiveCount": message.receives.to_string() },
                "eventSource": "aws:sqs", "eventSourceARN": ARN,
            })
        };
        json!({ "Records": received.into_iter().map(record).collect::<Vec<_>>() })
    }

    /// The event of [`terminating`], of another account when `elsewhere`.
    fn event(elsewhere: bool) -> Value {
        let mut event = terminating().envelope;
        if elsewhere {
            event["account"] = "210987654321".into();
        }
        event
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_batch_what_comes_again_is_reported_and_hidden_until_then() {
        let queue = queue();
        let test = json!({ "Event": "autoscaling:TEST_NOTIFICATION", "Service": "AWS Auto Scaling" });
        let bodies = [event(false).to_string(), "garbage {".into(), event(true).to_string(), test.to_string()];
        for body in bodies {
            queue.send(body);
        }
        let door = door(guests::again(40, 2), &queue, false);
        let closes = Instant::now() + Duration::from_secs(120);
        let failures = [json!({ "itemIdentifier": "m1" }), json!({ "itemIdentifier": "m3" })];
        let mut answer = door.invoke(batch(&queue).await.to_string().as_bytes(), closes).await.unwrap();
        let told = answer["batchItemFailures"].as_array_mut().unwrap();
        told.sort_by_key(|failure| failure["itemIdentifier"].to_string());
        assert_eq!(answer, json!({ "batchItemFailures": failures }), "what waits is not waited for");
        assert_eq!(queue.calls().last().unwrap(), "0ns hide m1 40s, m3 30s");

        tokio::time::sleep(Duration::from_secs(40)).await;
        let again = batch(&queue).await;
        let first =
            json!({ "Records": [again["Records"].as_array().unwrap().iter().find(|one| one["messageId"] == "m1")] });
        let closes = Instant::now() + Duration::from_secs(120);
        let answer = door.invoke(first.to_string().as_bytes(), closes).await.unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_of_no_use_here_is_sent_to_the_dead_letter_queue_where_there_is_one() {
        let queue = queue();
        queue.send("garbage {");
        queue.send(event(true).to_string());
        let closes = Instant::now() + Duration::from_secs(120);
        let payload = batch(&queue).await.to_string();
        let answer = door(guests::done(), &queue, true).invoke(payload.as_bytes(), closes).await.unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
        assert_eq!(queue.dead().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_that_may_not_hide_messages_reports_them_all_the_same() {
        let queue = queue();
        queue.send(event(false).to_string());
        queue.fail(QueueCall::Hide, None, 10, PortErrorKind::Denied);
        let closes = Instant::now() + Duration::from_secs(120);
        let payload = batch(&queue).await.to_string();
        let answer = door(guests::again(40, 2), &queue, true).invoke(payload.as_bytes(), closes).await.unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "m1" }] }));
    }

    #[tokio::test(start_paused = true)]
    async fn what_sns_hands_over_is_handled_like_the_event_itself() {
        let sns = json!({ "Records": [{ "EventSource": "aws:sns", "Sns": {
            "Type": "Notification", "TopicArn": "arn:aws:sns:eu-central-1:123456789012:events",
            "Message": event(false).to_string(),
        } }] });
        let done = json!({ "events": [{
            "end": "worked", "handler": "under-test", "decision": "done", "attempts": 1, "lifecycle": "continue",
        }] });
        assert_eq!(answer(sns).await.unwrap(), done);
        assert_eq!(answer(event(false)).await.unwrap(), done);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_has_a_name_to_count_by() {
        for (payload, name) in [(event(true), "Elsewhere"), (json!({ "some": "thing" }), "NotAnEvent")] {
            assert_eq!(answer(payload).await.unwrap_err().error_type, name);
        }
    }

    /// Auto Scaling that never answers, and a queue that is never asked.
    struct Silent;

    #[async_trait]
    impl Groups for Silent {
        async fn waiting(&self) -> Result<Vec<Waiting>, PortError> {
            std::future::pending().await
        }

        async fn hooks(&self, _: &GroupName) -> Result<Vec<Hook>, PortError> {
            std::future::pending().await
        }
    }

    #[async_trait]
    impl Adopt for Silent {
        async fn adopt(&self, _: &Event) -> Result<(), PortError> {
            std::future::pending().await
        }

        async fn is_behind(&self) -> Result<bool, PortError> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_that_takes_too_long_leaves_time_to_let_go_of_ends() {
        let schedule = json!({
            "version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa", "detail-type": "Scheduled Event",
            "source": "aws.events", "account": "123456789012", "time": "2026-01-15T03:00:00Z",
            "region": "eu-central-1", "resources": [], "detail": {},
        });
        let instance = InstanceId::parse(INSTANCE).unwrap();
        for (keep, kept) in [(None, 1), (Some(Duration::from_secs(3 * 3600)), 0)] {
            let door = door(guests::done(), &queue(), false).sweeping(Arc::new(Silent), Arc::new(Silent), keep);
            door.dispatch.step(&terminating(), None).await.unwrap();
            tokio::time::sleep(Duration::from_secs(4 * 3600)).await;
            let closes = Instant::now() + Duration::from_secs(60);
            let failure = door.invoke(schedule.to_string().as_bytes(), closes).await.unwrap_err();
            assert_eq!(failure.error_type, "Sweep", "{}", failure.error_message);
            assert!(closes - Instant::now() >= TO_ANSWER);
            assert_eq!(door.dispatch.ledger.ended(&instance).await.unwrap().items.len(), kept);
        }
    }
}
