//! The queues: Amazon SQS.
//!
//! Each call here has less time than others: a message is hidden for half a minute, and what is done about it has to be done
//! before that is over.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{self, Config};
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::error::Call;
use crate::doors::queue::{Attributes, DeadLetters, Queue, Receipt, Received};
use crate::event::Event;
use crate::ports::{PortError, PortErrorKind};
use crate::sweep::Adopt;

/// For one try of a call, and for a call with all its tries. SQS answers within tens of milliseconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What receiving may take beyond the time it waits for messages.
const AFTER_THE_WAIT: Duration = Duration::from_secs(10);

/// How many messages one call can be about ("Amazon SQS message quotas").
const MOST: usize = 10;

/// How many messages may wait in a queue that is not behind: one that is in use is seldom empty, and these take seconds.
const BACKLOG: u64 = 100;

/// How long attributes are remembered, and how long it is remembered that they cannot be read.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);
const FAILURE_REMEMBERED: Duration = Duration::from_secs(60);

/// What is kept of the reason why a message is in the dead-letter queue, in characters: it counts toward the message's size.
const REASON_CHARS: usize = 500;

/// What in our hands names the queue that events come from.
const URL_KEY: &str = "url in [queue] of the policy";

/// And what names the one for messages that cannot be handled.
const DEAD_LETTER_KEY: &str = "dead-letter in [queue] of the policy";

/// An answer about one message.
type Answer = Result<(), PortError>;

/// A queue from which messages come.
#[derive(Debug)]
pub(super) struct SqsQueue {
    client: Client,
    address: Address,
    attributes: Mutex<Option<(Instant, Result<Attributes, PortError>)>>,
}

/// How we know of a queue.
#[derive(Debug)]
enum Address {
    /// By its URL: `url` in `[queue]` of the policy.
    Url(String),
    /// By its ARN, which the event source mapping of a Lambda function gives; its URL has to be asked for.
    Arn { arn: String, url: OnceCell<String> },
}

/// A queue that messages are sent to: `dead-letter` in `[queue]` of the policy, for what cannot be handled, or `url`, for what the sweep
/// has found.
#[derive(Debug)]
pub(super) struct SqsSender {
    client: Client,
    url: String,
}

impl SqsQueue {
    pub(super) fn at(client: Client, url: &str) -> Self {
        Self { client, address: Address::Url(url.to_owned()), attributes: Mutex::default() }
    }

    pub(super) fn of_arn(client: Client, arn: &str) -> Self {
        let address = Address::Arn { arn: arn.to_owned(), url: OnceCell::new() };
        Self { client, address, attributes: Mutex::default() }
    }

    async fn url(&self) -> Result<&str, PortError> {
        match &self.address {
            Address::Url(url) => Ok(url),
            Address::Arn { arn, url } => url.get_or_try_init(|| self.url_of(arn)).await.map(String::as_str),
        }
    }

    async fn url_of(&self, arn: &str) -> Result<String, PortError> {
        let call = self.call("sqs:GetQueueUrl");
        // arn:aws:sqs:REGION:ACCOUNT:NAME
        let mut parts = arn.split(':').skip(4);
        let (Some(account), Some(name), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(call.error(PortErrorKind::Invalid, "that is not the ARN of a queue"));
        };
        let asked = self.client.get_queue_url().queue_name(name).queue_owner_aws_account_id(account);
        let answer = asked.customize().config_override(in_time()).send().await;
        let answer = answer.map_err(|error| self.failed(&call, &error, CALL_TIMEOUT))?;
        let url = answer.queue_url().map(str::to_owned);
        url.ok_or_else(|| call.error(PortErrorKind::Other, "the answer names no URL"))
    }

    async fn read_attributes(&self) -> Result<Attributes, PortError> {
        let call = self.call("sqs:GetQueueAttributes");
        let asked = self
            .client
            .get_queue_attributes()
            .queue_url(self.url().await?)
            .attribute_names(QueueAttributeName::VisibilityTimeout)
            .attribute_names(QueueAttributeName::RedrivePolicy);
        let answer = asked.customize().config_override(in_time()).send().await;
        let answer = answer.map_err(|error| self.failed(&call, &error, CALL_TIMEOUT))?;
        let said = |name| answer.attributes()?.get(&name);
        let visibility_timeout = said(QueueAttributeName::VisibilityTimeout).and_then(|seconds| seconds.parse().ok());
        let visibility_timeout = visibility_timeout
            .ok_or_else(|| call.error(PortErrorKind::Other, "the answer names no visibility timeout"))?;
        let max_receives = said(QueueAttributeName::RedrivePolicy).map(|policy| max_receives(policy)).transpose();
        let max_receives = max_receives.map_err(|why| call.error(PortErrorKind::Other, why))?;
        Ok(Attributes { visibility_timeout: Duration::from_secs(visibility_timeout), max_receives })
    }

    fn call(&self, operation: &'static str) -> Call {
        Call::new(operation, format!("queue {}", self.name()))
    }

    fn failed<E>(&self, call: &Call, error: &SdkError<E, HttpResponse>, within: Duration) -> PortError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let key = match self.address {
            Address::Url(_) => URL_KEY,
            Address::Arn { .. } => "an event source mapping of this function",
        };
        failed(&self.client, call, key, error, within)
    }
}

#[async_trait]
impl Queue for SqsQueue {
    fn name(&self) -> &str {
        match &self.address {
            Address::Url(name) | Address::Arn { arn: name, .. } => name,
        }
    }

    async fn attributes(&self) -> Result<Attributes, PortError> {
        let known = || self.attributes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((read, known)) = known() {
            let fresh = if known.is_ok() { REMEMBERED } else { FAILURE_REMEMBERED };
            if read.elapsed() < fresh {
                return known;
            }
        }
        let attributes = self.read_attributes().await;
        let read = Some((Instant::now(), attributes.clone()));
        *self.attributes.lock().unwrap_or_else(PoisonError::into_inner) = read;
        attributes
    }

    async fn receive(&self, most: usize, wait: Duration, hide: Duration) -> Result<Vec<Received>, PortError> {
        let call = self.call("sqs:ReceiveMessage");
        let within = wait + AFTER_THE_WAIT;
        let asked = self
            .client
            .receive_message()
            .queue_url(self.url().await?)
            .max_number_of_messages(i32::try_from(most.min(MOST)).unwrap_or(i32::MAX))
            .wait_time_seconds(seconds(wait))
            .visibility_timeout(seconds(hide))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
        // The caller asks again by itself, and takes its time. A retry of ours would hide messages twice over.
        let once = Config::builder().retry_config(RetryConfig::disabled()).timeout_config(
            TimeoutConfig::builder().operation_attempt_timeout(within).operation_timeout(within).build(),
        );
        let answer = asked.customize().config_override(once).send().await;
        let answer = answer.map_err(|error| self.failed(&call, &error, within))?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(received).collect())
    }

    async fn hide(&self, messages: &[(Receipt, Duration)]) -> Vec<Answer> {
        let url = match self.url().await {
            Ok(url) => url.to_owned(),
            Err(error) => return vec![Err(error); messages.len()],
        };
        let calls = messages.chunks(MOST).map(|ten| {
            let entries = ten.iter().enumerate().map(|(index, (receipt, hide))| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(&receipt.0)
                    .visibility_timeout(seconds(*hide))
                    .build()
            });
            let entries: Result<Vec<_>, _> = entries.collect();
            let asked = self.client.change_message_visibility_batch().queue_url(&url);
            async move {
                let asked = asked.set_entries(Some(entries.map_err(SdkError::construction_failure)?));
                let answer = asked.customize().config_override(in_time()).send().await?;
                let done = answer.successful().iter().map(|entry| entry.id().to_owned()).collect();
                Ok((done, answer.failed))
            }
        });
        // The permission is the one for a single message.
        self.in_tens("sqs:ChangeMessageVisibility", messages.len(), calls).await
    }

    async fn delete(&self, messages: &[Receipt]) -> Vec<Answer> {
        let url = match self.url().await {
            Ok(url) => url.to_owned(),
            Err(error) => return vec![Err(error); messages.len()],
        };
        let calls = messages.chunks(MOST).map(|ten| {
            let entries = ten.iter().enumerate().map(|(index, receipt)| {
                DeleteMessageBatchRequestEntry::builder().id(index.to_string()).receipt_handle(&receipt.0).build()
            });
            let entries: Result<Vec<_>, _> = entries.collect();
            let asked = self.client.delete_message_batch().queue_url(&url);
            async move {
                let asked = asked.set_entries(Some(entries.map_err(SdkError::construction_failure)?));
                let answer = asked.customize().config_override(in_time()).send().await?;
                let done = answer.successful().iter().map(|entry| entry.id().to_owned()).collect();
                Ok((done, answer.failed))
            }
        });
        self.in_tens("sqs:DeleteMessage", messages.len(), calls).await
    }
}

impl SqsQueue {
    /// What the calls say about `messages` messages, ten to a call, in their order. A call says which entries it has done, by
    /// their places in it, and which not.
    async fn in_tens<E, C>(
        &self,
        operation: &'static str,
        messages: usize,
        calls: impl Iterator<Item = C>,
    ) -> Vec<Answer>
    where
        C: Future<Output = Result<(Vec<String>, Vec<BatchResultErrorEntry>), SdkError<E, HttpResponse>>>
            + Send
            + 'static,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let call = self.call(operation);
        let mut asked = JoinSet::new();
        for (index, call) in calls.enumerate() {
            asked.spawn(async move { (index, call.await) });
        }
        let unsaid = call.error(PortErrorKind::Other, "the answer says nothing about this message");
        let mut answers = vec![Err(unsaid); messages];
        for (index, answered) in asked.join_all().await {
            let ten = answers.iter_mut().skip(index * MOST).take(MOST);
            match answered {
                Err(error) => {
                    let error = self.failed(&call, &error, CALL_TIMEOUT);
                    ten.for_each(|answer| *answer = Err(error.clone()));
                }
                Ok((done, failed)) => {
                    for (place, answer) in ten.enumerate().map(|(place, answer)| (place.to_string(), answer)) {
                        if done.contains(&place) {
                            *answer = Ok(());
                        } else if let Some(entry) = failed.iter().find(|entry| entry.id() == place) {
                            *answer = Err(call.refused(Some(entry.code()), entry.message(), None, None));
                        }
                    }
                }
            }
        }
        answers
    }
}

impl SqsSender {
    pub(super) fn at(client: Client, url: &str) -> Self {
        Self { client, url: url.to_owned() }
    }

    /// Sends a message; `key` is what in our hands names the queue.
    async fn send_message(&self, body: &str, attributes: HashMap<String, MessageAttributeValue>, key: &str) -> Answer {
        let call = Call::new("sqs:SendMessage", format!("queue {}", self.url));
        let asked = self.client.send_message().queue_url(&self.url).message_body(body);
        let asked = asked.set_message_attributes(Some(attributes).filter(|attributes| !attributes.is_empty()));
        let answer = asked.customize().config_override(in_time()).send().await;
        answer.map(drop).map_err(|error| failed(&self.client, &call, key, &error, CALL_TIMEOUT))
    }
}

#[async_trait]
impl DeadLetters for SqsSender {
    fn name(&self) -> &str {
        &self.url
    }

    async fn check(&self) -> Answer {
        let call = Call::new("sqs:GetQueueAttributes", format!("queue {}", self.url));
        let asked = self.client.get_queue_attributes().queue_url(&self.url);
        let asked = asked.attribute_names(QueueAttributeName::QueueArn);
        let answer = asked.customize().config_override(in_time()).send().await;
        answer.map(drop).map_err(|error| failed(&self.client, &call, DEAD_LETTER_KEY, &error, CALL_TIMEOUT))
    }

    async fn send(&self, message: &Received, why: &str) -> Answer {
        let text = |text: &str| {
            let text = text.chars().filter(|c| allowed(*c)).take(REASON_CHARS).collect::<String>();
            MessageAttributeValue::builder().data_type("String").string_value(text).build().ok()
        };
        let attributes = [("HostlerReason", text(why)), ("HostlerMessageId", text(&message.id))];
        let attributes = attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        self.send_message(&message.body, attributes, DEAD_LETTER_KEY).await
    }
}

/// What nobody brings any more, the queue brings from here on: the one time that an event is sent by us.
#[async_trait]
impl Adopt for SqsSender {
    async fn adopt(&self, event: &Event) -> Result<(), PortError> {
        self.send_message(&event.envelope.to_string(), HashMap::new(), URL_KEY).await
    }

    /// Whether so many messages are visible that whoever receives them cannot have come to all of them yet.
    async fn is_behind(&self) -> Result<bool, PortError> {
        let call = Call::new("sqs:GetQueueAttributes", format!("queue {}", self.url));
        let asked = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages);
        let answer = asked.customize().config_override(in_time()).send().await;
        let answer = answer.map_err(|error| failed(&self.client, &call, URL_KEY, &error, CALL_TIMEOUT))?;
        let said = answer.attributes().and_then(|said| said.get(&QueueAttributeName::ApproximateNumberOfMessages));
        let messages = said.and_then(|messages| messages.parse::<u64>().ok());
        let unsaid = || call.error(PortErrorKind::Other, "the answer does not say how many messages there are");
        messages.map(|messages| messages > BACKLOG).ok_or_else(unsaid)
    }
}

/// Says what went wrong, and what in our hands names the queue.
fn failed<E>(client: &Client, call: &Call, key: &str, error: &SdkError<E, HttpResponse>, within: Duration) -> PortError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if let SdkError::TimeoutError(_) = error {
        return call.error(PortErrorKind::Timeout, format!("no answer within {within:?}; it may have taken effect"));
    }
    let mut failed = call.failed(error);
    if error.code().is_some_and(|code| code.to_ascii_uppercase().starts_with("KMS")) {
        failed.kind = PortErrorKind::Denied;
        failed.message += "; the queue is encrypted: allow kms:Decrypt and kms:GenerateDataKey with its key for the role \
                           Hostler runs as";
    }
    match failed.kind {
        PortErrorKind::NotFound => {
            let region = client.config().region().map_or("its region", |region| region.as_ref());
            failed.message += &format!("; there is no such queue in {region}, where Hostler is: correct {key}");
        }
        PortErrorKind::Denied => failed.message += &format!("; the queue is the one of {key}"),
        _ => {}
    }
    failed
}

/// For every call but receiving.
fn in_time() -> config::Builder {
    let timeouts =
        TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).operation_timeout(CALL_TIMEOUT).build();
    Config::builder().timeout_config(timeouts)
}

/// A message without what it takes to answer for it is none of ours.
fn received(message: Message) -> Option<Received> {
    let receives = message
        .attributes
        .as_ref()
        .and_then(|said| said.get(&MessageSystemAttributeName::ApproximateReceiveCount)?.parse().ok());
    Some(Received {
        id: message.message_id?,
        receipt: Receipt(message.receipt_handle?),
        at: Instant::now(),
        body: message.body.unwrap_or_default(),
        receives: receives.unwrap_or(1),
    })
}

/// Whole seconds, as SQS counts: nothing comes before it is due.
fn seconds(duration: Duration) -> i32 {
    let rounded_up = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(rounded_up).unwrap_or(i32::MAX)
}

/// `maxReceiveCount` of a RedrivePolicy, which is JSON in a text; the count is a number or a text, as it was set.
fn max_receives(policy: &str) -> Result<u32, String> {
    let said = serde_json::from_str::<Value>(policy).unwrap_or_default();
    let count = match &said["maxReceiveCount"] {
        Value::String(count) => count.parse().ok(),
        count => count.as_u64().and_then(|count| u32::try_from(count).ok()),
    };
    count.ok_or_else(|| format!("its RedrivePolicy names no maxReceiveCount: {policy}"))
}

/// What SQS takes in a text ("SendMessage": #x9, #xA, #xD, and everything from #x20 on but surrogates, #xFFFE and #xFFFF).
fn allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests;
