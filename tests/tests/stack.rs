//! The stack itself: what the end-to-end tests take for granted, and what is known of the emulators.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use hostler_tests::http::{Request, form};
use hostler_tests::{ACCOUNT, Node, Process, Stack, poll};
use serde_json::json;

#[test]
fn the_emulators_are_of_one_account() {
    let stack = Stack::shared();
    let request = Request::new("POST", "/", form(&[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")]));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let identity = stack.ministack("sts", request).text();
    assert!(identity.contains(&format!("<Account>{ACCOUNT}</Account>")), "{identity}");
    let arn = stack.register(&stack.unique("cluster"), &stack.run_instance(Ipv4Addr::LOCALHOST));
    assert_eq!(arn.split(':').nth(4), Some(ACCOUNT), "{arn}");
}

#[test]
fn ecs_ignores_the_filter_by_instance_so_that_a_host_which_trusts_it_is_found_out() {
    let stack = Stack::shared();
    let cluster = stack.unique("cluster");
    let [one, other] = [(); 2].map(|()| stack.run_instance(Ipv4Addr::LOCALHOST));
    let mut both = [stack.register(&cluster, &one), stack.register(&cluster, &other)];
    both.sort();
    let filter = json!({ "cluster": cluster, "filter": format!("ec2InstanceId == {other}") });
    let listed = stack.ecs("ListContainerInstances", &filter);
    assert_eq!(listed["containerInstanceArns"], json!(both));
}

#[test]
fn a_task_runs_until_it_is_stopped_and_draining_does_not_stop_it() {
    let stack = Stack::shared();
    let cluster = stack.unique("cluster");
    let node = stack.register(&cluster, &stack.run_instance(Ipv4Addr::LOCALHOST));
    let task = stack.start_task(&cluster, &node);
    let drain = json!({ "cluster": cluster, "containerInstances": [node], "status": "DRAINING" });
    stack.ecs("UpdateContainerInstancesState", &drain);
    assert_eq!(stack.status(&cluster, &node), "DRAINING");
    for _ in 0..5 {
        assert_eq!(stack.task_status(&cluster, &task), "RUNNING");
    }
    stack.ecs("StopTask", &json!({ "cluster": cluster, "task": task }));
    assert_eq!(stack.task_status(&cluster, &task), "STOPPED");
}

#[test]
fn a_node_proves_which_instance_it_is_and_runs_commands() {
    let stack = Stack::shared();
    let instance = stack.run_instance(Ipv4Addr::LOCALHOST);
    let node = Node::start(stack, &instance);
    let marker = node.marker("ran");
    let output = node.ssh(&instance, &format!("touch {} && echo yes", marker.display()));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    assert_eq!((output.stdout.as_slice(), marker.exists()), (&b"yes\n"[..], true), "{errors}");

    let output = node.ssh("i-00000000000000000", "true");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && errors.contains("Certificate invalid: name is not a listed principal"),
        "{errors}"
    );
}

#[test]
fn auto_scaling_completes_a_lifecycle_action_once() {
    let stack = Stack::shared();
    let token = stack.autoscaling.hold_back("once", "drain", "i-0123456789abcdef0");
    let complete = |token: &str| {
        let input = form(&[
            ("Action", "CompleteLifecycleAction"),
            ("Version", "2011-01-01"),
            ("AutoScalingGroupName", "once"),
            ("LifecycleHookName", "drain"),
            ("LifecycleActionToken", token),
            ("LifecycleActionResult", "CONTINUE"),
        ]);
        let answer = Request::new("POST", "/", input).send(stack.autoscaling.server.address).expect("an answer");
        (answer.status, answer.text())
    };
    assert_eq!(complete("another").0, 400);
    assert_eq!(complete(&token).0, 200);
    let (status, text) = complete(&token);
    let message =
        format!("<Code>ValidationError</Code><Message>No active Lifecycle Action found with token {token}</Message>");
    assert!(status == 400 && text.contains(&message), "{status} {text}");
    let accepted: Vec<_> = stack.autoscaling.completions("once").iter().map(|call| call.accepted).collect();
    assert_eq!(accepted, [false, true, false]);
}

#[test]
fn nothing_outlives_a_server() {
    let stack = Stack::shared();
    let folder = stack.folder("short-lived");
    let started = folder.join("started");
    let server = Process::serve(
        "a server with a child",
        &folder,
        |_| {
            let mut command = std::process::Command::new("sh");
            command.args(["-c", "sleep 1000 & echo $! >started; wait"]);
            command
        },
        |_| std::fs::read_to_string(&started).is_ok_and(|pid| pid.ends_with('\n')),
    );
    let pid = std::fs::read_to_string(&started).expect("it started");
    let status = format!("/proc/{}/status", pid.trim());
    let runs = || std::fs::read_to_string(&status).is_ok_and(|status| !status.contains("State:\tZ"));
    assert!(!Path::new("/proc/self").exists() || runs());
    drop(server);
    assert!(poll(Duration::from_secs(5), || !runs()), "its child still runs");
}
