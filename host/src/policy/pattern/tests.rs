use serde_json::{Value, json};

use super::*;
use crate::reading::Reading;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    event: Option<crate::reading::At<EventPattern>>,
}

/// The pattern, or its mistakes.
fn read(text: &str) -> Result<Pattern, Vec<String>> {
    let text = format!("[event]\n{text}");
    let mut reading = Reading::new(&text);
    let event = reading.read::<Event>(&text).and_then(|read| read.event);
    let pattern = event.map(|event| EventPattern::read(event.at, &event.value, &mut reading));
    let mistakes = reading.findings.finish().0;
    match pattern {
        Some(pattern) if mistakes.is_empty() => Ok(pattern),
        _ => Err(mistakes.into_iter().map(|m| format!("{}:{}: {}", m.line, m.column, m.message)).collect()),
    }
}

fn pattern(text: &str) -> Pattern {
    read(text).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:#?}"))
}

/// Each test of the User Guide's table and what follows from it: a pattern for `detail.x`, a value of `x`, and whether it matches.
#[test]
fn every_operator_means_what_it_means_in_eventbridge() {
    let cases: Vec<(&str, Value, bool)> = vec![
        // Exact: type and value.
        (r#"["a"]"#, json!("a"), true),
        (r#"["a"]"#, json!("A"), false),
        (r#"["a"]"#, json!("ab"), false),
        (r#"["a", "b"]"#, json!("b"), true),
        (r#"[""]"#, json!(""), true),
        (r#"[""]"#, json!(null), false),
        (r#"["1"]"#, json!(1), false),
        ("[1]", json!(1), true),
        ("[1]", json!(1.0), true),
        ("[1.5]", json!(1.5), true),
        ("[300]", json!(3.0e2), true),
        ("[1]", json!("1"), false),
        ("[1]", json!(true), false),
        ("[true]", json!(true), true),
        ("[true]", json!(false), false),
        ("[true]", json!("true"), false),
        // Arrays in the event: one element is enough.
        (r#"["a"]"#, json!(["b", "a"]), true),
        (r#"["a"]"#, json!(["b", "c"]), false),
        (r#"["a"]"#, json!([]), false),
        (r#"["a"]"#, json!([["a"]]), true),
        (r#"["a"]"#, json!({ "a": 1 }), false),
        (r#"["a"]"#, json!([{ "a": 1 }]), false),
        // prefix, suffix
        (r#"[{ prefix = "us-" }]"#, json!("us-east-1"), true),
        (r#"[{ prefix = "us-" }]"#, json!("us-"), true),
        (r#"[{ prefix = "us-" }]"#, json!("eu-us-"), false),
        (r#"[{ prefix = "1" }]"#, json!(123), false),
        (r#"[{ prefix = "" }]"#, json!("anything"), true),
        (r#"[{ prefix = { equals-ignore-case = "EventB" } }]"#, json!("eventbridge"), true),
        (r#"[{ prefix = { equals-ignore-case = "EventB" } }]"#, json!("event"), false),
        (r#"[{ suffix = ".png" }]"#, json!("a.png"), true),
        (r#"[{ suffix = ".png" }]"#, json!("a.png.txt"), false),
        (r#"[{ suffix = { equals-ignore-case = ".PNG" } }]"#, json!("a.png"), true),
        (r#"[{ suffix = { equals-ignore-case = ".PNG" } }]"#, json!("a.jpg"), false),
        // equals-ignore-case
        (r#"[{ equals-ignore-case = "Alice" }]"#, json!("aLICE"), true),
        (r#"[{ equals-ignore-case = "ÄRGER" }]"#, json!("ärger"), true),
        (r#"[{ equals-ignore-case = "Alice" }]"#, json!("alices"), false),
        // wildcard
        (r#"[{ wildcard = "dir/*.png" }]"#, json!("dir/a/b.png"), true),
        (r#"[{ wildcard = "dir/*.png" }]"#, json!("dir/.png"), true),
        (r#"[{ wildcard = "dir/*.png" }]"#, json!("dir/.pn"), false),
        (r"[{ wildcard = 'a\*b' }]", json!("a*b"), true),
        (r"[{ wildcard = 'a\*b' }]", json!("aXb"), false),
        (r#"[{ wildcard = "*" }]"#, json!(5), false),
        // anything-but: there has to be a value.
        (r#"[{ anything-but = "a" }]"#, json!("b"), true),
        (r#"[{ anything-but = "a" }]"#, json!("a"), false),
        (r#"[{ anything-but = "1" }]"#, json!(1), true),
        (r#"[{ anything-but = 1 }]"#, json!(1.0), false),
        (r#"[{ anything-but = ["a", "b"] }]"#, json!("b"), false),
        (r#"[{ anything-but = ["a", "b"] }]"#, json!("c"), true),
        (r#"[{ anything-but = [1, 2] }]"#, json!(2), false),
        (r#"[{ anything-but = [1, 2] }]"#, json!(3), true),
        (r#"[{ anything-but = "a" }]"#, json!(null), true),
        (r#"[{ anything-but = "a" }]"#, json!([]), false),
        (r#"[{ anything-but = "a" }]"#, json!({}), false),
        (r#"[{ anything-but = "a" }]"#, json!(["a", "b"]), true),
        (r#"[{ anything-but = "a" }]"#, json!(["a"]), false),
        (r#"[{ anything-but = { prefix = "init" } }]"#, json!("initializing"), false),
        (r#"[{ anything-but = { prefix = "init" } }]"#, json!("running"), true),
        (r#"[{ anything-but = { prefix = ["a", "b"] } }]"#, json!("bc"), false),
        (r#"[{ anything-but = { prefix = ["a", "b"] } }]"#, json!("cb"), true),
        (r#"[{ anything-but = { suffix = ".png" } }]"#, json!("a.png"), false),
        (r#"[{ anything-but = { suffix = ".png" } }]"#, json!("a.txt"), true),
        (r#"[{ anything-but = { equals-ignore-case = "A" } }]"#, json!("a"), false),
        (r#"[{ anything-but = { equals-ignore-case = ["A", "B"] } }]"#, json!("c"), true),
        (r#"[{ anything-but = { wildcard = "*/lib/*" } }]"#, json!("a/lib/b"), false),
        (r#"[{ anything-but = { wildcard = "*/lib/*" } }]"#, json!("a/bin/b"), true),
        // exists: leaves only.
        ("[{ exists = true }]", json!("a"), true),
        ("[{ exists = true }]", json!(null), true),
        ("[{ exists = true }]", json!(""), true),
        ("[{ exists = true }]", json!([1]), true),
        ("[{ exists = true }]", json!([]), false),
        ("[{ exists = true }]", json!({ "a": 1 }), false),
        ("[{ exists = false }]", json!("a"), false),
        ("[{ exists = false }]", json!(null), false),
        ("[{ exists = false }]", json!({ "a": 1 }), true),
        (r#"[{ exists = false }, "a"]"#, json!("a"), true),
        (r#"[{ exists = false }, "a"]"#, json!("b"), false),
        // numeric
        (r#"[{ numeric = [">", 0, "<=", 5] }]"#, json!(5), true),
        (r#"[{ numeric = [">", 0, "<=", 5] }]"#, json!(0), false),
        (r#"[{ numeric = [">", 0, "<=", 5] }]"#, json!(5.01), false),
        (r#"[{ numeric = ["=", 3.018e2] }]"#, json!(301.8), true),
        (r#"[{ numeric = ["<", 10] }]"#, json!(-1), true),
        (r#"[{ numeric = [">=", 10] }]"#, json!("11"), false),
        // cidr
        (r#"[{ cidr = "10.0.0.0/24" }]"#, json!("10.0.0.255"), true),
        (r#"[{ cidr = "10.0.0.0/24" }]"#, json!("10.0.1.0"), false),
        (r#"[{ cidr = "0.0.0.0/0" }]"#, json!("192.0.2.1"), true),
        (r#"[{ cidr = "::/0" }]"#, json!("2001:db8::1"), true),
        (r#"[{ cidr = "2001:db8::/32" }]"#, json!("2001:db9::1"), false),
        (r#"[{ cidr = "10.0.0.0/24" }]"#, json!("not an address"), false),
        (r#"[{ cidr = "10.0.0.1/32" }]"#, json!("10.0.0.1"), true),
        // Several tests: one is enough.
        (r#"[{ prefix = "a" }, { suffix = "z" }, 5]"#, json!("xz"), true),
        (r#"[{ prefix = "a" }, { suffix = "z" }, 5]"#, json!(5), true),
        (r#"[{ prefix = "a" }, { suffix = "z" }, 5]"#, json!("x"), false),
    ];
    for (tests, value, expected) in cases {
        let event = json!({ "detail": { "x": value } });
        assert_eq!(pattern(&format!("detail.x = {tests}")).matches(&event), expected, "{tests} against {event}");
    }
}

#[test]
fn a_missing_field_passes_only_the_test_for_its_absence() {
    for event in [json!({}), json!({ "detail": {} }), json!({ "detail": null }), json!({ "detail": "x" }), json!([])] {
        assert!(pattern("detail.x = [{ exists = false }]").matches(&event), "{event}");
        for tests in [r#"["a"]"#, r#"[{ anything-but = "a" }]"#, "[{ exists = true }]", r#"[{ wildcard = "*" }]"#] {
            assert!(!pattern(&format!("detail.x = {tests}")).matches(&event), "{tests} against {event}");
        }
    }
}

#[test]
fn fields_are_joined_by_and_across_tables() {
    let both = pattern("source = [\"aws.ec2\"]\ndetail.a.b = [1]\ndetail.c = [2]");
    assert!(both.matches(&json!({ "source": "aws.ec2", "detail": { "a": { "b": 1, "z": 0 }, "c": 2 }, "id": "x" })));
    assert!(!both.matches(&json!({ "source": "aws.ec2", "detail": { "a": { "b": 1 }, "c": 3 } })));
    assert!(!both.matches(&json!({ "source": "aws.ec2", "detail": { "a": 1, "c": 2 } })));
}

#[test]
fn a_table_below_an_array_is_matched_by_one_element_alone() {
    let person = pattern("detail.people = { first = [\"Anna\"], last = [\"Jones\"] }");
    let people = |people: Value| json!({ "detail": { "people": people } });
    assert!(person.matches(&people(json!([{ "first": "Bob", "last": "Li" }, { "first": "Anna", "last": "Jones" }]))));
    assert!(!person.matches(&people(json!([{ "first": "Anna", "last": "Li" }, { "first": "Bob", "last": "Jones" }]))));

    let nobody = pattern("detail.people.first = [{ exists = false }]");
    assert!(nobody.matches(&people(json!([{ "last": "Li" }, {}]))));
    assert!(!nobody.matches(&people(json!([{ "last": "Li" }, { "first": "Anna" }]))));
    assert!(nobody.matches(&people(json!([]))));
}

#[test]
fn or_is_joined_with_the_fields_beside_it() {
    let either = pattern("source = [\"s\"]\n\"$or\" = [{ detail.a = [1] }, { detail.b = [{ numeric = [\"<\", 0] }] }]");
    assert!(either.matches(&json!({ "source": "s", "detail": { "a": 1 } })));
    assert!(either.matches(&json!({ "source": "s", "detail": { "a": 2, "b": -1 } })));
    assert!(!either.matches(&json!({ "source": "s", "detail": { "a": 2, "b": 1 } })));
    assert!(!either.matches(&json!({ "source": "t", "detail": { "a": 1 } })));
    let below =
        pattern("[event.detail]\nc = [1]\n[[event.detail.\"$or\"]]\na = [1]\n[[event.detail.\"$or\"]]\nb = [1]");
    assert!(below.matches(&json!({ "detail": { "c": 1, "b": 1 } })));
    assert!(!below.matches(&json!({ "detail": { "c": 1 } })));
}

#[test]
fn a_hook_is_named_only_by_its_plain_name() {
    let path = ["detail", "LifecycleHookName"];
    let names = |text: &str| pattern(text).names_literally(&path, "ecs-managed-draining-termination-hook");
    assert!(names("detail.LifecycleHookName = [\"x\", \"ecs-managed-draining-termination-hook\"]"));
    assert!(names(
        "\"$or\" = [{ id = [\"1\"] }, { detail.LifecycleHookName = [\"ecs-managed-draining-termination-hook\"] }]"
    ));
    assert!(!names("detail.LifecycleHookName = [{ prefix = \"ecs-managed-\" }]"));
    assert!(!names("detail.LifecycleHookName = [{ anything-but = \"ecs-managed-draining-termination-hook\" }]"));
    assert!(!names("source = [\"ecs-managed-draining-termination-hook\"]"));
    assert!(!pattern("detail.a.b = [\"x\"]").names_literally(&["detail", "a"], "x"));
}

#[test]
fn what_is_known_of_an_event_tells_whether_it_could_match() {
    let known = json!({ "source": "aws.autoscaling" });
    assert!(pattern("detail.x = [1]").could_match(&known));
    assert!(pattern("source = [\"aws.autoscaling\"]\ndetail.x = [1]").could_match(&known));
    assert!(!pattern("source = [\"aws.ec2\"]").could_match(&known));
    assert!(pattern("\"$or\" = [{ source = [\"aws.ec2\"] }, { id = [\"1\"] }]").could_match(&known));
    assert!(!pattern("\"$or\" = [{ source = [\"aws.ec2\"] }, { source = [\"x\"] }]").could_match(&known));
    let known = json!({ "detail": { "a": 1 } });
    assert!(pattern("detail.b = [1]").could_match(&known));
    assert!(pattern("detail.b = [1]\ndetail.a = [1]").could_match(&known));
    assert!(!pattern("detail.b = [1]\ndetail.a = [2]").could_match(&known));
    assert!(!pattern("detail.a.b = [1]").could_match(&known));
}

#[test]
fn every_mistake_is_explained_in_its_place() {
    let mistakes = |text: &str| read(text).expect_err(text).join("\n");
    insta::assert_snapshot!(mistakes(""), @r#"1:1: an empty pattern would match everything: say what to match, such as source = ["aws.ec2"]"#);
    insta::assert_snapshot!(mistakes("source = \"aws.ec2\"\ndetail.n = 5"), @r#"
    2:10: a pattern lists what a field may be: write source = ["aws.ec2"]
    3:12: a pattern lists what a field may be: write n = [5]
    "#);
    insta::assert_snapshot!(mistakes("source = []\ndetail = {}"), @r#"
    2:10: an empty array matches nothing: write what source may be
    3:10: an empty pattern would match everything: say what to match, such as source = ["aws.ec2"]
    "#);
    insta::assert_snapshot!(mistakes("sources = [\"a\"]\ndetail_type = [\"a\"]\nzone = [\"a\"]\n\"detail.x\" = [\"a\"]"), @r#"
    2:1: no event has a field "sources": did you mean "source"?
    3:1: no event has a field "detail_type": did you mean "detail-type"?
    4:1: no event has a field "zone": an event has version, id, detail-type, source, account, time, region, resources, detail, replay-name; its own fields are below detail
    5:1: no event has a field "detail.x": write detail.x without quotes
    "#);
    insta::assert_snapshot!(mistakes("source = [[\"a\"]]\nid = [{}]\ntime = [2020-01-01]"), @r#"
    2:11: an array in an array matches nothing: list the values themselves
    3:7: a test is a table with one operator in it: prefix, suffix, equals-ignore-case, wildcard, anything-but, exists, numeric, cidr
    4:9: a date in an event is a text: write it in quotes
    "#);
    insta::assert_snapshot!(mistakes("source = { prefix = \"aws.\" }"), @"2:10: prefix stands in an array: write source = [{ prefix = … }]");
    insta::assert_snapshot!(mistakes("source = [{ prefiks = \"aws.\" }, { prefix = \"a\", suffix = \"b\" }, { prefix = 5 }]"), @r#"
    2:13: unknown operator "prefiks", did you mean "prefix"? (allowed here: prefix, suffix, equals-ignore-case, wildcard, anything-but, exists, numeric, cidr)
    2:33: a test is a table with one operator in it: prefix, suffix, equals-ignore-case, wildcard, anything-but, exists, numeric, cidr
    2:76: prefix takes a text in quotes or { equals-ignore-case = "…" }
    "#);
    insta::assert_snapshot!(mistakes("source = [{ wildcard = \"a**\" }, { exists = \"yes\" }, { cidr = \"10.0.0.0/33\" }, { cidr = 5 }]"), @r#"
    2:24: wildcard "a**" has two stars in a row, which EventBridge refuses: write one
    2:44: exists takes true or false
    2:62: "10.0.0.0/33" is not a network, such as "10.0.0.0/24"
    2:88: cidr takes a network in quotes, such as "10.0.0.0/24"
    "#);
    insta::assert_snapshot!(mistakes("detail.n = [{ numeric = \"> 5\" }, { numeric = [\">\"] }, { numeric = [\"!\", 5] }, { numeric = [\">\", 5, \"<\", 1] }, { numeric = [\"<\", 6e9] }, { numeric = [\"<\", 1, \"<\", 2] }, { numeric = [] }]"), @r#"
    2:25: numeric takes one comparison or a lower and an upper one, such as [">", 0, "<=", 5]
    2:46: numeric takes one comparison or a lower and an upper one, such as [">", 0, "<=", 5]
    2:68: "!" is no comparison: write <, <=, =, >= or >
    2:91: nothing lies between these bounds: the lower one comes first
    2:123: numeric compares with numbers from -5 billion to 5 billion, as EventBridge does
    2:149: numeric takes one comparison or a lower and an upper one, such as [">", 0, "<=", 5]
    2:181: numeric takes one comparison or a lower and an upper one, such as [">", 0, "<=", 5]
    "#);
    insta::assert_snapshot!(mistakes("source = [{ anything-but = [] }, { anything-but = [\"a\", 1] }, { anything-but = true }, { anything-but = { exists = true } }, { anything-but = { prefix = [] } }]"), @r#"
    2:28: an empty list excludes nothing
    2:51: anything-but takes texts or numbers, not both at once
    2:80: anything-but takes texts or numbers
    2:107: unknown operator "exists" (allowed here: prefix, suffix, equals-ignore-case, wildcard)
    2:154: an empty list excludes nothing
    "#);
    insta::assert_snapshot!(mistakes("\"$or\" = [{ source = [\"a\"] }]\n[event.detail]\n\"$or\" = 5"), @r#"
    2:9: "$or" needs at least two alternatives
    4:9: "$or" takes an array of tables, one for each alternative
    "#);
    insta::assert_snapshot!(mistakes("\"$or\" = [{ source = [\"a\"] }, 5]\ndetail.x = [nan, inf]"), @r#"
    2:30: each alternative of "$or" is a table, such as { source = ["aws.ec2"] }
    3:13: no event holds such a number
    3:18: no event holds such a number
    "#);
}
