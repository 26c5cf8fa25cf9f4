//! What a case expects, and how what happened deviates from it.

mod at_the_end;

use std::fmt;
use std::time::Duration;

use self::at_the_end::{judge_instance, judge_task};
use super::case::{Case, Incident, mend};
use super::explore::Exploration;
use super::forms::{Count, Wanted};
use super::keys::{Ending, ExpectKeys, Fate, InstanceAtTheEnd, TaskAtTheEnd};
use super::play::{Ended, Played};
use crate::dispatch::{Completion, Decision, End, Worked};
use crate::policy::Wildcard;
use crate::ports::InstanceId;
use crate::reading::units::Size;
use crate::reading::{At, Reading};
use crate::sim::{ActionEnd, ActionPicture, Call, Entry, Line, MAX_ENTRIES, Picture, What, operations};

/// What is expected. What is absent is not looked at.
#[derive(Debug)]
pub(super) struct Expectation {
    outcome: Option<Wanted<Ending>>,
    lifecycle: Option<Wanted<Fate>>,
    attempts: Option<Count>,
    calls: Vec<Pattern>,
    calls_in_any_order: Vec<Pattern>,
    never: Vec<Pattern>,
    refused: Vec<Pattern>,
    log: Vec<Pattern>,
    never_log: Vec<Pattern>,
    tasks_lost_at_most: Option<u32>,
    virtual_time_at_most: Option<Duration>,
    memory_at_most: Option<Size>,
    cpu_at_most: Option<Duration>,
    instances: Vec<(InstanceId, InstanceAtTheEnd)>,
    tasks: Vec<(InstanceId, TaskAtTheEnd)>,
}

/// What the host says of an attempt that the plugin cannot have meant to end so. The budgets of CPU and wall time are not among
/// them: the one is spent by a slow machine, the other by a world that does not answer.
const TRAPPED: [&str; 3] = ["the plugin trapped", "memory budget", "host-calls budget"];

/// A text with `*` for any characters, as it is written in a case.
#[derive(Debug)]
struct Pattern {
    text: String,
    wildcard: Wildcard,
}

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Deviation {
    /// The key of the expectation, such as `outcome`.
    pub what: String,
    /// What was expected, and was not so.
    pub expected: Vec<String>,
    /// What was so instead.
    pub actual: Vec<String>,
    /// What else there is to know.
    pub remarks: Vec<String>,
}

impl Deviation {
    fn new(what: impl Into<String>, expected: impl Into<String>, actual: impl Into<String>) -> Self {
        let (expected, actual) = (vec![expected.into()], vec![actual.into()]);
        Self { what: what.into(), expected, actual, remarks: Vec::new() }
    }

    fn remarking(mut self, remarks: Vec<String>) -> Self {
        self.remarks = remarks;
        self
    }
}

/// As a difference: `-` for what was expected, `+` for what was so.
impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.what)?;
        self.expected.iter().try_for_each(|line| write!(f, "\n  - {line}"))?;
        self.actual.iter().try_for_each(|line| write!(f, "\n  + {line}"))?;
        self.remarks.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// How a run compares with what was expected.
#[derive(Debug, Clone, Default)]
pub(super) struct Judgement {
    pub(super) deviations: Vec<Deviation>,
    /// What is no failure, and should be known.
    pub(super) hints: Vec<String>,
}

impl Expectation {
    /// Takes the keys, which stand at `place`, or notes what is wrong with them.
    pub(super) fn read(reading: &mut Reading<'_>, place: usize, keys: ExpectKeys, events: &[Incident]) -> Self {
        let names: Vec<_> = events.iter().map(|incident| incident.name.as_str()).collect();
        let instances = keys.instance.into_iter().flat_map(|tables| tables.0).filter_map(|At { at, value }| {
            let id = named(reading, at, value.0.id.as_ref(), events)?;
            at_the_end::words_of_aws(reading, at, &value.0);
            Some((id, value.0))
        });
        let instances = instances.collect();
        let tasks = keys.task.into_iter().flat_map(|tables| tables.0).filter_map(|At { at, value }| {
            let task = value.0;
            reading.required(at, "last-status", task.last_status.as_ref(), "last-status = \"STOPPED\"");
            match (&task.service, &task.family) {
                (Some(_), Some(_)) => {
                    reading.findings.mistake(at, "a task is of a service or of a family: write one of the two");
                }
                (None, None) => {
                    reading.required::<()>(at, "service", None, "service = \"…\", or family = \"…\"");
                }
                _ => {}
            }
            let on = named(reading, at, task.instance.as_ref(), events)?;
            Some((on, task))
        });
        let tasks = tasks.collect();
        let expectation = Self {
            outcome: keys.outcome.map(|wanted| of_events(reading, wanted, &names)),
            lifecycle: keys.lifecycle.map(|wanted| of_events(reading, wanted, &names)),
            attempts: keys.attempts,
            calls: calls(reading, keys.calls),
            calls_in_any_order: calls(reading, keys.calls_in_any_order),
            never: calls(reading, keys.never),
            refused: calls(reading, keys.refused),
            log: keys.log.into_iter().map(Pattern::line).collect(),
            never_log: keys.never_log.into_iter().map(Pattern::line).collect(),
            tasks_lost_at_most: keys.tasks_lost_at_most,
            virtual_time_at_most: keys.virtual_time_at_most.map(|time| time.0),
            memory_at_most: keys.memory_at_most,
            cpu_at_most: keys.cpu_at_most.map(|time| time.0),
            instances,
            tasks,
        };
        // What was wrong with a key has been said, and would have been an expectation.
        if expectation.is_empty() && reading.findings.is_sound() {
            reading.findings.mistake(place, "the case expects nothing, so it would hold whatever happens: write at least outcome = \"done\" under [expect]");
        }
        expectation
    }

    /// Whether it holds of anything. The limit of CPU time is only a hint.
    fn is_empty(&self) -> bool {
        let patterns = [&self.calls, &self.calls_in_any_order, &self.never, &self.refused, &self.log, &self.never_log];
        self.outcome.is_none()
            && self.lifecycle.is_none()
            && self.attempts.is_none()
            && patterns.iter().all(|patterns| patterns.is_empty())
            && self.tasks_lost_at_most.is_none()
            && self.virtual_time_at_most.is_none()
            && self.memory_at_most.is_none()
            && self.instances.is_empty()
            && self.tasks.is_empty()
    }

    /// Compares what happened with what was expected; `explored` when more went wrong than the case says.
    pub(super) fn judge(&self, case: &Case, played: &Played, explored: Option<&Exploration>) -> Judgement {
        let mut judgement = Judgement::default();
        let found = &mut judgement.deviations;
        let broken = played.ends.iter().filter_map(|(_, ended)| match ended {
            Ended::Broken(why) => Some(why),
            _ => None,
        });
        found.extend(broken.map(|why| Deviation::new("run", "an end", why)));
        if played.journal.len() >= MAX_ENTRIES {
            found.push(Deviation::new(
                "run",
                "an end that can be judged",
                format!("more than {MAX_ENTRIES} things happened: does the handler come back too soon?"),
            ));
        }
        self.judge_handler(case, played, found);
        self.judge_ends(case, played, explored, found);
        self.judge_always(played, explored, found);
        // A handler that panics is tried again, and may come to a good end: that is luck, and no plan.
        let notes = attempts(&played.journal).map(|line| line.field("note"));
        if let Some(trap) = notes.filter(|note| TRAPPED.iter().any(|trapped| note.starts_with(trapped))).last() {
            match explored {
                Some(_) => found.push(Deviation::new("run", "no attempt that traps", trap)),
                None => judgement.hints.push(format!("an attempt failed: {trap}")),
            }
        }
        let found = &mut judgement.deviations;
        if explored.is_none() {
            self.judge_as_written(played, found);
            let spent = attempts(&played.journal).filter_map(|line| line.field("cpu_ms").parse::<f64>().ok());
            let most = Duration::from_secs_f64(spent.fold(0.0, f64::max) / 1e3);
            if let Some(limit) = self.cpu_at_most.filter(|limit| most > *limit) {
                let limit = humantime::format_duration(limit);
                judgement
                    .hints
                    .push(format!("cpu-at-most: an attempt took {most:.1?} of CPU time, which is more than {limit}"));
            }
        }
        judgement
    }

    /// The handler under test has to have been given something, else all the rest would be true of nothing.
    fn judge_handler(&self, case: &Case, played: &Played, found: &mut Vec<Deviation>) {
        let name = &case.handler.name;
        let taken = lines(&played.journal).any(|line| line.message == "event taken" && line.field("handler") == name);
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

    fn judge_ends(&self, case: &Case, played: &Played, explored: Option<&Exploration>, found: &mut Vec<Deviation>) {
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

    /// What holds however much goes wrong.
    fn judge_always(&self, played: &Played, explored: Option<&Exploration>, found: &mut Vec<Deviation>) {
        let made = made(&played.journal);
        for pattern in &self.never {
            if let Some(call) = made.iter().find(|call| pattern.matches_call(call)) {
                found.push(Deviation::new("never", format!("never {}", pattern.text), call.clone()));
            }
        }
        for pattern in &self.never_log {
            if let Some(line) = said(&played.journal).find(|line| pattern.wildcard.matches(line)) {
                found.push(Deviation::new("never-log", format!("never {}", pattern.text), line));
            }
        }
        let lost = played.picture.tasks_lost();
        let wider = explored.and_then(|explored| explored.tasks_lost_at_most);
        if let Some(most) = wider.or(self.tasks_lost_at_most)
            && lost > most as usize
        {
            let tasks = played.picture.instances.iter().flat_map(|instance| {
                let lost = instance.tasks.iter().filter(|task| task.last_status == "LOST");
                lost.map(|task| format!("{} on {}", task.group, instance.id))
            });
            let remarks = vec![format!("lost: {}", tasks.collect::<Vec<_>>().join(", "))];
            found.push(Deviation::new("tasks-lost-at-most", most.to_string(), lost.to_string()).remarking(remarks));
        }
        if let Some(Size(most)) = self.memory_at_most {
            let taken = attempts(&played.journal).filter_map(|line| line.field("peak_memory").parse::<u64>().ok());
            let taken = taken.max().unwrap_or(0);
            if taken > most {
                let shown = |bytes| bytesize::ByteSize::b(bytes).to_string();
                found.push(Deviation::new("memory-at-most", shown(most), shown(taken)));
            }
        }
        for (id, wanted) in &self.instances {
            match played.picture.instances.iter().find(|instance| instance.id == *id) {
                Some(instance) => judge_instance(instance, wanted, found),
                None => found.push(Deviation::new(format!("instance {id}"), "in the world", "no such instance")),
            }
        }
        for (on, wanted) in &self.tasks {
            let instance = played.picture.instances.iter().find(|instance| instance.id == *on);
            judge_task(instance, on, wanted, found);
        }
    }

    /// What holds only as the case is written: what more goes wrong rightly changes it.
    fn judge_as_written(&self, played: &Played, found: &mut Vec<Deviation>) {
        let count = u32::try_from(attempts(&played.journal).count()).unwrap_or(u32::MAX);
        if let Some(wanted) = self.attempts.filter(|wanted| !(wanted.at_least..=wanted.at_most).contains(&count)) {
            let notes = attempts(&played.journal).map(|line| {
                let told = format!("attempt {}: {}", line.field("attempt"), line.field("outcome"));
                if line.field("note").is_empty() { told } else { format!("{told}, {}", line.field("note")) }
            });
            found.push(Deviation::new("attempts", wanted.to_string(), count.to_string()).remarking(few(notes)));
        }
        let made = made(&played.journal);
        in_order("calls", &self.calls, &made, Pattern::matches_call, found);
        for pattern in &self.calls_in_any_order {
            if !made.iter().any(|call| pattern.matches_call(call)) {
                let deviation = Deviation::new("calls-in-any-order", &pattern.text, "never made");
                found.push(deviation.remarking(instead(&made)));
            }
        }
        let refused: Vec<_> = refused(&played.journal).collect();
        for pattern in &self.refused {
            if !refused.iter().any(|call| pattern.matches_call(call)) {
                found.push(Deviation::new("refused", &pattern.text, "never refused").remarking(instead(&refused)));
            }
        }
        let said: Vec<_> = said(&played.journal).map(str::to_owned).collect();
        in_order("log", &self.log, &said, |pattern, line| pattern.wildcard.matches(line), found);
        if let Some(most) = self.virtual_time_at_most.filter(|most| played.virtual_time > *most) {
            let shown = |time| humantime::format_duration(time).to_string();
            found.push(Deviation::new("virtual-time-at-most", shown(most), shown(played.virtual_time)));
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

impl Pattern {
    fn line(text: String) -> Self {
        Self { wildcard: Wildcard::name(&text), text }
    }

    /// An operation alone means it on any target.
    fn matches_call(&self, call: &str) -> bool {
        let operation = !self.text.contains(' ');
        let compared = if operation { call.split(' ').next().unwrap_or_default() } else { call };
        self.wildcard.matches(compared)
    }
}

/// The instance that is named, or that of the first event.
fn named(
    reading: &mut Reading<'_>,
    at: usize,
    named: Option<&At<InstanceId>>,
    events: &[Incident],
) -> Option<InstanceId> {
    let first = || events.iter().find_map(|incident| incident.event.instance.clone());
    let id = named.map(|id| id.value.clone()).or_else(first);
    if id.is_none() {
        reading.findings.mistake(at, "which instance? The events name none: write id, or instance of a task");
    }
    id
}

/// What is wanted of events that there are.
fn of_events<T>(reading: &mut Reading<'_>, At { at, value }: At<Wanted<T>>, names: &[&str]) -> Wanted<T> {
    if let Wanted::ByName(by_name) = &value {
        for name in by_name.keys().filter(|name| !names.contains(&name.as_str())) {
            reading.findings.mistake(at, format!("there is no event {name:?}; {}", mend(name, names)));
        }
    }
    value
}

/// Calls whose operations there are.
fn calls(reading: &mut Reading<'_>, texts: Vec<At<String>>) -> Vec<Pattern> {
    let known: Vec<_> = operations().collect();
    let pattern = |At { at, value: text }: At<String>| {
        let operation = text.split(' ').next().unwrap_or_default();
        let wildcard = Wildcard::name(operation);
        if !known.iter().any(|known| wildcard.matches(known)) {
            let message = format!("there is no operation {operation:?}; {}", mend(operation, &known));
            reading.findings.mistake(at, message);
        }
        Pattern::line(text)
    };
    texts.into_iter().map(pattern).collect()
}

fn lines(journal: &[Entry]) -> impl Iterator<Item = &Line> {
    journal.iter().filter_map(|entry| if let What::Host(line) = &entry.what { Some(line) } else { None })
}

/// What the host says of each attempt.
fn attempts(journal: &[Entry]) -> impl Iterator<Item = &Line> {
    lines(journal).filter(|line| line.message == "attempt")
}

/// What the handler says.
fn said(journal: &[Entry]) -> impl Iterator<Item = &str> {
    journal
        .iter()
        .filter_map(|entry| if let What::Guest(line) = &entry.what { Some(line.message.as_str()) } else { None })
}

/// The calls that were made, each as its operation and its target.
fn made(journal: &[Entry]) -> Vec<String> {
    let calls = journal.iter().filter_map(|entry| match &entry.what {
        What::Call(Call { operation, target, .. }) => Some(format!("{operation} {target}")),
        _ => None,
    });
    calls.collect()
}

/// The calls that were refused, in the same form.
fn refused(journal: &[Entry]) -> impl Iterator<Item = String> {
    let denied = lines(journal).filter(|line| line.message == "host call" && line.field("result") == "denied");
    denied.map(|line| format!("{} {}", line.field("call"), line.field("target")))
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
        Ended::Handled(End::Worked(Worked { decision: Decision::Done, .. })) => Ending::Done,
        Ended::Handled(End::Worked(Worked { decision: Decision::Abandon { .. }, .. })) => Ending::Abandoned,
        Ended::Handled(End::Worked(Worked { decision: Decision::GaveUp { .. }, .. })) => Ending::GaveUp,
        Ended::Handled(End::NoHandler) => Ending::NoHandler,
        Ended::Handled(End::LeftAlone { .. }) => Ending::LeftAlone,
        Ended::Failed(_) | Ended::Killed => Ending::NotCompleted,
        Ended::Broken(_) => return None,
    })
}

/// How a delivery ended, in words.
pub(super) fn words(ended: &Ended) -> String {
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

fn any_of<T: Copy>(words: &[T], as_str: fn(T) -> &'static str) -> String {
    words.iter().map(|word| as_str(*word)).collect::<Vec<_>>().join(" or ")
}

/// How many lines of a list are shown.
const SHOWN: usize = 12;

/// The first of some lines, those that follow each other and are alike as one.
pub(super) fn few(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut told: Vec<(String, u32)> = Vec::new();
    for line in lines {
        match told.last_mut() {
            Some((last, times)) if *last == line => *times += 1,
            _ => told.push((line, 1)),
        }
    }
    let more = told.len().saturating_sub(SHOWN);
    let shown = told
        .into_iter()
        .take(SHOWN)
        .map(|(line, times)| if times > 1 { format!("{line} ({times} times)") } else { line });
    let mut shown: Vec<_> = shown.collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown
}

/// What there was instead of what is missing.
fn instead(lines: &[String]) -> Vec<String> {
    if lines.is_empty() {
        return vec!["there were none".to_owned()];
    }
    let mut told = vec!["there were:".to_owned()];
    told.extend(few(lines.iter().cloned()).into_iter().map(|line| format!("  {line}")));
    told
}

/// Finds each pattern after the one before it.
fn in_order(
    what: &str,
    patterns: &[Pattern],
    lines: &[String],
    matches: fn(&Pattern, &str) -> bool,
    found: &mut Vec<Deviation>,
) {
    let mut from = 0;
    for (index, pattern) in patterns.iter().enumerate() {
        match lines[from..].iter().position(|line| matches(pattern, line)) {
            Some(position) => from += position + 1,
            None => {
                let actual = match index.checked_sub(1).map(|before| &patterns[before].text) {
                    Some(before) => format!("nothing like it after {before}"),
                    None => "nothing like it".to_owned(),
                };
                found.push(Deviation::new(what, &pattern.text, actual).remarking(instead(lines)));
                return;
            }
        }
    }
}
