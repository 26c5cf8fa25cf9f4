//! A handler that tries what its settings say, and abandons with what came of it: how a test sees what a guest sees.
//!
//! Settings: `drain` is the instance to drain, in place of the event's own; `command` is a command for the event's instance.
//! With `wait` it does nothing, and asks to be called again after that time. Without any, the answer is `nothing was asked`. With
//! `panics` it panics in the end, with the answer.

use hostler_plugin::prelude::*;

fn handle(event: &Event) -> Result<Outcome> {
    if let Some(wait) = config::duration("wait")? {
        return Ok(Outcome::again(wait, "as it was set"));
    }
    let instance = event.instance()?;
    let mut answers = Vec::new();
    if let Some(other) = config::get("drain") {
        answers.push(match ecs::drain(&other) {
            Ok(node) => format!("drain: {}", node.status),
            Err(error) => format!("drain: {:?}: {error}", error.code()),
        });
    }
    if let Some(command) = config::parse::<ssh::Command>("command")? {
        answers.push(match command.run(instance) {
            Ok(output) => format!("command: {:?}", String::from_utf8_lossy(&output.stdout)),
            Err(error) => format!("command: {:?}: {error}", error.code()),
        });
    }
    if answers.is_empty() {
        answers.push("nothing was asked".to_owned());
    }
    let answer = answers.join("; ");
    assert!(config::get("panics").is_none(), "{answer}");
    Ok(Outcome::Abandon(answer))
}

hostler_plugin::export!(handle);
