//! Files that people name: read whole, and never without a bound.
//!
//! Knows nothing of what is in them: whoever asks says how much there can be, and names the file in what it tells people.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytesize::ByteSize;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// What the system said.
    #[error(transparent)]
    System(#[from] io::Error),
    /// There is more of it than anybody needs.
    #[error("it has more than {}, and no more is read", ByteSize::b(*.max))]
    TooLarge {
        /// The most that is read, in bytes.
        max: u64,
    },
    /// It was to be text.
    #[error("it is not UTF-8 text")]
    NotText,
}

/// What is made room for before anything is read, in bytes: more than any key or passphrase has.
const ROOM: u64 = 16 << 10;

/// The bytes of the file at `path`, if they are no more than `max`.
pub(crate) fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>, ReadError> {
    let file = File::open(path)?;
    // Spares reading what is too large. A small size says nothing: pipes and devices have none, and a file can grow meanwhile.
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.len() > max {
        return Err(ReadError::TooLarge { max });
    }
    all_of(file, max)
}

/// The same of a file that has to be text.
pub(crate) fn read_text(path: &Path, max: u64) -> Result<String, ReadError> {
    String::from_utf8(read_bounded(path, max)?).map_err(|_| ReadError::NotText)
}

/// Whatever comes from `source`, if it is no more than `max` bytes.
pub(crate) fn all_of(source: impl Read, max: u64) -> Result<Vec<u8>, ReadError> {
    // With room from the start: what is small may be a secret, and a vector that grows leaves copies of it behind.
    let mut bytes = Vec::with_capacity(usize::try_from(max.min(ROOM)).unwrap_or_default() + 1);
    // One byte more than is wanted tells a source that ends from one that goes on.
    source.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(ReadError::TooLarge { max }) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_bound_and_not_beyond() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12\u{e9}").unwrap();
        assert_eq!(read_bounded(&path, 4).unwrap(), "12\u{e9}".as_bytes());
        assert_eq!(read_text(&path, 4).unwrap(), "12\u{e9}");
        let complaint = |error: ReadError| error.to_string();
        assert_eq!(complaint(read_bounded(&path, 3).unwrap_err()), "it has more than 3 B, and no more is read");

        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(complaint(read_text(&path, 4).unwrap_err()), "it is not UTF-8 text");
        assert_eq!(
            complaint(read_text(&path.with_extension("gone"), 4).unwrap_err()),
            "No such file or directory (os error 2)"
        );
        assert_eq!(complaint(read_text(folder.path(), 4).unwrap_err()), "Is a directory (os error 21)");
    }

    #[test]
    fn what_never_ends_and_says_it_is_empty_is_not_read_forever() {
        let error = read_bounded(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 1.0 MiB, and no more is read");
    }
}
