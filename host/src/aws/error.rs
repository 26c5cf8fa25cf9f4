//! What went wrong in a call of AWS, in the words ports use.

use std::error::Error;
use std::fmt::Write as _;

use aws_config::imds::client::error::ImdsError;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId as _;

use super::CALL_TIMEOUT;
use crate::ports::{PortError, PortErrorKind};

/// What is kept of a message of AWS: enough for its longest ordinary ones. Some quote what they were sent, at any length.
const MESSAGE_CHARS: usize = 512;

/// A call of AWS, as messages name it.
#[derive(Debug)]
pub(crate) struct Call {
    /// `service:Operation`: for every operation used here, the IAM action that allows it has the same name.
    operation: &'static str,
    target: String,
}

impl Call {
    /// A call of `operation` (`service:Operation`) about `target`, such as `i-0123456789abcdef0 in cluster prod`.
    pub(crate) fn new(operation: &'static str, target: impl Into<String>) -> Self {
        Self { operation, target: target.into() }
    }

    /// What is called, as `service:Operation`.
    pub(crate) fn operation(&self) -> &'static str {
        self.operation
    }

    /// The call failed in a way of its own.
    pub(crate) fn error(&self, kind: PortErrorKind, what: impl AsRef<str>) -> PortError {
        PortError::new(kind, format!("{} for {}: {}", self.operation, self.target, what.as_ref()))
    }

    /// The SDK gave up on the call, after its own retries.
    pub(crate) fn failed<E>(&self, error: &SdkError<E, HttpResponse>) -> PortError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let request_id = error.request_id();
        match error {
            SdkError::ServiceError(_) => self.refused(error.code(), error.message(), status, request_id),
            SdkError::TimeoutError(_) => {
                self.error(PortErrorKind::Timeout, format!("no answer within {CALL_TIMEOUT:?}, retries included"))
            }
            SdkError::DispatchFailure(failure) => match find::<CredentialsError>(error) {
                Some(credentials) => self.no_credentials(credentials),
                None if failure.is_timeout() => self.error(PortErrorKind::Timeout, innermost(error)),
                None => self.error(PortErrorKind::Unavailable, format!("no answer: {}", innermost(error))),
            },
            // What stands between us and AWS seldom speaks AWS's protocols.
            SdkError::ResponseError(_) if status.is_some_and(|status| status == 429 || status >= 500) => {
                self.refused(None, None, status, request_id)
            }
            SdkError::ResponseError(_) => {
                let what = format!("the answer makes no sense: {}", innermost(error));
                self.error(PortErrorKind::Unavailable, signed(what, status, request_id))
            }
            _ => self.error(PortErrorKind::Invalid, innermost(error)),
        }
    }

    /// AWS answered with an error, for the whole call or for a part of it.
    pub(crate) fn refused(
        &self,
        code: Option<&str>,
        message: Option<&str>,
        status: Option<u16>,
        request_id: Option<&str>,
    ) -> PortError {
        let code = code.unwrap_or_default();
        let said = match (code, message.map(one_line).unwrap_or_default()) {
            ("", message) if message.is_empty() => "an error without a name".to_owned(),
            ("", message) => message,
            (code, message) if message.is_empty() => one_line(code),
            (code, message) => format!("{}: {message}", one_line(code)),
        };
        let said = signed(said, status, request_id);
        let refusal = Refusal::of(code, status.unwrap_or_default());
        match refusal {
            Refusal::Permission => self.error(
                PortErrorKind::Denied,
                format!("not allowed by IAM ({said}); allow {} for the role Hostler runs as", self.operation),
            ),
            Refusal::Credentials => self.error(
                PortErrorKind::Denied,
                format!("AWS does not accept our credentials ({said}); renew them, and check the machine's clock"),
            ),
            Refusal::Throttling => self
                .error(PortErrorKind::Throttled, format!("AWS asks to slow down, and did so at every retry ({said})")),
            Refusal::Other(kind) => self.error(kind, said),
        }
    }

    fn no_credentials(&self, error: &CredentialsError) -> PortError {
        match error {
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => self.error(
                PortErrorKind::Denied,
                format!(
                    "no AWS credentials ({}); give the Lambda function or the instance a role, or set AWS_PROFILE or \
                     AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                    innermost(error)
                ),
            ),
            _ => self.error(
                PortErrorKind::Unavailable,
                format!("AWS credentials cannot be had at the moment: {}", innermost(error)),
            ),
        }
    }
}

/// Why AWS refused, as far as the remedy differs.
enum Refusal {
    Permission,
    Credentials,
    Throttling,
    Other(PortErrorKind),
}

impl Refusal {
    /// Judges by the error code ("Common errors" of each service's API reference), and by the HTTP status where the code says nothing.
    fn of(code: &str, status: u16) -> Self {
        use PortErrorKind::{Conflict, Invalid, NotFound, Other, Timeout, Unavailable};
        match code {
            "AccessDenied"
            | "AccessDeniedException"
            | "UnauthorizedOperation"
            | "Client.UnauthorizedOperation"
            | "NotAuthorized"
            | "UnauthorizedAccess"
            | "OptInRequired"
            | "Blocked" => Self::Permission,
            "AuthFailure"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "IncompleteSignature"
            | "InvalidAccessKeyId"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "InvalidToken"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "RequestExpired"
            | "RequestTimeTooSkewed"
            | "SignatureDoesNotMatch"
            | "TokenRefreshRequired"
            | "UnrecognizedClientException" => Self::Credentials,
            "BandwidthLimitExceeded"
            | "EC2ThrottledException"
            | "KMS.ThrottlingException"
            | "PriorRequestNotComplete"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "SlowDown"
            | "ThrottledException"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequests"
            | "TooManyRequestsException" => Self::Throttling,
            "RequestTimeout" | "RequestTimeoutException" => Self::Other(Timeout),
            "AWS.SimpleQueueService.NonExistentQueue"
            | "ClusterNotFoundException"
            | "EC2InstanceNotFoundException"
            | "InvalidInstanceID.NotFound"
            | "QueueDoesNotExist"
            | "ResourceNotFoundException" => Self::Other(NotFound),
            "EC2InstanceStateInvalidException" => Self::Other(Conflict),
            "InvalidInstanceID.Malformed"
            | "InvalidParameterException"
            | "InvalidParameterValue"
            | "ValidationError" => Self::Other(Invalid),
            // A pending update of the group: the same call passes once that is through.
            "EC2InstanceUnavailableException"
            | "ResourceContention"
            | "ResourceContentionFault"
            | "ServerException" => Self::Other(Unavailable),
            _ => match status {
                429 => Self::Throttling,
                401 | 403 => Self::Permission,
                500.. => Self::Other(Unavailable),
                _ => Self::Other(Other),
            },
        }
    }
}

/// Adds what support needs to find the request again.
fn signed(mut what: String, status: Option<u16>, request_id: Option<&str>) -> String {
    if let Some(status) = status {
        let _ = write!(what, ", HTTP {status}");
    }
    if let Some(id) = request_id {
        let _ = write!(what, ", request {}", one_line(id));
    }
    what
}

/// A text from outside as part of one line, cut to a sensible length.
pub(super) fn one_line(text: &str) -> String {
    // EC2 appends a blob of several kilobytes that is useless once cut, and CloudTrail has it whole.
    let text = text.split("Encoded authorization failure message:").next().unwrap_or_default().trim();
    let mut line: String = text.chars().take(MESSAGE_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MESSAGE_CHARS).is_some() {
        line.push('…');
    }
    line
}

/// The error at the bottom of a chain: those above it say "dispatch failure", "io error" and the like.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    if let Some(ImdsError::ErrorResponse(answer)) = find(error) {
        // In its own words it shows all of the answer, and that may hold credentials.
        return format!("the metadata service answers with HTTP {}", answer.response().status().as_u16());
    }
    one_line(&chain(error).last().unwrap_or(error).to_string())
}

/// The first error of type `T` in a chain.
pub(super) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}

pub(super) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::Client;
    use aws_sdk_ecs::operation::stop_task::{StopTaskError, StopTaskOutput};

    use super::*;
    use crate::aws::fake::{Fake, Reply};

    /// A call with the retries and the timeouts of production, against a server that always answers `reply`.
    async fn call(reply: Reply) -> (Fake, PortError) {
        let fake = Fake::always(reply);
        let client = Client::new(&fake.config());
        let result: Result<StopTaskOutput, SdkError<StopTaskError, HttpResponse>> =
            client.stop_task().task("t").send().await;
        let error = Call::new("ecs:StopTask", "task t").failed(&result.unwrap_err());
        (fake, error)
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_is_retried_and_then_told() {
        let (fake, error) = call(Reply::json_error(400, "ThrottlingException", "Rate exceeded")).await;
        assert_eq!((fake.calls().len(), error.kind), (4, PortErrorKind::Throttled));
        insta::assert_snapshot!(error.message, @"ecs:StopTask for task t: AWS asks to slow down, and did so at every retry (ThrottlingException: Rate exceeded, HTTP 400, request req-1)");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_by_iam_names_the_action_to_allow_and_is_not_retried() {
        let message =
            "User: arn:aws:sts::123456789012:assumed-role/hostler/f is not authorized to perform: ecs:StopTask";
        let (fake, error) = call(Reply::json_error(400, "AccessDeniedException", message)).await;
        assert_eq!((fake.calls().len(), error.kind), (1, PortErrorKind::Denied));
        insta::assert_snapshot!(error.message, @"ecs:StopTask for task t: not allowed by IAM (AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/hostler/f is not authorized to perform: ecs:StopTask, HTTP 400, request req-1); allow ecs:StopTask for the role Hostler runs as");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_within_the_timeout_of_the_call() {
        let start = tokio::time::Instant::now();
        let (fake, error) = call(Reply::Silence).await;
        assert_eq!(error.kind, PortErrorKind::Timeout);
        assert_eq!(start.elapsed().as_secs(), 30);
        assert!((2..=3).contains(&fake.calls().len()), "{}", fake.calls().len());
        insta::assert_snapshot!(error.message, @"ecs:StopTask for task t: no answer within 30s, retries included");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_down_or_faulty_is_unavailable() {
        let (fake, error) = call(Reply::Refused).await;
        assert_eq!((fake.calls().len(), error.kind), (4, PortErrorKind::Unavailable));
        insta::assert_snapshot!(error.message, @"ecs:StopTask for task t: no answer: connection refused");
        let (fake, error) = call(Reply::new(503, "<html>try later</html>")).await;
        assert_eq!((fake.calls().len(), error.kind), (4, PortErrorKind::Unavailable));
        insta::assert_snapshot!(error.message, @"ecs:StopTask for task t: an error without a name, HTTP 503, request req-1");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_no_answer_is_unavailable() {
        let (_, error) = call(Reply::new(200, "hello")).await;
        assert_eq!(error.kind, PortErrorKind::Unavailable);
        assert!(error.message.contains("the answer makes no sense") && error.message.contains("HTTP 200"), "{error}");
    }

    #[test]
    fn codes_and_statuses_have_a_kind() {
        let kind = |code, status| Call::new("s:O", "t").refused(Some(code), None, Some(status), None).kind;
        for (code, status, expected) in [
            ("RequestLimitExceeded", 503, PortErrorKind::Throttled),
            ("SlowDown", 503, PortErrorKind::Throttled),
            ("Whatever", 429, PortErrorKind::Throttled),
            ("UnrecognizedClientException", 400, PortErrorKind::Denied),
            ("SignatureDoesNotMatch", 403, PortErrorKind::Denied),
            ("Whatever", 403, PortErrorKind::Denied),
            ("RequestTimeout", 400, PortErrorKind::Timeout),
            ("ServerException", 500, PortErrorKind::Unavailable),
            ("ResourceContention", 400, PortErrorKind::Unavailable),
            ("ClusterNotFoundException", 400, PortErrorKind::NotFound),
            ("ValidationError", 400, PortErrorKind::Invalid),
            ("Whatever", 400, PortErrorKind::Other),
        ] {
            assert_eq!(kind(code, status), expected, "{code}, HTTP {status}");
        }
    }

    #[test]
    fn what_aws_says_is_one_line_of_sensible_length() {
        let line = one_line(&format!("a\nb\u{1b}[31m{}", "c".repeat(10_000)));
        assert!(line.starts_with("a b [31mccc") && line.ends_with('…'), "{line}");
        assert_eq!(line.chars().count(), MESSAGE_CHARS + 1);
    }
}
