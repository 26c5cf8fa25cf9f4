//! How the handling of an event ended, or why it did not.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::{EndedItem, LedgerError};
use crate::lifecycle::Completion;
use crate::outcome::Decision;
use crate::ports::{AccountId, Place, PortError, PortErrorKind, Region};

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
    /// It had ended before: this is a further delivery of it.
    Already(Already),
}

/// The end of an event that is delivered again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Already {
    /// The handler.
    pub handler: String,
    /// What was decided.
    #[serde(flatten)]
    pub decision: Decision,
    /// When it ended.
    pub at: Timestamp,
    /// What became of the lifecycle action; none if the event has none.
    pub lifecycle: Option<Completion>,
}

impl From<EndedItem> for Already {
    fn from(ended: EndedItem) -> Self {
        let EndedItem { handler, decision, ended: at, lifecycle, .. } = ended;
        Self { handler, decision, at, lifecycle }
    }
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
    /// It waits for its next step; only recordings know it as an error.
    #[error("event {event}: {note}: it waits for whoever brings it again")]
    Waits {
        /// The event.
        event: String,
        /// How far it came.
        note: String,
    },
    /// The ledger is not to be had.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The decision stands, but Auto Scaling could not be told.
    #[error("event {event}: the lifecycle action on {instance} could not be completed with {result}: {source}")]
    NotCompleted {
        /// The event.
        event: String,
        /// The instance.
        instance: String,
        /// CONTINUE or ABANDON.
        result: &'static str,
        /// Why; in the message already, so that it is no further link of the chain (`r#`).
        r#source: PortError,
        /// When it is to be tried again, by the host's clock.
        again: Timestamp,
    },
}

impl End {
    /// What it came to, in a word or two, and why; nothing when there is nothing to explain.
    pub fn told(&self) -> (&'static str, String) {
        let worked = match self {
            Self::NoHandler => return ("not taken", "no handler of the policy takes this event".to_owned()),
            Self::LeftAlone { hook } => {
                let why = format!("left alone: hook {hook:?} belongs to ECS, and no handler's pattern names it");
                return ("not taken", why);
            }
            Self::Already(already) => {
                let (word, _) = already.decision.told();
                let (handler, at) = (&already.handler, already.at);
                return (
                    "ended before",
                    format!("a further delivery of an event that {handler} had brought to its end at {at}: {word}"),
                );
            }
            Self::Worked(worked) => worked,
        };
        worked.decision.told()
    }
}

/// How it ended, for people: one line.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, why) = self.told();
        let Self::Worked(Worked { handler, attempts, lifecycle, decision }) = self else { return f.write_str(&why) };
        let plural = if *attempts == 1 { "attempt" } else { "attempts" };
        let after = format!("after {attempts} {plural} of {handler}");
        let lifecycle = lifecycle.map_or("no lifecycle action to complete", Completion::told);
        match decision {
            Decision::Ordered { .. } => write!(f, "{word} {why}, {after}; {lifecycle}"),
            _ if why.is_empty() => write!(f, "{word} {after}; {lifecycle}"),
            _ => write!(f, "{word} {after}: {why}; {lifecycle}"),
        }
    }
}

impl DispatchError {
    /// A name to count by.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Elsewhere { .. } => "Elsewhere",
            Self::OutOfTime { .. } => "OutOfTime",
            Self::Waits { .. } => "Waits",
            Self::Ledger(_) => "Ledger",
            Self::NotCompleted { .. } => "NotCompleted",
        }
    }

    /// Whether it may be over later without anybody doing something about it.
    pub fn passes(&self) -> bool {
        match self {
            Self::Elsewhere { .. } => false,
            Self::OutOfTime { .. } | Self::Waits { .. } => true,
            Self::Ledger(error) => error.passes(),
            Self::NotCompleted { source, .. } => source.passes(),
        }
    }

    /// Whether it is a matter of who asks: other credentials may be allowed it.
    pub(crate) fn is_denied(&self) -> bool {
        let source = match self {
            Self::NotCompleted { source, .. } => source,
            Self::Ledger(
                LedgerError::Read { source, .. }
                | LedgerError::Write { source, .. }
                | LedgerError::Damaged { source, .. },
            ) => source,
            _ => return false,
        };
        source.kind == PortErrorKind::Denied
    }
}
