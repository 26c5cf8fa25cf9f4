//! Why a host function, or a handler, did not do what it was asked.

use std::fmt;

use crate::bindings::hostler::handler::types::Error as HostError;
pub use crate::bindings::hostler::handler::types::ErrorCode;

/// What the functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure: what kind, whether trying again may help, and one line for people.
///
/// Host functions return it, `?` passes it on, and a handler makes its own from any text. Returned from a handler, it is a
/// failed attempt: the host tries again as often as the policy says.
///
/// ```
/// # use hostler_plugin::prelude::*;
/// fn port(text: &str) -> Result<u16> {
///     text.parse().map_err(|error| Error::new(format!("port {text:?}: {error}")))
/// }
/// assert_eq!(port("http").unwrap_err().to_string(), "port \"http\": invalid digit found in string");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    code: ErrorCode,
    retryable: bool,
    message: String,
}

impl Error {
    /// A failure of the handler's own. Its code is [`ErrorCode::Other`].
    pub fn new(message: impl fmt::Display) -> Self {
        Self::of(ErrorCode::Other, message)
    }

    /// A failure as the host would report it: `throttled`, `unavailable` and `timeout` are retryable. For tests.
    pub fn of(code: ErrorCode, message: impl fmt::Display) -> Self {
        let retryable = matches!(code, ErrorCode::Throttled | ErrorCode::Unavailable | ErrorCode::Timeout);
        Self { code, retryable, message: message.to_string() }
    }

    /// The kind of failure.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// Whether the same call may succeed later with nothing else changed: a reason for `again` rather than for failing.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// Says first what was being done: `what: message`.
    #[must_use]
    pub fn context(self, what: impl fmt::Display) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<HostError> for Error {
    fn from(error: HostError) -> Self {
        Self { code: error.code, retryable: error.retryable, message: error.message }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl From<Error> for HostError {
    fn from(error: Error) -> Self {
        Self { code: error.code, retryable: error.retryable, message: error.message }
    }
}
