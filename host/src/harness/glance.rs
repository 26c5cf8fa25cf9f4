//! What shows of a file before it is read as a case, however mistaken it is.

use std::path::{Path, PathBuf};

use super::case::read;

/// A look at a file that may be a case.
#[derive(Debug, Default)]
pub struct Glance {
    /// Whether it is meant to be one: it has a key that cases have and worlds have not.
    pub is_case: bool,
    /// The file that it takes its world from.
    pub world: Option<PathBuf>,
}

impl Glance {
    /// Looks at the file. Of one that cannot be read, or is no TOML, nothing shows.
    pub fn at(path: &Path) -> Self {
        let keys = read(path).ok().and_then(|text| text.parse::<toml::Table>().ok()).unwrap_or_default();
        let is_case = ["policy", "handler", "event", "world", "expect"].iter().any(|key| keys.contains_key(*key));
        let world = keys.get("world").and_then(toml::Value::as_str);
        Self { is_case, world: world.map(|world| path.with_file_name(world)) }
    }
}
