//! `--watch`: plays the cases again whenever a file is saved.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::Context;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::Arguments;
use super::find::{self, Found};
use super::plugins::Built;
use crate::harness::Case;

/// How long nothing has to be saved before the cases are played: editors write several files, and some a file several times.
const QUIET: Duration = Duration::from_millis(50);

/// Folders in which builds write, and no author does.
const PASSED_OVER: [&str; 4] = ["target", "dist", ".git", "node_modules"];

/// Plays, waits for a change, and plays again, until somebody ends the process. An error is reported, and waited upon: the next save
/// may mend it.
pub(super) fn forever(arguments: &Arguments) -> anyhow::Result<u8> {
    // No save mends the arguments.
    arguments.seeds()?;
    let (tell, changes) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(tell).context("this machine cannot tell when files change")?;
    let mut watched = BTreeSet::new();
    let mut built = Built::new(arguments.jobs());
    loop {
        // Before anything is read, so that no save is missed.
        watch(&mut watcher, &mut watched, arguments, &built)?;
        if let Err(error) = arguments.once(&mut built) {
            crate::commands::complain(&error);
        }
        // What the plugins are built of is known once they are.
        watch(&mut watcher, &mut watched, arguments, &built)?;
        eprintln!("waiting for a file to be saved; Ctrl-C ends it");
        let changed = next(&changes, &watched);
        let names: Vec<_> =
            changed.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy()).collect();
        eprintln!("\n{} saved", names.join(", "));
        built.changed(&changed);
    }
}

/// Watches whatever the cases depend on and is not watched yet.
fn watch(
    watcher: &mut RecommendedWatcher,
    watched: &mut BTreeSet<PathBuf>,
    arguments: &Arguments,
    built: &Built,
) -> anyhow::Result<()> {
    // What cannot be found, or read, now may be there after the next save.
    let found = find::cases(&arguments.paths, &[]).unwrap_or_default();
    let mut folders: BTreeSet<PathBuf> = found.iter().flat_map(folders).collect();
    folders.extend(arguments.paths.iter().cloned());
    folders.extend(built.sources());
    for folder in folders {
        let folder = folder.canonicalize().unwrap_or(folder);
        if watched.iter().any(|known| folder.starts_with(known)) {
            continue;
        }
        watcher
            .watch(&folder, RecursiveMode::Recursive)
            .with_context(|| format!("cannot watch {}", folder.display()))?;
        watched.insert(folder);
    }
    Ok(())
}

/// The folders that a case depends on: its own, and those of its plugins and of whatever it refers to.
fn folders(found: &Found) -> Vec<PathBuf> {
    let mut folders = vec![found.path.parent().map_or_else(|| PathBuf::from("."), here)];
    if let Ok(case) = Case::read(&found.path) {
        folders.extend(case.plugins.into_values());
        folders.extend(case.inputs.iter().filter_map(|input| input.parent()).map(here));
    }
    folders
}

/// A folder, where no path means the one we are in.
fn here(folder: &Path) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
}

/// Waits for files to be saved, and for a moment without any more. Each is named by its path below the folder that is watched.
fn next(changes: &Receiver<notify::Result<notify::Event>>, watched: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut changed = BTreeSet::new();
    loop {
        let event = if changed.is_empty() {
            // The watcher lives as long as we do, and with it the other end.
            changes.recv().ok()
        } else {
            changes.recv_timeout(QUIET).ok()
        };
        match event {
            Some(Ok(event)) if !matches!(event.kind, EventKind::Access(_)) => {
                let files = event.paths.iter().filter(|path| !path.is_dir());
                let below = files.map(|path| below(path, watched));
                changed.extend(below.filter(|path| is_written_by_an_author(path)).map(Path::to_owned));
            }
            Some(_) => {}
            None => return changed.into_iter().collect(),
        }
    }
}

/// What is below the folder that is watched: how the folders above it are called, such as `target`, is no concern of ours.
fn below<'p>(path: &'p Path, watched: &BTreeSet<PathBuf>) -> &'p Path {
    let below =
        watched.iter().filter_map(|folder| path.strip_prefix(folder).ok()).find(|below| *below != Path::new(""));
    // What is watched can be a single file.
    below.unwrap_or_else(|| path.file_name().map_or(path, Path::new))
}

/// Whether a file, by its path below the folder that is watched, is one that people write.
fn is_written_by_an_author(path: &Path) -> bool {
    let built = path.iter().any(|part| PASSED_OVER.iter().any(|passed| part == *passed));
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    // What editors leave beside a file while they save it.
    let beside = name.starts_with('.') || name.ends_with('~') || name.starts_with('#') || name == "4913";
    !built && !beside
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The path below what is watched, if an author writes it.
    fn noticed(path: &'static str) -> Option<&'static Path> {
        let watched =
            ["/home/target/dist/drain", "/home/target/sdk", "/home/dist/plugin.wasm"].map(PathBuf::from).into();
        Some(below(Path::new(path), &watched)).filter(|below| is_written_by_an_author(below))
    }

    #[test]
    fn only_folders_below_what_is_watched_are_passed_over() {
        assert_eq!(noticed("/home/target/dist/drain/src/lib.rs"), Some(Path::new("src/lib.rs")));
        assert_eq!(noticed("/home/target/sdk/.cargo/config.toml"), Some(Path::new(".cargo/config.toml")));
        assert_eq!(noticed("/home/dist/plugin.wasm"), Some(Path::new("plugin.wasm")));
        assert_eq!(noticed("/home/target/dist/drain/target/debug/drain.d"), None);
        assert_eq!(noticed("/home/target/dist/drain/.git/index"), None);
        assert_eq!(noticed("/home/target/dist/drain/src/.lib.rs.swp"), None);
    }
}
