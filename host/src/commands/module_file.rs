//! A `.wasm` file that a command is given, read as the host would: never more of it than any policy takes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytesize::ByteSize;

use crate::policy::LARGEST_MODULE;

/// A file, whole. Whether it is a plugin is not known yet.
#[derive(Debug)]
pub(super) struct ModuleFile {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What a policy that has it at the root of its source calls it: the file's name.
    pub(super) module: String,
    /// What is in it.
    pub(super) bytes: Vec<u8>,
}

/// Why there is no file to look at.
#[derive(Debug, thiserror::Error)]
pub(super) enum ModuleFileError {
    /// It is not there, or may not be read.
    #[error("cannot read {}: {reason}; `hostler build` prints where it puts a plugin", path.display())]
    Unreadable { path: PathBuf, reason: io::Error },
    /// It is a folder, a pipe or a device.
    #[error("{} is not a file: give the .wasm file itself", path.display())]
    NotAFile { path: PathBuf },
    /// No policy takes it.
    #[error("{} has more than {}, which no policy takes: a plugin of Rust has some 100 KiB", path.display(), ByteSize::b(LARGEST_MODULE))]
    TooLarge { path: PathBuf },
}

impl ModuleFile {
    /// Reads the file at `path`.
    pub(super) fn read(path: &Path) -> Result<Self, ModuleFileError> {
        let unreadable = |reason| ModuleFileError::Unreadable { path: path.to_owned(), reason };
        // Before it is opened: opening a pipe would wait for somebody to write to it.
        let metadata = path.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(ModuleFileError::NotAFile { path: path.to_owned() });
        }
        let mut bytes = Vec::new();
        if metadata.len() <= LARGEST_MODULE {
            let file = File::open(path).map_err(unreadable)?;
            file.take(LARGEST_MODULE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        }
        // It may have grown meanwhile.
        if metadata.len().max(bytes.len() as u64) > LARGEST_MODULE {
            return Err(ModuleFileError::TooLarge { path: path.to_owned() });
        }
        let module = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { path: path.to_owned(), module, bytes })
    }
}
