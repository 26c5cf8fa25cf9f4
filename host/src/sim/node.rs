//! An EC2 instance with everything that is on it, as data: its place in a group and in a cluster, and its tasks.

use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::digest::sha256;
use crate::ports::{ClusterName, GroupName, InstanceId, Place, TaskArn};

/// How long an instance is `pending`, `stopping` or `shutting-down`. AWS documents no time; this is a usual one.
const CHANGING: Duration = Duration::from_secs(30);

/// How long a task takes to stop when nothing says otherwise.
pub(super) const STOPS_IN: Duration = Duration::from_secs(10);

/// How long before the beginning of the world its running tasks started.
const STARTED_BEFORE: SignedDuration = SignedDuration::from_hours(-1);

/// An EC2 instance, with everything that is on it.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) id: InstanceId,
    pub(super) instance_type: String,
    pub(super) lifecycle: &'static str,
    pub(super) availability_zone: String,
    pub(super) address: IpAddr,
    pub(super) launched_at: Option<Timestamp>,
    pub(super) tags: Vec<(String, String)>,
    /// EC2's own word.
    pub(super) state: &'static str,
    /// The state that follows by itself, and when.
    pub(super) becomes: Option<(Duration, &'static str)>,
    /// Since when it is `terminated`.
    pub(super) terminated_at: Option<Duration>,
    /// When EC2 takes the Spot instance back.
    pub(super) reclaimed_at: Option<Duration>,
    pub(super) member: Option<Member>,
    pub(super) registration: Option<Registration>,
    /// What it was in its cluster when ECS forgot it.
    pub(super) deregistered: Option<Registration>,
}

/// An instance as a member of its group.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) group: GroupName,
    /// Auto Scaling's own word.
    pub(super) state: &'static str,
    /// The state that follows by itself, and when.
    pub(super) becomes: Option<(Duration, &'static str)>,
    pub(super) protected: bool,
    pub(super) health: &'static str,
}

/// An instance as a member of its cluster.
#[derive(Debug, Clone)]
pub(super) struct Registration {
    pub(super) cluster: ClusterName,
    pub(super) arn: String,
    /// When the agent registers the instance; before, ECS knows nothing of it.
    pub(super) at: Duration,
    pub(super) registered: bool,
    /// ECS's own word.
    pub(super) status: &'static str,
    pub(super) agent_connected: bool,
    /// When its agent loses the connection.
    pub(super) disconnects_at: Option<Duration>,
    /// When its agent is back.
    pub(super) reconnects_at: Option<Duration>,
    pub(super) tasks: Vec<SimTask>,
}

/// A task, ended ones too.
#[derive(Debug, Clone)]
pub(super) struct SimTask {
    pub(super) arn: TaskArn,
    /// ECS's `group`: `service:NAME` or `family:NAME`.
    pub(super) group: String,
    pub(super) definition: String,
    /// Of a service with the DAEMON strategy.
    pub(super) daemon: bool,
    pub(super) phase: Phase,
    /// When it started, relative to the beginning of the world.
    pub(super) started: Option<SignedDuration>,
    /// How long it takes to stop; none when it never does.
    pub(super) stops_in: Option<Duration>,
}

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Pending {
        runs_at: Duration,
    },
    Running,
    /// ECS wants it stopped, and has not been able to tell its agent.
    Unheard,
    Stopping {
        asked_at: Duration,
        stops_at: Option<Duration>,
    },
    Stopped,
}

impl Node {
    /// A running On-Demand instance, in no group and in no cluster.
    pub(super) fn new(id: InstanceId, address: IpAddr, availability_zone: String) -> Self {
        Self {
            id,
            instance_type: String::new(),
            lifecycle: "on-demand",
            availability_zone,
            address,
            launched_at: None,
            tags: Vec::new(),
            state: "running",
            becomes: None,
            terminated_at: None,
            reclaimed_at: None,
            member: None,
            registration: None,
            deregistered: None,
        }
    }

    /// Puts it into another of EC2's states, out of which some lead further by themselves.
    ///
    /// "Amazon EC2 instance state changes".
    pub(super) fn enter(&mut self, state: &'static str, at: Duration) {
        let then = match state {
            "pending" => Some("running"),
            "stopping" => Some("stopped"),
            "shutting-down" => Some("terminated"),
            _ => None,
        };
        self.state = state;
        self.becomes = then.map(|then| (at + CHANGING, then));
        self.terminated_at = (state == "terminated").then_some(at);
    }

    /// Whether EC2 has not begun to take it away.
    pub(super) fn exists(&self) -> bool {
        !matches!(self.state, "shutting-down" | "terminated")
    }
}

impl Registration {
    /// An instance that registered before the world began, with nothing on it.
    pub(super) fn new(place: &Place, cluster: ClusterName, instance: &InstanceId) -> Self {
        let id = hex_id(&[cluster.as_str(), instance.as_str()]);
        Self {
            arn: format!("arn:aws:ecs:{}:{}:container-instance/{cluster}/{id}", place.region, place.account),
            cluster,
            at: Duration::ZERO,
            registered: true,
            status: "ACTIVE",
            agent_connected: true,
            disconnects_at: None,
            reconnects_at: None,
            tasks: Vec::new(),
        }
    }

    /// Puts a task on it, running since before the world began.
    pub(super) fn add_task(&mut self, place: &Place, instance: &InstanceId, group: String) -> &mut SimTask {
        let number = self.tasks.len();
        let id = hex_id(&[self.arn.as_str(), instance.as_str(), &number.to_string()]);
        let of_ecs = format!("arn:aws:ecs:{}:{}", place.region, place.account);
        let name = group.split_once(':').map_or(group.as_str(), |(_, name)| name);
        self.tasks.push(SimTask {
            arn: TaskArn::parse(&format!("{of_ecs}:task/{}/{id}", self.cluster)).expect("made of parts that are sound"),
            definition: format!("{of_ecs}:task-definition/{name}:1"),
            group,
            daemon: false,
            phase: Phase::Running,
            started: Some(STARTED_BEFORE),
            stops_in: Some(STOPS_IN),
        });
        &mut self.tasks[number]
    }

    /// Whether ECS is emptying it.
    pub(super) fn is_draining(&self) -> bool {
        self.registered && self.status == "DRAINING"
    }

    /// Whether ECS can place tasks on it.
    pub(super) fn takes_tasks(&self) -> bool {
        self.registered && self.status == "ACTIVE" && self.agent_connected
    }
}

impl SimTask {
    /// The service that placed it here.
    pub(super) fn service(&self) -> Option<&str> {
        self.group.strip_prefix("service:")
    }

    /// Its group and the beginning of its id, for people.
    pub(super) fn name(&self) -> String {
        let id = self.arn.as_str().rsplit('/').next().unwrap_or_default();
        format!("{} {}", self.group, &id[..id.len().min(8)])
    }
}

/// Thirty-two hexadecimal digits, as ECS gives as ids; always the same for the same parts.
fn hex_id(parts: &[&str]) -> String {
    let mut id = sha256(parts.join("/"));
    id.truncate(32);
    id
}
