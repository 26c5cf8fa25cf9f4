//! Time: a port like the others, so that the simulated world can have its own.

pub(crate) mod words;

use std::time::Duration;

use jiff::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The wait after the `nth` failure in a row: `first`, twice as long with each further one, and never longer than `longest`.
pub(crate) fn doubling(first: Duration, nth: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << nth.saturating_sub(1).min(16)).min(longest)
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that goes as tokio's does, which tests stop and put forward.
#[cfg(any(test, feature = "fuzzing"))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct VirtualClock {
    start: Timestamp,
    made: tokio::time::Instant,
}

#[cfg(any(test, feature = "fuzzing"))]
impl VirtualClock {
    /// One that shows `start` now.
    pub(crate) fn at(start: Timestamp) -> Self {
        Self { start, made: tokio::time::Instant::now() }
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.start + self.made.elapsed()
    }
}
