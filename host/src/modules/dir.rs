//! Modules from a folder.
/// A folder of modules.
#[derive(Debug)]
pub struct DirSource;
