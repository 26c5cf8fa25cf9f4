//! What hostile guests cost their neighbours, and how far they get past their CPU budget, in one run.
//!
//! A healthy handler is run again and again: alone, then beside twenty that try to take all there is. They share one sandbox and
//! one runtime, that of `hostler agent`.

mod measure;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hostler::policy::{Handler, Policy};
use hostler::sandbox::{Capacity, Module, Pace, Report, Sandbox, Task};
use hostler::sim::World;
use tokio::task::JoinSet;

use crate::measure::{Row, quantile};

/// Attempts of the healthy handler that are counted.
const COUNTED: usize = 2_000;

/// The hostile ones beside it, four of each kind.
const HOSTILE: [&str; 5] =
    ["loop-in-handle", "loop-of-fills", "memory-of-one", "wasi-output-without-end", "wasi-random-without-end"];
const OF_EACH: usize = 4;

/// Attempts of each hostile guest that are counted for how far it gets past its CPU budget.
const OVERRUNS: usize = 20;

/// No hostile guest may get further past its CPU budget.
const MOST: Duration = Duration::from_millis(20);

const POLICY: &str = r#"
    [modules]
    source = "dir:unused"
    allow-unsigned = true
    [[handler]]
    name = "bench"
    module = "module.wasm"
    [handler.event]
    source = ["aws.ec2"]
    [handler.limits]
    cpu = "100ms"
    [handler.grants]
    ecs = { clusters = ["prod"], allow = ["read", "drain", "stop-task"] }
"#;

fn main() {
    let runtime = hostler::sandbox::runtime().expect("a runtime");
    runtime.block_on(async {
        let place = Arc::new(Place::new());
        let healthy = Arc::new(place.sandbox.compile(&measure::plugin(), String::new()).expect("the plugin compiles"));
        let alone = ("a healthy handler, alone".to_owned(), healthy_attempts(&place, &healthy).await);

        let stop = Arc::new(AtomicBool::new(false));
        let mut neighbours = JoinSet::new();
        for name in HOSTILE {
            let module = Arc::new(place.hostile(name));
            for _ in 0..OF_EACH {
                neighbours.spawn(attempts_until(Arc::clone(&stop), Arc::clone(&place), Arc::clone(&module)));
            }
        }
        let beside = ("the same beside twenty hostile ones".to_owned(), healthy_attempts(&place, &healthy).await);
        stop.store(true, Ordering::Relaxed);
        let overruns_beside = neighbours.join_all().await.concat();

        let p99 = quantile(&beside.1, 0.99).as_secs_f64() / quantile(&alone.1, 0.99).as_secs_f64();
        let mut rows = vec![alone, beside];
        for name in ["loop-in-handle", "loop-of-fills"] {
            rows.push(overruns(&place, name).await);
        }
        rows.push(("past the CPU budget, twenty at once".to_owned(), overruns_beside));
        measure::show(&rows);
        println!("\np99 of a healthy handler beside twenty hostile ones: {p99:.1} times that of the same alone");
        let most = rows[2..].iter().flat_map(|(_, overruns)| overruns).max().expect("there are some");
        println!("the furthest past a CPU budget: {most:.2?}, where {MOST:.0?} are allowed");
    });
}

/// Everything that attempts share.
struct Place {
    sandbox: Sandbox,
    handler: Arc<Handler>,
    world: World,
    task: Task,
}

impl Place {
    fn new() -> Self {
        let policy = Policy::parse("bench", POLICY).expect("the policy is sound");
        let handler = Arc::clone(&policy.handlers[0]);
        let event = Arc::new(measure::event());
        let task = Task { handler: Arc::clone(&handler), event, attempt: 1, state: None, deadline: None, lease: None };
        let capacity = Capacity { attempts: 32, memory: handler.limits.memory };
        let world = World::parse("bench", include_str!("drained.toml")).expect("the world is sound");
        Self { sandbox: Sandbox::new(capacity, Pace::Real).expect("a sandbox"), handler, world, task }
    }

    fn hostile(&self, name: &str) -> Module {
        self.sandbox.compile(&measure::hostile(name), name.to_owned()).expect("the guest compiles")
    }

    async fn attempt(&self, module: &Module) -> Report {
        let slot = self.sandbox.slot().await;
        self.sandbox.run(slot, module, self.task.clone(), self.world.ports(), self.handler.limits.wall).await
    }

    /// How far an attempt got past the CPU budget.
    fn overrun(&self, report: &Report) -> Duration {
        report.cpu.saturating_sub(self.handler.limits.cpu)
    }
}

/// Each in a task of its own, as events are worked on.
async fn healthy_attempts(place: &Arc<Place>, module: &Arc<Module>) -> Vec<Duration> {
    let mut samples = Vec::with_capacity(COUNTED);
    for _ in 0..COUNTED {
        let (place, module, began) = (Arc::clone(place), Arc::clone(module), Instant::now());
        let report = tokio::spawn(async move { place.attempt(&module).await }).await.expect("it ends");
        samples.push(began.elapsed());
        assert_eq!(report.outcome.as_str(), "done", "{report:?}");
    }
    samples
}

/// Attempts one after another until it is enough: how far each got past its CPU budget.
async fn attempts_until(stop: Arc<AtomicBool>, place: Arc<Place>, module: Arc<Module>) -> Vec<Duration> {
    let mut overruns = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        overruns.push(place.overrun(&place.attempt(&module).await));
    }
    overruns
}

async fn overruns(place: &Place, name: &str) -> Row {
    let module = place.hostile(name);
    let mut overruns = Vec::new();
    for _ in 0..OVERRUNS {
        overruns.push(place.overrun(&place.attempt(&module).await));
    }
    (format!("past the CPU budget: {name}"), overruns)
}
