#![allow(
    clippy::allow_attributes,
    dead_code,
    reason = "each benchmark takes what it needs, so that what one lacks cannot be expected of all"
)]
//! What the benchmarks share: the plugin they run, and how times are shown, as ratios within one run.

use std::path::Path;
use std::time::{Duration, Instant};

use hostler::sandbox::{Capacity, Pace, Sandbox};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A real plugin, as it is released.
pub(crate) const PLUGIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/dist/asg-lifecycle.wasm");

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

/// A guest of `tests/guests/hostile/`, wrapped as a component.
pub(crate) fn hostile(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guests = root.join("tests/guests/hostile");
    let mut resolve = Resolve::default();
    resolve.push_path(root.join("wit")).expect("the contract resolves");
    let (package, _) = resolve.push_path(guests.join("hostile.wit")).expect("what is taken of WASI resolves");
    let world = resolve.select_world(&[package], Some("hostile")).expect("it has its world");
    let mut core = wat::parse_file(guests.join(name).with_extension("wat")).expect("the guest is well formed");
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).expect("metadata fits a core module");
    let mut encoder = ComponentEncoder::default().module(&core).expect("the core module fits the world");
    encoder.encode().expect("the component encodes")
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
