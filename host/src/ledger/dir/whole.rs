//! Files that are written whole or not at all, and are still there after the power was cut.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::failed;
use crate::ledger::WriteError;

const ROOT: u32 = 0;

/// What the name of a file begins with until it is whole.
const UNFINISHED: &str = ".new-";

/// A file below the folder of a store, for whoever holds its lock.
pub(super) struct Whole<'a> {
    folder: &'a Path,
    file: &'a Path,
}

impl<'a> Whole<'a> {
    pub(super) fn new(folder: &'a Path, file: &'a Path) -> Self {
        Self { folder, file }
    }

    /// Writes the file, in place of what is there.
    ///
    /// First all of it beside its place, and onto the disk; then, in one step, into its place; then the folder onto the disk,
    /// which is where the file has its name. Killed in between, it is the old file or the new one.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), WriteError> {
        let new = self.unfinished();
        let prepared = self.prepare(&new, bytes).and_then(|()| fs::rename(&new, self.file));
        prepared.map_err(|error| {
            clear_away(&new);
            WriteError::Refused(failed("write", self.file, &error))
        })?;
        // It stands already for all who read it, so nobody may take it for not written.
        self.sync().map_err(|error| WriteError::Unknown(failed("sync", self.file, &error)))
    }

    /// Removes the file.
    pub(super) fn remove(&self) -> Result<(), WriteError> {
        fs::remove_file(self.file).map_err(|error| WriteError::Refused(failed("remove", self.file, &error)))?;
        self.sync().map_err(|error| WriteError::Unknown(failed("sync", self.file, &error)))
    }

    fn prepare(&self, new: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Some(folder) = self.file.parent() {
            make_folder(folder)?;
        }
        // A process that was killed has left it.
        clear_away(new);
        let mut file = private().create_new(true).open(new)?;
        hand_over(&file, new)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Where the file is until it is whole: only whoever holds its lock writes there, so one place is enough.
    fn unfinished(&self) -> PathBuf {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        self.file.with_file_name(format!("{UNFINISHED}{name}"))
    }

    /// Makes sure of the name of the file: its folder's, and of those above, which another process may have made just now.
    fn sync(&self) -> io::Result<()> {
        let mut above = self.file.ancestors().skip(1).take_while(|folder| folder.starts_with(self.folder));
        above.try_for_each(sync_folder)
    }
}

/// The key of the object that was being written to the file called `name`, if it is such a file.
pub(super) fn unfinished(name: &str) -> Option<String> {
    let (folder, file) = name.rsplit_once('/').map_or(("", name), |(folder, file)| (folder, file));
    let file = file.strip_prefix(UNFINISHED)?;
    Some(if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") })
}

/// Removes what is not whole. That it cannot be removed will show when it is written again.
pub(super) fn clear_away(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Makes a folder for our eyes only, with those above it, unless it is there.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    match make(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => match folder.parent() {
            Some(above) if !above.as_os_str().is_empty() => {
                make_folder(above)?;
                // In some places nobody can make a folder, and they say so with the same words: it is not tried for ever.
                make(folder)
            }
            _ => Err(error),
        },
        made => made,
    }
}

/// The same where the one above is there.
fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => return Ok(()),
        made => made?,
    }
    hand_over(&itself().read(true).open(folder)?, folder)?;
    folder.parent().map_or(Ok(()), sync_folder)
}

/// Gives what root has just made at `path` to whoever has the folder it is in: a person who decides as root must not lock the host out
/// that works as somebody else.
///
/// It is what was made, and not what has its name by now: whoever has the folder can put a link there to anything of root's.
pub(super) fn hand_over(made: &File, path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (ours, theirs) = (made.metadata()?, above.metadata()?);
    if ours.uid() == ROOT && theirs.uid() != ROOT {
        fchown(made, Some(theirs.uid()), Some(theirs.gid()))?;
    }
    Ok(())
}

/// Files that only their owner reads: what events tell can be anything.
pub(super) fn private() -> OpenOptions {
    let mut options = itself();
    options.write(true).mode(0o600);
    options
}

/// What has the name itself, and nothing that it is a link to; and of a pipe, nobody is waited for who has its other end.
pub(super) fn itself() -> OpenOptions {
    let mut options = File::options();
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // The working directory is the parent of a relative path of one part.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}
