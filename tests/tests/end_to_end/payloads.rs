//! What the function is invoked with: events that are not for it, what is no event, and one that comes twice.

use hostler_tests::plugin;
use serde_json::json;

use crate::scene::{Scene, end, failure, processes};

#[test]
fn an_event_of_another_account_or_region_is_an_error_and_nothing_is_done() {
    let scene = Scene::new();
    scene.upload(plugin("asg-lifecycle"));
    let function = scene.deploy(&scene.grants());
    for (key, elsewhere) in [("account", "210987654321"), ("region", "us-east-1")] {
        let mut event = scene.event();
        event[key] = elsewhere.into();
        let invocation = function.invoke(&event);
        assert!(failure(&invocation).contains(elsewhere), "{}", invocation.payload);
    }
    assert!(scene.fleet.stack.autoscaling.calls(&scene.fleet.group).is_empty());
    assert_eq!(scene.status(), "ACTIVE");
}

#[test]
fn what_is_not_an_event_is_an_error_and_the_next_event_is_handled() {
    let scene = Scene::new();
    scene.upload(plugin("asg-lifecycle"));
    let function = scene.deploy(&scene.grants());
    let mut of_wrong_types = scene.event();
    of_wrong_types["detail"]["EC2InstanceId"] = 7.into();
    let garbage =
        [json!({}), json!(12), json!([]), json!("event"), json!({ "detail": "x".repeat(300_000) }), of_wrong_types];
    for payload in garbage {
        let invocation = function.invoke(&payload);
        assert_ne!(failure(&invocation), "", "{}", invocation.payload);
    }
    assert_eq!(end(&function.invoke(&scene.event())), ("done", "", "continue"));
    assert_eq!(processes(&function), 1);
}

#[test]
fn a_second_delivery_finds_what_the_first_came_to() {
    let scene = Scene::new();
    scene.upload(plugin("asg-lifecycle"));
    let function = scene.deploy(&scene.grants());
    assert_eq!(end(&function.invoke(&scene.event())), ("done", "", "continue"));
    let again = function.invoke(&scene.event());
    assert_eq!(again.payload["events"][0]["end"], "already", "{}", again.payload);
    assert_eq!(scene.completions(), [scene.completion("CONTINUE")]);
}
