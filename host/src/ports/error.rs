//! Why the outside world did not do what a port was asked.

use serde::{Deserialize, Serialize};

/// A failed call of a port: what kind of failure, and one line for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct PortError {
    /// The kind, as the contract tells them apart.
    pub kind: PortErrorKind,
    /// What failed, why, and what would mend it. Safe to show a guest: no secrets.
    pub message: String,
}

/// The kinds of failure a port tells apart. The meanings are those of `error-code` in `wit/types.wit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortErrorKind {
    /// AWS IAM, or the other end, does not allow the call.
    Denied,
    /// The thing named does not exist, or no longer does.
    NotFound,
    /// The call is malformed.
    Invalid,
    /// Asked to slow down, after the port's own retries.
    Throttled,
    /// Unreachable, or a fault of the other side.
    Unavailable,
    /// No answer in time; the effect may have happened.
    Timeout,
    /// The thing is in a state that does not admit the call.
    Conflict,
    /// Anything else.
    Other,
}

impl PortErrorKind {
    /// The word of the contract, such as `not-found`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::Invalid => "invalid",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Conflict => "conflict",
            Self::Other => "other",
        }
    }
}

impl PortError {
    /// A failure of `kind` with its message.
    pub fn new(kind: PortErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Whether the same call may succeed later with nothing else changed.
    pub fn retryable(&self) -> bool {
        matches!(self.kind, PortErrorKind::Throttled | PortErrorKind::Unavailable | PortErrorKind::Timeout)
    }

    /// Whether the call may succeed later without anybody doing something about it. More than [`retryable`](Self::retryable): what
    /// cannot be told is hoped for.
    pub fn passes(&self) -> bool {
        !matches!(self.kind, PortErrorKind::Denied | PortErrorKind::NotFound | PortErrorKind::Invalid)
    }
}
