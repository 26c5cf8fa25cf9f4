//! What a port was asked: the operation, and the arguments that make it the same call again.
//!
//! Two calls are the same when they ask for the same thing of the same thing. What varies without changing that is no
//! argument here: how many tasks a container instance had when it was seen, the reason given for stopping a task, the token of
//! a lifecycle action, how long a command may take. Of standard input only the length is told.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::event::LifecycleAction;
use crate::lifecycle::LifecycleResult;
use crate::policy::{
    DescribeGroupInstance, DescribeInstance, Drain, Exec, FindContainerInstance, Granted, ListTasks,
    SetInstanceProtection, StopTask,
};
use crate::ports::ContainerInstance;

/// A function of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// `ecs.find-container-instance`.
    #[serde(rename = "ecs.find-container-instance")]
    FindContainerInstance,
    /// `ecs.drain`.
    #[serde(rename = "ecs.drain")]
    Drain,
    /// `ecs.list-tasks`.
    #[serde(rename = "ecs.list-tasks")]
    ListTasks,
    /// `ecs.stop-task`.
    #[serde(rename = "ecs.stop-task")]
    StopTask,
    /// `autoscaling.describe-instance`.
    #[serde(rename = "autoscaling.describe-instance")]
    DescribeGroupInstance,
    /// `autoscaling.set-instance-protection`.
    #[serde(rename = "autoscaling.set-instance-protection")]
    SetInstanceProtection,
    /// `ec2.describe-instance`.
    #[serde(rename = "ec2.describe-instance")]
    DescribeInstance,
    /// `ssh.exec`.
    #[serde(rename = "ssh.exec")]
    Exec,
    /// `lifecycle.hook`.
    #[serde(rename = "lifecycle.hook")]
    Hook,
    /// `lifecycle.heartbeat`.
    #[serde(rename = "lifecycle.heartbeat")]
    Heartbeat,
    /// `lifecycle.complete`.
    #[serde(rename = "lifecycle.complete")]
    Complete,
}

impl Operation {
    /// The name, as the log and the simulated world's journal have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FindContainerInstance => "ecs.find-container-instance",
            Self::Drain => "ecs.drain",
            Self::ListTasks => "ecs.list-tasks",
            Self::StopTask => "ecs.stop-task",
            Self::DescribeGroupInstance => "autoscaling.describe-instance",
            Self::SetInstanceProtection => "autoscaling.set-instance-protection",
            Self::DescribeInstance => "ec2.describe-instance",
            Self::Exec => "ssh.exec",
            Self::Hook => "lifecycle.hook",
            Self::Heartbeat => "lifecycle.heartbeat",
            Self::Complete => "lifecycle.complete",
        }
    }

    /// Whether it changes something.
    pub fn mutates(self) -> bool {
        match self {
            Self::Drain | Self::StopTask | Self::SetInstanceProtection | Self::Exec | Self::Complete => true,
            Self::FindContainerInstance
            | Self::ListTasks
            | Self::DescribeGroupInstance
            | Self::DescribeInstance
            | Self::Hook
            | Self::Heartbeat => false,
        }
    }

    /// Whether a handler looks with it at what there is, and leaves it alone.
    pub fn looks(self) -> bool {
        !self.mutates() && !matches!(self, Self::Hook | Self::Heartbeat)
    }
}

/// What a port was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The operation.
    pub operation: Operation,
    /// What it was asked of, by name.
    pub arguments: Map<String, Value>,
}

impl Asked {
    fn new<const N: usize>(operation: Operation, arguments: [(&str, Value); N]) -> Self {
        let arguments = arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { operation, arguments }
    }

    fn of_member(operation: Operation, member: &ContainerInstance) -> Self {
        let ContainerInstance { cluster, instance, .. } = member;
        Self::new(operation, [("cluster", cluster.as_str().into()), ("instance", instance.as_str().into())])
    }

    /// What `lifecycle.hook` is asked.
    pub(super) fn hook(action: &LifecycleAction) -> Self {
        let LifecycleAction { group, hook, .. } = action;
        Self::new(Operation::Hook, [("group", group.as_str().into()), ("hook", hook.as_str().into())])
    }

    /// What `lifecycle.heartbeat` is asked.
    pub(super) fn heartbeat(action: &LifecycleAction) -> Self {
        let mut asked = Self { operation: Operation::Heartbeat, ..Self::hook(action) };
        asked.arguments.insert("instance".to_owned(), action.instance.as_str().into());
        asked
    }

    /// What `lifecycle.complete` is asked.
    pub(super) fn complete(action: &LifecycleAction, result: LifecycleResult) -> Self {
        let mut asked = Self { operation: Operation::Complete, ..Self::heartbeat(action) };
        asked.arguments.insert("result".to_owned(), result.as_str().into());
        asked
    }

    /// An argument that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.arguments.get(name)?.as_str()
    }
}

/// As one line: the operation, and each argument as `name=value`.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation.as_str())?;
        for (name, value) in &self.arguments {
            match value.as_str() {
                Some(text) if !text.contains([' ', '"']) => write!(f, " {name}={text}")?,
                _ => write!(f, " {name}={value}")?,
            }
        }
        Ok(())
    }
}

macro_rules! asked {
    ($($request:ty: |$name:ident| $asked:expr;)*) => {
        $(impl From<&Granted<$request>> for Asked {
            fn from(request: &Granted<$request>) -> Self {
                let $name = request.request();
                $asked
            }
        })*
    };
}

asked! {
    FindContainerInstance: |find| Self::new(Operation::FindContainerInstance, [("instance", find.instance.as_str().into())]);
    Drain: |drain| Self::of_member(Operation::Drain, &drain.container_instance);
    ListTasks: |list| Self::of_member(Operation::ListTasks, &list.container_instance);
    StopTask: |stop| {
        let mut asked = Self::of_member(Operation::StopTask, &stop.container_instance);
        asked.arguments.insert("task".to_owned(), stop.task.as_str().into());
        asked
    };
    DescribeGroupInstance: |describe| {
        Self::new(Operation::DescribeGroupInstance, [("instance", describe.instance.as_str().into())])
    };
    SetInstanceProtection: |set| Self::new(Operation::SetInstanceProtection, [
        ("group", set.member.group.as_str().into()),
        ("instance", set.member.instance.as_str().into()),
        ("protected", set.protected.into()),
    ]);
    DescribeInstance: |describe| {
        Self::new(Operation::DescribeInstance, [("instance", describe.instance.as_str().into())])
    };
    Exec: |exec| {
        let of = [("command", exec.command.clone().into()), ("instance", exec.instance.as_str().into())];
        let mut asked = Self::new(Operation::Exec, of);
        if let Some(stdin) = &exec.stdin {
            asked.arguments.insert("stdin-bytes".to_owned(), stdin.len().into());
        }
        asked
    };
}
