//! What fuzzers play: a function for each way in which bytes come into the host from outside.
//!
//! Each takes any bytes whatever, and panics where the host breaks a promise about them. `host/fuzz` hands them to libFuzzer; the
//! tests here play every seed, every input that was once a finding, and some of what they become when they are mutated. See
//! `host/docs/fuzzing.md`.

mod components;
mod durable;
mod events;
#[cfg(any(feature = "live", feature = "fuzzing"))]
mod node;
mod oracle;
mod policies;
mod queues;
mod signatures;
#[cfg(any(feature = "live", feature = "fuzzing"))]
mod ssh_files;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use tracing_subscriber::layer::SubscriberExt as _;

pub use components::module;
pub use durable::{ledger, recording};
pub use events::{event, imds};
#[cfg(any(feature = "live", feature = "fuzzing"))]
pub use node::node;
pub use policies::{pattern, policy};
pub use queues::queue;
pub use signatures::signature;
#[cfg(any(feature = "live", feature = "fuzzing"))]
pub use ssh_files::ssh;

use crate::event::{Event, Message, parse_message};

/// A target of the fuzzers.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What it is called: its function, its file in `host/fuzz/fuzz_targets`, and the folder of its seeds.
    pub name: &'static str,
    /// Plays it once.
    pub play: fn(&[u8]),
    /// How many mutated inputs the tests play in one round: what takes about as long as with the others.
    pub inputs: u32,
}

/// All of them, but for `guest`: it makes components of the bytes and hands those to `module`.
pub const TARGETS: &[Target] = &[
    Target { name: "event", play: event, inputs: 8_000 },
    Target { name: "imds", play: imds, inputs: 8_000 },
    Target { name: "policy", play: policy, inputs: 800 },
    Target { name: "pattern", play: pattern, inputs: 4_000 },
    Target { name: "module", play: module, inputs: 2_000 },
    Target { name: "ledger", play: ledger, inputs: 600 },
    Target { name: "queue", play: queue, inputs: 2_000 },
    Target { name: "signature", play: signature, inputs: 4_000 },
    Target { name: "recording", play: recording, inputs: 2_000 },
    #[cfg(any(feature = "live", feature = "fuzzing"))]
    Target { name: "node", play: node, inputs: 500 },
    #[cfg(any(feature = "live", feature = "fuzzing"))]
    Target { name: "ssh", play: ssh, inputs: 8_000 },
];

/// Where a part of an input ends and the next begins, for the targets that take several.
const BETWEEN: &str = "\n---\n";

/// The first part of an input, and the rest.
fn parts(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.windows(BETWEEN.len()).position(|window| window == BETWEEN.as_bytes()) {
        Some(at) => (&bytes[..at], &bytes[at + BETWEEN.len()..]),
        None => (bytes, &[]),
    }
}

/// Runs `work` to its end in virtual time, with all that it logs written out and dropped.
fn in_virtual_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without a driver for sockets needs nothing of the system");
    let nowhere = tracing_subscriber::fmt::layer().json().with_writer(std::io::sink);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(nowhere), || runtime.block_on(work))
}

/// Two minutes after [`terminating`].
fn now() -> Timestamp {
    "2026-01-15T03:02:00Z".parse().expect("a timestamp")
}

/// The instance of [`terminating`].
const INSTANCE: &str = "i-0123456789abcdef0";

/// A termination, held back by the hook `drain` of the group `web`.
fn terminating() -> Event {
    let event = serde_json::json!({
        "version": "0", "id": "12345678-1234-1234-1234-123456789012", "source": "aws.autoscaling",
        "detail-type": "EC2 Instance-terminate Lifecycle Action", "account": "123456789012", "region": "eu-central-1",
        "time": "2026-01-15T03:00:00Z", "resources": [],
        "detail": {
            "LifecycleActionToken": "87654321-4321-4321-4321-210987654321", "AutoScalingGroupName": "web",
            "LifecycleHookName": "drain", "EC2InstanceId": INSTANCE,
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        },
    });
    match parse_message(event.to_string().as_bytes(), None) {
        Ok(Message::Events(mut events)) => events.remove(0),
        other => panic!("not one event: {other:?}"),
    }
}
