//! Reading the files a policy names: bounded, and with the reason when that fails.

use std::path::Path;

use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use crate::ports::PortError;

/// The bytes of a file of at most `most` bytes, wiped when dropped. `source` is how the policy writes it.
pub(super) async fn read(source: &str, path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>, PortError> {
    let unusable = |why: String| super::unusable(source, why);
    let metadata = tokio::fs::metadata(path).await.map_err(|error| unusable(reason(&error)))?;
    // Opening a pipe could wait for ever.
    if !metadata.is_file() {
        return Err(unusable("it is not a file".to_owned()));
    }
    if metadata.len() > most {
        return Err(unusable(format!("it has {} bytes and {most} are read at most", metadata.len())));
    }
    let file = tokio::fs::File::open(path).await.map_err(|error| unusable(reason(&error)))?;
    // All of the room at once: a vector that grows leaves copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len() + 1).unwrap_or_default()));
    file.take(metadata.len()).read_to_end(&mut bytes).await.map_err(|error| unusable(reason(&error)))?;
    Ok(bytes)
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "the host may not read it; see its owner and mode".to_owned(),
        _ => error.to_string(),
    }
}
