//! `hostler:handler/ec2`: the instance itself.

use async_trait::async_trait;

use crate::policy::{DescribeInstance, Granted};
use crate::ports::{Instance, PortError};

/// Amazon EC2, as far as handlers reach it.
#[async_trait]
pub trait Ec2: Send + Sync {
    /// Describes an instance. `NotFound` when EC2 does not know it.
    async fn describe_instance(&self, request: Granted<DescribeInstance>) -> Result<Instance, PortError>;
}
