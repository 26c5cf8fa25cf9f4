//! The keys of a world's file: what they mean, in which unit, and what holds when they are left out.
//!
//! The doc comments here are what an editor shows, and what the index in `docs/world.md` is made of. Every key is optional
//! to serde; see [`crate::reading`] for why.

mod values;
mod words;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use self::values::Address;
pub(crate) use self::values::Stamp;
pub(super) use self::words::{ActionResult, HealthStatus, OnAbandon, Purchase, TransitionName};
pub(crate) use self::words::{ContainerInstanceStatus, InstanceState, LifecycleState};
use crate::ports::{AccountId, ClusterName, GroupName, HookName, InstanceId, Region};
use crate::reading::units::Time;
use crate::reading::{At, Tables};

/// A simulated AWS account in one region. Times without a date are counted from the beginning of the world.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(title = "Hostler world")]
pub(crate) struct File {
    /// What the clock says at the beginning. When left out: the time of the first event.
    pub(super) start: Option<Stamp>,
    /// The account. An event of another account changes nothing here.
    #[schemars(extend("default" = super::file::ACCOUNT))]
    pub(super) account: Option<AccountId>,
    /// The region. An event of another region changes nothing here.
    #[schemars(extend("default" = super::file::REGION))]
    pub(super) region: Option<Region>,
    /// How old what calls read is: every change shows this much later, whoever made it. At most 5m.
    #[schemars(extend("default" = "0s"))]
    pub(super) eventually_consistent: Option<At<Time>>,
    /// The ECS clusters.
    pub(super) cluster: Option<Tables<ClusterKeys>>,
    /// The Auto Scaling groups.
    pub(super) group: Option<Tables<GroupKeys>>,
    /// The ECS services that replace their tasks. A service without an entry only stops them.
    pub(super) service: Option<Tables<ServiceKeys>>,
    /// The EC2 instances, each possibly in a group and in a cluster.
    pub(super) instance: Option<Tables<InstanceKeys>>,
    /// The ECS tasks that are there at the beginning.
    pub(super) task: Option<Tables<TaskKeys>>,
    /// What nodes answer over SSH. The first that fits a command answers it; a command that none fits ends with status 127.
    pub(super) ssh: Option<Tables<SshKeys>>,
}

/// An ECS cluster.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ClusterKeys {
    /// Its name.
    #[schemars(with = "At<ClusterName>")]
    pub(super) name: Option<At<ClusterName>>,
}

/// An Auto Scaling group.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct GroupKeys {
    /// Its name.
    #[schemars(with = "At<GroupName>")]
    pub(super) name: Option<At<GroupName>>,
    /// What becomes of an instance whose terminating hook ends with ABANDON: `TerminateHookAbandon` of the group's instance
    /// lifecycle policy.
    pub(super) terminate_hook_abandon: Option<OnAbandon>,
    /// Its lifecycle hooks.
    pub(super) hook: Option<Tables<HookKeys>>,
}

/// A lifecycle hook.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct HookKeys {
    /// Its name.
    #[schemars(with = "At<HookName>")]
    pub(super) name: Option<At<HookName>>,
    /// Which instances it holds back: those that go, or those that come.
    #[schemars(with = "TransitionName")]
    pub(super) transition: Option<TransitionName>,
    /// How long it waits for a heartbeat before the default result holds: 30s to 2h.
    #[schemars(extend("default" = "1h"))]
    pub(super) heartbeat_timeout: Option<At<Time>>,
    /// How long it waits in all. When left out: 48h or 100 heartbeat-timeouts, whichever is less, which is also the most.
    pub(super) global_timeout: Option<At<Time>>,
    /// How its action ends when nobody ends it in time.
    pub(super) default_result: Option<ActionResult>,
    /// What its events carry as `NotificationMetadata`.
    pub(super) notification_metadata: Option<String>,
}

/// An ECS service.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ServiceKeys {
    /// Its name, as tasks give it in `service`.
    #[schemars(with = "At<String>")]
    pub(super) name: Option<At<String>>,
    /// Its cluster. When left out: the only one.
    pub(super) cluster: Option<At<ClusterName>>,
    /// How many tasks it keeps running, up to 1000. When left out: as many as the world lists. Not for a daemon.
    pub(super) desired_count: Option<At<i64>>,
    /// How much of desired-count stays running while tasks are replaced, in percent, rounded up to whole tasks. Not for a
    /// daemon.
    #[schemars(extend("default" = super::service::MINIMUM_HEALTHY_PERCENT))]
    pub(super) minimum_healthy_percent: Option<At<i64>>,
    /// How much of desired-count there may be while tasks are replaced, those that are stopping included, in percent,
    /// rounded down to whole tasks. Not for a daemon.
    #[schemars(extend("default" = super::service::MAXIMUM_PERCENT))]
    pub(super) maximum_percent: Option<At<i64>>,
    /// Whether it runs one task on every container instance instead: the scheduling strategy DAEMON.
    #[schemars(extend("default" = false))]
    pub(super) daemon: Option<bool>,
    /// How long a task that it starts is PENDING before it is RUNNING, and counts as healthy.
    #[schemars(extend("default" = "20s"))]
    pub(super) replacements_start_in: Option<At<Time>>,
}

/// An EC2 instance.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct InstanceKeys {
    /// Its id.
    #[schemars(with = "At<InstanceId>")]
    pub(super) id: Option<At<InstanceId>>,
    /// Its instance type.
    #[schemars(extend("default" = super::file::INSTANCE_TYPE))]
    pub(super) r#type: Option<String>,
    /// How it was bought: EC2's `InstanceLifecycle`.
    pub(super) lifecycle: Option<Purchase>,
    /// EC2's state of it. It is `pending`, `stopping` or `shutting-down` for 30s.
    pub(super) state: Option<InstanceState>,
    /// Its private address. When left out: the first that is free, from 10.0.0.10.
    pub(super) address: Option<At<Address>>,
    /// Its Availability Zone. When left out: the region's `a`.
    pub(super) availability_zone: Option<String>,
    /// When it was launched. When left out: a day before the beginning.
    pub(super) launched_at: Option<Stamp>,
    /// Its tags.
    pub(super) tags: Option<BTreeMap<String, String>>,
    /// When EC2 takes a Spot instance back, whatever anybody does. When left out: two minutes after a delivered warning.
    pub(super) reclaimed_after: Option<At<Time>>,
    /// Its Auto Scaling group. When left out: none.
    pub(super) group: Option<At<GroupName>>,
    /// Auto Scaling's state of it. In one that ends in `:Wait`, the hooks of its group hold it.
    pub(super) lifecycle_state: Option<At<LifecycleState>>,
    /// How long its hooks have held it at the beginning.
    #[schemars(extend("default" = "0s"))]
    pub(super) held_for: Option<At<Time>>,
    /// Whether scale-in must leave it alone.
    #[schemars(extend("default" = false))]
    pub(super) protected_from_scale_in: Option<At<bool>>,
    /// Auto Scaling's judgement of it.
    pub(super) health_status: Option<At<HealthStatus>>,
    /// Its ECS cluster. When left out: none.
    pub(super) cluster: Option<At<ClusterName>>,
    /// When its agent registers it with the cluster.
    #[schemars(extend("default" = "0s"))]
    pub(super) registered_after: Option<At<Time>>,
    /// ECS's status of it.
    pub(super) container_instance_status: Option<At<ContainerInstanceStatus>>,
    /// Whether its agent is connected at the beginning. When left out: it is, if the instance is pending or running.
    pub(super) agent_connected: Option<At<bool>>,
    /// When its agent loses the connection.
    pub(super) agent_disconnects_after: Option<At<Time>>,
    /// When its agent is back. When left out: never.
    pub(super) agent_reconnects_after: Option<At<Time>>,
}

/// An ECS task.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct TaskKeys {
    /// Where it runs. When left out: on the only instance.
    pub(super) instance: Option<At<InstanceId>>,
    /// The service that placed it. When left out: none, it is a standalone task.
    pub(super) service: Option<String>,
    /// What a standalone task's group is called: its task family.
    #[schemars(extend("default" = super::file::FAMILY))]
    pub(super) family: Option<String>,
    /// The ARN of its task definition. When left out: made of the service or family.
    pub(super) definition: Option<String>,
    /// Whether its service is a daemon: such tasks stop last. Follows from the `[[service]]` entry where there is one.
    #[schemars(extend("default" = false))]
    pub(super) daemon: Option<At<bool>>,
    /// How long it is PENDING at the beginning. When left out: it is RUNNING.
    pub(super) starts_in: Option<At<Time>>,
    /// How long it takes from being asked to stop to having stopped.
    #[schemars(extend("default" = "10s"))]
    pub(super) stops_in: Option<At<Time>>,
    /// Whether it never stops, however it is asked.
    #[schemars(extend("default" = false))]
    pub(super) stuck: Option<bool>,
}

/// What a node answers over SSH. It ends with an exit status unless a signal, or one of the three failures, is asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct SshKeys {
    /// Which node. When left out: any.
    pub(super) instance: Option<At<InstanceId>>,
    /// To which command, argument by argument: `*` stands for any one, a last `**` for any further ones. When left out: any.
    pub(super) command: Option<At<Vec<String>>>,
    /// The exit status of the command: 0 to 255.
    #[schemars(extend("default" = 0))]
    pub(super) exit_status: Option<At<i64>>,
    /// The signal that ends the command, without SIG.
    pub(super) signal: Option<At<String>>,
    /// What it writes to standard output.
    #[schemars(extend("default" = ""))]
    pub(super) stdout: Option<At<String>>,
    /// What it writes to standard error.
    #[schemars(extend("default" = ""))]
    pub(super) stderr: Option<At<String>>,
    /// How long the command runs.
    #[schemars(extend("default" = "0s"))]
    pub(super) delay: Option<At<Time>>,
    /// Whether the command runs for ever.
    #[schemars(extend("default" = false))]
    pub(super) hang: Option<At<bool>>,
    /// Whether the node refuses the connection.
    #[schemars(extend("default" = false))]
    pub(super) refused: Option<At<bool>>,
    /// Whether the node shows a host key that is not the one expected.
    #[schemars(extend("default" = false))]
    pub(super) wrong_host_key: Option<At<bool>>,
}
