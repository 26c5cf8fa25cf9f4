//! Where the cases are.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use walkdir::{DirEntry, WalkDir};

use crate::commands::policy::counted;
use crate::harness::Glance;

/// The folder of a package that holds its cases.
pub(super) const CASES: &str = "cases";

/// Folders that hold no cases of anybody who would look for them here.
const PASSED_OVER: [&str; 3] = ["target", "dist", "node_modules"];

/// A case that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    /// The folder above `cases`, normally the plugin's.
    pub(super) plugin: String,
    /// What is between, and the file's name without `.toml`.
    pub(super) name: String,
    /// The file.
    pub(super) path: PathBuf,
}

impl Found {
    /// What people call the case: `asg-lifecycle/standalone-task`.
    pub(super) fn title(&self) -> String {
        if self.plugin.is_empty() { self.name.clone() } else { format!("{}/{}", self.plugin, self.name) }
    }

    fn new(path: &Path) -> Self {
        // In full, so that a case in `cases` of the working folder has a plugin's name, too.
        let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).with_extension("");
        let parts: Vec<_> = full.iter().map(|part| part.to_string_lossy()).collect();
        let (plugin, name) = match parts.iter().rposition(|part| part == CASES) {
            Some(cases) if cases + 1 < parts.len() => {
                (parts[..cases].last().map_or_else(String::new, ToString::to_string), parts[cases + 1..].join("/"))
            }
            _ => (String::new(), parts.last().map_or_else(String::new, ToString::to_string)),
        };
        Self { plugin, name, path: path.to_owned() }
    }
}

/// The cases in `paths` with one of the texts of `filter` in their title, in order, each once. At least one.
pub(super) fn cases(paths: &[PathBuf], filter: &[String]) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    for path in paths {
        let kind = path.metadata().with_context(|| format!("cannot read {}", path.display()))?;
        if kind.is_file() {
            found.push(Found::new(&shown(path)));
            continue;
        }
        let here = in_folder(path)?;
        if here.is_empty() {
            bail!(
                "there are no cases in {}: a case is a .toml file in a folder named {CASES}, such as {}",
                path.display(),
                path.join(CASES).join("drained.toml").display()
            );
        }
        found.extend(here);
    }
    found.sort();
    found.dedup();
    let mut found = without_worlds(found);
    let all = found.len();
    found.retain(|found| filter.is_empty() || filter.iter().any(|text| found.title().contains(text)));
    if found.is_empty() {
        bail!("of {}, none has {} in its name", counted(all, "case"), filter.join(" or "));
    }
    Ok(found)
}

fn in_folder(folder: &Path) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(folder).into_iter().filter_entry(is_looked_at) {
        let entry = entry.with_context(|| format!("cannot look for cases in {}", folder.display()))?;
        let full = std::path::absolute(entry.path()).unwrap_or_else(|_| entry.path().to_owned());
        let in_cases = full.parent().is_some_and(|parent| parent.iter().any(|part| part == CASES));
        let toml = entry.path().extension() == Some(OsStr::new("toml"));
        if entry.file_type().is_file() && in_cases && toml {
            found.push(Found::new(&shown(entry.path())));
        }
    }
    Ok(found)
}

/// Leaves out what others take their world from: that is TOML too, and no case.
fn without_worlds(found: Vec<Found>) -> Vec<Found> {
    let glances: Vec<_> = found.iter().map(|found| Glance::at(&found.path)).collect();
    let worlds = glances.iter().filter_map(|glance| glance.world.as_ref()?.canonicalize().ok());
    let worlds: BTreeSet<_> = worlds.collect();
    let is_world = |path: &Path| path.canonicalize().is_ok_and(|path| worlds.contains(&path));
    let cases = found.into_iter().zip(&glances).filter(|(found, glance)| glance.is_case || !is_world(&found.path));
    cases.map(|(found, _)| found).collect()
}

/// A path without a leading `./`, which would stand before everything that is shown.
fn shown(path: &Path) -> PathBuf {
    path.strip_prefix(".").unwrap_or(path).to_owned()
}

fn is_looked_at(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let hidden = name.starts_with('.') && entry.depth() > 0;
    !(entry.file_type().is_dir() && (hidden || PASSED_OVER.contains(&&*name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    /// What the cases below `folder` are called, or the complaint.
    fn titles(folder: &tempfile::TempDir, paths: &[&str], filter: &[&str]) -> Result<Vec<String>, String> {
        let paths: Vec<_> = paths.iter().map(|path| folder.path().join(path)).collect();
        let filter: Vec<_> = filter.iter().map(|&text| text.to_owned()).collect();
        let found = cases(&paths, &filter).map_err(|error| format!("{error:#}"));
        found.map(|found| found.iter().map(Found::title).collect())
    }

    #[test]
    fn cases_are_found_in_their_folders_and_nowhere_else() {
        let folder = folder(&[
            "drain/cases/late.toml",
            "drain/cases/spot/early.toml",
            "drain/Cargo.toml",
            "drain/cases/notes.md",
            "drain/target/cases/old.toml",
            "drain/.git/cases/x.toml",
            "stop/cases/late.toml",
        ]);
        let titles = |paths: &[&str], filter: &[&str]| titles(&folder, paths, filter);
        let all = ["drain/late", "drain/spot/early", "stop/late"].map(str::to_owned).to_vec();
        assert_eq!(titles(&["."], &[]), Ok(all));
        assert_eq!(titles(&["drain/cases", "drain"], &["early"]), Ok(vec!["drain/spot/early".to_owned()]));
        assert_eq!(titles(&["stop/cases/late.toml"], &[]), Ok(vec!["stop/late".to_owned()]));
        assert_eq!(titles(&["."], &["q", "?"]), Err("of 3 cases, none has q or ? in its name".to_owned()));
    }

    #[test]
    fn what_cases_take_their_world_from_is_no_case() {
        let folder = folder(&["drain/cases/worlds/large.toml", "drain/cases/unused.toml", "drain/cases/broken.toml"]);
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join("drain/cases").join(name), text).unwrap();
        write("late.toml", "world = \"worlds/large.toml\"\nmistaken = true\n");
        write("early.toml", "world = \"../cases/shared.toml\"\n");
        write("shared.toml", "[[instance]]\nid = \"i-0123456789abcdef0\"\n");
        // Nothing that is meant to be a case is passed over in silence, whatever refers to it.
        write("odd.toml", "world = \"early.toml\"\n");
        write("odder.toml", "world = \"odder.toml\"\n");
        write("broken.toml", "world = ");
        let titles = |paths: &[&str]| titles(&folder, paths, &[]).unwrap().join(" ");
        assert_eq!(titles(&["."]), "drain/broken drain/early drain/late drain/odd drain/odder drain/unused");
        // As a shell writes `cases/*.toml`.
        assert_eq!(titles(&["drain/cases/early.toml", "drain/cases/shared.toml"]), "drain/early");
        assert_eq!(titles(&["drain/cases/shared.toml"]), "drain/shared", "who asks for it is told what it is not");
    }

    #[test]
    fn a_place_without_cases_says_what_a_case_is() {
        let folder = folder(&["drain/Cargo.toml"]);
        let complaint = |path: &str| {
            let error = cases(&[folder.path().join(path)], &[]).unwrap_err();
            format!("{error:#}").replace(folder.path().to_str().unwrap(), "HERE")
        };
        assert_eq!(
            complaint("drain"),
            "there are no cases in HERE/drain: a case is a .toml file in a folder named cases, such as HERE/drain/cases/drained.toml"
        );
        assert_eq!(complaint("gone"), "cannot read HERE/gone: No such file or directory (os error 2)");
    }
}
