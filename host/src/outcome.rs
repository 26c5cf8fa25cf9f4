//! What an attempt came to, and what all attempts did. Pure.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::lifecycle::LifecycleResult;

/// What an attempt returned, or why it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All that had to happen has happened.
    Done,
    /// The instance should not go the ordinary way.
    Abandon {
        /// Why, in the handler's words.
        why: String,
    },
    /// Not there yet.
    Again(Retry),
    /// The attempt did not come to an outcome of its own.
    Failed(Failure),
}

impl Outcome {
    /// One word for logs and metrics: `done`, `abandon`, `again` or `failed`; `interrupted` if its host ended first.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Abandon { .. } => "abandon",
            Self::Again(_) => "again",
            Self::Failed(Failure::HostEnds) => "interrupted",
            Self::Failed(_) => "failed",
        }
    }

    /// What there is to say about it; empty for `done`.
    pub fn note(&self) -> String {
        match self {
            Self::Done => String::new(),
            Self::Abandon { why } => why.clone(),
            Self::Again(retry) => retry.note.clone(),
            Self::Failed(failure) => failure.to_string(),
        }
    }
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
    /// A person has said how it ends.
    Ordered {
        /// CONTINUE or ABANDON.
        result: LifecycleResult,
        /// Who.
        by: String,
    },
}

impl Decision {
    /// One word for logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Abandon { .. } => "abandon",
            Self::GaveUp { .. } => "gave-up",
            Self::Ordered { .. } => "ordered",
        }
    }

    /// What it came to, in a word or two, and why; nothing when there is nothing to explain.
    pub fn told(&self) -> (&'static str, String) {
        match self {
            Self::Done => ("done", String::new()),
            Self::Abandon { why } if why.is_empty() => ("abandoned", "no reason given".to_owned()),
            Self::Abandon { why } => ("abandoned", why.clone()),
            Self::GaveUp { why } => ("gave up", why.clone()),
            Self::Ordered { by, .. } => ("ended by order", format!("of {by}")),
        }
    }
}

/// What was decided, for people: in a word or two, and why.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, why) = self.told();
        match self {
            Self::Ordered { .. } => write!(f, "{word} {why}"),
            _ if why.is_empty() => write!(f, "{word}"),
            _ => write!(f, "{word}: {why}"),
        }
    }
}

/// When a handler wants to look again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// How long to wait, as the handler asked; dispatch keeps it within bounds.
    pub after: Duration,
    /// What is being waited for.
    pub note: String,
    /// Handed to the next attempt.
    pub state: Option<String>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// There is no module to run.
    NoModule(String),
    /// Where modules come from cannot be reached, and there is no earlier one to run.
    NoSource(String),
    /// The handler returned an error.
    Handler(String),
    /// A budget was spent.
    Budget(BudgetSpent),
    /// The guest trapped: a panic, or memory that was refused.
    Trap(String),
    /// The outcome was out of the contract's bounds.
    Contract(String),
    /// The lease on the instance ended first: whatever it came to, another host may work on it now.
    LeaseEnded,
    /// The process of the host ended first.
    HostEnds,
    /// Others had all of the room until the door closed, so that no attempt was made.
    NoRoom,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoModule(why) | Self::NoSource(why) => write!(f, "no module to run: {why}"),
            Self::Handler(why) => write!(f, "the handler returned an error: {why}"),
            Self::Budget(spent) => write!(f, "{spent}"),
            Self::Trap(why) => write!(f, "the plugin trapped: {why}"),
            Self::Contract(why) => write!(f, "{why}"),
            Self::LeaseEnded => write!(f, "the lease on the instance has ended: another host may work on it now"),
            Self::HostEnds => write!(f, "the host ended"),
            Self::NoRoom => write!(f, "there was no room for it yet"),
        }
    }
}

/// Which budget was spent, its limit, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{budget} budget of {limit} spent{}", during.map(|call| format!(" during {call}")).unwrap_or_default())]
pub struct BudgetSpent {
    /// A key in `[handler.limits]`: `cpu`, `wall`, `memory`, `host-calls`, `log`, `log-lines` or `ssh`; or what is the same for
    /// all: `stack`, `tables` or `handles`.
    pub budget: &'static str,
    /// The limit, with its unit.
    pub limit: String,
    /// The host call that was under way, such as `ssh.exec`.
    pub during: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_says_why_where_there_is_a_why() {
        let (why, by, result) = ("broken".to_owned(), "me@laptop".to_owned(), LifecycleResult::Continue);
        let told = [
            Decision::Done,
            Decision::Abandon { why: why.clone() },
            Decision::Abandon { why: String::new() },
            Decision::GaveUp { why },
            Decision::Ordered { result, by },
        ]
        .map(|decision| decision.to_string());
        assert_eq!(
            told,
            [
                "done",
                "abandoned: broken",
                "abandoned: no reason given",
                "gave up: broken",
                "ended by order of me@laptop"
            ]
        );
    }

    #[test]
    fn a_spent_budget_says_which_how_much_and_where() {
        let spent = BudgetSpent { budget: "wall", limit: "60s".into(), during: Some("ssh.exec") };
        assert_eq!(spent.to_string(), "wall budget of 60s spent during ssh.exec");
        let spent = BudgetSpent { budget: "cpu", limit: "2s".into(), during: None };
        assert_eq!(spent.to_string(), "cpu budget of 2s spent");
    }
}
