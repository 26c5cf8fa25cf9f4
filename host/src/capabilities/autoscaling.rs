//! `hostler:handler/autoscaling`: the instance as a member of its group.

use async_trait::async_trait;

use crate::policy::{DescribeGroupInstance, Granted, SetInstanceProtection};
use crate::ports::{GroupInstance, PortError};

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
