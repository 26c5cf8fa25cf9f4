//! How events ended, against what was expected of them.

use super::deviation::{Deviation, any_of};
use super::{Expectation, story};
use crate::dispatch::{End, Worked};
use crate::harness::case::{Case, Incident};
use crate::harness::explore::Exploration;
use crate::harness::forms::Wanted;
use crate::harness::keys::{Ending, Fate};
use crate::harness::play::{Ended, Played};
use crate::lifecycle::Completion;
use crate::outcome::Decision;
use crate::sim::{ActionEnd, ActionPicture, Picture};

impl Expectation {
    /// The handler under test has to have been given something, else all the rest would be true of nothing.
    pub(super) fn judge_handler(&self, case: &Case, played: &Played, found: &mut Vec<Deviation>) {
        let name = &case.handler.name;
        let taken =
            story::lines(&played.journal).any(|line| line.message == "event taken" && line.field("handler") == name);
        let broken = played.ends.iter().any(|(_, ended)| matches!(ended, Ended::Broken(_)));
        if taken || broken || case.events.iter().all(|incident| self.expects_no_work(incident)) {
            return;
        }
        let others: Vec<_> = case.events.iter().filter_map(|incident| case.policy.route(&incident.event)).collect();
        let actual = match (others.first(), played.ends.first()) {
            (Some(own), Some((_, ended))) if own.name == *name => words(ended),
            (Some(other), _) => {
                format!("handler {:?} took the event: the first that matches, in the order of the policy", other.name)
            }
            (None, _) => "no handler's pattern matches the event".to_owned(),
        };
        let event = format!("the event: {}", case.events[0].event.envelope);
        found.push(Deviation::new("handler", name, actual).remarking(vec![event]));
    }

    /// Whether an event may end only in ways that no handler has a part in.
    fn expects_no_work(&self, incident: &Incident) -> bool {
        let without_work = |word: &Ending| matches!(word, Ending::NoHandler | Ending::LeftAlone | Ending::NotCompleted);
        let wanted = self.outcome.as_ref().and_then(|wanted| wanted.of(&incident.name));
        wanted.is_some_and(|words| words.iter().all(without_work))
    }

    pub(super) fn judge_ends(
        &self,
        case: &Case,
        played: &Played,
        explored: Option<&Exploration>,
        found: &mut Vec<Deviation>,
    ) {
        for (index, incident) in case.events.iter().enumerate() {
            let several = case.events.len() > 1;
            let what = |key: &str| if several { format!("{key} of {}", incident.name) } else { key.to_owned() };
            if let Some(wanted) = self.outcome.as_ref().and_then(|wanted| wanted.of(&incident.name)) {
                let mut wanted = wanted.to_vec();
                wanted.extend(explored.iter().flat_map(|explored| explored.outcome.iter().copied()));
                for ended in decisive(played, index) {
                    let Some(ending) = ending(ended) else { continue };
                    if !wanted.contains(&ending) {
                        let told = format!("{}: {}", ending.as_str(), words(ended));
                        found.push(Deviation::new(what("outcome"), any_of(&wanted, Ending::as_str), told));
                    }
                }
            }
            if let Some(wanted) = self.lifecycle.as_ref().and_then(|wanted| wanted.of(&incident.name)) {
                let mut wanted = wanted.to_vec();
                wanted.extend(explored.iter().flat_map(|explored| explored.lifecycle.iter().copied()));
                let fate = fate(incident, &played.picture);
                if !wanted.contains(&fate) {
                    found.push(Deviation::new(what("lifecycle"), any_of(&wanted, Fate::as_str), fate.as_str()));
                }
            }
        }
    }
}

impl<T> Wanted<T> {
    /// What is wanted of the event `name`.
    fn of(&self, name: &str) -> Option<&[T]> {
        match self {
            Self::OfAll(words) => Some(words),
            Self::ByName(by_name) => by_name.get(name).map(Vec::as_slice),
        }
    }
}

/// The ends of an event that decided something: where one delivery has completed the lifecycle action, whatever another decides
/// comes too late to matter.
fn decisive(played: &Played, event: usize) -> impl Iterator<Item = &Ended> {
    let late =
        |ended: &Ended| matches!(ended, Ended::Handled(End::Worked(Worked { lifecycle: Some(Completion::Late), .. })));
    let ends = || played.ends.iter().filter(move |(of, _)| *of == event).map(|(_, ended)| ended);
    let all_late = ends().all(late);
    ends().filter(move |ended| all_late || !late(ended))
}

/// How a delivery ended; none when it broke, which is reported by itself.
fn ending(ended: &Ended) -> Option<Ending> {
    Some(match ended {
        Ended::Handled(End::Worked(worked)) => return decided(&worked.decision),
        Ended::Handled(End::Already(already)) => return decided(&already.decision),
        Ended::Handled(End::NoHandler) => Ending::NoHandler,
        Ended::Handled(End::LeftAlone { .. }) => Ending::LeftAlone,
        Ended::Failed(_) | Ended::Killed => Ending::NotCompleted,
        Ended::Broken(_) => return None,
    })
}

/// The word of a case for what was decided; none for what only a person decides, who has no part in cases.
fn decided(decision: &Decision) -> Option<Ending> {
    match decision {
        Decision::Done => Some(Ending::Done),
        Decision::Abandon { .. } => Some(Ending::Abandoned),
        Decision::GaveUp { .. } => Some(Ending::GaveUp),
        Decision::Ordered { .. } => None,
    }
}

/// How a delivery ended, in words.
pub(in crate::harness) fn words(ended: &Ended) -> String {
    match ended {
        Ended::Handled(end) => end.to_string(),
        Ended::Failed(error) => error.to_string(),
        Ended::Killed => "the host was killed in every delivery".to_owned(),
        Ended::Broken(why) => why.clone(),
    }
}

/// What became of the lifecycle action of an event: none when the event came too late for there to be one.
fn fate(incident: &Incident, picture: &Picture) -> Fate {
    let Some(action) = &incident.event.lifecycle_action else { return Fate::None };
    let token = |known: &ActionPicture| known.token.is_none() || action.token.is_none() || known.token == action.token;
    let mut actions = picture.actions.iter().rev();
    let known = actions.find(|known| known.hook == action.hook && known.instance == action.instance && token(known));
    let Some(known) = known else { return Fate::None };
    match known.end {
        Some(ActionEnd::Continued) => Fate::Continue,
        Some(ActionEnd::Abandoned) => Fate::Abandon,
        Some(ActionEnd::TimedOut) => Fate::TimedOut,
        Some(ActionEnd::WithAnother) => Fate::WithAnother,
        None => Fate::Waiting,
    }
}
