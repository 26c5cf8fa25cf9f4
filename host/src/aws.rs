//! The real world: the ports on the AWS SDK.
//!
//! Owns one set of clients, made once at start, and the translation of what AWS says into facts and failures of `ports`. Knows
//! nothing of policy, events' forms or guests: what may be asked was decided before a request gets here.

mod autoscaling;
mod batch;
pub(crate) mod body;
mod budget;
mod ec2;
mod ecs;
pub(crate) mod error;
#[cfg(test)]
pub(crate) mod fake;
mod groups;
mod http;
pub mod imds;
mod lifecycle;
mod mappings;
mod sqs;
pub mod ssh;

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_types::service_config::ServiceConfigKey;

use crate::capabilities;
use crate::diagnosis::Services;
use crate::doors::imds::Membership;
use crate::doors::lambda::mappings::Mappings;
use crate::doors::queue::{DeadLetters, Queue};
use crate::ledger::S3Store;
use crate::lifecycle::Lifecycle;
use crate::modules::S3Source;
use crate::ports::{AccountId, IdError, Place, PortError, PortErrorKind, Region};
use crate::recording::{Keep, S3Keep};
use crate::sweep::{Adopt, Groups};
use budget::Budget;
use error::Call;

/// For a TCP and TLS connection: inside AWS it takes milliseconds, so this is a network that does not let us through.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// For one try of a call. The slowest call made here, DescribeTasks of 100 tasks, answers within about a second.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// For a call with all its tries: half the wall budget of an attempt as policies usually set it, so that the handler still gets to say something.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a call is tried: throttling of ECS and Auto Scaling lasts seconds, and the pauses come to 7 s at most (up to 1, 2 and 4 s).
const TRIES: u32 = 4;

/// Our side of AWS: one configuration, one HTTP client and one client per service.
///
/// Clients are cheap to clone and share connections and credentials, so one of these serves a whole process, and has its one budget
/// of calls.
#[derive(Debug)]
pub struct Aws {
    config: SdkConfig,
    place: Place,
    caller: String,
    budget: Budget,
    ecs: aws_sdk_ecs::Client,
    autoscaling: aws_sdk_autoscaling::Client,
    ec2: aws_sdk_ec2::Client,
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
}

/// Why there is no way into AWS. All of it is the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// Nothing says which region we are in.
    #[error("no AWS region is configured; set AWS_REGION, or region in the profile that AWS_PROFILE names")]
    NoRegion,
    /// AWS does not tell who we are: no credentials, credentials it does not accept, or no answer.
    #[error("cannot tell who we are in AWS")]
    Identity(#[source] PortError),
    /// The region configured, or the account AWS names, is not one.
    #[error("cannot tell where in AWS we are")]
    Place(#[from] IdError),
}

impl Aws {
    /// Reads configuration and credentials from where AWS tools have them, and asks AWS whose they are (STS GetCallerIdentity).
    pub async fn connect() -> Result<Self, AwsError> {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http::client())
            .timeout_config(timeouts())
            .retry_config(retries())
            .load()
            .await;
        Self::with(config).await
    }

    async fn with(config: SdkConfig) -> Result<Self, AwsError> {
        let (place, caller) = identity(&config).await?;
        let budget = Budget::new();
        let ecs = aws_sdk_ecs::config::Builder::from(&config).interceptor(budget.clone()).build();
        let autoscaling = aws_sdk_autoscaling::config::Builder::from(&config).interceptor(budget.clone()).build();
        let ec2 = aws_sdk_ec2::config::Builder::from(&config).interceptor(budget.clone()).build();
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(has_own_s3_endpoint(&config)).build();
        Ok(Self {
            place,
            caller,
            budget,
            ecs: aws_sdk_ecs::Client::from_conf(ecs),
            autoscaling: aws_sdk_autoscaling::Client::from_conf(autoscaling),
            ec2: aws_sdk_ec2::Client::from_conf(ec2),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sqs: aws_sdk_sqs::Client::new(&config),
            config,
        })
    }

    /// The account and the region we act in.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Who we are: the ARN of a user or of an assumed role.
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// What every client is made from, for clients of other services.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// The port to Amazon ECS.
    pub fn ecs(&self) -> Arc<dyn capabilities::ecs::Ecs> {
        Arc::new(ecs::AmazonEcs::new(self.ecs.clone(), self.budget.clone()))
    }

    /// The port to ECS services, for who asks what keeps their tasks.
    pub fn services(&self) -> Arc<dyn Services> {
        Arc::new(ecs::AmazonEcs::new(self.ecs.clone(), self.budget.clone()))
    }

    /// The port to EC2 Auto Scaling that handlers reach.
    pub fn autoscaling(&self) -> Arc<dyn capabilities::autoscaling::AutoScaling> {
        Arc::new(autoscaling::Ec2AutoScaling::new(self.autoscaling.clone(), self.budget.clone()))
    }

    /// The port to Amazon EC2.
    pub fn ec2(&self) -> Arc<dyn capabilities::ec2::Ec2> {
        Arc::new(ec2::AmazonEc2::new(self.ec2.clone(), self.budget.clone()))
    }

    /// The port to lifecycle actions, for the host alone.
    pub fn lifecycle(&self) -> Arc<dyn Lifecycle> {
        Arc::new(lifecycle::LifecycleActions::new(self.autoscaling.clone(), self.budget.clone()))
    }

    /// The port to what waits in Auto Scaling groups, for the host alone.
    pub fn groups(&self) -> Arc<dyn Groups> {
        Arc::new(groups::AutoScalingGroups::new(self.autoscaling.clone(), self.budget.clone()))
    }

    /// The port to what Auto Scaling knows of one instance, for the host alone.
    pub fn membership(&self) -> Arc<dyn Membership> {
        Arc::new(groups::AutoScalingGroups::new(self.autoscaling.clone(), self.budget.clone()))
    }

    /// The modules in `bucket` whose keys begin with `prefix`.
    pub fn modules(&self, bucket: &str, prefix: &str) -> S3Source {
        S3Source::new(self.s3.clone(), bucket, prefix)
    }

    /// The queue at `url`.
    pub fn queue(&self, url: &str) -> Arc<dyn Queue> {
        Arc::new(sqs::SqsQueue::at(self.sqs.clone(), url))
    }

    /// The queue that an event source mapping names.
    pub fn queue_of_arn(&self, arn: &str) -> Arc<dyn Queue> {
        Arc::new(sqs::SqsQueue::of_arn(self.sqs.clone(), arn))
    }

    /// The event source mappings that queues reach a function by.
    pub fn mappings(&self) -> Arc<dyn Mappings> {
        Arc::new(mappings::EventSourceMappings(aws_sdk_lambda::Client::new(&self.config)))
    }

    /// The queue at `url`, for events that the sweep has found and that it is to bring.
    pub fn adopts(&self, url: &str) -> Arc<dyn Adopt> {
        Arc::new(sqs::SqsSender::at(self.sqs.clone(), url))
    }

    /// The queue at `url`, for messages that cannot be handled.
    pub fn dead_letters(&self, url: &str) -> Arc<dyn DeadLetters> {
        Arc::new(sqs::SqsSender::at(self.sqs.clone(), url))
    }

    /// The ledger in `bucket`, under keys that begin with `prefix`.
    pub fn ledger(&self, bucket: &str, prefix: &str) -> S3Store {
        S3Store::new(self.s3.clone(), bucket, prefix)
    }

    /// A place for recordings in `bucket`, under keys that begin with `prefix`.
    pub fn recordings(&self, bucket: &str, prefix: &str) -> Arc<dyn Keep> {
        Arc::new(S3Keep::new(self.s3.clone(), bucket, prefix))
    }
}

/// Where we are, and who (STS GetCallerIdentity).
async fn identity(config: &SdkConfig) -> Result<(Place, String), AwsError> {
    let region = Region::parse(config.region().ok_or(AwsError::NoRegion)?.as_ref())?;
    let call = Call::new("sts:GetCallerIdentity", format!("region {region}"));
    let identity = aws_sdk_sts::Client::new(config)
        .get_caller_identity()
        .send()
        .await
        .map_err(|error| AwsError::Identity(call.failed(&error)))?;
    let account = identity
        .account()
        .ok_or_else(|| AwsError::Identity(call.error(PortErrorKind::Other, "the answer names no account")))?;
    let caller = identity.arn().unwrap_or(account).to_owned();
    Ok((Place { account: AccountId::parse(account)?, region }, caller))
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(TRIES)
}

/// Whether S3 is somewhere else than AWS has it. Such places seldom have a host name per bucket, so the bucket goes into the path.
fn has_own_s3_endpoint(config: &SdkConfig) -> bool {
    let key = ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let for_s3 = || config.service_config()?.load_config(key.ok()?);
    config.endpoint_url().is_some() || for_s3().is_some()
}

#[cfg(test)]
mod tests {
    use super::fake::{Fake, Reply};
    use super::*;

    fn identity(account: &str) -> Reply {
        Reply::query(
            "GetCallerIdentity",
            &format!("<Arn>arn:aws:iam::{account}:user/ops</Arn><Account>{account}</Account>"),
        )
    }

    /// The whole chain of an error, as `main` prints it.
    fn told(error: &AwsError) -> String {
        std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ")
    }

    #[tokio::test(start_paused = true)]
    async fn we_are_in_the_account_sts_names_and_the_region_configured() {
        let fake = Fake::always(identity("123456789012"));
        let aws = Aws::with(fake.config()).await.unwrap();
        assert_eq!((aws.place().account.as_str(), aws.place().region.as_str()), ("123456789012", "eu-central-1"));
        assert_eq!(aws.caller(), "arn:aws:iam::123456789012:user/ops");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_region_nothing_is_asked() {
        let fake = Fake::always(identity("123456789012"));
        let config = fake.config().into_builder().region(None).build();
        insta::assert_snapshot!(told(&Aws::with(config).await.unwrap_err()), @"no AWS region is configured; set AWS_REGION, or region in the profile that AWS_PROFILE names");
        assert!(fake.calls().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn without_credentials_the_error_says_where_they_go() {
        #[derive(Debug)]
        struct None;
        impl aws_credential_types::provider::ProvideCredentials for None {
            fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
            where
                Self: 'a,
            {
                let error =
                    aws_credential_types::provider::error::CredentialsError::not_loaded("nothing is configured");
                aws_credential_types::provider::future::ProvideCredentials::ready(Err(error))
            }
        }
        let fake = Fake::always(identity("123456789012"));
        let provider = aws_credential_types::provider::SharedCredentialsProvider::new(None);
        let config = fake.config().into_builder().credentials_provider(provider).build();
        insta::assert_snapshot!(told(&Aws::with(config).await.unwrap_err()), @"cannot tell who we are in AWS: sts:GetCallerIdentity for region eu-central-1: no AWS credentials (nothing is configured); give the Lambda function or the instance a role, or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
        assert!(fake.calls().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_that_aws_refuses_are_told_from_missing_ones() {
        let fake = Fake::always(Reply::query_error(
            403,
            "ExpiredToken",
            "The security token included in the request is expired",
        ));
        insta::assert_snapshot!(told(&Aws::with(fake.config()).await.unwrap_err()), @"cannot tell who we are in AWS: sts:GetCallerIdentity for region eu-central-1: AWS does not accept our credentials (ExpiredToken: The security token included in the request is expired, HTTP 403, request req-1); renew them, and check the machine's clock");
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_is_none_is_refused() {
        let fake = Fake::always(identity("nobody"));
        insta::assert_snapshot!(told(&Aws::with(fake.config()).await.unwrap_err()), @r#"cannot tell where in AWS we are: "nobody" is not an AWS account id (twelve digits)"#);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_is_in_the_host_name_unless_s3_is_elsewhere() {
        use crate::modules::{Source as _, Which};
        for (endpoint, expected) in [
            (None, "https://modules.s3.eu-central-1.amazonaws.com/plugins/a.wasm?x-id=GetObject"),
            (Some("http://127.0.0.1:9000"), "http://127.0.0.1:9000/modules/plugins/a.wasm?x-id=GetObject"),
        ] {
            let fake =
                Fake::new(
                    |call| if call.uri.contains("modules") { Reply::new(200, "x") } else { identity("123456789012") },
                );
            let mut config = fake.config().into_builder();
            config.set_endpoint_url(endpoint.map(str::to_owned));
            let aws = Aws::with(config.build()).await.unwrap();
            aws.modules("modules", "plugins/").fetch("a.wasm", Which::Newest(None), 10).await.unwrap();
            assert_eq!(fake.calls().last().unwrap().uri, expected);
        }
    }
}
