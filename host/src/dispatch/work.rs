//! The work on an item while the lease on its instance is ours: one attempt, or the end that was decided before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::deadline::{Deadline, LEAST_WALL, time_to_stop};
use super::judge::{Jitter, MOST_INTERRUPTIONS, Verdict, backoff, judge};
use super::{Dispatch, DispatchError, Step, after, time_between, told};
use crate::event::Event;
use crate::ledger::{Held, Item, LedgerError};
use crate::modules::{Plugin, Sign};
use crate::outcome::{Decision, Failure, Outcome};
use crate::policy::Handler;
use crate::recording::Recorder;
use crate::sandbox::{Module, Report, Slot, Task};

/// How often the lease is renewed while an attempt runs: two renewals may fail before it ends.
const RENEW_EVERY: Duration = Duration::from_secs(6);

/// And how soon again when one failed.
const RENEW_AGAIN: Duration = Duration::from_secs(2);

/// How long before its end a lease that cannot be renewed is given up, so that nothing is changed after it.
const BEFORE_ITS_END: Duration = Duration::from_secs(2);

/// An item that is ours to work on.
pub(super) struct Work<'a> {
    pub(super) dispatch: &'a Dispatch,
    pub(super) handler: Arc<Handler>,
    pub(super) event: Arc<Event>,
    pub(super) item: Item,
    pub(super) held: Box<Held>,
    pub(super) recorder: Recorder,
    pub(super) door_closes: Option<Instant>,
    deadline: Deadline,
    /// When the item was due as it was claimed. Another time in the ledger means that a person has asked for a further attempt.
    was_due: Timestamp,
}

/// What one attempt has come to.
struct Attempted {
    outcome: Outcome,
    /// The digest of the module that ran; empty if none did.
    module: String,
}

impl<'a> Work<'a> {
    pub(super) async fn new(
        dispatch: &'a Dispatch,
        handler: Arc<Handler>,
        mut item: Item,
        held: Box<Held>,
        door_closes: Option<Instant>,
        recorder: Recorder,
    ) -> Self {
        if let Some(action) = item.event.lifecycle_action.clone() {
            item.hook = Some(dispatch.hook_times(&action, &item, &recorder).await);
        }
        let was_due = item.due;
        let deadline = Deadline::of(&item.event, &handler, item.hook);
        item.deadline = deadline.of_work;
        let event = Arc::new(item.event.clone());
        Self { dispatch, handler, event, item, held, recorder, door_closes, deadline, was_due }
    }

    /// Goes on from where the item stands.
    pub(super) async fn step(mut self) -> Result<Step, DispatchError> {
        if let Some(finishing) = self.item.finishing.clone() {
            return self.finish(finishing).await;
        }
        if let Some(order) = self.item.order.clone() {
            return self.decide(Decision::Ordered { result: order.result, by: order.by }).await;
        }
        if let Some(why) = self.hopeless() {
            self.item.take_back_attempt();
            return self.decide(Decision::GaveUp { why }).await;
        }
        told::taken(&self.item);
        // The first attempt is made however late the event comes; later ones stop at the deadline.
        let last = self.dispatch.ports.clock.now() >= self.deadline.last_attempt;
        let alive = Mutex::new(self.item.clone());
        // The heartbeats never end by themselves: they stop when the attempt does. The lease is looked at first: a process that was
        // frozen finds out that it is lost before anything else goes on.
        let Attempted { outcome, module } = tokio::select! {
            biased;
            lost = self.hold() => return Err(lost.into()),
            never = self.dispatch.keep_alive(&alive, &self.recorder) => match never {},
            attempted = self.attempt() => attempted,
        };
        self.item = alive.into_inner().unwrap_or_else(PoisonError::into_inner);
        if outcome == Outcome::Failed(Failure::NoRoom) {
            // It was not made, and counts neither as a failure nor as interrupted.
            self.item.take_back_attempt();
            let now = self.dispatch.ports.clock.now();
            return self.give_back(now, Failure::NoRoom.to_string()).await;
        }
        let forgiven = self.has_given_up(&module);
        let before = self.item.told.iter().rev().nth(1);
        if forgiven || before.is_some_and(|before| self.has_given_up(&before.module)) {
            // They were the failures of that plugin: another takes its place.
            self.item.failures = 0;
        }
        self.tell(&outcome, module);
        match outcome {
            Outcome::Failed(failure) if forgiven && !last => {
                self.item.interrupted = 0;
                let due = after(self.dispatch.ports.clock.now(), backoff(1));
                let note = format!(
                    "{failure}; the plugin is given up, and the next attempt runs the one before it, if there is one"
                );
                self.give_back(due, note).await
            }
            // An attempt that was cut short, by the door or by the end of the process, is not the handler's failure.
            Outcome::Failed(failure) if self.is_cut_short() => self.cut_short(&failure).await,
            outcome => self.go_on(outcome, last).await,
        }
    }

    /// Why no further attempt is made, whatever it would come to.
    fn hopeless(&self) -> Option<String> {
        if self.handler.is_gone() {
            let name = &self.handler.name;
            return Some(format!("the policy has no handler {name:?} any more, and none that takes the event"));
        }
        (self.item.interrupted >= MOST_INTERRUPTIONS)
            .then(|| format!("{MOST_INTERRUPTIONS} attempts in a row ended with their host, or with their door's time"))
    }

    /// Whether the plugin with this digest is not to be run again.
    fn has_given_up(&self, digest: &str) -> bool {
        self.handler.pin.is_none() && self.dispatch.modules.has_given_up(&self.handler.module, digest)
    }

    /// Writes down what follows from an attempt.
    async fn go_on(mut self, outcome: Outcome, last: bool) -> Result<Step, DispatchError> {
        let now = self.dispatch.ports.clock.now();
        let times = (now, self.deadline.last_attempt, self.deadline.of_work);
        match judge(&self.item, outcome, &self.handler.finish, times, last, self.dispatch.jitter) {
            Verdict::Decided(decision) => self.decide(decision).await,
            Verdict::Again { wait, note, state, failures } => {
                let due = after(now, wait);
                (self.item.state, self.item.failures, self.item.interrupted) = (state, failures, 0);
                let wait = match self.dispatch.jitter {
                    Jitter::None => wait,
                    // Nobody reads the nanoseconds of a share.
                    Jitter::Tenth => Duration::from_secs(wait.as_secs()),
                };
                self.give_back(due, format!("{note}; the next attempt is due in {wait:?}")).await
            }
        }
    }

    /// Whether there is no time left for an attempt to come to an outcome of its own.
    fn is_cut_short(&self) -> bool {
        self.dispatch.closing.has_cut() || time_to_stop(self.door_closes) == Some(Duration::ZERO)
    }

    /// Writes down that the attempt ended with its door's time, or with its process.
    async fn cut_short(mut self, failure: &Failure) -> Result<Step, DispatchError> {
        self.item.interrupted += 1;
        let note = format!("attempt {} was cut short: {failure}", self.item.attempts);
        let now = self.dispatch.ports.clock.now();
        self.give_back(now, note).await
    }

    /// Gives the lease back until the next attempt is due.
    pub(super) async fn give_back(mut self, due: Timestamp, note: String) -> Result<Step, DispatchError> {
        let at = self.item.next_heartbeat().map_or(due, |beat| beat.min(due));
        (self.item.due, self.item.wake) = (due, at);
        self.dispatch.ledger.release(&self.held, |item| self.write_to(item)).await?;
        // As it was written: a person may have had a say meanwhile.
        let (at, due) = self.held.item().await.map_or((at, due), |item| (item.wake, item.due));
        Ok(Step::Later { at, due, alive_until: self.item.alive_until(), note })
    }

    /// Puts what we know into the ledger's item, and leaves alone what others may have written meanwhile.
    pub(super) fn write_to(&self, item: &mut Item) {
        let ours = self.item.clone();
        let theirs = std::mem::replace(item, ours);
        item.heartbeat = item.heartbeat.max(theirs.heartbeat);
        // What was said of an action without a token says nothing of the one that has come with its token since.
        item.over = theirs.over || item.over && item.token() == theirs.token();
        if self.asked_for_another(&theirs) {
            (item.failures, item.interrupted) = (0, 0);
            (item.due, item.wake) = (theirs.due, theirs.due);
        }
        if theirs.order.is_some() && item.finishing.is_none() {
            item.wake = item.wake.min(self.dispatch.ports.clock.now());
        }
        (item.order, item.event) = (theirs.order, theirs.event);
    }

    /// Whether a person has asked for a further attempt while this one was made.
    pub(super) fn asked_for_another(&self, item: &Item) -> bool {
        item.due != self.was_due
    }

    /// Keeps the lease for as long as it is polled; ends with why that is no longer possible.
    pub(super) async fn hold(&self) -> LedgerError {
        let lost = || LedgerError::Lost { subject: told::subject(&self.event) };
        let until = self.held.until();
        // What is left of it by the clock, however long it took to get it.
        let left = || until.left(self.dispatch.ports.clock.now()).saturating_sub(BEFORE_ITS_END);
        let mut wait = RENEW_EVERY;
        loop {
            if left().is_zero() {
                return lost();
            }
            tokio::time::sleep(wait.min(left() / 2)).await;
            let left = left();
            if left.is_zero() {
                return lost();
            }
            wait = match tokio::time::timeout(left, self.dispatch.ledger.renew(&self.held)).await {
                Ok(Ok(())) => RENEW_EVERY,
                Ok(Err(error @ LedgerError::Lost { .. })) => return error,
                Ok(Err(error)) => {
                    tracing::warn!(event = self.event.id, %error, "the lease could not be renewed; trying again");
                    RENEW_AGAIN
                }
                Err(_) => return lost(),
            };
        }
    }

    /// One run of the handler, with its line in the log.
    async fn attempt(&self) -> Attempted {
        let (module, outcome, report) = match self.ready().await {
            Ok((plugin, slot)) => {
                let wall = self.wall();
                let report = self.until_cut(self.run(slot, &plugin.module, wall)).await;
                let ended = || Outcome::Failed(Failure::HostEnds);
                let outcome = report.as_ref().map_or_else(ended, |report| report.outcome.clone());
                let hurried = wall < self.handler.limits.wall;
                if let (None, Some(sign)) = (&self.handler.pin, Sign::of(&outcome, hurried)) {
                    let (module, handler) = (&self.handler.module, &self.handler.name);
                    // That it is known elsewhere is worth no event.
                    self.until_stop(self.dispatch.modules.tell(module, handler, &plugin, &sign)).await;
                }
                (plugin.module.digest.clone(), outcome, report)
            }
            Err(failure) => (String::new(), Outcome::Failed(failure), None),
        };
        if outcome != Outcome::Failed(Failure::NoRoom) {
            self.recorder.attempted(self.item.attempts, &module, &outcome);
            told::attempt(self, &module, &outcome, report.as_ref());
        }
        Attempted { outcome, module }
    }

    /// The module to run, and room to run it.
    async fn ready(&self) -> Result<(Arc<Plugin>, Slot<'_>), Failure> {
        let current = self.dispatch.modules.current(&self.handler.module, self.handler.pin.as_ref());
        let plugin = self.until_stop(current).await.ok_or(Failure::HostEnds)?.map_err(|error| {
            let why = error.to_string();
            if error.passes { Failure::NoSource(why) } else { Failure::NoModule(why) }
        })?;
        let slot = self.until_stop(self.dispatch.sandbox.slot()).await.ok_or(Failure::NoRoom)?;
        // One that comes late is of no use any more.
        let too_late = time_to_stop(self.door_closes).is_some_and(|left| left < LEAST_WALL);
        if too_late { Err(Failure::NoRoom) } else { Ok((plugin, slot)) }
    }

    async fn run(&self, slot: Slot<'_>, module: &Module, wall: Duration) -> Report {
        let task = Task {
            handler: Arc::clone(&self.handler),
            event: Arc::clone(&self.event),
            attempt: self.item.attempts,
            state: self.item.state.clone(),
            deadline: Some(self.deadline.of_work),
            lease: Some(self.held.until()),
        };
        let ports = self.recorder.ports(&self.dispatch.ports, task.attempt);
        self.dispatch.sandbox.run(slot, module, task, ports, wall).await
    }

    /// How long the attempt may take: what its handler may, as far as there is time for its end to count.
    fn wall(&self) -> Duration {
        let now = self.dispatch.ports.clock.now();
        let of_aws = self.deadline.before_aws.map(|before_aws| time_between(now, before_aws).max(LEAST_WALL));
        let left = [of_aws, time_to_stop(self.door_closes)].into_iter().flatten();
        left.fold(self.handler.limits.wall, Duration::min)
    }

    /// What `work` comes to, unless it has to stop before that.
    async fn until_stop<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let work = self.until_cut(work);
        match time_to_stop(self.door_closes) {
            Some(left) => tokio::time::timeout(left, work).await.ok().flatten(),
            None => work.await,
        }
    }

    /// What `work` comes to, unless the process ends before that.
    async fn until_cut<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.dispatch.closing.at_cut() => None,
        }
    }

    /// Puts the attempt's end into the item's story.
    fn tell(&mut self, outcome: &Outcome, module: String) {
        let now = self.dispatch.ports.clock.now();
        if let Some(told) = self.item.told.last_mut() {
            told.ended = Some(now);
            told.outcome = Some(outcome.as_str().to_owned());
            told.note = told::shortened(&outcome.note());
            told.module = module;
        }
    }
}
