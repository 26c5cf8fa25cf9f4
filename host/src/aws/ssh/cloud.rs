//! The three calls to AWS that SSH needs, behind a trait so that everything else is tested without it.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use crate::aws::error::Call;
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
        let call = Call::new("ec2:GetConsoleOutput", instance.as_str());
        let request = self.ec2.get_console_output().instance_id(instance.as_str());
        let output = match request.set_latest(latest.then_some(true)).send().await {
            Ok(answer) => answer.output.unwrap_or_default(),
            // Only instances on Nitro have a latest output; the others have the one after the boot.
            Err(error) if latest && error.code() == Some("UnsupportedOperation") => return Ok(None),
            Err(error) => return Err(call.failed(&error)),
        };
        let text: String = output.split_ascii_whitespace().collect();
        let bytes = BASE64.decode(text).map_err(|_| call.error(PortErrorKind::Other, "the output is not base64"))?;
        Ok((!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn push_key(&self, instance: &InstanceId, zone: &str, user: &str, public_key: &str) -> Result<(), PortError> {
        let call = Call::new("ec2-instance-connect:SendSSHPublicKey", format!("{user} on {instance}"));
        let request = self.instance_connect.send_ssh_public_key().instance_id(instance.as_str());
        let request = request.instance_os_user(user).ssh_public_key(public_key).availability_zone(zone);
        match request.send().await {
            Ok(answer) if answer.success() => Ok(()),
            Ok(_) => Err(call.error(PortErrorKind::Unavailable, "the key was not taken; try again")),
            Err(error) => Err(call.failed(&error)),
        }
    }

    async fn secret(&self, id: &str) -> Result<Zeroizing<String>, PortError> {
        let call = Call::new("secretsmanager:GetSecretValue", id);
        let request = self.secrets.get_secret_value().secret_id(id);
        let answer = request.send().await.map_err(|error| call.failed(&error))?;
        answer.secret_string.map(Zeroizing::new).ok_or_else(|| {
            call.error(PortErrorKind::Other, "the secret is binary; store the private key as the secret string")
        })
    }
}
