//! Folders that are held open, and what is done in them by name.
//!
//! A person who decides as root comes by in a folder that somebody else has, who can put links in it at any time. So nothing below
//! the folder of a store is reached by its path: each part is looked up in the folder above, which is open already, and is never a
//! link. That is for each system the same, and leaves no time between a look and its use.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::{Errno, retry_on_intr};

const ROOT: u32 = 0;

/// How a folder is opened, and nothing else.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// A folder, and those above it up to that of the store.
pub(super) struct Folder {
    opened: File,
    above: Option<Box<Folder>>,
}

impl Folder {
    /// The folder at `path`, which people chose: it may be a link.
    fn at(path: &Path) -> io::Result<Self> {
        // The working directory is the parent of a relative path of one part.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let opened = retry_on_intr(|| openat(CWD, path, FOLDER | OFlags::CLOEXEC, Mode::empty()))?;
        Ok(Self { opened: opened.into(), above: None })
    }

    /// A folder that is that of a store, or somewhere below.
    pub(super) fn within(store: &Path, folder: &Path) -> io::Result<Self> {
        below(store, folder)?.iter().try_fold(Self::at(store)?, Self::enter)
    }

    /// The folder of a file below that of a store.
    pub(super) fn of(store: &Path, file: &Path) -> io::Result<Self> {
        Self::within(store, parent(file))
    }

    /// The same, and what is missing on the way there is made.
    pub(super) fn made_of(store: &Path, file: &Path) -> io::Result<Self> {
        below(store, parent(file))?.iter().try_fold(Self::at(store)?, Self::make)
    }

    fn enter(self, name: &OsStr) -> io::Result<Self> {
        let opened = self.folder(name)?;
        Ok(Self { opened, above: Some(Box::new(self)) })
    }

    /// Enters a folder, and makes it for our eyes only unless it is there.
    fn make(self, name: &OsStr) -> io::Result<Self> {
        match mkdirat(&self.opened, name, Mode::RWXU) {
            Err(Errno::EXIST) => return self.enter(name),
            made => made?,
        }
        let opened = self.folder(name)?;
        self.hand_over(&opened)?;
        self.opened.sync_all()?;
        Ok(Self { opened, above: Some(Box::new(self)) })
    }

    fn folder(&self, name: &OsStr) -> io::Result<File> {
        self.open(name, FOLDER).map_err(|error| match error.kind() {
            // The path that people read goes on below it.
            kind @ ErrorKind::NotADirectory => {
                io::Error::new(kind, format!("{} is a link, or no folder", name.display()))
            }
            _ => error,
        })
    }

    /// Opens what has the name itself, and nothing that it is a link to; and of a pipe, nobody is waited for who has its other end.
    pub(super) fn open(&self, name: &OsStr, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // Only their owner reads them: what events tell can be anything.
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(retry_on_intr(|| openat(&self.opened, name, flags, mode))?.into())
    }

    /// Makes a file that is not there yet.
    pub(super) fn create(&self, name: &OsStr) -> io::Result<File> {
        let file = self.open(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
        self.hand_over(&file)?;
        Ok(file)
    }

    /// Gives one of its files another name, and takes that from what had it.
    pub(super) fn rename(&self, name: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.opened, name, &self.opened, to)?)
    }

    /// Removes a file.
    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.opened, name, AtFlags::empty())?)
    }

    /// Makes sure of the names in it, and in those above.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.opened.sync_all()?;
        self.above.as_ref().map_or(Ok(()), |above| above.sync())
    }

    /// Gives what root has just made in it to whoever has it: a person who decides as root must not lock the host out that works as
    /// somebody else.
    ///
    /// A folder is made first and opened then, by its name, which whoever has the one above can give to another of root's in between.
    /// So only what is as new is given away: a folder with nothing in it, and a file that has no other name.
    fn hand_over(&self, made: &File) -> io::Result<()> {
        let (ours, theirs) = (made.metadata()?, self.opened.metadata()?);
        if ours.uid() != ROOT || theirs.uid() == ROOT {
            return Ok(());
        }
        let new = if ours.is_dir() { is_empty(made)? } else { ours.is_file() && ours.nlink() == 1 };
        if new { fchown(made, Some(theirs.uid()), Some(theirs.gid())) } else { Ok(()) }
    }
}

fn is_empty(folder: &File) -> io::Result<bool> {
    for entry in Dir::read_from(folder)? {
        if ![c".", c".."].contains(&entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Opens a file below `store` to read it.
pub(super) fn open_to_read(store: &Path, file: &Path) -> io::Result<File> {
    Folder::of(store, file)?.open(name_of(file), OFlags::RDONLY)
}

/// The name of a file in its folder.
pub(super) fn name_of(file: &Path) -> &OsStr {
    file.file_name().unwrap_or_default()
}

fn parent(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// The way from the folder of a store to one below.
fn below<'a>(store: &Path, folder: &'a Path) -> io::Result<&'a Path> {
    let elsewhere = |_| io::Error::new(ErrorKind::InvalidInput, "it is not below the folder of the ledger");
    folder.strip_prefix(store).map_err(elsewhere)
}

/// Makes the folder of a store for our eyes only, with those above it, unless it is there. Those may all be links.
pub(super) fn make_store(folder: &Path) -> io::Result<()> {
    match make(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => match folder.parent() {
            Some(above) if !above.as_os_str().is_empty() => {
                make_store(above)?;
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
    if folder.is_dir() {
        return Ok(());
    }
    // Without a name, it is there once those above are.
    let name = folder.file_name().ok_or(ErrorKind::NotFound)?;
    Folder::at(parent(folder))?.make(name).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::chown;

    use super::*;

    #[test]
    fn what_is_not_new_is_not_given_away() {
        const SOMEBODY: u32 = 4_242;
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        // Only root gives anything away; whoever else runs the tests finds that all of it is as it was.
        let given = chown(root.path(), Some(SOMEBODY), Some(SOMEBODY)).is_ok();
        for folder in ["new", "old"] {
            fs::create_dir(path(folder)).unwrap();
        }
        for file in ["old/secret", "file", "linked"] {
            fs::write(path(file), "of root alone").unwrap();
        }
        fs::hard_link(path("linked"), path("again")).unwrap();
        let folder = Folder::at(root.path()).unwrap();
        for (name, is_new) in [("new", true), ("old", false), ("file", true), ("linked", false)] {
            let before = fs::metadata(path(name)).unwrap().uid();
            folder.hand_over(&File::open(path(name)).unwrap()).unwrap();
            let wanted = if given && is_new { SOMEBODY } else { before };
            assert_eq!(fs::metadata(path(name)).unwrap().uid(), wanted, "{name}");
        }
    }
}
