//! The whole job: an event, from its arrival to the end of what it asks for.
//!
//! An event is checked to be of our account and region, routed by the policy to a handler, claimed in the ledger, and worked on:
//! attempt after attempt, each in the sandbox, until one says `done` or `abandon`, or the policy's patience ends. The lifecycle
//! action is kept alive meanwhile; then its result is decided, written down, and told to Auto Scaling, once.
//!
//! All of it goes in steps ([`Dispatch::step`]), each of which begins and ends with the ledger: a host can be killed between any two
//! of them, or within one, and whoever gets the event next goes on from there. [`Dispatch::handle`] makes the steps one after
//! another, for doors that wait.

mod closing;
mod deadline;
mod end;
mod finish;
mod judge;
mod keep_alive;
mod step;
mod tape;
mod told;
mod work;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::capabilities::Ports;
use crate::event::Event;
use crate::ledger::{Claim, Item, LEASE, Lease, Ledger, LedgerError, Wanted};
use crate::lifecycle::Lifecycle;
use crate::modules::Modules;
use crate::policy::{Handler, Policy};
use crate::ports::Place;
use crate::recording::{Part, Recorder, Recordings};
use crate::sandbox::Sandbox;
pub use closing::Closing;
use deadline::{Deadline, LEAST_WALL, time_to_stop};
pub use end::{Already, DispatchError, End, Worked};
pub use judge::Jitter;
use keep_alive::Heartbeat;
pub use keep_alive::Hooks;
pub use step::Step;
use tape::{Tape, close};
use work::Work;

/// How long one call of the lifecycle port is waited for, when more can be done without its answer.
const CALL: Duration = Duration::from_secs(5);

/// The shortest wait for another that works on the same instance. It grows with the age of what is waited for.
const SHORTEST_BUSY: Duration = Duration::from_secs(1);

/// How soon Auto Scaling is asked again whether an action still waits, and for how long. After that it is worked on: better once too
/// often than never.
const ASK_AGAIN: Duration = Duration::from_secs(5);
const ASKED_FOR: Duration = Duration::from_secs(60);

/// The names of hooks that ECS installs for its own managed draining begin so.
const MANAGED_BY_ECS: &str = "ecs-managed-";

/// Everything that handling an event needs, set up once.
pub struct Dispatch {
    /// Which handler takes what.
    pub policy: Policy,
    /// Where its code comes from.
    pub modules: Modules,
    /// Where it runs.
    pub sandbox: Arc<Sandbox>,
    /// What it can reach.
    pub ports: Ports,
    /// What only we can reach.
    pub lifecycle: Arc<dyn Lifecycle>,
    /// Where we are.
    pub place: Place,
    /// What is under way, and what has ended.
    pub ledger: Ledger,
    /// What is known of lifecycle hooks.
    pub hooks: Hooks,
    /// How waits are spread.
    pub jitter: Jitter,
    /// How far the end of this process has come.
    pub closing: Closing,
    /// Where it is recorded what events come to; none if it is not.
    pub recordings: Option<Recordings>,
}

impl Dispatch {
    /// Brings an event to its end, or says why that could not be done. `door_closes` is when the caller stops waiting.
    pub async fn handle(&self, event: Event, door_closes: Option<Instant>) -> Result<End, DispatchError> {
        let mut tape = Tape::new(false);
        let ended = self.bring_to_its_end(&event, door_closes, &mut tape).await;
        close(&event, tape, &ended).await;
        ended
    }

    /// Brings an event one step on: at most one attempt. `door_closes` is when the caller stops waiting for it.
    pub async fn step(&self, event: &Event, door_closes: Option<Instant>) -> Result<Step, DispatchError> {
        let mut tape = Tape::new(true);
        let stepped = self.advance(event, door_closes, &mut tape).await;
        let ended = match &stepped {
            Ok(Step::Ended(end)) => Ok(end.clone()),
            Ok(Step::Later { note, .. }) => Err(DispatchError::Waits { event: event.id.clone(), note: note.clone() }),
            Err(error) => Err(error.clone()),
        };
        close(event, tape, &ended).await;
        stepped
    }

    async fn bring_to_its_end(
        &self,
        event: &Event,
        door_closes: Option<Instant>,
        tape: &mut Tape,
    ) -> Result<End, DispatchError> {
        loop {
            let (at, due, note) = match self.advance(event, door_closes, tape).await? {
                Step::Ended(end) => return Ok(end),
                Step::Later { at, due, note, .. } => (at, due, note),
            };
            let now = self.ports.clock.now();
            if self.lacks_time(door_closes, time_between(now, due) + LEAST_WALL) {
                if let Some(action) = &event.lifecycle_action {
                    // The event will be delivered again: until then the action has to live.
                    let recorder = tape.recorder();
                    self.heartbeat(action, &recorder, CALL).await;
                }
                let (event, ends) = (event.id.clone(), self.closing.has_begun());
                return Err(if ends {
                    DispatchError::Waits { event, note }
                } else {
                    DispatchError::OutOfTime { event, note }
                });
            }
            tokio::select! {
                () = tokio::time::sleep(time_between(now, at)) => {}
                () = self.closing.begun() => {}
            }
        }
    }

    /// One step, which begins and ends with the ledger. `tape` is where it is recorded, from the first step on that works.
    async fn advance(
        &self,
        event: &Event,
        door_closes: Option<Instant>,
        tape: &mut Tape,
    ) -> Result<Step, DispatchError> {
        self.check_place(event)?;
        let handler = match self.route(event).await? {
            Ok(handler) => handler,
            Err(end) => return Ok(Step::Ended(end)),
        };
        let handler = &handler;
        if self.lacks_time(door_closes, LEAST_WALL) {
            return Ok(Step::at_once(self.ports.clock.now(), "no time is left for an attempt"));
        }
        let noticed = self.ended_before_it_was_noticed(event).await;
        if let Ok(Some(step)) = noticed {
            return Ok(step);
        }
        let hook = event.lifecycle_action.as_ref().and_then(|action| self.hooks.known(action));
        let deadline = self.deadline(event, handler);
        let wanted = Wanted { event, handler: &handler.name, deadline, hook };
        let claim = match noticed {
            Ok(_) => self.ledger.claim(&wanted).await.map_err(DispatchError::from),
            Err(error) => Err(error),
        };
        if let (Err(_), Some(action)) = (&claim, &event.lifecycle_action)
            && self.ports.clock.now() < deadline
        {
            // Until the ledger is to be had, or has room for it, the action has to live, and nothing says when it last did.
            self.heartbeat(action, &tape.recorder(), CALL).await;
        }
        match claim? {
            Claim::Ended(ended) => {
                let already = Already::from(ended);
                tracing::info!(event = event.id, handler = already.handler, ended = %already.at, "a further delivery: it has ended already");
                Ok(Step::Ended(End::Already(already)))
            }
            Claim::Busy(item, lease) => {
                let now = self.ports.clock.now();
                let note = format!("{} works on {}", lease.holder, told::subject(event));
                Ok(self.wait(*item, free_at(&lease, now), note, tape).await)
            }
            Claim::NotDue(item) => {
                let due = item.due;
                Ok(self.wait(*item, due, "it is not due yet".to_owned(), tape).await)
            }
            Claim::Ours(held) => {
                let Some(item) = held.item().await else {
                    return Err(LedgerError::Lost { subject: told::subject(event) }.into());
                };
                let recorder = tape.begin(|one_step| self.record(&item, one_step, handler, door_closes));
                let an_earlier_one = item.is_before(event);
                let work = Work::new(self, Arc::clone(handler), item, held, door_closes, recorder).await;
                match work.step().await? {
                    // What has ended is not what was delivered.
                    Step::Ended(_) if an_earlier_one => {
                        let note = "an earlier lifecycle action of the same hook had to be brought to its end first";
                        Ok(Step::at_once(self.ports.clock.now(), note))
                    }
                    step => Ok(step),
                }
            }
        }
    }

    /// The handler that takes the event, or why none does. An event that was taken before the policy was changed keeps its handler: it
    /// has been told that somebody works on it, so somebody brings it to its end.
    async fn route(&self, event: &Event) -> Result<Result<Arc<Handler>, End>, DispatchError> {
        let end = match self.policy.route(event) {
            None => End::NoHandler,
            Some(handler) => match managed_by_another(event, handler) {
                None => return Ok(Ok(Arc::clone(handler))),
                Some(hook) => End::LeftAlone { hook },
            },
        };
        if let Some(item) = self.ledger.open_of(event).await? {
            let kept = self.policy.handlers.iter().find(|handler| handler.name == item.handler);
            let kept = kept.map_or_else(|| Arc::new(Handler::gone(&item.handler)), Arc::clone);
            tracing::warn!(event = event.id, handler = kept.name, %end, "taken before the policy was changed: brought to its end");
            return Ok(Ok(kept));
        }
        let (event, kind, source) = (event.id.as_str(), event.kind.as_str(), event.source.as_str());
        match &end {
            End::LeftAlone { hook } => tracing::info!(event, hook, "left alone: the hook belongs to ECS"),
            _ => tracing::debug!(event, kind, source, "no handler"),
        }
        Ok(Err(end))
    }

    /// The end of an action that was noticed, and not announced, when it had ended already: by itself it cannot be told from a later
    /// one of the same hook, but only an action that waits takes a heartbeat.
    async fn ended_before_it_was_noticed(&self, event: &Event) -> Result<Option<Step>, DispatchError> {
        let (Some(action), Some(instance)) = (&event.lifecycle_action, &event.instance) else { return Ok(None) };
        if action.token.is_some() || self.ledger.open_of(event).await?.is_some() {
            return Ok(None);
        }
        let (id, ended) = (event.work_item(), self.ledger.ended(instance).await?);
        let Some(last) = ended.last(&id) else { return Ok(None) };
        let already = || Some(Step::Ended(End::Already(Already::from(last.clone()))));
        let now = self.ports.clock.now();
        if last.is_left_to_its_hook(self.heartbeat_timeout(action).await, now) {
            // Nobody keeps it alive, nor works on it again.
            tracing::info!(event = event.id, %instance, "left to its hook before, as the policy wanted");
            return Ok(already());
        }
        Ok(match self.heartbeat(action, &Recorder::off(), CALL).await {
            Heartbeat::Over => already(),
            Heartbeat::Failed if now < after(event.time, ASKED_FOR) => Some(Step::Later {
                at: after(now, ASK_AGAIN),
                due: after(now, ASK_AGAIN),
                alive_until: None,
                note: "it cannot be told whether the lifecycle action still waits".to_owned(),
            }),
            Heartbeat::Accepted | Heartbeat::Failed => None,
        })
    }

    /// The handler that takes the event; none if none does, or if it is left alone.
    pub fn taker(&self, event: &Event) -> Option<&Arc<Handler>> {
        self.policy.route(event).filter(|handler| managed_by_another(event, handler).is_none())
    }

    /// When AWS or the policy goes on, whichever is first, as far as is known without asking.
    pub(crate) fn deadline(&self, event: &Event, handler: &Handler) -> Timestamp {
        let hook = event.lifecycle_action.as_ref().and_then(|action| self.hooks.known(action));
        Deadline::of(event, handler, hook).of_work
    }

    /// Leaves an item to its door until `due`, or until its lifecycle action has to be kept alive: nobody lives between attempts, so
    /// its door brings it again for that too.
    async fn wait(&self, mut item: Item, due: Timestamp, note: String, tape: &Tape) -> Step {
        let next = self.keep_waiting_alive(&mut item, Some(due), &tape.recorder()).await;
        Step::Later { at: next.map_or(due, |next| next.min(due)), due, alive_until: item.alive_until(), note }
    }

    /// Sends the heartbeat that the lifecycle action of a waiting item needs by now, and writes it down. When it needs the next; none
    /// if it needs none. `brought` is when its door brings it again: none if this is not its door.
    pub(crate) async fn keep_waiting_alive(
        &self,
        item: &mut Item,
        brought: Option<Timestamp>,
        recorder: &Recorder,
    ) -> Option<Timestamp> {
        let next = item.next_heartbeat()?;
        let (Some(action), Some(every)) = (item.event.lifecycle_action.clone(), item.heartbeat_every()) else {
            return Some(next);
        };
        if next > self.ports.clock.now() {
            return Some(next);
        }
        let beat = self.heartbeat(&action, recorder, every / 2).await;
        let now = self.ports.clock.now();
        item.note_heartbeat(beat, now);
        let next = if beat == Heartbeat::Failed { Some(after(now, every / 4)) } else { item.next_heartbeat() };
        let wake = brought.map(|due| next.map_or(due, |next| next.min(due)));
        let noted = self.ledger.remark(&item.event, |item| {
            item.note_heartbeat(beat, now);
            item.wake = item.wake.max(wake.unwrap_or(Timestamp::MIN));
        });
        if let Err(error) = noted.await {
            let event = item.event.id.as_str();
            tracing::warn!(event, %error, "a heartbeat was sent and could not be written down: the next comes early");
        }
        next
    }

    /// Begins the recording of an event that `handler` takes.
    fn record(&self, item: &Item, one_step: bool, handler: &Handler, door_closes: Option<Instant>) -> Recorder {
        let Some(recordings) = &self.recordings else { return Recorder::off() };
        let taken_by = (handler.name.as_str(), self.policy.digest.as_str());
        let spread = self.jitter == Jitter::Tenth;
        let part = Part { event: &item.event, one_step, spread, resumed: item.before_this_attempt() };
        Recorder::begin(recordings, part, taken_by, &*self.ports.clock, door_closes)
    }

    /// Whether less than `needed` is left for further work: the door closes, or the process ends.
    fn lacks_time(&self, door_closes: Option<Instant>, needed: Duration) -> bool {
        self.closing.has_begun() || time_to_stop(door_closes).is_some_and(|left| left < needed)
    }

    fn check_place(&self, event: &Event) -> Result<(), DispatchError> {
        let here = event.account == self.place.account && event.region == self.place.region;
        if here {
            return Ok(());
        }
        let (event, account, region) = (event.id.clone(), event.account.clone(), event.region.clone());
        Err(DispatchError::Elsewhere { event, account, region, ours: self.place.clone() })
    }
}

/// When it is worth asking again for an instance that another works on: soon if it has only begun, for most attempts are short, and
/// at the latest when its lease can be taken over.
fn free_at(lease: &Lease, now: Timestamp) -> Timestamp {
    let half_as_long_again = (time_between(lease.since, now) / 2).max(SHORTEST_BUSY);
    // By a clock that is behind its holder's, it has not begun: then there is nothing to tell by.
    let wait = if lease.since > now { Duration::try_from(LEASE).unwrap_or(SHORTEST_BUSY) } else { half_as_long_again };
    after(now, wait).min(lease.free_at())
}

/// The instant `duration` after `time`, as far as time goes.
fn after(time: Timestamp, duration: Duration) -> Timestamp {
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    time.saturating_add(duration).unwrap_or(Timestamp::MAX)
}

/// From `start` to `end`; zero if that is past.
fn time_between(start: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(start)).unwrap_or_default()
}

/// The hook of another service that the event is about, unless the handler names it.
fn managed_by_another(event: &Event, handler: &Handler) -> Option<String> {
    let hook = event.lifecycle_action.as_ref()?.hook.as_str();
    (hook.starts_with(MANAGED_BY_ECS) && !handler.names_hook(hook)).then(|| hook.to_owned())
}

#[cfg(test)]
pub(crate) mod tests;
