//! `hostler:handler/clock`: the time, and short pauses.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::call::CallError;
use crate::bindings::hostler::handler::clock as wit;
use crate::ports::{PortError, PortErrorKind};
use crate::sandbox::Attempt;

impl wit::Host for Attempt {
    async fn now(&mut self) -> wasmtime::Result<u64> {
        self.budget.begin_call("clock.now", 0)?;
        self.budget.end_call()?;
        Ok(unix_milliseconds(self.ports.clock.now()))
    }

    async fn sleep(&mut self, milliseconds: u32) -> Result<(), CallError> {
        let call = self.reading("clock.sleep", &format!("{milliseconds} ms"))?;
        let ends = Instant::now() + Duration::from_millis(milliseconds.into());
        let slept = if ends < self.ends {
            tokio::time::sleep_until(ends).await;
            Ok(())
        } else {
            let message = format!(
                "a pause of {milliseconds} ms would outlast the attempt's wall budget: to wait longer, return `again`"
            );
            Err(PortError::new(PortErrorKind::Timeout, message).into())
        };
        self.end(call, slept)
    }
}

/// An instant in the contract's form. Instants before 1970 do not occur, and become 0.
pub(crate) fn unix_milliseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or(0)
}
