use super::*;
use crate::Kind;
use crate::testing::{self, INSTANCE, START, World};

fn event() -> Event {
    testing::event(Kind::InstanceTerminating)
}

fn step(world: &mut World, drain: &Drain) -> Result<Step> {
    world.run(|| drain.step(&event()))
}

fn waits(world: &mut World, drain: &Drain) -> Wait {
    match step(world, drain) {
        Ok(Step::Wait(wait)) => wait,
        other => panic!("{other:?} is not a wait"),
    }
}

#[test]
fn an_active_node_is_drained_and_waited_for() {
    let mut world = World::new().member("ACTIVE").service_task("web").service_task("web").standalone_task("cron");
    let wait = waits(&mut world, &Drain::new());
    assert_eq!(wait.after, Duration::from_secs(15));
    assert_eq!(wait.note, "3 tasks still running: web x2, cron x1");
    assert_eq!(wait.tasks.len(), 3);
    assert_eq!(world.container_instance.as_ref().unwrap().status, "DRAINING");
    assert_eq!(world.log[0].split(" cluster=").next(), Some("info: draining i-0123456789abcdef0"));

    world.tasks.clear();
    assert_eq!(step(&mut world, &Drain::new()), Ok(Step::Drained));
    let drains = world.calls.iter().filter(|call| call.starts_with("ecs.drain")).count();
    assert_eq!(drains, 1, "a node that is draining is not drained again");
}

#[test]
fn a_node_may_register_late_but_not_for_ever() {
    let mut world = World::new();
    world.now = START + Duration::from_secs(2);
    let wait = waits(&mut world, &Drain::new());
    assert_eq!(wait.after, Duration::from_secs(5));
    assert_eq!(
        wait.note,
        "i-0123456789abcdef0 is not a member of any granted cluster; it may register until 2026-01-31T12:00:30Z"
    );
    world.now = START + Duration::from_secs(28);
    assert_eq!(waits(&mut world, &Drain::new()).after, Duration::from_secs(2));
    world.now = START + Duration::from_secs(30);
    assert_eq!(step(&mut world, &Drain::new()), Ok(Step::NotAMember));
    assert_eq!(step(&mut World::new(), &Drain::new().registration_grace(Duration::ZERO)), Ok(Step::NotAMember));
}

#[test]
fn a_registering_node_is_waited_for_within_the_grace() {
    let mut world = World::new().member("REGISTERING");
    assert_eq!(waits(&mut world, &Drain::new()).note, "i-0123456789abcdef0 is registering with prod");
    world.advance(Duration::from_secs(30));
    assert_eq!(step(&mut world, &Drain::new()), Ok(Step::Drained));
}

#[test]
fn a_node_that_cannot_be_drained_is_still_waited_for() {
    for status in ["DEREGISTERING", "INACTIVE", "REGISTRATION_FAILED"] {
        let mut world = World::new().member(status).service_task("web");
        assert_eq!(waits(&mut world, &Drain::new()).note, "1 task still running: web x1");
        world.tasks.clear();
        assert_eq!(step(&mut world, &Drain::new()), Ok(Step::Drained));
        assert!(world.calls.iter().all(|call| !call.starts_with("ecs.drain")), "{status}: {:?}", world.calls);
    }
}

#[test]
fn standalone_tasks_are_stopped_when_their_time_has_come() {
    let drain = Drain::new().stop_standalone_after(Duration::from_secs(20));
    let mut world = World::new().member("ACTIVE").service_task("web").standalone_task("cron").standalone_task("cron");
    world.now = START + Duration::from_secs(12);
    let wait = waits(&mut world, &drain);
    assert_eq!(wait.after, Duration::from_secs(8), "the next look is when they are due");

    world.advance(wait.after);
    world.calls.clear();
    assert_eq!(waits(&mut world, &drain).after, Duration::from_secs(15));
    let stops: Vec<&String> = world.calls.iter().filter(|call| call.starts_with("ecs.stop-task")).collect();
    assert_eq!(stops.len(), 2, "{stops:?}");
    assert!(
        stops[0].ends_with("/cron-1 \"Hostler: i-0123456789abcdef0 is going (instance-terminating)\""),
        "{stops:?}"
    );

    world.calls.clear();
    waits(&mut world, &drain);
    assert!(world.calls.iter().all(|call| !call.starts_with("ecs.stop-task")), "stopped twice: {:?}", world.calls);
}

#[test]
fn standalone_tasks_are_left_alone_unless_told() {
    let mut world = World::new().member("ACTIVE").standalone_task("cron");
    world.advance(Duration::from_secs(86_400));
    waits(&mut world, &Drain::new());
    assert_eq!(world.tasks[0].desired_status, "RUNNING");
}

#[test]
fn one_task_that_cannot_be_stopped_does_not_keep_the_others() {
    let drain = Drain::new().stop_standalone_after(Duration::ZERO);
    let mut world = World::new().member("ACTIVE").standalone_task("a").standalone_task("b");
    world = world.fail("ecs.stop-task", ErrorCode::Throttled, "slow down");
    let wait = waits(&mut world, &drain);
    assert_eq!(wait.after, Duration::from_secs(10));
    assert_eq!(wait.note, "2 tasks still running: a x1, b x1; stopping standalone tasks: slow down");
    assert_eq!(world.calls.iter().filter(|call| call.starts_with("ecs.stop-task")).count(), 2);

    world = world.fail("ecs.stop-task", ErrorCode::Denied, "no grant");
    let error = step(&mut world, &drain).unwrap_err();
    assert_eq!(error.to_string(), "stopping standalone tasks: no grant");
    assert_eq!(error.code(), ErrorCode::Denied);

    world = world.fail("ecs.stop-task", ErrorCode::NotFound, "gone");
    assert_eq!(waits(&mut world, &drain).note, "2 tasks still running: a x1, b x1");
}

#[test]
fn patience_is_not_failure() {
    for function in ["ecs.find-container-instance", "ecs.drain", "ecs.list-tasks"] {
        let mut world =
            World::new().member("ACTIVE").service_task("web").fail(function, ErrorCode::Throttled, "rate exceeded");
        let wait = waits(&mut world, &Drain::new());
        assert_eq!((wait.after, wait.note.as_str()), (Duration::from_secs(10), "waiting for ECS: rate exceeded"));

        let mut world = world.fail(function, ErrorCode::Denied, "no grant");
        assert_eq!(step(&mut world, &Drain::new()).unwrap_err().code(), ErrorCode::Denied);
    }
}

#[test]
fn a_node_that_changes_under_us_is_looked_at_again() {
    for code in [ErrorCode::Conflict, ErrorCode::NotFound] {
        let mut world = World::new().member("ACTIVE").fail("ecs.drain", code, "it is DEREGISTERING");
        assert_eq!(waits(&mut world, &Drain::new()).note, "looking again: it is DEREGISTERING");
    }
    let mut world = World::new().member("DRAINING").fail("ecs.list-tasks", ErrorCode::NotFound, "gone");
    assert_eq!(step(&mut world, &Drain::new()), Ok(Step::NotAMember));
}

#[test]
fn the_note_tells_what_is_left_and_what_is_in_the_way() {
    let mut world = World::new().member("DRAINING").service_task("web");
    world.container_instance.as_mut().unwrap().agent_connected = false;
    let at = |deadline: Duration| Event { deadline: Some(START + deadline), ..event() };
    let mut note = |event: &Event| match world.run(|| Drain::new().step(event)) {
        Ok(Step::Wait(wait)) => (wait.after.as_secs(), wait.note),
        other => panic!("{other:?}"),
    };
    let note_52m = note(&at(Duration::from_secs(3120)));
    assert_eq!(note_52m.0, 15);
    assert_eq!(
        note_52m.1,
        "1 task still running: web x1; the ECS agent is not connected, so they may never be reported stopped; 52m left"
    );
    assert_eq!(note(&at(Duration::from_secs(4))).0, 4, "a look after the deadline comes too late");
    assert!(note(&at(Duration::ZERO)).1.ends_with("; the deadline has passed"));
}

#[test]
fn an_agent_that_is_gone_is_waited_for_as_long_as_the_policy_says() {
    let drain = Drain::new().forsake_agent_after(Duration::from_secs(300));
    let mut world = World::new().member("DRAINING").service_task("web");
    world.now = START + Duration::from_secs(300);
    assert!(waits(&mut world, &drain).note.starts_with("1 task still running"), "its agent is there");
    world.container_instance.as_mut().unwrap().agent_connected = false;
    assert_eq!(step(&mut world, &drain), Ok(Step::Drained));
    assert!(world.log[0].contains("is not connected: no longer waited for tasks=web x1"), "{:?}", world.log);
    world.now = START + Duration::from_secs(299);
    assert!(waits(&mut world, &drain).note.contains("the ECS agent is not connected"));
    world.now = START + Duration::from_secs(3_600);
    assert!(waits(&mut world, &Drain::new()).note.contains("the ECS agent is not connected"));
}

#[test]
fn an_instance_on_its_way_into_service_is_never_drained() {
    let mut world = World::new().member("ACTIVE");
    let error = world.run(|| Drain::new().step(&testing::event(Kind::InstanceLaunching))).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{INSTANCE}: instance-launching: an instance on its way into service is not drained: narrow the handler's pattern"
        )
    );
    assert_eq!(world.calls, Vec::<String>::new());
}

#[test]
fn the_policy_has_the_last_word() {
    let drain = Drain::new().stop_standalone_after(Duration::from_secs(120));
    assert_eq!(World::new().run(|| drain.clone().configured()), Ok(drain.clone()));
    let mut world = World::new().config("stop-standalone-after", "never").config("registration-grace", "0s");
    assert_eq!(world.run(|| drain.clone().configured()), Ok(Drain::new().registration_grace(Duration::ZERO)));
    let mut world = World::new().config("forsake-agent-after", "5m");
    let forsaken = drain.clone().forsake_agent_after(Duration::from_secs(300));
    assert_eq!(world.run(|| drain.clone().configured()), Ok(forsaken));
    let mut world = World::new().config("stop-standalone-after", "5m");
    assert_eq!(
        world.run(|| Drain::new().configured()),
        Ok(Drain::new().stop_standalone_after(Duration::from_secs(300)))
    );
}

#[test]
fn many_names_are_cut() {
    let world = (0..12).fold(World::new(), |world, i| world.service_task(&format!("s{i:02}")));
    assert!(names(&world.tasks).ends_with("s09 x1, and 2 more"), "{}", names(&world.tasks));
    assert_eq!(names(&[]), "");
}
