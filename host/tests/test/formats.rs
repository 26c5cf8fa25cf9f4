//! Results for programs: JSON, JUnit's XML, and the schema of cases.

use std::fs;

use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use serde_json::Value;

use crate::folder::{DRAINED, Folder, HEAD, INSTANCE};

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
fn the_schema_is_one() {
    let folder = Folder::new();
    let schema: Value = serde_json::from_str(&folder.test(&["--schema"]).ends_with(0).out).unwrap();
    assert_eq!(schema["title"], "Hostler case");
    folder.test(&["--schema", "cases"]).ends_with(2);
}
