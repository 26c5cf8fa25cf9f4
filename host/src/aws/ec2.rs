//! The port to Amazon EC2.

use async_trait::async_trait;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::types;
use jiff::Timestamp;

use super::batch::{Answers, Batches, Question, named};
use super::budget::Budget;
use super::error::Call;
use crate::capabilities::ec2::Ec2;
use crate::policy::{DescribeInstance, Granted};
use crate::ports::{Instance, InstanceId, PortError, PortErrorKind};

/// How many ids one call asks about. A filter takes 200 values.
const BATCH: usize = 100;

/// [`BATCH`] as a page size: an id has one instance at most.
const PAGE: i32 = 100;

const DESCRIBE: &str = "ec2:DescribeInstances";

/// Amazon EC2.
#[derive(Debug)]
pub(super) struct AmazonEc2 {
    instances: Batches<Described>,
}

impl AmazonEc2 {
    pub(super) fn new(client: Client, budget: Budget) -> Self {
        Self { instances: Batches::new(Described { client, budget }) }
    }

    async fn describe(&self, DescribeInstance { instance }: DescribeInstance) -> Result<Instance, PortError> {
        self.instances.ask(&(), instance.clone()).await?.ok_or_else(|| {
            let call = Call::new(DESCRIBE, instance.as_str());
            call.error(PortErrorKind::NotFound, "EC2 knows no such instance in this account and region")
        })
    }
}

#[async_trait]
impl Ec2 for AmazonEc2 {
    async fn describe_instance(&self, request: Granted<DescribeInstance>) -> Result<Instance, PortError> {
        self.describe(request.into_request()).await
    }
}

/// "What are these instances?"
struct Described {
    client: Client,
    budget: Budget,
}

#[async_trait]
impl Question for Described {
    type Scope = ();
    type Key = InstanceId;
    type Answer = Instance;

    const AT_MOST: usize = BATCH;

    async fn turn(&self) {
        self.budget.turn(DESCRIBE).await;
    }

    /// Asks with a filter: where ids are named as such, one that EC2 does not know fails the call for all of them. Calls with a filter
    /// and pages also draw on the larger of EC2's buckets.
    async fn ask(&self, (): &(), instances: Vec<InstanceId>) -> Result<Answers<Self>, PortError> {
        let call = Call::new(DESCRIBE, named(&instances, "instances"));
        let ids = instances.iter().map(|instance| instance.as_str().to_owned()).collect();
        let filter = types::Filter::builder().name("instance-id").set_values(Some(ids)).build();
        let mut pages = self.client.describe_instances().filters(filter).into_paginator().page_size(PAGE).send();
        let mut answers = Answers::<Self>::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| call.failed(&error))?;
            let found = page.reservations().iter().flat_map(types::Reservation::instances);
            for found in found {
                if let Some(id) = instances.iter().find(|id| found.instance_id() == Some(id.as_str())) {
                    answers.insert(id.clone(), Ok(fact(id.clone(), found)));
                }
            }
            if page.next_token().is_some() {
                self.budget.turn(DESCRIBE).await;
            }
        }
        Ok(answers)
    }
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
        describe_in(&Fake::always(reply)).await
    }

    async fn describe_in(fake: &Fake) -> Result<Instance, PortError> {
        let port = AmazonEc2::new(Client::new(&fake.config()), Budget::new());
        port.describe(DescribeInstance { instance: InstanceId::parse(INSTANCE).unwrap() }).await
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
    async fn an_id_that_ec2_says_nothing_of_is_not_found() {
        for answer in ["", "<item><instanceId>i-00000000000000001</instanceId></item>"] {
            let error = describe_with(instances(answer)).await.unwrap_err();
            assert_eq!(error.kind, PortErrorKind::NotFound, "another instance passed for the one asked for: {error}");
            insta::allow_duplicates! {
                insta::assert_snapshot!(error.message, @"ec2:DescribeInstances for i-0123456789abcdef0: EC2 knows no such instance in this account and region");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ids_are_a_filter_so_that_an_unknown_one_fails_no_other() {
        let fake = Fake::always(instances("<item><instanceId>i-0123456789abcdef0</instanceId></item>"));
        describe_in(&fake).await.unwrap();
        let body = &fake.calls()[0].body;
        assert!(body.contains("Filter.1.Name=instance-id&Filter.1.Value.1=i-0123456789abcdef0"), "{body}");
        assert!(!body.contains("InstanceId.1"), "{body}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_is_found_behind_an_empty_page() {
        let fake = Fake::new(|call| match call.body.contains("NextToken=more") {
            true => instances("<item><instanceId>i-0123456789abcdef0</instanceId></item>"),
            false => Reply::xml(
                200,
                "<DescribeInstancesResponse><reservationSet/><nextToken>more</nextToken></DescribeInstancesResponse>",
            ),
        });
        assert_eq!(describe_in(&fake).await.unwrap().instance.as_str(), INSTANCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_by_iam_says_what_to_allow_and_spares_us_the_blob() {
        let message = format!("You are not authorized. Encoded authorization failure message: {}", "x".repeat(4000));
        let error = describe_with(Reply::ec2_error(403, "UnauthorizedOperation", &message)).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Denied);
        insta::assert_snapshot!(error.message, @"ec2:DescribeInstances for i-0123456789abcdef0: not allowed by IAM (UnauthorizedOperation: You are not authorized., HTTP 403, request req-1); allow ec2:DescribeInstances for the role Hostler runs as");
    }
}
