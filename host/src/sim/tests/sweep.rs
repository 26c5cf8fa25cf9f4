use super::*;
use crate::lifecycle::LifecycleResult;

const REST: &str = r#"
lifecycle-state = "Terminating:Wait"
[[instance]]
id = "i-0bbbbbbbbbbbbbbb2"
group = "web"
[[instance]]
id = "i-0ccccccccccccccc3"
group = "web"
lifecycle-state = "Pending:Wait"
[[instance]]
id = "i-0ddddddddddddddd4"
group = "web"
lifecycle-state = "Terminating:Retained"
[[instance]]
id = "i-0eeeeeeeeeeeeeee5"
"#;

/// The instances that wait, as `instance state`.
async fn waiting(world: &World) -> Vec<String> {
    let found = world.groups().waiting().await.unwrap();
    assert!(found.iter().all(|waiting| waiting.group.as_str() == "web"));
    found.iter().map(|waiting| format!("{} {}", waiting.instance, waiting.lifecycle_state)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_sweep_sees_the_instances_that_wait_for_as_long_as_they_do() {
    let world = world(REST);
    assert_eq!(waiting(&world).await, ["i-0aaaaaaaaaaaaaaa1 Terminating:Wait", "i-0ccccccccccccccc3 Pending:Wait"]);
    world.lifecycle().complete(&action(None), LifecycleResult::Continue).await.unwrap();
    assert_eq!(waiting(&world).await, ["i-0ccccccccccccccc3 Pending:Wait"]);
    let journal = world.journal();
    let last = journal.last().unwrap().to_string();
    assert_eq!(last, "+0s call  sweep.waiting all instances: i-0ccccccccccccccc3 Pending:Wait");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_sees_the_hooks_of_a_group_and_none_where_there_is_no_group() {
    let world = world("");
    let hooks = world.groups().hooks(&GroupName::parse("web").unwrap()).await.unwrap();
    let told: Vec<_> =
        hooks.iter().map(|hook| (hook.name.as_str(), hook.transition, hook.times.heartbeat_timeout)).collect();
    assert_eq!(
        told,
        [("drain", Transition::Terminating, seconds(300)), ("prepare", Transition::Launching, seconds(120))]
    );
    assert!(hooks.iter().all(|hook| hook.metadata.is_none()), "{hooks:?}");
    assert_eq!(world.groups().hooks(&GroupName::parse("elsewhere").unwrap()).await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_sees_what_a_hook_wants_to_be_told_with_its_actions() {
    let world = world(
        "[[group]]\nname = \"api\"\nhook = [{ name = \"drain\", transition = \"terminating\", notification-metadata = \"blue\" }]",
    );
    let hooks = world.groups().hooks(&GroupName::parse("api").unwrap()).await.unwrap();
    assert_eq!(hooks[0].metadata.as_deref(), Some("blue"));
}
