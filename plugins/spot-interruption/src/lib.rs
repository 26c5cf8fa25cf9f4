//! Drains a Spot instance within the two minutes EC2 gives it.
//!
//! Drains at once, stops standalone tasks, runs a command on the node if there is one, and looks every 5 s. What has not
//! ended shortly before the deadline is left, and the log says exactly what.
//!
//! | setting | default | |
//! | --- | --- | --- |
//! | `registration-grace` | `30s` | how long after the event the instance may still join a cluster |
//! | `stop-standalone-after` | `0s` | when tasks of no service are stopped, from the time of the event; `never` leaves them |
//! | `forsake-agent-after` | `never` | when a node whose ECS agent is not connected is no longer waited for, from the time of the event |
//! | `command` | | run on the node once draining has begun, such as `["sudo", "/opt/flush"]` |
//! | `leave-before` | `10s` | how long before the deadline to stop waiting |
//!
//! Grants: `ecs` with `read`, `drain` and `stop-task`; for the command, `ssh` with its pattern.
//!
//! The command never keeps tasks waiting: it runs after the drain has begun. While it cannot be run (the node does not
//! answer), it is tried again with every look; when it fails, or is not allowed, a warning says so, and the drain goes on.

use std::time::Duration;

use hostler_plugin::drain::{Drain, Step, Wait, names};
use hostler_plugin::prelude::*;

/// What EC2 gives a Spot instance, if the event does not say. EC2 User Guide, "Spot Instance interruption notices".
const NOTICE: Duration = Duration::from_secs(120);

/// How long before the deadline to leave, unless the policy says otherwise: time for the host to write its end.
const LEAVE_BEFORE: Duration = Duration::from_secs(10);

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The state of a work item whose command has run.
const COMMAND_HAS_RUN: &str = "v1 command-has-run";

fn handle(event: &Event) -> Result<Outcome> {
    let instance = event.instance()?;
    let command = config::parse::<ssh::Command>("command")?;
    let leave_before = config::duration("leave-before")?.unwrap_or(LEAVE_BEFORE);
    let drain = Drain::new().stop_standalone_after(Duration::ZERO).look_every(LOOK_EVERY).configured()?;
    let deadline = event.deadline.unwrap_or(event.time + NOTICE);

    let step = drain.step(&Event { deadline: Some(deadline), ..event.clone() })?;
    let mut has_run = has_run(event);
    let mut in_the_way = None;
    if let Some(command) = command.filter(|_| !has_run) {
        in_the_way = run(instance, command, deadline).err();
        has_run = in_the_way.is_none();
    }
    let wait = match (step, in_the_way) {
        (Step::Wait(wait), None) => wait,
        (Step::Wait(wait), Some(error)) => Wait { note: format!("{}; {error}", wait.note), ..wait },
        (Step::Drained | Step::NotAMember, Some(error)) => {
            Wait { after: LOOK_EVERY, note: error.to_string(), tasks: vec![] }
        }
        (Step::Drained, None) => {
            log::info!("{instance} is drained");
            return Ok(Outcome::Done);
        }
        (Step::NotAMember, None) => {
            log::info!("{instance} is a member of no granted cluster: nothing to drain");
            return Ok(Outcome::Done);
        }
    };
    let left = (deadline - leave_before).since(clock::now());
    if left.is_zero() {
        leave(instance, &wait);
        return Ok(Outcome::Done);
    }
    let outcome = Outcome::again(wait.after.min(LOOK_EVERY).min(left), wait.note);
    Ok(if has_run { outcome.with_state(COMMAND_HAS_RUN) } else { outcome })
}

hostler_plugin::export!(handle);

/// Runs the command, for no longer than the instance lives. The error is one that another try may mend; any other is told
/// to the log, and that is all.
fn run(instance: &str, command: ssh::Command, deadline: Time) -> Result<()> {
    let left = deadline.since(clock::now());
    if left.is_zero() {
        log::warn!("the deadline has passed before the command could be run"; command = command);
        return Ok(());
    }
    let command = command.timeout(left);
    match command.run(instance).and_then(ssh::Output::check) {
        Ok(_) => log::info!("ran the command"; command = command),
        Err(error) if error.is_retryable() => return Err(error.context(command)),
        Err(error) => log::warn!("the command failed: {error}"; command = command),
    }
    Ok(())
}

/// How many tasks one line of the log names: it keeps 4 KiB of a field.
const TASKS_PER_LINE: usize = 20;

/// Says exactly what is left behind.
fn leave(instance: &str, wait: &Wait) {
    log::warn!("leaving {instance} unfinished: {}", wait.note);
    for tasks in wait.tasks.chunks(TASKS_PER_LINE) {
        let arns: Vec<&str> = tasks.iter().map(|task| task.arn.as_str()).collect();
        log::warn!("left running: {}", names(tasks); tasks = arns.join(" "));
    }
}

/// Whether an earlier attempt ran the command. A state that is not ours tells nothing.
fn has_run(event: &Event) -> bool {
    match event.state.as_deref() {
        None => false,
        Some(COMMAND_HAS_RUN) => true,
        Some(state) => {
            log::warn!("starting afresh: the state is not of this plugin"; state = state);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use hostler_plugin::testing::{self, START, World, output};

    use super::*;

    const COMMAND: &str = r#"["sudo", "/opt/flush"]"#;

    fn event() -> Event {
        Event { deadline: Some(START + NOTICE), ..testing::event(Kind::SpotInterruption) }
    }

    fn warnings(world: &World) -> Vec<&str> {
        world.log.iter().filter_map(|line| line.strip_prefix("warn: ")).collect()
    }

    #[test]
    fn a_node_is_drained_at_once_and_standalone_tasks_stopped() {
        let mut world = World::new().member("ACTIVE").service_task("web").standalone_task("cron");
        let (end, notes) = world.to_the_end(handle, event(), |attempt, world| match attempt {
            1 => world.tasks.retain(|task| task.desired_status != "STOPPED"),
            2 => world.tasks.clear(),
            _ => {}
        });
        assert_eq!(end, Ok(Outcome::Done));
        assert_eq!(
            notes,
            ["2 tasks still running: cron x1, web x1; 2m left", "1 task still running: web x1; 1m 55s left"]
        );
        assert_eq!(world.now, START + Duration::from_secs(10));
        assert_eq!(warnings(&world), Vec::<&str>::new());
    }

    #[test]
    fn what_does_not_finish_is_left_and_named() {
        let mut world = World::new().member("ACTIVE").service_task("web").service_task("web").service_task("api");
        let (end, notes) = world.to_the_end(handle, event(), |_, _| {});
        assert_eq!(end, Ok(Outcome::Done));
        assert_eq!(notes.len(), 22, "{notes:?}");
        assert_eq!(world.now, START + Duration::from_secs(110));
        assert_eq!(
            warnings(&world),
            [
                "leaving i-0123456789abcdef0 unfinished: 3 tasks still running: web x2, api x1; 10s left",
                "left running: web x2, api x1 tasks=\
                 arn:aws:ecs:eu-central-1:123456789012:task/prod/api-2 \
                 arn:aws:ecs:eu-central-1:123456789012:task/prod/web-0 \
                 arn:aws:ecs:eu-central-1:123456789012:task/prod/web-1",
            ]
        );
    }

    #[test]
    fn the_policy_says_how_long_before() {
        let mut world = World::new().config("leave-before", "17s").member("ACTIVE").service_task("web");
        assert_eq!(world.to_the_end(handle, event(), |_, _| {}).0, Ok(Outcome::Done));
        assert_eq!(world.now, START + Duration::from_secs(103), "the last wait is cut to end there");
    }

    #[test]
    fn without_a_deadline_two_minutes_are_assumed() {
        let mut world = World::new().member("ACTIVE").service_task("web");
        let (end, notes) = world.to_the_end(handle, Event { deadline: None, ..event() }, |_, _| {});
        assert_eq!(end, Ok(Outcome::Done));
        assert_eq!(notes[0], "1 task still running: web x1; 2m left");
        assert_eq!(world.now, START + Duration::from_secs(110));
    }

    #[test]
    fn an_event_that_comes_too_late_still_drains() {
        let mut world = World::new().config("command", COMMAND).member("ACTIVE").service_task("web");
        world.advance(Duration::from_secs(300));
        assert_eq!(world.run(|| handle(&event())), Ok(Outcome::Done));
        assert_eq!(world.container_instance.as_ref().unwrap().status, "DRAINING");
        assert_eq!(
            warnings(&world)[..2],
            [
                "the deadline has passed before the command could be run command=sudo /opt/flush",
                "leaving i-0123456789abcdef0 unfinished: 1 task still running: web x1; the deadline has passed",
            ]
        );
    }

    #[test]
    fn what_ecs_did_not_tell_is_not_claimed() {
        let mut world = World::new().member("ACTIVE").fail("ecs.list-tasks", ErrorCode::Unavailable, "no answer");
        assert_eq!(world.to_the_end(handle, event(), |_, _| {}).0, Ok(Outcome::Done));
        assert_eq!(warnings(&world), ["leaving i-0123456789abcdef0 unfinished: waiting for ECS: no answer; 10s left"]);
    }

    #[test]
    fn the_command_runs_once_after_the_drain_has_begun() {
        let mut world = World::new().config("command", COMMAND).member("ACTIVE").service_task("web");
        let (end, _) = world.to_the_end(handle, event(), |attempt, world| {
            if attempt == 3 {
                world.tasks.clear();
            }
        });
        assert_eq!(end, Ok(Outcome::Done));
        let at = |prefix: &str| world.calls.iter().position(|call| call.starts_with(prefix));
        assert!(at("ecs.drain") < at("ssh.exec"), "{:?}", world.calls);
        assert_eq!(world.calls.iter().filter(|call| call.starts_with("ssh.exec")).count(), 1);
    }

    #[test]
    fn a_node_that_does_not_answer_is_tried_again() {
        let mut world = World::new().config("command", COMMAND).member("ACTIVE");
        world = world.fail("ssh.exec", ErrorCode::Unavailable, "connection refused");
        let (end, notes) = world.to_the_end(handle, event(), |attempt, world| {
            if attempt == 2 {
                world.failures.clear();
            }
        });
        assert_eq!(end, Ok(Outcome::Done));
        assert_eq!(notes, ["sudo /opt/flush: connection refused"; 2]);
        assert!(world.log.contains(&"info: ran the command command=sudo /opt/flush".to_owned()), "{:?}", world.log);
    }

    #[test]
    fn a_command_that_fails_or_is_denied_is_a_warning() {
        let mut world = World::new().config("command", COMMAND).member("ACTIVE");
        world.output = output(1, "", "disk full");
        assert_eq!(world.run(|| handle(&event())), Ok(Outcome::Done));
        assert_eq!(warnings(&world), ["the command failed: exit status 1: disk full command=sudo /opt/flush"]);

        let mut world = World::new().config("command", COMMAND).member("ACTIVE").service_task("web");
        world = world.fail("ssh.exec", ErrorCode::Denied, "no pattern matches");
        let outcome = world.run(|| handle(&event())).unwrap();
        assert_eq!(
            outcome,
            Outcome::again(Duration::from_secs(5), "1 task still running: web x1; 2m left").with_state(COMMAND_HAS_RUN)
        );
        assert_eq!(warnings(&world), ["the command failed: no pattern matches command=sudo /opt/flush"]);
    }

    #[test]
    fn a_denied_drain_fails_the_attempt() {
        let mut world = World::new().member("ACTIVE").fail("ecs.drain", ErrorCode::Denied, "allow = [\"drain\"]");
        assert_eq!(world.run(|| handle(&event())).unwrap_err().to_string(), "allow = [\"drain\"]");
    }

    #[test]
    fn a_state_of_another_plugin_is_not_believed() {
        let mut world = World::new();
        let event = Event { state: Some("v1 before-has-run".to_owned()), ..event() };
        assert!(!world.run(|| has_run(&event)));
        assert_eq!(warnings(&world), ["starting afresh: the state is not of this plugin state=v1 before-has-run"]);
    }
}
