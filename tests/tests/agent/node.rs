//! On a node that is told of its end by its instance metadata.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hostler_tests::http::Server;
use hostler_tests::{ACCOUNT, Emulator, Metadata, Stack, events, policy, poll};
use serde_json::{Value, json};

use crate::scene::{HOOK, SOON, Scene, spot_notice};

/// What the agent says of a delivery of what has ended before.
const HAS_ENDED: &str = "a further delivery: it has ended already";

/// A server in front of ECS that counts how often somebody drains.
fn counting_drains(stack: &Stack) -> (Server, Arc<AtomicUsize>) {
    let drains = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&drains);
    let server = stack.in_front_of(Emulator::Moto, move |request| {
        let target = request.value("x-amz-target").unwrap_or_default();
        counted.fetch_add(usize::from(target.ends_with(".UpdateContainerInstancesState")), Ordering::SeqCst);
        None
    });
    (server, drains)
}

#[test]
fn a_spot_notice_drains_the_node_once_though_it_stands_and_the_agent_starts_anew() {
    let scene = Scene::new();
    let other = scene.fleet.launch(Ipv4Addr::LOCALHOST);
    let metadata = Metadata::of(&scene.instance.id, ACCOUNT);
    let (ecs, drains) = counting_drains(scene.fleet.stack);
    let environment = || metadata.environment().into_iter().chain([("AWS_ENDPOINT_URL_ECS", ecs.url())]);
    let policy = scene.policy_of_node(&scene.spot());

    let agent = scene.start("first", &policy, environment());
    metadata.wait_for_rounds("spot/instance-action", 2);
    assert_eq!((scene.status().as_str(), drains.load(Ordering::SeqCst)), ("ACTIVE", 0));
    // The service starts anew, and knows no token that it has given.
    metadata.forget_tokens();
    metadata.announce("spot/instance-action", &spot_notice());
    scene.wait_until_draining(&agent);
    let done = agent.hear("done");
    assert_eq!((&done["instance"], &done["kind"]), (&json!(scene.instance.id), &json!("spot-interruption")));
    assert!(metadata.refused() > 0, "the old token was not shown");
    metadata.wait_for_rounds("spot/instance-action", 2);
    assert_eq!(agent.said("announced by instance metadata").len(), 1);
    let (status, log) = agent.terminate();
    assert_eq!(status, Some(0), "{log:#?}");

    let agent = scene.start("second", &policy, environment());
    assert_eq!(agent.hear(HAS_ENDED)["event"], done["event"]);
    metadata.wait_for_rounds("spot/instance-action", 2);
    assert!(agent.said("attempt").is_empty(), "{:#?}", agent.log());
    assert_eq!(agent.terminate().0, Some(0));
    assert_eq!(drains.load(Ordering::SeqCst), 1);
    assert_eq!(scene.fleet.status(&other), "ACTIVE");
}

#[test]
fn a_node_that_its_group_takes_out_completes_its_own_lifecycle_action_once() {
    let scene = Scene::new();
    let metadata = Metadata::of(&scene.instance.id, ACCOUNT);
    metadata.announce("autoscaling/target-lifecycle-state", "InService");
    let handler = scene.handler("asg-lifecycle", &scene.grants());
    let policy = scene.policy_of_node(&handler);
    let agent = scene.start("first", &policy, metadata.environment());
    metadata.wait_for_rounds("autoscaling/target-lifecycle-state", 2);
    assert!(scene.completions().is_empty() && scene.status() == "ACTIVE", "{:#?}", agent.log());

    scene.fleet.hold_back(HOOK, &scene.instance.id);
    metadata.announce("autoscaling/target-lifecycle-state", "Terminated");
    scene.wait_until_completed(&agent, "CONTINUE");
    assert_eq!(scene.status(), "DRAINING");
    agent.hear("done");
    metadata.wait_for_rounds("autoscaling/target-lifecycle-state", 2);
    assert_eq!(agent.terminate().0, Some(0));

    let agent = scene.start("second", &policy, metadata.environment());
    metadata.wait_for_rounds("autoscaling/target-lifecycle-state", 3);
    assert!(agent.said("attempt").is_empty(), "{:#?}", agent.log());
    assert_eq!(scene.completions(), [("CONTINUE".to_owned(), true)]);
}

#[test]
fn a_rebalance_recommendation_and_planned_maintenance_are_events_too_once_each() {
    let scene = Scene::new();
    let metadata = Metadata::of(&scene.instance.id, ACCOUNT);
    let told = policy::handler("told", "probe") + "event = { source = [\"aws.ec2\", \"aws.health\"] }\n";
    let policy = scene.policy_of_node(&told);
    let agent = scene.start("agent", &policy, metadata.environment());
    metadata
        .announce("events/recommendations/rebalance", &json!({ "noticeTime": events::now().to_string() }).to_string());
    let planned = json!([{
        "NotBefore": "21 Jan 2030 09:00:43 GMT", "NotAfter": "21 Jan 2030 09:17:23 GMT", "Code": "system-reboot",
        "Description": "scheduled reboot", "EventId": "instance-event-0d59937288b749b32", "State": "active",
    }]);
    metadata.announce("events/maintenance/scheduled", &planned.to_string());
    let ended = poll(SOON, || agent.said("abandoned").len() == 2);
    assert!(ended, "{:#?}", agent.log());
    ["events/recommendations/rebalance", "events/maintenance/scheduled"]
        .into_iter()
        .for_each(|item| metadata.wait_for_rounds(item, 2));
    let mut kinds: Vec<_> = agent.said("abandoned").iter().map(|line| line["kind"].clone()).collect();
    kinds.sort_by_key(Value::to_string);
    assert_eq!(kinds, ["rebalance-recommendation", "scheduled-maintenance"]);
}
