//! The journal as lines of text.

use super::{clock, rest};
use crate::sim::{Call, Entry, Line, What};
use crate::telemetry::visible;

/// The journal as lines of text, safe for a terminal: when, and what. What is said twice, by the log and as a call of a
/// port, is told once.
pub fn text(journal: &[Entry]) -> Vec<String> {
    let told = journal.iter().filter_map(|entry| Some((entry.elapsed, line(&entry.what)?)));
    told.map(|(at, line)| format!("{}  {}", clock(at), visible(&line))).collect()
}

fn line(what: &What) -> Option<String> {
    match what {
        // The log tells what came of calls; only what went wrong by order is not in it.
        What::Call(Call { operation, target, fault, .. }) => {
            fault.map(|fault| format!("! fault {fault}: {operation} {target}"))
        }
        What::Change { name, target, became } => Some(with(with(format!("~ {name}"), " ", target), ": ", became)),
        // First, so that no guest speaks as the host does.
        What::Guest(line) => Some(with(format!("  | {}", line.message), " ", line.field("fields"))),
        What::Host(line) => Some(host(line)),
    }
}

/// A line of the host for people: what they look for first, then the rest as `name=value`.
fn host(line: &Line) -> String {
    let get = |name| line.field(name);
    match line.message.as_str() {
        "event taken" => {
            let (kind, instance, handler, deadline) = (get("kind"), get("instance"), get("handler"), get("deadline"));
            format!("{kind} {instance} taken by {handler}, deadline {deadline}")
        }
        "attempt" => {
            let told = format!("attempt {}: {}", get("attempt"), get("outcome"));
            with(with(told, ", ", get("note")), "; log lines dropped: ", get("log_lines_dropped"))
        }
        "host call" => with(format!("  {} {} -> {}", get("call"), get("target"), get("result")), " ", get("error")),
        message => {
            let loud = matches!(line.level, "WARN" | "ERROR");
            let told = if loud { format!("{}: {message}", line.level) } else { message.to_owned() };
            with(told, " ", &rest(line))
        }
    }
}

fn with(line: String, between: &str, rest: &str) -> String {
    if rest.is_empty() { line } else { format!("{line}{between}{rest}") }
}
