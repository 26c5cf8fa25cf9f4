//! What ports report of the world. The policy judges from these, and from nothing a guest said.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AccountId, ClusterName, GroupName, InstanceId, Region, TaskArn};

/// Where we are: from here, every instance elsewhere would be "not found", and its event would vanish quietly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Our account.
    pub account: AccountId,
    /// Our region.
    pub region: Region,
}

/// An EC2 instance as a member of an ECS cluster, as ECS DescribeContainerInstances gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ContainerInstance {
    /// The ARN of the container instance.
    pub arn: String,
    /// The cluster it is a member of.
    pub cluster: ClusterName,
    /// The EC2 instance: what ECS says it is, never what was asked for.
    pub instance: InstanceId,
    /// ECS's own word, such as `ACTIVE` or `DRAINING`.
    pub status: String,
    /// Whether the ECS agent is connected.
    pub agent_connected: bool,
    /// Tasks that are meant to run here.
    pub running_tasks: u32,
    /// Tasks about to start here.
    pub pending_tasks: u32,
}

/// An ECS task that has not come to an end, as DescribeTasks gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Task {
    /// The ARN of the task.
    pub arn: TaskArn,
    /// The EC2 instance whose container instance it is placed on.
    pub on: InstanceId,
    /// ECS's `group`, such as `service:web`.
    pub group: Option<String>,
    /// The ARN of the task definition.
    pub definition: String,
    /// Where the task is, in ECS's own word; never `STOPPED`.
    pub last_status: String,
    /// Where ECS wants it: `RUNNING` or `STOPPED`.
    pub desired_status: String,
    /// When it started running.
    pub started_at: Option<Timestamp>,
}

impl Task {
    /// The service the task belongs to; none for a standalone task (ECS documents `group` as `service:NAME` for services).
    pub fn service(&self) -> Option<&str> {
        self.group.as_deref()?.strip_prefix("service:")
    }
}

/// An EC2 instance as a member of an Auto Scaling group, as DescribeAutoScalingInstances gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupInstance {
    /// The EC2 instance.
    pub instance: InstanceId,
    /// Its group.
    pub group: GroupName,
    /// Auto Scaling's own word, such as `Terminating:Wait`.
    pub lifecycle_state: String,
    /// `HEALTHY` or `UNHEALTHY`.
    pub health_status: String,
    /// Whether scale-in must leave it alone.
    pub protected_from_scale_in: bool,
    /// Such as `eu-central-1a`.
    pub availability_zone: String,
}

/// An EC2 instance, as DescribeInstances gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Instance {
    /// The EC2 instance.
    pub instance: InstanceId,
    /// EC2's own word, such as `running`.
    pub state: String,
    /// `on-demand`, `spot`, `scheduled` or `capacity-block`.
    pub lifecycle: String,
    /// Such as `m7g.large`.
    pub instance_type: String,
    /// Such as `eu-central-1a`.
    pub availability_zone: String,
    /// The primary private address; none once terminated.
    pub private_address: Option<IpAddr>,
    /// When it was launched last.
    pub launched_at: Option<Timestamp>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

/// What a command on a node came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CommandOutput {
    /// Its exit status; none when a signal ended it.
    pub exit_status: Option<u32>,
    /// The signal that ended it, without `SIG`.
    pub signal: Option<String>,
    /// Standard output, cut at the grant's `max-output`.
    #[serde(with = "super::bytes")]
    pub stdout: Vec<u8>,
    /// Whether standard output was cut.
    pub stdout_truncated: bool,
    /// Standard error, cut at the grant's `max-output`.
    #[serde(with = "super::bytes")]
    pub stderr: Vec<u8>,
    /// Whether standard error was cut.
    pub stderr_truncated: bool,
}
