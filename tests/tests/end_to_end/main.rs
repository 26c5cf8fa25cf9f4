//! The whole, as it is deployed: the release binary as a Lambda function, plugins in S3, and servers that answer as AWS does.

mod grants;
mod modules;
mod payloads;
mod queue;
mod scene;
mod secrets;

use std::process::Command;

use hostler_tests::{Node, host, plugin};

use crate::scene::{Scene, attempts, end, failure, host_calls};

#[test]
fn a_termination_is_handled_from_the_event_to_the_completed_lifecycle_action() {
    let scene = Scene::new();
    let node = Node::start(scene.fleet.stack, &scene.instance.id);
    let task = scene.fleet.start_task(&scene.instance);
    let (before, after) = (node.marker("before draining"), node.marker("after draining"));
    scene.upload(plugin("asg-lifecycle"));
    let function = scene.deploy(&format!(
        r#"{}{}
[handler.config]
command-before = '["touch", "{}"]'
command-after = '["touch", "{}"]'
stop-standalone-after = "0s"
"#,
        scene.grants(),
        node.grant(r#"[["touch", "*"]]"#),
        before.display(),
        after.display(),
    ));

    let invocation = function.invoke(&scene.event());

    assert_eq!(end(&invocation), ("done", "", "continue"));
    assert_eq!((scene.status().as_str(), scene.status_of_the_other().as_str()), ("DRAINING", "ACTIVE"));
    assert_eq!(scene.fleet.task_status(&task), "STOPPED");
    assert!(before.exists() && after.exists(), "a command did not run on the node");
    assert_eq!(scene.completions(), [scene.completion("CONTINUE")]);

    let done = attempts(&function, &scene.token, "done");
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!(done[0]["kind"], "instance-terminating");
    assert_eq!(done[0]["instance"], scene.instance.id);
    assert_eq!(done[0]["handler"], "terminating");
    assert!(done[0]["attempt"].as_u64() > Some(1), "the task was not waited for: {}", done[0]);
    assert!(done[0]["module"].as_str().is_some_and(|digest| digest.len() == 64), "no digest: {}", done[0]);
    assert_eq!(host_calls(&function, "ecs.drain", "ok")[0]["event"], scene.token);
    assert_eq!(host_calls(&function, "ssh.exec", "ok").len(), 2);
}

#[test]
fn what_happened_is_recorded_replayed_without_aws_and_becomes_a_case_that_holds() {
    let scene = Scene::new();
    let node = Node::start(scene.fleet.stack, &scene.instance.id);
    scene.fleet.start_task(&scene.instance);
    scene.upload(plugin("asg-lifecycle"));
    let policy = format!(
        r#"{}{}
[handler.config]
command-before = '["touch", "{}"]'
stop-standalone-after = "0s"
[recordings]
store = "s3://{}/recordings/"
"#,
        scene.grants(),
        node.grant(r#"[["touch", "*"]]"#),
        node.marker("before draining").display(),
        scene.fleet.bucket,
    );
    assert_eq!(end(&scene.deploy(&policy).invoke(&scene.event())), ("done", "", "continue"));

    let recordings = scene.fleet.objects("recordings/");
    let [recording] = &recordings[..] else { panic!("there is not one recording: {recordings:?}") };
    let folder = scene.fleet.stack.folder(&scene.fleet.stack.unique("incident"));
    std::fs::create_dir(folder.join("cases")).expect("a folder can be made");
    let write = |name: &str, content: &[u8]| std::fs::write(folder.join(name), content).expect("a file can be written");
    write("hostler.toml", scene.policy(&policy).as_bytes());
    write("plugin.wasm", &plugin("asg-lifecycle"));
    write("incident.jsonl", scene.fleet.object(recording).as_bytes());
    let hostler = |arguments: &[&str]| {
        // With nothing of AWS in the environment: what is recorded is all there is.
        let run = Command::new(host()).args(arguments).env_clear().current_dir(&folder).output().expect("hostler runs");
        let told = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success(), "hostler {arguments:?}: {told}");
        told
    };

    hostler(&["replay", "incident.jsonl", "--plugin", "plugin.wasm"]);
    let case = hostler(&["replay", "incident.jsonl", "--to-case"]);
    write("cases/incident.toml", format!("plugin = \"../plugin.wasm\"\n{case}").as_bytes());
    let told = hostler(&["test", "cases"]);
    assert!(told.contains("1 passed"), "{told}");
}

#[test]
fn a_policy_with_a_mistake_fails_the_function_before_any_event() {
    let scene = Scene::new();
    let function = scene.deploy("[handler.limits]\nram = \"64MiB\"");
    let invocation = function.invoke(&scene.event());
    assert!(failure(&invocation).contains("ram"), "{}", invocation.payload);
    assert!(scene.fleet.stack.autoscaling.calls(&scene.fleet.group).is_empty());
}
