//! What unit tests build on: tiny guests, an event, a handler, and ports that stand still.

pub(crate) mod bucket;
pub(crate) mod guests;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::capabilities::Ports;
use crate::capabilities::autoscaling::AutoScaling;
use crate::capabilities::ec2::Ec2;
use crate::capabilities::ecs::Ecs;
use crate::capabilities::ssh::Ssh;
pub(crate) use crate::clock::VirtualClock;
use crate::event::{Event, Message, parse_message};
use crate::ledger::{Ended, EndedItem, Item, Open, Store, Told};
use crate::lifecycle::Completion;
use crate::modules::{Origin, Record, Sign, put_record};
use crate::outcome::Decision;
use crate::policy::{
    DescribeGroupInstance, DescribeInstance, Drain, Exec, FindContainerInstance, Granted, Handler, ListTasks, Policy,
    SetInstanceProtection, StopTask,
};
use crate::ports::{CommandOutput, ContainerInstance, GroupInstance, Instance, PortError, Task};

pub(crate) const INSTANCE: &str = "i-0123456789abcdef0";
pub(crate) const START: &str = "2026-01-15T03:00:00Z";

/// A termination, held back by the hook `drain` of the group `web`.
pub(crate) fn terminating() -> Event {
    lifecycle("EC2 Instance-terminate Lifecycle Action", "autoscaling:EC2_INSTANCE_TERMINATING", "drain")
}

/// A lifecycle action of the group `web`.
pub(crate) fn lifecycle(detail_type: &str, transition: &str, hook: &str) -> Event {
    let event = serde_json::json!({
        "version": "0", "id": "12345678-1234-1234-1234-123456789012", "detail-type": detail_type,
        "source": "aws.autoscaling", "account": "123456789012", "time": START, "region": "eu-central-1",
        "resources": [],
        "detail": {
            "LifecycleActionToken": "87654321-4321-4321-4321-210987654321", "AutoScalingGroupName": "web",
            "LifecycleHookName": hook, "EC2InstanceId": INSTANCE, "LifecycleTransition": transition,
        },
    });
    match parse_message(event.to_string().as_bytes(), None) {
        Ok(Message::Events(mut events)) => events.remove(0),
        other => panic!("not one event: {other:?}"),
    }
}

/// An open item of [`terminating`], just taken by the handler `under-test`, with an hour for it.
pub(crate) fn open_item() -> Item {
    let event = terminating();
    let now = event.time;
    Item {
        id: event.work_item(),
        event,
        handler: "under-test".to_owned(),
        taken: now,
        deadline: now + SignedDuration::from_hours(1),
        hook: None,
        heartbeat: None,
        over: false,
        attempts: 0,
        failures: 0,
        interrupted: 0,
        state: None,
        due: now,
        wake: now,
        order: None,
        retried: None,
        finishing: None,
        told: Vec::new(),
    }
}

/// Puts the open work of an instance into a ledger, as a host would have.
pub(crate) async fn put_open(store: &dyn Store, open: &Open) {
    let event = &open.items[0].event;
    let instance = event.instance.as_ref().expect("an instance");
    put(store, &format!("open/{}/{}/{instance}.json", event.account, event.region), open).await;
}

/// Puts the ended work of [`INSTANCE`] into a ledger.
pub(crate) async fn put_ended(store: &dyn Store, ended: &Ended) {
    put(store, &format!("ended/123456789012/eu-central-1/{INSTANCE}.json"), ended).await;
}

/// Gives up the plugin that attempts have run ([`told`]), for the handler of [`policy`].
pub(crate) async fn give_up(store: &Arc<dyn Store>, policy: &Policy) {
    let mut record = Record::default();
    record.note(&Origin::built_here(&told("", "").module), "under-test", &Sign::Ended, None);
    record.digests[0].given_up = Some("3 attempts in a row crashed".to_owned());
    put_record(store, &policy.modules.source, "module.wasm", &record).await;
}

async fn put(store: &dyn Store, key: &str, object: &impl Serialize) {
    let mut page = serde_json::to_value(object).expect("JSON");
    page["format"] = crate::ledger::FORMAT.into();
    store.write(key, page.to_string().into_bytes(), None).await.expect("a store that takes it");
}

/// An attempt of a minute that ended a minute before [`START`].
pub(crate) fn told(outcome: &str, note: &str) -> Told {
    let start: Timestamp = START.parse().expect("a timestamp");
    Told {
        attempt: 1,
        began: start - SignedDuration::from_secs(120),
        ended: Some(start - SignedDuration::from_secs(60)),
        outcome: Some(outcome.to_owned()),
        note: note.to_owned(),
        module: "0123456789abcdef".repeat(4),
    }
}

/// The end of [`open_item`], a minute before [`START`], as it was decided.
pub(crate) fn ended_item(decision: Decision, lifecycle: Option<Completion>) -> EndedItem {
    let Item { id, event, handler, taken, .. } = open_item();
    EndedItem {
        id,
        token: event.lifecycle_action.and_then(|action| action.token),
        retried: None,
        event: event.id,
        kind: event.kind.as_str().to_owned(),
        time: event.time,
        handler,
        taken: taken - SignedDuration::from_secs(300),
        ended: taken - SignedDuration::from_secs(60),
        decision,
        lifecycle,
        attempts: 1,
        told: vec![told("done", "")],
    }
}

/// A policy with one handler, `under-test`, for all events of Auto Scaling; `sections` are further lines of it.
pub(crate) fn policy(sections: &str) -> Policy {
    let text = format!(
        r#"
        [modules]
        source = "dir:unused"
        refresh = "10s"
        allow-unsigned = true
        [[handler]]
        name = "under-test"
        module = "module.wasm"
        [handler.event]
        source = ["aws.autoscaling"]
        {sections}
        "#
    );
    Policy::parse("hostler.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// The handler of [`policy`].
pub(crate) fn handler(sections: &str) -> Arc<Handler> {
    Arc::clone(&policy(sections).handlers[0])
}

/// Ports of a world that never answers, with a virtual clock.
pub(crate) fn silent() -> Ports {
    let silence = Arc::new(Silence);
    Ports {
        ecs: silence.clone(),
        autoscaling: silence.clone(),
        ec2: silence.clone(),
        ssh: silence,
        clock: Arc::new(VirtualClock::new()),
    }
}

impl VirtualClock {
    /// One that shows [`START`] now.
    pub(crate) fn new() -> Self {
        Self::at(START.parse().expect("a timestamp"))
    }
}

struct Silence;

#[async_trait]
impl Ecs for Silence {
    async fn find_container_instance(
        &self,
        _: Granted<FindContainerInstance>,
    ) -> Result<Option<ContainerInstance>, PortError> {
        std::future::pending().await
    }
    async fn drain(&self, _: Granted<Drain>) -> Result<ContainerInstance, PortError> {
        std::future::pending().await
    }
    async fn list_tasks(&self, _: Granted<ListTasks>) -> Result<Vec<Task>, PortError> {
        std::future::pending().await
    }
    async fn stop_task(&self, _: Granted<StopTask>) -> Result<(), PortError> {
        std::future::pending().await
    }
}

#[async_trait]
impl AutoScaling for Silence {
    async fn describe_instance(&self, _: Granted<DescribeGroupInstance>) -> Result<Option<GroupInstance>, PortError> {
        std::future::pending().await
    }
    async fn set_instance_protection(&self, _: Granted<SetInstanceProtection>) -> Result<(), PortError> {
        std::future::pending().await
    }
}

#[async_trait]
impl Ec2 for Silence {
    async fn describe_instance(&self, _: Granted<DescribeInstance>) -> Result<Instance, PortError> {
        std::future::pending().await
    }
}

#[async_trait]
impl Ssh for Silence {
    async fn exec(&self, _: Granted<Exec>) -> Result<CommandOutput, PortError> {
        std::future::pending().await
    }
}

/// Set in the process that [`alone`] starts, so that it knows.
const ALONE: &str = "HOSTLER_TEST_ALONE";

/// Plays the test that calls it in a process of its own, since what it looks at is the process's.
pub(crate) fn alone(test: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return test();
    }
    let name = std::thread::current().name().expect("tests run in threads of their names").to_owned();
    let mut process = std::process::Command::new(std::env::current_exe().expect("a test is a program"));
    let output = process.args(["--exact", &name, "--nocapture"]).env(ALONE, "1").output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout);
    let passed = output.status.success() && told.contains("1 passed");
    assert!(passed, "{told}{}", String::from_utf8_lossy(&output.stderr));
}

/// The most memory that this process has held, in bytes, as Linux counts it.
pub(crate) fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak is told");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// What is logged in this thread, without times, as long as the guard lives.
pub(crate) fn log() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

/// The lines of [`log`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// All of them so far.
    pub(crate) fn told(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).trim_end().to_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
