#![allow(
    clippy::allow_attributes,
    dead_code,
    reason = "each benchmark takes what it needs, so that what one lacks cannot be expected of all"
)]
//! What the benchmarks share: the plugin they run, its event, and how times are shown, as ratios within one run.

use std::path::Path;
use std::time::{Duration, Instant};

use hostler::event::{Event, Message, parse_message};
use hostler::sandbox::{Capacity, Pace, Sandbox};

#[path = "../../src/testing/guests.rs"]
mod guests;

/// A real plugin, as it is released.
pub(crate) const PLUGIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/dist/asg-lifecycle.wasm");

/// The event's own instance is a drained member of its cluster: the plugin finds it, sees that it is DRAINING, lists its tasks,
/// and is done. A rebalance recommendation has no lifecycle action, so that the world is the same after each.
const EVENT: &str = r#"{
    "version": "0", "id": "12345678-1234-1234-1234-123456789012", "source": "aws.ec2",
    "detail-type": "EC2 Instance Rebalance Recommendation", "account": "123456789012", "region": "eu-central-1",
    "time": "2026-01-15T03:00:00Z", "resources": [], "detail": { "instance-id": "i-0123456789abcdef0" }
}"#;

const COMPILATIONS: usize = 20;

/// A row of the table: what was measured, and how long it took each time.
pub(crate) type Row = (String, Vec<Duration>);

/// The bytes of the plugin.
pub(crate) fn plugin() -> Vec<u8> {
    if !Path::new(PLUGIN).exists() {
        eprintln!("{PLUGIN} does not exist: `make bench` builds it");
        std::process::exit(1);
    }
    std::fs::read(PLUGIN).expect("the plugin can be read")
}

/// A guest of `tests/guests/hostile/`.
pub(crate) fn hostile(name: &str) -> Vec<u8> {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/hostile");
    let text = std::fs::read_to_string(guests.join(name).with_extension("wat")).expect("the guest can be read");
    guests::hostile(&text)
}

/// The event that the benchmarks hand to the plugin.
pub(crate) fn event() -> Event {
    match parse_message(EVENT.as_bytes(), None).expect("an event") {
        Message::Events(mut events) => events.remove(0),
        Message::Test => unreachable!("it is not a test notification"),
    }
}

/// Compiling the plugin: what everything else can be compared with on any machine.
pub(crate) fn compile(plugin: &[u8]) -> Row {
    let sandbox = Sandbox::new(Capacity { attempts: 1, memory: 64 << 20 }, Pace::Virtual).expect("a sandbox");
    let compile = || drop(sandbox.compile(plugin, String::new()).expect("the plugin compiles"));
    ("compiling the plugin".to_owned(), (0..COMPILATIONS).map(|_| timed(compile)).collect())
}

/// How long it takes.
pub(crate) fn timed(run: impl FnOnce()) -> Duration {
    let began = Instant::now();
    run();
    began.elapsed()
}

/// Prints the rows, with the ratio of each median to that of the first.
pub(crate) fn show(rows: &[Row]) {
    println!("\n{:<56} {:>10} {:>10} {:>10}", "", "median", "p99", "ratio");
    for (name, samples) in rows {
        let ratio = quantile(samples, 0.5).as_secs_f64() / quantile(&rows[0].1, 0.5).as_secs_f64();
        println!("{name:<56} {:>10.2?} {:>10.2?} {ratio:>9.1}x", quantile(samples, 0.5), quantile(samples, 0.99));
    }
}

/// The value below which the share `q` of them is.
pub(crate) fn quantile(samples: &[Duration], q: f64) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort();
    sorted[((sorted.len() - 1) as f64 * q) as usize]
}
