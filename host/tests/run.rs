//! `hostler run`, as a person or a script meets it: what it prints, and its exit codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

#[path = "../src/testing/guests.rs"]
#[expect(dead_code, reason = "unit tests use the others")]
mod guests;

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
"#;

/// A folder with a policy, an event and a module.
struct Case(TempDir);

impl Case {
    fn new(module: &[u8]) -> Self {
        let case = Self(TempDir::new().unwrap());
        case.write("hostler.toml", POLICY.as_bytes()).write("event.json", EVENT.as_bytes()).write("module.wasm", module)
    }

    fn write(self, name: &str, bytes: &[u8]) -> Self {
        fs::write(self.0.path().join(name), bytes).unwrap();
        self
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hostler"));
        command.current_dir(self.0.path()).args(["run", "--event", "event.json"]).args(arguments);
        command.env_remove("HOSTLER_POLICY").env_remove("HOSTLER_LOG").env_remove("AWS_LAMBDA_RUNTIME_API");
        Ran(command.output().unwrap())
    }
}

struct Ran(Output);

impl Ran {
    #[track_caller]
    fn ends_with(&self, code: i32) -> &Self {
        assert_eq!(self.0.status.code(), Some(code), "{}{}", self.out(), self.err());
        self
    }

    #[track_caller]
    fn says(&self, text: &str) -> &Self {
        assert!(self.out().contains(text) || self.err().contains(text), "{}{}", self.out(), self.err());
        self
    }

    fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }
}

#[test]
fn each_end_has_its_exit_code_and_its_line() {
    for (module, code, line) in [
        (guests::done(), 0, "token: done after 1 attempt of only; lifecycle action completed with CONTINUE"),
        (guests::again(30, 3), 0, "token: done after 3 attempts of only; lifecycle action completed with CONTINUE"),
        (
            guests::abandon(),
            4,
            "token: abandoned after 1 attempt of only: because; lifecycle action completed with ABANDON",
        ),
        (
            guests::error(),
            1,
            "token: gave up after 5 attempts of only: 5 attempts in a row failed; the last: the handler returned an error: \
             broken; lifecycle action completed with ABANDON",
        ),
    ] {
        Case::new(&module).run(&[]).ends_with(code).says(line);
    }
}

#[test]
fn the_timeline_is_in_virtual_time() {
    let out = Case::new(&guests::again(30, 3)).run(&[]).out();
    for line in [
        "00:00.000  instance-terminating i-0123456789abcdef0 taken by only, deadline 2026-01-15T04:00:00Z",
        "00:00.000  attempt 1: again, waiting",
        "00:30.000  attempt 2: again, waiting",
        "01:00.000  attempt 3: done",
        "01:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Proceed",
    ] {
        assert!(out.lines().any(|printed| printed == line), "{line:?} is not in\n{out}");
    }
}

#[test]
fn as_json_the_result_is_one_object_and_the_log_is_json_lines() {
    let ran = Case::new(&guests::done()).run(&["--json"]);
    let result: Value = serde_json::from_str(&ran.ends_with(0).out()).unwrap();
    let expected = serde_json::json!({
        "event": "token",
        "result": { "end": "worked", "handler": "only", "decision": "done", "attempts": 1, "lifecycle": "continue" },
    });
    assert_eq!(result, expected);
    let log: Vec<Value> = ran.err().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let attempt = log.iter().find(|line| line["message"] == "attempt").unwrap();
    assert_eq!((&attempt["outcome"], &attempt["instance"]), (&"done".into(), &"i-0123456789abcdef0".into()));
}

#[test]
fn the_page_tells_what_the_lines_tell_with_and_without_json() {
    let case = Case::new(&guests::again(30, 3));
    let read = || fs::read_to_string(case.0.path().join("pages/run.html")).unwrap();
    let out = case.run(&["--html", "pages/run.html"]).ends_with(0).out();
    let page = read();
    for told in [
        "<title>instance-terminating of i-0123456789abcdef0: done</title>",
        "<td class=\"what\" role=\"cell\">attempt 3</td>",
        "<td class=\"result\" role=\"cell\">again: waiting</td>",
        "lifecycle state i-0123456789abcdef0",
    ] {
        assert!(page.contains(told), "{told} is not in the page");
    }
    for time in out.lines().filter_map(|line| line.split_once("  ")).map(|(time, _)| time) {
        assert!(page.contains(&format!("role=\"cell\">{time}</td>")), "{time} is not in the page");
    }
    let ran = case.run(&["--json", "--html", "pages/run.html"]);
    serde_json::from_str::<Value>(&ran.ends_with(0).out()).unwrap();
    assert_eq!(read(), page);
}

#[test]
fn a_page_takes_the_place_of_no_input() {
    let case = Case::new(&guests::done()).write("world.toml", b"");
    for input in ["event.json", "./hostler.toml", "world.toml"] {
        let before = fs::read(case.0.path().join(input)).unwrap();
        let ran = case.run(&["--world", "world.toml", "--html", input]);
        ran.ends_with(2);
        assert_eq!(
            ran.err(),
            format!("error: --html would write over {input}, which is an input: name another file\n")
        );
        assert_eq!((ran.out(), fs::read(case.0.path().join(input)).unwrap()), (String::new(), before));
    }
}

#[test]
fn a_page_that_cannot_be_written_takes_nothing_from_the_result() {
    for (module, code) in [(guests::done(), 2), (guests::abandon(), 4)] {
        let ran = Case::new(&module).run(&["--html", "event.json/run.html"]);
        ran.ends_with(code).says("after 1 attempt of only").says("error: cannot write event.json/run.html");
    }
    let ran = Case::new(&guests::done()).run(&["--live", "--html", "run.html"]);
    ran.ends_with(2).says("--html draws simulated runs").says("Leave out --live or --html");
}

#[test]
fn an_event_that_nobody_takes_says_so() {
    let other = POLICY.replace("\"drain\"", "\"other\"");
    Case::new(&guests::done())
        .write("hostler.toml", other.as_bytes())
        .run(&[])
        .ends_with(3)
        .says("no handler of the policy takes this event");
    let managed = "ecs-managed-draining-termination-hook";
    Case::new(&guests::done())
        .write("event.json", EVENT.replace("\"drain\"", &format!("\"{managed}\"")).as_bytes())
        .write("hostler.toml", POLICY.replace("detail.LifecycleHookName = [\"drain\"]", "").as_bytes())
        .run(&[])
        .ends_with(3)
        .says("left alone: hook \"ecs-managed-draining-termination-hook\" belongs to ECS");
}

#[test]
fn a_module_that_cannot_be_run_is_named_with_the_reason() {
    for (module, reason) in [
        (&b""[..], "is empty"),
        (b"\0asm\x01\0\0\0", "is a core WebAssembly module, not a component"),
        (b"#!/bin/sh", "is not WebAssembly"),
    ] {
        Case::new(module).run(&[]).ends_with(1).says("module.wasm").says(reason);
    }
    let case = Case::new(b"");
    fs::remove_file(case.0.path().join("module.wasm")).unwrap();
    case.run(&[]).ends_with(1).says("module.wasm");
}

#[test]
fn bad_input_is_named_and_nothing_is_run() {
    let done = guests::done();
    let garbage = Case::new(&done).write("event.json", b"garbage {").run(&[]);
    garbage.ends_with(2).says("event.json: not JSON").says("near `garbage {");
    let large = Case::new(&done).write("event.json", &vec![b' '; 9 << 20]).run(&[]);
    large.ends_with(2).says("cannot read event.json: it has more than 8.0 MiB");
    let policy = Case::new(&done).write("hostler.toml", b"[modules]\nrefresh = 10\n").run(&[]);
    policy.ends_with(2).says("hostler.toml:2:11: the bare number 10 is not a time");
    let world = Case::new(&done).write("world.toml", b"[[instances]]\n").run(&["--world", "world.toml"]);
    world.ends_with(2).says("world.toml").says("did you mean");
    Case::new(&done).run(&["--world", "absent.toml"]).ends_with(2).says("cannot read absent.toml");
    Case::new(&done).run(&["--policy", "absent.toml"]).ends_with(2).says("cannot read the policy absent.toml");
    Case::new(&done).run(&["--live", "--world", "world.toml"]).ends_with(2).says("cannot be used with");
}

#[test]
fn an_event_of_another_account_is_refused() {
    let world = "account = \"210987654321\"\nregion = \"eu-central-1\"\n[[instance]]\nid = \"i-0123456789abcdef0\"\n";
    Case::new(&guests::done())
        .write("world.toml", world.as_bytes())
        .run(&["--world", "world.toml"])
        .ends_with(5)
        .says("is of account 123456789012 in eu-central-1, and this host serves account 210987654321");
}

#[test]
fn the_demo_of_this_repository_is_sound() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    let case = Case::new(&guests::done());
    fs::copy(demo.join("terminate.json"), case.0.path().join("event.json")).unwrap();
    fs::write(case.0.path().join("asg-lifecycle.wasm"), guests::done()).unwrap();
    let demo = |name: &str| demo.join(name).display().to_string();
    case.run(&["--policy", &demo("hostler.toml"), "--world", &demo("world.toml"), "--modules", "."]).ends_with(0);
}

#[test]
fn a_simulated_run_says_that_it_looks_at_neither_signatures_nor_pins() {
    let says = |policy: String| {
        let case = Case::new(&guests::done()).write("hostler.toml", policy.as_bytes());
        case.run(&[]).ends_with(0).out().contains("signatures and pins are not looked at in a simulated world")
    };
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    assert!(!says(POLICY.to_owned()));
    assert!(says(POLICY.replace("allow-unsigned = true", &format!("trusted-keys = [{key:?}]"))));
    assert!(says(POLICY.replace("module =", &format!("sha256 = {:?}\nmodule =", "a".repeat(64)))));
}
