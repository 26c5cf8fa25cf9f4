//! How the handling of an event ended, in words.

use crate::dispatch::{Completion, Decision, DispatchError, End};

/// How it ended, in one sentence.
pub fn words(ended: &Result<End, DispatchError>) -> String {
    let (word, why) = decision(ended);
    let Ok(End::Worked(worked)) = ended else {
        // A sentence of its own, but for what went wrong.
        return if ended.is_err() { format!("{word}: {why}") } else { why };
    };
    let why = if why.is_empty() { why } else { format!(": {why}") };
    let attempts = if worked.attempts == 1 { "attempt" } else { "attempts" };
    let lifecycle = lifecycle(worked.lifecycle);
    format!("{word} after {} {attempts} of {}{why}; {lifecycle}", worked.attempts, worked.handler)
}

/// What it came to, in a word or two, and why; nothing when there is nothing to explain.
pub(super) fn decision(ended: &Result<End, DispatchError>) -> (&'static str, String) {
    let worked = match ended {
        Err(error) => return ("not completed", error.to_string()),
        Ok(End::NoHandler) => return ("not taken", "no handler of the policy takes this event".to_owned()),
        Ok(End::LeftAlone { hook }) => {
            let why = format!("left alone: hook {hook:?} belongs to ECS, and no handler's pattern names it");
            return ("not taken", why);
        }
        Ok(End::Worked(worked)) => worked,
    };
    match &worked.decision {
        Decision::Done => ("done", String::new()),
        Decision::Abandon { why } if why.is_empty() => ("abandoned", "no reason given".to_owned()),
        Decision::Abandon { why } => ("abandoned", why.clone()),
        Decision::GaveUp { why } => ("gave up", why.clone()),
    }
}

/// What became of the lifecycle action.
pub(super) fn lifecycle(completion: Option<Completion>) -> &'static str {
    match completion {
        None => "no lifecycle action to complete",
        Some(Completion::Continue) => "lifecycle action completed with CONTINUE",
        Some(Completion::Abandon) => "lifecycle action completed with ABANDON",
        Some(Completion::Left) => "lifecycle action left to the hook's timeout",
        Some(Completion::Late) => "too late: the lifecycle action was over already",
    }
}
