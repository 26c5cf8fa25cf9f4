//! The Lambda function: bare events, SNS records and SQS batches.
//!
//! Everything that can be is set up once, before the first invocation. A failed invocation is an error for Lambda, which
//! delivers the event again; of an SQS batch, only the messages that did not come to their end are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::dispatch::{Dispatch, End};
use crate::event::{Delivery, Event, Message, parse_payload};

/// Serves invocations until Lambda ends the process.
pub async fn serve(dispatch: Dispatch) -> Result<(), Error> {
    let dispatch = Arc::new(dispatch);
    lambda_runtime::run(service_fn(|invocation: LambdaEvent<Box<RawValue>>| {
        let dispatch = Arc::clone(&dispatch);
        async move {
            let closes = closes(invocation.context.deadline());
            invoke(dispatch, invocation.payload.get().as_bytes(), closes).await
        }
    }))
    .await
}

/// When the invocation ends, on the clock that waits are measured by.
fn closes(deadline: SystemTime) -> Instant {
    Instant::now() + deadline.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO)
}

/// One invocation: what Lambda is answered.
async fn invoke(dispatch: Arc<Dispatch>, payload: &[u8], closes: Instant) -> Result<Value, Diagnostic> {
    let delivery = parse_payload(payload).map_err(|error| {
        tracing::error!(%error, "not an event");
        failed("NotAnEvent", &error)
    })?;
    match delivery {
        Delivery::Direct(messages) => {
            let events = messages.into_iter().flat_map(events).collect();
            let ends = handle_all(dispatch, events, closes).await?;
            Ok(json!({ "events": ends }))
        }
        Delivery::Queue(messages) => {
            let mut failures = Vec::new();
            let mut deliveries = JoinSet::new();
            let mut messages_of = HashMap::new();
            for (id, message) in messages {
                match message {
                    Ok(message) => {
                        let delivery = deliveries.spawn(handle_all(Arc::clone(&dispatch), events(message), closes));
                        messages_of.insert(delivery.id(), id);
                    }
                    Err(error) => {
                        tracing::error!(message = id, %error, "not an event: left to the queue's dead-letter policy");
                        failures.push(id);
                    }
                }
            }
            while let Some(delivery) = deliveries.join_next_with_id().await {
                let (task, handled) = match delivery {
                    Ok((task, handled)) => (task, handled.is_ok()),
                    // A fault of ours, which must not take the neighbours with it.
                    Err(panic) => (panic.id(), false),
                };
                if !handled {
                    failures.extend(messages_of.remove(&task));
                }
            }
            let failures: Vec<_> = failures.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
            Ok(json!({ "batchItemFailures": failures }))
        }
    }
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
async fn handle_all(dispatch: Arc<Dispatch>, events: Vec<Event>, closes: Instant) -> Result<Vec<End>, Diagnostic> {
    let mut handling = JoinSet::new();
    let count = events.len();
    for (index, event) in events.into_iter().enumerate() {
        let dispatch = Arc::clone(&dispatch);
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
    use super::*;
    use crate::dispatch::tests::host;
    use crate::testing::{guests, terminating};

    async fn answer(payload: Value) -> Result<Value, Diagnostic> {
        let dispatch = Arc::new(host(Some(guests::done()), "").dispatch);
        invoke(dispatch, payload.to_string().as_bytes(), Instant::now() + Duration::from_secs(60)).await
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
    async fn of_a_batch_only_the_messages_that_failed_are_reported() {
        let record = |id: &str, body: String| {
            json!({
                "messageId": id, "body": body, "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:events",
            })
        };
        let test = json!({ "Event": "autoscaling:TEST_NOTIFICATION", "Service": "AWS Auto Scaling" });
        let records = [
            record("good", event(false).to_string()),
            record("garbage", "garbage {".into()),
            record("elsewhere", event(true).to_string()),
            record("test", test.to_string()),
        ];
        let answer = answer(json!({ "Records": records })).await.unwrap();
        let failures = [json!({ "itemIdentifier": "garbage" }), json!({ "itemIdentifier": "elsewhere" })];
        assert_eq!(answer, json!({ "batchItemFailures": failures }));
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
}
