//! The plugins that cases play with: compiled once, however many cases and threads there are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use async_trait::async_trait;

use super::case::Case;
use crate::modules::{self, Fetched, Modules, Plugin, Refusal, Source, SourceError, SourceErrorKind, Which};
use crate::sandbox::{Capacity, Pace, Sandbox};
use crate::sim::World;

/// Attempts of one case side by side. On a thread of its own, under virtual time, none may wait for another's: time would run
/// away from it.
const ATTEMPTS_PER_CASE: u32 = 64;

/// Plugins, by where they come from. Those of the same content are one.
pub struct Plugins {
    sandbox: Arc<Sandbox>,
    by_path: HashMap<PathBuf, Arc<Plugin>>,
    /// Those that a path holds: while files are watched, each change of a plugin is another module.
    by_digest: HashMap<String, Weak<Plugin>>,
}

/// Why the plugins cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The sandbox could not be set up.
    #[error("the sandbox cannot be set up on this machine: {0:#}")]
    Sandbox(wasmtime::Error),
    /// A module the host would not run.
    #[error("{}: the host would refuse this plugin: it {why}", .path.display())]
    Refused {
        /// Where it comes from.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl Plugins {
    /// Room for plugins whose attempts may take `memory` bytes each, in so many cases at once.
    pub fn new(memory: u64, cases: u32) -> Result<Self, PluginError> {
        let capacity = Capacity { attempts: cases.saturating_mul(ATTEMPTS_PER_CASE), memory };
        let sandbox = Sandbox::new(capacity, Pace::Virtual).map_err(PluginError::Sandbox)?;
        Ok(Self { sandbox: Arc::new(sandbox), by_path: HashMap::new(), by_digest: HashMap::new() })
    }

    /// Takes the module of the plugin at `path`, in place of any it had: with the checks of production.
    pub fn take(&mut self, path: &Path, bytes: &[u8]) -> Result<(), PluginError> {
        let digest = crate::digest::sha256(bytes);
        let plugin = match self.by_digest.get(&digest).and_then(Weak::upgrade) {
            Some(known) => known,
            None => {
                let refused = |why: Refusal| PluginError::Refused { path: path.to_owned(), why: why.to_string() };
                let module = modules::load(&self.sandbox, bytes).map_err(refused)?;
                let plugin = Arc::new(Plugin::built_here(module));
                self.by_digest.insert(digest, Arc::downgrade(&plugin));
                plugin
            }
        };
        self.by_path.insert(path.to_owned(), plugin);
        self.by_digest.retain(|_, plugin| plugin.strong_count() > 0);
        Ok(())
    }

    /// Why the host would refuse a plugin of this case, whose policy says how large one may be.
    pub fn refused(&self, case: &Case) -> Option<PluginError> {
        case.plugins.values().find_map(|path| {
            let why = case.policy.modules.too_large(self.by_path.get(path)?.module.size as u64)?;
            Some(PluginError::Refused { path: path.clone(), why })
        })
    }

    pub(super) fn sandbox(&self) -> Arc<Sandbox> {
        Arc::clone(&self.sandbox)
    }

    /// The modules of a case, as the host finds them in its world.
    pub(super) fn modules(&self, case: &Case, world: &World) -> Modules {
        let known =
            case.plugins.iter().filter_map(|(name, path)| Some((name.clone(), Arc::clone(self.by_path.get(path)?))));
        Modules::holding(known, Arc::new(Nowhere), self.sandbox(), world.clock())
    }
}

/// Where the modules are that a case does not name.
struct Nowhere;

#[async_trait]
impl Source for Nowhere {
    async fn fetch(&self, module: &str, _: Which<'_>, _: u64) -> Result<Fetched, SourceError> {
        let message = format!(
            "the case does not say which plugin {module} is; write plugins = {{ {module:?} = \"…\" }}, the folder of its package"
        );
        Err(SourceError { kind: SourceErrorKind::NotFound, message })
    }

    async fn earlier(&self, _: &str) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    fn locate(&self, module: &str) -> String {
        module.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::guests;

    #[test]
    fn modules_of_the_same_content_are_one_and_are_forgotten_with_the_last_path() {
        let (one, other) = (Path::new("one"), Path::new("other"));
        let mut plugins = Plugins::new(1 << 20, 1).unwrap();
        plugins.take(one, &guests::done()).unwrap();
        plugins.take(other, &guests::done()).unwrap();
        assert!(Arc::ptr_eq(&plugins.by_path[one], &plugins.by_path[other]));

        let first = Arc::downgrade(&plugins.by_path[one]);
        let changed = guests::drain_of("i-0123456789abcdef0");
        plugins.take(one, &changed).unwrap();
        assert_eq!((first.strong_count(), plugins.by_digest.len()), (1, 2));
        plugins.take(other, &changed).unwrap();
        assert_eq!((first.strong_count(), plugins.by_digest.len()), (0, 1));
    }
}
