//! `hostler test`, as a person or a script meets it: what it prints and writes, and its exit codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use serde_json::Value;
use tempfile::TempDir;

#[path = "../src/testing/guests.rs"]
#[expect(dead_code, reason = "unit tests use the others")]
mod guests;

const INSTANCE: &str = "i-0123456789abcdef0";

const POLICY: &str = r#"
[modules]
source = "dir:unused"
allow-unsigned = true
[[handler]]
name = "drain"
module = "drain.wasm"
event = { source = ["aws.autoscaling"] }
grants.ecs = { clusters = ["prod"], allow = ["read", "drain"] }
"#;

/// What every case begins with, in a folder `cases` beside the policy.
const HEAD: &str = "policy = \"../hostler.toml\"\nhandler = \"drain\"\n";
const EVENT: &str = "[event]\nkind = \"instance-terminating\"\n";

/// Drained, whatever goes wrong on the way: the handler of `drain_blindly` does not see to it.
const DRAINED: &str = "[[expect.instance]]\ncontainer-instance-status = \"DRAINING\"\n";

/// A folder `drain` with a policy, a module for each guest, and cases.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        fs::create_dir_all(folder.path("cases")).unwrap();
        folder
            .write("hostler.toml", POLICY)
            .write("done.wasm", guests::done())
            .write("abandon.wasm", guests::abandon())
            .write("drain.wasm", guests::drain_of(INSTANCE))
            .write("blind.wasm", guests::drain_blindly(INSTANCE))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("drain").join(name)
    }

    fn write(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path(name), content).unwrap();
        self
    }

    /// Adds a case of `guest`, which expects `rest`.
    fn case(self, name: &str, guest: &str, rest: &str) -> Self {
        let expect = if rest.contains("expect") { "" } else { "[expect]\noutcome = [\"done\", \"abandoned\"]\n" };
        let text = format!("{HEAD}plugin = \"../{guest}.wasm\"\n{EVENT}{rest}{expect}");
        self.write(&format!("cases/{name}.toml"), text)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hostler"));
        command.current_dir(self.path("")).arg("test").args(arguments);
        command.env_remove("HOSTLER_POLICY").env_remove("HOSTLER_LOG").env_remove("AWS_LAMBDA_RUNTIME_API");
        command
    }

    fn test(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        let here = self.0.path().canonicalize().unwrap().display().to_string();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&here, "HERE");
        Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
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

    /// What was printed, with real times made alike, and the room that is left for them.
    fn shown(&self) -> String {
        let real = |word: &str| {
            let number = word.strip_suffix("ms").or_else(|| word.strip_suffix('s'));
            number.is_some_and(|number| number.contains('.') && number.parse::<f64>().is_ok())
        };
        let mut shown = String::new();
        for line in self.out.lines() {
            let mut words: Vec<&str> = Vec::new();
            for word in line.split(' ') {
                if real(word.trim_end_matches(',')) {
                    words.truncate(words.iter().rposition(|word| !word.is_empty()).map_or(0, |last| last + 1));
                    words.push(if word.ends_with(',') { "TOOK," } else { "TOOK" });
                } else {
                    words.push(word);
                }
            }
            shown.push_str(words.join(" ").trim_end());
            shown.push('\n');
        }
        shown
    }
}

#[test]
fn cases_that_hold() {
    let folder = Folder::new().case("drained", "drain", DRAINED).case(
        "twice",
        "done",
        "at = [\"0s\", \"90s\"]\n[expect]\noutcome = \"done\"\n",
    );
    insta::assert_snapshot!(folder.test(&["--jobs", "1"]).ends_with(0).shown(), @"
      pass TOOK  00:00.000  drain/drained
      pass TOOK  01:30.000  drain/twice
    2 cases: 2 passed in TOOK, 01:30.000 of simulated time
    ");
}

#[test]
fn a_case_that_does_not_hold_says_why_and_what_happened() {
    let folder = Folder::new().case("drained", "drain", DRAINED).case(
        "left",
        "abandon",
        "[expect]\noutcome = \"done\"\ncalls = [\"ecs.drain\"]\n",
    );
    insta::assert_snapshot!(folder.test(&["--jobs", "1"]).ends_with(1).shown(), @"
      pass TOOK  00:00.000  drain/drained
      FAIL TOOK  00:00.000  drain/left

    FAIL drain/left  cases/left.toml
      outcome:
        - done
        + abandoned: abandoned after 1 attempt of drain: because; lifecycle action completed with ABANDON
      calls:
        - ecs.drain
        + nothing like it
          there were:
            lifecycle.hook drain of web
            lifecycle.complete drain on i-0123456789abcdef0
      what happened:
        00:00.000  ~ event delivered i-0123456789abcdef0: instance-terminating
        00:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Wait
        00:00.000  instance-terminating i-0123456789abcdef0 taken by drain, deadline 2026-01-15T04:00:00Z
        00:00.000  attempt 1: abandon, because
        00:00.000  ~ lifecycle action ended drain on i-0123456789abcdef0: completed with ABANDON
        00:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Proceed
        00:00.000  ~ instance shutting down i-0123456789abcdef0
        00:00.000  ~ container instance deregistered i-0123456789abcdef0: 3 tasks lost
        00:00.000  WARN: abandoned attempts=1 lifecycle=abandon why=because
    2 cases: 1 passed, 1 failed in TOOK, 00:00.000 of simulated time
    ");
}

#[test]
fn what_cannot_be_played_says_so_and_the_others_are_played() {
    let folder = Folder::new()
        .case("drained", "drain", DRAINED)
        .case("left", "abandon", "[expect]\noutcome = \"done\"\n")
        .write("cases/mistaken.toml", format!("{HEAD}plugin = \"../done.wasm\"\n{EVENT}[expct]\n"))
        .write("core.wasm", b"\0asm\x01\0\0\0")
        .case("refused", "core", "");
    insta::assert_snapshot!(folder.test(&["--jobs", "1"]).ends_with(2).shown(), @r#"
      pass TOOK  00:00.000  drain/drained
      FAIL TOOK  00:00.000  drain/left
     ERROR TOOK             drain/mistaken
     ERROR TOOK             drain/refused

    FAIL drain/left  cases/left.toml
      outcome:
        - done
        + abandoned: abandoned after 1 attempt of drain: because; lifecycle action completed with ABANDON
      what happened:
        00:00.000  ~ event delivered i-0123456789abcdef0: instance-terminating
        00:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Wait
        00:00.000  instance-terminating i-0123456789abcdef0 taken by drain, deadline 2026-01-15T04:00:00Z
        00:00.000  attempt 1: abandon, because
        00:00.000  ~ lifecycle action ended drain on i-0123456789abcdef0: completed with ABANDON
        00:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Proceed
        00:00.000  ~ instance shutting down i-0123456789abcdef0
        00:00.000  ~ container instance deregistered i-0123456789abcdef0: 3 tasks lost
        00:00.000  WARN: abandoned attempts=1 lifecycle=abandon why=because

    ERROR drain/mistaken  cases/mistaken.toml
      cases/mistaken.toml:6:2: unknown key "expct", did you mean "expect"? (allowed here: policy, handler, plugin, plugins, config, seed, event, world, fault, expect, explore)
        6 | [expct]
          |  ^

    ERROR drain/refused  cases/refused.toml
      HERE/drain/core.wasm: the host would refuse this plugin: it is a core WebAssembly module, not a component: build it with `hostler build`, or wrap it with `wasm-tools component new`
    4 cases: 1 passed, 1 failed, 2 not played in TOOK, 00:00.000 of simulated time
    "#);
}

#[test]
fn a_plugin_that_does_not_build_is_named_and_the_others_are_played() {
    let folder = Folder::new().case("drained", "drain", DRAINED);
    fs::create_dir_all(folder.path("broken/cases")).unwrap();
    let folder = folder.write("broken/Cargo.toml", "[package\n").write(
        "broken/cases/drained.toml",
        format!("policy = \"../../hostler.toml\"\nhandler = \"drain\"\n{EVENT}{DRAINED}"),
    );
    let ran = folder.test(&["--jobs", "1"]).ends_with(2);
    insta::assert_snapshot!(ran.shown(), @"
        building broken
     ERROR TOOK             broken/drained
      pass TOOK  00:00.000  drain/drained

    ERROR broken/drained  broken/cases/drained.toml
      HERE/drain/broken: cargo cannot read its Cargo.toml, and says why above
    2 cases: 1 passed, 1 not played in TOOK, 00:00.000 of simulated time
    ");
    assert!(ran.err.contains("Cargo.toml"), "{}", ran.err);
}

#[test]
fn a_plugin_that_is_larger_than_the_policy_allows_is_refused_as_in_production() {
    let folder = Folder::new()
        .case("done", "done", "")
        .write("hostler.toml", POLICY.replace("allow-unsigned", "max-size = \"1KiB\"\nallow-unsigned"));
    let size = guests::done().len();
    let padded = [guests::done(), custom_section(1024)].concat();
    assert!(size < 1024 && folder.test(&[]).code == Some(0), "{size} bytes");
    let folder = folder.write("done.wasm", &padded);
    let refused = folder.test(&["--jobs", "1"]).ends_with(2).shown().replace(&padded.len().to_string(), "SIZE");
    insta::assert_snapshot!(refused, @"
     ERROR TOOK             drain/done

    ERROR drain/done  cases/done.toml
      HERE/drain/done.wasm: the host would refuse this plugin: it has SIZE bytes, and max-size allows 1024; make it smaller, or raise max-size in [modules]
    1 case: 0 passed, 1 not played in TOOK, 00:00.000 of simulated time
    ");
}

/// A section of a module that means nothing, with so many bytes of content.
fn custom_section(bytes: usize) -> Vec<u8> {
    // Its number, its size in LEB128, the length of its name, and the name.
    let size = bytes + 2;
    let header = [0, (size % 128) as u8 | 0x80, (size / 128) as u8, 1, b'x'];
    header.into_iter().chain(std::iter::repeat_n(0, bytes)).collect()
}

#[test]
fn cases_are_chosen_by_their_place_and_their_name() {
    let folder = Folder::new().case("drained", "drain", DRAINED).case("left", "abandon", "");
    let played = |arguments: &[&str]| {
        let out = folder.test(arguments).ends_with(0).out;
        let titles = out.lines().filter(|line| line.trim_start().starts_with("pass"));
        let mut titles: Vec<_> = titles.filter_map(|line| Some(line.rsplit_once(' ')?.1.to_owned())).collect();
        titles.sort();
        titles
    };
    assert_eq!(played(&[]), ["drain/drained", "drain/left"]);
    assert_eq!(played(&["cases/left.toml", "./cases/left.toml", "."]), ["drain/drained", "drain/left"]);
    assert_eq!(played(&["--filter", "rain/l", "--filter", "none"]), ["drain/left"]);
    assert_eq!(played(&["cases", "--jobs", "8"]), ["drain/drained", "drain/left"]);
    let none = folder.test(&["--filter", "right"]).ends_with(2);
    assert_eq!((none.err.as_str(), none.out.as_str()), ("error: of 2 cases, none has right in its name\n", ""));
}

#[test]
fn without_cases_there_is_nothing_to_test() {
    let folder = Folder::new();
    let none = folder.test(&[]).ends_with(2);
    insta::assert_snapshot!(none.err, @"error: there are no cases in .: a case is a .toml file in a folder named cases, such as ./cases/drained.toml");
    insta::assert_snapshot!(folder.test(&["absent"]).ends_with(2).err, @"error: cannot read absent: No such file or directory (os error 2)");
    insta::assert_snapshot!(folder.test(&["--seeds", "0"]).ends_with(2).err, @"
    error: invalid value '0' for '--seeds <N>': 0 is not in 1..18446744073709551615

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(folder.test(&["--watch", "--json"]).ends_with(2).err, @"
    error: the argument '--watch' cannot be used with '--json'

    Usage: hostler test --watch [PATH]...

    For more information, try '--help'.
    ");
}

#[test]
fn as_json_each_line_is_an_object() {
    let folder = Folder::new()
        .case("drained", "drain", &format!("{DRAINED}[expect]\ncpu-at-most = \"1ns\"\n"))
        .case("left", "abandon", "[expect]\noutcome = \"done\"\n")
        .write("cases/mistaken.toml", "");
    let ran = folder.test(&["--json", "--jobs", "1"]).ends_with(2);
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [drained, left, mistaken, summary] = &lines[..] else { panic!("{}", ran.out) };
    assert_eq!((&drained["case"], &drained["result"]), (&"drain/drained".into(), &"pass".into()));
    assert_eq!((&drained["path"], &drained["simulated-seconds"]), (&"cases/drained.toml".into(), &0.0.into()));
    assert!(drained["hints"][0].as_str().unwrap().starts_with("cpu-at-most: ") && drained["timeline"].is_null());
    assert_eq!((&left["result"], &left["deviations"][0]["what"]), (&"fail".into(), &"outcome".into()));
    assert_eq!(left["deviations"][0]["expected"], serde_json::json!(["done"]));
    assert!(left["timeline"][0].as_str().unwrap().starts_with("00:00.000  ~ event delivered"), "{left}");
    assert_eq!(mistaken["result"], "error");
    assert!(mistaken["error"].as_str().unwrap().contains("mistaken.toml:1:1: policy is missing"), "{mistaken}");
    let expected = serde_json::json!({ "cases": 3, "passed": 1, "failed": 1, "errors": 1 });
    for (count, expected) in expected.as_object().unwrap() {
        assert_eq!(&summary["summary"][count], expected, "{count}");
    }
    assert!(lines[..3].iter().all(|case| case["milliseconds"].is_f64()) && summary["summary"]["milliseconds"].is_f64());
}

#[test]
fn as_junit_a_build_server_reads_it() {
    let folder = Folder::new()
        .case("drained", "drain", DRAINED)
        .case("left", "abandon", "[expect]\noutcome = \"done\"\n")
        .write("cases/mistaken.toml", "");
    folder.test(&["--junit", "results.xml"]).ends_with(2);
    let report = Report::deserialize_from_str(&fs::read_to_string(folder.path("results.xml")).unwrap()).unwrap();
    assert_eq!(
        (report.name.as_ref().unwrap().as_str(), report.tests, report.failures, report.errors),
        ("hostler test", 3, 1, 1)
    );
    let [suite] = &report.test_suites[..] else { panic!("{:?}", report.test_suites) };
    assert_eq!((suite.name.as_str(), suite.tests), ("drain", 3));
    let told: Vec<_> = suite
        .test_cases
        .iter()
        .map(|case| {
            let (kind, message) = match &case.status {
                TestCaseStatus::Success { .. } => ("success", None),
                TestCaseStatus::NonSuccess { kind: NonSuccessKind::Failure, message, .. } => {
                    ("failure", message.as_ref())
                }
                TestCaseStatus::NonSuccess { kind: NonSuccessKind::Error, message, .. } => ("error", message.as_ref()),
                TestCaseStatus::Skipped { .. } => ("skipped", None),
            };
            (case.name.as_str(), kind, message.map_or("", |message| message.as_str()).to_owned())
        })
        .collect();
    insta::assert_debug_snapshot!(told, @r#"
    [
        (
            "drained",
            "success",
            "",
        ),
        (
            "left",
            "failure",
            "outcome: expected done, found abandoned: abandoned after 1 attempt of drain: because; lifecycle action completed with ABANDON",
        ),
        (
            "mistaken",
            "error",
            "cases/mistaken.toml:1:1: policy is missing: write policy = \"../hostler.toml\", the path of a policy",
        ),
    ]
    "#);
    let TestCaseStatus::NonSuccess { description, .. } = &suite.test_cases[1].status else { panic!("{told:?}") };
    assert!(description.as_ref().unwrap().as_str().contains("- done"), "{description:?}");
    assert!(suite.test_cases[1].system_out.as_ref().unwrap().as_str().contains("taken by drain"));
    folder.test(&["--junit", "absent/results.xml"]).ends_with(2);
}

#[test]
fn results_take_the_place_of_no_input() {
    let folder = Folder::new().case("left", "done", "").case("mistaken", "done", "mistaken = true\n");
    let world = format!("[[instance]]\nid = \"{INSTANCE}\"\n");
    let event = r#"{ "id": "1", "source": "s", "detail-type": "t", "account": "123456789012", "region": "eu-central-1",
        "time": "2026-01-15T03:00:00Z", "detail": {} }"#;
    let keys = "plugin = \"../done.wasm\"\nworld = \"world.toml\"\n[event]\nfile = \"event.json\"\n\
                [expect]\noutcome = \"no-handler\"\n";
    let folder = folder.write("cases/world.toml", world).write("cases/event.json", event);
    let folder = folder.write("cases/other.toml", format!("{HEAD}{keys}"));
    for input in [
        "cases/left.toml",
        "cases/mistaken.toml",
        "cases/world.toml",
        "cases/event.json",
        "hostler.toml",
        "./done.wasm",
    ] {
        let before = fs::read(folder.path(input)).unwrap();
        let refused = folder.test(&["--junit", input]).ends_with(2);
        let message = format!("error: --junit would write over {input}, which is an input: name another file\n");
        assert_eq!((refused.err, refused.out), (message, String::new()));
        assert_eq!(fs::read(folder.path(input)).unwrap(), before);
    }
}

#[test]
fn exploring_finds_what_breaks_a_handler_and_the_command_it_prints_finds_it_again() {
    let folder = Folder::new().case("blind", "blind", DRAINED);
    folder.test(&[]).ends_with(0);
    let found = folder.test(&["--seeds", "100"]).ends_with(1).shown();
    insta::assert_snapshot!(found, @r#"
    1 case under 100 seeds
      FAIL TOOK  09:32.398  drain/blind

    FAIL drain/blind  cases/blind.toml
      holds as it is written, and not under seed 22: replay it with
        hostler test cases/blind.toml --seeds 1 --seed 22
      the least that has to go wrong:
        [[fault]]
        operation = "ecs.drain"
        fault = "server-error"
        nth = 1
      instance i-0123456789abcdef0: container-instance-status:
        - DRAINING
        + ACTIVE
      what happened:
        00:00.000  ~ event delivered i-0123456789abcdef0: instance-terminating
        00:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Wait
        00:00.000  instance-terminating i-0123456789abcdef0 taken by drain, deadline 2026-01-15T04:00:00Z
        00:00.000  ! fault server-error: ecs.drain i-0123456789abcdef0
        00:00.000    ecs.drain i-0123456789abcdef0 -> unavailable UpdateContainerInstancesState failed at the other side (503 Service Unavailable): a simulated fault
        00:00.000  attempt 1: done
        00:00.000  ~ lifecycle action ended drain on i-0123456789abcdef0: completed with CONTINUE
        00:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Proceed
        00:00.000  ~ instance shutting down i-0123456789abcdef0
        00:00.000  ~ container instance deregistered i-0123456789abcdef0: 3 tasks lost
        00:00.000  done attempts=1 lifecycle=continue
    1 case: 0 passed, 1 failed in TOOK, 09:32.398 of simulated time
    "#);
    let command = found.lines().map(str::trim).find(|line| line.starts_with("hostler test ")).unwrap();
    let arguments: Vec<_> = command.split(' ').skip(2).collect();
    let again = folder.test(&arguments).ends_with(1).shown();
    // All but the last line, which counts the cases and the time.
    let failure = |out: &str| {
        let lines: Vec<_> = out.lines().skip_while(|line| !line.starts_with("FAIL")).map(str::to_owned).collect();
        lines[..lines.len() - 1].to_vec()
    };
    assert_eq!(failure(&again), failure(&found));

    let json: Value =
        serde_json::from_str(folder.test(&["--seeds", "100", "--json"]).out.lines().next().unwrap()).unwrap();
    assert!(json["failed-seed"]["least"].as_str().unwrap().starts_with("[[fault]]\n"), "{json}");
    assert_eq!(json["failed-seed"]["seed"], json["seeds"]);
}

#[test]
fn the_command_that_replays_a_seed_can_be_typed_as_it_is() {
    let folder = Folder::new().case("it's blind; really", "blind", DRAINED);
    let found = folder.test(&["--seeds", "100"]).ends_with(1).out;
    let command = found.lines().map(str::trim).find(|line| line.starts_with("hostler test ")).unwrap();
    assert!(command.starts_with(r"hostler test 'cases/it'\''s blind; really.toml' --seeds 1 --seed "), "{command}");
    let mut shell = Command::new("sh");
    // `hostler` is the one under test, wherever it was built.
    let function = format!("hostler() {{ '{}' \"$@\"; }}; {command}", env!("CARGO_BIN_EXE_hostler"));
    let output = shell.current_dir(folder.path("")).args(["-c", &function]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn exploring_what_stands_it_all_passes() {
    let folder = Folder::new().case("drained", "drain", DRAINED);
    let out = folder.test(&["--seeds", "30", "--seed", "1000"]).ends_with(0).shown();
    assert!(out.starts_with("1 case under 30 seeds\n") && out.contains("1 case: 1 passed in "), "{out}");
}

#[test]
fn a_seed_decides_what_chance_does() {
    let chance = "[[fault]]\noperation = \"ecs.drain\"\nfault = \"throttled\"\nprobability = 0.5\n";
    let folder = Folder::new().case("blind", "blind", &format!("{DRAINED}{chance}"));
    let codes: Vec<_> = (0..10).map(|seed| folder.test(&["--seed", &seed.to_string()]).code).collect();
    assert!(codes.contains(&Some(0)) && codes.contains(&Some(1)), "{codes:?}");
    let own: Vec<_> = (0..10u8).filter(|seed| codes[usize::from(*seed)] == Some(1)).collect();
    let text = format!("{HEAD}plugin = \"../blind.wasm\"\nseed = {}\n{EVENT}{DRAINED}{chance}", own[0]);
    folder.write("cases/blind.toml", text).test(&[]).ends_with(1);
}

#[test]
fn seeds_past_the_last_are_refused_and_the_last_is_played() {
    let folder = Folder::new().case("drained", "drain", DRAINED);
    let last = u64::MAX.to_string();
    let refused = folder.test(&["--seed", &last, "--seeds", "10"]).ends_with(2);
    assert_eq!(refused.out, "");
    insta::assert_snapshot!(refused.err, @"error: --seed 18446744073709551615 --seeds 10 goes past 18446744073709551615, the last seed there is: write --seed 18446744073709551606 at most");
    folder.test(&["--seed", &last, "--seeds", "1"]).ends_with(0);
}

#[test]
fn the_schema_is_one() {
    let folder = Folder::new();
    let schema: Value = serde_json::from_str(&folder.test(&["--schema"]).ends_with(0).out).unwrap();
    assert_eq!(schema["title"], "Hostler case");
    folder.test(&["--schema", "cases"]).ends_with(2);
}

/// Tells each line of `from` as it comes.
fn tell(from: impl Read + Send + 'static, to: &Sender<String>) {
    let to = to.clone();
    std::thread::spawn(move || BufReader::new(from).lines().map_while(Result::ok).all(|line| to.send(line).is_ok()));
}

/// Waits for a line that begins so; nobody needs a minute for that.
#[track_caller]
fn wait(lines: &Receiver<String>, beginning: &str) {
    let mut passed = Vec::new();
    loop {
        match lines.recv_timeout(Duration::from_secs(60)) {
            Ok(line) if line.starts_with(beginning) => return,
            Ok(line) => passed.push(line),
            Err(error) => panic!("no line begins with {beginning:?} ({error}):\n{}", passed.join("\n")),
        }
    }
}

#[test]
fn watching_plays_again_what_is_saved() {
    let folder = Folder::new().case("left", "done", "[expect]\noutcome = \"done\"\n");
    let mut command = folder.command(&["--watch"]);
    let mut watching = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (to, lines) = mpsc::channel();
    tell(watching.stdout.take().unwrap(), &to);
    tell(watching.stderr.take().unwrap(), &to);

    wait(&lines, "1 case: 1 passed");
    // A case is changed, a case is added, a plugin is changed, and a case is broken and mended.
    let folder = folder.case("left", "abandon", "[expect]\noutcome = \"done\"\n");
    wait(&lines, "1 case: 0 passed, 1 failed");
    let folder = folder.case("drained", "drain", DRAINED);
    wait(&lines, "2 cases: 1 passed, 1 failed");
    let folder = folder.write("abandon.wasm", guests::done());
    wait(&lines, "2 cases: 2 passed");
    let folder = folder.write("cases/left.toml", "");
    wait(&lines, "2 cases: 1 passed, 1 not played");
    let _folder = folder.case("left", "done", "[expect]\noutcome = \"done\"\n");
    wait(&lines, "2 cases: 2 passed");
    watching.kill().unwrap();
    watching.wait().unwrap();
}
