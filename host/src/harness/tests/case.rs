//! What a case can be, and every mistake that it can have.

use std::path::Path;

use super::super::Case;
use super::{EVENT, Folder, HEAD, INSTANCE, POLICY, case, deviations};
use crate::testing::guests;

/// What is said of a case of [`HEAD`] and `rest`.
#[track_caller]
fn mistakes(rest: &str) -> String {
    mistakes_in(Folder::new(), &format!("{HEAD}{rest}"))
}

/// What is said of the case of that text.
#[track_caller]
fn mistakes_in(folder: Folder, text: &str) -> String {
    match folder.read(text) {
        Ok(_) => panic!("this is a case: {text}"),
        Err(mistakes) => mistakes,
    }
}

/// The same with [`EVENT`] before `rest`, which begins on line 6.
#[track_caller]
fn mistakes_after_event(rest: &str) -> String {
    mistakes(&format!("{EVENT}{rest}"))
}

#[test]
fn the_least_case() {
    let case = case("");
    assert_eq!((case.events.len(), case.faults.len(), case.seed), (1, 0, 0));
    assert_eq!(case.events[0].event.instance.as_ref().unwrap().as_str(), INSTANCE);
    assert_eq!(case.plugins.keys().collect::<Vec<_>>(), ["drain.wasm"]);
    assert_eq!(case.memory(), case.handler.limits.memory);
}

#[test]
fn the_settings_of_a_case_go_over_those_of_the_policy() {
    let policy = POLICY.replace("finish =", "config = { one = \"1\", two = \"2\" }\nfinish =");
    let text = format!("{HEAD}config = {{ two = \"II\", three = \"III\" }}\n{EVENT}");
    let case = Folder::new().write("hostler.toml", policy).read(&text).unwrap();
    let config: Vec<_> = case.handler.config.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(config, ["one=1", "three=III", "two=II"]);
    assert_eq!(case.policy.handlers[0].config, case.handler.config, "the handler that is played has them");
}

#[test]
fn the_plugin_is_the_package_that_the_case_is_in() {
    let folder = Folder::new().write("Cargo.toml", "");
    let here = folder.path("").canonicalize().unwrap();
    let case = folder.read(&format!("policy = \"hostler.toml\"\nhandler = \"drain\"\n{EVENT}")).unwrap();
    assert_eq!(case.plugins["drain.wasm"], here);
}

#[test]
fn what_is_missing() {
    insta::assert_snapshot!(mistakes_in(Folder::new(), ""), @r#"
    1: policy is missing: write policy = "../hostler.toml", the path of a policy
    1: handler is missing: write handler = "…", the name of a handler of the policy
    1: event is missing: write [event] with a kind, such as kind = "instance-terminating"
    "#);
    insta::assert_snapshot!(mistakes("event = []"), @"4: the list is empty: write what is meant, or leave it out");
    insta::assert_snapshot!(mistakes("[event]"), @r#"4: kind is missing: write kind = "instance-terminating", or json, or file"#);
    insta::assert_snapshot!(mistakes(&format!("{EVENT}[[fault]]")), @r#"
    6: operation is missing: write operation = "ecs.drain", or "*"
    6: fault is missing: write fault = "throttled", or another kind
    "#);
}

#[test]
fn what_is_no_key_or_no_toml() {
    insta::assert_snapshot!(mistakes("handlr = \"drain\"\n[event]\nkind = \"instance-terminatin\"\ngrup = \"web\""), @r#"
    4: unknown key "handlr", did you mean "handler"? (allowed here: policy, handler, plugin, plugins, config, seed, event, world, fault, expect, explore)
    6: unknown value "instance-terminatin", did you mean "instance-terminating"? (allowed here: instance-terminating, instance-launching, instance-returning-to-warm-pool, instance-entering-warm-pool, warm-instance-terminating, instance-leaving-warm-pool, spot-interruption, rebalance-recommendation, instance-state-change, capacity-reservation-interruption, scheduled-maintenance, other)
    7: unknown key "grup", did you mean "group"? (allowed here: name, kind, json, file, instance, group, hook, time, id, token, detail, at)
    "#);
    insta::assert_snapshot!(mistakes("[event"), @"4: not TOML: unclosed table, expected `]`");
    insta::assert_snapshot!(mistakes(&format!("config = {{ tries = 3 }}\nseed = -1\n{EVENT}[fault]\noperation = \"ecs.drain\"")), @"
    4: expected a string, found integer 3
    5: expected a whole number from 0, found integer -1
    8: expected double brackets, [[…]], since there can be several of these, found a table
    ");
}

#[test]
fn a_file_that_cannot_be_read() {
    let folder = Folder::new();
    let absent = Case::read(&folder.path("absent.toml")).unwrap_err().to_string();
    assert!(absent.ends_with("absent.toml: cannot be read: No such file or directory (os error 2)"), "{absent}");
    insta::assert_snapshot!(mistakes_in(Folder::new(), &" ".repeat((1 << 20) + 1)), @"HERE/case.toml: cannot be read: it has more than 1.0 MiB, and no more is read");
    let endless = Case::read(Path::new("/dev/zero")).unwrap_err().to_string();
    assert_eq!(endless, "/dev/zero: cannot be read: it has more than 1.0 MiB, and no more is read");
    let folder = Folder::new().write("case.toml", b"\xff");
    let binary = Case::read(&folder.path("case.toml")).unwrap_err().to_string();
    assert!(binary.ends_with("case.toml: cannot be read: it is not UTF-8 text"), "{binary}");
}

#[test]
fn the_policy_and_its_handler() {
    let text = |policy: &str, handler: &str| {
        format!("policy = {policy:?}\nhandler = {handler:?}\nplugin = \"plugin.wasm\"\n{EVENT}")
    };
    insta::assert_snapshot!(mistakes_in(Folder::new(), &text("absent.toml", "drain")), @"1: the policy HERE/absent.toml cannot be read: No such file or directory (os error 2)");
    insta::assert_snapshot!(mistakes_in(Folder::new(), &text("hostler.toml", "drian")), @r#"2: the policy has no handler "drian"; did you mean "drain"?"#);
    insta::assert_snapshot!(mistakes_in(Folder::new(), &text("hostler.toml", "terminate")), @r#"2: the policy has no handler "terminate"; there are drain, spot"#);
    let unsound = Folder::new().write("hostler.toml", POLICY.replace("max-attempts", "max-atempts"));
    insta::assert_snapshot!(mistakes_in(unsound, &text("hostler.toml", "drain")), @r#"
    1: the policy is not sound:
    HERE/hostler.toml:9:12: unknown key "max-atempts", did you mean "max-attempts"? (allowed here: deadline, on-failure, max-attempts)
      9 | finish = { max-atempts = 3 }
        |            ^
    "#);
}

#[test]
fn the_plugins() {
    let text = |keys: &str| format!("policy = \"hostler.toml\"\nhandler = \"drain\"\n{keys}\n{EVENT}");
    insta::assert_snapshot!(mistakes_in(Folder::new(), &text("")), @r#"1: the file is in no package, so it has to name its plugin: write plugin = "…""#);
    insta::assert_snapshot!(mistakes_in(Folder::new(), &text("plugin = \"absent.wasm\"")), @"3: HERE/absent.wasm does not exist");
    insta::assert_snapshot!(mistakes_in(Folder::new(), &text("plugin = \"hostler.toml\"")), @"3: HERE/hostler.toml is neither a package (it has no Cargo.toml) nor a .wasm file");
    insta::assert_snapshot!(mistakes_in(Folder::new(), &text("plugin = \".\"")), @"3: HERE/. is neither a package (it has no Cargo.toml) nor a .wasm file");
    insta::assert_snapshot!(mistakes_in(Folder::new(), &text("plugin = \"plugin.wasm\"\nplugins = { \"spt.wasm\" = \"plugin.wasm\", \"other\" = \"gone\" }")), @r#"
    4: the policy names no module "spt.wasm"; did you mean "spot.wasm"?
    4: the policy names no module "other"; there are drain.wasm, spot.wasm
    4: HERE/gone does not exist
    "#);
}

#[test]
fn the_forms_of_an_event() {
    insta::assert_snapshot!(mistakes("[event]\nkind = \"instance-terminating\"\njson = \"{}\"\nfile = \"event.json\""), @"6: an event has kind and json: it comes in one form");
    insta::assert_snapshot!(mistakes("[event]\njson = \"{}\""), @"5: the event: not an event: neither EventBridge's (there is no `detail-type`), nor a notification of Auto Scaling (no `LifecycleTransition`), nor either in a message of SNS (no `TopicArn` and `Message`)");
    insta::assert_snapshot!(mistakes("[event]\njson = \"garbage\"\ninstance = \"i-0123456789abcdef0\"\ngroup = \"web\"\nhook = \"drain\"\ntime = \"2026-01-15T03:00:00Z\"\nid = \"1\"\ntoken = \"2\"\ndetail.a = 1"), @"
    4: time goes with a kind: an event given as it came says it itself
    4: id goes with a kind: an event given as it came says it itself
    4: detail goes with a kind: an event given as it came says it itself
    4: token goes with a kind: an event given as it came says it itself
    5: the event: not JSON: expected value at line 1 column 1, near `garbage`
    6: instance goes with a kind: an event given as it came says it itself
    7: group goes with a kind: an event given as it came says it itself
    8: hook goes with a kind: an event given as it came says it itself
    ");
    insta::assert_snapshot!(mistakes("[event]\nkind = \"spot-interruption\"\nhook = \"drain\"\ntoken = \"token\""), @"
    4: token goes with a lifecycle action, and spot-interruption has none
    6: hook goes with a lifecycle action, and spot-interruption has none
    ");
    insta::assert_snapshot!(mistakes("[event]\nfile = \"absent.json\""), @"5: HERE/absent.json cannot be read: No such file or directory (os error 2)");
    let test = r#"{"Service":"AWS Auto Scaling","Time":"2026-01-15T03:00:00.000Z","RequestId":"x","Event":"autoscaling:TEST_NOTIFICATION","AccountId":"123456789012","AutoScalingGroupName":"web","AutoScalingGroupARN":"arn"}"#;
    insta::assert_snapshot!(mistakes_in(Folder::new().write("event.json", test), &format!("{HEAD}[event]\nfile = \"event.json\"")), @"5: HERE/event.json is a test notification, which makes no event");
    insta::assert_snapshot!(mistakes("[[event]]\nkind = \"spot-interruption\"\n[[event]]\nkind = \"spot-interruption\"\nat = \"5s\""), @r#"6: two events have the id "spot-interruption-i-0123456789abcdef0": to deliver one twice, write at = ["0s", "0s"]; to tell two apart, give them an id, or a token"#);
    insta::assert_snapshot!(mistakes("[event]\nkind = \"spot-interruption\"\ninstance = \"i-1\"\ngroup = \"\"\nhook = \"a b\"\ntime = \"noon\"\nat = [\"1s\", 2]"), @r#"
    6: "i-1" is not an EC2 instance id (i- and 8 or 17 hexadecimal digits, such as i-0123456789abcdef0)
    7: "" is not the name of an Auto Scaling group (1 to 255 characters)
    8: "a b" is not the name of a lifecycle hook (1 to 255 letters, digits, -, _ and /)
    9: "noon" is not an instant: write date, time and zone, such as "2026-01-15T03:00:00Z"
    10: the bare number 2 is not a time: give it a unit, such as "2s"
    "#);
}

#[test]
fn an_event_as_it_came() {
    let event = guests_event("2025-06-01T12:00:00Z");
    let text = format!(
        "{HEAD}[[event]]\nkind = \"spot-interruption\"\nat = \"5s\"\n[[event]]\nfile = \"event.json\"\nat = \"2s\"\n"
    );
    let case = Folder::new().write("event.json", event).read(&text).unwrap();
    let told: Vec<_> = case.events.iter().map(|incident| (&*incident.name, incident.event.time.to_string())).collect();
    // The case begins so that the recorded event has happened when it is delivered; the other is of the moment it is delivered.
    assert_eq!(
        told,
        [("spot-interruption", "2025-06-01T12:00:03Z".to_owned()), ("event", "2025-06-01T12:00:00Z".to_owned())]
    );
    assert_eq!(case.world.start().unwrap().to_string(), "2025-06-01T11:59:58Z");
}

fn guests_event(time: &str) -> String {
    serde_json::json!({
        "version": "0", "id": "1", "source": "aws.ec2", "detail-type": "EC2 Instance Rebalance Recommendation",
        "account": "123456789012", "region": "eu-central-1", "time": time, "resources": [],
        "detail": { "instance-id": INSTANCE },
    })
    .to_string()
}

#[test]
fn an_event_is_of_the_moment_it_is_delivered() {
    let time = |rest: &str| {
        let case = Folder::new()
            .write("world.toml", "start = \"2026-03-01T00:00:00Z\"")
            .read(&format!("{HEAD}{rest}"))
            .unwrap();
        (case.events[0].event.time.to_string(), case.world.start().unwrap().to_string())
    };
    let told = |event: &str, world: &str| (event.to_owned(), world.to_owned());
    assert_eq!(time(EVENT), told("2026-01-15T03:00:00Z", "2026-01-15T03:00:00Z"));
    assert_eq!(time(&format!("{EVENT}at = [\"9s\", \"5s\"]")), told("2026-01-15T03:00:05Z", "2026-01-15T03:00:00Z"));
    let start = "[world]\nstart = \"2026-06-01T00:00:00Z\"";
    assert_eq!(time(&format!("{EVENT}at = \"5s\"\n{start}")), told("2026-06-01T00:00:05Z", "2026-06-01T00:00:00Z"));
    let file = "world = \"world.toml\"\n";
    assert_eq!(time(&format!("{file}{EVENT}at = \"5s\"")), told("2026-03-01T00:00:05Z", "2026-03-01T00:00:00Z"));
    let own = "time = \"2026-02-02T02:02:02Z\"\n";
    assert_eq!(time(&format!("{EVENT}{own}at = \"2s\"")), told("2026-02-02T02:02:02Z", "2026-02-02T02:02:00Z"));
}

#[test]
fn the_faults() {
    let fault = |keys: &str| mistakes_after_event(&format!("[[fault]]\n{keys}"));
    insta::assert_snapshot!(fault("operation = \"ecs.drian\"\nfault = \"throtled\""), @r#"
    7: there is no operation "ecs.drian"; did you mean "ecs.drain"?
    8: unknown value "throtled", did you mean "throttled"? (allowed here: throttled, server-error, timeout, connection-reset, access-denied, answer-lost, attempt-killed, host-killed)
    "#);
    insta::assert_snapshot!(fault("operation = \"s3.get\"\nfault = \"throttled\""), @r#"7: there is no operation "s3.get"; there are autoscaling.describe-instance, autoscaling.set-instance-protection, ec2.describe-instance, ecs.drain, ecs.find-container-instance, ecs.list-tasks, ecs.stop-task, ssh.exec, lifecycle.complete, lifecycle.heartbeat, lifecycle.hook, sweep.hooks, sweep.waiting, ledger.list, ledger.read, ledger.remove, ledger.write, *"#);
    insta::assert_snapshot!(fault("operation = \"*\"\nfault = \"throttled\"\nnth = [0]"), @"9: calls are counted from 1");
    insta::assert_snapshot!(fault("operation = \"*\"\nfault = \"throttled\"\nnth = []"), @"9: the list is empty: write what is meant, or leave it out");
    insta::assert_snapshot!(fault("operation = \"*\"\nfault = \"throttled\"\nnth = -1"), @"9: expected a whole number from 0 to 4294967295, found integer -1");
    insta::assert_snapshot!(fault("operation = \"*\"\nfault = \"throttled\"\nprobability = 1.5"), @"9: 1.5 is not a probability, which is from 0 to 1");
    insta::assert_snapshot!(fault("operation = \"*\"\nfault = \"throttled\"\nprobability = nan"), @"9: NaN is not a probability, which is from 0 to 1");
    insta::assert_snapshot!(fault("operation = \"*\"\nfault = \"throttled\"\nnth = 1\nprobability = 0.5"), @"10: nth and probability at once: a fault has one of them");
}

#[test]
fn the_expectations() {
    let expect = |keys: &str| mistakes_after_event(&format!("[expect]\n{keys}"));
    insta::assert_snapshot!(expect("outcome = \"doen\"\nlifecycle = \"continue\""), @r#"
    7: unknown value "doen", did you mean "done"? (allowed here: done, abandoned, gave-up, no-handler, left-alone, not-completed)
    8: unknown value "continue", did you mean "CONTINUE"? (allowed here: CONTINUE, ABANDON, timed-out, with-another, waiting, none)
    "#);
    insta::assert_snapshot!(expect("outcome = { instance-terminatin = \"done\" }\nlifecycle = { other = \"none\" }"), @r#"
    7: there is no event "instance-terminatin"; did you mean "instance-terminating"?
    8: there is no event "other"; there is only "instance-terminating"
    "#);
    insta::assert_snapshot!(expect("calls = [\"ecs.drian i-1\"]\ncalls-in-any-order = [\"s3.get\"]\nnever = [\"ecs.*\", \"ssh.*exec *\", \"*drian\"]\nrefused = [\"ssh\"]"), @r#"
    7: there is no operation "ecs.drian"; did you mean "ecs.drain"?
    8: there is no operation "s3.get"; there are autoscaling.describe-instance, autoscaling.set-instance-protection, ec2.describe-instance, ecs.drain, ecs.find-container-instance, ecs.list-tasks, ecs.stop-task, ssh.exec, lifecycle.complete, lifecycle.heartbeat, lifecycle.hook, sweep.hooks, sweep.waiting
    9: there is no operation "*drian"; there are autoscaling.describe-instance, autoscaling.set-instance-protection, ec2.describe-instance, ecs.drain, ecs.find-container-instance, ecs.list-tasks, ecs.stop-task, ssh.exec, lifecycle.complete, lifecycle.heartbeat, lifecycle.hook, sweep.hooks, sweep.waiting
    10: there is no operation "ssh"; there are autoscaling.describe-instance, autoscaling.set-instance-protection, ec2.describe-instance, ecs.drain, ecs.find-container-instance, ecs.list-tasks, ecs.stop-task, ssh.exec, lifecycle.complete, lifecycle.heartbeat, lifecycle.hook, sweep.hooks, sweep.waiting
    "#);
    insta::assert_snapshot!(expect("attempts = { at-least = 3, at-most = 1 }\ntasks-lost-at-most = -1\nvirtual-time-at-most = 5\nmemory-at-most = \"much\""), @r#"
    7: at-least is more than at-most: no number is both
    8: expected a whole number from 0 to 4294967295, found integer -1
    9: the bare number 5 is not a time: give it a unit, such as "5s"
    10: "much" is not a size: write a number with its unit, such as "64MiB" or "500kB"
    "#);
    insta::assert_snapshot!(expect("[[expect.task]]\n[[expect.task]]\nservice = \"web\"\nfamily = \"nightly\"\nlast-status = \"STOPPED\""), @r#"
    7: last-status is missing: write last-status = "STOPPED"
    7: service is missing: write service = "…", or family = "…"
    8: a task is of a service or of a family: write one of the two
    "#);
    insta::assert_snapshot!(expect("[[expect.instance]]\nid = \"web-1\"\nstat = \"running\""), @r#"
    8: "web-1" is not an EC2 instance id (i- and 8 or 17 hexadecimal digits, such as i-0123456789abcdef0)
    9: unknown key "stat", did you mean "state"? (allowed here: id, state, lifecycle-state, protected-from-scale-in, container-instance-status)
    "#);
    insta::assert_snapshot!(expect("[explore]\nfaults = [\"bad\"]\nat-most = \"three\"\noutcome = \"DONE\""), @r#"
    8: unknown value "bad" (allowed here: throttled, server-error, timeout, connection-reset, access-denied, answer-lost, attempt-killed, host-killed)
    9: expected a whole number, found string "three"
    10: unknown value "DONE", did you mean "done"? (allowed here: done, abandoned, gave-up, no-handler, left-alone, not-completed)
    "#);
    insta::assert_snapshot!(mistakes("[event]\nkind = \"other\"\n[[expect.instance]]\nstate = \"running\"\n[[expect.task]]\nservice = \"web\"\nlast-status = \"STOPPED\""), @"
    6: which instance? The events name none: write id, or instance of a task
    8: which instance? The events name none: write id, or instance of a task
    ");
}

#[test]
fn the_world_within_the_case() {
    let world = |keys: &str| mistakes_after_event(&format!("\n{keys}"));
    insta::assert_snapshot!(world("[world]\nacount = \"1\"\n[[world.cluster]]\nname = \"prod\"\n[[world.task]]\nservice = \"web\"\nstops-in = 20"), @r#"
    8: unknown key "acount", did you mean "account"? (allowed here: start, account, region, eventually-consistent, cluster, group, service, instance, task, ssh)
    13: the bare number 20 is not a time: give it a unit, such as "20s"
    "#);
    insta::assert_snapshot!(world("[[world.task]]\ninstance = \"i-0bbbbbbbbbbbbbbb2\"\nservice = \"web\""), @"8: the task web refers to the instance i-0bbbbbbbbbbbbbbb2, which is not in the world; add a [[world.instance]] for it");
    insta::assert_snapshot!(world("[[world.instance]]\nid = \"i-0123456789abcdef0\"\ncluster = \"prd\"\n[[world.cluster]]\nname = \"prod\""), @"9: i-0123456789abcdef0 refers to the cluster prd, which is not in the world; did you mean prod?");
    insta::assert_snapshot!(world("[[world.instance]]\nid = \"i-0123456789abcdef0\"\ncluster = \"other\""), @"9: i-0123456789abcdef0 refers to the cluster other, which is not in the world; add a [[world.cluster]] for it");
    insta::assert_snapshot!(world("[[world.service]]\nname = \"api\""), @"8: the service api has neither tasks nor desired-count: add a [[world.task]], or write desired-count");
    insta::assert_snapshot!(world("[world]\ncluster = []\n[[world.service]]\nname = \"api\""), @"10: the service api is in no cluster: add a [[world.cluster]]");
    insta::assert_snapshot!(world("[[world.service]]\nname = \"web\"\n[[world.task]]\nservice = \"web\"\ndaemon = true"), @"11: the [[world.service]] web says daemon = false; leave this out");
    insta::assert_snapshot!(mistakes("world = 3\n[event]\nkind = \"instance-terminating\""), @"4: expected the path of a file, or a table with what would be in it, found integer 3");
    // Of a world without a mistake of its own nothing is said when the event is missing.
    insta::assert_snapshot!(mistakes("[[world.task]]\nservice = \"web\""), @r#"1: event is missing: write [event] with a kind, such as kind = "instance-terminating""#);
}

#[test]
fn the_world_of_a_file() {
    let text = format!("{HEAD}world = \"world.toml\"\n{EVENT}");
    insta::assert_snapshot!(mistakes_in(Folder::new(), &text), @"4: the world HERE/world.toml cannot be read: No such file or directory (os error 2)");
    insta::assert_snapshot!(mistakes_in(Folder::new().write("world.toml", "[[task]]\nservice = \"web\""), &text), @r#"
    4: the simulated world has mistakes
    HERE/world.toml:1:1: the task web names no instance, and the world has none: write instance = "i-…"
      1 | [[task]]
        | ^
    "#);
}

#[test]
fn everything_is_said_at_once() {
    insta::assert_snapshot!(mistakes_after_event("[[fault]]\nfault = \"timeout\"\n[[world.instance]]\nid = \"i-0123456789abcdef0\"\ncluster = \"prd\"\n[expect]\nnever = [\"ecs.drian\"]"), @r#"
    6: operation is missing: write operation = "ecs.drain", or "*"
    10: i-0123456789abcdef0 refers to the cluster prd, which is not in the world; did you mean prod?
    12: there is no operation "ecs.drian"; did you mean "ecs.drain"?
    "#);
}

#[test]
fn the_cases_of_this_repository_are_cases() {
    let plugins = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins");
    let cases = walkdir::WalkDir::new(plugins).into_iter().map(Result::unwrap).filter(|entry| {
        entry.path().parent().unwrap().ends_with("cases") && entry.path().extension().is_some_and(|it| it == "toml")
    });
    let mut count = 0;
    for entry in cases {
        Case::read(entry.path()).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        count += 1;
    }
    assert!(count > 0, "no case was found in {plugins}");
}

#[test]
fn a_case_that_contradicts_its_world_breaks() {
    let world = "[[world.instance]]\nid = \"i-0bbbbbbbbbbbbbbb2\"\n[expect]\noutcome = \"done\"";
    insta::assert_snapshot!(deviations(&guests::done(), world), @"
    run:
      - an end
      + the event does not fit the simulated world: it is about i-0123456789abcdef0, and the world's instances are: i-0bbbbbbbbbbbbbbb2; add it, or run another event
    ");
}
