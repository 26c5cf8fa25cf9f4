//! The three calls to AWS that SSH needs, behind a trait so that everything else is tested without it.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::secret::Secret;
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
    async fn secret(&self, id: &str) -> Result<Secret, PortError>;
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

    async fn secret(&self, id: &str) -> Result<Secret, PortError> {
        let call = Call::new("secretsmanager:GetSecretValue", id);
        let request = self.secrets.get_secret_value().secret_id(id);
        let answer = request.send().await.map_err(|error| call.failed(&error))?;
        answer.secret_string.map(Secret::new).ok_or_else(|| {
            call.error(PortErrorKind::Other, "the secret is binary; store the private key as the secret string")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::fake::{Fake, Reply};

    fn aws(fake: &Fake) -> (Aws, InstanceId) {
        (Aws::new(&fake.config()), InstanceId::parse("i-0123456789abcdef0").unwrap())
    }

    fn console(output: &str) -> Reply {
        Reply::xml(200, &format!("<GetConsoleOutputResponse><output>{output}</output></GetConsoleOutputResponse>"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_console_output_is_decoded_whatever_its_line_breaks() {
        let (aws, instance) = aws(&Fake::always(console("aGVsbG8s\r\nIG5vZGU=\n")));
        assert_eq!(aws.console_output(&instance, true).await, Ok(Some("hello, node".to_owned())));
        let (aws, instance) = self::aws(&Fake::always(console("")));
        assert_eq!(aws.console_output(&instance, true).await, Ok(None));
        let (aws, instance) = self::aws(&Fake::always(console("%%%")));
        let error = aws.console_output(&instance, true).await.unwrap_err();
        assert_eq!(error.message, "ec2:GetConsoleOutput for i-0123456789abcdef0: the output is not base64");
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_is_not_on_nitro_has_no_latest_output() {
        let fake = Fake::always(Reply::ec2_error(400, "UnsupportedOperation", "not supported for this type"));
        let (aws, instance) = aws(&fake);
        assert_eq!(aws.console_output(&instance, true).await, Ok(None));
        assert_eq!(aws.console_output(&instance, false).await.unwrap_err().kind, PortErrorKind::Other);
        assert!(fake.calls()[0].body.contains("Latest=true") && !fake.calls()[1].body.contains("Latest"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_pushed_with_what_instance_connect_asks_for() {
        let fake = Fake::always(Reply::json(&serde_json::json!({ "RequestId": "r", "Success": true })));
        let (aws, instance) = aws(&fake);
        aws.push_key(&instance, "eu-central-1a", "ec2-user", "ssh-ed25519 AAAA").await.unwrap();
        let expected = serde_json::json!({
            "InstanceId": "i-0123456789abcdef0", "InstanceOSUser": "ec2-user",
            "SSHPublicKey": "ssh-ed25519 AAAA", "AvailabilityZone": "eu-central-1a",
        });
        assert_eq!(fake.calls()[0].json(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn what_instance_connect_refuses_has_a_kind() {
        for (code, status, kind) in [
            ("AuthException", 403, PortErrorKind::Denied),
            ("EC2InstanceNotFoundException", 404, PortErrorKind::NotFound),
            ("EC2InstanceStateInvalidException", 400, PortErrorKind::Conflict),
            ("EC2InstanceUnavailableException", 503, PortErrorKind::Unavailable),
        ] {
            let (aws, instance) = aws(&Fake::always(Reply::json_error(status, code, "no")));
            let error = aws.push_key(&instance, "z", "ec2-user", "k").await.unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.contains("SendSSHPublicKey for ec2-user on i-0123456789abcdef0"), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_is_a_string_or_an_error() {
        let (aws, _) = aws(&Fake::always(Reply::json(&serde_json::json!({ "SecretString": "key" }))));
        assert_eq!(*aws.secret("nuproj/ssh").await.unwrap(), *b"key");
        let (aws, _) = self::aws(&Fake::always(Reply::json(&serde_json::json!({ "SecretBinary": "AAAA" }))));
        let error = aws.secret("nuproj/ssh").await.unwrap_err();
        assert!(error.message.ends_with("the secret is binary; store the private key as the secret string"), "{error}");
        let (aws, _) = self::aws(&Fake::always(Reply::json_error(400, "ResourceNotFoundException", "no such secret")));
        assert_eq!(aws.secret("nuproj/ssh").await.unwrap_err().kind, PortErrorKind::NotFound);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_makes_no_sense_is_not_quoted_for_it_may_hold_the_secret() {
        let (aws, _) = aws(&Fake::always(Reply::new(200, "{\"SecretString\": \"hunter2\", \"Name\"")));
        let error = aws.secret("nuproj/ssh").await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
