//! Ports that note what reaches them, and may be told to answer about somebody else.

use std::sync::Mutex;

use async_trait::async_trait;

use crate::capabilities::Ports;
use crate::capabilities::autoscaling::AutoScaling;
use crate::capabilities::ec2::Ec2;
use crate::capabilities::ecs::Ecs;
use crate::capabilities::ssh::Ssh;
use crate::policy::{
    DescribeGroupInstance, DescribeInstance, Drain, Exec, FindContainerInstance, Granted, ListTasks,
    SetInstanceProtection, StopTask,
};
use crate::ports::{
    ClusterName, CommandOutput, ContainerInstance, GroupInstance, Instance, InstanceId, PortError, Task,
};

/// What a port says that is not so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    /// That what it found is this instance.
    Is(&'static str),
    /// That the container instance is in this cluster.
    InCluster(&'static str),
    /// That the instance has this address.
    At(&'static str),
}

pub(super) struct Counted {
    inner: Ports,
    reached: Mutex<Vec<String>>,
    pub(super) lie: Mutex<Option<Lie>>,
}

impl Counted {
    pub(super) fn new(inner: Ports) -> Self {
        Self { inner, reached: Mutex::default(), lie: Mutex::default() }
    }

    /// What has reached them since the last look, in order.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.reached.lock().unwrap())
    }

    fn note(&self, operation: &str, on: &InstanceId) {
        self.reached.lock().unwrap().push(format!("{operation} {on}"));
    }

    fn claimed(&self, instance: InstanceId) -> InstanceId {
        match *self.lie.lock().unwrap() {
            Some(Lie::Is(other)) => InstanceId::parse(other).unwrap(),
            _ => instance,
        }
    }
}

#[async_trait]
impl Ecs for Counted {
    async fn find_container_instance(
        &self,
        request: Granted<FindContainerInstance>,
    ) -> Result<Option<ContainerInstance>, PortError> {
        self.note("ecs.find-container-instance", &request.request().instance);
        let found = self.inner.ecs.find_container_instance(request).await?;
        Ok(found.map(|found| {
            let cluster = match *self.lie.lock().unwrap() {
                Some(Lie::InCluster(cluster)) => ClusterName::parse(cluster).unwrap(),
                _ => found.cluster,
            };
            ContainerInstance { instance: self.claimed(found.instance), cluster, ..found }
        }))
    }

    async fn drain(&self, request: Granted<Drain>) -> Result<ContainerInstance, PortError> {
        self.note("ecs.drain", &request.request().container_instance.instance);
        self.inner.ecs.drain(request).await
    }

    async fn list_tasks(&self, request: Granted<ListTasks>) -> Result<Vec<Task>, PortError> {
        self.note("ecs.list-tasks", &request.request().container_instance.instance);
        let tasks = self.inner.ecs.list_tasks(request).await?;
        Ok(tasks.into_iter().map(|task| Task { on: self.claimed(task.on), ..task }).collect())
    }

    async fn stop_task(&self, request: Granted<StopTask>) -> Result<(), PortError> {
        self.note("ecs.stop-task", &request.request().container_instance.instance);
        self.inner.ecs.stop_task(request).await
    }
}

#[async_trait]
impl AutoScaling for Counted {
    async fn describe_instance(
        &self,
        request: Granted<DescribeGroupInstance>,
    ) -> Result<Option<GroupInstance>, PortError> {
        self.note("autoscaling.describe-instance", &request.request().instance);
        let seen = self.inner.autoscaling.describe_instance(request).await?;
        Ok(seen.map(|seen| GroupInstance { instance: self.claimed(seen.instance), ..seen }))
    }

    async fn set_instance_protection(&self, request: Granted<SetInstanceProtection>) -> Result<(), PortError> {
        self.note("autoscaling.set-instance-protection", &request.request().member.instance);
        self.inner.autoscaling.set_instance_protection(request).await
    }
}

#[async_trait]
impl Ec2 for Counted {
    async fn describe_instance(&self, request: Granted<DescribeInstance>) -> Result<Instance, PortError> {
        self.note("ec2.describe-instance", &request.request().instance);
        let seen = self.inner.ec2.describe_instance(request).await?;
        let private_address = match *self.lie.lock().unwrap() {
            Some(Lie::At(address)) => Some(address.parse().unwrap()),
            _ => seen.private_address,
        };
        Ok(Instance { instance: self.claimed(seen.instance), private_address, ..seen })
    }
}

#[async_trait]
impl Ssh for Counted {
    async fn exec(&self, request: Granted<Exec>) -> Result<CommandOutput, PortError> {
        self.note("ssh.exec", &request.request().instance);
        self.inner.ssh.exec(request).await
    }
}
