//! WASI 0.2 with nothing in it, for guests whose toolchain imports it whether they use it or not.
//!
//! No files, no sockets, no environment, no arguments. Standard output and error become log lines under the guest's log
//! budget. The clocks are the host's, so that a guest in the harness sees virtual time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx};

use super::Pace;
use super::attempt::Task;
use super::budget::WASI;
use crate::capabilities::Ports;
use crate::capabilities::log::{GuestLog, Level};
use crate::clock::Clock;

/// How many random bytes one call may ask for.
const RANDOM_BYTES: u64 = 64 << 10;

/// A context that holds nothing but clocks, random numbers and a way to the log.
pub(super) fn empty(task: &Task, ports: &Ports, log: &GuestLog, pace: Pace) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder
        .stdout(Lines::new(log, Level::Info))
        .stderr(Lines::new(log, Level::Warn))
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

/// The longest line that is held until its end comes, and what is taken in one write. Longer lines are logged in pieces.
const LINE_BYTES: usize = 4 << 10;

/// A standard stream whose lines go to the log. All handles to it share it, the line that has no end yet included.
#[derive(Clone)]
struct Lines(Arc<Mutex<Line>>);

struct Line {
    log: GuestLog,
    level: Level,
    partial: Vec<u8>,
}

impl Lines {
    fn new(log: &GuestLog, level: Level) -> Self {
        Self(Arc::new(Mutex::new(Line { log: log.clone(), level, partial: Vec::new() })))
    }
}

impl Line {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' || self.partial.len() >= LINE_BYTES {
                self.emit();
            }
            if byte != b'\n' {
                self.partial.push(byte);
            }
        }
    }

    fn emit(&mut self) {
        if !self.partial.is_empty() {
            self.log.line(WASI, self.level, &String::from_utf8_lossy(&self.partial), &[]);
            self.partial.clear();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.emit();
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    /// Only what is not linked asks for this form: WASI 0.1 and 0.3.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    /// Written where it is called, so that the guest is charged for it. The default would hand it to a task of its own.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > LINE_BYTES {
            return Err(StreamError::trap("cannot write more than `check-write` allows"));
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LINE_BYTES)
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}
