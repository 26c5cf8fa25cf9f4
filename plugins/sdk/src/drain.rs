//! One step of emptying a node: what most handlers begin with.
//!
//! ```
//! use hostler_plugin::drain::{Drain, Step};
//! use hostler_plugin::prelude::*;
//!
//! fn handle(event: &Event) -> Result<Outcome> {
//!     match Drain::new().stop_standalone_after(Duration::from_secs(600)).step(event)? {
//!         Step::Drained | Step::NotAMember => Ok(Outcome::Done),
//!         Step::Wait(wait) => Ok(wait.into()),
//!     }
//! }
//! # use hostler_plugin::testing::{self, World};
//! # let mut world = World::new().member("ACTIVE").service_task("web").service_task("web").standalone_task("cron");
//! # let outcome = world.run(|| handle(&testing::event(Kind::InstanceTerminating)));
//! # assert_eq!(outcome, Ok(Outcome::again(Duration::from_secs(15), "3 tasks still running: web x2, cron x1")));
//! ```
//!
//! Needs the grant `ecs` with `allow = ["read", "drain", "stop-task"]`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ecs::{self, ContainerInstance, Task};
use crate::{Error, ErrorCode, Event, Outcome, Result, Time, clock, config, log, time};

/// Looking again for an instance that has not registered, or while ECS changes its mind about one.
const SOON: Duration = Duration::from_secs(5);

/// Looking again after ECS asked to slow down, or did not answer.
const BACK_OFF: Duration = Duration::from_secs(10);

/// How a node is emptied.
///
/// Everything is measured from the time of the event, so that a step needs no memory: an attempt lost or repeated changes
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    registration_grace: Duration,
    stop_standalone_after: Option<Duration>,
    forsake_agent_after: Option<Duration>,
    look_every: Duration,
}

/// Where the node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Every task that was placed on the node has come to an end; or its ECS agent, which would say so, has been
    /// [forsaken](Drain::forsake_agent_after).
    Drained,
    /// The instance is a member of no granted cluster, or no longer, and the time for registering late is over: nothing to
    /// drain.
    NotAMember,
    /// Not there yet.
    Wait(Wait),
}

/// When to take the next step, and why not now.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// How long to wait.
    pub after: Duration,
    /// What is being waited for, such as `3 tasks still running: web x2, cron x1; 52m left`.
    pub note: String,
    /// The tasks that have not come to an end. Empty when what is awaited is something else.
    pub tasks: Vec<Task>,
}

impl From<Wait> for Outcome {
    fn from(wait: Wait) -> Self {
        Self::again(wait.after, wait.note)
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Drain {
    /// Grants 30 s for registering late, never stops standalone tasks nor forsakes an agent, and looks every 15 s.
    pub const fn new() -> Self {
        Self {
            registration_grace: Duration::from_secs(30),
            stop_standalone_after: None,
            forsake_agent_after: None,
            look_every: Duration::from_secs(15),
        }
    }

    /// How long after the event the instance may still become a member of a cluster.
    ///
    /// An instance that is told to go soon after it was launched may register only then.
    #[must_use]
    pub fn registration_grace(self, grace: Duration) -> Self {
        Self { registration_grace: grace, ..self }
    }

    /// How long after the event standalone tasks are stopped: those of no service, which draining leaves running. None
    /// waits until they end by themselves.
    #[must_use]
    pub fn stop_standalone_after(self, after: impl Into<Option<Duration>>) -> Self {
        Self { stop_standalone_after: after.into(), ..self }
    }

    /// How long after the event a node whose ECS agent is not connected is no longer waited for.
    ///
    /// Only the agent says that tasks have stopped. Where it is gone, with the network or the machine, they may never be
    /// reported so. None waits until the deadline.
    #[must_use]
    pub fn forsake_agent_after(self, after: impl Into<Option<Duration>>) -> Self {
        Self { forsake_agent_after: after.into(), ..self }
    }

    /// How often to look whether tasks have come to an end.
    #[must_use]
    pub fn look_every(self, interval: Duration) -> Self {
        Self { look_every: interval, ..self }
    }

    /// Lets the policy change it: `registration-grace`, `stop-standalone-after` and `forsake-agent-after` of
    /// `[handler.config]`, where they are set, are durations such as `2m`; the last two may be `never`.
    pub fn configured(mut self) -> Result<Self> {
        self.registration_grace = config::duration("registration-grace")?.unwrap_or(self.registration_grace);
        self.stop_standalone_after = after("stop-standalone-after")?.unwrap_or(self.stop_standalone_after);
        self.forsake_agent_after = after("forsake-agent-after")?.unwrap_or(self.forsake_agent_after);
        Ok(self)
    }

    /// Does what is missing, and says where the node is.
    ///
    /// When ECS asks to slow down, or does not answer, that is a [`Step::Wait`] whose note says so, and not an error: a
    /// hundred nodes going at once are throttled many times in a row, and none of them has failed. What patience does not
    /// mend, such as `denied`, is an error. So is an event of an instance that is on its way *into* service.
    pub fn step(&self, event: &Event) -> Result<Step> {
        let instance = event.instance()?;
        if event.kind.is_arrival() {
            let message = "an instance on its way into service is not drained: narrow the handler's pattern";
            return Err(Error::new(format!("{instance}: {}: {message}", event.kind)));
        }
        let now = clock::now();
        match self.look(event, instance, now) {
            Err(error) if error.is_retryable() => {
                Ok(wait(event, now, BACK_OFF, format!("waiting for ECS: {error}"), vec![]))
            }
            step => step,
        }
    }

    fn look(&self, event: &Event, instance: &str, now: Time) -> Result<Step> {
        let registering_ends = event.time + self.registration_grace;
        let may_register = now < registering_ends;
        let Some(mut member) = ecs::find_container_instance(instance)? else {
            if may_register {
                let note = format!(
                    "{instance} is not a member of any granted cluster; it may register until {registering_ends}"
                );
                return Ok(wait(event, now, SOON.min(registering_ends.since(now)), note, vec![]));
            }
            return Ok(Step::NotAMember);
        };
        match member.status.as_str() {
            "ACTIVE" => {
                member = match ecs::drain(instance) {
                    Ok(member) => member,
                    // It has changed since we looked.
                    Err(error) if matches!(error.code(), ErrorCode::Conflict | ErrorCode::NotFound) => {
                        return Ok(wait(event, now, SOON, format!("looking again: {error}"), vec![]));
                    }
                    Err(error) => return Err(error),
                };
                log::info!("draining {instance}"; cluster = member.cluster, container_instance = member.arn);
            }
            // It becomes ACTIVE next, and could be given tasks then.
            "REGISTERING" if may_register => {
                return Ok(wait(
                    event,
                    now,
                    SOON,
                    format!("{instance} is registering with {}", member.cluster),
                    vec![],
                ));
            }
            // DRAINING already; or DEREGISTERING, INACTIVE, REGISTRATION_FAILED: given no tasks any more, nor can it be
            // drained. Tasks may be running all the same.
            _ => {}
        }
        let mut tasks = match ecs::list_tasks(instance) {
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(Step::NotAMember),
            tasks => tasks?,
        };
        if tasks.is_empty() {
            return Ok(Step::Drained);
        }
        if !member.agent_connected && self.forsake_agent_after.is_some_and(|after| now >= event.time + after) {
            let left = names(&tasks);
            log::warn!("the ECS agent of {instance} is not connected: no longer waited for"; tasks = left);
            return Ok(Step::Drained);
        }
        // Of a fixed order, so that the note changes only when the world does.
        tasks.sort_by(|a, b| a.arn.cmp(&b.arn));
        let (mut after, trouble) = self.stop_standalone(event, instance, &tasks, now)?;
        after = after.min(self.look_every);
        Ok(wait(event, now, after, note(&tasks, &member, trouble.as_ref()), tasks))
    }

    /// Stops the standalone tasks whose time has come. Returns when the next look is due, and what was in the way.
    fn stop_standalone(
        &self,
        event: &Event,
        instance: &str,
        tasks: &[Task],
        now: Time,
    ) -> Result<(Duration, Option<Error>)> {
        let mut standalone =
            tasks.iter().filter(|task| task.is_standalone() && task.desired_status != "STOPPED").peekable();
        let (Some(after), Some(_)) = (self.stop_standalone_after, standalone.peek()) else {
            return Ok((Duration::MAX, None));
        };
        let due = event.time + after;
        if now < due {
            return Ok((due.since(now), None));
        }
        // One that cannot be stopped must not keep the others running.
        let mut trouble: Option<Error> = None;
        for task in standalone {
            match ecs::stop_task(instance, &task.arn, &format!("Hostler: {instance} is going ({})", event.kind)) {
                Ok(()) => log::info!("stopping standalone task {}", task.name(); task = task.arn),
                Err(error) if error.code() == ErrorCode::NotFound => {}
                Err(error) if trouble.as_ref().is_none_or(Error::is_retryable) => trouble = Some(error),
                Err(_) => {}
            }
        }
        match trouble {
            Some(error) if !error.is_retryable() => Err(error.context("stopping standalone tasks")),
            Some(error) => Ok((BACK_OFF, Some(error))),
            None => Ok((Duration::MAX, None)),
        }
    }
}

/// A setting that is a duration, or `never`.
fn after(key: &str) -> Result<Option<Option<Duration>>> {
    config::parse_with(key, |text| match text {
        "never" => Ok(None),
        text => time::parse_duration(text).map(Some).map_err(|error| format!("{error}, or \"never\"")),
    })
}

/// A wait, cut to what is left until the deadline, which its note tells.
fn wait(event: &Event, now: Time, after: Duration, note: String, tasks: Vec<Task>) -> Step {
    let Some(deadline) = event.deadline else {
        return Step::Wait(Wait { after, note, tasks });
    };
    let left = deadline.since(now);
    if left.is_zero() {
        return Step::Wait(Wait { after, note: format!("{note}; the deadline has passed"), tasks });
    }
    Step::Wait(Wait { after: after.min(left), note: format!("{note}; {} left", time::short(left)), tasks })
}

/// `3 tasks still running: web x2, cron x1`, and what may keep them so.
fn note(tasks: &[Task], member: &ContainerInstance, trouble: Option<&Error>) -> String {
    let number = if tasks.len() == 1 { "1 task".to_owned() } else { format!("{} tasks", tasks.len()) };
    let mut note = format!("{number} still running: {}", names(tasks));
    if let Some(trouble) = trouble {
        note.push_str(&format!("; stopping standalone tasks: {trouble}"));
    }
    if !member.agent_connected {
        note.push_str("; the ECS agent is not connected, so they may never be reported stopped");
    }
    note
}

/// How many names a note holds: it has 1 KiB.
const NAMES: usize = 10;

/// The tasks by name, the most numerous first: `web x2, cron x1`.
pub fn names(tasks: &[Task]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for task in tasks {
        *counts.entry(task.name()).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let mut names: Vec<String> = counts.iter().take(NAMES).map(|(name, count)| format!("{name} x{count}")).collect();
    if counts.len() > NAMES {
        names.push(format!("and {} more", counts.len() - NAMES));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests;
