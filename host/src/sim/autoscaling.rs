//! EC2 Auto Scaling in the simulated world, as far as handlers reach it.

use async_trait::async_trait;

use super::World;
use super::node::Node;
use crate::capabilities::autoscaling::AutoScaling;
use crate::policy::{DescribeGroupInstance, Granted, SetInstanceProtection};
use crate::ports::{GroupInstance, InstanceId, PortError, PortErrorKind};

#[async_trait]
impl AutoScaling for World {
    async fn describe_instance(
        &self,
        request: Granted<DescribeGroupInstance>,
    ) -> Result<Option<GroupInstance>, PortError> {
        self.describe_member(&request.into_request().instance)
    }

    async fn set_instance_protection(&self, request: Granted<SetInstanceProtection>) -> Result<(), PortError> {
        self.protect(&request.into_request())
    }
}

impl World {
    /// API reference, DescribeAutoScalingInstances: an instance of no group is not in the answer, and that is no error.
    pub(super) fn describe_member(&self, instance: &InstanceId) -> Result<Option<GroupInstance>, PortError> {
        self.call(
            "autoscaling.describe-instance",
            instance.to_string(),
            |state, now| Ok(state.seen(now).find(instance).and_then(member)),
            |found| {
                found.as_ref().map_or("in no group".to_owned(), |m| format!("{} in {}", m.lifecycle_state, m.group))
            },
        )
    }

    /// API reference, SetInstanceProtection. Auto Scaling refuses an instance that is not in service, or on its way to or in standby.
    pub(super) fn protect(&self, request: &SetInstanceProtection) -> Result<(), PortError> {
        let SetInstanceProtection { member: asked, protected } = request;
        let instance = &asked.instance;
        self.call(
            "autoscaling.set-instance-protection",
            format!("{instance} in {}", asked.group),
            |state, _| {
                let node = state.find(instance).and_then(|node| state.nodes[node].member.as_mut());
                let member = node.filter(|member| member.group == asked.group).ok_or_else(|| {
                    PortError::new(
                        PortErrorKind::NotFound,
                        format!("the Auto Scaling group {} has no instance {instance}", asked.group),
                    )
                })?;
                if !matches!(member.state, "InService" | "EnteringStandby" | "Standby") {
                    return Err(PortError::new(
                        PortErrorKind::Conflict,
                        format!(
                            "{instance} is {}: Auto Scaling protects only instances that are InService, EnteringStandby or Standby",
                            member.state
                        ),
                    ));
                }
                member.protected = *protected;
                Ok(())
            },
            |()| if *protected { "protected".to_owned() } else { "not protected".to_owned() },
        )
    }
}

fn member(node: &Node) -> Option<GroupInstance> {
    let member = node.member.as_ref()?;
    Some(GroupInstance {
        instance: node.id.clone(),
        group: member.group.clone(),
        lifecycle_state: member.state.to_owned(),
        health_status: member.health.to_owned(),
        protected_from_scale_in: member.protected,
        availability_zone: node.availability_zone.clone(),
    })
}
