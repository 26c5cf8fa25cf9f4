//! Files that are written whole or not at all, and are still there after the power was cut.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::Path;

use super::failed;
use super::folder::{Folder, name_of};
use crate::ledger::WriteError;

/// What the name of a file begins with until it is whole.
const UNFINISHED: &str = ".new-";

/// A file below the folder of a store, for whoever holds its lock.
pub(super) struct Whole<'a> {
    store: &'a Path,
    file: &'a Path,
}

impl<'a> Whole<'a> {
    pub(super) fn new(store: &'a Path, file: &'a Path) -> Self {
        Self { store, file }
    }

    /// Writes the file, in place of what is there.
    ///
    /// First all of it beside its place, and onto the disk; then, in one step, into its place; then the folder onto the disk,
    /// which is where the file has its name. Killed in between, it is the old file or the new one.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), WriteError> {
        let (name, new) = (name_of(self.file), self.unfinished());
        let refused = |error: io::Error| WriteError::Refused(failed("write", self.file, &error));
        let folder = Folder::made_of(self.store, self.file).map_err(refused)?;
        let prepared = prepare(&folder, &new, bytes).and_then(|()| folder.rename(&new, name));
        prepared.map_err(|error| {
            let _ = folder.remove(&new);
            refused(error)
        })?;
        // It stands already for all who read it, so nobody may take it for not written.
        self.sync(&folder)
    }

    /// Removes the file.
    pub(super) fn remove(&self) -> Result<(), WriteError> {
        let refused = |error: io::Error| WriteError::Refused(failed("remove", self.file, &error));
        let folder = Folder::of(self.store, self.file).map_err(refused)?;
        folder.remove(name_of(self.file)).map_err(refused)?;
        self.sync(&folder)
    }

    /// Where the file is until it is whole: only whoever holds its lock writes there, so one place is enough.
    fn unfinished(&self) -> OsString {
        let mut name = OsString::from(UNFINISHED);
        name.push(name_of(self.file));
        name
    }

    /// Makes sure of the name of the file: its folder's, and of those above, which another process may have made just now.
    fn sync(&self, folder: &Folder) -> Result<(), WriteError> {
        folder.sync().map_err(|error| WriteError::Unknown(failed("sync", self.file, &error)))
    }
}

fn prepare(folder: &Folder, new: &OsStr, bytes: &[u8]) -> io::Result<()> {
    // A process that was killed has left it.
    let _ = folder.remove(new);
    let mut file = folder.create(new)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The key of the object that was being written to the file called `name`, if it is such a file.
pub(super) fn unfinished(name: &str) -> Option<String> {
    let (folder, file) = name.rsplit_once('/').map_or(("", name), |(folder, file)| (folder, file));
    let file = file.strip_prefix(UNFINISHED)?;
    Some(if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") })
}

/// Removes what is not whole. That it cannot be removed will show when it is written again.
pub(super) fn clear_away(store: &Path, file: &Path) {
    let _ = Folder::of(store, file).and_then(|folder| folder.remove(name_of(file)));
}
