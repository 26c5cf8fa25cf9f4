//! Outcomes: what an attempt came to.

use std::time::Duration;

use crate::bindings::hostler::handler::types::{Outcome as HostOutcome, Retry};

/// What an attempt came to. The host completes the lifecycle action from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All that had to happen has happened: CONTINUE.
    Done,
    /// The instance should not go the ordinary way, and why: ABANDON.
    Abandon(String),
    /// Not there yet: the handler is called again, and the lifecycle action kept alive meanwhile.
    Again {
        /// How long to wait. The host may wake the handler later.
        after: Duration,
        /// What is being waited for, for the people who read the log. At most 1 KiB.
        note: String,
        /// Handed to the next attempt as [`Event::state`](crate::Event::state). At most 64 KiB as JSON writes it.
        state: Option<String>,
    },
}

impl Outcome {
    /// [`Outcome::Abandon`], with the reason.
    pub fn abandon(why: impl Into<String>) -> Self {
        Self::Abandon(why.into())
    }

    /// [`Outcome::Again`], with what is being waited for.
    ///
    /// ```
    /// # use hostler_plugin::prelude::*;
    /// let outcome = Outcome::again(Duration::from_secs(30), "the last backup is still running").with_state("backup-7");
    /// ```
    pub fn again(after: Duration, note: impl Into<String>) -> Self {
        Self::Again { after, note: note.into(), state: None }
    }

    /// Hands `state` to the next attempt. Only [`Outcome::Again`] has one: the others are returned as they are.
    #[must_use]
    pub fn with_state(mut self, state: impl Into<String>) -> Self {
        if let Self::Again { state: slot, .. } = &mut self {
            *slot = Some(state.into());
        }
        self
    }
}

impl From<Outcome> for HostOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Abandon(why) => Self::Abandon(why),
            Outcome::Again { after, note, state } => {
                // Rounded up: half a second must not become "at once".
                let seconds = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
                Self::Again(Retry { after_seconds: u32::try_from(seconds).unwrap_or(u32::MAX), note, state })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(after: Duration) -> u32 {
        match Outcome::again(after, "").into() {
            HostOutcome::Again(retry) => retry.after_seconds,
            other => panic!("{other:?} is not again"),
        }
    }

    #[test]
    fn a_wait_is_rounded_up_to_seconds_and_never_overflows() {
        assert_eq!(seconds(Duration::ZERO), 0);
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(30)), 30);
        assert_eq!(seconds(Duration::MAX), u32::MAX);
    }

    #[test]
    fn only_again_has_a_state() {
        assert_eq!(Outcome::Done.with_state("x"), Outcome::Done);
        assert_eq!(
            Outcome::again(Duration::ZERO, "n").with_state("x"),
            Outcome::Again { after: Duration::ZERO, note: "n".to_owned(), state: Some("x".to_owned()) }
        );
    }
}
