//! Amazon ECS, always by EC2 instance id. To drain a node, see [`Drain`](crate::drain::Drain), which uses this.
//!
//! Grant: `ecs = { clusters = [...], allow = [...] }`, for the event's own instance unless it says `instances = "any"`.

use crate::Result;
pub use crate::bindings::hostler::handler::ecs::{ContainerInstance, Task};
use crate::host::ecs as host;

/// Finds the container instance of `instance` among the granted clusters; none when it is a member of none of them.
///
/// Needs `allow = ["read"]`.
pub fn find_container_instance(instance: &str) -> Result<Option<ContainerInstance>> {
    Ok(host::find_container_instance(instance)?)
}

/// Sets the container instance of `instance` to DRAINING and returns it; one that is DRAINING already is returned as it is.
///
/// Needs `allow = ["drain"]`. `not-found` when it is a member of no granted cluster; `conflict` when it is neither ACTIVE
/// nor DRAINING. Draining stops service tasks only; see [`stop_task`] for the others.
pub fn drain(instance: &str) -> Result<ContainerInstance> {
    Ok(host::drain(instance)?)
}

/// Lists every task on `instance` that has not come to an end. An empty list is the proof of a drained instance.
///
/// Needs `allow = ["read"]`. `not-found` when `instance` is a member of no granted cluster.
pub fn list_tasks(instance: &str) -> Result<Vec<Task>> {
    Ok(host::list_tasks(instance)?)
}

/// Asks ECS to stop `task` (an ARN from [`list_tasks`]), giving `reason`. The task ends later.
///
/// Needs `allow = ["stop-task"]`. `not-found` when no such task is on `instance`.
pub fn stop_task(instance: &str, task: &str, reason: &str) -> Result<()> {
    Ok(host::stop_task(instance, task, reason)?)
}

impl Task {
    /// Whether it belongs to no service. Draining leaves such a task running.
    pub fn is_standalone(&self) -> bool {
        self.service.is_none()
    }

    /// What people call it: its service, or else the family of its task definition.
    pub fn name(&self) -> &str {
        if let Some(service) = &self.service {
            return service;
        }
        // arn:aws:ecs:REGION:ACCOUNT:task-definition/FAMILY:REVISION
        let family = self.definition.rsplit('/').next().unwrap_or(&self.definition);
        family.split(':').next().unwrap_or(family)
    }
}
