//! `hostler:handler/ec2`: the instance itself.

use async_trait::async_trait;

use super::call::{CallError, about};
use crate::bindings::hostler::handler::ec2 as wit;
use crate::policy::{DescribeInstance, Granted};
use crate::ports::{Instance, InstanceId, PortError};
use crate::sandbox::Attempt;

/// Amazon EC2, as far as handlers reach it.
#[async_trait]
pub trait Ec2: Send + Sync {
    /// Describes an instance. `NotFound` when EC2 does not know it.
    async fn describe_instance(&self, request: Granted<DescribeInstance>) -> Result<Instance, PortError>;
}

impl wit::Host for Attempt {
    async fn describe_instance(&mut self, instance: String) -> Result<wit::InstanceDescription, CallError> {
        let call = self.reading("ec2.describe-instance", &instance)?;
        let described = async {
            let id = InstanceId::parse(&instance)?;
            let request = self.scope.describe_instance(id.clone())?;
            let seen = self.ports.ec2.describe_instance(request).await?;
            about(&id, &seen.instance)?;
            Ok(seen.into())
        };
        let described = described.await;
        self.end(call, described)
    }
}

impl From<Instance> for wit::InstanceDescription {
    fn from(seen: Instance) -> Self {
        Self {
            instance: seen.instance.into(),
            state: seen.state,
            lifecycle: seen.lifecycle,
            instance_type: seen.instance_type,
            availability_zone: seen.availability_zone,
            private_address: seen.private_address.map(|address| address.to_string()),
            launched_at: seen.launched_at.map(super::clock::unix_milliseconds),
            tags: seen.tags,
        }
    }
}
