//! Recordings: what one event came to, with every call of a port and its answer, as JSON Lines; and what is made of them.
//!
//! Owns the format ([`Recording`]), writing it beside the work ([`Recordings`], [`Recorder`]), answering from it instead of
//! from AWS ([`Replay`]), telling two of them apart ([`Comparison`]) and turning one into a case ([`to_case`]). Knows nothing of
//! policies beyond their digest. Left out of every recording: settings of handlers, standard input, and where keys come
//! from. What is in it: what handlers say and leave for their next attempt, the commands they run, and what those print; so keep
//! it as you keep the log.

mod answers;
mod asked;
mod compare;
mod file;
mod record;
mod replay;
#[cfg(feature = "live")]
mod s3;
mod store;
#[cfg(test)]
mod tests;
mod to_case;

pub use asked::{Asked, Operation};
pub use compare::{Comparison, Count};
pub use file::{Attempted, Call, Ended, Header, MAX_BYTES, Outcome, Part, Recording, RecordingError, Reply};
pub use record::Recorder;
pub use replay::Replay;
#[cfg(feature = "live")]
pub use s3::S3Keep;
pub use store::{Keep, Kept, Recordings};
pub use to_case::to_case;
