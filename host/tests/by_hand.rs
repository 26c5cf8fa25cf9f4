//! `hostler status`, `why`, `finish`, `abandon` and `retry`, as a person or a script meets them: what they print, and their exit codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use hostler::clock::SystemClock;
use hostler::event::{Event, Message, parse_message};
use hostler::ledger::{Claim, DirStore, Held, Ledger, Wanted};
use hostler::ports::Place;
use hostler::ports::{AccountId, Region};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

const INSTANCE: &str = "i-0123456789abcdef0";

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

const LEDGER: &str = "[ledger]\nstore = \"dir:ledger\"\n";

/// A folder with a policy that names a ledger in it.
struct Desk(TempDir);

impl Desk {
    fn new(ledger: &str) -> Self {
        let desk = Self(TempDir::new().unwrap());
        fs::write(desk.0.path().join("hostler.toml"), format!("{POLICY}{ledger}")).unwrap();
        desk
    }

    /// The same, with the work on an instance under way: claimed by a host.
    fn with_work(finishes: impl AsyncFnOnce(&Ledger, &Held)) -> Self {
        let desk = Self::new(LEDGER);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Arc::new(DirStore::new(desk.0.path().join("ledger")));
            let ledger = Ledger::new(store, Arc::new(SystemClock), place(), "worker-1");
            let event = event();
            let deadline = event.time + SignedDuration::from_hours(1);
            match ledger.claim(&Wanted { event: &event, handler: "only", deadline, hook: None }).await.unwrap() {
                Claim::Ours(held) => finishes(&ledger, &held).await,
                other => panic!("{other:?}"),
            }
        });
        desk
    }

    /// The same, waiting for its next attempt after a failure.
    fn with_waiting_work() -> Self {
        Self::with_work(async |ledger, held| {
            let due = Timestamp::now() + SignedDuration::from_secs(3_000);
            ledger
                .release(held, |item| {
                    (item.due, item.wake, item.failures) = (due, due, 1);
                    if let Some(told) = item.told.last_mut() {
                        (told.ended, told.outcome) = (Some(told.began), Some("failed".to_owned()));
                        told.note = "broken".to_owned();
                    }
                })
                .await
                .unwrap();
        })
    }

    fn hostler(&self, arguments: &[&str]) -> Ran {
        let mut hostler = Command::new(env!("CARGO_BIN_EXE_hostler"));
        hostler.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        // No AWS, whatever this machine has of it.
        hostler.env_clear().env("USER", "ops").env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", self.0.path());
        Ran(hostler.output().unwrap())
    }
}

fn place() -> Place {
    Place { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("eu-central-1").unwrap() }
}

/// A termination of a moment ago.
fn event() -> Event {
    let event = json!({
        "version": "0", "id": "12345678-1234-1234-1234-123456789012", "source": "aws.autoscaling",
        "detail-type": "EC2 Instance-terminate Lifecycle Action", "account": "123456789012", "region": "eu-central-1",
        "time": Timestamp::now(), "resources": [],
        "detail": {
            "LifecycleActionToken": "token", "AutoScalingGroupName": "web", "LifecycleHookName": "drain",
            "EC2InstanceId": INSTANCE, "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        },
    });
    match parse_message(event.to_string().as_bytes(), None) {
        Ok(Message::Events(mut events)) => events.remove(0),
        other => panic!("not one event: {other:?}"),
    }
}

struct Ran(Output);

impl Ran {
    #[track_caller]
    fn ends_with(&self, code: i32) -> &Self {
        assert_eq!(self.0.status.code(), Some(code), "{}", self.told());
        self
    }

    #[track_caller]
    fn says(&self, text: &str) -> &Self {
        let told = self.told().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(text), "{told}");
        self
    }

    fn told(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.0.stdout), String::from_utf8_lossy(&self.0.stderr))
    }
}

#[test]
fn a_policy_without_a_ledger_is_told_what_to_do() {
    let desk = Desk::new("");
    for command in
        [&["status"][..], &["why", INSTANCE], &["finish", INSTANCE], &["abandon", INSTANCE], &["retry", INSTANCE]]
    {
        desk.hostler(command)
            .ends_with(2)
            .says("the policy has no [ledger]")
            .says("[ledger] with store = \"s3://BUCKET/PREFIX/\" or \"dir:PATH\"");
    }
}

#[test]
fn where_nothing_has_been_written_it_is_said_and_that_there_is_no_such_folder() {
    let desk = Desk::new(LEDGER);
    desk.hostler(&["status"])
        .ends_with(0)
        .says(&format!("nothing is open in {} (which is not there", desk.0.path().join("ledger").display()));
    desk.hostler(&["status", "--check"]).ends_with(1).says("missing: /").says("which is not there");
    desk.hostler(&["status", "--json"]).ends_with(0);
    desk.hostler(&["status", INSTANCE]).ends_with(3).says("has nothing about it");
    desk.hostler(&["why", INSTANCE]).ends_with(3).says("nothing that the ledger knows");
    for command in ["finish", "abandon", "retry"] {
        desk.hostler(&[command, INSTANCE]).ends_with(3).says("has nothing about it");
    }
}

#[test]
fn what_is_open_is_listed_told_and_explained() {
    let desk = Desk::with_waiting_work();
    desk.hostler(&["status"])
        .ends_with(0)
        .says("1 item open: 1 waiting; 1 failing")
        .says("web/drain, 1 failed in a row");
    let line: Value = serde_json::from_slice(&desk.hostler(&["status", "--json"]).ends_with(0).0.stdout).unwrap();
    assert_eq!(
        (&line["instance"], &line["standing"], &line["failures"]),
        (&INSTANCE.into(), &"waiting".into(), &1.into())
    );
    desk.hostler(&["status", INSTANCE]).ends_with(0).says("attempt 1 (no module, 0s) failed: broken");
    desk.hostler(&["why", INSTANCE]).ends_with(0).says("its last attempt failed: broken").says("AWS was not asked");
    let why: Value = serde_json::from_slice(&desk.hostler(&["why", INSTANCE, "--json"]).ends_with(0).0.stdout).unwrap();
    assert_eq!((&why["open"], &why["remedy"].is_string()), (&1.into(), &true), "{why}");
    desk.hostler(&["status", "--check"]).ends_with(0);
}

#[test]
fn an_order_without_aws_is_written_down_for_the_hosts_with_who_gave_it() {
    let desk = Desk::with_waiting_work();
    desk.hostler(&["finish", INSTANCE]).ends_with(2).says("there is no terminal to ask at");
    let ran = desk.hostler(&["finish", INSTANCE, "--yes"]);
    ran.ends_with(1).says("finish ends this work with CONTINUE").says("the order CONTINUE is written down");
    desk.hostler(&["abandon", INSTANCE, "--yes"]).ends_with(1).says("it takes the place of an order by ops@");
    let line: Value = serde_json::from_slice(&desk.hostler(&["status", "--json"]).0.stdout).unwrap();
    assert_eq!((&line["standing"], &line["order"]["result"]), (&"ordered".into(), &"ABANDON".into()));
    assert!(line["order"]["by"].as_str().unwrap().starts_with("ops@"), "{line}");
}

#[test]
fn a_retry_forgives_failures_also_while_a_host_is_at_work() {
    let desk = Desk::with_waiting_work();
    desk.hostler(&["retry", INSTANCE]).ends_with(0).says("the next attempt is due now, and its failure is forgiven");
    desk.hostler(&["status"]).says("1 item open: 1 due");
    desk.hostler(&["retry", INSTANCE, "--item", "other"]).ends_with(2).says("has no open item \"other\"");
    let working = Desk::with_work(async |_, _| {});
    working.hostler(&["retry", INSTANCE]).ends_with(0).says("worker-1 works on it").says("is due right after it");
    working.hostler(&["why", INSTANCE]).ends_with(0).says("worker-1 works on it");
}

#[test]
fn an_object_that_is_damaged_is_told_of_each_time_and_left_to_hosts() {
    let desk = Desk::with_waiting_work();
    let file = desk.0.path().join(format!("ledger/open/123456789012/eu-central-1/{INSTANCE}.json"));
    fs::write(&file, "{").unwrap();
    for _ in 0..2 {
        desk.hostler(&["status"])
            .ends_with(1)
            .says("is damaged (")
            .says("the next host that comes to it sets it aside");
        desk.hostler(&["status", "--check"]).ends_with(1).says("cannot be read: ");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "{");
    fs::write(&file, r#"{ "format": 99 }"#).unwrap();
    desk.hostler(&["status"]).ends_with(1).says("is of format 99");
    desk.hostler(&["status", INSTANCE]).ends_with(5).says("is of format 99");
}
