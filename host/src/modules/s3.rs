//! Modules from S3.
/// A bucket of modules.
#[derive(Debug)]
pub struct S3Source;
