//! What a case expects, and how what happened deviates from it.

mod at_the_end;
mod deviation;
mod ends;
mod hints;
mod pattern;
mod story;

use std::time::Duration;

use self::at_the_end::{judge_instance, judge_task};
pub use self::deviation::Deviation;
pub(super) use self::deviation::few;
use self::deviation::instead;
pub(super) use self::ends::words;
use self::pattern::{Pattern, calls, in_order};
use super::case::{Case, Incident, mend};
use super::explore::Exploration;
use super::forms::{Count, Wanted};
use super::keys::{Ending, ExpectKeys, Fate, InstanceAtTheEnd, TaskAtTheEnd};
use super::play::{Ended, Played};
use crate::ports::InstanceId;
use crate::reading::units::Size;
use crate::reading::{At, Reading};
use crate::sim::MAX_ENTRIES;

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
        if explored.is_none() {
            self.judge_as_written(played, found);
            judgement.hints = self.hints(case, played);
        } else if let Some(trap) = story::traps(&played.journal).last() {
            // A handler that panics is tried again, and may come to a good end: that is luck, and no plan.
            found.push(Deviation::new("run", "no attempt that traps", trap));
        }
        judgement
    }

    /// What holds however much goes wrong.
    fn judge_always(&self, played: &Played, explored: Option<&Exploration>, found: &mut Vec<Deviation>) {
        let made = story::made(&played.journal);
        for pattern in &self.never {
            if let Some(call) = made.iter().find(|call| pattern.matches_call(call)) {
                found.push(Deviation::new("never", format!("never {}", pattern.text), call.clone()));
            }
        }
        for pattern in &self.never_log {
            if let Some(line) = story::said(&played.journal).find(|line| pattern.wildcard.matches(line)) {
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
            let taken =
                story::attempts(&played.journal).filter_map(|line| line.field("peak_memory").parse::<u64>().ok());
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
        let count = u32::try_from(story::attempts(&played.journal).count()).unwrap_or(u32::MAX);
        if let Some(wanted) = self.attempts.filter(|wanted| !(wanted.at_least..=wanted.at_most).contains(&count)) {
            let notes = story::attempts(&played.journal).map(|line| {
                let told = format!("attempt {}: {}", line.field("attempt"), line.field("outcome"));
                if line.field("note").is_empty() { told } else { format!("{told}, {}", line.field("note")) }
            });
            found.push(Deviation::new("attempts", wanted.to_string(), count.to_string()).remarking(few(notes)));
        }
        let made = story::made(&played.journal);
        in_order("calls", &self.calls, &made, Pattern::matches_call, found);
        for pattern in &self.calls_in_any_order {
            if !made.iter().any(|call| pattern.matches_call(call)) {
                let deviation = Deviation::new("calls-in-any-order", &pattern.text, "never made");
                found.push(deviation.remarking(instead(&made)));
            }
        }
        let refused: Vec<_> = story::refused(&played.journal).collect();
        for pattern in &self.refused {
            if !refused.iter().any(|call| pattern.matches_call(call)) {
                found.push(Deviation::new("refused", &pattern.text, "never refused").remarking(instead(&refused)));
            }
        }
        let said: Vec<_> = story::said(&played.journal).map(str::to_owned).collect();
        in_order("log", &self.log, &said, |pattern, line| pattern.wildcard.matches(line), found);
        if let Some(most) = self.virtual_time_at_most.filter(|most| played.virtual_time > *most) {
            let shown = |time| humantime::format_duration(time).to_string();
            found.push(Deviation::new("virtual-time-at-most", shown(most), shown(played.virtual_time)));
        }
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
