//! The Lambda function: bare events, SNS records and SQS batches.
//!
//! Everything that can be is set up once, before the first invocation. A failed invocation is an error for Lambda, which
//! delivers the event again; of an SQS batch, only the messages that did not come to their end are.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lambda_runtime::{Error, LambdaEvent, service_fn};
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
async fn invoke(dispatch: Arc<Dispatch>, payload: &[u8], closes: Instant) -> Result<Value, Error> {
    let delivery = parse_payload(payload).inspect_err(|error| tracing::error!(%error, "not an event"))?;
    match delivery {
        Delivery::Direct(messages) => {
            let events = messages.into_iter().flat_map(events).collect();
            let ends = handle_all(dispatch, events, closes).await?;
            Ok(json!({ "events": ends }))
        }
        Delivery::Queue(messages) => {
            let mut deliveries = JoinSet::new();
            for (id, message) in messages {
                let dispatch = Arc::clone(&dispatch);
                deliveries.spawn(async move {
                    match message {
                        Ok(message) => match handle_all(dispatch, events(message), closes).await {
                            Ok(_) => None,
                            Err(_) => Some(id),
                        },
                        Err(error) => {
                            tracing::error!(message = id, %error, "not an event: left to the queue's dead-letter policy");
                            Some(id)
                        }
                    }
                });
            }
            let failures: Vec<_> = deliveries.join_all().await.into_iter().flatten().collect();
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
async fn handle_all(dispatch: Arc<Dispatch>, events: Vec<Event>, closes: Instant) -> Result<Vec<End>, Error> {
    let mut handling = JoinSet::new();
    for event in events {
        let dispatch = Arc::clone(&dispatch);
        handling.spawn(async move {
            dispatch
                .handle(event, Some(closes))
                .await
                .inspect_err(|error| tracing::error!(%error, "not brought to its end"))
        });
    }
    Ok(handling.join_all().await.into_iter().collect::<Result<_, _>>()?)
}
