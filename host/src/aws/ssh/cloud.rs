//! The three calls to AWS that SSH needs, behind a trait so that everything else is tested without it.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use crate::ports::{InstanceId, PortError, PortErrorKind};

/// What AWS knows that a connection needs.
#[async_trait]
pub(super) trait Cloud: Send + Sync {
    /// The console output of an instance; `latest` asks for what is there now, else for what was there after the boot.
    /// None while there is none, or when this type of instance cannot give the latest.
    async fn console_output(&self, instance: &InstanceId, latest: bool) -> Result<Option<String>, PortError>;

    /// Lets `user` log in with `public_key` (a line in OpenSSH's form) for the next 60 seconds.
    async fn push_key(&self, instance: &InstanceId, zone: &str, user: &str, public_key: &str) -> Result<(), PortError>;

    /// The current string of the secret with this name or ARN.
    async fn secret(&self, id: &str) -> Result<Zeroizing<String>, PortError>;
}

/// AWS itself: EC2 GetConsoleOutput, EC2 Instance Connect SendSSHPublicKey, Secrets Manager GetSecretValue.
pub(super) struct Aws {
    ec2: aws_sdk_ec2::Client,
    instance_connect: aws_sdk_ec2instanceconnect::Client,
    secrets: aws_sdk_secretsmanager::Client,
}

impl Aws {
    pub(super) fn new(config: &SdkConfig) -> Self {
        Self {
            ec2: aws_sdk_ec2::Client::new(config),
            instance_connect: aws_sdk_ec2instanceconnect::Client::new(config),
            secrets: aws_sdk_secretsmanager::Client::new(config),
        }
    }
}

#[async_trait]
impl Cloud for Aws {
    async fn console_output(&self, instance: &InstanceId, latest: bool) -> Result<Option<String>, PortError> {
        let request = self.ec2.get_console_output().instance_id(instance.as_str());
        let output = match request.set_latest(latest.then_some(true)).send().await {
            Ok(answer) => answer.output.unwrap_or_default(),
            // Only instances on Nitro have a latest output; the others have the one after the boot.
            Err(error) if latest && error.code() == Some("UnsupportedOperation") => return Ok(None),
            Err(error) => return Err(failed(&format!("ec2:GetConsoleOutput of {instance}"), &error)),
        };
        let text: String = output.split_ascii_whitespace().collect();
        let bytes = BASE64.decode(text).map_err(|_| {
            PortError::new(PortErrorKind::Other, format!("ec2:GetConsoleOutput of {instance} answered no base64"))
        })?;
        Ok((!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn push_key(&self, instance: &InstanceId, zone: &str, user: &str, public_key: &str) -> Result<(), PortError> {
        let request = self.instance_connect.send_ssh_public_key().instance_id(instance.as_str());
        let call = format!("ec2-instance-connect:SendSSHPublicKey for {user} on {instance}");
        let answer = request
            .instance_os_user(user)
            .ssh_public_key(public_key)
            .availability_zone(zone)
            .send()
            .await
            .map_err(|error| failed(&call, &error))?;
        if !answer.success() {
            return Err(PortError::new(PortErrorKind::Unavailable, format!("{call} did not succeed; try again")));
        }
        Ok(())
    }

    async fn secret(&self, id: &str) -> Result<Zeroizing<String>, PortError> {
        let call = format!("secretsmanager:GetSecretValue of {id}");
        let answer =
            self.secrets.get_secret_value().secret_id(id).send().await.map_err(|error| failed(&call, &error))?;
        let text = answer.secret_string.ok_or_else(|| {
            PortError::new(
                PortErrorKind::Other,
                format!("{call} answered no string; store the key as the secret string"),
            )
        })?;
        Ok(Zeroizing::new(text))
    }
}

/// A failed call in the words of a port. AWS's own message is kept: it names the missing permission.
fn failed<E, R>(call: &str, error: &SdkError<E, R>) -> PortError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let kind = match error {
        SdkError::TimeoutError(_) => PortErrorKind::Timeout,
        SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => PortErrorKind::Unavailable,
        SdkError::ServiceError(service) => kind_of(service.err().code().unwrap_or_default()),
        _ => PortErrorKind::Other,
    };
    let why = match error {
        SdkError::ServiceError(service) => {
            let code = service.err().code().unwrap_or("no error code");
            format!("{code}: {}", service.err().message().unwrap_or("no message"))
        }
        other => DisplayErrorContext(other).to_string(),
    };
    PortError::new(kind, format!("{call} failed: {why}"))
}

/// What an error code of these three services means. The codes are those of each API reference's "Errors" and of EC2's
/// "Error codes for the Amazon EC2 API".
fn kind_of(code: &str) -> PortErrorKind {
    match code {
        "UnauthorizedOperation"
        | "AuthFailure"
        | "AuthException"
        | "AccessDenied"
        | "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "ExpiredToken"
        | "ExpiredTokenException" => PortErrorKind::Denied,
        "InvalidInstanceID.NotFound" | "EC2InstanceNotFoundException" | "ResourceNotFoundException" => {
            PortErrorKind::NotFound
        }
        "RequestLimitExceeded" | "Throttling" | "ThrottlingException" | "TooManyRequestsException" => {
            PortErrorKind::Throttled
        }
        "EC2InstanceStateInvalidException" | "IncorrectInstanceState" => PortErrorKind::Conflict,
        "EC2InstanceUnavailableException"
        | "ServiceException"
        | "InternalServiceError"
        | "InternalServiceErrorException"
        | "InternalError"
        | "InternalFailure"
        | "Unavailable"
        | "ServiceUnavailable" => PortErrorKind::Unavailable,
        _ => PortErrorKind::Other,
    }
}
