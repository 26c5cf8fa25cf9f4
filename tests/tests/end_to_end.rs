//! The whole, as it is deployed: the release binary as a Lambda function, plugins in S3, and servers that answer as AWS does.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hostler_tests::http::Response;
use hostler_tests::{ACCOUNT, Emulator, Function, Invocation, Node, REGION, Stack, guest, host, plugin};
use serde_json::{Value, json};

/// The hook of every group.
const HOOK: &str = "drain";

/// The object that a policy's handler runs.
const MODULE: &str = "handler.wasm";

/// A group whose instance is about to go, and stands in a cluster beside another one.
struct Scene {
    stack: &'static Stack,
    bucket: String,
    group: String,
    cluster: String,
    instance: String,
    container_instance: String,
    other: String,
    other_container_instance: String,
    token: String,
}

impl Scene {
    fn new() -> Self {
        let stack = Stack::shared();
        let [bucket, group, cluster] = ["plugins", "nuproj-web", "nuproj"].map(|name| stack.unique(name));
        stack.create_bucket(&bucket);
        // The other one first, so that whoever takes the first container instance of a cluster takes the wrong one.
        let other = stack.run_instance(Ipv4Addr::new(127, 0, 0, 2));
        let instance = stack.run_instance(Ipv4Addr::LOCALHOST);
        let other_container_instance = stack.register(&cluster, &other);
        let container_instance = stack.register(&cluster, &instance);
        let token = stack.autoscaling.hold_back(&group, HOOK, &instance);
        Self { stack, bucket, group, cluster, instance, container_instance, other, other_container_instance, token }
    }

    fn upload(&self, module: impl Into<Vec<u8>>) {
        self.stack.put_object(&self.bucket, &format!("plugins/{MODULE}"), module);
    }

    /// A policy with one handler. `sections` follow its `[handler.event]`.
    fn policy(&self, sections: &str) -> String {
        format!(
            r#"
[modules]
source = "s3://{}/plugins/"
refresh = "0s"
allow-unsigned = true

[[handler]]
name = "terminating"
module = "{MODULE}"
[handler.event]
source = ["aws.autoscaling"]
detail-type = ["EC2 Instance-terminate Lifecycle Action"]
detail.AutoScalingGroupName = ["{}"]
detail.LifecycleHookName = ["{HOOK}"]
{sections}
"#,
            self.bucket, self.group
        )
    }

    /// The grant for the cluster.
    fn ecs(&self) -> String {
        format!(r#"ecs = {{ clusters = ["{}"], allow = ["read", "drain", "stop-task"] }}"#, self.cluster)
    }

    fn deploy(&self, sections: &str) -> Function<'static> {
        Function::deploy(self.stack, &self.policy(sections), &[])
    }

    /// The event that EventBridge sends about the instance.
    fn event(&self) -> Value {
        event(&self.group, &self.instance, &self.token)
    }

    /// Lets the next instance of the group go: the event about it.
    fn next_event(&mut self) -> Value {
        self.instance = self.stack.run_instance(Ipv4Addr::LOCALHOST);
        self.container_instance = self.stack.register(&self.cluster, &self.instance);
        self.token = self.stack.autoscaling.hold_back(&self.group, HOOK, &self.instance);
        self.event()
    }

    fn status(&self) -> String {
        self.stack.status(&self.cluster, &self.container_instance)
    }

    fn status_of_the_other(&self) -> String {
        self.stack.status(&self.cluster, &self.other_container_instance)
    }

    /// What Auto Scaling was told: token and result of each completion, and whether it accepted them.
    fn completions(&self) -> Vec<(String, String, bool)> {
        let calls = self.stack.autoscaling.completions(&self.group).into_iter();
        let told = calls.map(|call| {
            let parameter = |name| call.parameter(name).to_owned();
            (parameter("LifecycleActionToken"), parameter("LifecycleActionResult"), call.accepted)
        });
        told.collect()
    }

    fn completion(&self, result: &str) -> (String, String, bool) {
        (self.token.clone(), result.to_owned(), true)
    }
}

fn event(group: &str, instance: &str, token: &str) -> Value {
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).expect("now is a time");
    json!({
        "version": "0",
        "id": format!("11111111-1111-4111-8111-{}", &token[24..]),
        "detail-type": "EC2 Instance-terminate Lifecycle Action",
        "source": "aws.autoscaling",
        "account": ACCOUNT,
        "time": now.to_string(),
        "region": REGION,
        "resources": [format!("arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:0:autoScalingGroupName/{group}")],
        "detail": {
            "LifecycleActionToken": token,
            "AutoScalingGroupName": group,
            "LifecycleHookName": HOOK,
            "EC2InstanceId": instance,
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
            "Origin": "AutoScalingGroup",
            "Destination": "EC2",
        },
    })
}

/// What the function returned for the one event of an invocation: its decision, why, and what became of the lifecycle action.
fn end(invocation: &Invocation) -> (&str, &str, &str) {
    assert!(!invocation.failed, "it failed: {}", invocation.payload);
    let end = &invocation.payload["events"][0];
    let text = |key: &str| end[key].as_str().unwrap_or_default();
    (text("decision"), text("why"), text("lifecycle"))
}

/// The error of a failed invocation.
fn failure(invocation: &Invocation) -> &str {
    assert!(invocation.failed, "it did not fail: {}", invocation.payload);
    invocation.payload["errorMessage"].as_str().unwrap_or_default()
}

/// The lines of attempts at an event, with an outcome.
fn attempts(function: &Function<'_>, token: &str, outcome: &str) -> Vec<Value> {
    function.lines(&format!("an attempt at {token} that came to {outcome:?}"), |line| {
        line["message"] == "attempt" && line["event"] == token && line["outcome"] == outcome
    })
}

/// The lines of host calls with a result.
fn host_calls(function: &Function<'_>, call: &str, result: &str) -> Vec<Value> {
    function.lines(&format!("a call of {call} with the result {result:?}"), |line| {
        line["message"] == "host call" && line["call"] == call && line["result"] == result
    })
}

/// How often the function was set up: one process each.
fn processes(function: &Function<'_>) -> usize {
    function.lines("of a process that is ready", |line| line["message"] == "ready").len()
}

#[test]
fn a_termination_is_handled_from_the_event_to_the_completed_lifecycle_action() {
    let scene = Scene::new();
    let node = Node::start(scene.stack, &scene.instance);
    let task = scene.stack.start_task(&scene.cluster, &scene.container_instance);
    let (before, after) = (node.marker("before draining"), node.marker("after draining"));
    scene.upload(plugin("asg-lifecycle"));
    let function = scene.deploy(&format!(
        r#"[handler.grants]
{}
{}
[handler.config]
command-before = '["touch", "{}"]'
command-after = '["touch", "{}"]'
stop-standalone-after = "0s"
"#,
        scene.ecs(),
        node.grant(r#"[["touch", "*"]]"#),
        before.display(),
        after.display(),
    ));

    let invocation = function.invoke(&scene.event());

    assert_eq!(end(&invocation), ("done", "", "continue"));
    assert_eq!((scene.status().as_str(), scene.status_of_the_other().as_str()), ("DRAINING", "ACTIVE"));
    assert_eq!(scene.stack.task_status(&scene.cluster, &task), "STOPPED");
    assert!(before.exists() && after.exists(), "a command did not run on the node");
    assert_eq!(scene.completions(), [scene.completion("CONTINUE")]);

    let done = attempts(&function, &scene.token, "done");
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!(done[0]["kind"], "instance-terminating");
    assert_eq!(done[0]["instance"], scene.instance);
    assert_eq!(done[0]["handler"], "terminating");
    assert!(done[0]["attempt"].as_u64() > Some(1), "the task was not waited for: {}", done[0]);
    assert!(done[0]["module"].as_str().is_some_and(|digest| digest.len() == 64), "no digest: {}", done[0]);
    assert_eq!(host_calls(&function, "ecs.drain", "ok")[0]["event"], scene.token);
    assert_eq!(host_calls(&function, "ssh.exec", "ok").len(), 2);
}

#[test]
fn what_happened_is_recorded_replayed_without_aws_and_becomes_a_case_that_holds() {
    let scene = Scene::new();
    let node = Node::start(scene.stack, &scene.instance);
    scene.stack.start_task(&scene.cluster, &scene.container_instance);
    scene.upload(plugin("asg-lifecycle"));
    let policy = format!(
        r#"[handler.grants]
{}
{}
[handler.config]
command-before = '["touch", "{}"]'
stop-standalone-after = "0s"
[recordings]
store = "s3://{}/recordings/"
"#,
        scene.ecs(),
        node.grant(r#"[["touch", "*"]]"#),
        node.marker("before draining").display(),
        scene.bucket,
    );
    assert_eq!(end(&scene.deploy(&policy).invoke(&scene.event())), ("done", "", "continue"));

    let recordings = scene.stack.objects(&scene.bucket, "recordings/");
    let [recording] = &recordings[..] else { panic!("there is not one recording: {recordings:?}") };
    let folder = scene.stack.folder(&scene.stack.unique("incident"));
    std::fs::create_dir(folder.join("cases")).expect("a folder can be made");
    let write = |name: &str, content: &[u8]| std::fs::write(folder.join(name), content).expect("a file can be written");
    write("hostler.toml", scene.policy(&policy).as_bytes());
    write("plugin.wasm", &plugin("asg-lifecycle"));
    write("incident.jsonl", scene.stack.get_object(&scene.bucket, recording).as_bytes());
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
fn another_module_changes_what_the_same_process_does_with_the_next_event() {
    let mut scene = Scene::new();
    scene.upload(plugin("asg-lifecycle"));
    let function = scene.deploy(&format!("[handler.grants]\n{}", scene.ecs()));
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
    assert!(why.contains(&format!("s3://{}/plugins/{MODULE}", scene.bucket)), "{why}");

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
fn a_call_outside_the_grant_and_a_command_outside_the_patterns_are_denied() {
    let scene = Scene::new();
    let node = Node::start(scene.stack, &scene.instance);
    let marker = node.marker("must not be");
    scene.upload(guest("probe"));
    let function = scene.deploy(&format!(
        "[handler.grants]\n{}\n{}\n[handler.config]\ndrain = \"{}\"\ncommand = '[\"touch\", \"{}\"]'",
        scene.ecs(),
        node.grant(r#"[["uptime"], ["touch", "/elsewhere"]]"#),
        scene.other,
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
    let node = Node::start(scene.stack, &scene.other);
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
fn an_event_of_another_account_or_region_is_an_error_and_nothing_is_done() {
    let scene = Scene::new();
    scene.upload(plugin("asg-lifecycle"));
    let function = scene.deploy(&format!("[handler.grants]\n{}", scene.ecs()));
    for (key, elsewhere) in [("account", "210987654321"), ("region", "us-east-1")] {
        let mut event = scene.event();
        event[key] = elsewhere.into();
        let invocation = function.invoke(&event);
        assert!(failure(&invocation).contains(elsewhere), "{}", invocation.payload);
    }
    assert!(scene.stack.autoscaling.calls(&scene.group).is_empty());
    assert_eq!(scene.status(), "ACTIVE");
}

#[test]
fn what_is_not_an_event_is_an_error_and_the_next_event_is_handled() {
    let scene = Scene::new();
    scene.upload(plugin("asg-lifecycle"));
    let function = scene.deploy(&format!("[handler.grants]\n{}", scene.ecs()));
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
    let function = scene.deploy(&format!("[handler.grants]\n{}", scene.ecs()));
    assert_eq!(end(&function.invoke(&scene.event())), ("done", "", "continue"));
    let again = function.invoke(&scene.event());
    assert_eq!(again.payload["events"][0]["end"], "already", "{}", again.payload);
    assert_eq!(scene.completions(), [scene.completion("CONTINUE")]);
}

#[test]
fn an_instance_that_does_not_exist_is_not_found() {
    let scene = Scene::new();
    let instance = "i-0badbadbadbadbad0";
    let token = scene.stack.autoscaling.hold_back(&scene.group, HOOK, instance);
    scene.upload(guest("probe"));
    let node = Node::start(scene.stack, instance);
    let function = scene.deploy(&format!(
        "[handler.grants]\n{}\n{}\n[handler.config]\ndrain = \"{instance}\"\ncommand = '[\"uptime\"]'",
        scene.ecs(),
        node.grant(r#"[["uptime"]]"#),
    ));
    let invocation = function.invoke(&event(&scene.group, instance, &token));
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
    let ecs = scene.stack.in_front_of(Emulator::Moto, |request| {
        let asks = String::from_utf8_lossy(&request.body).contains("nuproj-typo");
        let fault = json!({ "__type": "ClusterNotFoundException", "message": "Cluster not found." });
        asks.then(|| Response::new(400, fault.to_string()))
    });
    let policy = scene.policy(&format!(
        "[handler.grants]\necs = {{ clusters = [\"nuproj-typo\"], allow = [\"drain\"] }}\n[handler.config]\ndrain = \"{}\"",
        scene.instance
    ));
    let function = Function::deploy(scene.stack, &policy, &[("AWS_ENDPOINT_URL_ECS", ecs.url())]);
    let invocation = function.invoke(&scene.event());
    let (_, why, _) = end(&invocation);
    assert!(why.starts_with("drain: ErrorCode::NotFound: ") && why.contains("nuproj-typo"), "{why}");
    assert_eq!(scene.status(), "ACTIVE");
}

#[test]
fn when_s3_has_no_module_the_event_is_given_up_with_the_reason_and_other_handlers_work() {
    let mut scene = Scene::new();
    scene.upload(guest("probe"));
    let policy = scene.policy("[handler.finish]\nmax-attempts = 1");
    // The same handler, with a module that S3 does not have, for the events of another group.
    let (_, handler) = policy.split_once("[[handler]]").expect("there is a handler");
    let (group, missing) = (scene.stack.unique("nuproj-other"), "missing.wasm");
    let handler =
        handler.replace(MODULE, missing).replace("\"terminating\"", "\"other\"").replace(&scene.group, &group);
    let function = Function::deploy(scene.stack, &format!("{policy}[[handler]]{handler}"), &[]);

    let token = scene.stack.autoscaling.hold_back(&group, HOOK, &scene.instance);
    let invocation = function.invoke(&event(&group, &scene.instance, &token));
    let (decision, why, lifecycle) = end(&invocation);
    assert_eq!((decision, lifecycle), ("gave-up", "abandon"));
    assert!(why.contains(&format!("s3://{}/plugins/{missing} does not exist", scene.bucket)), "{why}");
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
        let s3 = scene.stack.in_front_of(Emulator::Ministack, move |_| {
            seen.load(Ordering::SeqCst).then(|| Response::new(status, body))
        });
        let policy = scene.policy("[handler.finish]\nmax-attempts = 1\ndeadline = \"5s\"");
        let function = Function::deploy(scene.stack, &policy, &[("AWS_ENDPOINT_URL_S3", s3.url())]);
        let invocation = function.invoke(&scene.event());
        let (decision, why, lifecycle) = end(&invocation);
        assert_eq!((decision, lifecycle), ("gave-up", "abandon"));
        assert!(why.contains(says) && why.contains(&scene.bucket), "{status}: {why}");

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
    let function = Function::deploy(scene.stack, &policy, &[("AWS_ENDPOINT_URL_S3", nobody)]);
    let invocation = function.invoke(&scene.event());
    let (decision, why, lifecycle) = end(&invocation);
    assert_eq!((decision, lifecycle), ("gave-up", "abandon"));
    assert!(why.starts_with("the deadline"), "{why}");
    assert!(why.contains(&format!("s3://{}/plugins/{MODULE}", scene.bucket)), "{why}");
}

#[test]
fn a_policy_with_a_mistake_fails_the_function_before_any_event() {
    let scene = Scene::new();
    let function = scene.deploy("[handler.limits]\nram = \"64MiB\"");
    let invocation = function.invoke(&scene.event());
    assert!(failure(&invocation).contains("ram"), "{}", invocation.payload);
    assert!(scene.stack.autoscaling.calls(&scene.group).is_empty());
}

/// A component with an import called otherwise: names are text, and one of the same length leaves the rest where it is.
fn renamed(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut renamed = component.to_vec();
    let mut found = 0;
    for at in 0..=component.len() - from.len() {
        if component[at..].starts_with(from.as_bytes()) {
            renamed[at..at + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "the component does not import {from}");
    renamed
}
