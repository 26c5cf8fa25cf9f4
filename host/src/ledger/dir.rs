//! A ledger in a folder, for the hosts of one machine: a file for each object.
//!
//! Reading takes no lock, since a file is replaced whole or not at all. Whoever changes an object holds a lock that is the kernel's
//! ([`lock`]): of a process that is killed, nothing has to be cleared away before others go on.

mod folder;
mod lock;
#[cfg(test)]
mod tests;
mod whole;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rustix::io::Errno;
use tokio::task::{JoinError, spawn_blocking};
use walkdir::WalkDir;

use self::folder::{Folder, make_store, open_to_read};
use self::lock::Locks;
use self::whole::Whole;
use super::{Listed, MAX_BYTES, Page, Store, Stored, Version, WriteError};
use crate::digest::sha256;
use crate::files::{ReadError, all_of};
use crate::ports::{PortError, PortErrorKind};

/// How many objects a page holds.
const PAGE: usize = 1_000;

/// A folder of objects. Clones share their place in the queue for its locks.
#[derive(Debug, Clone)]
pub struct DirStore {
    folder: PathBuf,
    locks: Arc<Locks>,
}

impl DirStore {
    /// The ledger in `folder`, which is made when the first object is written.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let locks = Arc::new(Locks::new(&folder));
        Self { folder, locks }
    }

    /// The file of an object.
    fn file(&self, key: &str) -> Result<PathBuf, PortError> {
        if key.split('/').all(is_name) {
            return Ok(self.folder.join(key));
        }
        let why = "its parts, divided by /, are not empty and begin with no dot, so that it stays below the folder";
        Err(PortError::new(PortErrorKind::Invalid, format!("{key:?} is no key of a ledger: {why}")))
    }

    /// Changes an object while nobody else does, unless it is not what its writer has seen.
    async fn change<T: Send + 'static>(
        &self,
        key: &str,
        seen: Option<&Version>,
        change: impl FnOnce(Whole<'_>) -> Result<T, WriteError> + Send + 'static,
    ) -> Result<T, WriteError> {
        let file = self.file(key).map_err(WriteError::Refused)?;
        let (folder, seen) = (self.folder.clone(), seen.cloned());
        // In the order of asking, and without a thread for each that waits.
        let turn = self.locks.turn(key).await;
        let changed = spawn_blocking(move || {
            make_store(&folder).map_err(|error| WriteError::Refused(failed("make", &folder, &error)))?;
            let _lock = turn.lock().map_err(WriteError::Refused)?;
            let found = read(&folder, &file).map_err(WriteError::Refused)?;
            if found.map(|stored| stored.version) != seen {
                return Err(WriteError::Changed);
            }
            change(Whole::new(&folder, &file))
        });
        changed.await.unwrap_or_else(|error| Err(WriteError::Unknown(self.broken_off(key, &error))))
    }

    /// The work on a thread of its own did not come to its end: the process is ending, or it panicked.
    fn broken_off(&self, key: &str, error: &JoinError) -> PortError {
        PortError::new(PortErrorKind::Unavailable, format!("the work on {} was broken off: {error}", self.locate(key)))
    }
}

#[async_trait]
impl Store for DirStore {
    async fn read(&self, key: &str) -> Result<Option<Stored>, PortError> {
        let (folder, file) = (self.folder.clone(), self.file(key)?);
        let reading = spawn_blocking(move || read(&folder, &file));
        reading.await.unwrap_or_else(|error| Err(self.broken_off(key, &error)))
    }

    async fn write(&self, key: &str, bytes: Vec<u8>, over: Option<&Version>) -> Result<Version, WriteError> {
        if bytes.len() as u64 > MAX_BYTES {
            let error = ReadError::TooLarge { max: MAX_BYTES };
            return Err(WriteError::Refused(unreadable("write", &self.folder.join(key), &error)));
        }
        let version = Version(sha256(&bytes));
        self.change(key, over, move |whole| whole.write(&bytes)).await.map(|()| version)
    }

    async fn remove(&self, key: &str, version: &Version) -> Result<(), WriteError> {
        self.change(key, Some(version), |whole| whole.remove()).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, PortError> {
        let (within, _) = prefix.rsplit_once('/').unwrap_or_default();
        let start = if within.is_empty() { self.folder.clone() } else { self.file(within)? };
        let (store, wanted, after) = (self.clone(), prefix.to_owned(), after.map(str::to_owned));
        let listing = spawn_blocking(move || store.list_below(&start, &wanted, after.as_deref()));
        listing.await.unwrap_or_else(|error| Err(self.broken_off(prefix, &error)))
    }

    fn locate(&self, key: &str) -> String {
        self.folder.join(key).display().to_string()
    }
}

impl DirStore {
    /// A page of what is below `start`. What killed processes have left there is cleared away in passing.
    ///
    /// Only this goes by paths: who puts a link in the place of a folder while we look has names and times listed that are not of the
    /// ledger. Nothing is read, written or removed there.
    fn list_below(&self, start: &Path, prefix: &str, after: Option<&str>) -> Result<Page, PortError> {
        match Folder::within(&self.folder, start) {
            // Nothing has been written yet.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Page::default()),
            looked => looked.map_err(|error| failed("list", start, &error))?,
        };
        let mut found = Vec::new();
        let named = |entry: &walkdir::DirEntry| entry.depth() == 0 || is_name(&entry.file_name().to_string_lossy());
        // Names with a dot are looked at, and folders with one are not looked into: those are the locks.
        let walk = WalkDir::new(start).into_iter().filter_entry(|entry| named(entry) || !entry.file_type().is_dir());
        for entry in walk {
            let entry = match entry {
                Ok(entry) => entry,
                // It was removed while we looked.
                Err(error) if error.io_error().is_some_and(|error| error.kind() == ErrorKind::NotFound) => continue,
                Err(error) => {
                    let path = error.path().unwrap_or(start).to_owned();
                    let error = error.into_io_error().unwrap_or_else(|| ErrorKind::Other.into());
                    return Err(failed("list", &path, &error));
                }
            };
            // Not in UTF-8: nothing of ours.
            let Some(key) = self.key(entry.path()).filter(|_| entry.file_type().is_file()) else { continue };
            if let Some(key) = whole::unfinished(&key) {
                self.locks.at_once(&key, || whole::clear_away(&self.folder, entry.path()));
            } else if named(&entry) && key.starts_with(prefix) && after.is_none_or(|after| *key > *after) {
                found.push(key);
            }
        }
        found.sort_unstable();
        let more = found.len() > PAGE;
        found.truncate(PAGE);
        let objects = found.into_iter().filter_map(|key| self.listed(key).transpose()).collect::<Result<_, _>>()?;
        Ok(Page { objects, more })
    }

    /// The key of the file at `path`.
    fn key(&self, path: &Path) -> Option<String> {
        path.strip_prefix(&self.folder).ok()?.to_str().map(str::to_owned)
    }

    /// None if it was removed while we looked.
    fn listed(&self, key: String) -> Result<Option<Listed>, PortError> {
        let path = self.folder.join(&key);
        match path.symlink_metadata().and_then(|metadata| metadata.modified()) {
            Ok(modified) => Ok(Some(Listed { key, modified: Timestamp::try_from(modified).unwrap_or(Timestamp::MAX) })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("list", &path, &error)),
        }
    }
}

/// Whether it can be a part of a key. Names that begin with a dot are the store's own: `.` and `..`, the locks, and what is being
/// written.
fn is_name(part: &str) -> bool {
    !part.is_empty() && !part.starts_with('.') && !part.contains('\0')
}

/// The object in `file`, whatever process wrote it.
fn read(store: &Path, file: &Path) -> Result<Option<Stored>, PortError> {
    match open_to_read(store, file).map_err(ReadError::from).and_then(|opened| read_object(&opened)) {
        Ok(Some(bytes)) => Ok(Some(Stored { version: Version(sha256(&bytes)), bytes })),
        Ok(None) => {
            let why = "it is no file, and was not made by hostler; remove it";
            Err(PortError::new(PortErrorKind::Other, format!("cannot read {}: {why}", file.display())))
        }
        Err(ReadError::System(error)) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(ReadError::System(error)) => Err(failed("read", file, &error)),
        Err(error) => Err(unreadable("read", file, &error)),
    }
}

/// None of what nothing can be read from whole: a pipe, or a device.
fn read_object(opened: &File) -> Result<Option<Vec<u8>>, ReadError> {
    let metadata = opened.metadata()?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Ok(None);
    }
    all_of(opened, MAX_BYTES).map(Some)
}

fn unreadable(doing: &str, file: &Path, error: &ReadError) -> PortError {
    PortError::new(PortErrorKind::Other, format!("cannot {doing} {}: {error}", file.display()))
}

/// What the system did not let us do, and what would mend it.
fn failed(doing: &str, path: &Path, error: &io::Error) -> PortError {
    let (kind, mend) = match error.kind() {
        ErrorKind::PermissionDenied => {
            (PortErrorKind::Denied, "; let the user that Hostler runs as read and write the folder of the ledger")
        }
        ErrorKind::ReadOnlyFilesystem => {
            (PortErrorKind::Denied, "; mount it writable, or name another folder as store in [ledger]")
        }
        kind if is_link(error)
            || matches!(kind, ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::IsADirectory) =>
        {
            (
                PortErrorKind::Invalid,
                "; something else is in its place: remove that, or name another folder as store in [ledger]",
            )
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (PortErrorKind::Unavailable, "; make room there"),
        _ => (PortErrorKind::Unavailable, ""),
    };
    PortError::new(kind, format!("cannot {doing} {}: {error}{mend}", path.display()))
}

/// Whether there is a link where none is followed.
fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}
