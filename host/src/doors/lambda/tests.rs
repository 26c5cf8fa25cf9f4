//! Invocations, on a queue in memory.

use async_trait::async_trait;

use super::mappings::Mapping;
use super::*;
use crate::dispatch::tests::host;
use crate::ports::{GroupName, InstanceId, PortError, PortErrorKind};
use crate::sim::queue::{QueueCall, SimQueue};
use crate::sweep::{Hook, Waiting};
use crate::testing::{INSTANCE, guests, terminating};

const ARN: &str = "arn:aws:sqs:eu-central-1:123456789012:events";

const FUNCTION: &str = "arn:aws:lambda:eu-central-1:123456789012:function:hostler";

/// Lambda as it tells of mappings, and whoever asks; the answers run out, and the last stays.
struct Told(Mutex<Vec<Seen>>);

type Seen = Result<Option<Mapping>, PortError>;

#[async_trait]
impl Mappings for Told {
    async fn between(&self, function: &str, queue: &str) -> Seen {
        assert_eq!((function, queue), (FUNCTION, ARN));
        let mut answers = self.0.lock().unwrap();
        if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
    }
}

const GOOD: Mapping = Mapping { reports_item_failures: true, filters: false };
const BAD: Mapping = Mapping { reports_item_failures: false, filters: false };

/// A function with one plugin, on a queue in memory.
fn door(guest: Vec<u8>, queue: &SimQueue, dead_letters: bool) -> Door {
    mapped(guest, queue, dead_letters, vec![Ok(Some(GOOD))])
}

/// The same, with what Lambda answers one after the other about its mapping.
fn mapped(guest: Vec<u8>, queue: &SimQueue, dead_letters: bool, told: Vec<Seen>) -> Door {
    let (queue, dead) = (Arc::new(queue.clone()), Arc::new(queue.clone()) as Arc<dyn DeadLetters>);
    let of_arn = move |arn: &str| -> Arc<dyn Queue> {
        assert_eq!(arn, ARN);
        queue.clone()
    };
    let told = Arc::new(Told(Mutex::new(told)));
    Door::new(host(Some(guest), "").dispatch, of_arn, told, dead_letters.then_some(dead))
}

fn queue() -> SimQueue {
    SimQueue::new(Duration::from_secs(720), None)
}

async fn answer(payload: Value) -> Result<Value, Diagnostic> {
    let closes = Instant::now() + Duration::from_secs(60);
    door(guests::done(), &queue(), false).invoke(FUNCTION, payload.to_string().as_bytes(), closes).await
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
    let mut answer = door.invoke(FUNCTION, batch(&queue).await.to_string().as_bytes(), closes).await.unwrap();
    let told = answer["batchItemFailures"].as_array_mut().unwrap();
    told.sort_by_key(|failure| failure["itemIdentifier"].to_string());
    assert_eq!(answer, json!({ "batchItemFailures": failures }), "what waits is not waited for");
    assert_eq!(queue.calls().last().unwrap(), "0ns hide m1 40s, m3 30s");

    tokio::time::sleep(Duration::from_secs(40)).await;
    let again = batch(&queue).await;
    let first =
        json!({ "Records": [again["Records"].as_array().unwrap().iter().find(|one| one["messageId"] == "m1")] });
    let closes = Instant::now() + Duration::from_secs(120);
    let answer = door.invoke(FUNCTION, first.to_string().as_bytes(), closes).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_takes_all_or_nothing_gets_a_failure_while_anything_waits() {
    let queue = queue();
    let silence = PortError::new(PortErrorKind::Timeout, "no answer");
    let door = mapped(guests::again(40, 2), &queue, false, vec![Ok(Some(BAD)), Err(silence), Ok(Some(GOOD))]);
    queue.send(event(false).to_string());
    queue.send("garbage {");
    let closes = || Instant::now() + Duration::from_secs(120);
    let failed = door.invoke(FUNCTION, batch(&queue).await.to_string().as_bytes(), closes()).await.unwrap_err();
    assert_eq!(failed.error_type, "BatchComesAgain");
    insta::assert_snapshot!(failed.error_message, @"not every message of the batch is over (1 to come again), and without ReportBatchItemFailures in the event source mapping of arn:aws:sqs:eu-central-1:123456789012:events only a failed invocation makes Lambda keep them: add it to the FunctionResponseTypes of the mapping");
    insta::assert_snapshot!(queue.calls().join("\n"), @"
    0ns receive m1 m2
    0ns hide m1 30s, m2 30s
    0ns hide m1 40s
    0ns delete m2
    ");

    // It is through: what Lambda deletes is over.
    tokio::time::sleep(Duration::from_secs(40)).await;
    let answer = door.invoke(FUNCTION, batch(&queue).await.to_string().as_bytes(), closes()).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));

    // Nobody answers when it is asked about anew: what was seen still counts.
    tokio::time::sleep(Duration::from_secs(300)).await;
    queue.send(event(true).to_string());
    door.invoke(FUNCTION, batch(&queue).await.to_string().as_bytes(), closes()).await.unwrap_err();

    // It has been mended, and soon that is seen.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let answer = door.invoke(FUNCTION, batch(&queue).await.to_string().as_bytes(), closes()).await.unwrap();
    assert_eq!(answer["batchItemFailures"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_cannot_be_seen_is_taken_for_a_good_one() {
    let queue = queue();
    let denied = PortError::new(PortErrorKind::Denied, "not allowed by IAM");
    let door = mapped(guests::again(40, 2), &queue, false, vec![Err(denied)]);
    queue.send(event(false).to_string());
    let closes = Instant::now() + Duration::from_secs(120);
    let answer = door.invoke(FUNCTION, batch(&queue).await.to_string().as_bytes(), closes).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "m1" }] }));
}

#[tokio::test(start_paused = true)]
async fn what_is_of_no_use_here_is_sent_to_the_dead_letter_queue_where_there_is_one() {
    let queue = queue();
    queue.send("garbage {");
    queue.send(event(true).to_string());
    let closes = Instant::now() + Duration::from_secs(120);
    let payload = batch(&queue).await.to_string();
    let answer = door(guests::done(), &queue, true).invoke(FUNCTION, payload.as_bytes(), closes).await.unwrap();
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
    let answer = door(guests::again(40, 2), &queue, true).invoke(FUNCTION, payload.as_bytes(), closes).await.unwrap();
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

/// The event of a rule with a schedule.
fn schedule() -> Value {
    json!({
        "version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa", "detail-type": "Scheduled Event",
        "source": "aws.events", "account": "123456789012", "time": "2026-01-15T03:00:00Z",
        "region": "eu-central-1", "resources": [], "detail": {},
    })
}

#[tokio::test(start_paused = true)]
async fn a_schedule_of_a_function_that_sweeps_nothing_is_a_failure() {
    let failure = answer(schedule()).await.unwrap_err();
    assert_eq!(failure.error_type, "NoSweep");
    insta::assert_snapshot!(failure.error_message, @"a schedule has invoked the function, and the policy has no [sweep]: add it");
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
    let instance = InstanceId::parse(INSTANCE).unwrap();
    for (keep, kept) in [(None, 1), (Some(Duration::from_secs(3 * 3600)), 0)] {
        let door = door(guests::done(), &queue(), false).sweeping(Arc::new(Silent), Arc::new(Silent), keep);
        door.dispatch.step(&terminating(), None).await.unwrap();
        tokio::time::sleep(Duration::from_secs(4 * 3600)).await;
        let closes = Instant::now() + Duration::from_secs(60);
        let failure = door.invoke(FUNCTION, schedule().to_string().as_bytes(), closes).await.unwrap_err();
        assert_eq!(failure.error_type, "Sweep", "{}", failure.error_message);
        assert!(closes - Instant::now() >= TO_ANSWER);
        assert_eq!(door.dispatch.ledger.ended(&instance).await.unwrap().items.len(), kept);
    }
}
