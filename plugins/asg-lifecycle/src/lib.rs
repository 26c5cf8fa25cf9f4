//! Drains an instance that leaves its Auto Scaling group, as slowly as its tasks need.
//!
//! Each attempt is one look: run `command-before` unless it has run, drain the container instance, stop standalone tasks
//! whose time has come, and say what is still running. Once nothing is, run `command-after`, and done. An instance that is a
//! member of no granted cluster has nothing to drain; its commands are run all the same.
//!
//! | setting | default | |
//! | --- | --- | --- |
//! | `registration-grace` | `30s` | how long after the event the instance may still join a cluster |
//! | `stop-standalone-after` | `2m` | when tasks of no service are stopped, from the time of the event; `never` waits for them |
//! | `forsake-agent-after` | `never` | when a node whose ECS agent is not connected is no longer waited for, from the time of the event |
//! | `command-before` | | run on the node first, such as `["sudo", "systemctl", "stop", "cron"]`. It has to succeed |
//! | `command-after` | | run on the node last. Its exit status is reported, and changes nothing |
//!
//! Grants: `ecs` with `read`, `drain` and `stop-task`; for commands, `ssh` with their patterns.
//!
//! A command runs once for a work item as far as can be known, and again when the attempt that ran it was lost. One that
//! cannot be run at all (no connection, no grant) fails the attempt, before and after alike; the policy says how often that is
//! tried and what comes then. A command before that ends with another exit status than zero fails the attempt too, since
//! the operator wants it done before tasks move. A command after does not: the node is empty by then, the command would
//! only say the same again, and holding the instance back costs money.

use std::time::Duration;

use hostler_plugin::drain::{Drain, Step};
use hostler_plugin::prelude::*;

/// How long standalone tasks get, unless the policy says otherwise.
const STOP_STANDALONE_AFTER: Duration = Duration::from_secs(120);

fn handle(event: &Event) -> Result<Outcome> {
    let instance = event.instance()?;
    // Everything the operator may have mistyped is read before anything is done.
    let before = config::parse::<ssh::Command>("command-before")?;
    let after = config::parse::<ssh::Command>("command-after")?;
    let drain = Drain::new().stop_standalone_after(STOP_STANDALONE_AFTER).configured()?;
    if event.kind.is_arrival() {
        let message = "the instance is on its way into service, and not out of it: narrow the handler's pattern";
        return Err(Error::new(format!("{instance}: {}: {message}", event.kind)));
    }

    let mut progress = Progress::read(event);
    if let Some(command) = before.filter(|_| !progress.before_has_run) {
        command
            .run(instance)
            .and_then(ssh::Output::check)
            .map_err(|error| error.context(format!("before: {command}")))?;
        log::info!("ran the command before draining"; command = command);
        progress.before_has_run = true;
    }
    match drain.step(event)? {
        Step::Wait(wait) => return Ok(progress.write(wait.into())),
        Step::Drained => log::info!("{instance} is drained"),
        Step::NotAMember => log::info!("{instance} is a member of no granted cluster: nothing to drain"),
    }
    if let Some(command) = after {
        match command.run(instance).map_err(|error| error.context(format!("after: {command}")))?.check() {
            Ok(_) => log::info!("ran the command after draining"; command = command),
            Err(error) => log::warn!("the command after draining failed: {error}"; command = command),
        }
    }
    Ok(Outcome::Done)
}

hostler_plugin::export!(handle);

/// What cannot be seen from outside, handed from attempt to attempt: `v1`, and then a word for each thing done.
#[derive(Debug, Default, PartialEq)]
struct Progress {
    before_has_run: bool,
}

const VERSION: &str = "v1";
const BEFORE_HAS_RUN: &str = "before-has-run";

impl Progress {
    /// What the attempts before this one did. A state of another version was written by another plugin: nothing is known
    /// then, and a command that runs twice is better than one that never runs.
    fn read(event: &Event) -> Self {
        let Some(state) = &event.state else { return Self::default() };
        let mut words = state.split(' ');
        if words.next() != Some(VERSION) {
            log::warn!("starting afresh: the state is not of this plugin"; state = state);
            return Self::default();
        }
        Self { before_has_run: words.any(|word| word == BEFORE_HAS_RUN) }
    }

    fn write(&self, outcome: Outcome) -> Outcome {
        if self.before_has_run { outcome.with_state(format!("{VERSION} {BEFORE_HAS_RUN}")) } else { outcome }
    }
}

#[cfg(test)]
mod tests {
    use hostler_plugin::testing::{self, INSTANCE, START, World, output};

    use super::*;

    const BEFORE: &str = r#"["touch", "/run/leaving"]"#;
    const AFTER: &str = r#"["sudo", "systemctl", "stop", "ecs"]"#;

    fn event() -> Event {
        testing::event(Kind::InstanceTerminating)
    }

    fn commands(world: &World) -> Vec<&str> {
        world.calls.iter().filter_map(|call| call.strip_prefix("ssh.exec i-0123456789abcdef0 ")).collect()
    }

    #[test]
    fn a_node_is_emptied_between_its_two_commands() {
        let mut world = World::new()
            .config("command-before", BEFORE)
            .config("command-after", AFTER)
            .member("ACTIVE")
            .service_task("web")
            .service_task("web")
            .standalone_task("cron");
        let (end, notes) = world.to_the_end(handle, event(), |attempt, world| match attempt {
            1 => world.tasks.retain(|task| task.name() == "cron"),
            // The standalone task ends only because it is stopped.
            _ => world.tasks.retain(|task| task.desired_status != "STOPPED"),
        });
        assert_eq!(end, Ok(Outcome::Done));
        assert_eq!(notes[0], "3 tasks still running: web x2, cron x1");
        assert!(notes[1..].iter().all(|note| note == "1 task still running: cron x1"), "{notes:?}");
        assert_eq!(world.now, START + Duration::from_secs(135), "two minutes, and one look later");
        assert_eq!(commands(&world), [r#"["touch", "/run/leaving"]"#, r#"["sudo", "systemctl", "stop", "ecs"]"#]);
        let at = |prefix: &str| world.calls.iter().position(|call| call.starts_with(prefix));
        assert!(at("ssh.exec") < at("ecs.drain"), "{:?}", world.calls);
        assert!(world.calls.last().is_some_and(|call| call.starts_with("ssh.exec")), "{:?}", world.calls);
        assert!(world.log.contains(&format!("info: {INSTANCE} is drained")), "{:?}", world.log);
    }

    #[test]
    fn a_member_of_nothing_is_done_after_the_grace_and_its_commands_run() {
        let mut world = World::new().config("command-after", AFTER);
        let (end, notes) = world.to_the_end(handle, event(), |_, _| {});
        assert_eq!(end, Ok(Outcome::Done));
        assert_eq!(notes.len(), 6, "{notes:?}");
        assert_eq!(world.now, START + Duration::from_secs(30));
        assert_eq!(commands(&world).len(), 1);

        let mut world = World::new().config("registration-grace", "0s");
        assert_eq!(world.to_the_end(handle, event(), |_, _| {}), (Ok(Outcome::Done), vec![]));
    }

    #[test]
    fn a_late_member_is_drained() {
        let mut world = World::new();
        let (end, notes) = world.to_the_end(handle, event(), |attempt, world| match attempt {
            2 => *world = std::mem::take(world).member("ACTIVE").service_task("web"),
            3 => world.tasks.clear(),
            _ => {}
        });
        assert_eq!(end, Ok(Outcome::Done));
        assert_eq!(notes.last().map(String::as_str), Some("1 task still running: web x1"));
    }

    #[test]
    fn standalone_tasks_may_be_waited_for() {
        let mut world = World::new().config("stop-standalone-after", "never").member("ACTIVE").standalone_task("cron");
        world.advance(Duration::from_secs(86_400));
        world.run(|| handle(&event())).unwrap();
        assert_eq!(world.tasks[0].desired_status, "RUNNING");
    }

    #[test]
    fn a_command_before_that_fails_keeps_the_node_as_it_is() {
        let mut world = World::new().config("command-before", BEFORE).member("ACTIVE");
        world.output = output(1, "", "touch: read-only file system\n");
        assert_eq!(
            world.run(|| handle(&event())).unwrap_err().to_string(),
            "before: touch /run/leaving: exit status 1: touch: read-only file system"
        );
        assert_eq!(world.container_instance.as_ref().unwrap().status, "ACTIVE");

        let mut world = world.fail("ssh.exec", ErrorCode::Unavailable, "connection refused");
        assert_eq!(
            world.run(|| handle(&event())).unwrap_err().to_string(),
            "before: touch /run/leaving: connection refused"
        );
    }

    #[test]
    fn a_command_after_that_fails_is_a_warning_but_must_have_run() {
        let mut world = World::new().config("command-after", AFTER).member("DRAINING");
        world.output = output(5, "", "no such unit");
        assert_eq!(world.run(|| handle(&event())), Ok(Outcome::Done));
        assert_eq!(
            world.log.last().map(String::as_str),
            Some(
                "warn: the command after draining failed: exit status 5: no such unit command=sudo systemctl stop ecs"
            )
        );

        let mut world = world.fail("ssh.exec", ErrorCode::Denied, "no pattern matches");
        assert_eq!(
            world.run(|| handle(&event())).unwrap_err().to_string(),
            "after: sudo systemctl stop ecs: no pattern matches"
        );
    }

    #[test]
    fn a_denial_fails_the_attempt_and_throttling_does_not() {
        let mut world = World::new().member("ACTIVE").fail("ecs.drain", ErrorCode::Denied, "allow = [\"drain\"]");
        assert_eq!(world.run(|| handle(&event())).unwrap_err().to_string(), "allow = [\"drain\"]");

        let mut world = world.fail("ecs.drain", ErrorCode::Throttled, "rate exceeded");
        assert_eq!(
            world.run(|| handle(&event())),
            Ok(Outcome::again(Duration::from_secs(10), "waiting for ECS: rate exceeded"))
        );
    }

    #[test]
    fn what_has_run_is_remembered_while_ecs_is_throttling() {
        let mut world = World::new().config("command-before", BEFORE).member("ACTIVE");
        world = world.fail("ecs.drain", ErrorCode::Throttled, "rate exceeded");
        let (end, _) = world.to_the_end(handle, event(), |attempt, world| {
            if attempt == 3 {
                world.failures.clear();
            }
        });
        assert_eq!(end, Ok(Outcome::Done));
        assert_eq!(commands(&world).len(), 1);
    }

    #[test]
    fn a_state_of_another_plugin_is_not_believed() {
        let progress = |state: &str| {
            let mut world = World::new();
            let event = Event { state: Some(state.to_owned()), ..event() };
            (world.run(|| Progress::read(&event).before_has_run), world.log.len())
        };
        assert_eq!(progress("v1 before-has-run"), (true, 0));
        assert_eq!(progress("v1"), (false, 0));
        assert_eq!(progress("v1 something-new"), (false, 0));
        assert_eq!(progress("v2 before-has-run"), (false, 1));
        assert_eq!(progress(""), (false, 1));
        assert_eq!(progress("{\"before\":true}"), (false, 1));
    }

    #[test]
    fn mistakes_in_the_settings_are_told_before_anything_is_done() {
        for (key, value, message) in [
            (
                "stop-standalone-after",
                "120",
                "config \"stop-standalone-after\" = \"120\": \"120\" is not a duration: write numbers with units, such as \"90s\", \"2m\" or \"1h 30m\", or \"never\"",
            ),
            (
                "registration-grace",
                "soon",
                "config \"registration-grace\" = \"soon\": \"soon\" is not a duration: write numbers with units, such as \"90s\", \"2m\" or \"1h 30m\"",
            ),
            (
                "command-before",
                "reboot",
                "config \"command-before\" = \"reboot\": expected '[' at byte 0; a command is a JSON array such as [\"sudo\", \"systemctl\", \"stop\", \"ecs\"]",
            ),
            ("command-after", "[]", "config \"command-after\" = \"[]\": the command names no program"),
        ] {
            let mut world = World::new().config(key, value).member("ACTIVE");
            assert_eq!(world.run(|| handle(&event())).unwrap_err().to_string(), message);
            assert_eq!(world.calls, Vec::<String>::new());
        }
    }

    #[test]
    fn an_instance_on_its_way_into_service_is_left_alone() {
        let mut world = World::new().config("command-before", BEFORE).member("ACTIVE");
        let error = world.run(|| handle(&testing::event(Kind::InstanceLaunching))).unwrap_err();
        assert!(error.to_string().ends_with("narrow the handler's pattern"), "{error}");
        assert_eq!(world.calls, Vec::<String>::new());
    }
}
