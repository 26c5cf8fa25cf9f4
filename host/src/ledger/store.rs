//! Where the ledger is written: small objects by key, changed only by whoever has seen their last version.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::ports::PortError;

/// The largest object that is read, in bytes; stores that can be written by others bound their reading by it.
pub const MAX_BYTES: u64 = 8 << 20;

/// A place for small objects, with compare-and-swap.
///
/// Keys are relative, their parts divided by `/`. What is written survives the process and the machine's power.
#[async_trait]
pub trait Store: Send + Sync {
    /// The object, as of the last write that succeeded; none if there is none.
    async fn read(&self, key: &str) -> Result<Option<Stored>, PortError>;

    /// Writes an object: in place of the version `over`, or, without it, only if there is none yet.
    async fn write(&self, key: &str, bytes: Vec<u8>, over: Option<&Version>) -> Result<Version, WriteError>;

    /// Removes an object if it still has this version.
    async fn remove(&self, key: &str, version: &Version) -> Result<(), WriteError>;

    /// The objects whose keys begin with `prefix` and come after the key `after`, in the order of their keys, a page at a time.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, PortError>;

    /// The object's place in full, for messages: `s3://BUCKET/PREFIX/KEY` or a path.
    fn locate(&self, key: &str) -> String;
}

/// An object with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What was written.
    pub bytes: Vec<u8>,
    /// Which write that was.
    pub version: Version,
}

/// Names one state of one object: S3's ETag, a digest, a count. Opaque to everybody but the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub String);

/// Some of the objects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The objects.
    pub objects: Vec<Listed>,
    /// Whether there are more after these.
    pub more: bool,
}

/// An object as a list gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// When it was last written.
    pub modified: Timestamp,
}

/// Why a write was not done, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The object is not what the writer has seen: somebody else has changed it, or an earlier try of the same write has taken
    /// effect and its answer was lost. Read it again to know (S3: 412, 409 or 404).
    #[error("the object has changed meanwhile")]
    Changed,
    /// No answer, or one that leaves it open: the write may have taken effect. Read the object to know.
    #[error("{0}")]
    Unknown(PortError),
    /// The write did not happen.
    #[error("{0}")]
    Refused(PortError),
}
