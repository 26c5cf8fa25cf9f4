//! The port to Amazon EC2.

use async_trait::async_trait;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::types;
use jiff::Timestamp;

use super::error::Call;
use crate::capabilities::ec2::Ec2;
use crate::policy::{DescribeInstance, Granted};
use crate::ports::{Instance, InstanceId, PortError, PortErrorKind};

/// Amazon EC2.
#[derive(Debug)]
pub(super) struct AmazonEc2 {
    client: Client,
}

impl AmazonEc2 {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Ec2 for AmazonEc2 {
    async fn describe_instance(&self, request: Granted<DescribeInstance>) -> Result<Instance, PortError> {
        describe(&self.client, request.into_request()).await
    }
}

async fn describe(client: &Client, DescribeInstance { instance }: DescribeInstance) -> Result<Instance, PortError> {
    let call = Call::new("ec2:DescribeInstances", instance.as_str());
    let answer = client
        .describe_instances()
        .instance_ids(instance.as_str())
        .send()
        .await
        .map_err(|error| call.failed(&error))?;
    answer
        .reservations()
        .iter()
        .flat_map(types::Reservation::instances)
        .find(|found| found.instance_id() == Some(instance.as_str()))
        .map(|found| fact(instance, found))
        .ok_or_else(|| call.error(PortErrorKind::NotFound, "EC2 knows no such instance in this account and region"))
}

fn fact(instance: InstanceId, from: &types::Instance) -> Instance {
    Instance {
        instance,
        state: from.state().and_then(|state| state.name()).map_or("unknown", |name| name.as_str()).to_owned(),
        // EC2 names only the special ways of buying an instance.
        lifecycle: from.instance_lifecycle().map_or("on-demand", |lifecycle| lifecycle.as_str()).to_owned(),
        instance_type: from.instance_type().map_or("unknown", |kind| kind.as_str()).to_owned(),
        availability_zone: from
            .placement()
            .and_then(|placement| placement.availability_zone())
            .unwrap_or_default()
            .to_owned(),
        private_address: from.private_ip_address().and_then(|address| address.parse().ok()),
        launched_at: from
            .launch_time()
            .and_then(|at| at.to_millis().ok())
            .and_then(|at| Timestamp::from_millisecond(at).ok()),
        tags: from
            .tags()
            .iter()
            .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::fake::{Fake, Reply};

    const INSTANCE: &str = "i-0123456789abcdef0";

    async fn describe_with(reply: Reply) -> Result<Instance, PortError> {
        let client = Client::new(&Fake::always(reply).config());
        describe(&client, DescribeInstance { instance: InstanceId::parse(INSTANCE).unwrap() }).await
    }

    fn instances(inner: &str) -> Reply {
        Reply::xml(
            200,
            &format!(
                "<DescribeInstancesResponse><requestId>r</requestId><reservationSet><item><instancesSet>{inner}\
                 </instancesSet></item></reservationSet></DescribeInstancesResponse>"
            ),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_is_told_in_ec2s_own_words() {
        let found = describe_with(instances(
            "<item><instanceId>i-00000000000000001</instanceId></item>\
             <item><instanceId>i-0123456789abcdef0</instanceId><instanceState><code>16</code><name>running</name></instanceState>\
             <instanceLifecycle>spot</instanceLifecycle><instanceType>m7g.large</instanceType>\
             <placement><availabilityZone>eu-central-1a</availabilityZone></placement>\
             <privateIpAddress>10.0.0.7</privateIpAddress><launchTime>2026-01-02T03:04:05.000Z</launchTime>\
             <tagSet><item><key>Name</key><value>web-1</value></item></tagSet></item>",
        ))
        .await
        .unwrap();
        assert_eq!(
            found,
            Instance {
                instance: InstanceId::parse(INSTANCE).unwrap(),
                state: "running".into(),
                lifecycle: "spot".into(),
                instance_type: "m7g.large".into(),
                availability_zone: "eu-central-1a".into(),
                private_address: Some("10.0.0.7".parse().unwrap()),
                launched_at: Some("2026-01-02T03:04:05Z".parse().unwrap()),
                tags: vec![("Name".into(), "web-1".into())],
            }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminated_instance_is_on_demand_without_address() {
        let found = describe_with(instances(
            "<item><instanceId>i-0123456789abcdef0</instanceId><instanceState><name>terminated</name></instanceState></item>",
        ))
        .await
        .unwrap();
        assert_eq!((found.state.as_str(), found.lifecycle.as_str()), ("terminated", "on-demand"));
        assert_eq!((found.private_address, found.launched_at), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_or_malformed_id_is_told_apart() {
        for (code, kind) in [
            ("InvalidInstanceID.NotFound", PortErrorKind::NotFound),
            ("InvalidInstanceID.Malformed", PortErrorKind::Invalid),
        ] {
            let error = describe_with(Reply::ec2_error(400, code, "it is what it is")).await.unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.contains(INSTANCE) && error.message.contains("it is what it is"), "{error}");
        }
        let error =
            describe_with(instances("<item><instanceId>i-00000000000000001</instanceId></item>")).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::NotFound, "another instance passed for the one asked for: {error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_by_iam_says_what_to_allow_and_spares_us_the_blob() {
        let message = format!("You are not authorized. Encoded authorization failure message: {}", "x".repeat(4000));
        let error = describe_with(Reply::ec2_error(403, "UnauthorizedOperation", &message)).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Denied);
        insta::assert_snapshot!(error.message, @"ec2:DescribeInstances for i-0123456789abcdef0: not allowed by IAM (UnauthorizedOperation: You are not authorized., HTTP 403, request req-1); allow ec2:DescribeInstances for the role Hostler runs as");
    }
}
