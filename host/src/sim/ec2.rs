//! Amazon EC2 in the simulated world.

use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;

use super::World;
use super::node::Node;
use crate::capabilities::ec2::Ec2;
use crate::policy::{DescribeInstance, Granted};
use crate::ports::{Instance, InstanceId, PortError, PortErrorKind};

/// How long a terminated instance can be described. API reference, DescribeInstances: "usually less than one hour".
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// How long before the beginning of the world an instance was launched, unless the file says when.
pub(super) const LAUNCHED_BEFORE: SignedDuration = SignedDuration::from_hours(-24);

#[async_trait]
impl Ec2 for World {
    async fn describe_instance(&self, request: Granted<DescribeInstance>) -> Result<Instance, PortError> {
        self.describe(&request.into_request().instance)
    }
}

impl World {
    /// API reference, DescribeInstances; the `Instance` data type: a terminated instance has no private address.
    pub(super) fn describe(&self, instance: &InstanceId) -> Result<Instance, PortError> {
        self.call(
            "ec2.describe-instance",
            instance.to_string(),
            |state, now| {
                let seen = state.seen(now);
                let node = seen.find(instance).filter(|node| !node.is_forgotten(seen.now)).ok_or_else(|| {
                    PortError::new(
                        PortErrorKind::NotFound,
                        format!("EC2 does not know {instance} (InvalidInstanceID.NotFound)"),
                    )
                })?;
                Ok(Instance {
                    instance: node.id.clone(),
                    state: node.state.to_owned(),
                    lifecycle: node.lifecycle.to_owned(),
                    instance_type: node.instance_type.clone(),
                    availability_zone: node.availability_zone.clone(),
                    private_address: (node.state != "terminated").then_some(node.address),
                    launched_at: Some(node.launched_at.unwrap_or_else(|| state.after(LAUNCHED_BEFORE))),
                    tags: node.tags.clone(),
                })
            },
            |found| found.state.clone(),
        )
    }
}

impl Node {
    fn is_forgotten(&self, now: Duration) -> bool {
        self.terminated_at.is_some_and(|at| now >= at + REMEMBERED)
    }
}
