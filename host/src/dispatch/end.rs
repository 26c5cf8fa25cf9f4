//! How the handling of an event ended, or why it did not.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Place;
use crate::ports::{AccountId, PortError, Region};

/// How the handling of an event ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case")]
pub enum End {
    /// No handler's pattern matches.
    NoHandler,
    /// The hook belongs to another service, and no handler names it.
    LeftAlone {
        /// The hook.
        hook: String,
    },
    /// A handler has worked on it.
    Worked(Worked),
}

/// What the work on an event came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worked {
    /// The handler.
    pub handler: String,
    /// What was decided.
    #[serde(flatten)]
    pub decision: Decision,
    /// How many attempts it took.
    pub attempts: u32,
    /// What became of the lifecycle action; none if the event has none.
    pub lifecycle: Option<Completion>,
}

/// What the attempts came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Decision {
    /// The handler said `done`.
    Done,
    /// The handler said `abandon`.
    Abandon {
        /// Why.
        why: String,
    },
    /// The policy's patience has ended: too many failures in a row, or the deadline.
    GaveUp {
        /// Why.
        why: String,
    },
}

/// What became of the lifecycle action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Completion {
    /// Completed with CONTINUE.
    Continue,
    /// Completed with ABANDON.
    Abandon,
    /// Left to the hook's own timeout and default result, as `on-failure = "leave"` says.
    Left,
    /// It was over before we completed it: by another delivery of the event, another hand, or the hook's timeout.
    Late,
}

/// Why an event could not be brought to its end. The door reports it as a failure, so that the event is delivered again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DispatchError {
    /// The event is of another account or region.
    #[error(
        "event {event} is of account {account} in {region}, and this host serves account {} in {}: nothing was done; send it to a host there",
        ours.account, ours.region
    )]
    Elsewhere {
        /// The event.
        event: String,
        /// Its account.
        account: AccountId,
        /// Its region.
        region: Region,
        /// Ours.
        ours: Place,
    },
    /// The door's time ends before the work does.
    #[error("event {event}: {note}, and the time of this invocation is over: it fails, to be delivered again")]
    OutOfTime {
        /// The event.
        event: String,
        /// How far it came.
        note: String,
    },
    /// The decision stands, but Auto Scaling could not be told.
    #[error("event {event}: the lifecycle action on {instance} could not be completed with {result}: {source}")]
    NotCompleted {
        /// The event.
        event: String,
        /// The instance.
        instance: String,
        /// CONTINUE or ABANDON.
        result: &'static str,
        /// Why.
        source: PortError,
    },
}

/// How it ended, for people: one line.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let worked = match self {
            Self::NoHandler => return f.write_str("no handler of the policy takes this event"),
            Self::LeftAlone { hook } => {
                return write!(f, "left alone: hook {hook:?} belongs to ECS, and no handler's pattern names it");
            }
            Self::Worked(worked) => worked,
        };
        let (decision, why) = match &worked.decision {
            Decision::Done => ("done", String::new()),
            Decision::Abandon { why } if why.is_empty() => ("abandoned", ": no reason given".to_owned()),
            Decision::Abandon { why } => ("abandoned", format!(": {why}")),
            Decision::GaveUp { why } => ("gave up", format!(": {why}")),
        };
        let lifecycle = match worked.lifecycle {
            None => "no lifecycle action to complete",
            Some(Completion::Continue) => "lifecycle action completed with CONTINUE",
            Some(Completion::Abandon) => "lifecycle action completed with ABANDON",
            Some(Completion::Left) => "lifecycle action left to the hook's timeout",
            Some(Completion::Late) => "too late: the lifecycle action was over already",
        };
        let attempts = if worked.attempts == 1 { "attempt" } else { "attempts" };
        write!(f, "{decision} after {} {attempts} of {}{why}; {lifecycle}", worked.attempts, worked.handler)
    }
}

impl DispatchError {
    /// A name to count by.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Elsewhere { .. } => "Elsewhere",
            Self::OutOfTime { .. } => "OutOfTime",
            Self::NotCompleted { .. } => "NotCompleted",
        }
    }
}

impl Decision {
    /// One word for logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Abandon { .. } => "abandon",
            Self::GaveUp { .. } => "gave-up",
        }
    }
}

impl Completion {
    /// One word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Abandon => "abandon",
            Self::Left => "left",
            Self::Late => "late",
        }
    }
}
