//! What goes wrong by order: calls that fail as AWS's and a network's do, and a host that is killed.
//!
//! The faults stand between the ports and the world. A call that suffers none passes through untouched; the world itself
//! knows nothing of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::World;
use crate::capabilities::autoscaling::AutoScaling;
use crate::capabilities::ec2::Ec2;
use crate::capabilities::ecs::Ecs;
use crate::capabilities::ssh::Ssh;
use crate::event::LifecycleAction;
use crate::lifecycle::{Answer, HookTimes, Lifecycle, LifecycleResult};
use crate::policy::{
    DescribeGroupInstance, DescribeInstance, Drain, Exec, FindContainerInstance, Granted, ListTasks,
    SetInstanceProtection, StopTask,
};
use crate::ports::{
    CommandOutput, ContainerInstance, GroupInstance, GroupName, Instance, PortError, PortErrorKind, Task, TaskArn,
};
use crate::sweep::{Groups, Hook, Waiting};

/// How long a caller waits for an answer that does not come: the call timeout of our AWS ports.
const NO_ANSWER: Duration = Duration::from_secs(5);

/// The operations of the handlers' ports, as the journal names them, and what they are at AWS.
const OF_HANDLERS: [(&str, &str); 8] = [
    ("autoscaling.describe-instance", "DescribeAutoScalingInstances"),
    ("autoscaling.set-instance-protection", "SetInstanceProtection"),
    ("ec2.describe-instance", "DescribeInstances"),
    ("ecs.drain", "UpdateContainerInstancesState"),
    ("ecs.find-container-instance", "DescribeContainerInstances"),
    ("ecs.list-tasks", "DescribeTasks"),
    ("ecs.stop-task", "StopTask"),
    ("ssh.exec", "the SSH connection"),
];

/// Those of the host's own ports.
const OF_THE_HOST: [(&str, &str); 5] = [
    ("lifecycle.complete", "CompleteLifecycleAction"),
    ("lifecycle.heartbeat", "RecordLifecycleActionHeartbeat"),
    ("lifecycle.hook", "DescribeLifecycleHooks"),
    ("sweep.hooks", "DescribeLifecycleHooks"),
    ("sweep.waiting", "DescribeAutoScalingInstances"),
];

/// Those of the host's ledger, which are in the journal only when they suffer something: there are several to each attempt.
const OF_THE_LEDGER: [(&str, &str); 4] = [
    ("ledger.list", "ListObjectsV2"),
    ("ledger.read", "GetObject"),
    ("ledger.remove", "DeleteObject"),
    ("ledger.write", "PutObject"),
];

/// The name of every operation that a fault can befall.
pub fn operations() -> impl Iterator<Item = &'static str> {
    told_operations().chain(OF_THE_LEDGER.map(|(name, _)| name))
}

/// The name of every operation that stands in the journal whenever it is called.
pub fn told_operations() -> impl Iterator<Item = &'static str> {
    OF_HANDLERS.iter().chain(&OF_THE_HOST).map(|(name, _)| *name)
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// AWS asks to slow down, and goes on doing so through the port's own retries. Nothing happens in the world.
    Throttled,
    /// AWS answers 503. Nothing happens in the world.
    ServerError,
    /// No answer comes, for 5 s. Nothing happens in the world.
    Timeout,
    /// The connection breaks before the call is made. Nothing happens in the world.
    ConnectionReset,
    /// IAM refuses the call; for `ssh.exec`, the node refuses the key. Nothing happens in the world.
    AccessDenied,
    /// The call takes effect, and the answer never comes: an error after 5 s.
    AnswerLost,
    /// The call takes effect and never returns, so that the attempt is killed when its wall budget ends. The work goes on with
    /// the next one. Only for calls of the handler.
    AttemptKilled,
    /// The call takes effect, and the host is killed before the answer comes. Everything in flight ends at once, and each
    /// event is delivered again, to a new host.
    HostKilled,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Throttled,
        Self::ServerError,
        Self::Timeout,
        Self::ConnectionReset,
        Self::AccessDenied,
        Self::AnswerLost,
        Self::AttemptKilled,
        Self::HostKilled,
    ];

    /// The word of a case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::ServerError => "server-error",
            Self::Timeout => "timeout",
            Self::ConnectionReset => "connection-reset",
            Self::AccessDenied => "access-denied",
            Self::AnswerLost => "answer-lost",
            Self::AttemptKilled => "attempt-killed",
            Self::HostKilled => "host-killed",
        }
    }

    /// What the caller is told, as our AWS ports would tell it.
    fn error(self, operation: &str) -> PortError {
        let mut known = OF_HANDLERS.iter().chain(&OF_THE_HOST).chain(&OF_THE_LEDGER);
        let call = known.find(|(name, _)| *name == operation).map_or(operation, |(_, call)| call);
        let (kind, told) = match self {
            Self::Throttled => (PortErrorKind::Throttled, "was throttled (Rate exceeded)"),
            Self::ServerError => (PortErrorKind::Unavailable, "failed at the other side (503 Service Unavailable)"),
            Self::ConnectionReset => (PortErrorKind::Unavailable, "failed: connection reset by peer"),
            Self::AccessDenied => (PortErrorKind::Denied, "was refused (AccessDenied)"),
            Self::Timeout | Self::AnswerLost | Self::AttemptKilled | Self::HostKilled => {
                (PortErrorKind::Timeout, "was not answered within 5s; it may have taken effect")
            }
        };
        PortError::new(kind, format!("{call} {told}: a simulated fault"))
    }

    /// How long the caller waits to be told so.
    fn takes(self) -> Duration {
        if matches!(self, Self::Timeout | Self::AnswerLost) { NO_ANSWER } else { Duration::ZERO }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What goes wrong, with which calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The operation, one of [`operations`]; `*` for any of the handlers' own.
    pub operation: String,
    /// What goes wrong.
    pub kind: FaultKind,
    /// With which of these calls.
    pub when: When,
}

/// Which calls suffer a fault.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// Every one.
    Always,
    /// The ones of these numbers, counted from 1 over the whole run.
    Nth(Vec<u32>),
    /// Each with this probability, from 0 to 1.
    Probability(f64),
}

impl Fault {
    /// Whether it can befall what it is ordered for: an attempt cannot be killed by a call that the host makes itself.
    pub fn is_possible(&self) -> bool {
        let of_the_host = OF_THE_HOST.iter().chain(&OF_THE_LEDGER).any(|(name, _)| *name == self.operation);
        !(of_the_host && self.kind == FaultKind::AttemptKilled)
    }

    fn befalls(&self, operation: &str) -> bool {
        self.operation == operation
            || self.operation == "*" && OF_HANDLERS.iter().any(|(of_handlers, _)| *of_handlers == operation)
    }
}

/// The faults of a world, how far they have come, and the chance they depend on.
#[derive(Debug)]
pub(super) struct Faults {
    /// How often each operation was called.
    called: BTreeMap<&'static str, u32>,
    faults: Vec<Ordered>,
    chance: ChaCha8Rng,
}

/// A fault, and how far it has come.
#[derive(Debug)]
struct Ordered {
    fault: Fault,
    /// The calls that it means, up to now.
    calls: u32,
    /// How many of them it has befallen.
    struck: u32,
}

impl Faults {
    pub(super) fn new(faults: Vec<Fault>, seed: u64) -> Self {
        let faults = faults.into_iter().map(|fault| Ordered { fault, calls: 0, struck: 0 }).collect();
        Self { called: BTreeMap::new(), faults, chance: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// What the next call of `operation` suffers: the first fault that strikes. All of them count the call.
    fn strike(&mut self, operation: &'static str) -> Option<FaultKind> {
        *self.called.entry(operation).or_default() += 1;
        let mut struck = None;
        for ordered in self.faults.iter_mut().filter(|ordered| ordered.fault.befalls(operation)) {
            ordered.calls += 1;
            let strikes = match &ordered.fault.when {
                When::Always => true,
                When::Nth(numbers) => numbers.contains(&ordered.calls),
                When::Probability(probability) => self.chance.random_bool(*probability),
            };
            if strikes && struck.is_none() {
                ordered.struck += 1;
                struck = Some(ordered.fault.kind);
            }
        }
        struck
    }

    /// How often each operation was called.
    pub(super) fn called(&self) -> BTreeMap<&'static str, u32> {
        self.called.clone()
    }

    /// What of the faults has befallen no call, in words. That chance let a call pass is as it was ordered.
    pub(super) fn unmet(&self) -> Vec<String> {
        self.faults.iter().filter_map(Ordered::unmet).collect()
    }
}

impl Ordered {
    fn unmet(&self) -> Option<String> {
        let Fault { operation, kind, when } = &self.fault;
        let fault = format!("the fault {kind} of {operation}");
        let not_reached = match when {
            When::Nth(numbers) => numbers.iter().filter(|nth| **nth > self.calls).min(),
            When::Always | When::Probability(_) => None,
        };
        match (self.calls, not_reached) {
            (0, _) => Some(format!("{fault} befell nothing: there was no such call")),
            (1, Some(nth)) => Some(format!("{fault} did not befall call {nth}: there was only 1")),
            (calls, Some(nth)) => Some(format!("{fault} did not befall call {nth}: there were only {calls}")),
            (_, None) if self.struck > 0 || matches!(when, When::Probability(_)) => None,
            (_, None) => Some(format!("{fault} befell nothing: another fault of these calls comes first")),
        }
    }
}

/// A world behind its faults: what ports reach.
#[derive(Debug, Clone)]
pub(super) struct Faulty(pub(super) World);

impl Faulty {
    /// What a call that is about to be made suffers, if anything.
    pub(super) fn strike(&self, operation: &'static str) -> Option<FaultKind> {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner).strike(operation)
    }

    /// Makes a call, or lets it suffer what it has to.
    async fn call<T>(
        &self,
        operation: &'static str,
        target: impl FnOnce() -> String,
        call: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        match self.strike(operation) {
            Some(fault) => self.suffer(fault, operation, target, call, |error| error).await,
            None => call.await,
        }
    }

    /// Lets a call suffer `fault`. What becomes of it in the world, `call` writes down; `tell` says the error to the caller.
    pub(super) async fn suffer<T, E>(
        &self,
        fault: FaultKind,
        operation: &'static str,
        target: impl FnOnce() -> String,
        call: impl Future<Output = Result<T, E>>,
        tell: impl FnOnce(PortError) -> E,
    ) -> Result<T, E> {
        let journal = &self.0.journal;
        // No other call comes between: the world writes a call down before it waits for anything.
        journal.next_suffers(fault);
        match fault {
            FaultKind::AnswerLost | FaultKind::AttemptKilled | FaultKind::HostKilled => {
                // What it came to is lost, and stands in the journal.
                let _ = call.await;
                if fault == FaultKind::HostKilled {
                    self.0.kills.send_modify(|kills| *kills += 1);
                }
                if fault != FaultKind::AnswerLost {
                    return std::future::pending().await;
                }
                tokio::time::sleep(fault.takes()).await;
                Err(tell(fault.error(operation)))
            }
            _ => {
                let asked = journal.call(journal.now(), operation, target());
                tokio::time::sleep(fault.takes()).await;
                let error = fault.error(operation);
                journal.answer(asked, journal.now(), Err(&error));
                Err(tell(error))
            }
        }
    }
}

#[async_trait]
impl Ecs for Faulty {
    async fn find_container_instance(
        &self,
        request: Granted<FindContainerInstance>,
    ) -> Result<Option<ContainerInstance>, PortError> {
        let instance = request.request().instance.clone();
        let call = self.0.find_container_instance(request);
        self.call("ecs.find-container-instance", || instance.to_string(), call).await
    }

    async fn drain(&self, request: Granted<Drain>) -> Result<ContainerInstance, PortError> {
        let instance = request.request().container_instance.instance.clone();
        self.call("ecs.drain", || instance.to_string(), self.0.drain(request)).await
    }

    async fn list_tasks(&self, request: Granted<ListTasks>) -> Result<Vec<Task>, PortError> {
        let instance = request.request().container_instance.instance.clone();
        self.call("ecs.list-tasks", || instance.to_string(), self.0.list_tasks(request)).await
    }

    async fn stop_task(&self, request: Granted<StopTask>) -> Result<(), PortError> {
        let StopTask { container_instance, task, .. } = request.request();
        let (instance, task): (_, TaskArn) = (container_instance.instance.clone(), task.clone());
        self.call("ecs.stop-task", || self.0.task_target(&task, &instance), self.0.stop_task(request)).await
    }
}

#[async_trait]
impl AutoScaling for Faulty {
    async fn describe_instance(
        &self,
        request: Granted<DescribeGroupInstance>,
    ) -> Result<Option<GroupInstance>, PortError> {
        let instance = request.request().instance.clone();
        let call = AutoScaling::describe_instance(&self.0, request);
        self.call("autoscaling.describe-instance", || instance.to_string(), call).await
    }

    async fn set_instance_protection(&self, request: Granted<SetInstanceProtection>) -> Result<(), PortError> {
        let member = request.request().member.clone();
        let target = || format!("{} in {}", member.instance, member.group);
        self.call("autoscaling.set-instance-protection", target, self.0.set_instance_protection(request)).await
    }
}

#[async_trait]
impl Ec2 for Faulty {
    async fn describe_instance(&self, request: Granted<DescribeInstance>) -> Result<Instance, PortError> {
        let instance = request.request().instance.clone();
        let call = Ec2::describe_instance(&self.0, request);
        self.call("ec2.describe-instance", || instance.to_string(), call).await
    }
}

#[async_trait]
impl Ssh for Faulty {
    async fn exec(&self, request: Granted<Exec>) -> Result<CommandOutput, PortError> {
        let Exec { instance, command, .. } = request.request();
        let (instance, command) = (instance.clone(), command.clone());
        self.call("ssh.exec", || format!("{instance} {command:?}"), self.0.exec(request)).await
    }
}

#[async_trait]
impl Lifecycle for Faulty {
    async fn hook(&self, action: &LifecycleAction) -> Result<Option<HookTimes>, PortError> {
        let target = || format!("{} of {}", action.hook, action.group);
        self.call("lifecycle.hook", target, self.0.hook(action)).await
    }

    async fn heartbeat(&self, action: &LifecycleAction) -> Result<Answer, PortError> {
        let target = || format!("{} on {}", action.hook, action.instance);
        self.call("lifecycle.heartbeat", target, self.0.heartbeat(action)).await
    }

    async fn complete(&self, action: &LifecycleAction, result: LifecycleResult) -> Result<Answer, PortError> {
        let target = || format!("{} on {}", action.hook, action.instance);
        self.call("lifecycle.complete", target, self.0.complete(action, result)).await
    }
}

#[async_trait]
impl Groups for Faulty {
    async fn waiting(&self) -> Result<Vec<Waiting>, PortError> {
        self.call("sweep.waiting", || "all instances".to_owned(), self.0.waiting()).await
    }

    async fn hooks(&self, group: &GroupName) -> Result<Vec<Hook>, PortError> {
        self.call("sweep.hooks", || group.to_string(), self.0.hooks(group)).await
    }
}
