//! Cases made of recordings.

use super::*;
use crate::harness::Case;
use crate::recording::to_case;
use crate::testing::lifecycle;

/// A drain of a minute, with trouble on the way.
fn drained() -> Vec<Value> {
    let (web, cron) =
        (|desired, last| task("service:web", desired, last), |desired, last| task("family:cron", desired, last));
    let output = json!({ "answer": {
        "exit-status": 1, "signal": null, "stdout": "one\ntwo\n", "stdout-truncated": false, "stderr": { "base64": "/w==" }, "stderr-truncated": false,
    } });
    let search = |at, reply| call(at, "ecs.find-container-instance", json!({ "instance": INSTANCE }), reply);
    let stopping = task("service:stays", "STOPPED", "STOPPING");
    vec![
        hook(0),
        search(100, json!({ "answer": null })),
        search(5_000, error("throttled")),
        find(10_000, "ACTIVE"),
        drain(10_050),
        list(10_100, &[web("STOPPED", "DEACTIVATING"), cron("RUNNING", "PENDING"), stopping.clone()]),
        list(20_000, &[cron("RUNNING", "RUNNING"), stopping.clone()]),
        stop(20_050, "family:cron"),
        exec(20_100, &["uptime"], error("unavailable")),
        exec(21_000, &["uptime"], output),
        exec(22_000, &["sleep", "9"], json!("none")),
        list(60_000, &[stopping]),
        complete(60_050, "CONTINUE", error("conflict")),
        complete(61_050, "CONTINUE", accepted()),
        end(61_100, "done"),
    ]
}

#[test]
fn a_recording_becomes_a_case() {
    let case = to_case(&recording(&drained()));
    let read: toml::Table = case.parse().unwrap();
    let event: Value = serde_json::from_str(read["event"]["json"].as_str().unwrap()).unwrap();
    assert_eq!(event, terminating().envelope);
    let (head, rest) = case.split_once("[event]").unwrap();
    let (_, world) = rest.split_once("'''\n\n").unwrap();
    insta::assert_snapshot!(format!("{head}{world}"), @r#"
    # Made from a recording of 2026-01-15T03:00:00Z by hostler 0.1.0:
    # plugin none, policy 0123456789ab.
    # What is marked "inferred" the recording does not say as such: check it.
    # Settings are not recorded: those of the policy hold, unless config = { … } is written here.

    policy = "../hostler.toml" # relative to this file
    handler = "under-test"

    [world]
    start = "2026-01-15T03:00:00Z"
    account = "123456789012"
    region = "eu-central-1"

    [[world.cluster]]
    name = "prod"

    [[world.group]]
    name = "web"

    [[world.group.hook]]
    name = "drain"
    transition = "terminating"
    heartbeat-timeout = "5m"
    global-timeout = "8h 20m"

    [[world.instance]]
    id = "i-0123456789abcdef0"
    group = "web"
    cluster = "prod"
    registered-after = "5s" # inferred: between not being found and being found

    [[world.task]]
    service = "web"
    stops-in = "5s" # inferred: between its last listing and the next, since it was asked to

    [[world.task]]
    family = "cron"
    starts-in = "15s" # inferred: between being listed as PENDING and as RUNNING
    stops-in = "19s" # inferred: between its last listing and the next, since it was asked to

    [[world.task]]
    service = "stays"
    stuck = true # inferred: asked to stop, and still listed in the end

    [[world.ssh]]
    command = ["uptime"]
    exit-status = 1
    stdout = """
    one
    two
    """
    stderr = "�" # not all of it was text

    [[world.ssh]]
    command = ["sleep", "9"]
    hang = true # inferred: it had not ended when its time was up

    [[fault]]
    operation = "ecs.find-container-instance"
    fault = "throttled"
    nth = 2

    [[fault]]
    operation = "ssh.exec"
    fault = "connection-reset"
    nth = 1

    # Call 1 of lifecycle.complete failed (conflict), which the world has to bring about: as AWS put it

    [expect]
    outcome = "done"
    lifecycle = "CONTINUE"
    attempts = 2 # as then; or { at-least = 1 }
    calls = ["ecs.drain *", "ecs.stop-task family:cron*", 'ssh.exec * ["uptime"]', 'ssh.exec * ["sleep", "9"]']
    "#);
}

/// What a case says from `heading` on.
fn from<'c>(case: &'c str, heading: &str) -> &'c str {
    case.find(heading).map_or("", |at| &case[at..])
}

#[test]
fn a_recording_without_an_end_leaves_it_to_a_person_to_expect_one() {
    let case = to_case(&recording(&[hook(0), drain(10)]));
    assert!(case.contains("# The recording is not whole: it stops before the end of the work"), "{case}");
    let read: toml::Table = case.parse().unwrap();
    assert_eq!(read["expect"].as_table().map(toml::Table::len), Some(0));
    insta::assert_snapshot!(from(&case, "[expect]"), @r##"
    [expect]
    # The recording stops before the end.
    # A case has to expect something, so this one is refused until you say what should come of it:
    # change these lines to what is right, and take the "# " from before them.
    # outcome = "done"
    # lifecycle = "CONTINUE"
    # calls = ["ecs.drain *"] # as far as the recording goes
    "##);
    // Once they have been taken as they are, it is a case.
    let keys = ["outcome", "lifecycle", "calls"];
    let decided = keys.iter().fold(case, |case, key| case.replace(&format!("# {key} = "), &format!("{key} = ")));
    read_case(&decided);
}

#[test]
fn an_action_that_was_over_already_is_no_fact_about_its_timeout() {
    let mut end = end(2, "done");
    end["end"]["result"]["lifecycle"] = "late".into();
    let case = to_case(&recording(&[hook(0), complete(1, "CONTINUE", json!({ "answer": "over" })), end]));
    insta::assert_snapshot!(from(&case, "[expect]"), @r#"
    [expect]
    outcome = "done"
    # The lifecycle action was over already when it was to be completed: another delivery or somebody else had
    # completed it, or it had timed out, which the recording does not tell apart. Here nobody else completes it, and
    # heartbeats keep it alive as long as the hook admits.
    lifecycle = ["CONTINUE", "timed-out"] # inferred: keep the one that should come of it
    attempts = 2 # as then; or { at-least = 1 }
    "#);
    read_case(&case);
}

/// The faults of the case of these lines, each as its operation, its name and its calls.
fn faults(lines: &[Value]) -> Vec<(String, String, String)> {
    let read: toml::Table = to_case(&recording(lines)).parse().unwrap();
    let faults = read.get("fault").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let text = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    faults.iter().map(|fault| (text(&fault["operation"]), text(&fault["fault"]), text(&fault["nth"]))).collect()
}

#[test]
fn an_answer_that_nobody_heard_was_lost_if_the_effect_is_seen_next() {
    let fault = |operation: &str, name: &str| vec![(operation.to_owned(), name.to_owned(), "1".to_owned())];
    let unheard = |mut line: Value, reply: Value| {
        line["call"]["reply"] = reply;
        line
    };
    for reply in [error("timeout"), json!("none")] {
        let drained = unheard(drain(1), reply.clone());
        let seen = [find(0, "ACTIVE"), drained.clone(), find(2, "DRAINING")];
        assert_eq!(faults(&seen), fault("ecs.drain", "answer-lost"));
        assert_eq!(faults(&[drained.clone(), find(2, "ACTIVE")]), fault("ecs.drain", "timeout"));
        // Which of the two was it?
        assert_eq!(faults(&[drained.clone(), drain(2), find(3, "DRAINING")]), fault("ecs.drain", "timeout"));
        assert_eq!(faults(&[drained]), fault("ecs.drain", "timeout"));

        let stopped = unheard(stop(1, "family:cron"), reply.clone());
        let listed =
            |desired| list(2, &[task("service:web", "STOPPED", "RUNNING"), task("family:cron", desired, "RUNNING")]);
        assert_eq!(faults(&[stopped.clone(), listed("STOPPED")]), fault("ecs.stop-task", "answer-lost"));
        assert_eq!(faults(&[stopped, listed("RUNNING")]), fault("ecs.stop-task", "timeout"));

        let completed =
            |again: &str| [complete(1, "CONTINUE", reply.clone()), complete(2, "CONTINUE", json!({ "answer": again }))];
        assert_eq!(faults(&completed("over")), fault("lifecycle.complete", "answer-lost"));
        assert_eq!(faults(&completed("accepted")), fault("lifecycle.complete", "timeout"));
    }
    let case = to_case(&recording(&[unheard(drain(1), error("timeout")), find(2, "DRAINING")]));
    assert!(case.contains("fault = \"answer-lost\" # inferred: "), "{case}");
}

/// The text as a case.
fn read_case(text: &str) -> Case {
    let package = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(package.path().join(name), text).unwrap();
    std::fs::create_dir(package.path().join("cases")).unwrap();
    write("Cargo.toml", "");
    write("hostler.toml", POLICY);
    write("cases/incident.toml", text);
    Case::read(&package.path().join("cases/incident.toml")).unwrap_or_else(|error| panic!("{error}"))
}

/// Whether its case can be read as one, and its event can happen in its world.
fn can_happen(recorded: &Recording) {
    read_case(&to_case(recorded)).begin().deliver(&recorded.event).unwrap();
}

const POLICY: &str = r#"
[modules]
source = "dir:unused"
allow-unsigned = true
[[handler]]
name = "under-test"
module = "module.wasm"
[handler.event]
source = ["aws.autoscaling"]
detail.LifecycleHookName = ["drain"]
"#;

#[test]
fn the_event_can_happen_in_the_world_of_its_case() {
    can_happen(&recording(&drained()));
    // An instance on its way into service is not in it yet.
    let launching = lifecycle("EC2 Instance-launch Lifecycle Action", "autoscaling:EC2_INSTANCE_LAUNCHING", "drain");
    can_happen(&Recording::parse("a.jsonl", text_of(&launching, &[hook(0), end(1, "done")]).as_bytes()).unwrap());
}

#[test]
fn what_a_recording_quotes_does_not_leave_its_place() {
    let mut end = end(1, "abandon");
    end["end"]["result"]["why"] = "first\n[expect]\noutcome = \"done\"".into();
    let gone = json!({ "error": { "kind": "not-found", "message": "gone\n[world]\nregion = \"x\"" } });
    let command = exec(0, &["echo", "'''\n\"\\"], gone);
    let case = to_case(&recording(&[command, end]));
    let read: toml::Table = case.parse().unwrap();
    assert_eq!(read["expect"]["outcome"].as_str(), Some("abandoned"));
    assert_eq!(read["expect"]["calls"][0].as_str(), Some("ssh.exec * [\"echo\", \"'''\\n\\\"\\\\\"]"));
}
