//! Amazon ECS in the simulated world.

use std::time::Duration;

use async_trait::async_trait;

use super::World;
use super::node::{Node, Phase, Registration, SimTask};
use super::state::State;
use crate::capabilities::ecs::Ecs;
use crate::policy::{Drain, FindContainerInstance, Granted, ListTasks, StopTask};
use crate::ports::{ClusterName, ContainerInstance, InstanceId, PortError, PortErrorKind, Task, TaskArn};

#[async_trait]
impl Ecs for World {
    async fn find_container_instance(
        &self,
        request: Granted<FindContainerInstance>,
    ) -> Result<Option<ContainerInstance>, PortError> {
        self.find_in_clusters(&request.into_request())
    }

    async fn drain(&self, request: Granted<Drain>) -> Result<ContainerInstance, PortError> {
        self.set_draining(&request.into_request())
    }

    async fn list_tasks(&self, request: Granted<ListTasks>) -> Result<Vec<Task>, PortError> {
        self.tasks_on(&request.into_request())
    }

    async fn stop_task(&self, request: Granted<StopTask>) -> Result<(), PortError> {
        self.stop_one(&request.into_request())
    }
}

impl World {
    /// API reference, ListContainerInstances (INACTIVE ones are not listed) and DescribeContainerInstances, in the clusters
    /// of the request. One that the request names and the world does not have is an error, unless the instance is live in another.
    pub(super) fn find_in_clusters(
        &self,
        request: &FindContainerInstance,
    ) -> Result<Option<ContainerInstance>, PortError> {
        let FindContainerInstance { instance, clusters } = request;
        self.call(
            "ecs.find-container-instance",
            instance.to_string(),
            |state, now| {
                let registered = state.seen(now).find(instance).and_then(registered);
                let found = registered.filter(|found| clusters.matches(found.cluster.as_str()));
                let live = found.as_ref().is_some_and(|found| matches!(found.status.as_str(), "ACTIVE" | "DRAINING"));
                let exists = |name: &str| state.clusters.iter().any(|cluster| cluster.as_str() == name);
                for cluster in clusters.literals().filter(|name| !exists(name)) {
                    let error = no_such_cluster(state, cluster);
                    if !live {
                        return Err(error);
                    }
                    let instance = instance.as_str();
                    tracing::warn!(instance, cluster, %error, "a cluster that grants.ecs.clusters names does not exist; the instance is in another");
                }
                Ok(found)
            },
            |found| match found {
                Some(found) => format!("{} in {}, {} running", found.status, found.cluster, found.running_tasks),
                None => "in none of the granted clusters".to_owned(),
            },
        )
    }

    /// API reference, UpdateContainerInstancesState: only an ACTIVE container instance can be set to DRAINING.
    pub(super) fn set_draining(&self, request: &Drain) -> Result<ContainerInstance, PortError> {
        let asked = &request.container_instance;
        self.call(
            "ecs.drain",
            asked.instance.to_string(),
            |state, now| {
                let node = find(&state.nodes, asked)?;
                let Some(registration) = &mut state.nodes[node].registration else { return Err(gone(asked)) };
                match registration.status {
                    "DRAINING" => {}
                    "ACTIVE" => {
                        registration.status = "DRAINING";
                        state.schedule(now);
                    }
                    other => {
                        return Err(PortError::new(
                            PortErrorKind::Conflict,
                            format!(
                                "the container instance of {} in {} is {other}: only an ACTIVE one can be set to DRAINING",
                                asked.instance, asked.cluster
                            ),
                        ));
                    }
                }
                registered(&state.nodes[node]).ok_or_else(|| gone(asked))
            },
            |drained| format!("{}, {} running", drained.status, drained.running_tasks),
        )
    }

    /// API reference, ListTasks for both desired statuses, and DescribeTasks: whatever has not come to STOPPED.
    pub(super) fn tasks_on(&self, request: &ListTasks) -> Result<Vec<Task>, PortError> {
        let asked = &request.container_instance;
        self.call(
            "ecs.list-tasks",
            asked.instance.to_string(),
            |state, now| {
                let seen = state.seen(now);
                let node = &seen.nodes[find(seen.nodes, asked)?];
                let Some(registration) = &node.registration else { return Err(gone(asked)) };
                let left = registration.tasks.iter().filter(|task| task.phase != Phase::Stopped);
                Ok(left
                    .map(|task| Task {
                        arn: task.arn.clone(),
                        on: node.id.clone(),
                        group: Some(task.group.clone()),
                        definition: task.definition.clone(),
                        last_status: task.last_status(seen.now).to_owned(),
                        desired_status: task.desired_status().to_owned(),
                        started_at: task.started.map(|started| state.after(started)),
                    })
                    .collect())
            },
            |tasks: &Vec<Task>| {
                let told: Vec<_> = tasks
                    .iter()
                    .map(|task| format!("{} {}", task.group.as_deref().unwrap_or("?"), task.last_status))
                    .collect();
                if told.is_empty() { "no tasks".to_owned() } else { told.join(", ") }
            },
        )
    }

    /// A task as the journal names it.
    pub(super) fn task_target(&self, task: &TaskArn, on: &InstanceId) -> String {
        let state = self.lock();
        let mut tasks = state.nodes.iter().filter_map(|node| node.registration.as_ref()).flat_map(|known| &known.tasks);
        let name = tasks.find(|known| known.arn == *task).map_or_else(|| task.to_string(), SimTask::name);
        format!("{name} on {on}")
    }

    /// API reference, StopTask: ECS accepts it, and the task ends later. One that has ended is success.
    /// The task's service starts another in its place, as [`State::schedule`] says.
    pub(super) fn stop_one(&self, request: &StopTask) -> Result<(), PortError> {
        let StopTask { container_instance: asked, task: arn, reason } = request;
        self.call(
            "ecs.stop-task",
            self.task_target(arn, &asked.instance),
            |state, now| {
                let node = find(&state.nodes, asked)?;
                let tasks = state.nodes[node].registration.as_ref().map_or(&[][..], |registration| &registration.tasks);
                let task = tasks.iter().position(|task| task.arn == *arn).ok_or_else(|| {
                    PortError::new(PortErrorKind::NotFound, format!("there is no task {arn} on {}", asked.instance))
                })?;
                state.stop(node, task, now);
                state.schedule(now);
                Ok(())
            },
            |()| format!("accepted, because {reason:?}"),
        )
    }
}

impl SimTask {
    /// "Amazon ECS task lifecycle". A service task is first DEACTIVATING (its load balancer lets go of it), then STOPPING.
    ///
    /// Not as AWS does it: there is no ACTIVATING, PROVISIONING or DEPROVISIONING, and DEACTIVATING takes half of the time.
    pub(super) fn last_status(&self, now: Duration) -> &'static str {
        match self.phase {
            Phase::Pending { .. } => "PENDING",
            Phase::Running | Phase::Unheard => "RUNNING",
            Phase::Stopping { asked_at, stops_at: Some(stops_at) }
                if self.service().is_some() && now < asked_at + stops_at.saturating_sub(asked_at) / 2 =>
            {
                "DEACTIVATING"
            }
            Phase::Stopping { .. } => "STOPPING",
            Phase::Stopped => "STOPPED",
        }
    }

    fn desired_status(&self) -> &'static str {
        match self.phase {
            Phase::Pending { .. } | Phase::Running => "RUNNING",
            Phase::Unheard | Phase::Stopping { .. } | Phase::Stopped => "STOPPED",
        }
    }
}

/// The container instance of a node, if ECS knows it.
///
/// API reference, `ContainerInstance`: `runningTasksCount` counts the tasks whose *desired* status is RUNNING, so it is zero
/// before the last has stopped; `pendingTasksCount` counts those that are PENDING.
fn registered(node: &Node) -> Option<ContainerInstance> {
    let registration: &Registration = node.registration.as_ref().filter(|registration| registration.registered)?;
    let count = |wanted: fn(&SimTask) -> bool| {
        u32::try_from(registration.tasks.iter().filter(|task| wanted(task)).count()).unwrap_or(u32::MAX)
    };
    Some(ContainerInstance {
        arn: registration.arn.clone(),
        cluster: registration.cluster.clone(),
        instance: node.id.clone(),
        status: registration.status.to_owned(),
        agent_connected: registration.agent_connected,
        running_tasks: count(|task| task.desired_status() == "RUNNING"),
        pending_tasks: count(|task| matches!(task.phase, Phase::Pending { .. })),
    })
}

/// The node of a container instance that a caller has seen, if ECS still knows it by that ARN.
fn find(nodes: &[Node], asked: &ContainerInstance) -> Result<usize, PortError> {
    let known =
        |node: &Node| node.registration.as_ref().is_some_and(|known| known.registered && known.arn == asked.arn);
    nodes.iter().position(known).ok_or_else(|| gone(asked))
}

fn gone(asked: &ContainerInstance) -> PortError {
    PortError::new(
        PortErrorKind::NotFound,
        format!("{} is no longer a container instance of the cluster {}", asked.instance, asked.cluster),
    )
}

/// What ECS says is ClusterNotFoundException. A typo in the policy must not read as "not a member".
fn no_such_cluster(state: &State, name: &str) -> PortError {
    let known: Vec<_> = state.clusters.iter().map(ClusterName::as_str).collect();
    PortError::new(
        PortErrorKind::NotFound,
        format!(
            "there is no ECS cluster {name:?} in {} (there are: {}); correct grants.ecs.clusters of the handler",
            state.place.region,
            if known.is_empty() { "none".to_owned() } else { known.join(", ") },
        ),
    )
}
