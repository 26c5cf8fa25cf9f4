//! Components, from whoever may upload them.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::{in_virtual_time, terminating};
use crate::event::Event;
use crate::modules::accept::accept;
use crate::outcome::Outcome;
use crate::policy::{Handler, Policy};
use crate::ports::ClusterName;
use crate::sandbox::{Capacity, Pace, Report, Sandbox, Task};
use crate::sim::Blueprint;

/// What an accepted component is held to: little, so that an endless one costs little.
const POLICY: &str = r#"
    [modules]
    source = "dir:unused"
    allow-unsigned = true
    [[handler]]
    name = "fuzzed"
    module = "module.wasm"
    event = { source = ["aws.autoscaling"] }
    limits = { cpu = "10ms", wall = "30s", memory = "8MiB", host-calls = 50, log = "16KiB", log-lines = 20 }
    config = { cluster = "prod" }
    [handler.grants]
    ecs = { clusters = ["*"], allow = ["read", "drain", "stop-task"] }
    autoscaling = { groups = ["*"], allow = ["read"] }
    ec2 = { allow = ["read"] }
"#;

/// What every play has in common.
struct Stage {
    sandbox: Sandbox,
    handler: Arc<Handler>,
    event: Event,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| Stage {
    sandbox: Sandbox::new(Capacity { attempts: 2, memory: 16 << 20 }, Pace::Virtual).expect("a sandbox"),
    handler: Arc::clone(
        &Policy::parse("hostler.toml", POLICY).unwrap_or_else(|mistakes| panic!("{mistakes}")).handlers[0],
    ),
    event: terminating(),
});

/// What is uploaded as a plugin.
///
/// It is refused with reasons in words; or compiled, and run once in a simulated world, within its limits.
pub fn module(bytes: &[u8]) {
    match accept(bytes) {
        Ok(surface) => assert!(surface.handles && surface.others.is_empty(), "accepted: {surface:?}"),
        Err(refusal) => {
            assert!(!refusal.reasons.is_empty(), "refused for no reason");
            let said = refusal.to_string();
            assert!(!said.contains(['\u{1b}', '\n']), "a reason that a terminal would obey: {said:?}");
            return;
        }
    }
    let stage = &*STAGE;
    let Ok(compiled) = stage.sandbox.compile(bytes, "digest".to_owned()) else { return };
    let report = in_virtual_time(async {
        let world = Blueprint::around(&[&stage.event], ClusterName::parse("prod").ok()).world();
        let (handler, event) = (Arc::clone(&stage.handler), Arc::new(stage.event.clone()));
        let task = Task { handler, event, attempt: 1, state: None, deadline: None, lease: None };
        stage.sandbox.run(stage.sandbox.slot().await, &compiled, task, world.ports(), stage.handler.limits.wall).await
    });
    within_limits(&report, &stage.handler);
}

fn within_limits(report: &Report, handler: &Handler) {
    let limits = &handler.limits;
    assert!(report.peak_memory <= limits.memory, "{report:?}");
    assert!(report.host_calls <= limits.host_calls, "{report:?}");
    assert!(report.wall <= limits.wall + Duration::from_millis(1), "{report:?}");
    // A tick of the epoch, what one host call takes, and a machine with other things to do.
    assert!(report.cpu <= limits.cpu + Duration::from_millis(500), "{report:?}");
    if let Outcome::Failed(failure) = &report.outcome {
        assert!(!failure.to_string().is_empty());
    }
}
