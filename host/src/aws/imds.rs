//! The instance metadata service, IMDSv2, of the instance we run on.
//!
//! The SDK's client gets tokens, and renews them before they expire. But a token that the service has forgotten, as after a
//! restart, it shows again and again until the token would have expired, which takes hours: so the client is replaced here then.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::imds::client::Client;
use aws_config::imds::client::error::{ImdsError, TokenError};
use aws_config::provider_config::ProviderConfig;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::error::{chain, find, innermost};
use crate::doors::imds::Metadata;
use crate::event::imds::{Identity, Item};
use crate::ports::{PortError, PortErrorKind};

/// For a connection, and for an answer: the service is on the machine itself, and answers within milliseconds.
const ANSWER: Duration = Duration::from_secs(1);

/// For a question with all its tries.
const CALL: Duration = Duration::from_secs(4);

/// How often a question is tried when the service has a fault. Whoever asks asks again soon.
const TRIES: u32 = 2;

/// The longest text that is taken, in bytes: what is announced has a few hundred.
const MAX_TEXT: usize = 64 << 10;

/// Switches the service off for all AWS tools.
const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";

/// Says where the service is, if not where EC2 has it.
const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

/// What the service is called in messages when nothing says where it is.
const USUAL_ENDPOINT: &str = "169.254.169.254";

/// The instance metadata service.
pub struct InstanceMetadata {
    /// None for where EC2 has it, or where the profile says.
    endpoint: Option<String>,
    http: SharedHttpClient,
    client: Mutex<Client>,
}

/// Why the service is not even asked. All of it is the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// It is switched off.
    #[error(
        "the policy has [imds], but {DISABLED} is true, which keeps AWS tools from the instance metadata service: unset it, or leave [imds] out"
    )]
    Disabled,
    /// It is said to be where it cannot be.
    #[error(
        "{ENDPOINT} is {found:?}, which is no address of a service: unset it, or write one such as http://{USUAL_ENDPOINT}"
    )]
    Endpoint {
        /// What is said.
        found: String,
    },
}

impl InstanceMetadata {
    /// Where the environment says it is, else where the profile does, else where EC2 has it.
    pub fn of_environment() -> Result<Self, MetadataError> {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Self, MetadataError> {
        if variable(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(MetadataError::Disabled);
        }
        let endpoint = variable(ENDPOINT);
        // No proxy, whatever the environment says: none leads to this instance's own service.
        let http = aws_smithy_http_client::Builder::new().build_http();
        let client = Mutex::new(client(endpoint.as_deref(), &http)?);
        Ok(Self { endpoint, http, client })
    }

    /// What is at `path` below `/latest/`; none if there is nothing.
    async fn get(&self, path: &str) -> Result<Option<String>, PortError> {
        let mut answer = self.ask(path).await;
        if answer.as_ref().is_err_and(|error| refusal(error) == Some(401)) {
            self.forget_token();
            answer = self.ask(path).await;
        }
        match answer {
            Ok(text) if text.len() > MAX_TEXT => {
                let message = format!("{path}: {} bytes of text, where at most {MAX_TEXT} are taken", text.len());
                Err(PortError::new(PortErrorKind::Invalid, message))
            }
            Ok(text) => Ok(Some(text)),
            Err(error) if refusal(&error) == Some(404) => Ok(None),
            Err(error) => {
                let (kind, what) = self.failure(&error);
                Err(PortError::new(kind, format!("{path}: {what}")))
            }
        }
    }

    async fn ask(&self, path: &str) -> Result<String, ImdsError> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        client.get(format!("/latest/{path}")).await.map(String::from)
    }

    fn forget_token(&self) {
        if let Ok(client) = client(self.endpoint.as_deref(), &self.http) {
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
        }
    }

    /// Why there is no answer, and what to do about it.
    fn failure(&self, error: &ImdsError) -> (PortErrorKind, String) {
        let at = self.endpoint.as_deref().unwrap_or(USUAL_ENDPOINT);
        match error {
            ImdsError::FailedToLoadToken(_) => no_token(at, error),
            _ => match refusal(error) {
                Some(403) => switched_off(),
                Some(401) => (
                    PortErrorKind::Denied,
                    format!("{at} refuses a token that it has just given (HTTP 401): is there a proxy between?"),
                ),
                Some(status) => (PortErrorKind::Unavailable, format!("{at} answers with HTTP {status}")),
                None if unanswered(error) => (PortErrorKind::Timeout, format!("{at} did not answer within {ANSWER:?}")),
                None => (PortErrorKind::Unavailable, format!("no answer from {at}: {}", innermost(error))),
            },
        }
    }
}

/// Why there is no token to ask with.
fn no_token(at: &str, error: &ImdsError) -> (PortErrorKind, String) {
    let answer = find::<SdkError<TokenError, HttpResponse>>(error).and_then(SdkError::raw_response);
    match answer.map(|answer| answer.status().as_u16()) {
        Some(403) => switched_off(),
        Some(status @ 500..) => {
            (PortErrorKind::Unavailable, format!("{at} gives no token and answers with HTTP {status}"))
        }
        Some(status) => (
            PortErrorKind::Invalid,
            format!(
                "{at} gives no token (HTTP {status}), so it is no instance metadata service of version 2: look at what \
                 {ENDPOINT} says"
            ),
        ),
        None if unanswered(error) => (
            PortErrorKind::Timeout,
            format!(
                "{at} is there and its token never arrives, as in a container, which is one network hop further than the \
                 token may go: run aws ec2 modify-instance-metadata-options --instance-id ID --http-put-response-hop-limit 2"
            ),
        ),
        None => (
            PortErrorKind::Unavailable,
            format!(
                "there is no instance metadata service at {at} ({}): elsewhere than on an EC2 instance, leave [imds] out of \
                 the policy; in a container, let it reach that address",
                innermost(error)
            ),
        ),
    }
}

fn switched_off() -> (PortErrorKind, String) {
    let what = "the instance metadata service refuses (HTTP 403), as it does when it is switched off: run \
                aws ec2 modify-instance-metadata-options --instance-id ID --http-endpoint enabled";
    (PortErrorKind::Denied, what.to_owned())
}

fn client(endpoint: Option<&str>, http: &SharedHttpClient) -> Result<Client, MetadataError> {
    let mut builder = Client::builder()
        .configure(&ProviderConfig::without_region().with_http_client(http.clone()))
        .connect_timeout(ANSWER)
        .read_timeout(ANSWER)
        .operation_timeout(CALL)
        .max_attempts(TRIES);
    if let Some(endpoint) = endpoint {
        let refused = || MetadataError::Endpoint { found: endpoint.to_owned() };
        // Without TLS, as everywhere: the service has no name that a certificate could be for.
        let host = endpoint.strip_prefix("http://").filter(|host| !host.is_empty()).ok_or_else(refused)?;
        builder = builder.endpoint(format!("http://{host}")).map_err(|_| refused())?;
    }
    Ok(builder.build())
}

/// The HTTP status with which a question was refused. The refusal of a token is none of a question.
fn refusal(error: &ImdsError) -> Option<u16> {
    match error {
        ImdsError::ErrorResponse(answer) => Some(answer.response().status().as_u16()),
        _ => None,
    }
}

/// Whether a request was sent and nobody answered, in the words of the HTTP client: its type for that is private.
fn unanswered(error: &ImdsError) -> bool {
    chain(error).any(|error| error.to_string().starts_with("HTTP read timeout"))
}

#[async_trait]
impl Metadata for InstanceMetadata {
    async fn item(&self, item: Item) -> Result<Option<String>, PortError> {
        self.get(&format!("meta-data/{}", item.path())).await
    }

    async fn identity(&self) -> Result<Identity, PortError> {
        let invalid = |what: String| PortError::new(PortErrorKind::Invalid, what);
        let document = self.get(Identity::PATH).await?.ok_or_else(|| {
            invalid(format!("{}: there is none, so this is no metadata service of EC2", Identity::PATH))
        })?;
        Identity::parse(&document).map_err(|error| invalid(error.to_string()))
    }
}

impl fmt::Debug for InstanceMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceMetadata").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
