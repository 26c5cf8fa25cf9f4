//! A handler that takes its time, and then abandons.
//!
//! Settings: `for` is how long after the event it abandons; at once without it. With `look` it looks at the instance in EC2 before.

use hostler_plugin::prelude::*;

fn handle(event: &Event) -> Result<Outcome> {
    let patience = config::duration("for")?.unwrap_or_default();
    if config::get("look").is_some()
        && let Err(error) = ec2::describe_instance(event.instance()?)
    {
        return Ok(Outcome::again(Duration::from_secs(1), format!("EC2 does not tell of it: {error}")));
    }
    let left = (event.time + patience).since(clock::now());
    if left.is_zero() {
        return Ok(Outcome::Abandon(format!("{patience:?} are over")));
    }
    Ok(Outcome::again(left, "it is not time yet"))
}

hostler_plugin::export!(handle);
