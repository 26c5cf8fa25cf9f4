//! AWS for tests: answers requests where the SDK's HTTP client would be, so that everything above it is real.

use std::fmt;
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use serde_json::Value;
use tokio::time::Instant;

/// A server that answers with what a function says.
#[derive(Clone)]
pub(crate) struct Fake {
    answer: Arc<dyn Fn(&Received) -> Reply + Send + Sync>,
    calls: Arc<Mutex<Vec<Received>>>,
}

/// A request it has received.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// The operation; empty in the protocol of S3.
    pub(crate) operation: String,
    pub(crate) at: Instant,
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
    pub(crate) body: String,
}

impl Received {
    /// The body of the JSON protocol.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What it answers.
pub(crate) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: SdkBody,
    },
    /// Takes the request and says nothing.
    Silence,
    /// Refuses the connection.
    Refused,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<SdkBody>) -> Self {
        Self::Answer { status, headers: vec![("x-amzn-requestid", "req-1".to_owned())], body: body.into() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }

    pub(crate) fn json(body: &Value) -> Self {
        Self::new(200, body.to_string())
    }

    /// An error of the JSON protocol.
    pub(crate) fn json_error(status: u16, code: &str, message: &str) -> Self {
        Self::new(status, serde_json::json!({ "__type": code, "message": message }).to_string())
    }

    pub(crate) fn xml(status: u16, body: &str) -> Self {
        Self::new(status, body.to_owned())
    }

    /// An answer of the query protocol.
    pub(crate) fn query(operation: &str, result: &str) -> Self {
        Self::xml(
            200,
            &format!("<{operation}Response><{operation}Result>{result}</{operation}Result></{operation}Response>"),
        )
    }

    /// An error of the query protocol.
    pub(crate) fn query_error(status: u16, code: &str, message: &str) -> Self {
        let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
        Self::xml(status, &format!("<ErrorResponse>{error}<RequestId>req-1</RequestId></ErrorResponse>"))
    }

    /// An error in EC2's own form.
    pub(crate) fn ec2_error(status: u16, code: &str, message: &str) -> Self {
        let error = format!("<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>");
        Self::xml(status, &format!("<Response>{error}<RequestID>req-1</RequestID></Response>"))
    }
}

impl Clone for Reply {
    fn clone(&self) -> Self {
        match self {
            Self::Answer { status, headers, body } => Self::Answer {
                status: *status,
                headers: headers.clone(),
                body: body.try_clone().expect("a body that is answered more than once is not a stream"),
            },
            Self::Silence => Self::Silence,
            Self::Refused => Self::Refused,
        }
    }
}

impl Fake {
    pub(crate) fn new(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), calls: Arc::default() }
    }

    /// Answers every request alike.
    pub(crate) fn always(reply: Reply) -> Self {
        // SdkBody is not Sync.
        let reply = Mutex::new(reply);
        Self::new(move |_| reply.lock().unwrap().clone())
    }

    /// Everything received so far.
    pub(crate) fn calls(&self) -> Vec<Received> {
        self.calls.lock().unwrap().clone()
    }

    /// The configuration of production, but for the HTTP client and the credentials.
    pub(crate) fn config(&self) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(aws_config::Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "AKID", "secret", None, None, "test",
            )))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .timeout_config(super::timeouts())
            .retry_config(super::retries())
            .build()
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let target = request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next());
        let action = body.split('&').find_map(|field| field.strip_prefix("Action="));
        let received = Received {
            operation: target.or(action).unwrap_or_default().to_owned(),
            at: Instant::now(),
            method: request.method().to_owned(),
            uri: request.uri().to_owned(),
            if_match: request.headers().get("if-match").map(str::to_owned),
            if_none_match: request.headers().get("if-none-match").map(str::to_owned),
            body,
        };
        let reply = (self.answer)(&received);
        self.calls.lock().unwrap().push(received);
        match reply {
            Reply::Answer { status, headers, body } => {
                let mut response = HttpResponse::new(status.try_into().unwrap(), body);
                for (name, value) in headers {
                    response.headers_mut().insert(name, value);
                }
                HttpConnectorFuture::ready(Ok(response))
            }
            Reply::Silence => HttpConnectorFuture::new(std::future::pending()),
            Reply::Refused => HttpConnectorFuture::ready(Err(ConnectorError::io("connection refused".into()))),
        }
    }
}
