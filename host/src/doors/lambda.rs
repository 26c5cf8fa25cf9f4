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
