//! What a guest can reach, through the host functions themselves: policy, port and simulated world below them.

mod lies;
mod matrix;
mod oracle;
mod ports;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::ports::Counted;
use super::call::CallError;
use crate::bindings::hostler::handler::types::ErrorCode;
use crate::bindings::hostler::handler::{autoscaling, clock, config, ec2, ecs, log, ssh};
use crate::capabilities::Ports;
use crate::policy::{NamePatterns, Onlooker};
use crate::ports::InstanceId;
use crate::sandbox::{Attempt, Pace, Task};
use crate::sim::World;
use crate::testing::{INSTANCE, guests, handler, terminating};

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Target {
    /// The event's own instance: in the cluster `prod-1` and the group `web`.
    Own,
    /// Beside it, in the same cluster and group.
    Sibling,
    /// In the cluster `batch` and the group `jobs`.
    Elsewhere,
    /// In no cluster and no group.
    Alone,
    /// One that AWS does not know.
    Unknown,
    /// No id at all.
    Malformed,
}

const TARGETS: [Target; 6] =
    [Target::Own, Target::Sibling, Target::Elsewhere, Target::Alone, Target::Unknown, Target::Malformed];

impl Target {
    fn id(self) -> &'static str {
        match self {
            Self::Own => INSTANCE,
            Self::Sibling => "i-0aaaaaaaaaaaaaaa1",
            Self::Elsewhere => "i-0bbbbbbbbbbbbbbb2",
            Self::Alone => "i-0ccccccccccccccc3",
            Self::Unknown => "i-0ddddddddddddddd4",
            Self::Malformed => "i-*",
        }
    }
}

/// The commands that calls try.
const COMMANDS: [&[&str]; 4] =
    [&["uptime"], &["systemctl", "stop", "nginx"], &["systemctl", "stop", "--root=/x"], &["sh", "-c", "id"]];

const WORLD: &str = r#"
start = "2026-01-15T03:00:00Z"
account = "123456789012"
region = "eu-central-1"
[[cluster]]
name = "prod-1"
[[cluster]]
name = "batch"
[[group]]
name = "web"
[[group]]
name = "jobs"
[[instance]]
id = "i-0123456789abcdef0"
group = "web"
cluster = "prod-1"
[[instance]]
id = "i-0aaaaaaaaaaaaaaa1"
group = "web"
cluster = "prod-1"
[[instance]]
id = "i-0bbbbbbbbbbbbbbb2"
group = "jobs"
cluster = "batch"
[[instance]]
id = "i-0ccccccccccccccc3"
[[task]]
instance = "i-0123456789abcdef0"
[[task]]
instance = "i-0aaaaaaaaaaaaaaa1"
[[task]]
instance = "i-0bbbbbbbbbbbbbbb2"
"#;

/// One call of a host function. What a function does not take is not used.
#[derive(Debug, Clone)]
struct Call {
    /// As the contract names it, such as `ecs.drain`.
    function: String,
    target: Target,
    /// The task that `ecs.stop-task` names is one of this instance.
    task_of: Target,
    command: usize,
}

/// Every function that the contract has for handlers to call.
fn functions() -> Vec<String> {
    let (resolve, _) = guests::contract();
    let interfaces = resolve.interfaces.iter().map(|(_, interface)| interface);
    let functions = interfaces.flat_map(|interface| {
        let name = interface.name.clone().unwrap();
        interface.functions.keys().map(move |function| format!("{name}.{function}"))
    });
    functions.collect()
}

/// An attempt of the handler that has `grants`, in a world of its own.
struct Scene {
    attempt: Attempt,
    counted: Arc<Counted>,
    /// A task of each instance that has one.
    tasks: Vec<(Target, String)>,
}

impl Scene {
    async fn new(grants: &str, names_instance: bool) -> Self {
        let world = World::parse("world.toml", WORLD).unwrap_or_else(|error| panic!("{error}"));
        Self::over(world.ports(), grants, names_instance).await
    }

    async fn over(world: Ports, grants: &str, names_instance: bool) -> Self {
        let mut tasks = Vec::new();
        for target in [Target::Own, Target::Sibling, Target::Elsewhere] {
            let id = InstanceId::parse(target.id()).unwrap();
            let everywhere = Arc::new(NamePatterns::new(vec!["*".to_owned()]).unwrap());
            let seen = world.ecs.find_container_instance(Onlooker(&id).find_container_instance(everywhere)).await;
            let listed = world.ecs.list_tasks(Onlooker(&id).list_tasks(seen.unwrap().unwrap())).await.unwrap();
            tasks.push((target, listed[0].arn.to_string()));
        }
        let counted = Arc::new(Counted::new(world.clone()));
        let ports = Ports {
            ecs: counted.clone(),
            autoscaling: counted.clone(),
            ec2: counted.clone(),
            ssh: counted.clone(),
            clock: world.clock,
        };
        let mut event = terminating();
        event.instance = event.instance.filter(|_| names_instance);
        let task = Task {
            handler: handler(&format!("[handler.config]\nkey = \"value\"\n[handler.grants]\n{grants}")),
            event: Arc::new(event),
            attempt: 1,
            state: None,
            deadline: None,
            lease: None,
        };
        let ends = Instant::now() + Duration::from_secs(60);
        Self { attempt: Attempt::new(task, ports, ends, Pace::Virtual, &Arc::default()), counted, tasks }
    }

    /// Makes a call: what came of it, and what of the world it reached.
    async fn call(&mut self, call: &Call) -> (Result<(), (ErrorCode, String)>, Vec<String>) {
        let Self { attempt, tasks, .. } = self;
        let instance = || call.target.id().to_owned();
        let done = match call.function.as_str() {
            "ecs.find-container-instance" => ecs::Host::find_container_instance(attempt, instance()).await.map(drop),
            "ecs.drain" => ecs::Host::drain(attempt, instance()).await.map(drop),
            "ecs.list-tasks" => ecs::Host::list_tasks(attempt, instance()).await.map(drop),
            "ecs.stop-task" => {
                let task = tasks.iter().find(|(target, _)| *target == call.task_of).unwrap().1.clone();
                ecs::Host::stop_task(attempt, instance(), task, "over".to_owned()).await
            }
            "autoscaling.describe-instance" => {
                autoscaling::Host::describe_instance(attempt, instance()).await.map(drop)
            }
            "autoscaling.set-instance-protection" => {
                autoscaling::Host::set_instance_protection(attempt, instance(), true).await
            }
            "ec2.describe-instance" => ec2::Host::describe_instance(attempt, instance()).await.map(drop),
            "ssh.exec" => {
                let mut words = COMMANDS[call.command].iter().map(|&word| word.to_owned());
                let program = words.next().unwrap();
                let command =
                    ssh::Command { program, arguments: words.collect(), stdin: None, timeout_milliseconds: None };
                ssh::Host::exec(attempt, instance(), command).await.map(drop)
            }
            "config.get" => config::Host::get(attempt, "key".to_owned()).await.map(drop).map_err(CallError::Trap),
            "log.log" => {
                let level = log::Level::Info;
                log::Host::log(attempt, level, "line".to_owned(), Vec::new()).await.map_err(CallError::Trap)
            }
            "clock.now" => clock::Host::now(attempt).await.map(drop).map_err(CallError::Trap),
            "clock.sleep" => clock::Host::sleep(attempt, 1).await,
            other => {
                panic!("{other} is in the contract and not in this matrix: say here and in the oracle what it may do")
            }
        };
        let done = done.map_err(|error| match error {
            CallError::Value(error) => {
                assert!(!(error.code == ErrorCode::Denied && error.retryable), "a denial does not pass: {error:?}");
                (error.code, error.message)
            }
            CallError::Trap(trap) => panic!("{call:?} ended the attempt: {trap:#}"),
        });
        (done, self.counted.take())
    }
}
