//! A handler that takes its time, and then abandons.
//!
//! Setting: `for` is how long after the event it abandons; at once without it.

use hostler_plugin::prelude::*;

fn handle(event: &Event) -> Result<Outcome> {
    let patience = config::duration("for")?.unwrap_or_default();
    let left = (event.time + patience).since(clock::now());
    if left.is_zero() {
        return Ok(Outcome::Abandon(format!("{patience:?} are over")));
    }
    Ok(Outcome::again(left, "it is not time yet"))
}

hostler_plugin::export!(handle);
