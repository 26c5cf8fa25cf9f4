use super::*;
use crate::dispatch::lifecycle::{Answer, LifecycleResult};
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
