//! WASI 0.2 with nothing in it, for guests whose toolchain imports it whether they use it or not.
//!
//! No files, no sockets, no environment, no arguments. Standard output and error become log lines under the guest's log
//! budget. The clocks are the host's, so that a guest in the harness sees virtual time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::Instant;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx};

use super::Pace;
use super::attempt::Task;
use crate::capabilities::Ports;
use crate::capabilities::log::{GuestLog, Level};
use crate::clock::Clock;

/// How many random bytes one call may ask for.
const RANDOM_BYTES: u64 = 64 << 10;

/// A context that holds nothing but clocks, random numbers and a way to the log.
pub(super) fn empty(task: &Task, ports: &Ports, log: &GuestLog, pace: Pace) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder
        .stdout(Lines { log: log.clone(), level: Level::Info })
        .stderr(Lines { log: log.clone(), level: Level::Warn })
        .wall_clock(WallClock(Arc::clone(&ports.clock)))
        .monotonic_clock(MonotonicClock(Instant::now()))
        .max_random_size(RANDOM_BYTES)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    if pace == Pace::Virtual {
        let seed = format!("{}#{}", task.event.id, task.attempt).into_bytes();
        builder
            .secure_random(Deterministic::new(seed.clone()))
            .insecure_random(Deterministic::new(seed))
            .insecure_random_seed(u128::from(task.attempt));
    }
    builder.build()
}

struct WallClock(Arc<dyn Clock>);

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::try_from(self.0.now().duration_since(jiff::Timestamp::UNIX_EPOCH)).unwrap_or_default()
    }
}

struct MonotonicClock(Instant);

impl HostMonotonicClock for MonotonicClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A standard stream whose lines go to the log.
#[derive(Clone)]
struct Lines {
    log: GuestLog,
    level: Level,
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(LineWriter { lines: self.clone(), partial: Vec::new() })
    }
}

/// The longest line that is held until its end comes; longer ones are logged in pieces.
const LINE_BYTES: usize = 4 << 10;

struct LineWriter {
    lines: Lines,
    partial: Vec<u8>,
}

impl LineWriter {
    fn emit(&mut self) {
        if !self.partial.is_empty() {
            self.lines.log.line(self.lines.level, &String::from_utf8_lossy(&self.partial), &[]);
            self.partial.clear();
        }
    }
}

impl AsyncWrite for LineWriter {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        for &byte in bytes {
            if byte == b'\n' || self.partial.len() >= LINE_BYTES {
                self.emit();
            }
            if byte != b'\n' {
                self.partial.push(byte);
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.emit();
        Poll::Ready(Ok(()))
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.emit();
    }
}
