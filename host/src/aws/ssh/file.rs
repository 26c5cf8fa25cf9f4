//! Reading the files a policy names: bounded, and with the reason when that fails.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::secret::Secret;
use crate::ports::PortError;

/// The bytes of a file of at most `most` bytes: it may hold a key. `source` is how the policy writes it.
pub(super) async fn read(source: &str, path: &Path, most: u64) -> Result<Secret, PortError> {
    let path = path.to_owned();
    // Not with the files of tokio: they read into a buffer of their own, which nobody wipes.
    let read = tokio::task::spawn_blocking(move || read_now(&path, most)).await;
    read.unwrap_or_else(|_| Err("reading it was cut short".to_owned())).map_err(|why| super::unusable(source, why))
}

fn read_now(path: &Path, most: u64) -> Result<Secret, String> {
    let metadata = std::fs::metadata(path).map_err(|error| reason(&error))?;
    // Opening a pipe could wait for ever.
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    if metadata.len() > most {
        return Err(format!("it has {} bytes and {most} are read at most", metadata.len()));
    }
    // All of the room at once: a vector that grows leaves copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len() + 1).unwrap_or_default()));
    let file = File::open(path).map_err(|error| reason(&error))?;
    file.take(metadata.len()).read_to_end(&mut bytes).map_err(|error| reason(&error))?;
    Ok(Secret::from(bytes))
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "the host may not read it; see its owner and mode".to_owned(),
        _ => error.to_string(),
    }
}
