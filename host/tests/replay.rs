//! `hostler run --record` and `hostler replay`, as a person or a script meets them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

#[path = "../src/testing/guests.rs"]
#[expect(dead_code, reason = "unit tests use the others")]
mod guests;

const INSTANCE: &str = "i-0123456789abcdef0";

const EVENT: &str = r#"{
    "version": "0", "id": "12345678-1234-1234-1234-123456789012", "source": "aws.autoscaling",
    "detail-type": "EC2 Instance-terminate Lifecycle Action", "account": "123456789012", "region": "eu-central-1",
    "time": "2026-01-15T03:00:00Z", "resources": [],
    "detail": {
        "LifecycleActionToken": "token", "AutoScalingGroupName": "web", "LifecycleHookName": "drain",
        "EC2InstanceId": "i-0123456789abcdef0", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"
    }
}"#;

const POLICY: &str = r#"
[modules]
source = "dir:."
allow-unsigned = true
[[handler]]
name = "only"
module = "module.wasm"
[handler.event]
source = ["aws.autoscaling"]
detail.LifecycleHookName = ["drain"]
[handler.grants]
ecs = { clusters = ["prod"], allow = ["read", "drain"] }
[handler.config]
password = "CANARY"
"#;

/// A folder with a policy, an event, a plugin that drains, and the recording of a run, `a.jsonl`.
struct Case(TempDir);

impl Case {
    fn recorded() -> Self {
        let case = Self(TempDir::new().unwrap());
        case.write("hostler.toml", POLICY).write("event.json", EVENT).write("module.wasm", guests::drain_of(INSTANCE));
        case.hostler(&["run", "--event", "event.json", "--record", "a.jsonl"]).ends_with(0);
        case
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), content).unwrap();
        self
    }

    fn recording(&self) -> String {
        fs::read_to_string(self.path("a.jsonl")).unwrap()
    }

    fn hostler(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hostler"));
        command.current_dir(self.0.path()).args(arguments);
        command.env_remove("HOSTLER_POLICY").env_remove("HOSTLER_LOG").env_remove("AWS_LAMBDA_RUNTIME_API");
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    fn replay(&self, arguments: &[&str]) -> Ran {
        self.hostler(&[&["replay", "a.jsonl"], arguments].concat())
    }
}

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self
    }
}

#[test]
fn a_run_is_replayed_without_a_difference() {
    let case = Case::recorded();
    assert!(!case.recording().contains("CANARY"), "{}", case.recording());
    insta::assert_snapshot!(case.replay(&[]).ends_with(0).out, @"
    the same end: done after 1 attempt of only; lifecycle action completed with CONTINUE
    no difference in 4 recorded calls
    ");
    let result: Value = serde_json::from_str(&case.replay(&["--json"]).ends_with(0).out).unwrap();
    assert_eq!((&result["comparison"]["same"], &result["recorded"]["calls"]), (&true.into(), &4.into()));
}

#[test]
fn another_plugin_shows_what_it_does_differently() {
    let case = Case::recorded();
    case.write("new.wasm", guests::abandon());
    let out = without_digests(&case.replay(&["--plugin", "new.wasm"]).ends_with(1).out);
    insta::assert_snapshot!(out, @"
    another plugin: DIGEST then, DIGEST now
    --- recorded
    +++ replayed
    @@ -1,4 +1,2 @@
     lifecycle.hook group=web hook=drain
    -ecs.find-container-instance instance=i-0123456789abcdef0
    -ecs.drain cluster=prod instance=i-0123456789abcdef0
    -lifecycle.complete group=web hook=drain instance=i-0123456789abcdef0 result=CONTINUE
    +lifecycle.complete group=web hook=drain instance=i-0123456789abcdef0 result=ABANDON
    the end then: done after 1 attempt of only; lifecycle action completed with CONTINUE
    the end now:  abandoned after 1 attempt of only: because; lifecycle action completed with ABANDON
    different from 4 recorded calls
    ");
    // A folder of modules does as well, and what another plugin asks that nobody asked then is named.
    fs::create_dir(case.path("new")).unwrap();
    case.write("new/module.wasm", guests::drain_of("i-0fedcba9876543210"));
    let any = POLICY.replace("\"drain\"] }", "\"drain\"], instances = \"any\" }");
    case.write("hostler.toml", any);
    let out = case.replay(&["--modules", "new"]).ends_with(1).out;
    for line in [
        "not in the recording, so nothing is known of its answer: ecs.find-container-instance instance=i-0fedcba9876543210",
        "the end then: done after 1 attempt of only; lifecycle action completed with CONTINUE",
    ] {
        assert!(out.lines().any(|printed| printed == line), "{line:?} is not in\n{out}");
    }
    assert!(out.contains("another policy: "), "{out}");
}

#[test]
fn another_handler_is_named() {
    let case = Case::recorded();
    case.write("hostler.toml", POLICY.replace("name = \"only\"", "name = \"renamed\""));
    let out = case.replay(&[]).ends_with(0).out;
    assert_eq!(out.lines().next(), Some("another handler: only then, renamed now"), "{out}");
    let result: Value = serde_json::from_str(&case.replay(&["--json"]).ends_with(0).out).unwrap();
    assert_eq!(result["comparison"]["same-handler"], false);
    assert_eq!((&result["recorded"]["handler"], &result["replayed"]["handler"]), (&"only".into(), &"renamed".into()));
}

/// The text with digests made alike.
fn without_digests(text: &str) -> String {
    let hexadecimal = |word: &str| word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = text.split_inclusive([' ', '\n']);
    words
        .map(
            |word| if hexadecimal(word.trim_end()) { word.replace(word.trim_end(), "DIGEST") } else { word.to_owned() },
        )
        .collect()
}

#[test]
fn a_recording_that_was_cut_off_is_used_only_when_told_to() {
    let case = Case::recorded();
    let whole = case.recording();
    case.write("a.jsonl", &whole[..whole.len() - 40]);
    insta::assert_snapshot!(case.replay(&[]).ends_with(2).err, @"error: a.jsonl is not whole: line 7, the last, is cut off in the middle: it was copied too early, or the host was stopped; to use what there is, 4 calls, add --partial");
    insta::assert_snapshot!(case.replay(&["--partial"]).ends_with(0).out, @"
    the end now, with none recorded to compare it with: done after 1 attempt of only; lifecycle action completed with CONTINUE
    no difference in 4 recorded calls
    ");
    let result: Value = serde_json::from_str(&case.replay(&["--partial", "--json"]).ends_with(0).out).unwrap();
    assert_eq!(result["comparison"]["same-end"], Value::Null);
}

#[test]
fn bad_input_is_named_and_nothing_is_run() {
    let case = Case::recorded();
    let whole = case.recording();
    let says = |ran: Ran, text: &str| {
        let ran = ran.ends_with(2);
        assert!(ran.err.contains(text) && ran.out.is_empty(), "{text:?} is not in\n{}{}", ran.err, ran.out);
    };
    case.write("a.jsonl", whole.replace("\"contract\":\"0.1.0\"", "\"contract\":\"0.9.0\""));
    says(case.replay(&[]), "a.jsonl was recorded by hostler 0.1.0 with version 0.9.0 of the contract");
    case.write("a.jsonl", whole.replace("\"hostler-recording\":1", "\"hostler-recording\":9"));
    says(case.replay(&[]), "a.jsonl is a recording of format 9, and this hostler (0.1.0) reads format 1");
    case.write("a.jsonl", EVENT);
    says(case.replay(&[]), "a.jsonl is not a recording: its first line");
    case.write("a.jsonl", "");
    says(case.replay(&[]), "a.jsonl is not a recording: it is empty");
    fs::remove_file(case.path("a.jsonl")).unwrap();
    says(case.replay(&[]), "cannot read a.jsonl");

    case.write("a.jsonl", &whole).write("hostler.toml", POLICY.replace("[\"drain\"]\n", "[\"other\"]\n"));
    says(
        case.replay(&[]),
        "no handler of hostler.toml takes the recorded event, which only took: its handlers are only; give the policy with --policy",
    );
    case.write("hostler.toml", POLICY.replace("dir:.", "s3://bucket/"));
    says(case.replay(&[]), "which a replay does not reach: give the plugin with --plugin");
    case.write("hostler.toml", POLICY);
    says(case.replay(&["--plugin", "absent.wasm"]), "no plugin to replay with");
    says(case.replay(&["--plugin", ".."]), ".. names no file");
    says(case.replay(&["--policy", "absent.toml"]), "cannot read the policy absent.toml");
    says(case.replay(&["--out", "x.toml"]), "--to-case");
}

#[test]
fn what_cannot_be_recorded_is_not_run() {
    let case = Case::recorded();
    let ran = case.hostler(&["run", "--event", "event.json", "--record", "absent/a.jsonl"]).ends_with(2);
    assert!(ran.err.contains("cannot write absent/a.jsonl"), "{}", ran.err);
    let sns = |event: &str| serde_json::json!({ "Sns": { "Type": "Notification", "TopicArn": "arn:aws:sns:eu-central-1:123456789012:t", "Message": event } });
    case.write("event.json", serde_json::json!({ "Records": [sns(EVENT), sns(EVENT)] }).to_string());
    let ran = case.hostler(&["run", "--event", "event.json", "--record", "b.jsonl"]).ends_with(2);
    assert!(ran.err.contains("2 events at once, and --record is for one"), "{}", ran.err);
    assert!(!Path::new(&case.path("b.jsonl")).exists());
}

#[test]
fn a_recording_takes_the_place_of_nothing() {
    let case = Case::recorded();
    let (whole, policy) = (case.recording(), fs::read_to_string(case.path("hostler.toml")).unwrap());
    let run = |file: &str| case.hostler(&["run", "--event", "event.json", "--record", file]);
    insta::assert_snapshot!(run("hostler.toml").ends_with(2).err, @"error: cannot write hostler.toml: it holds something already, which a recording would replace; name a file that is not there yet, or remove this one");
    run("a.jsonl").ends_with(2);
    assert_eq!((case.recording(), fs::read_to_string(case.path("hostler.toml")).unwrap()), (whole, policy));
    // One that was made beforehand, such as by `mktemp`, holds nothing.
    case.write("empty.jsonl", "");
    run("empty.jsonl").ends_with(0);
    assert_ne!(fs::read_to_string(case.path("empty.jsonl")).unwrap(), "");
}

#[test]
fn a_case_takes_the_place_of_no_input() {
    let case = Case::recorded();
    let (whole, policy) = (case.recording(), fs::read_to_string(case.path("hostler.toml")).unwrap());
    for input in ["a.jsonl", "./hostler.toml"] {
        let ran = case.replay(&["--to-case", "--out", input]).ends_with(2);
        assert_eq!(ran.err, format!("error: --out would write over {input}, which is an input: name another file\n"));
    }
    assert_eq!((case.recording(), fs::read_to_string(case.path("hostler.toml")).unwrap()), (whole, policy));
}

#[test]
fn an_incident_becomes_a_case() {
    let case = Case::recorded();
    let printed = case.replay(&["--to-case"]).ends_with(0).out;
    let read: toml::Table = printed.parse().unwrap();
    assert_eq!(read["expect"]["outcome"].as_str(), Some("done"));
    assert_eq!(read["world"]["cluster"][0]["name"].as_str(), Some("prod"));
    // As every command writes: the folder is made, and nothing takes the place of what is no file.
    case.replay(&["--to-case", "--out", "cases/case.toml"]).ends_with(0);
    assert_eq!(fs::read_to_string(case.path("cases/case.toml")).unwrap(), printed);
    let ran = case.replay(&["--to-case", "--out", "cases"]).ends_with(2);
    assert_eq!(ran.err, "error: cannot write cases: it is there, and is not a file\n");
}
