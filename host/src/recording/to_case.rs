//! A recording as a case of the test harness, to be read and kept by a person.
//!
//! The event is the recorded one. The world is put together from what AWS and the node answered; what a recording does not
//! say as such is marked "inferred". Errors become faults, the end becomes the expectation; where there is no end, a person has to
//! say what to expect before the case is one.

mod faults;
mod page;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use super::asked::Operation;
use super::file::{Call, Outcome, Recording};
use crate::dispatch::{End, Worked};
use crate::lifecycle::Completion;
use crate::outcome::Decision;
use crate::ports::Task;
use page::Page;

/// As much of a digest as tells versions apart.
const DIGEST_CHARS: usize = 12;

/// The case of a recording, as TOML.
pub fn to_case(recording: &Recording) -> String {
    let mut page = Page::default();
    head(&mut page, recording);
    event(&mut page, recording);
    world::write(&mut page, recording);
    faults::write(&mut page, recording);
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

fn expectation(page: &mut Page, recording: &Recording) {
    page.table("[expect]");
    match recording.end.as_ref().map(|end| &end.outcome) {
        Some(Outcome::Result(End::Worked(worked))) => end(page, recording, worked),
        Some(Outcome::Result(end @ End::Already(_))) => return undecided(page, recording, &format!("It was {end}.")),
        Some(Outcome::Result(End::NoHandler)) => page.key("outcome", "no-handler"),
        Some(Outcome::Result(End::LeftAlone { .. })) => page.key("outcome", "left-alone"),
        Some(Outcome::Error { name, .. }) if name == "NotCompleted" => page.key("outcome", "not-completed"),
        Some(Outcome::Error { message, .. }) => {
            return undecided(page, recording, &format!("It ended in a way that no case does: {message}"));
        }
        None => return undecided(page, recording, "The recording stops before the end."),
    }
    let calls = mutations(recording);
    if !calls.is_empty() {
        page.key("calls", calls);
    }
}

/// Expects nothing, and says how to: what nobody saw must not be asserted, and a case that asserts nothing would always hold.
fn undecided(page: &mut Page, recording: &Recording, why: &str) {
    page.comment(why);
    page.comment("A case has to expect something, so this one is refused until you say what should come of it:");
    page.comment("change these lines to what is right, and take the \"# \" from before them.");
    page.comment("outcome = \"done\"");
    let lifecycle = if recording.event.lifecycle_action.is_some() { "CONTINUE" } else { "none" };
    page.comment(&format!("lifecycle = \"{lifecycle}\""));
    let calls = mutations(recording);
    if !calls.is_empty() {
        page.comment(&format!("calls = {} # as far as the recording goes", toml::Value::from(calls)));
    }
}

fn end(page: &mut Page, recording: &Recording, worked: &Worked) {
    let (outcome, why) = match &worked.decision {
        Decision::Done => ("done", ""),
        Decision::Abandon { why } => ("abandoned", why.as_str()),
        Decision::GaveUp { why } => ("gave-up", why.as_str()),
        Decision::Ordered { by, .. } => {
            return undecided(page, recording, &format!("{by} ordered its end, which says nothing of the handler."));
        }
    };
    match why {
        "" => page.key("outcome", outcome),
        why => page.noted("outcome", outcome, why),
    }
    match worked.lifecycle {
        Some(Completion::Continue) => page.key("lifecycle", "CONTINUE"),
        Some(Completion::Abandon) => page.key("lifecycle", "ABANDON"),
        Some(Completion::Left) => page.key("lifecycle", "waiting"),
        Some(Completion::Late) => late(page, recording),
        None => page.key("lifecycle", "none"),
    }
    page.noted("attempts", i64::from(worked.attempts), "as then; or { at-least = 1 }");
}

/// The lifecycle action was over before it could be completed, and Auto Scaling does not say through whom.
fn late(page: &mut Page, recording: &Recording) {
    page.comment(
        "The lifecycle action was over already when it was to be completed: another delivery or somebody else had",
    );
    page.comment("completed it, or it had timed out, which the recording does not tell apart. Here nobody else completes it, and");
    page.comment("heartbeats keep it alive as long as the hook admits.");
    let told = recording.calls.iter().rfind(|call| call.asked.operation == Operation::Complete);
    let told = told.and_then(|call| call.asked.text("result")).unwrap_or("CONTINUE");
    page.noted("lifecycle", vec![told, "timed-out"], "inferred: keep the one that should come of it");
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
