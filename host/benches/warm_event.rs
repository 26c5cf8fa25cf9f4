//! What the host costs per event once it is warm, as ratios within one run.
//!
//! An event with three host calls goes through the whole of `dispatch`: routing, module, fresh store, the real plugin, the
//! simulated world. It is compared with what it would cost if the plugin had to be compiled for each.

use std::path::Path;
use std::time::{Duration, Instant};

use hostler::assemble;
use hostler::event::{Event, Message, parse_message};
use hostler::policy::Policy;
use hostler::sandbox::{Capacity, Pace, Sandbox};
use hostler::sim::World;

/// Runs that are not counted, and runs that are.
const WARM_UP: usize = 200;
const COUNTED: usize = 5_000;
const COMPILATIONS: usize = 20;

const PLUGIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/dist/asg-lifecycle.wasm");

/// The event's own instance is a drained member of its cluster: the plugin finds it, sees that it is DRAINING, lists its tasks,
/// and is done. A rebalance recommendation has no lifecycle action, so that the world is the same after each.
const EVENT: &str = r#"{
    "version": "0", "id": "12345678-1234-1234-1234-123456789012", "source": "aws.ec2",
    "detail-type": "EC2 Instance Rebalance Recommendation", "account": "123456789012", "region": "eu-central-1",
    "time": "2026-01-15T03:00:00Z", "resources": [], "detail": { "instance-id": "i-0123456789abcdef0" }
}"#;

const POLICY: &str = r#"
    [modules]
    source = "dir:unused"
    refresh = "1h"
    allow-unsigned = true
    [[handler]]
    name = "bench"
    module = "asg-lifecycle.wasm"
    [handler.event]
    source = ["aws.ec2"]
    [handler.grants]
    ecs = { clusters = ["prod"], allow = ["read", "drain", "stop-task"] }
"#;

fn main() {
    if !Path::new(PLUGIN).exists() {
        eprintln!("{PLUGIN} does not exist: `make bench` builds it");
        std::process::exit(1);
    }
    let event = warm_event();
    let compile = compile();
    let rows = [("warm event, three host calls", event), ("compiling the plugin", compile)];
    println!("{:<32} {:>12} {:>12} {:>12}", "", "median", "p99", "ratio");
    for (name, samples) in &rows {
        let ratio = quantile(samples, 0.5).as_secs_f64() / quantile(&rows[0].1, 0.5).as_secs_f64();
        println!("{name:<32} {:>12.2?} {:>12.2?} {ratio:>11.1}x", quantile(samples, 0.5), quantile(samples, 0.99));
    }
}

/// The time of each event, from `dispatch` being given it to its end.
fn warm_event() -> Vec<Duration> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let event = event();
        let policy = Policy::parse("bench", POLICY).expect("the policy is sound");
        let world = World::parse("bench", include_str!("drained.toml")).expect("the world is sound");
        let modules = Path::new(PLUGIN).parent().expect("a folder");
        let dispatch = assemble::simulated(policy, Some(modules), &world).expect("the parts fit");
        let mut samples = Vec::with_capacity(COUNTED);
        for run in 0..WARM_UP + COUNTED {
            let event = event.clone();
            let began = Instant::now();
            let ended = dispatch.handle(event, None).await;
            if run >= WARM_UP {
                samples.push(began.elapsed());
            }
            assert!(format!("{ended:?}").contains("decision: Done"), "{ended:?}");
        }
        samples
    })
}

fn compile() -> Vec<Duration> {
    let sandbox = Sandbox::new(Capacity { attempts: 1, memory: 64 << 20 }, Pace::Virtual).expect("a sandbox");
    let bytes = std::fs::read(PLUGIN).expect("the plugin can be read");
    let timed = |_| {
        let began = Instant::now();
        sandbox.compile(&bytes, String::new()).expect("the plugin compiles");
        began.elapsed()
    };
    (0..COMPILATIONS).map(timed).collect()
}

fn event() -> Event {
    match parse_message(EVENT.as_bytes(), None).expect("an event") {
        Message::Events(mut events) => events.remove(0),
        Message::Test => unreachable!("it is not a test notification"),
    }
}

fn quantile(samples: &[Duration], q: f64) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort();
    sorted[((sorted.len() - 1) as f64 * q) as usize]
}
