//! A `.wasm` file that a command is given, read as the host would: never more of it than any policy takes.

use std::path::{Path, PathBuf};

use bytesize::ByteSize;

use crate::files::{self, ReadError};
use crate::policy::{Handler, LARGEST_MODULE, Policy};

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
    Unreadable { path: PathBuf, reason: ReadError },
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
        let unreadable = |reason| match reason {
            ReadError::TooLarge { .. } => ModuleFileError::TooLarge { path: path.to_owned() },
            reason => ModuleFileError::Unreadable { path: path.to_owned(), reason },
        };
        // Before it is opened: opening a pipe would wait for somebody to write to it.
        if !path.metadata().map_err(|error| unreadable(error.into()))?.is_file() {
            return Err(ModuleFileError::NotAFile { path: path.to_owned() });
        }
        let bytes = files::read_bounded(path, LARGEST_MODULE).map_err(unreadable)?;
        let module = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { path: path.to_owned(), module, bytes })
    }

    /// The handlers that use it: those whose `module` is the end of its path or, where there is none, has its name, in whatever folder.
    pub(super) fn users<'p>(&self, policy: &'p Policy) -> Vec<&'p Handler> {
        let those = |uses: &dyn Fn(&Path) -> bool| {
            let handlers = policy.handlers.iter().map(|handler| &**handler);
            handlers.filter(|handler| uses(Path::new(&handler.module))).collect::<Vec<_>>()
        };
        let placed = those(&|module| self.path.ends_with(module));
        if placed.is_empty() { those(&|module| module.file_name() == self.path.file_name()) } else { placed }
    }

    /// What the first of these calls it; else the file's name.
    pub(super) fn name<'p>(&'p self, users: &[&'p Handler]) -> &'p str {
        users.first().map_or(&self.module, |handler| &handler.module)
    }
}
