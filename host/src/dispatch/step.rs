//! How far one step brings an event.

use jiff::Timestamp;

use super::End;

/// How far an event has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is at its end, and that is written down: the door may forget it.
    Ended(End),
    /// There is more to do later. The door brings the event again then: to do it, or only to keep its lifecycle action alive.
    Later {
        /// When to bring it again, by the host's clock.
        at: Timestamp,
        /// When there is more to do than to keep the action alive.
        due: Timestamp,
        /// When its lifecycle action ends unless it is kept alive before that; none if it has none, or that is not known.
        alive_until: Option<Timestamp>,
        /// What is waited for, for people.
        note: String,
    },
}

impl Step {
    /// There is more to do at once, and not here.
    pub(super) fn at_once(now: Timestamp, note: impl Into<String>) -> Self {
        Self::Later { at: now, due: now, alive_until: None, note: note.into() }
    }
}
