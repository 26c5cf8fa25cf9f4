//! A recording as a case of the test harness, to be read and kept by a person.
//!
//! The event is the recorded one. The world is put together from what AWS and the node answered; what a recording does not
//! say as such is marked "inferred". Errors become faults, the end becomes the expectation.

mod page;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use super::asked::Operation;
use super::file::{Call, Outcome, Recording, Reply};
use crate::dispatch::{Completion, Decision, End, Worked};
use crate::ports::{PortError, PortErrorKind, Task};
use page::Page;

/// As much of a digest as tells versions apart.
const DIGEST_CHARS: usize = 12;

/// The case of a recording, as TOML.
pub fn to_case(recording: &Recording) -> String {
    let mut page = Page::default();
    head(&mut page, recording);
    event(&mut page, recording);
    world::write(&mut page, recording);
    faults(&mut page, recording);
    expectation(&mut page, recording);
    page.into_text()
}

fn head(page: &mut Page, recording: &Recording) {
    let header = &recording.header;
    let cut = |digest: &str| digest.chars().take(DIGEST_CHARS).collect::<String>();
    let plugins: Vec<_> = recording.modules().into_iter().map(cut).collect();
    let plugins = if plugins.is_empty() { "none".to_owned() } else { plugins.join(", ") };
    page.comment(&format!("Made from a recording of {} by hostler {}:", header.recorded_at, header.host));
    page.comment(&format!("plugin {plugins}, policy {}.", cut(&header.policy)));
    if let Some(gap) = &recording.gap {
        page.comment(&format!("The recording is not whole: {gap}."));
    }
    page.comment("What is marked \"inferred\" the recording does not say as such: check it.");
    page.comment("Settings are not recorded: those of the policy hold, unless config = { … } is written here.");
    page.blank();
    page.noted("policy", "../hostler.toml", "relative to this file");
    page.key("handler", header.handler.as_str());
}

fn event(page: &mut Page, recording: &Recording) {
    page.table("[event]");
    // Pretty, since a person reads it; a value always has a JSON form.
    let json = serde_json::to_string_pretty(&recording.header.event).unwrap_or_default();
    page.literal("json", &json);
}

/// What failed becomes a fault, as far as the simulated world has such a one.
fn faults(page: &mut Page, recording: &Recording) {
    let mut made: BTreeMap<&str, u32> = BTreeMap::new();
    let mut faults: Vec<(&str, &str, Vec<u32>)> = Vec::new();
    let mut others = Vec::new();
    for call in &recording.calls {
        let operation = call.asked.operation.as_str();
        let nth = made.entry(operation).or_default();
        *nth += 1;
        match fault(call) {
            Some(Ok(name)) => match faults.iter_mut().find(|(on, known, _)| *on == operation && *known == name) {
                Some((_, _, which)) => which.push(*nth),
                None => faults.push((operation, name, vec![*nth])),
            },
            Some(Err(error)) => others.push(format!(
                "Call {nth} of {operation} failed ({}), which the world has to bring about: {}",
                error.kind.as_str(),
                error.message
            )),
            None => {}
        }
    }
    for (operation, name, nth) in faults {
        page.table("[[fault]]");
        page.key("operation", operation);
        page.key("fault", name);
        match nth.as_slice() {
            [only] => page.key("nth", i64::from(*only)),
            several => page.key("nth", several.iter().map(|nth| i64::from(*nth)).collect::<Vec<_>>()),
        }
    }
    if !others.is_empty() {
        page.blank();
    }
    for other in others {
        page.comment(&other);
    }
}

/// The fault that makes a call fail as it did; the error itself where there is none; nothing where it did not fail.
fn fault(call: &Call) -> Option<Result<&'static str, &PortError>> {
    let ssh = call.asked.operation == Operation::Exec;
    match &call.reply {
        Reply::Answer(_) => None,
        // A command that never ends is the node's doing: see the world.
        Reply::None if ssh => None,
        Reply::None => Some(Ok("timeout")),
        Reply::Error(error) => Some(match error.kind {
            PortErrorKind::Throttled => Ok("throttled"),
            PortErrorKind::Unavailable if ssh => Ok("connection-reset"),
            PortErrorKind::Unavailable => Ok("server-error"),
            PortErrorKind::Timeout => Ok("timeout"),
            PortErrorKind::Denied => Ok("access-denied"),
            PortErrorKind::NotFound | PortErrorKind::Invalid | PortErrorKind::Conflict | PortErrorKind::Other => {
                Err(error)
            }
        }),
    }
}

fn expectation(page: &mut Page, recording: &Recording) {
    page.table("[expect]");
    match recording.end.as_ref().map(|end| &end.outcome) {
        Some(Outcome::Result(End::Worked(worked))) => end(page, worked),
        Some(Outcome::Result(End::NoHandler)) => page.key("outcome", "no-handler"),
        Some(Outcome::Result(End::LeftAlone { .. })) => page.key("outcome", "left-alone"),
        Some(Outcome::Error { name, .. }) if name == "NotCompleted" => page.key("outcome", "not-completed"),
        Some(Outcome::Error { message, .. }) => {
            page.comment(&format!("It ended in a way that no case does; say what should come of it. {message}"));
        }
        None => page.comment("The recording stops before the end: say what should come of it."),
    }
    let calls = mutations(recording);
    if !calls.is_empty() {
        page.key("calls", calls);
    }
}

fn end(page: &mut Page, worked: &Worked) {
    let (outcome, why) = match &worked.decision {
        Decision::Done => ("done", ""),
        Decision::Abandon { why } => ("abandoned", why.as_str()),
        Decision::GaveUp { why } => ("gave-up", why.as_str()),
    };
    match why {
        "" => page.key("outcome", outcome),
        why => page.noted("outcome", outcome, why),
    }
    let lifecycle = match worked.lifecycle {
        Some(Completion::Continue) => "CONTINUE",
        Some(Completion::Abandon) => "ABANDON",
        Some(Completion::Left) => "waiting",
        Some(Completion::Late) => "timed-out",
        None => "none",
    };
    page.key("lifecycle", lifecycle);
    page.noted("attempts", i64::from(worked.attempts), "as then; or { at-least = 1 }");
}

/// The handler's calls that changed something, in the patterns of a case. What is tried again at once stands once.
fn mutations(recording: &Recording) -> Vec<String> {
    let groups: BTreeMap<String, String> = listings(recording)
        .flat_map(|(_, tasks)| tasks)
        .filter_map(|task| Some((task.arn.to_string(), task.group?)))
        .collect();
    let handlers = recording.calls.iter().filter(|call| call.attempt.is_some() && call.asked.operation.mutates());
    let mut calls: Vec<String> = handlers
        .map(|call| {
            let target = match call.asked.operation {
                // The world makes ARNs of its own.
                Operation::StopTask => {
                    let group = call.asked.text("task").and_then(|task| groups.get(task));
                    group.map_or_else(|| "*".to_owned(), |group| format!("{group}*"))
                }
                Operation::Exec => format!("* {}", command(call).map(|words| format!("{words:?}")).unwrap_or_default()),
                _ => "*".to_owned(),
            };
            format!("{} {target}", call.asked.operation.as_str())
        })
        .collect();
    calls.dedup();
    calls
}

/// The words of a command.
fn command(call: &Call) -> Option<Vec<&str>> {
    call.asked.arguments.get("command")?.as_array()?.iter().map(serde_json::Value::as_str).collect()
}

/// What lists of tasks there were, with the time of each answer.
fn listings(recording: &Recording) -> impl Iterator<Item = (Duration, Vec<Task>)> {
    let listed = recording.calls.iter().filter(|call| call.asked.operation == Operation::ListTasks);
    listed.filter_map(|call| Some((answered(call), call.fact()?)))
}

/// When a call was answered, since the beginning.
fn answered(call: &Call) -> Duration {
    Duration::from_millis(call.at_ms.saturating_add(call.took_ms))
}
