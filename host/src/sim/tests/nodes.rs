use super::*;
use crate::policy::SetInstanceProtection;
use crate::ports::PortErrorKind;

#[tokio::test(start_paused = true)]
async fn an_instance_is_as_the_file_says() {
    let world = world("type = \"c7g.xlarge\"\ntags = { Name = \"web-1\", Team = \"shop\" }");
    let found = world.describe(&id(INSTANCE)).unwrap();
    assert_eq!(
        (found.state.as_str(), found.lifecycle.as_str(), found.instance_type.as_str()),
        ("running", "spot", "c7g.xlarge")
    );
    assert_eq!(found.availability_zone, "eu-central-1a");
    assert_eq!(found.private_address, Some("10.0.1.17".parse().unwrap()));
    assert_eq!(found.launched_at, Some("2026-01-14T03:00:00Z".parse().unwrap()));
    assert_eq!(found.tags, [("Name".to_owned(), "web-1".to_owned()), ("Team".to_owned(), "shop".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_ec2_does_not_know_is_not_found() {
    let error = world("").describe(&id(OTHER)).unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound);
    assert_eq!(error.message, "EC2 does not know i-0bbbbbbbbbbbbbbb2 (InvalidInstanceID.NotFound)");
}

#[tokio::test(start_paused = true)]
async fn a_spot_instance_is_gone_when_ec2_takes_it_back_and_forgotten_an_hour_later() {
    let world = world("reclaimed-after = \"2m\"");
    assert_eq!(state(&world), "running");
    pass(119).await;
    assert_eq!(state(&world), "running");
    pass(1).await;
    assert_eq!(state(&world), "shutting-down");
    pass(30).await;
    let gone = world.describe(&id(INSTANCE)).unwrap();
    assert_eq!((gone.state.as_str(), gone.private_address), ("terminated", None));
    assert_eq!(lifecycle_state(&world), None);
    pass(3600).await;
    assert_eq!(world.describe(&id(INSTANCE)).unwrap_err().kind, PortErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn what_ec2_has_begun_it_ends() {
    for (from, to) in [("pending", "running"), ("stopping", "stopped"), ("shutting-down", "terminated")] {
        let world = world(&format!("state = {from:?}"));
        assert_eq!(state(&world), from);
        pass(29).await;
        assert_eq!(state(&world), from);
        pass(1).await;
        assert_eq!(state(&world), to);
    }
}

#[tokio::test(start_paused = true)]
async fn protection_needs_an_instance_in_service() {
    let in_service = world("");
    let member = in_service.describe_member(&id(INSTANCE)).unwrap().unwrap();
    in_service.protect(&SetInstanceProtection { member: member.clone(), protected: true }).unwrap();
    assert!(in_service.describe_member(&id(INSTANCE)).unwrap().unwrap().protected_from_scale_in);

    let waiting = world("lifecycle-state = \"Terminating:Wait\"");
    let error = waiting.protect(&SetInstanceProtection { member: member.clone(), protected: true }).unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Conflict);
    assert!(
        error.message.starts_with("i-0aaaaaaaaaaaaaaa1 is Terminating:Wait: Auto Scaling protects only"),
        "{error}"
    );

    let mut elsewhere = member;
    elsewhere.group = GroupName::parse("elsewhere").unwrap();
    let error = in_service.protect(&SetInstanceProtection { member: elsewhere, protected: true }).unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound);
    assert_eq!(error.message, "the Auto Scaling group elsewhere has no instance i-0aaaaaaaaaaaaaaa1");
}

#[tokio::test(start_paused = true)]
async fn the_clock_is_the_start_and_the_time_that_has_passed() {
    let world = world("");
    let clock = world.clock();
    assert_eq!(clock.now().to_string(), "2026-01-15T03:00:00Z");
    pass(90).await;
    assert_eq!(clock.now().to_string(), "2026-01-15T03:01:30Z");
    assert_eq!(world.ports().clock.now(), clock.now());
}

#[tokio::test(start_paused = true)]
async fn the_journal_tells_calls_and_changes_in_order() {
    let world = world(&format!("[[task]]\ninstance = \"{INSTANCE}\"\nservice = \"web\"\nstops-in = \"20s\"\n"));
    world.deliver(&terminating("token")).unwrap();
    drain(&world).unwrap();
    pass(60).await;
    assert!(find(&world, &["none"]).is_err());
    let told: Vec<_> = world.journal().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    +0s world event delivered i-0aaaaaaaaaaaaaaa1: instance-terminating
    +0s world lifecycle state i-0aaaaaaaaaaaaaaa1: Terminating:Wait
    +0s call  ecs.find-container-instance i-0aaaaaaaaaaaaaaa1: ACTIVE in prod, 1 running
    +0s call  ecs.drain i-0aaaaaaaaaaaaaaa1: DRAINING, 0 running
    +0s world task stopping service:web 87ff2aaa on i-0aaaaaaaaaaaaaaa1
    +20s world task stopped service:web 87ff2aaa on i-0aaaaaaaaaaaaaaa1
    +1m call  ecs.find-container-instance i-0aaaaaaaaaaaaaaa1: error: there is no ECS cluster "none" in eu-central-1 (there are: prod, test); correct grants.ecs.clusters of the handler
    "#);
}

#[test]
fn the_world_of_the_demo_is_one() {
    World::parse("world.toml", include_str!("../../../demo/world.toml")).unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test(start_paused = true)]
async fn a_full_journal_keeps_its_beginning_and_the_world_goes_on() {
    let world = world("");
    for _ in 0..100_001 {
        world.describe(&id(INSTANCE)).unwrap();
    }
    assert_eq!(world.journal().len(), 100_000);
    assert_eq!(state(&world), "running");
}
