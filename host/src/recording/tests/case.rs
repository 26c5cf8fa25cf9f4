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

#[test]
fn a_recording_without_an_end_expects_none() {
    let case = to_case(&recording(&[hook(0)]));
    assert!(case.contains("# The recording is not whole: it stops before the end of the work"), "{case}");
    assert!(case.ends_with("[expect]\n# The recording stops before the end: say what should come of it.\n"), "{case}");
}

/// Whether a case can be read as one, and its event can happen in its world.
fn can_happen(recorded: &Recording) {
    let package = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(package.path().join(name), text).unwrap();
    std::fs::create_dir(package.path().join("cases")).unwrap();
    write("Cargo.toml", "");
    write("hostler.toml", POLICY);
    write("cases/incident.toml", &to_case(recorded));
    let case = Case::read(&package.path().join("cases/incident.toml")).unwrap_or_else(|error| panic!("{error}"));
    case.begin().deliver(&recorded.event).unwrap();
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
