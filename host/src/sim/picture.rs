//! How a world is at one moment, as data that can be compared and shown.

use std::time::Duration;

use serde::Serialize;

use super::World;
use super::group::ActionEnd;
use super::node::{Node, Phase, SimTask};
use crate::ports::{HookName, InstanceId};

/// What a task's status is here when its instance was taken away under it.
const LOST: &str = "LOST";

/// A world at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Picture {
    /// Its instances, those that are gone too, in the order of the file.
    pub instances: Vec<InstancePicture>,
    /// The lifecycle actions there have been, in the order they began.
    pub actions: Vec<ActionPicture>,
}

/// A lifecycle action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ActionPicture {
    /// The instance it held back.
    pub instance: InstanceId,
    /// The hook.
    pub hook: HookName,
    /// Its token, once an event has told it.
    pub token: Option<String>,
    /// How it ended; none while it waits.
    pub end: Option<ActionEnd>,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct InstancePicture {
    /// Its id.
    pub id: InstanceId,
    /// EC2's state.
    pub state: &'static str,
    /// Auto Scaling's lifecycle state; none for a member of no group.
    pub lifecycle_state: Option<&'static str>,
    /// Whether scale-in must leave it alone.
    pub protected_from_scale_in: bool,
    /// The status of its container instance, the last one when ECS has forgotten it; none when it was never one.
    pub container_instance_status: Option<&'static str>,
    /// The tasks that are or were on it.
    pub tasks: Vec<TaskPicture>,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TaskPicture {
    /// ECS's group, such as `service:web` or `family:nightly-report`.
    pub group: String,
    /// ECS's last status; `LOST` when its instance was taken away under it.
    pub last_status: &'static str,
}

impl World {
    /// The world as it is now.
    pub fn picture(&self) -> Picture {
        let mut state = self.lock();
        let now = state.settle();
        let actions = state.actions.iter().map(|action| ActionPicture {
            instance: state.nodes[action.node].id.clone(),
            hook: action.hook.name.clone(),
            token: action.token.clone(),
            end: action.end,
        });
        Picture { instances: state.nodes.iter().map(|node| instance(node, now)).collect(), actions: actions.collect() }
    }
}

impl Picture {
    /// How many tasks still ran when their instance was taken away.
    pub fn tasks_lost(&self) -> usize {
        self.instances.iter().flat_map(|instance| &instance.tasks).filter(|task| task.last_status == LOST).count()
    }
}

fn instance(node: &Node, now: Duration) -> InstancePicture {
    let registration = node.registration.as_ref().filter(|known| known.registered).or(node.deregistered.as_ref());
    InstancePicture {
        id: node.id.clone(),
        state: node.state,
        lifecycle_state: node.member.as_ref().map(|member| member.state),
        protected_from_scale_in: node.member.as_ref().is_some_and(|member| member.protected),
        container_instance_status: registration.map(|registration| registration.status),
        tasks: registration.map_or(Vec::new(), |known| known.tasks.iter().map(|sim| task(node, sim, now)).collect()),
    }
}

fn task(node: &Node, task: &SimTask, now: Duration) -> TaskPicture {
    let last_status = match task.phase {
        Phase::Stopped => "STOPPED",
        _ if !node.exists() => LOST,
        _ => task.last_status(now),
    };
    TaskPicture { group: task.group.clone(), last_status }
}
