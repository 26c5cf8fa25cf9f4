//! `hostler:handler/autoscaling`: the instance as a member of its group.

use async_trait::async_trait;

use super::call::{CallError, HostError, about};
use crate::bindings::hostler::handler::autoscaling as wit;
use crate::policy::{AutoScalingCall, DescribeGroupInstance, Granted, SetInstanceProtection};
use crate::ports::{GroupInstance, InstanceId, PortError, PortErrorKind};
use crate::sandbox::Attempt;

/// EC2 Auto Scaling, as far as handlers reach it.
#[async_trait]
pub trait AutoScaling: Send + Sync {
    /// Describes an instance as a member of its group; none when it is in no group.
    async fn describe_instance(
        &self,
        request: Granted<DescribeGroupInstance>,
    ) -> Result<Option<GroupInstance>, PortError>;

    /// Sets or removes protection from scale-in.
    async fn set_instance_protection(&self, request: Granted<SetInstanceProtection>) -> Result<(), PortError>;
}

impl wit::Host for Attempt {
    async fn describe_instance(&mut self, instance: String) -> Result<Option<wit::GroupInstance>, CallError> {
        let call = self.reading("autoscaling.describe-instance", &instance)?;
        let described = async {
            match self.membership(AutoScalingCall::DescribeInstance, &instance).await? {
                Some(seen) => Ok(Some(self.scope.reveal_group_instance(seen)?.into())),
                None => Ok(None),
            }
        };
        let described = described.await;
        self.end(call, described)
    }

    async fn set_instance_protection(&mut self, instance: String, protected: bool) -> Result<(), CallError> {
        let call = self.mutating(
            "autoscaling.set-instance-protection",
            format_args!("{instance}: {protected}"),
            instance.len(),
        )?;
        let set = async {
            let seen = self.membership(AutoScalingCall::SetInstanceProtection, &instance).await?.ok_or_else(|| {
                PortError::new(PortErrorKind::NotFound, format!("{instance} belongs to no Auto Scaling group"))
            })?;
            let request = self.scope.set_instance_protection(seen, protected)?;
            Ok(self.ports.autoscaling.set_instance_protection(request).await?)
        };
        let set = set.await;
        self.end(call, set)
    }
}

impl Attempt {
    async fn membership(&mut self, call: AutoScalingCall, instance: &str) -> Result<Option<GroupInstance>, HostError> {
        let instance = InstanceId::parse(instance)?;
        let request = self.scope.describe_group_instance(call, instance.clone())?;
        let seen = self.ports.autoscaling.describe_instance(request).await?;
        seen.iter().try_for_each(|seen| about(&instance, &seen.instance))?;
        Ok(seen)
    }
}

impl From<GroupInstance> for wit::GroupInstance {
    fn from(seen: GroupInstance) -> Self {
        Self {
            instance: seen.instance.into(),
            group: seen.group.into(),
            lifecycle_state: seen.lifecycle_state,
            health_status: seen.health_status,
            protected_from_scale_in: seen.protected_from_scale_in,
            availability_zone: seen.availability_zone,
        }
    }
}
