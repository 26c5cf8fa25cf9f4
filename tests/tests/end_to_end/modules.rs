//! Which module handles an event: the one that S3 has now, or the last good one, or none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hostler_tests::http::Response;
use hostler_tests::{Emulator, Function, events, guest, plugin, policy, renamed};

use crate::scene::{HOOK, MODULE, Scene, attempts, end, processes};

#[test]
fn another_module_changes_what_the_same_process_does_with_the_next_event() {
    let mut scene = Scene::new();
    scene.upload(plugin("asg-lifecycle"));
    let function = scene.deploy(&scene.grants());
    assert_eq!(end(&function.invoke(&scene.event())), ("done", "", "continue"));
    let before = attempts(&function, &scene.token, "done")[0]["module"].clone();
    let first = scene.completion("CONTINUE");

    scene.upload(guest("probe"));
    let event = scene.next_event();
    assert_eq!(end(&function.invoke(&event)), ("abandon", "nothing was asked", "abandon"));
    assert_eq!(scene.completions(), [first, scene.completion("ABANDON")]);
    assert_eq!(scene.status(), "ACTIVE");
    assert_ne!(attempts(&function, &scene.token, "abandon")[0]["module"], before);
    assert_eq!(processes(&function), 1);
}

#[test]
fn a_module_that_imports_what_the_host_has_not_is_refused_and_the_last_good_one_works_on() {
    let mut scene = Scene::new();
    let good = guest("probe");
    let alien = renamed(&good, "hostler:handler/config@", "hostler:handler/espher@");
    scene.upload(alien.clone());
    let function = scene.deploy("[handler.finish]\nmax-attempts = 1");
    let invocation = function.invoke(&scene.event());
    let (decision, why, lifecycle) = end(&invocation);
    assert_eq!((decision, lifecycle), ("gave-up", "abandon"));
    assert!(why.contains("imports hostler:handler/espher"), "{why}");
    assert!(why.contains(&format!("s3://{}/plugins/{MODULE}.wasm", scene.fleet.bucket)), "{why}");

    for (module, trouble) in [(good, None), (alien, Some("imports hostler:handler/espher")), (vec![], Some("is empty"))]
    {
        scene.upload(module);
        let event = scene.next_event();
        assert_eq!(end(&function.invoke(&event)), ("abandon", "nothing was asked", "abandon"), "{trouble:?}");
        if let Some(trouble) = trouble {
            function.lines(&format!("about a module that {trouble}"), |line| {
                line["message"] == "module not taken: the last good one goes on"
                    && line["error"].as_str().is_some_and(|error| error.contains(trouble))
            });
        }
    }
}

#[test]
fn when_s3_has_no_module_the_event_is_given_up_with_the_reason_and_other_handlers_work() {
    let mut scene = Scene::new();
    scene.upload(guest("probe"));
    let once = "[handler.finish]\nmax-attempts = 1\n";
    // Another handler, with a module that S3 does not have, for the events of another group.
    let group = scene.fleet.stack.unique("nuproj-other");
    let other = [&policy::handler("other", "missing"), &policy::terminations(&group, HOOK), once].concat();
    let function = Function::deploy(scene.fleet.stack, &(scene.policy(once) + &other), &[]);

    let token = scene.fleet.stack.autoscaling.hold_back(&group, HOOK, &scene.instance.id);
    let invocation = function.invoke(&events::termination(&group, HOOK, &scene.instance.id, &token));
    let (decision, why, lifecycle) = end(&invocation);
    assert_eq!((decision, lifecycle), ("gave-up", "abandon"));
    assert!(why.contains(&format!("s3://{}/plugins/missing.wasm does not exist", scene.fleet.bucket)), "{why}");
    let event = scene.next_event();
    assert_eq!(end(&function.invoke(&event)), ("abandon", "nothing was asked", "abandon"));
}

#[test]
fn when_s3_fails_the_event_is_given_up_with_the_reason_or_the_last_good_module_works_on() {
    let faults: [(u16, &str, &str); 2] = [
        (403, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>", "s3:GetObject"),
        (
            500,
            "<Error><Code>InternalError</Code><Message>We encountered an internal error</Message></Error>",
            "InternalError",
        ),
    ];
    for (status, body, says) in faults {
        let mut scene = Scene::new();
        scene.upload(guest("probe"));
        let broken = Arc::new(AtomicBool::new(true));
        let seen = Arc::clone(&broken);
        let s3 = scene.fleet.stack.in_front_of(Emulator::Ministack, move |_| {
            seen.load(Ordering::SeqCst).then(|| Response::new(status, body))
        });
        let policy = scene.policy("[handler.finish]\nmax-attempts = 1\ndeadline = \"5s\"");
        let function = Function::deploy(scene.fleet.stack, &policy, &[("AWS_ENDPOINT_URL_S3", s3.url())]);
        let invocation = function.invoke(&scene.event());
        let (decision, why, lifecycle) = end(&invocation);
        assert_eq!((decision, lifecycle), ("gave-up", "abandon"));
        assert!(why.contains(says) && why.contains(&scene.fleet.bucket), "{status}: {why}");

        for works in [true, false] {
            broken.store(!works, Ordering::SeqCst);
            let event = scene.next_event();
            assert_eq!(end(&function.invoke(&event)), ("abandon", "nothing was asked", "abandon"), "{status}");
        }
    }
}

#[test]
fn when_s3_does_not_answer_the_event_waits_until_its_deadline_and_is_given_up_with_the_reason() {
    let scene = Scene::new();
    let nobody = "http://127.0.0.1:1".to_owned();
    // It is no handler's failure, so that one failure too many is none here.
    let policy = scene.policy("[handler.finish]\nmax-attempts = 1\ndeadline = \"5s\"");
    let function = Function::deploy(scene.fleet.stack, &policy, &[("AWS_ENDPOINT_URL_S3", nobody)]);
    let invocation = function.invoke(&scene.event());
    let (decision, why, lifecycle) = end(&invocation);
    assert_eq!((decision, lifecycle), ("gave-up", "abandon"));
    assert!(why.starts_with("the deadline"), "{why}");
    assert!(why.contains(&format!("s3://{}/plugins/{MODULE}.wasm", scene.fleet.bucket)), "{why}");
}
