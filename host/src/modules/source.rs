//! The port to the place plugins come from.

use async_trait::async_trait;

/// A place that holds modules by name.
#[async_trait]
pub trait Source: Send + Sync {
    /// Fetches `module` unless it is still the version named `known`. Never reads more than `max_size` bytes.
    async fn fetch(&self, module: &str, known: Option<&str>, max_size: u64) -> Result<Fetched, SourceError>;

    /// Where `module` is, for people: `s3://bucket/prefix/module` or a path.
    fn locate(&self, module: &str) -> String;
}

/// What a source had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// Still the version that is known.
    Unchanged,
    /// Another version.
    New {
        /// The module.
        bytes: Vec<u8>,
        /// Names the version: the ETag, or its like. Opaque.
        version: String,
    },
}

/// Why a module could not be fetched. The message names the place and what would mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// The kind of failure.
    pub kind: SourceErrorKind,
    /// One line for people.
    pub message: String,
}

/// The kinds of failure a source tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceErrorKind {
    /// There is no such object or file.
    NotFound,
    /// There is not even the bucket or the folder that it would be in.
    SourceMissing,
    /// We may not read it.
    Denied,
    /// It is larger than `max-size`.
    TooLarge,
    /// The place does not answer, or answers with a fault of its own.
    Unavailable,
}
