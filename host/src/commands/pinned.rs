//! What a handler is pinned to, compared with a file.

use std::fmt;

use serde::Serialize;

use crate::policy::{Handler, Pin};

/// A handler's pin, and whether a file is what it names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Pinned {
    /// As the policy has it.
    to: Pin,
    /// SHA-256 of the file, in hexadecimal.
    digest: String,
    /// None where S3 alone can tell.
    fits: Option<bool>,
}

impl Pinned {
    /// What `handler` is pinned to, if it is, and whether that is the file with this digest.
    pub(super) fn of(handler: &Handler, digest: &str) -> Option<Self> {
        let pin = handler.pin.as_ref()?;
        let fits = match pin {
            Pin::Sha256(pinned) => Some(pinned == digest),
            Pin::VersionId(_) => None,
        };
        Some(Self { to: pin.clone(), digest: digest.to_owned(), fits })
    }

    /// Whether the handler never runs the file.
    pub(super) fn excludes(&self) -> bool {
        self.fits == Some(false)
    }
}

/// The end of a sentence about the handler.
impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, digest, fits } = self;
        match fits {
            Some(true) => write!(f, "is pinned to it"),
            Some(false) => write!(f, "is pinned to {to}, and does not run this one, which has {digest}"),
            None => write!(f, "is pinned to {to} (whether this is that, S3 alone can tell)"),
        }
    }
}
