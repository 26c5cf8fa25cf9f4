//! What went wrong with calls, as faults of a case.

use std::collections::BTreeMap;

use super::page::Page;
use crate::lifecycle::Answer;
use crate::ports::{ContainerInstance, GroupInstance, PortError, PortErrorKind, Task};
use crate::recording::asked::Operation;
use crate::recording::file::{Call, Recording, Reply};

/// A fault that befell some calls of an operation.
struct Fault {
    operation: &'static str,
    name: Name,
    nth: Vec<i64>,
}

/// What happened to a call, and how sure that is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    /// The recording says it.
    Known(&'static str),
    /// No answer came to a call that changes something, and the effect was seen.
    AnswerLost,
    /// No answer came to a call that changes something, and no effect was seen.
    Timeout,
}

/// Writes what failed, as far as the simulated world has such a fault.
pub(super) fn write(page: &mut Page, recording: &Recording) {
    let mut made: BTreeMap<&str, i64> = BTreeMap::new();
    let mut faults: Vec<Fault> = Vec::new();
    let mut others = Vec::new();
    for (place, call) in recording.calls.iter().enumerate() {
        let operation = call.asked.operation.as_str();
        let nth = made.entry(operation).or_default();
        *nth += 1;
        let later = recording.calls.get(place + 1..).unwrap_or_default();
        match fault(call, later) {
            Some(Ok(name)) => {
                match faults.iter_mut().find(|known| known.operation == operation && known.name == name) {
                    Some(known) => known.nth.push(*nth),
                    None => faults.push(Fault { operation, name, nth: vec![*nth] }),
                }
            }
            Some(Err(error)) => others.push(format!(
                "Call {nth} of {operation} failed ({}), which the world has to bring about: {}",
                error.kind.as_str(),
                error.message
            )),
            None => {}
        }
    }
    for fault in faults {
        page.table("[[fault]]");
        page.key("operation", fault.operation);
        match fault.name {
            Name::Known(name) => page.key("fault", name),
            Name::AnswerLost => {
                page.noted("fault", "answer-lost", "inferred: nobody heard, and then its effect was seen")
            }
            Name::Timeout => {
                page.noted("fault", "timeout", "inferred: no effect was seen; if it had one, this is answer-lost");
            }
        }
        match fault.nth.as_slice() {
            [only] => page.key("nth", *only),
            _ => page.key("nth", fault.nth),
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
fn fault<'r>(call: &'r Call, later: &[Call]) -> Option<Result<Name, &'r PortError>> {
    let ssh = call.asked.operation == Operation::Exec;
    let unheard = || match call.asked.operation.mutates() {
        true if took_effect(call, later) => Name::AnswerLost,
        true => Name::Timeout,
        false => Name::Known("timeout"),
    };
    match &call.reply {
        Reply::Answer(_) => None,
        // A command that never ends is the node's doing: see the world.
        Reply::None if ssh => None,
        Reply::None => Some(Ok(unheard())),
        Reply::Error(error) => Some(match error.kind {
            PortErrorKind::Throttled => Ok(Name::Known("throttled")),
            PortErrorKind::Unavailable if ssh => Ok(Name::Known("connection-reset")),
            PortErrorKind::Unavailable => Ok(Name::Known("server-error")),
            PortErrorKind::Timeout => Ok(unheard()),
            PortErrorKind::Denied => Ok(Name::Known("access-denied")),
            PortErrorKind::NotFound | PortErrorKind::Invalid | PortErrorKind::Conflict | PortErrorKind::Other => {
                Err(error)
            }
        }),
    }
}

/// Whether `later` calls show that one took effect whose answer nobody heard. Made again before anybody looked, it does not
/// show any more which of the two it was.
fn took_effect(call: &Call, later: &[Call]) -> bool {
    for next in later {
        if let Some(seen) = shows(call, next) {
            return seen;
        }
        if next.asked == call.asked && matches!(next.reply, Reply::Answer(_)) {
            // What was in effect already cannot be completed once more.
            return next.fact() == Some(Answer::Over);
        }
    }
    false
}

/// Whether `look` saw the effect of `call`; none if it did not look there.
fn shows(call: &Call, look: &Call) -> Option<bool> {
    if call.asked.text("instance") != look.asked.text("instance") {
        return None;
    }
    match (call.asked.operation, look.asked.operation) {
        (Operation::Drain, Operation::FindContainerInstance) => {
            let found: Option<ContainerInstance> = look.fact()?;
            Some(found.is_some_and(|found| found.status == "DRAINING"))
        }
        (Operation::StopTask, Operation::ListTasks) => {
            let (tasks, stopped): (Vec<Task>, _) = (look.fact()?, call.asked.text("task"));
            let mut asked = tasks.iter().filter(|task| Some(task.arn.as_str()) == stopped);
            Some(asked.any(|task| task.desired_status == "STOPPED"))
        }
        (Operation::SetInstanceProtection, Operation::DescribeGroupInstance) => {
            let (member, wanted): (Option<GroupInstance>, _) = (look.fact()?, call.asked.arguments.get("protected"));
            Some(member.is_some_and(|member| wanted == Some(&member.protected_from_scale_in.into())))
        }
        _ => None,
    }
}
