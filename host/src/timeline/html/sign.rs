//! Signs: what kind of thing happened, and how that looks.

use maud::{Markup, html};

/// What kind of thing it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sign {
    /// An attempt that ended with `done`.
    Done,
    /// One that ended with `again`.
    Again,
    /// One that ended with `abandon`.
    Abandon,
    /// One that failed.
    Failed,
    /// A call that only looks.
    Look,
    /// A call that changes something.
    Act,
    /// A heartbeat that was accepted.
    Beat,
    /// A call that did not succeed.
    Error,
    /// A call that went wrong by order.
    Fault,
    /// A change of the world.
    Change,
    /// A line of the log.
    Says,
    /// A loud line of the log.
    Warns,
}

impl Sign {
    pub(super) fn is_attempt(self) -> bool {
        matches!(self, Self::Done | Self::Again | Self::Abandon | Self::Failed)
    }

    /// What it means, for the legend.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Done => "attempt: done",
            Self::Again => "attempt: again later",
            Self::Abandon => "attempt: abandon",
            Self::Failed => "attempt: failed",
            Self::Look => "call that looks",
            Self::Act => "call that changes something",
            Self::Beat => "heartbeat",
            Self::Error => "call that did not succeed",
            Self::Fault => "simulated fault",
            Self::Change => "the world changed",
            Self::Says => "log line",
            Self::Warns => "warning or error in the log",
        }
    }

    /// Its name in the style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Again => "again",
            Self::Abandon => "abandon",
            Self::Failed => "failed",
            Self::Look => "look",
            Self::Act => "act",
            Self::Beat => "beat",
            Self::Error => "error",
            Self::Fault => "fault",
            Self::Change => "change",
            Self::Says => "says",
            Self::Warns => "warns",
        }
    }

    /// Its shape, around the origin: each has a shape of its own, so that none depends on its colour.
    pub(super) fn drawn(self) -> Markup {
        let shape = match self {
            Self::Done => "M-3.5 .5L-1 3L3.5 -2.5",
            Self::Again => "M-4 0H3.5M.5 -3L3.5 0L.5 3",
            Self::Abandon => "M-4 0H4",
            Self::Failed => "M-3 -3L3 3M3 -3L-3 3",
            Self::Look => "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0",
            Self::Act => "M-6 0L0 -6L6 0L0 6Z",
            Self::Beat => "M-6.5 0H-3L-1 -5L1.5 5L3 0H6.5",
            Self::Error => "M-4.5 -4.5L4.5 4.5M4.5 -4.5L-4.5 4.5",
            Self::Fault => "M0 -6.5L7 6H-7Z",
            Self::Change => "M-4.5 -4.5H4.5V4.5H-4.5Z",
            Self::Says => "M0 -6V6",
            Self::Warns => "M-3 7V-6.5L5.5 -3L-3 .5",
        };
        html! {
            @if self.is_attempt() { rect.badge x="-7" y="-7" width="14" height="14" rx="3" {} }
            path.sign d=(shape) {}
            @if self == Self::Fault { path.bang d="M0 -2.5V1.5M0 3.6V4.4" {} }
        }
    }
}
