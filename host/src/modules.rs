//! Where plugins come from, and which of them are accepted.

mod dir;
#[cfg(feature = "live")]
mod s3;
mod source;

pub use dir::DirSource;
#[cfg(feature = "live")]
pub use s3::S3Source;
pub use source::{Fetched, Source, SourceError, SourceErrorKind};
