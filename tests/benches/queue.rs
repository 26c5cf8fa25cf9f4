//! What a queue full of events costs an agent, against ministack: memory while work waits, and how fast a burst is taken.
//!
//! What waits are lifecycle actions, in an agent that sweeps; memory is the most it ever had. Figures are of one run. The emulator is Python, and does several requests for each event, so it is what a burst waits for:
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

/// How long what waits is left alone, for the sweep to look at all of it more than once.
const LEFT_ALONE: Duration = Duration::from_secs(60);

/// The hook that holds instances back.
const HOOK: &str = "bench";

/// Ticks of the clock that Linux tells processor times in, a second: the same on every machine that Rust runs on.
const TICKS: f64 = 100.0;

fn main() {
    // `cargo test --benches` only asks whether it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let (waiting, burst) = (measure(WAITING, true), measure(BURST, false));
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
    /// Resident, at the most, in bytes.
    memory: u64,
    /// Processor time, in seconds.
    cpu: f64,
    emulators_cpu: f64,
}

/// Lets `count` events wait in a queue, and an agent with one handler take them all: so that they wait there, or to their end.
fn measure(count: usize, waits: bool) -> Figures {
    let fleet = Fleet::new("bench");
    fleet.stack.autoscaling.hook(&fleet.group, HOOK, Duration::from_secs(7_200));
    fleet.upload("probe", guest("probe"));
    let queue = Queue::create(fleet.stack, "bench");
    let events: Vec<_> = (0..count).map(|index| event(&fleet, index, waits)).collect();
    queue.send(&events);

    let folder = fleet.stack.folder(&fleet.bucket);
    let emulators_before = processor_time("ministack");
    let began = Instant::now();
    let agent = Agent::start(&folder, &policy(&fleet, &queue, waits), &fleet.stack.environment());
    let taken = poll(PATIENCE, || if waits { queue.counts() == (0, count) } else { queue.is_empty() });
    let took = began.elapsed();
    assert!(taken, "the agent did not take all of it; its log is in {}", folder.display());
    let name = folder.join("hostler.toml").display().to_string();
    let (cpu, emulators_cpu) = (processor_time(&name), processor_time("ministack") - emulators_before);
    if waits {
        std::thread::sleep(LEFT_ALONE);
    }
    let memory = most_resident(&name);
    drop(agent);
    Figures { rate: count as f64 / took.as_secs_f64(), memory, cpu, emulators_cpu }
}

/// A message about an instance of its own.
fn event(fleet: &Fleet, index: usize, waits: bool) -> String {
    let instance = format!("i-{index:017x}");
    let event = if waits {
        events::termination(&fleet.group, HOOK, &instance, &fleet.hold_back(HOOK, &instance))
    } else {
        events::rebalance_recommendation(&instance, &format!("{index:012}"))
    };
    event.to_string()
}

fn policy(fleet: &Fleet, queue: &Queue<'_>, waits: bool) -> String {
    let Fleet { bucket, group, .. } = fleet;
    let (sweep, taken, wait) = if waits {
        ("[sweep]\nevery = \"10s\"\n", policy::terminations(group, HOOK), "wait = \"12h\"")
    } else {
        ("", policy::told_by_ec2("EC2 Instance Rebalance Recommendation"), "")
    };
    [
        &policy::modules(bucket),
        &policy::ledger(&format!("s3://{bucket}/ledger/")),
        &policy::queue(&queue.url),
        "concurrency = 64\n",
        sweep,
        &policy::handler("bench", "probe"),
        &taken,
        "[handler.finish]\ndeadline = \"24h\"\n[handler.config]\n",
        wait,
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

/// Resident memory at the most, in bytes.
fn most_resident(what: &str) -> u64 {
    let of = |process: &PathBuf| -> Option<u64> {
        let status = fs::read_to_string(process.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
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
