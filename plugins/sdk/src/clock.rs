//! Time, as the host sees it: real in production, virtual in tests. Needs no grant.
//!
//! `std::time` does not work in a plugin; this does.

use std::time::Duration;

use crate::host::clock as host;
use crate::{Result, Time};

/// Now.
pub fn now() -> Time {
    Time::from_unix_milliseconds(host::now())
}

/// Waits, at most 49 days. For short pauses inside one attempt; to wait for longer, return [`Outcome::again`](crate::Outcome::again).
///
/// `timeout`, at once, when the attempt's wall budget would be spent before the end of the pause.
pub fn sleep(duration: Duration) -> Result<()> {
    Ok(host::sleep(u32::try_from(duration.as_millis()).unwrap_or(u32::MAX))?)
}
