//! Grants in force for one event: the only place where a [`Granted`] is made.
//!
//! There is one method per host function, each judging from what a port has seen. The ports take nothing but `Granted`
//! requests, so a host function that forgets the check does not compile, and a grant to read does not pass for a grant to drain.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{ClientKey, Handler, HostKeys, NamePatterns};
use crate::ports::{ContainerInstance, GroupInstance, Instance, InstanceId, Task, TaskArn};

/// A request the policy has allowed. Only this module makes one, and a port consumes it: it is neither `Clone` nor `Copy`.
#[derive(Debug)]
pub struct Granted<R>(R);

impl<R> Granted<R> {
    /// Gives the request up, to be carried out.
    pub fn into_request(self) -> R {
        self.0
    }
}

/// `ecs.find-container-instance`, and the search that precedes every other call of that interface.
#[derive(Debug)]
pub struct FindContainerInstance {
    /// The EC2 instance to find.
    pub instance: InstanceId,
    /// The clusters to look in; no other exists for this handler.
    pub clusters: Arc<NamePatterns>,
}

/// `ecs.drain`.
#[derive(Debug)]
pub struct Drain {
    /// The container instance, as ECS gave it.
    pub container_instance: ContainerInstance,
}

/// `ecs.list-tasks`.
#[derive(Debug)]
pub struct ListTasks {
    /// The container instance, as ECS gave it.
    pub container_instance: ContainerInstance,
}

/// `ecs.stop-task`.
#[derive(Debug)]
pub struct StopTask {
    /// The container instance the task is on, as ECS gave it.
    pub container_instance: ContainerInstance,
    /// The task, as ECS gave it.
    pub task: TaskArn,
    /// What ECS records as the reason: at most 255 characters.
    pub reason: String,
}

/// `autoscaling.describe-instance`.
#[derive(Debug)]
pub struct DescribeGroupInstance {
    /// The EC2 instance.
    pub instance: InstanceId,
}

/// `autoscaling.set-instance-protection`.
#[derive(Debug)]
pub struct SetInstanceProtection {
    /// The instance and its group, as Auto Scaling gave them.
    pub member: GroupInstance,
    /// Whether scale-in must leave it alone.
    pub protected: bool,
}

/// `ec2.describe-instance`, and the look at the node that precedes `ssh.exec`.
#[derive(Debug)]
pub struct DescribeInstance {
    /// The EC2 instance.
    pub instance: InstanceId,
}

/// `ssh.exec`.
#[derive(Debug)]
pub struct Exec {
    /// The EC2 instance: what host keys are looked up by.
    pub instance: InstanceId,
    /// Where it is, as EC2 gave it at this moment.
    pub address: IpAddr,
    /// Its availability zone, which EC2 Instance Connect asks for.
    pub availability_zone: String,
    /// The port to connect to.
    pub port: u16,
    /// Who to log in as.
    pub user: String,
    /// Where our key comes from.
    pub key: ClientKey,
    /// How the host proves itself.
    pub host_keys: HostKeys,
    /// Program and arguments, to be quoted by the port.
    pub command: Vec<String>,
    /// Standard input.
    pub stdin: Option<Vec<u8>>,
    /// How long connecting and authenticating may take.
    pub connect_timeout: Duration,
    /// How long the command may run.
    pub command_timeout: Duration,
    /// How much of standard output, and of standard error, is kept, in bytes.
    pub max_output: usize,
}

/// The host functions of `ecs`: what a search or a listing is made for decides what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EcsCall {
    /// `ecs.find-container-instance`.
    FindContainerInstance,
    /// `ecs.drain`.
    Drain,
    /// `ecs.list-tasks`.
    ListTasks,
    /// `ecs.stop-task`.
    StopTask,
}

/// The host functions of `autoscaling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoScalingCall {
    /// `autoscaling.describe-instance`.
    DescribeInstance,
    /// `autoscaling.set-instance-protection`.
    SetInstanceProtection,
}

/// A refusal: which handler, which call, the rule that refused it, and what in the policy would allow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("handler {handler:?} may not call {call}: {rule}; {remedy}")]
pub struct Denial {
    /// The handler's name in the policy.
    pub handler: String,
    /// The host function and its target, such as `ecs.drain on i-0123456789abcdef0`.
    pub call: String,
    /// The rule that refused it.
    pub rule: String,
    /// What to write, and where, to allow it.
    pub remedy: String,
}

/// A handler's grants, for one event: every grant reaches the event's own instance and nothing else, unless the policy
/// says `instances = "any"`.
#[derive(Debug, Clone)]
pub struct Scope {
    handler: Arc<Handler>,
    instance: Option<InstanceId>,
}

impl Scope {
    /// The scope of `handler` for an event about `instance`.
    pub fn new(handler: Arc<Handler>, instance: Option<InstanceId>) -> Self {
        Self { handler, instance }
    }

    /// The search for a container instance that `call` begins with; needs what `call` itself needs.
    pub fn find_container_instance(
        &self,
        call: EcsCall,
        instance: InstanceId,
    ) -> Result<Granted<FindContainerInstance>, Denial> {
        let _ = (call, instance);
        unimplemented!()
    }

    /// `ecs.drain`.
    pub fn drain(&self, seen: ContainerInstance) -> Result<Granted<Drain>, Denial> {
        let _ = seen;
        unimplemented!()
    }

    /// The listing of tasks for `ecs.list-tasks`, or for `ecs.stop-task` to see the task it is to stop.
    pub fn list_tasks(&self, call: EcsCall, seen: ContainerInstance) -> Result<Granted<ListTasks>, Denial> {
        let _ = (call, seen);
        unimplemented!()
    }

    /// `ecs.stop-task`, of a task seen on the container instance.
    pub fn stop_task(&self, on: ContainerInstance, task: &Task, reason: &str) -> Result<Granted<StopTask>, Denial> {
        let _ = (on, task, reason);
        unimplemented!()
    }

    /// The look at an instance's membership that `call` begins with; needs what `call` itself needs.
    pub fn describe_group_instance(
        &self,
        call: AutoScalingCall,
        instance: InstanceId,
    ) -> Result<Granted<DescribeGroupInstance>, Denial> {
        let _ = (call, instance);
        unimplemented!()
    }

    /// Lets a handler see a membership only when the group is granted to it for reading.
    pub fn reveal_group_instance(&self, seen: GroupInstance) -> Result<GroupInstance, Denial> {
        let _ = seen;
        unimplemented!()
    }

    /// `autoscaling.set-instance-protection`.
    pub fn set_instance_protection(
        &self,
        seen: GroupInstance,
        protected: bool,
    ) -> Result<Granted<SetInstanceProtection>, Denial> {
        let _ = (seen, protected);
        unimplemented!()
    }

    /// `ec2.describe-instance`.
    pub fn describe_instance(&self, instance: InstanceId) -> Result<Granted<DescribeInstance>, Denial> {
        let _ = instance;
        unimplemented!()
    }

    /// The look at the node that precedes `ssh.exec`; needs the ssh grant and a command it allows, not `ec2`.
    pub fn describe_for_exec(
        &self,
        instance: InstanceId,
        command: &[String],
    ) -> Result<Granted<DescribeInstance>, Denial> {
        let _ = (instance, command);
        unimplemented!()
    }

    /// `ssh.exec`, on a node as EC2 gives it at this moment. `timeout` can shorten the grant's, never lengthen it.
    pub fn exec(
        &self,
        seen: &Instance,
        address: IpAddr,
        command: Vec<String>,
        stdin: Option<Vec<u8>>,
        timeout: Option<Duration>,
    ) -> Result<Granted<Exec>, Denial> {
        let _ = (seen, address, command, stdin, timeout);
        unimplemented!()
    }
}
