//! A small world for unit tests: what host functions act on when a plugin is run natively.
//!
//! ```
//! use hostler_plugin::prelude::*;
//! use hostler_plugin::testing::{self, World};
//!
//! # fn handle(event: &Event) -> Result<Outcome> {
//! #     ecs::drain(event.instance()?)?;
//! #     Ok(Outcome::again(Duration::from_secs(30), "1 task still running"))
//! # }
//! let mut world = World::new().member("ACTIVE").service_task("web");
//! let outcome = world.run(|| handle(&testing::event(Kind::InstanceTerminating)));
//! assert_eq!(outcome, Ok(Outcome::again(Duration::from_secs(30), "1 task still running")));
//! assert_eq!(world.calls, ["ecs.drain i-0123456789abcdef0"]);
//! ```
//!
//! It holds one instance, answers at once, and changes only when it is called: between two attempts, a test says what has
//! become of the tasks. For whole scenarios, with time and faults, run the plugin in the host's simulated world instead.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::autoscaling::GroupInstance;
use crate::ec2::InstanceDescription;
use crate::ecs::{ContainerInstance, Task};
use crate::ssh::Output;
use crate::{Error, ErrorCode, Event, Kind, Outcome, Time};

/// More attempts than any handler under test needs.
const ATTEMPTS: u32 = 100;

/// The instance of [`event`], and the only one in a [`World`].
pub const INSTANCE: &str = "i-0123456789abcdef0";

/// When [`event`] happens, and what the clock of a new [`World`] says: 2026-01-31T12:00:00Z.
pub const START: Time = Time::from_unix_milliseconds(1_769_860_800_000);

/// An event of `kind` on [`INSTANCE`] at [`START`], the first attempt, with no deadline.
pub fn event(kind: Kind) -> Event {
    Event {
        id: "11111111-2222-3333-4444-555555555555".to_owned(),
        kind,
        source: "test".to_owned(),
        detail_type: "Test Event".to_owned(),
        account: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
        time: START,
        instance: Some(INSTANCE.to_owned()),
        group: Some("test-group".to_owned()),
        deadline: None,
        attempt: 1,
        state: None,
        detail: "{}".to_owned(),
    }
}

/// What a command came to: its exit status, standard output and standard error.
pub fn output(status: u32, stdout: &str, stderr: &str) -> Output {
    Output {
        exit_status: Some(status),
        signal: None,
        stdout: stdout.into(),
        stdout_truncated: false,
        stderr: stderr.into(),
        stderr_truncated: false,
    }
}

/// What there is, and what was done to it.
#[derive(Debug, Clone)]
pub struct World {
    /// What `clock.now` says. `clock.sleep` moves it on.
    pub now: Time,
    /// `[handler.config]`.
    pub config: BTreeMap<String, String>,
    /// [`INSTANCE`] as a member of a cluster.
    pub container_instance: Option<ContainerInstance>,
    /// Its tasks that have not come to an end. Stopping one changes its `desired_status`; removing it is up to the test.
    pub tasks: Vec<Task>,
    /// [`INSTANCE`] as a member of an Auto Scaling group.
    pub group_instance: Option<GroupInstance>,
    /// [`INSTANCE`] as EC2 knows it.
    pub instance: Option<InstanceDescription>,
    /// What every command comes to.
    pub output: Output,
    /// Calls that fail, by name such as `ecs.drain`, and how.
    pub failures: BTreeMap<String, Error>,
    /// Calls to AWS and to the node, in order, such as `ecs.drain i-0123456789abcdef0`.
    pub calls: Vec<String>,
    /// Lines of the log, such as `warn: cron does not stop task=cron`.
    pub log: Vec<String>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            now: START,
            config: BTreeMap::new(),
            container_instance: None,
            tasks: Vec::new(),
            group_instance: None,
            instance: None,
            output: output(0, "", ""),
            failures: BTreeMap::new(),
            calls: Vec::new(),
            log: Vec::new(),
        }
    }
}

impl World {
    /// An instance that is a member of nothing, at [`START`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a setting.
    #[must_use]
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Makes the instance a member of the cluster `prod`, with ECS's `status`, such as `ACTIVE`.
    #[must_use]
    pub fn member(mut self, status: &str) -> Self {
        self.container_instance = Some(ContainerInstance {
            arn: "arn:aws:ecs:eu-central-1:123456789012:container-instance/prod/0123".to_owned(),
            cluster: "prod".to_owned(),
            instance: INSTANCE.to_owned(),
            status: status.to_owned(),
            agent_connected: true,
            running_tasks: 0,
            pending_tasks: 0,
        });
        self
    }

    /// Starts a task of the service `name`.
    #[must_use]
    pub fn service_task(self, name: &str) -> Self {
        self.task(name, Some(name))
    }

    /// Starts a standalone task of the family `name`.
    #[must_use]
    pub fn standalone_task(self, name: &str) -> Self {
        self.task(name, None)
    }

    fn task(mut self, name: &str, service: Option<&str>) -> Self {
        let kind = if service.is_some() { "service" } else { "family" };
        self.tasks.push(Task {
            arn: format!("arn:aws:ecs:eu-central-1:123456789012:task/prod/{name}-{}", self.tasks.len()),
            service: service.map(str::to_owned),
            group: Some(format!("{kind}:{name}")),
            definition: format!("arn:aws:ecs:eu-central-1:123456789012:task-definition/{name}:1"),
            last_status: "RUNNING".to_owned(),
            desired_status: "RUNNING".to_owned(),
            started_at: Some(START.unix_milliseconds()),
        });
        self
    }

    /// Makes every call of `function`, such as `ecs.drain`, fail.
    #[must_use]
    pub fn fail(mut self, function: &str, code: ErrorCode, message: &str) -> Self {
        self.failures.insert(function.to_owned(), Error::of(code, message));
        self
    }

    /// Moves the clock on.
    pub fn advance(&mut self, duration: Duration) {
        self.now = self.now + duration;
    }

    /// One attempt after another, each with the state of the one before, until the outcome is not `again`: that outcome, and
    /// the notes on the way. Time advances as the handler asks; `meanwhile` is what happens to the world between two attempts.
    ///
    /// # Panics
    ///
    /// When a hundred attempts come to no end.
    pub fn to_the_end<E>(
        &mut self,
        handler: impl Fn(&Event) -> Result<Outcome, E>,
        mut event: Event,
        mut meanwhile: impl FnMut(u32, &mut Self),
    ) -> (Result<Outcome, E>, Vec<String>) {
        let mut notes = Vec::new();
        while event.attempt <= ATTEMPTS {
            match self.run(|| handler(&event)) {
                Ok(Outcome::Again { after, note, state }) => {
                    notes.push(note);
                    self.advance(after);
                    event.state = state;
                }
                end => return (end, notes),
            }
            meanwhile(event.attempt, self);
            event.attempt += 1;
        }
        panic!("no end after {ATTEMPTS} attempts: {notes:?}");
    }

    /// Runs `attempt` in this world: the host functions it calls, on this thread, act here.
    pub fn run<T>(&mut self, attempt: impl FnOnce() -> T) -> T {
        /// Gives the world back, however the attempt ends.
        struct Visit<'a>(&'a mut World);

        impl Drop for Visit<'_> {
            fn drop(&mut self) {
                if let Some(world) = CURRENT.take() {
                    *self.0 = world;
                }
            }
        }

        assert!(CURRENT.with_borrow(Option::is_none), "World::run inside World::run: one world at a time");
        CURRENT.set(Some(std::mem::take(self)));
        let _visit = Visit(self);
        attempt()
    }
}

thread_local! {
    static CURRENT: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// The host functions, with the signatures of the bindings.
pub(crate) mod host {
    use super::{CURRENT, INSTANCE, World};
    use crate::Error;
    use crate::bindings::hostler::handler::types::{Error as HostError, ErrorCode};

    fn world<T>(act: impl FnOnce(&mut World) -> T) -> T {
        CURRENT.with_borrow_mut(|current| {
            let world = current.as_mut();
            act(world.expect("host functions exist only in a host: natively, run the handler in a testing::World"))
        })
    }

    fn error<T>(code: ErrorCode, message: String) -> Result<T, HostError> {
        Err(Error::of(code, message).into())
    }

    /// Notes a call on `instance`, and carries it out unless the test wants it to fail or the world has no such instance.
    fn call<T>(
        function: &str,
        instance: &str,
        details: &str,
        act: impl FnOnce(&mut World) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        world(|world| {
            world.calls.push(format!("{function} {instance}{details}"));
            match world.failures.get(function) {
                Some(failure) => Err(failure.clone().into()),
                None if instance != INSTANCE => {
                    error(ErrorCode::Denied, format!("{function}: only the event's own instance, {INSTANCE}"))
                }
                None => act(world),
            }
        })
    }

    pub(crate) mod ecs {
        use super::{ErrorCode, HostError, call, error};
        use crate::ecs::{ContainerInstance, Task};

        const NO_MEMBER: &str = "the instance is a member of no granted cluster";

        pub(crate) fn find_container_instance(instance: &str) -> Result<Option<ContainerInstance>, HostError> {
            call("ecs.find-container-instance", instance, "", |world| Ok(world.container_instance.clone()))
        }

        pub(crate) fn drain(instance: &str) -> Result<ContainerInstance, HostError> {
            call("ecs.drain", instance, "", |world| match &mut world.container_instance {
                Some(member) if matches!(member.status.as_str(), "ACTIVE" | "DRAINING") => {
                    member.status = "DRAINING".to_owned();
                    Ok(member.clone())
                }
                Some(member) => error(ErrorCode::Conflict, format!("the container instance is {}", member.status)),
                None => error(ErrorCode::NotFound, NO_MEMBER.to_owned()),
            })
        }

        pub(crate) fn list_tasks(instance: &str) -> Result<Vec<Task>, HostError> {
            call("ecs.list-tasks", instance, "", |world| match world.container_instance {
                Some(_) => Ok(world.tasks.clone()),
                None => error(ErrorCode::NotFound, NO_MEMBER.to_owned()),
            })
        }

        pub(crate) fn stop_task(instance: &str, task: &str, reason: &str) -> Result<(), HostError> {
            call("ecs.stop-task", instance, &format!(" {task} {reason:?}"), |world| {
                match world.tasks.iter_mut().find(|known| known.arn == task) {
                    Some(known) => {
                        known.desired_status = "STOPPED".to_owned();
                        known.last_status = "STOPPING".to_owned();
                        Ok(())
                    }
                    None => error(ErrorCode::NotFound, format!("no task {task} on the instance")),
                }
            })
        }
    }

    pub(crate) mod autoscaling {
        use super::{ErrorCode, HostError, call, error};
        use crate::autoscaling::GroupInstance;

        pub(crate) fn describe_instance(instance: &str) -> Result<Option<GroupInstance>, HostError> {
            call("autoscaling.describe-instance", instance, "", |world| Ok(world.group_instance.clone()))
        }

        pub(crate) fn set_instance_protection(instance: &str, protected: bool) -> Result<(), HostError> {
            call("autoscaling.set-instance-protection", instance, &format!(" {protected}"), |world| {
                match &mut world.group_instance {
                    Some(member) => {
                        member.protected_from_scale_in = protected;
                        Ok(())
                    }
                    None => error(ErrorCode::NotFound, "the instance belongs to no group".to_owned()),
                }
            })
        }
    }

    pub(crate) mod ec2 {
        use super::{ErrorCode, HostError, call, error};
        use crate::ec2::InstanceDescription;

        pub(crate) fn describe_instance(instance: &str) -> Result<InstanceDescription, HostError> {
            call("ec2.describe-instance", instance, "", |world| match &world.instance {
                Some(instance) => Ok(instance.clone()),
                None => error(ErrorCode::NotFound, "EC2 does not know the instance".to_owned()),
            })
        }
    }

    pub(crate) mod ssh {
        use super::{HostError, call};
        use crate::bindings::hostler::handler::ssh::Command;
        use crate::ssh::Output;

        pub(crate) fn exec(instance: &str, command: &Command) -> Result<Output, HostError> {
            let words: Vec<&String> = std::iter::once(&command.program).chain(&command.arguments).collect();
            call("ssh.exec", instance, &format!(" {words:?}"), |world| Ok(world.output.clone()))
        }
    }

    pub(crate) mod config {
        pub(crate) fn get(key: &str) -> Option<String> {
            super::world(|world| world.config.get(key).cloned())
        }
    }

    pub(crate) mod log {
        use crate::log::Level;

        pub(crate) fn log(level: Level, message: &str, fields: &[(String, String)]) {
            let level = match level {
                Level::Debug => "debug",
                Level::Info => "info",
                Level::Warn => "warn",
                Level::Error => "error",
            };
            let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            super::world(|world| world.log.push(format!("{level}: {message}{fields}")));
        }
    }

    pub(crate) mod clock {
        use std::time::Duration;

        use super::HostError;

        pub(crate) fn now() -> u64 {
            super::world(|world| world.now.unix_milliseconds())
        }

        pub(crate) fn sleep(milliseconds: u32) -> Result<(), HostError> {
            super::world(|world| world.advance(Duration::from_millis(milliseconds.into())));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, ec2, ecs};

    #[test]
    fn an_attempt_changes_the_world_it_ran_in() {
        let mut world = World::new().member("ACTIVE").standalone_task("cron");
        let task = world.tasks[0].arn.clone();
        world.run(|| {
            ecs::drain(INSTANCE).unwrap();
            ecs::stop_task(INSTANCE, &task, "going").unwrap();
            clock::sleep(Duration::from_secs(2)).unwrap();
        });
        assert_eq!(world.container_instance.unwrap().status, "DRAINING");
        assert_eq!(world.tasks[0].desired_status, "STOPPED");
        assert_eq!(world.now, START + Duration::from_secs(2));
        assert_eq!(START.to_string(), "2026-01-31T12:00:00Z");
    }

    #[test]
    fn another_instance_is_denied_as_by_default() {
        let error = World::new().run(|| ec2::describe_instance("i-ffffffffffffffff0")).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Denied);
        assert_eq!(error.to_string(), "ec2.describe-instance: only the event's own instance, i-0123456789abcdef0");
    }

    #[test]
    #[should_panic(expected = "natively, run the handler in a testing::World")]
    fn without_a_world_a_call_says_what_is_missing() {
        clock::now();
    }
}
