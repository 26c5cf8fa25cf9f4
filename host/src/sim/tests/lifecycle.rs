use super::*;
use crate::lifecycle::{Answer, LifecycleResult};
use crate::ports::PortErrorKind;

const WAITING: &str = "lifecycle-state = \"Terminating:Wait\"\n";

/// A hook beside `drain`, on the same transition, so that two hold the instance back.
fn two_hooks() -> World {
    let second = "[[group.hook]]\nname = \"archive\"\ntransition = \"terminating\"\n[[instance]]";
    let text = format!("{HEAD}{WAITING}").replacen("[[instance]]", second, 1);
    World::parse("world.toml", &text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_hook_tells_its_times() {
    let port = world("").lifecycle();
    let times = port.hook(&action(None)).await.unwrap().unwrap();
    assert_eq!((times.heartbeat_timeout, times.global_timeout), (seconds(300), seconds(30_000)));
    let mut other = action(None);
    other.hook = HookName::parse("gone").unwrap();
    assert_eq!(port.hook(&other).await, Ok(None));
    other.group = GroupName::parse("elsewhere").unwrap();
    let error = port.hook(&other).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound);
    assert_eq!(error.message, "there is no Auto Scaling group elsewhere in eu-central-1");
}

#[tokio::test(start_paused = true)]
async fn completing_ends_the_instance_and_a_second_time_it_is_over() {
    let world = world(WAITING);
    let port = world.lifecycle();
    assert_eq!(port.complete(&action(None), LifecycleResult::Continue).await, Ok(Answer::Accepted));
    assert_eq!(
        (state(&world).as_str(), lifecycle_state(&world).as_deref()),
        ("shutting-down", Some("Terminating:Proceed"))
    );
    assert_eq!(port.complete(&action(None), LifecycleResult::Abandon).await, Ok(Answer::Over));
    assert_eq!(port.heartbeat(&action(None)).await, Ok(Answer::Over));
    pass(30).await;
    assert_eq!((state(&world).as_str(), lifecycle_state(&world)), ("terminated", None));
}

#[tokio::test(start_paused = true)]
async fn the_wrong_token_hook_group_or_instance_is_over_and_changes_nothing() {
    let world = world(WAITING);
    world.deliver(&terminating("right")).unwrap();
    let port = world.lifecycle();
    let mut wrong_hook = action(Some("right"));
    wrong_hook.hook = HookName::parse("prepare").unwrap();
    let mut wrong_group = action(Some("right"));
    wrong_group.group = GroupName::parse("elsewhere").unwrap();
    let mut wrong_instance = action(Some("right"));
    wrong_instance.instance = id(OTHER);
    for wrong in [action(Some("wrong")), wrong_hook, wrong_group, wrong_instance] {
        assert_eq!(port.complete(&wrong, LifecycleResult::Continue).await, Ok(Answer::Over), "{wrong:?}");
    }
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Wait"));
    assert_eq!(port.complete(&action(Some("right")), LifecycleResult::Continue).await, Ok(Answer::Accepted));
}

#[tokio::test(start_paused = true)]
async fn without_a_heartbeat_the_default_result_decides() {
    let world = world(WAITING);
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Wait"));
    pass(299).await;
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Wait"));
    pass(1).await;
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Proceed"));
    assert_eq!(world.lifecycle().complete(&action(None), LifecycleResult::Continue).await, Ok(Answer::Over));
    let told = changes(&world);
    assert_eq!(
        told[0],
        "+5m world lifecycle action ended drain on i-0aaaaaaaaaaaaaaa1: timed out, default result CONTINUE"
    );
}

#[tokio::test(start_paused = true)]
async fn heartbeats_put_the_timeout_off_but_not_the_global_one() {
    let world = World::parse(
        "world.toml",
        &HEAD
            .replace("\"5m\"", "\"5m\"\nglobal-timeout = \"12m\"")
            .replace("group = \"web\"", "group = \"web\"\nlifecycle-state = \"Terminating:Wait\""),
    )
    .unwrap();
    let port = world.lifecycle();
    assert_eq!(port.heartbeat(&action(None)).await, Ok(Answer::Accepted));
    for _ in 0..2 {
        pass(290).await;
        assert_eq!(port.heartbeat(&action(None)).await, Ok(Answer::Accepted));
    }
    pass(139).await;
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Wait"));
    pass(1).await;
    assert_eq!(port.heartbeat(&action(None)).await, Ok(Answer::Over), "twelve minutes are over");
}

#[tokio::test(start_paused = true)]
async fn an_instance_may_have_been_held_for_a_while() {
    let world = world(&format!("{WAITING}held-for = \"4m\""));
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Wait"));
    pass(60).await;
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Proceed"));
}

#[tokio::test(start_paused = true)]
async fn with_continue_the_other_hooks_still_hold_and_abandon_ends_them_all() {
    let mut archive = action(None);
    archive.hook = HookName::parse("archive").unwrap();
    let world = two_hooks();
    let port = world.lifecycle();
    assert_eq!(port.complete(&action(None), LifecycleResult::Continue).await, Ok(Answer::Accepted));
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Wait"));
    assert_eq!(port.complete(&archive, LifecycleResult::Continue).await, Ok(Answer::Accepted));
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Proceed"));

    let world = two_hooks();
    let port = world.lifecycle();
    assert_eq!(port.complete(&action(None), LifecycleResult::Abandon).await, Ok(Answer::Accepted));
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Proceed"));
    assert_eq!(port.complete(&archive, LifecycleResult::Continue).await, Ok(Answer::Over));
}

fn launching() -> Event {
    let mut launching = action(Some("token"));
    launching.hook = HookName::parse("prepare").unwrap();
    launching.transition = Transition::Launching;
    event(Kind::InstanceLaunching, Some(launching))
}

#[tokio::test(start_paused = true)]
async fn a_launch_goes_into_service_or_is_abandoned() {
    for (result, soon, later) in [
        (LifecycleResult::Continue, Some("Pending:Proceed"), Some("InService")),
        (LifecycleResult::Abandon, Some("Terminating:Proceed"), None),
    ] {
        let world = world("lifecycle-state = \"Pending\"");
        world.deliver(&launching()).unwrap();
        assert_eq!(lifecycle_state(&world).as_deref(), Some("Pending:Wait"));
        let action = launching().lifecycle_action.unwrap();
        assert_eq!(world.lifecycle().complete(&action, result).await, Ok(Answer::Accepted));
        assert_eq!(lifecycle_state(&world).as_deref(), soon);
        pass(30).await;
        assert_eq!(lifecycle_state(&world).as_deref(), later);
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_returns_to_the_warm_pool_ends_up_stopped() {
    let world = world("");
    world.deliver(&event(Kind::InstanceReturningToWarmPool, Some(action(Some("token"))))).unwrap();
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Warmed:Pending:Wait"));
    let done = world.lifecycle().complete(&action(Some("token")), LifecycleResult::Continue).await;
    assert_eq!(done, Ok(Answer::Accepted));
    pass(5).await;
    assert_eq!((state(&world).as_str(), lifecycle_state(&world).as_deref()), ("stopped", Some("Warmed:Stopped")));
}

/// How an instance fares in a group that retains it, from a state in which a hook holds it.
async fn retained(keys: &str, action: &LifecycleAction, result: Option<LifecycleResult>) -> World {
    let head = HEAD.replace("name = \"web\"", "name = \"web\"\nterminate-hook-abandon = \"retain\"");
    let world = World::parse("world.toml", &format!("{head}{keys}")).unwrap_or_else(|error| panic!("{error}"));
    lifecycle_state(&world);
    match result {
        Some(result) => assert_eq!(world.lifecycle().complete(action, result).await, Ok(Answer::Accepted)),
        None => pass(300).await,
    }
    world
}

#[tokio::test(start_paused = true)]
async fn a_group_that_retains_keeps_an_instance_whose_termination_is_abandoned() {
    let abandoned = Some(LifecycleResult::Abandon);
    let world = retained("lifecycle-state = \"Terminating:Wait\"", &action(None), abandoned).await;
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Terminating:Proceed"));
    pass(24 * 60 * 60).await;
    assert_eq!(
        (lifecycle_state(&world).as_deref(), state(&world).as_str()),
        (Some("Terminating:Retained"), "running"),
        "and its bill runs on"
    );

    let completed = Some(LifecycleResult::Continue);
    let world = retained("lifecycle-state = \"Terminating:Wait\"", &action(None), completed).await;
    pass(30).await;
    assert_eq!(lifecycle_state(&world), None, "CONTINUE retains nothing");

    let world = retained("lifecycle-state = \"Warmed:Terminating:Wait\"", &action(None), abandoned).await;
    pass(30).await;
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Warmed:Terminating:Retained"));

    let mut launching = launching().lifecycle_action.unwrap();
    launching.token = None;
    let world = retained("lifecycle-state = \"Pending:Wait\"", &launching, abandoned).await;
    pass(30).await;
    assert_eq!(lifecycle_state(&world), None, "a launch that is abandoned ends the instance all the same");
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_retained_on_its_way_into_the_warm_pool_and_when_the_hook_times_out() {
    let head = HEAD
        .replace("name = \"web\"", "name = \"web\"\nterminate-hook-abandon = \"retain\"")
        .replace("\"CONTINUE\"", "\"ABANDON\"");
    let world = World::parse("world.toml", &head).unwrap();
    world.deliver(&event(Kind::InstanceReturningToWarmPool, Some(action(Some("token"))))).unwrap();
    pass(300).await;
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Warmed:Pending:Proceed"));
    pass(5).await;
    assert_eq!(lifecycle_state(&world).as_deref(), Some("Warmed:Pending:Retained"));
}

#[tokio::test(start_paused = true)]
async fn a_spot_instance_cannot_be_retained_past_its_end() {
    let keys = "reclaimed-after = \"1m\"\nlifecycle-state = \"Terminating:Wait\"";
    let head = HEAD.replace("name = \"web\"", "name = \"web\"\nterminate-hook-abandon = \"retain\"");
    let world = World::parse("world.toml", &format!("{head}{keys}")).unwrap();
    assert_eq!(state(&world), "running");
    pass(100).await;
    let abandoned = world.lifecycle().complete(&action(None), LifecycleResult::Abandon).await;
    assert_eq!(abandoned, Ok(Answer::Accepted));
    assert_eq!((lifecycle_state(&world), state(&world).as_str()), (None, "terminated"));
}

#[tokio::test(start_paused = true)]
async fn states_that_lead_on_by_themselves_do() {
    for (from, to) in [
        ("Pending:Proceed", Some("InService")),
        ("EnteringStandby", Some("Standby")),
        ("Warmed:Pending:Proceed", Some("Warmed:Stopped")),
        ("Detaching", None),
        ("Terminating:Proceed", None),
        ("Terminating", Some("Terminating")),
    ] {
        let world = world(&format!("lifecycle-state = {from:?}"));
        assert_eq!(lifecycle_state(&world).as_deref(), Some(from));
        pass(30).await;
        assert_eq!(lifecycle_state(&world).as_deref(), to, "after {from}");
    }
}
