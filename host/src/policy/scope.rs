//! Grants in force for one event: the only place where a [`Granted`] is made.
//!
//! There is one method per host function, each judging from what a port has seen. The ports take nothing but `Granted`
//! requests, so a host function that forgets the check does not compile, and a grant to read does not pass for a grant to drain.

mod onlooker;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use onlooker::Onlooker;

use super::address::{Unfit, unfit};
use super::grants::write_list;
use super::{
    AutoScalingCall, AutoScalingGrant, ClientKey, EcsCall, EcsGrant, Handler, HostKeys, Instances, Lack, NamePatterns,
    Power, SshGrant,
};
use crate::ports::{ClusterName, ContainerInstance, GroupInstance, GroupName, Instance, InstanceId, Task, TaskArn};

/// A request the policy has allowed. Only this module makes one, and a port consumes it: it is neither `Clone` nor `Copy`.
#[derive(Debug)]
pub struct Granted<R>(R);

impl<R> Granted<R> {
    /// What is asked for, to be looked at.
    pub fn request(&self) -> &R {
        &self.0
    }

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

/// AWS keeps at most this much of the reason for stopping a task (ECS StopTask).
const REASON_CHARS: usize = 255;

/// How much of a refused command a denial quotes: the guest wrote it, and it can be of any length.
const QUOTED_CHARS: usize = 200;

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
        let grant = self.ecs(call, &instance)?;
        Ok(Granted(FindContainerInstance { instance, clusters: Arc::clone(&grant.clusters) }))
    }

    /// Lets a container instance be seen only when its cluster is granted for `call`, whatever the search brought.
    pub fn reveal_container_instance(
        &self,
        call: EcsCall,
        seen: ContainerInstance,
    ) -> Result<ContainerInstance, Denial> {
        self.ecs_in_cluster(call, &seen.instance, &seen.cluster)?;
        Ok(seen)
    }

    /// `ecs.drain`.
    pub fn drain(&self, seen: ContainerInstance) -> Result<Granted<Drain>, Denial> {
        self.ecs_in_cluster(EcsCall::Drain, &seen.instance, &seen.cluster)?;
        Ok(Granted(Drain { container_instance: seen }))
    }

    /// The listing of tasks for `ecs.list-tasks`, or for `ecs.stop-task` to see the task it is to stop.
    pub fn list_tasks(&self, call: EcsCall, seen: ContainerInstance) -> Result<Granted<ListTasks>, Denial> {
        self.ecs_in_cluster(call, &seen.instance, &seen.cluster)?;
        Ok(Granted(ListTasks { container_instance: seen }))
    }

    /// `ecs.stop-task`, of a task seen on the container instance.
    pub fn stop_task(&self, on: ContainerInstance, task: &Task, reason: &str) -> Result<Granted<StopTask>, Denial> {
        self.ecs_in_cluster(EcsCall::StopTask, &on.instance, &on.cluster)?;
        if task.on != on.instance {
            let rule = format!("the task {} is on another instance", task.arn);
            let remedy = "stop only tasks that list-tasks gives for the instance".to_owned();
            return Err(self.denial(EcsCall::StopTask.name(), &on.instance, rule, remedy));
        }
        let reason = reason.chars().take(REASON_CHARS).collect();
        Ok(Granted(StopTask { container_instance: on, task: task.arn.clone(), reason }))
    }

    /// The look at an instance's membership that `call` begins with; needs what `call` itself needs.
    pub fn describe_group_instance(
        &self,
        call: AutoScalingCall,
        instance: InstanceId,
    ) -> Result<Granted<DescribeGroupInstance>, Denial> {
        self.autoscaling(call, &instance)?;
        Ok(Granted(DescribeGroupInstance { instance }))
    }

    /// Lets a handler see a membership only when the group is granted to it for reading.
    pub fn reveal_group_instance(&self, seen: GroupInstance) -> Result<GroupInstance, Denial> {
        self.autoscaling_in_group(AutoScalingCall::DescribeInstance, &seen.instance, &seen.group)?;
        Ok(seen)
    }

    /// `autoscaling.set-instance-protection`.
    pub fn set_instance_protection(
        &self,
        seen: GroupInstance,
        protected: bool,
    ) -> Result<Granted<SetInstanceProtection>, Denial> {
        self.autoscaling_in_group(AutoScalingCall::SetInstanceProtection, &seen.instance, &seen.group)?;
        Ok(Granted(SetInstanceProtection { member: seen, protected }))
    }

    /// `ec2.describe-instance`.
    pub fn describe_instance(&self, instance: InstanceId) -> Result<Granted<DescribeInstance>, Denial> {
        let call = Power::DescribeInstance.call();
        let grant = self.handler.grants.for_ec2().map_err(|lack| self.lacks(call, &instance, lack))?;
        self.check_reach(call, &instance, "ec2", grant.line, grant.instances)?;
        Ok(Granted(DescribeInstance { instance }))
    }

    /// The look at the node that precedes `ssh.exec`; needs the ssh grant and a command it allows, not `ec2`.
    pub fn describe_for_exec(
        &self,
        instance: InstanceId,
        command: &[String],
    ) -> Result<Granted<DescribeInstance>, Denial> {
        self.ssh(&instance, command)?;
        Ok(Granted(DescribeInstance { instance }))
    }

    /// `ssh.exec`, on a node as EC2 gives it at this moment, at the address that it gives. `timeout` can shorten the grant's,
    /// never lengthen it.
    pub fn exec(
        &self,
        seen: &Instance,
        command: Vec<String>,
        stdin: Option<Vec<u8>>,
        timeout: Option<Duration>,
    ) -> Result<Granted<Exec>, Denial> {
        let grant = self.ssh(&seen.instance, &command)?;
        let address = self.fit_address(grant, seen)?;
        Ok(Granted(Exec {
            instance: seen.instance.clone(),
            address,
            availability_zone: seen.availability_zone.clone(),
            port: grant.port,
            user: grant.user.clone(),
            key: grant.key.clone(),
            host_keys: grant.host_keys.clone(),
            command,
            stdin,
            connect_timeout: grant.connect_timeout,
            command_timeout: timeout.map_or(grant.command_timeout, |timeout| timeout.min(grant.command_timeout)),
            max_output: grant.max_output,
        }))
    }

    fn ecs(&self, call: EcsCall, instance: &InstanceId) -> Result<&EcsGrant, Denial> {
        let grant = self.handler.grants.for_ecs(call).map_err(|lack| self.lacks(call.name(), instance, lack))?;
        self.check_reach(call.name(), instance, "ecs", grant.line, grant.instances)?;
        Ok(grant)
    }

    fn ecs_in_cluster(&self, call: EcsCall, instance: &InstanceId, cluster: &ClusterName) -> Result<(), Denial> {
        let grant = self.ecs(call, instance)?;
        if grant.clusters.matches(cluster.as_str()) {
            return Ok(());
        }
        let (line, clusters) = (grant.line, &grant.clusters);
        let rule =
            format!("its ecs grant (line {line}) is for clusters {clusters}, and the instance is in \"{cluster}\"");
        let remedy = format!("to allow it, add \"{cluster}\" to grants.ecs.clusters");
        Err(self.denial(call.name(), instance, rule, remedy))
    }

    fn autoscaling(&self, call: AutoScalingCall, instance: &InstanceId) -> Result<&AutoScalingGrant, Denial> {
        let grant =
            self.handler.grants.for_autoscaling(call).map_err(|lack| self.lacks(call.name(), instance, lack))?;
        self.check_reach(call.name(), instance, "autoscaling", grant.line, grant.instances)?;
        Ok(grant)
    }

    fn autoscaling_in_group(
        &self,
        call: AutoScalingCall,
        instance: &InstanceId,
        group: &GroupName,
    ) -> Result<(), Denial> {
        let grant = self.autoscaling(call, instance)?;
        if grant.groups.matches(group.as_str()) {
            return Ok(());
        }
        let (line, groups) = (grant.line, &grant.groups);
        let rule =
            format!("its autoscaling grant (line {line}) is for groups {groups}, and the instance is in \"{group}\"");
        let remedy = format!("to allow it, add \"{group}\" to grants.autoscaling.groups");
        Err(self.denial(call.name(), instance, rule, remedy))
    }

    fn ssh(&self, instance: &InstanceId, command: &[String]) -> Result<&SshGrant, Denial> {
        let call = Power::Exec.call();
        let grant = self.handler.grants.for_ssh().map_err(|lack| self.lacks(call, instance, lack))?;
        self.check_reach(call, instance, "ssh", grant.line, grant.instances)?;
        if command.iter().any(|argument| argument.contains('\0')) {
            let rule = "an argument holds a NUL byte, which no command can carry".to_owned();
            return Err(self.denial(call, instance, rule, "pass such bytes on standard input".to_owned()));
        }
        if !grant.commands.iter().any(|pattern| pattern.matches(command)) {
            let mut rule = format!("no pattern in its ssh grant (line {}) matches {}", grant.line, quote(command));
            let mut remedy = "to allow it, add the command, or a pattern for it, to grants.ssh.commands";
            if grant.commands.iter().any(|pattern| pattern.lacks_only_a_dash(command)) {
                rule += ", since \"*\" stands for no argument that begins with -";
                remedy = "to allow it, write that argument, or \"-*\" in its place, in grants.ssh.commands";
            }
            return Err(self.denial(call, instance, rule, remedy.to_owned()));
        }
        Ok(grant)
    }

    /// The address that EC2 gives for the node, if a node can have it.
    fn fit_address(&self, grant: &SshGrant, seen: &Instance) -> Result<IpAddr, Denial> {
        let denial = |rule, remedy: &str| Err(self.denial(Power::Exec.call(), &seen.instance, rule, remedy.to_owned()));
        let Some(address) = seen.private_address else {
            let rule = format!("EC2 gives no address for it (it is {})", seen.state);
            return denial(rule, "no policy can allow it");
        };
        match unfit(address) {
            None => Ok(address),
            Some(Unfit::Loopback) if grant.loopback => Ok(address),
            Some(Unfit::Loopback) => {
                let line = grant.line;
                let rule = format!(
                    "EC2 gives the address {address} for it, that of the machine that Hostler runs on, which its ssh grant (line {line}) does not allow"
                );
                denial(rule, "to allow it, for tests against an emulator, set grants.ssh.loopback = true")
            }
            Some(Unfit::Nobody(what)) => {
                let rule = format!("EC2 gives the address {address} for it, {what}, which no node has");
                denial(rule, "no policy can allow it: see who answers in the place of EC2")
            }
        }
    }

    fn check_reach(
        &self,
        call: &str,
        instance: &InstanceId,
        grant: &str,
        line: usize,
        reach: Instances,
    ) -> Result<(), Denial> {
        if reach == Instances::Any || self.instance.as_ref() == Some(instance) {
            return Ok(());
        }
        let rule = match &self.instance {
            Some(own) => format!("its {grant} grant (line {line}) reaches only the event's own instance, {own}"),
            None => format!(
                "its {grant} grant (line {line}) reaches only the event's own instance, and this event names none"
            ),
        };
        let remedy = format!("to allow it, set grants.{grant}.instances = \"any\"");
        Err(self.denial(call, instance, rule, remedy))
    }

    fn lacks(&self, call: &str, instance: &InstanceId, Lack { rule, remedy }: Lack) -> Denial {
        self.denial(call, instance, rule, remedy)
    }

    fn denial(&self, call: &str, instance: &InstanceId, rule: String, remedy: String) -> Denial {
        Denial { handler: self.handler.name.clone(), call: format!("{call} on {instance}"), rule, remedy }
    }
}

/// A command as the policy would write it, cut to what is worth reading. The guest wrote it.
fn quote(command: &[String]) -> String {
    let mut quoted = String::new();
    // Writing to a string cannot fail. No argument is quoted further than the whole will be.
    let arguments =
        command.iter().take(QUOTED_CHARS).map(|argument| argument.chars().take(QUOTED_CHARS).collect::<String>());
    let _ = write_list(&mut quoted, arguments);
    match quoted.char_indices().nth(QUOTED_CHARS) {
        Some((cut, _)) => format!("[{}…", &quoted[..cut]),
        None => format!("[{quoted}]"),
    }
}

#[cfg(test)]
mod tests;
