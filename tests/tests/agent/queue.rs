//! On a queue: asked to end in an attempt, and with a ledger that somebody has damaged.

use std::time::{Duration, Instant};

use hostler_tests::{ACCOUNT, Agent, Node, Queue, REGION, poll};
use serde_json::json;

use crate::scene::{SOON, Scene};

/// What the agent says of an object of the ledger that cannot be read.
const DAMAGED: &str =
    "an object of the ledger is damaged: it was set aside, and its work items begin anew when their events come again";

#[test]
fn an_agent_that_is_asked_to_end_in_an_attempt_gives_it_to_the_next_at_once() {
    let scene = Scene::new();
    let node = Node::start(scene.fleet.stack, &scene.instance.id);
    let [begun, go] = ["begun", "go"].map(|name| node.marker(name));
    let wait = format!("touch {}; while ! [ -e {} ]; do sleep 0.1; done", begun.display(), go.display());
    let command = json!(["sh", "-c", wait]).to_string();
    let sections =
        format!("[handler.grants]\n{}\n[handler.config]\ncommand = '{command}'", node.grant(r#"[["sh", "-c", "*"]]"#));
    let queue = Queue::create(scene.fleet.stack, "events");
    let policy = scene.policy_of_queue(&queue.url, &scene.handler("probe", &sections));

    let first = scene.start("first", &policy, []);
    queue.send(&[scene.termination().to_string()]);
    assert!(poll(SOON, || begun.exists()), "the command does not begin: {:#?}", first.log());
    let second = scene.start("second", &policy, []);
    let asked = Instant::now();
    let (status, log) = first.terminate();
    let ended = asked.elapsed();
    assert_eq!(status, Some(0), "{log:#?}");
    assert!(ended < Agent::SHUTDOWN + Duration::from_secs(2), "it ended after {ended:?}");

    std::fs::write(&go, "").expect("a file can be made");
    scene.wait_until_completed(&second, "ABANDON");
    let taken_over = asked.elapsed();
    // The lease would hold for 20 s, and the message be hidden for 30.
    assert!(taken_over < Duration::from_secs(15), "it was brought to its end after {taken_over:?}: {log:#?}");
    assert!(poll(SOON, || queue.is_empty()), "the message is still there: {:#?}", second.log());
    assert_eq!(second.said("abandoned").len(), 1);
    assert_eq!(second.terminate().0, Some(0));
}

#[test]
fn a_ledger_object_that_was_damaged_by_hand_is_set_aside_and_its_event_comes_to_its_end() {
    let scene = Scene::new();
    let task = scene.fleet.start_task(&scene.instance);
    let queue = Queue::create(scene.fleet.stack, "events");
    let sections = scene.grants() + "[handler.config]\nstop-standalone-after = \"8s\"";
    let policy = scene.policy_of_queue(&queue.url, &scene.handler("asg-lifecycle", &sections));
    let agent = scene.start("agent", &policy, []);
    queue.send(&[scene.termination().to_string()]);
    // It waits for the task now, and nobody writes until it comes again.
    let first = agent.hear("attempt");
    assert_eq!(first["outcome"], "again", "{first}");

    let key = format!("ledger/open/{ACCOUNT}/{REGION}/{}.json", scene.instance.id);
    let damaged = "{\"format\": 1, \"items\": [by hand";
    let open = poll(SOON, || scene.fleet.objects(&key) == [key.clone()]);
    assert!(open, "{:?}", scene.fleet.objects("ledger/"));
    scene.fleet.stack.put_object(&scene.fleet.bucket, &key, damaged);

    scene.wait_until_completed(&agent, "CONTINUE");
    assert_eq!(scene.fleet.task_status(&task), "STOPPED");
    let said = agent.hear(DAMAGED);
    assert_eq!(
        (&said["level"], &said["object"]),
        (&json!("ERROR"), &json!(format!("s3://{}/{key}", scene.fleet.bucket)))
    );
    let aside = scene.fleet.objects("ledger/damaged/");
    let [aside] = &aside[..] else { panic!("there is not one object set aside: {aside:?}") };
    assert_eq!(said["aside"], format!("s3://{}/{aside}", scene.fleet.bucket));
    assert_eq!(scene.fleet.object(aside), damaged);
    assert!(poll(SOON, || queue.is_empty()), "the message is still there: {:#?}", agent.log());
    assert_eq!(agent.terminate().0, Some(0));
}
