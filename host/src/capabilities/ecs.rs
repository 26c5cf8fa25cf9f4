//! `hostler:handler/ecs`: container instances and tasks, always by EC2 instance id.

use async_trait::async_trait;

use crate::policy::{Drain, FindContainerInstance, Granted, ListTasks, StopTask};
use crate::ports::{ContainerInstance, PortError, Task};

/// Amazon ECS, as far as handlers reach it.
#[async_trait]
pub trait Ecs: Send + Sync {
    /// Finds the container instance of an EC2 instance in the clusters the request names; none when it is in none of them.
    ///
    /// A cluster the request names literally and ECS does not know is an error that names it: a typo in the policy must not read as "not a member".
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
