//! Bodies of objects: read whole, and never without a bound in bytes and in time.

use std::error::Error;
use std::time::Duration;

use aws_smithy_types::byte_stream::ByteStream;
use tokio::time::timeout;

/// Why there is no whole body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// There is more than anybody needs: so many bytes, if that was announced.
    #[error("it is too large")]
    TooLarge(Option<u64>),
    /// The connection broke.
    #[error("broke off after {after} bytes: {why}")]
    BrokenOff {
        /// What had been read, in bytes.
        after: usize,
        /// What the network said.
        why: String,
    },
    /// There was no end to it.
    #[error("took longer than {0:?}")]
    Slow(Duration),
}

/// Reads a body of `announced` bytes, never more than `max` of them, whatever was announced.
pub(crate) async fn read_body(
    body: ByteStream,
    announced: Option<i64>,
    max: u64,
    within: Duration,
) -> Result<Vec<u8>, BodyError> {
    let announced = announced.and_then(|length| u64::try_from(length).ok());
    if announced.is_some_and(|length| length > max) {
        return Err(BodyError::TooLarge(announced));
    }
    let length = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
    timeout(within, chunks(body, Vec::with_capacity(length), max)).await.unwrap_or(Err(BodyError::Slow(within)))
}

async fn chunks(mut body: ByteStream, mut bytes: Vec<u8>, max: u64) -> Result<Vec<u8>, BodyError> {
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| BodyError::BrokenOff { after: bytes.len(), why: innermost(&error) })?;
        if (bytes.len() + chunk.len()) as u64 > max {
            return Err(BodyError::TooLarge(None));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn innermost(error: &dyn Error) -> String {
    std::iter::successors(Some(error), |&error| error.source()).last().unwrap_or(error).to_string()
}
