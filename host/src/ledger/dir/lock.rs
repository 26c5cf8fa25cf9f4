//! Who may change an object: locks that processes share, in files beside the objects.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::failed;
use super::folder::{Folder, name_of, open_to_read};
use crate::digest::sha256;
use crate::files::all_of;
use crate::ports::{PortError, PortErrorKind};

/// How many locks there are. Objects share them, so that no file is left behind for each object there ever was, and there are
/// enough that writes, which wait for the disk, seldom wait for each other.
const LOCKS: usize = 16;

/// How long a lock of another process is waited for: longer than many writes take, and shorter than a lease.
const WAIT: Duration = Duration::from_secs(5);

/// The pause between two looks at a lock that is taken; the system tells nobody when it is free.
const PAUSE: Duration = Duration::from_millis(5);

/// The locks of a store.
#[derive(Debug)]
pub(super) struct Locks {
    store: PathBuf,
    turns: [Arc<Mutex<()>>; LOCKS],
    pub(super) wait: Duration,
}

/// The turn, among all that a process does with the store, to take a lock.
pub(super) struct Turn {
    store: PathBuf,
    path: PathBuf,
    wait: Duration,
    turn: OwnedMutexGuard<()>,
}

/// A lock that is held until this is dropped: the system gives it back with its file, also when the process is killed.
pub(super) struct Lock {
    _file: File,
    _turn: OwnedMutexGuard<()>,
}

impl Locks {
    /// Those of the store in the folder `store`.
    pub(super) fn new(store: &Path) -> Self {
        Self { store: store.to_owned(), turns: Default::default(), wait: WAIT }
    }

    /// Waits until it is our turn for the lock on `key`.
    pub(super) async fn turn(&self, key: &str) -> Turn {
        let number = number(key);
        let turn = Arc::clone(&self.turns[number]).lock_owned().await;
        Turn { store: self.store.clone(), path: self.file(number), wait: self.wait, turn }
    }

    /// Does something to `key` if nobody else does, and else leaves it.
    pub(super) fn at_once(&self, key: &str, work: impl FnOnce()) {
        if let Ok(file) = open(&self.store, &self.file(number(key)))
            && file.try_lock().is_ok()
        {
            work();
        }
    }

    fn file(&self, number: usize) -> PathBuf {
        self.store.join(format!(".locks/{number:02}"))
    }
}

impl Turn {
    /// Takes the lock, from whichever process.
    pub(super) fn lock(self) -> Result<Lock, PortError> {
        let Self { store, path, wait, turn } = self;
        let cannot = |error: io::Error| failed("lock", &path, &error);
        let mut file = open(&store, &path).map_err(cannot)?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if began.elapsed() >= wait => return Err(held_up(&store, &path, wait)),
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) => return Err(cannot(error)),
            }
        }
        // It holds with the note or without. On a full disk, what would make room takes a lock first.
        let _ = note(&mut file);
        Ok(Lock { _file: file, _turn: turn })
    }
}

/// Notes in its file who has a lock, for those who wait in vain. Whoever reads it has no lock, so it may be somebody else's by then.
///
/// Not where the file has another name too: whoever has the folder can make one of root's a lock so.
fn note(file: &mut File) -> io::Result<()> {
    if file.metadata()?.nlink() != 1 {
        return Ok(());
    }
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())
}

/// Opens the file of a lock, which stays once it is made: to remove one is to have two.
fn open(store: &Path, path: &Path) -> io::Result<File> {
    let (folder, name) = (Folder::made_of(store, path)?, name_of(path));
    match folder.create(name) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => folder.open(name, OFlags::WRONLY),
        opened => opened,
    }
}

fn held_up(store: &Path, path: &Path, wait: Duration) -> PortError {
    let noted = open_to_read(store, path).ok().and_then(|file| all_of(file, 32).ok());
    let holder = noted.and_then(|text| str::from_utf8(&text).ok()?.parse::<u32>().ok());
    let holder = holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    PortError::new(
        PortErrorKind::Unavailable,
        format!(
            "{} is held by {holder}, for {wait:?} and longer: see whether that hangs, and whether its disk does",
            path.display()
        ),
    )
}

/// Which of the locks is that of `key`.
fn number(key: &str) -> usize {
    // The same for every process: a digest is spread evenly, and of every version.
    let digit = sha256(key).chars().next().and_then(|digit| digit.to_digit(16)).unwrap_or_default();
    digit as usize % LOCKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_holds_also_where_nothing_can_be_noted() {
        // A disk that is always full.
        let turn = Turn { path: "/dev/full".into(), ..Locks::new(Path::new("/dev")).turn("a").await };
        let again = || open(Path::new("/dev"), Path::new("/dev/full")).unwrap();
        let lock = turn.lock().unwrap();
        assert!(matches!(again().try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        again().try_lock().unwrap();
    }
}
