//! What every host function has in common: it is counted before, and timed, logged and mapped to the contract after.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use crate::bindings::hostler::handler::types;
use crate::event::Event;
use crate::outcome::BudgetSpent;
use crate::policy::{Denial, Handler};
use crate::ports::{IdError, InstanceId, PortError, PortErrorKind};
use crate::sandbox::Attempt;
use crate::sandbox::bounded::{cut, written};

/// Why a host function did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostError {
    /// The policy does not allow it.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The guest named something by an id that is not one.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The outside world failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A budget ended in the middle of it.
    #[error(transparent)]
    Spent(#[from] BudgetSpent),
}

impl HostError {
    fn kind(&self) -> PortErrorKind {
        match self {
            Self::Denied(_) => PortErrorKind::Denied,
            Self::Id(_) => PortErrorKind::Invalid,
            Self::Port(error) => error.kind,
            Self::Spent(_) => PortErrorKind::Other,
        }
    }

    fn retryable(&self) -> bool {
        matches!(self, Self::Port(error) if error.retryable())
    }
}

/// What a host function gives back to wasmtime when it does not return: an error value, or the end of the attempt.
#[derive(Debug)]
pub(crate) enum CallError {
    /// A value for the guest.
    Value(types::Error),
    /// A spent budget.
    Trap(wasmtime::Error),
}

/// What a port answers is believed only of the instance that was asked for: a filter on the other side is a hint, and a grant for
/// any instance would otherwise let an answer decide which node is drained.
pub(crate) fn about(asked: &InstanceId, answered: &InstanceId) -> Result<(), PortError> {
    if asked == answered {
        return Ok(());
    }
    let message = format!("the answer is about {answered}, and {asked} was asked for: nothing was done with it");
    Err(PortError::new(PortErrorKind::Other, message))
}

impl types::Host for Attempt {
    fn convert_error(&mut self, error: CallError) -> wasmtime::Result<types::Error> {
        match error {
            CallError::Value(error) => Ok(error),
            CallError::Trap(trap) => Err(trap),
        }
    }
}

/// Ends the attempt of a process that stood still for too long.
#[derive(Debug, thiserror::Error)]
#[error("the lease has ended")]
pub(crate) struct LeaseEnded;

/// A host call under way. Dropped without an end, it was cut off by a budget, and says so if it may have changed something.
pub(crate) struct Call {
    name: &'static str,
    target: String,
    mutating: bool,
    began: Instant,
    handler: Arc<Handler>,
    event: Arc<Event>,
    attempt: u32,
    ended: bool,
}

/// What is logged of a target that a guest wrote, in bytes: enough to recognise a command.
const TARGET_BYTES: usize = 4 << 10;

/// The same where nothing was done, since a guest can be refused as often as it has calls.
const REFUSED_BYTES: usize = 256;

impl Attempt {
    /// Counts a call that only looks.
    pub(crate) fn reading(&mut self, name: &'static str, target: &str) -> Result<Call, CallError> {
        self.begin(name, target, target.len(), false)
    }

    /// Counts a call that changes something. `handed` is what the guest has handed to it, in bytes.
    pub(crate) fn mutating(
        &mut self,
        name: &'static str,
        target: impl fmt::Display,
        handed: usize,
    ) -> Result<Call, CallError> {
        // A process can be frozen for a while, and by then another host may work on the instance.
        let now = self.ports.clock.now();
        if self.task.lease.as_ref().is_some_and(|lease| lease.is_past(now)) {
            return Err(CallError::Trap(LeaseEnded.into()));
        }
        self.begin(name, target, handed, true)
    }

    fn begin(
        &mut self,
        name: &'static str,
        target: impl fmt::Display,
        handed: usize,
        mutating: bool,
    ) -> Result<Call, CallError> {
        self.budget.begin_call(name, handed).map_err(|spent| CallError::Trap(spent.into()))?;
        Ok(Call {
            name,
            target: written(target, TARGET_BYTES),
            mutating,
            began: Instant::now(),
            handler: Arc::clone(&self.task.handler),
            event: Arc::clone(&self.task.event),
            attempt: self.task.attempt,
            ended: false,
        })
    }

    /// Logs how a call ended, and maps its error to the contract.
    pub(crate) fn end<T>(&mut self, mut call: Call, result: Result<T, HostError>) -> Result<T, CallError> {
        let budget = self.budget.end_call();
        call.ended = true;
        call.log(result.as_ref().err());
        budget.map_err(|spent| CallError::Trap(spent.into()))?;
        result.map_err(|error| {
            let (code, retryable, message) = (code(error.kind()), error.retryable(), error.to_string());
            match error {
                HostError::Spent(spent) => CallError::Trap(spent.into()),
                _ => CallError::Value(types::Error { code, retryable, message }),
            }
        })
    }
}

impl Call {
    /// One line: loud for what was refused, by the policy or by IAM; plain for what changes something; quiet for a look.
    fn log(&self, error: Option<&HostError>) {
        let milliseconds = self.began.elapsed().as_secs_f64() * 1e3;
        let (handler, event, attempt) = (self.handler.name.as_str(), self.event.id.as_str(), self.attempt);
        let refused =
            error.map(HostError::kind).filter(|kind| matches!(kind, PortErrorKind::Denied | PortErrorKind::Invalid));
        let target = refused.map_or(Cow::Borrowed(self.target.as_str()), |_| cut(&self.target, REFUSED_BYTES).into());
        let (call, target) = (self.name, target.as_ref());
        match error {
            Some(error) if self.mutating || error.kind() == PortErrorKind::Denied => {
                let result = error.kind().as_str();
                tracing::warn!(handler, event, attempt, call, target, result, %error, milliseconds, "host call");
            }
            Some(error) => {
                let result = error.kind().as_str();
                tracing::debug!(handler, event, attempt, call, target, result, %error, milliseconds, "host call");
            }
            None if self.mutating => {
                tracing::info!(handler, event, attempt, call, target, result = "ok", milliseconds, "host call");
            }
            None => tracing::debug!(handler, event, attempt, call, target, result = "ok", milliseconds, "host call"),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.mutating && !self.ended {
            let milliseconds = self.began.elapsed().as_secs_f64() * 1e3;
            let (handler, event, attempt) = (self.handler.name.as_str(), self.event.id.as_str(), self.attempt);
            let (call, target, result) = (self.name, self.target.as_str(), "cut off");
            let error = "the attempt ended during the call, which may have taken effect";
            tracing::warn!(handler, event, attempt, call, target, result, error, milliseconds, "host call");
        }
    }
}

fn code(kind: PortErrorKind) -> types::ErrorCode {
    match kind {
        PortErrorKind::Denied => types::ErrorCode::Denied,
        PortErrorKind::NotFound => types::ErrorCode::NotFound,
        PortErrorKind::Invalid => types::ErrorCode::Invalid,
        PortErrorKind::Throttled => types::ErrorCode::Throttled,
        PortErrorKind::Unavailable => types::ErrorCode::Unavailable,
        PortErrorKind::Timeout => types::ErrorCode::Timeout,
        PortErrorKind::Conflict => types::ErrorCode::Conflict,
        PortErrorKind::Other => types::ErrorCode::Other,
    }
}
