//! `hostler:handler/ecs`: container instances and tasks, always by EC2 instance id.

use async_trait::async_trait;

use super::call::{CallError, HostError, about};
use crate::bindings::hostler::handler::ecs as wit;
use crate::policy::{Drain, EcsCall, FindContainerInstance, Granted, ListTasks, StopTask};
use crate::ports::{ContainerInstance, InstanceId, PortError, PortErrorKind, Task, TaskArn};
use crate::sandbox::Attempt;

/// Amazon ECS, as far as handlers reach it.
#[async_trait]
pub trait Ecs: Send + Sync {
    /// Finds the container instance of an EC2 instance in the clusters the request names; none when it is in none of them.
    ///
    /// A cluster that the request names literally and ECS does not know is an error that names it: a typo in the policy must
    /// not read as "not a member".
    async fn find_container_instance(
        &self,
        request: Granted<FindContainerInstance>,
    ) -> Result<Option<ContainerInstance>, PortError>;

    /// Sets a container instance to DRAINING and returns it as it is then.
    async fn drain(&self, request: Granted<Drain>) -> Result<ContainerInstance, PortError>;

    /// Lists the tasks on a container instance whose last status is not STOPPED, of both desired statuses.
    async fn list_tasks(&self, request: Granted<ListTasks>) -> Result<Vec<Task>, PortError>;

    /// Asks for a task to be stopped. One that has ended already is success.
    async fn stop_task(&self, request: Granted<StopTask>) -> Result<(), PortError>;
}

impl wit::Host for Attempt {
    async fn find_container_instance(&mut self, instance: String) -> Result<Option<wit::ContainerInstance>, CallError> {
        let call = self.reading("ecs.find-container-instance", &instance)?;
        let found = self.find(EcsCall::FindContainerInstance, &instance).await;
        self.end(call, found.map(|found| found.map(Into::into)))
    }

    async fn drain(&mut self, instance: String) -> Result<wit::ContainerInstance, CallError> {
        let call = self.mutating("ecs.drain", &instance, instance.len())?;
        let drained = async {
            let seen = self.member(EcsCall::Drain, &instance).await?;
            let request = self.scope.drain(seen)?;
            Ok(self.ports.ecs.drain(request).await?.into())
        };
        let drained = drained.await;
        self.end(call, drained)
    }

    async fn list_tasks(&mut self, instance: String) -> Result<Vec<wit::Task>, CallError> {
        let call = self.reading("ecs.list-tasks", &instance)?;
        let tasks = async {
            let seen = self.member(EcsCall::ListTasks, &instance).await?;
            let on = seen.instance.clone();
            let request = self.scope.list_tasks(EcsCall::ListTasks, seen)?;
            let tasks = self.ports.ecs.list_tasks(request).await?;
            tasks.iter().try_for_each(|task| about(&on, &task.on))?;
            for task in &tasks {
                let shown = (task.on.clone(), task.arn.clone());
                let bytes = REMEMBERED + shown.0.as_str().len() + shown.1.as_str().len();
                if self.listed.insert(shown) {
                    self.budget.keep(bytes)?;
                }
            }
            Ok(tasks.into_iter().map(Into::into).collect())
        };
        let tasks = tasks.await;
        self.end(call, tasks)
    }

    async fn stop_task(&mut self, instance: String, task: String, reason: String) -> Result<(), CallError> {
        let call = self.mutating("ecs.stop-task", &task, instance.len() + task.len() + reason.len())?;
        let stopped = async {
            let arn = TaskArn::parse(&task)?;
            let on = self.member(EcsCall::StopTask, &instance).await?;
            let listing = self.scope.list_tasks(EcsCall::StopTask, on.clone())?;
            let tasks = self.ports.ecs.list_tasks(listing).await?;
            let Some(seen) = tasks.iter().find(|task| task.arn == arn) else {
                // It ran here a moment ago, and has ended by itself: what was asked for is so.
                if self.listed.contains(&(on.instance, arn)) {
                    return Ok(());
                }
                let message = format!("no task {task} runs on {instance}: it has ended, or it is elsewhere");
                return Err(PortError::new(PortErrorKind::NotFound, message).into());
            };
            let request = self.scope.stop_task(on, seen, &reason)?;
            Ok(self.ports.ecs.stop_task(request).await?)
        };
        let stopped = stopped.await;
        self.end(call, stopped)
    }
}

/// What an attempt is charged for each thing it remembers, beside the thing's names, in bytes.
const REMEMBERED: usize = 256;

impl Attempt {
    /// Searches the granted clusters, and remembers what was found for the rest of the attempt.
    async fn find(&mut self, call: EcsCall, instance: &str) -> Result<Option<ContainerInstance>, HostError> {
        let instance = InstanceId::parse(instance)?;
        let request = self.scope.find_container_instance(call, instance.clone())?;
        let found = match self.ports.ecs.find_container_instance(request).await? {
            Some(found) => {
                about(&instance, &found.instance)?;
                Some(self.scope.reveal_container_instance(call, found)?)
            }
            None => None,
        };
        match &found {
            Some(found) => {
                let bytes = REMEMBERED + instance.as_str().len() + found.arn.len();
                if self.found.insert(instance, found.clone()).is_none() {
                    self.budget.keep(bytes)?;
                }
            }
            None => drop(self.found.remove(&instance)),
        }
        Ok(found)
    }

    /// The container instance, as found earlier in this attempt or else searched for; `not-found` when there is none.
    async fn member(&mut self, call: EcsCall, instance: &str) -> Result<ContainerInstance, HostError> {
        let id = InstanceId::parse(instance)?;
        if let Some(found) = self.found.get(&id) {
            return Ok(found.clone());
        }
        self.find(call, instance).await?.ok_or_else(|| {
            let message = format!("{id} is a container instance of no cluster that grants.ecs.clusters matches");
            PortError::new(PortErrorKind::NotFound, message).into()
        })
    }
}

impl From<ContainerInstance> for wit::ContainerInstance {
    fn from(seen: ContainerInstance) -> Self {
        Self {
            arn: seen.arn,
            cluster: seen.cluster.into(),
            instance: seen.instance.into(),
            status: seen.status,
            agent_connected: seen.agent_connected,
            running_tasks: seen.running_tasks,
            pending_tasks: seen.pending_tasks,
        }
    }
}

impl From<Task> for wit::Task {
    fn from(seen: Task) -> Self {
        Self {
            service: seen.service().map(str::to_owned),
            arn: seen.arn.into(),
            group: seen.group,
            definition: seen.definition,
            last_status: seen.last_status,
            desired_status: seen.desired_status,
            started_at: seen.started_at.map(super::clock::unix_milliseconds),
        }
    }
}
