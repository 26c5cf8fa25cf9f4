use super::*;
use crate::lifecycle::{Answer, LifecycleResult};
use crate::ports::ClusterName;

fn contradicts(world: &World, event: &Event) -> String {
    let error = world.deliver(event).expect_err("the event contradicts the world").to_string();
    error.strip_prefix("the event does not fit the simulated world: ").expect("says what it is about").to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_delivered_event_begins_its_lifecycle_action() {
    let world = world("");
    pass(100).await;
    world.deliver(&terminating("token")).unwrap();
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Wait"));
    pass(299).await;
    assert_eq!(world.lifecycle().heartbeat(&action(Some("token"))).await, Ok(Answer::Accepted));
}

#[tokio::test(start_paused = true)]
async fn the_same_event_again_changes_nothing_even_after_the_end() {
    let world = world("");
    world.deliver(&terminating("token")).unwrap();
    pass(200).await;
    world.deliver(&terminating("token")).unwrap();
    pass(100).await;
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Proceed"), "the second one has put the end off");
    world.deliver(&terminating("token")).unwrap();
    let late = world.lifecycle().complete(&action(Some("token")), LifecycleResult::Continue).await;
    assert_eq!(late, Ok(Answer::Over));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_contradicts_the_world_is_refused_and_says_how() {
    let world = world(&format!("[[instance]]\nid = \"{OTHER}\"\n"));
    let mut unknown = terminating("token");
    unknown.instance = Some(id("i-0ccccccccccccccc3"));
    assert_eq!(
        contradicts(&world, &unknown),
        "it is about i-0ccccccccccccccc3, and the world's instances are: i-0aaaaaaaaaaaaaaa1, i-0bbbbbbbbbbbbbbb2; \
         add it, or run another event"
    );

    let mut groupless = action(Some("token"));
    groupless.instance = id(OTHER);
    let mut event_of_other = event(Kind::InstanceTerminating, Some(groupless));
    event_of_other.instance = Some(id(OTHER));
    let message = contradicts(&world, &event_of_other);
    assert_eq!(message, "it puts i-0bbbbbbbbbbbbbbb2 in the group web, the world in none; add group = \"web\" to it");

    let mut other_group = action(Some("token"));
    other_group.group = GroupName::parse("api").unwrap();
    let message = contradicts(&world, &event(Kind::InstanceTerminating, Some(other_group)));
    assert_eq!(message, "it puts i-0aaaaaaaaaaaaaaa1 in the group api, the world in web");

    let mut other_hook = action(Some("token"));
    other_hook.hook = HookName::parse("dry").unwrap();
    let message = contradicts(&world, &event(Kind::InstanceTerminating, Some(other_hook)));
    assert_eq!(
        message,
        "it is of the hook dry (terminating); in the world web has drain (terminating), prepare (launching)"
    );

    world.deliver(&terminating("token")).unwrap();
    let message = contradicts(&world, &terminating("another"));
    assert_eq!(message, "its token is another, and drain holds i-0aaaaaaaaaaaaaaa1 already with the token token");
}

#[tokio::test(start_paused = true)]
async fn an_event_must_fit_the_lifecycle_state_and_the_clock() {
    let world = world("lifecycle-state = \"Pending:Wait\"");
    let message = contradicts(&world, &terminating("token"));
    assert_eq!(message, "it makes i-0aaaaaaaaaaaaaaa1 Terminating:Wait, and in the world it is Pending:Wait");

    let mut early = terminating("token");
    early.time = "2026-03-01T00:00:00Z".parse().unwrap();
    let message = contradicts(&world, &early);
    assert!(
        message.starts_with(
            "it is of 2026-03-01T00:00:00Z, and the world's clock says 2026-01-15T03:00:00Z; leave `start`"
        ),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_late_for_an_instance_that_has_moved_on_is_over() {
    let world = world("lifecycle-state = \"Terminating:Proceed\"");
    world.deliver(&terminating("token")).unwrap();
    let answer = world.lifecycle().complete(&action(Some("token")), LifecycleResult::Continue).await;
    assert_eq!(answer, Ok(Answer::Over));
}

#[tokio::test(start_paused = true)]
async fn an_event_of_another_account_changes_nothing() {
    let world = world("");
    let mut elsewhere = terminating("token");
    elsewhere.account = AccountId::parse("999999999999").unwrap();
    world.deliver(&elsewhere).unwrap();
    assert_eq!(lifecycle_state(&world).as_deref(), Some("InService"));
}

#[tokio::test(start_paused = true)]
async fn a_world_without_a_start_begins_at_its_first_event() {
    let world = World::parse("world.toml", &HEAD.replace("start = \"2026-01-15T03:00:00Z\"\n", "")).unwrap();
    let mut later = terminating("token");
    later.time = "2026-05-05T05:05:05Z".parse().unwrap();
    world.deliver(&later).unwrap();
    assert_eq!(world.clock().now(), later.time);
}

#[tokio::test(start_paused = true)]
async fn a_spot_warning_ends_the_instance_whatever_holds_it() {
    let world = world("");
    world.deliver(&terminating("token")).unwrap();
    pass(20).await;
    let mut warning = event(Kind::SpotInterruption, None);
    warning.time = "2026-01-15T03:00:10Z".parse().unwrap();
    warning.deadline = Some("2026-01-15T03:02:10Z".parse().unwrap());
    world.deliver(&warning).unwrap();
    pass(109).await;
    assert_eq!(state(&world), "running");
    pass(1).await;
    assert_eq!(state(&world), "shutting-down");
    assert_eq!(find(&world, &["prod"]).unwrap(), None, "its tasks are gone");
    pass(30).await;
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Wait"), "the hook still has to be completed");
    let answer = world.lifecycle().complete(&action(Some("token")), LifecycleResult::Continue).await;
    assert_eq!((answer, lifecycle_state(&world)), (Ok(Answer::Accepted), None));
}

#[tokio::test(start_paused = true)]
async fn only_a_spot_instance_is_warned() {
    let world = World::parse("world.toml", &HEAD.replace("\"spot\"", "\"on-demand\"")).unwrap();
    let message = contradicts(&world, &event(Kind::SpotInterruption, None));
    assert_eq!(message, "it is a Spot interruption, and i-0aaaaaaaaaaaaaaa1 is on-demand; write lifecycle = \"spot\"");
}

#[tokio::test(start_paused = true)]
async fn the_world_around_an_event_holds_what_a_handler_looks_for() {
    let event = terminating("token");
    let world = Blueprint::around(&[&event], Some(ClusterName::parse("prod").unwrap())).world();
    world.deliver(&event).unwrap();
    assert_eq!(world.clock().now(), event.time);
    assert_eq!((world.place().account, world.place().region), (event.account, event.region));
    let node = world.describe(&id(INSTANCE)).unwrap();
    assert_eq!((node.state.as_str(), node.private_address), ("running", Some("10.0.0.10".parse().unwrap())));
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Wait"));
    drain(&world).unwrap();
    let left = |world: &World| list(world).into_iter().filter_map(|task| task.group).collect::<Vec<_>>();
    pass(20).await;
    assert_eq!(left(&world), ["service:worker", "family:nightly-report"]);
    pass(25).await;
    assert_eq!(left(&world), ["family:nightly-report"]);
}

#[tokio::test(start_paused = true)]
async fn there_is_a_world_around_every_kind_of_event() {
    for (kind, transition) in [
        (Kind::InstanceTerminating, Transition::Terminating),
        (Kind::InstanceLaunching, Transition::Launching),
        (Kind::InstanceReturningToWarmPool, Transition::Terminating),
        (Kind::InstanceEnteringWarmPool, Transition::Launching),
        (Kind::WarmInstanceTerminating, Transition::Terminating),
        (Kind::InstanceLeavingWarmPool, Transition::Launching),
    ] {
        let mut lifecycle_action = action(Some("token"));
        lifecycle_action.transition = transition;
        let event = event(kind, Some(lifecycle_action.clone()));
        let world = Blueprint::around(&[&event], Some(ClusterName::parse("prod").unwrap())).world();
        world.deliver(&event).unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        let answer = world.lifecycle().complete(&lifecycle_action, LifecycleResult::Continue).await;
        assert_eq!(answer, Ok(Answer::Accepted), "{kind:?}");
    }
    for kind in [Kind::SpotInterruption, Kind::RebalanceRecommendation, Kind::ScheduledMaintenance] {
        let event = event(kind, None);
        Blueprint::around(&[&event], None).world().deliver(&event).unwrap_or_else(|error| panic!("{kind:?}: {error}"));
    }
}
