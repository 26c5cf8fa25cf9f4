//! What the host costs per event once it is warm, as ratios within one run.
//!
//! An event with three host calls goes through the whole of `dispatch`: routing, module, fresh store, the real plugin, the
//! simulated world. It is compared with what it would cost if the plugin had to be compiled for each.

mod measure;

use std::path::Path;
use std::time::{Duration, Instant};

use hostler::assemble;
use hostler::policy::Policy;
use hostler::sim::World;

use crate::measure::PLUGIN;

/// Runs that are not counted, and runs that are.
const WARM_UP: usize = 200;
const COUNTED: usize = 5_000;

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
    let plugin = measure::plugin();
    let event = ("warm event, three host calls".to_owned(), warm_event());
    measure::show(&[event, measure::compile(&plugin)]);
}

/// The time of each event, from `dispatch` being given it to its end.
fn warm_event() -> Vec<Duration> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let event = measure::event();
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
