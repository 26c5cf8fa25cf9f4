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
        // Handlers read their settings in every attempt.
        What::Host(line) if line.message == "setting read" => None,
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sim::{FaultKind, Reply};

    fn said(level: &'static str, message: &str, fields: &[(&'static str, &str)]) -> Line {
        let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Line { level, message: message.to_owned(), fields }
    }

    fn told(entries: impl IntoIterator<Item = What>) -> String {
        let entry = |(second, what)| Entry { elapsed: Duration::from_secs(second), what };
        text(&(0..).zip(entries).map(entry).collect::<Vec<_>>()).join("\n")
    }

    fn call(fault: Option<FaultKind>) -> What {
        let (target, reply) = ("i-1".to_owned(), Reply::Error("throttled".to_owned()));
        What::Call(Call { operation: "ecs.drain", target, reply, took: Duration::ZERO, fault })
    }

    #[test]
    fn what_happened_is_told_line_by_line() {
        let change = |name: &str, target: &str, became: &str| What::Change {
            name: name.to_owned(),
            target: target.to_owned(),
            became: became.to_owned(),
        };
        let of_event =
            [("kind", "instance-terminating"), ("instance", "i-1"), ("handler", "drain"), ("deadline", "noon")];
        let attempt = [("attempt", "2"), ("outcome", "again"), ("note", "2 tasks left"), ("log_lines_dropped", "7")];
        let of_call = [("call", "ecs.drain"), ("target", "i-1"), ("result", "throttled"), ("error", "slow down")];
        insta::assert_snapshot!(told([
            What::Host(said("INFO", "event taken", &of_event)),
            call(None),
            call(Some(FaultKind::Throttled)),
            What::Host(said("WARN", "host call", &of_call)),
            What::Host(said("INFO", "host call", &of_call[..3])),
            What::Host(said("DEBUG", "setting read", &[("key", "cluster")])),
            What::Host(said("INFO", "attempt", &attempt)),
            What::Host(said("INFO", "attempt", &attempt[..2])),
            What::Guest(said("INFO", "two tasks left", &[("fields", "web=2")])),
            What::Guest(said("INFO", "two tasks left", &[])),
            change("task stopped", "service:web on i-1", ""),
            change("lifecycle action ended", "drain on i-1", "completed with CONTINUE"),
            What::Host(said("WARN", "heartbeat failed", &[("instance", "i-1"), ("error", "gone")])),
            What::Host(said("INFO", "done", &[("event", "token"), ("attempts", "2"), ("wall_ms", "0.1")])),
        ]), @"
        00:00.000  instance-terminating i-1 taken by drain, deadline noon
        00:02.000  ! fault throttled: ecs.drain i-1
        00:03.000    ecs.drain i-1 -> throttled slow down
        00:04.000    ecs.drain i-1 -> throttled
        00:06.000  attempt 2: again, 2 tasks left; log lines dropped: 7
        00:07.000  attempt 2: again
        00:08.000    | two tasks left web=2
        00:09.000    | two tasks left
        00:10.000  ~ task stopped service:web on i-1
        00:11.000  ~ lifecycle action ended drain on i-1: completed with CONTINUE
        00:12.000  WARN: heartbeat failed error=gone
        00:13.000  done attempts=2
        ");
    }

    #[test]
    fn nobody_in_it_writes_on_the_terminal_or_as_the_host() {
        let guest = What::Guest(said("INFO", "\u{1b}[2J\nERROR: all is lost", &[]));
        insta::assert_snapshot!(told([guest]), @r#"00:00.000    | \u{1b}[2J\nERROR: all is lost"#);
    }
}
