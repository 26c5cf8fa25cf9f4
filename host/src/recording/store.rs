//! Where recordings go: a file, a folder, or whole to somewhere that takes no lines.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use super::file::MAX_BYTES;
use crate::digest::sha256;
use crate::event::Event;
use crate::ports::PortError;

/// Where the recordings of a host go.
pub struct Recordings(Place);

enum Place {
    /// One file, for the first event; none once it is taken.
    File(Mutex<Option<File>>),
    /// A file for each event.
    Folder(PathBuf),
    /// Each kept in memory while it grows, up to so many bytes, and handed over at its end.
    Whole { keep: Arc<dyn Keep>, max_bytes: usize },
}

/// Takes recordings that are whole.
#[async_trait]
pub trait Keep: Send + Sync {
    /// Keeps `recording` under `name`.
    async fn keep(&self, name: &str, recording: Vec<u8>) -> Result<(), PortError>;
}

/// How much of a digest tells one event of an instance from another.
const DIGEST_CHARS: usize = 12;

/// Why a file is not recorded to.
const HOLDS_SOMETHING: &str = "it holds something already, which a recording would replace; name a file that is not there yet, or remove this one";

impl Recordings {
    /// One recording, to the file at `path`, which is made now. One that holds something is left as it is, and refused: a path
    /// is soon mistyped, and neither a policy nor the recording of an incident can be had again.
    ///
    /// A link is followed, as by any command that is told where to write: `/dev/stdout` is one.
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = private().create(true).truncate(false).open(path)?;
        if file.metadata()?.len() > 0 {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, HOLDS_SOMETHING));
        }
        Ok(Self(Place::File(Mutex::new(Some(file)))))
    }

    /// A file for each event, in `folder`, which is made when the first is written.
    pub fn folder(folder: &Path) -> Self {
        Self(Place::Folder(folder.to_owned()))
    }

    /// To `keep`, whole, and each at most `max_bytes` long.
    pub fn whole(keep: Arc<dyn Keep>, max_bytes: usize) -> Self {
        Self(Place::Whole { keep, max_bytes })
    }

    /// Makes the place for the recording called `name`; none when there is none left.
    pub(super) fn open(&self, name: String) -> io::Result<Option<Sink>> {
        match &self.0 {
            Place::File(file) => {
                let file = file.lock().unwrap_or_else(PoisonError::into_inner).take();
                Ok(file.map(|file| Sink { max_bytes: MAX_BYTES, to: To::File(file) }))
            }
            Place::Folder(folder) => {
                std::fs::create_dir_all(folder)?;
                let file = private().create_new(true).open(folder.join(&name))?;
                Ok(Some(Sink { max_bytes: MAX_BYTES, to: To::File(file) }))
            }
            Place::Whole { keep, max_bytes } => {
                let to = To::Memory { lines: Vec::new(), name, keep: Arc::clone(keep) };
                Ok(Some(Sink { max_bytes: *max_bytes, to }))
            }
        }
    }
}

/// A name that sorts by time and tells the instance: `TIME-INSTANCE-DIGEST.jsonl`.
pub(super) fn name(at: Timestamp, event: &Event) -> String {
    let at = at.strftime("%Y%m%dT%H%M%S%.3fZ");
    let instance = event.instance.as_ref().map_or("no-instance", |instance| instance.as_str());
    // An event's id is anything its sender likes, so it does not become part of a path as it is.
    let digest = sha256(&event.id);
    format!("{at}-{instance}-{}.jsonl", &digest[..DIGEST_CHARS])
}

/// Files that only their owner reads: what commands print can be anything.
fn private() -> OpenOptions {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Where the lines of one recording go.
pub(super) struct Sink {
    pub(super) max_bytes: usize,
    to: To,
}

enum To {
    File(File),
    Memory { lines: Vec<u8>, name: String, keep: Arc<dyn Keep> },
}

impl Sink {
    /// Writes a line, in one go: after a crash there is at most one torn line, the last.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match &mut self.to {
            To::File(file) => file.write_all(line),
            To::Memory { lines, .. } => {
                lines.extend_from_slice(line);
                Ok(())
            }
        }
    }

    /// Hands a recording over that is kept whole.
    pub(super) async fn close(self) -> Result<(), PortError> {
        match self.to {
            To::File(_) => Ok(()),
            To::Memory { lines, name, keep } => keep.keep(&name, lines).await,
        }
    }
}

/// Keeps the last recording in memory.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Vec<u8>>);

impl Kept {
    /// What was recorded.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Keep for Kept {
    async fn keep(&self, _: &str, recording: Vec<u8>) -> Result<(), PortError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = recording;
        Ok(())
    }
}
