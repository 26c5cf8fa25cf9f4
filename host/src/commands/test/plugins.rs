//! The plugins of the cases, built as far as they are not up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::report::Report;
use crate::commands::build;
use crate::commands::module_file::ModuleFile;
use crate::harness::{Case, Plugins};

/// Plugins that have been built, and those that could not be.
pub(super) struct Built {
    /// How many cases are played at once.
    jobs: u32,
    plugins: Option<(u64, Plugins)>,
    /// Why a plugin is not there, by its place.
    troubles: BTreeMap<PathBuf, String>,
    /// Plugins whose sources have not changed since they were built.
    up_to_date: BTreeSet<PathBuf>,
}

impl Built {
    pub(super) fn new(jobs: u32) -> Self {
        Self { jobs, plugins: None, troubles: BTreeMap::new(), up_to_date: BTreeSet::new() }
    }

    /// Builds, or reads, whatever the cases need and is not there.
    pub(super) fn bring_up_to_date<'c>(
        &mut self,
        cases: impl Iterator<Item = &'c Case>,
        report: &Report,
    ) -> anyhow::Result<()> {
        let cases: Vec<_> = cases.collect();
        let memory = cases.iter().map(|case| case.memory()).max().unwrap_or_default();
        if self.plugins.as_ref().is_none_or(|(room, _)| *room < memory) {
            self.plugins = Some((memory, Plugins::new(memory, self.jobs)?));
            self.up_to_date.clear();
        }
        let Some((_, plugins)) = &mut self.plugins else { return Ok(()) };
        let wanted: BTreeSet<_> = cases.iter().flat_map(|case| case.plugins.values()).collect();
        for path in wanted {
            if self.up_to_date.contains(path) {
                continue;
            }
            let taken = component(path, report).and_then(|bytes| Ok(plugins.take(path, &bytes)?));
            match taken {
                Ok(()) => {
                    self.troubles.remove(path);
                    self.up_to_date.insert(path.clone());
                }
                Err(error) => drop(self.troubles.insert(path.clone(), format!("{error:#}"))),
            }
        }
        Ok(())
    }

    /// What changed since. Whether a plugin depends on it is cargo's to say, and cargo says so quickly.
    pub(super) fn changed(&mut self, paths: &[PathBuf]) {
        let only_played =
            |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml" || extension == "json");
        let manifest = |path: &PathBuf| path.ends_with("Cargo.toml");
        if paths.iter().any(|path| manifest(path) || !only_played(path)) {
            self.up_to_date.clear();
        }
    }

    /// Why the case cannot be played.
    pub(super) fn trouble(&self, case: &Case) -> Option<String> {
        case.plugins.values().find_map(|path| self.troubles.get(path)).cloned()
    }

    /// The plugins.
    pub(super) fn plugins(&self) -> &Plugins {
        let (_, plugins) = self.plugins.as_ref().expect("cases are played after their plugins were built");
        plugins
    }
}

/// The component at `path`: a file, or what a package builds.
fn component(path: &Path, report: &Report) -> anyhow::Result<Vec<u8>> {
    if path.is_file() {
        return Ok(ModuleFile::read(path)?.bytes);
    }
    report.building(path);
    build::component(path)
}
