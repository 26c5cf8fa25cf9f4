//! What a handler cannot reach: what the policy does not grant, and what is not there.

use hostler_tests::http::Response;
use hostler_tests::{Emulator, Function, Node, events, guest};
use serde_json::json;

use crate::scene::{HOOK, Scene, end, host_calls};

#[test]
fn a_call_outside_the_grant_and_a_command_outside_the_patterns_are_denied() {
    let scene = Scene::new();
    let node = Node::start(scene.fleet.stack, &scene.instance.id);
    let marker = node.marker("must not be");
    scene.upload(guest("probe"));
    let function = scene.deploy(&format!(
        "{}{}\n[handler.config]\ndrain = \"{}\"\ncommand = '[\"touch\", \"{}\"]'",
        scene.grants(),
        node.grant(r#"[["uptime"], ["touch", "/elsewhere"]]"#),
        scene.other.id,
        marker.display(),
    ));
    let invocation = function.invoke(&scene.event());
    let (decision, why, _) = end(&invocation);
    assert_eq!(decision, "abandon");
    let (drain, command) = why.split_once("; command: ").expect("both answers");
    assert!(drain.starts_with("drain: ErrorCode::Denied: ") && drain.contains("instances = \"any\""), "{drain}");
    assert!(command.starts_with("ErrorCode::Denied: ") && command.contains("commands"), "{command}");
    assert_eq!((scene.status().as_str(), scene.status_of_the_other().as_str()), ("ACTIVE", "ACTIVE"));
    assert!(!marker.exists(), "the command ran");
    assert_eq!(host_calls(&function, "ecs.drain", "denied")[0]["event"], scene.token);
    assert_eq!(host_calls(&function, "ssh.exec", "denied")[0]["event"], scene.token);
}

#[test]
fn a_node_that_cannot_prove_to_be_the_instance_gets_no_command() {
    let scene = Scene::new();
    // The certificate is of the other instance, which had this address before.
    let node = Node::start(scene.fleet.stack, &scene.other.id);
    let marker = node.marker("must not be");
    scene.upload(guest("probe"));
    let function = scene.deploy(&format!(
        "[handler.grants]\n{}\n[handler.config]\ncommand = '[\"touch\", \"{}\"]'",
        node.grant(r#"[["touch", "*"]]"#),
        marker.display(),
    ));
    let invocation = function.invoke(&scene.event());
    let (_, why, _) = end(&invocation);
    assert!(why.starts_with("command: ErrorCode::Denied: "), "{why}");
    assert!(!marker.exists(), "the command ran");
}

#[test]
fn an_instance_that_does_not_exist_is_not_found() {
    let scene = Scene::new();
    let instance = "i-0badbadbadbadbad0";
    let token = scene.fleet.hold_back(HOOK, instance);
    scene.upload(guest("probe"));
    let node = Node::start(scene.fleet.stack, instance);
    let function = scene.deploy(&format!(
        "{}{}\n[handler.config]\ndrain = \"{instance}\"\ncommand = '[\"uptime\"]'",
        scene.grants(),
        node.grant(r#"[["uptime"]]"#),
    ));
    let invocation = function.invoke(&events::termination(&scene.fleet.group, HOOK, instance, &token));
    let (_, why, lifecycle) = end(&invocation);
    let (drain, command) = why.split_once("; command: ").expect("both answers");
    assert!(drain.starts_with("drain: ErrorCode::NotFound: ") && drain.contains(instance), "{drain}");
    assert!(command.starts_with("ErrorCode::NotFound: ") && command.contains(instance), "{command}");
    assert_eq!(lifecycle, "abandon");
}

#[test]
fn a_cluster_that_does_not_exist_is_named() {
    let scene = Scene::new();
    scene.upload(guest("probe"));
    // moto answers that such a cluster is empty; ECS does not.
    let ecs = scene.fleet.stack.in_front_of(Emulator::Moto, |request| {
        let asks = String::from_utf8_lossy(&request.body).contains("nuproj-typo");
        let fault = json!({ "__type": "ClusterNotFoundException", "message": "Cluster not found." });
        asks.then(|| Response::new(400, fault.to_string()))
    });
    let policy = scene.policy(&format!(
        "[handler.grants]\necs = {{ clusters = [\"nuproj-typo\"], allow = [\"drain\"] }}\n[handler.config]\ndrain = \"{}\"",
        scene.instance.id
    ));
    let function = Function::deploy(scene.fleet.stack, &policy, &[("AWS_ENDPOINT_URL_ECS", ecs.url())]);
    let invocation = function.invoke(&scene.event());
    let (_, why, _) = end(&invocation);
    assert!(why.starts_with("drain: ErrorCode::NotFound: ") && why.contains("nuproj-typo"), "{why}");
    assert_eq!(scene.status(), "ACTIVE");
}
