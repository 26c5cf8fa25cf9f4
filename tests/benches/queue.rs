//! What a queue full of events costs an agent, against ministack: memory while work waits, and how fast a burst is taken.
//!
//! Figures are of one run. The emulator is Python, and does several requests for each event, so it is what a burst waits for:
//! the processor time of both is shown beside each other.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hostler_tests::{Agent, Fleet, Queue, events, guest, policy, poll};

/// How many work items wait, and how many events come at once.
const WAITING: usize = 10_000;
const BURST: usize = 5_000;

/// How long the emulator may take for it.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// Ticks of the clock that Linux tells processor times in, a second: the same on every machine that Rust runs on.
const TICKS: f64 = 100.0;

fn main() {
    // `cargo test --benches` only asks whether it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let [waiting, burst] = [(WAITING, "wait = \"12h\""), (BURST, "")].map(|(count, settings)| measure(count, settings));
    println!(
        "{:<46}{:>10}{:>12}{:>16}{:>16}",
        "agent on a queue", "events/s", "memory", "agent's CPU", "emulator's CPU"
    );
    for (name, figures) in [
        (format!("{WAITING} work items that wait (again)"), waiting),
        (format!("{BURST} events at once, each to its end"), burst),
    ] {
        let Figures { rate, memory, cpu, emulators_cpu } = figures;
        println!("{name:<46}{rate:>10.0}{:>9.0} MB{cpu:>14.0} s{emulators_cpu:>14.0} s", memory as f64 / 1e6);
    }
}

struct Figures {
    /// Events in a second, from the first to the last.
    rate: f64,
    /// Resident, at the end, in bytes.
    memory: u64,
    /// Processor time, in seconds.
    cpu: f64,
    emulators_cpu: f64,
}

/// Lets `count` events wait in a queue, and an agent with one handler take them all.
fn measure(count: usize, settings: &str) -> Figures {
    let fleet = Fleet::new("bench");
    let Fleet { stack, bucket, .. } = &fleet;
    fleet.upload("probe", guest("probe"));
    let queue = Queue::create(stack, "bench");
    let events: Vec<_> = (0..count).map(recommendation).collect();
    queue.send(&events);

    let folder = stack.folder(bucket);
    let emulators_before = processor_time("ministack");
    let began = Instant::now();
    let agent = Agent::start(&folder, &policy(bucket, &queue, settings), &stack.environment());
    let taken = poll(PATIENCE, || queue.counts().0 == 0 && (settings.is_empty() || queue.counts().1 == count));
    let over = poll(PATIENCE, || !settings.is_empty() || queue.is_empty());
    let took = began.elapsed();
    assert!(taken && over, "the agent did not take all of it; its log is in {}", folder.display());
    let name = folder.join("hostler.toml").display().to_string();
    let figures = Figures {
        rate: count as f64 / took.as_secs_f64(),
        memory: resident(&name),
        cpu: processor_time(&name),
        emulators_cpu: processor_time("ministack") - emulators_before,
    };
    drop(agent);
    figures
}

/// A message about an instance of its own.
fn recommendation(index: usize) -> String {
    events::rebalance_recommendation(&format!("i-{index:017x}"), &format!("{index:012}")).to_string()
}

fn policy(bucket: &str, queue: &Queue<'_>, settings: &str) -> String {
    [
        &policy::modules(bucket),
        &policy::ledger(&format!("s3://{bucket}/ledger/")),
        &policy::queue(&queue.url),
        "concurrency = 64\n",
        &policy::handler("bench", "probe"),
        &policy::told_by_ec2("EC2 Instance Rebalance Recommendation"),
        "[handler.finish]\ndeadline = \"24h\"\n[handler.config]\n",
        settings,
    ]
    .concat()
}

/// The processes whose command line says `what`.
fn processes(what: &str) -> Vec<PathBuf> {
    let says = |process: &PathBuf| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).collect();
        // The shell that keeps it says so too.
        words.first().is_some_and(|program| !program.ends_with(b"sh")) && words.contains(&what.as_bytes())
    };
    let all = fs::read_dir("/proc").expect("Linux tells of its processes").flatten();
    all.map(|process| process.path()).filter(says).collect()
}

/// Resident memory, in bytes.
fn resident(what: &str) -> u64 {
    let of = |process: &PathBuf| -> Option<u64> {
        let status = fs::read_to_string(process.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    };
    processes(what).iter().filter_map(of).sum()
}

/// Processor time up to now, in seconds.
fn processor_time(what: &str) -> f64 {
    let of = |process: &PathBuf| -> Option<f64> {
        let stat = fs::read_to_string(process.join("stat")).ok()?;
        // After the name, which may hold anything, `utime` and `stime` are the 12th and the 13th.
        let fields: Vec<_> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        Some(ticks / TICKS)
    };
    processes(what).iter().filter_map(of).sum()
}
