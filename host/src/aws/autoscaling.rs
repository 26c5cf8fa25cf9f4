//! The port to EC2 Auto Scaling, as far as handlers reach it. What completes lifecycle actions is in `lifecycle`.

use async_trait::async_trait;
use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::types::AutoScalingInstanceDetails;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::batch::{Answers, Batches, Question, named};
use super::budget::Budget;
use super::error::Call;
use crate::capabilities::autoscaling::AutoScaling;
use crate::policy::{DescribeGroupInstance, Granted, SetInstanceProtection};
use crate::ports::{GroupInstance, GroupName, InstanceId, PortError, PortErrorKind};

/// How many instances one call describes (API reference).
const BATCH: usize = 50;

const DESCRIBE: &str = "autoscaling:DescribeAutoScalingInstances";

/// EC2 Auto Scaling.
#[derive(Debug)]
pub(super) struct Ec2AutoScaling {
    client: Client,
    budget: Budget,
    members: Batches<Members>,
}

impl Ec2AutoScaling {
    pub(super) fn new(client: Client, budget: Budget) -> Self {
        let members = Batches::new(Members { client: client.clone(), budget: budget.clone() });
        Self { client, budget, members }
    }
}

#[async_trait]
impl AutoScaling for Ec2AutoScaling {
    async fn describe_instance(
        &self,
        request: Granted<DescribeGroupInstance>,
    ) -> Result<Option<GroupInstance>, PortError> {
        self.describe(request.into_request()).await
    }

    async fn set_instance_protection(&self, request: Granted<SetInstanceProtection>) -> Result<(), PortError> {
        self.protect(request.into_request()).await
    }
}

/// "What are these instances in their groups?" One in no group has no answer.
struct Members {
    client: Client,
    budget: Budget,
}

#[async_trait]
impl Question for Members {
    type Scope = ();
    type Key = InstanceId;
    type Answer = GroupInstance;

    const AT_MOST: usize = BATCH;

    async fn turn(&self) {
        self.budget.turn(DESCRIBE).await;
    }

    async fn ask(&self, (): &(), instances: Vec<InstanceId>) -> Result<Answers<Self>, PortError> {
        let call = Call::new(DESCRIBE, named(&instances, "instances"));
        let ids = instances.iter().map(|instance| instance.as_str().to_owned()).collect();
        let answer = self
            .client
            .describe_auto_scaling_instances()
            .set_instance_ids(Some(ids))
            .send()
            .await
            .map_err(|error| call.failed(&error))?;
        let found = answer.auto_scaling_instances().iter().filter_map(|found| {
            let instance = instances.iter().find(|id| found.instance_id() == Some(id.as_str()))?;
            Some((instance.clone(), group_instance(&call, instance.clone(), found)))
        });
        Ok(found.collect())
    }
}

fn group_instance(
    call: &Call,
    instance: InstanceId,
    from: &AutoScalingInstanceDetails,
) -> Result<GroupInstance, PortError> {
    let group = GroupName::parse(from.auto_scaling_group_name().unwrap_or_default())
        .map_err(|error| call.error(PortErrorKind::Other, error.to_string()))?;
    Ok(GroupInstance {
        instance,
        group,
        lifecycle_state: from.lifecycle_state().unwrap_or_default().to_owned(),
        health_status: from.health_status().unwrap_or_default().to_owned(),
        protected_from_scale_in: from.protected_from_scale_in().unwrap_or_default(),
        availability_zone: from.availability_zone().unwrap_or_default().to_owned(),
    })
}

impl Ec2AutoScaling {
    async fn describe(
        &self,
        DescribeGroupInstance { instance }: DescribeGroupInstance,
    ) -> Result<Option<GroupInstance>, PortError> {
        self.members.ask(&(), instance).await
    }

    async fn protect(
        &self,
        SetInstanceProtection { member, protected }: SetInstanceProtection,
    ) -> Result<(), PortError> {
        let call =
            Call::new("autoscaling:SetInstanceProtection", format!("{} in group {}", member.instance, member.group));
        self.budget.turn(call.operation()).await;
        let result = self
            .client
            .set_instance_protection()
            .auto_scaling_group_name(member.group.as_str())
            .instance_ids(member.instance.as_str())
            .protected_from_scale_in(protected)
            .send()
            .await;
        let Err(error) = result else { return Ok(()) };
        let mut failed = call.failed(&error);
        // One code for every reason; the request is made from what Auto Scaling gave us, so what it dislikes is the present state.
        match (error.code(), error.message().unwrap_or_default()) {
            (Some("ValidationError"), message) if message.contains("not part of") || message.contains("not found") => {
                failed.kind = PortErrorKind::NotFound;
            }
            (Some("ValidationError" | "LimitExceeded"), _) => failed.kind = PortErrorKind::Conflict,
            _ => {}
        }
        Err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::fake::{Fake, Reply};

    const INSTANCE: &str = "i-0123456789abcdef0";

    fn port(fake: &Fake) -> Ec2AutoScaling {
        Ec2AutoScaling::new(Client::new(&fake.config()), Budget::new())
    }

    fn seen() -> SetInstanceProtection {
        let member = GroupInstance {
            instance: InstanceId::parse(INSTANCE).unwrap(),
            group: GroupName::parse("web").unwrap(),
            lifecycle_state: "InService".into(),
            health_status: "HEALTHY".into(),
            protected_from_scale_in: false,
            availability_zone: "eu-central-1a".into(),
        };
        SetInstanceProtection { member, protected: true }
    }

    fn members(ids: &[&str]) -> Reply {
        let members: String = ids
            .iter()
            .map(|id| {
                format!(
                    "<member><InstanceId>{id}</InstanceId><AutoScalingGroupName>web</AutoScalingGroupName>\
                     <AvailabilityZone>eu-central-1a</AvailabilityZone><LifecycleState>Terminating:Wait</LifecycleState>\
                     <HealthStatus>HEALTHY</HealthStatus><ProtectedFromScaleIn>true</ProtectedFromScaleIn></member>"
                )
            })
            .collect();
        Reply::query("DescribeAutoScalingInstances", &format!("<AutoScalingInstances>{members}</AutoScalingInstances>"))
    }

    async fn describe_with(reply: Reply) -> Result<Option<GroupInstance>, PortError> {
        let fake = Fake::always(reply);
        port(&fake).describe(DescribeGroupInstance { instance: InstanceId::parse(INSTANCE).unwrap() }).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_is_the_one_with_the_id_and_no_other() {
        let found = describe_with(members(&["i-00000000000000001", INSTANCE])).await.unwrap().unwrap();
        assert_eq!(found.instance.as_str(), INSTANCE);
        assert_eq!((found.group.as_str(), found.lifecycle_state.as_str()), ("web", "Terminating:Wait"));
        assert!(found.protected_from_scale_in);
        assert_eq!(describe_with(members(&["i-00000000000000001"])).await, Ok(None));
        assert_eq!(describe_with(members(&[])).await, Ok(None));
    }

    #[tokio::test(start_paused = true)]
    async fn protection_names_instance_and_group() {
        let fake = Fake::always(Reply::query("SetInstanceProtection", ""));
        port(&fake).protect(seen()).await.unwrap();
        let body = &fake.calls()[0].body;
        for part in
            ["AutoScalingGroupName=web", "InstanceIds.member.1=i-0123456789abcdef0", "ProtectedFromScaleIn=true"]
        {
            assert!(body.contains(part), "{body}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn protection_in_the_wrong_state_is_a_conflict_and_outside_the_group_not_found() {
        for (message, kind) in [
            (
                "The instance i-0123456789abcdef0 is not in InService or EnteringStandby or Standby.",
                PortErrorKind::Conflict,
            ),
            ("The instance i-0123456789abcdef0 is not part of Auto Scaling group web.", PortErrorKind::NotFound),
        ] {
            let fake = Fake::always(Reply::query_error(400, "ValidationError", message));
            let error = port(&fake).protect(seen()).await.unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.contains(message) && error.message.contains("group web"), "{error}");
        }
    }
}
