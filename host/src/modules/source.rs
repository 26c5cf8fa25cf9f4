//! The port to the place plugins come from.

use async_trait::async_trait;

/// A place that holds modules by name.
#[async_trait]
pub trait Source: Send + Sync {
    /// Fetches a version of `module`. Never reads more than `max_size` bytes of it.
    async fn fetch(&self, module: &str, which: Which<'_>, max_size: u64) -> Result<Fetched, SourceError>;

    /// The versions of `module` before the newest, the newest of them first: a hundred at the most, and none where nothing is kept of them.
    async fn earlier(&self, module: &str) -> Result<Vec<String>, SourceError>;

    /// Where `module` is, for people: `s3://bucket/prefix/module` or a path.
    fn locate(&self, module: &str) -> String;
}

/// Which version of a module is wanted.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// The newest, unless it is still the one that is known.
    Newest(Option<&'a Known>),
    /// The one that the source calls so.
    Version(&'a str),
}

/// The version that the source had last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its [`Upload::tag`].
    pub tag: String,
    /// Its [`Upload::signature`]: with another one the same module is another version.
    pub signature: Option<String>,
}

/// What a source had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// Still the version that is known.
    Unchanged,
    /// Another version.
    New(Upload),
}

/// A module as somebody has uploaded it. Nothing of it can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The module.
    pub bytes: Vec<u8>,
    /// Its signature, as minisign writes it to a file; none if it has none.
    pub signature: Option<String>,
    /// Tells it from others: the ETag, or its like. Opaque.
    pub tag: String,
    /// What the source calls this version, where it keeps several.
    pub version_id: Option<String>,
}

impl Upload {
    /// What is known of it from then on.
    pub fn known(&self) -> Known {
        Known { tag: self.tag.clone(), signature: self.signature.clone() }
    }
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
