//! How the handling of an event ended, in words.

use crate::dispatch::{DispatchError, End};

/// How it ended, in one sentence.
pub fn words(ended: &Result<End, DispatchError>) -> String {
    match ended {
        Ok(end) => end.to_string(),
        Err(error) => format!("not completed: {error}"),
    }
}

/// What it came to, in a word or two, and why; nothing when there is nothing to explain.
pub(super) fn decision(ended: &Result<&End, String>) -> (&'static str, String) {
    match ended {
        Ok(end) => end.told(),
        Err(why) => ("not completed", why.clone()),
    }
}
