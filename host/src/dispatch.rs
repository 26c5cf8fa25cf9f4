//! The whole job: an event, from its arrival to the end of what it asks for.
//!
//! An event is checked to be of our account and region, routed by the policy to a handler, and worked on: attempt after
//! attempt, each in the sandbox, until one says `done` or `abandon`, or the policy's patience ends. Beside the work the
//! lifecycle action is kept alive; after it, it is completed, once, from what the work came to.
//!
//! Here an event lives within one call, with the time its door gives it. What outlives a call will be the ledger's: its place is
//! in [`Dispatch::handle`], between routing and work (claim) and after completing (end).

mod end;
pub mod lifecycle;
mod step;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::capabilities::Ports;
use crate::event::{Event, LifecycleAction, Transition};
use crate::modules::Modules;
use crate::outcome::{Failure, Outcome};
use crate::policy::{Handler, OnFailure, Policy};
use crate::ports::{AccountId, PortErrorKind, Region};
use crate::recording::{Recorder, Recordings};
use crate::sandbox::{Report, Sandbox, Task};
pub use end::{Completion, Decision, DispatchError, End, Worked};
use lifecycle::{Answer, HookTimes, Lifecycle, LifecycleResult};
pub use step::Step;

/// What is kept back, of the door's time and before AWS's own deadline, for completing the lifecycle action and saying
/// how it ended.
const TO_FINISH: Duration = Duration::from_secs(10);

/// An attempt with less time than this is not begun: it would end in the middle of what it does.
const LEAST_WALL: Duration = Duration::from_secs(5);

/// How long one call of the lifecycle port is waited for, when more can be done without its answer.
const CALL: Duration = Duration::from_secs(5);

/// The shortest and the longest wait between two attempts, whatever the handler asks.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(12 * 60 * 60);

/// The wait after the first failure; it doubles with each further one in a row, up to the longest.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// How often completing is tried when Auto Scaling does not answer as it should. The port tries once: a retry of its own would
/// read that the action is over, and not know that it was the one who ended it.
const COMPLETE_TRIES: u32 = 3;

/// The hook's times when they cannot be read: the shortest Auto Scaling admits, so that heartbeats are early rather than late.
const UNKNOWN_HOOK: HookTimes =
    HookTimes { heartbeat_timeout: Duration::from_secs(30), global_timeout: Duration::from_secs(48 * 60 * 60) };

/// The names of hooks that ECS installs for its own managed draining begin so.
const MANAGED_BY_ECS: &str = "ecs-managed-";

/// Where we are: from here, every instance elsewhere would be "not found", and its event would vanish quietly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Our account.
    pub account: AccountId,
    /// Our region.
    pub region: Region,
}

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
    /// Where it is recorded what events come to; none if it is not.
    pub recordings: Option<Recordings>,
}

/// An event with the handler that takes it, and its times.
struct WorkItem {
    event: Arc<Event>,
    handler: Arc<Handler>,
    /// When AWS or the policy goes on, whichever is first: what the handler is told.
    deadline: Timestamp,
    /// When the last attempt is begun: early enough before the deadline for its end to count.
    last_attempt: Timestamp,
    /// When work has to stop for its end to be told before the door closes; none if it does not close.
    stop: Option<Instant>,
    /// What every call for it goes through.
    recorder: Recorder,
}

impl Dispatch {
    /// Brings an event to its end, or says why that could not be done. `door_closes` is when the caller stops waiting.
    pub async fn handle(&self, event: Event, door_closes: Option<Instant>) -> Result<End, DispatchError> {
        let (id, kind, instance) = (event.id.clone(), event.kind.as_str(), event.instance.clone());
        let ended = self.bring_to_its_end(event, door_closes).await;
        if let Err(error) = &ended {
            let instance = instance.as_ref().map(|instance| instance.as_str());
            tracing::error!(event = id, kind, instance, %error, "not brought to its end");
        }
        ended
    }

    /// Brings an event one step on: at most one attempt. `door_closes` is when the caller stops waiting for it.
    pub async fn step(&self, event: &Event, door_closes: Option<Instant>) -> Result<Step, DispatchError> {
        self.handle(event.clone(), door_closes).await.map(Step::Ended)
    }

    async fn bring_to_its_end(&self, event: Event, door_closes: Option<Instant>) -> Result<End, DispatchError> {
        self.check_place(&event)?;
        let Some(handler) = self.policy.route(&event) else {
            tracing::debug!(event = event.id, kind = event.kind.as_str(), source = event.source, "no handler");
            return Ok(End::NoHandler);
        };
        if let Some(hook) = managed_by_another(&event, handler) {
            tracing::info!(event = event.id, handler = handler.name, hook, "left alone: the hook belongs to ECS");
            return Ok(End::LeftAlone { hook });
        }
        let recorder = self.record(&event, handler, door_closes);
        let ended = self.take(event, handler, door_closes, recorder.clone()).await;
        recorder.end(&ended).await;
        ended
    }

    /// Works on an event, and completes its lifecycle action.
    async fn take(
        &self,
        event: Event,
        handler: &Arc<Handler>,
        door_closes: Option<Instant>,
        recorder: Recorder,
    ) -> Result<End, DispatchError> {
        let action = event.lifecycle_action.clone();
        let hook = match &action {
            Some(action) => Some(self.hook_times(action, &recorder).await),
            None => None,
        };
        let item = WorkItem::new(event, Arc::clone(handler), hook, door_closes, recorder);
        let worked = match (&action, hook) {
            // The heartbeats never end by themselves: they stop when the work does.
            (Some(action), Some(hook)) => tokio::select! {
                worked = self.work(&item) => worked,
                never = self.keep_alive(&item, action, hook.heartbeat_timeout / 2) => match never {},
            },
            _ => self.work(&item).await,
        };
        if let (Err(_), Some(action)) = (&worked, &action) {
            // The event will be delivered again: until then the action has to live.
            self.heartbeat(&item, action, CALL).await;
        }
        let (decision, attempts) = worked?;

        let completion = match &action {
            Some(action) => Some(self.complete(&item, action, &decision, door_closes).await?),
            None => None,
        };
        let worked = Worked { handler: item.handler.name.clone(), decision, attempts, lifecycle: completion };
        summarise(&item, &worked);
        Ok(End::Worked(worked))
    }

    /// Begins the recording of an event that `handler` takes.
    fn record(&self, event: &Event, handler: &Handler, door_closes: Option<Instant>) -> Recorder {
        let Some(recordings) = &self.recordings else { return Recorder::off() };
        let taken_by = (handler.name.as_str(), self.policy.digest.as_str());
        Recorder::begin(recordings, event, taken_by, &*self.ports.clock, door_closes)
    }

    fn check_place(&self, event: &Event) -> Result<(), DispatchError> {
        let here = event.account == self.place.account && event.region == self.place.region;
        if here {
            return Ok(());
        }
        let (event, account, region) = (event.id.clone(), event.account.clone(), event.region.clone());
        Err(DispatchError::Elsewhere { event, account, region, ours: self.place.clone() })
    }

    /// Attempt after attempt, until one ends it or patience does. Also says how many there were.
    async fn work(&self, item: &WorkItem) -> Result<(Decision, u32), DispatchError> {
        let mut state = None;
        let mut failures = 0;
        for attempt in 1.. {
            if item.time_to_stop().is_some_and(|left| left < LEAST_WALL) {
                return Err(item.out_of_time(format!("no time is left for attempt {attempt}")));
            }
            // The first attempt is made however late the event comes; later ones stop at the deadline.
            let last = self.ports.clock.now() >= item.last_attempt;
            let (wait, note) = match self.attempt(item, attempt, &state).await {
                Outcome::Done => return Ok((Decision::Done, attempt)),
                Outcome::Abandon { why } => return Ok((Decision::Abandon { why }, attempt)),
                Outcome::Again(retry) => {
                    failures = 0;
                    state = retry.state;
                    (retry.after.clamp(SHORTEST_WAIT, LONGEST_WAIT), retry.note)
                }
                // An attempt that the door cut short is not the handler's failure.
                Outcome::Failed(failure) if item.time_to_stop() == Some(Duration::ZERO) => {
                    return Err(item.out_of_time(format!("attempt {attempt} was cut short: {failure}")));
                }
                Outcome::Failed(failure) => {
                    failures += 1;
                    if failures >= item.handler.finish.max_attempts {
                        let why = format!("{failures} attempts in a row failed; the last: {failure}");
                        return Ok((Decision::GaveUp { why }, attempt));
                    }
                    (backoff(failures), failure.to_string())
                }
            };
            if last {
                let why = format!("the deadline, {}, has passed: {note}", item.deadline);
                return Ok((Decision::GaveUp { why }, attempt));
            }
            // A wait that would outlast the deadline is shortened, so that one attempt is made right at it.
            let wait = wait.min(time_between(self.ports.clock.now(), item.last_attempt));
            if item.time_to_stop().is_some_and(|left| left < wait + LEAST_WALL) {
                return Err(item.out_of_time(format!("{note}; the next attempt is due in {wait:?}")));
            }
            tokio::time::sleep(wait).await;
        }
        unreachable!("attempts are counted without end")
    }

    /// One run of the handler, with its line in the log.
    async fn attempt(&self, item: &WorkItem, attempt: u32, state: &Option<String>) -> Outcome {
        let loaded = item.until_stop(self.modules.current(&item.handler.module)).await;
        let loaded = loaded.map_or_else(
            || Err("it did not load in time".to_owned()),
            |loaded| loaded.map_err(|error| error.to_string()),
        );
        let module = match loaded {
            Ok(module) => module,
            Err(why) => {
                let outcome = Outcome::Failed(Failure::NoModule(why));
                item.recorder.attempted(attempt, "", &outcome);
                log_attempt(item, attempt, "", &outcome, None);
                return outcome;
            }
        };
        let task = Task {
            handler: Arc::clone(&item.handler),
            event: Arc::clone(&item.event),
            attempt,
            state: state.clone(),
            deadline: Some(item.deadline),
        };
        let limit = item.handler.limits.wall;
        let wall = item.time_to_stop().map_or(limit, |left| left.min(limit));
        let ports = item.recorder.ports(&self.ports, attempt);
        let report = self.sandbox.run(&module, task, ports, wall).await;
        item.recorder.attempted(attempt, &module.digest, &report.outcome);
        log_attempt(item, attempt, &module.digest, &report.outcome, Some(&report));
        report.outcome
    }

    /// The hook's times, or the shortest there are when they cannot be read.
    async fn hook_times(&self, action: &LifecycleAction, recorder: &Recorder) -> HookTimes {
        let why = match tokio::time::timeout(CALL, recorder.lifecycle(&self.lifecycle).hook(action)).await {
            Ok(Ok(Some(times))) => return times,
            Ok(Ok(None)) => "the group has no such hook any more".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {CALL:?}"),
        };
        let (group, hook) = (action.group.as_str(), action.hook.as_str());
        tracing::warn!(
            group,
            hook,
            error = why,
            "the hook's timeout is not known: heartbeats are sent as for the shortest"
        );
        UNKNOWN_HOOK
    }

    /// Sends heartbeats for as long as it is polled: `every` so often from the time of the event on, and sooner after one failed.
    async fn keep_alive(&self, item: &WorkItem, action: &LifecycleAction, every: Duration) -> Infallible {
        // Half of what Auto Scaling admits; the times may come from a recording, which can say anything.
        let every = every.clamp(Duration::from_secs(1), Duration::from_secs(3600));
        let age = time_between(item.event.time, self.ports.clock.now());
        let mut due = Instant::now() + every.saturating_sub(age);
        loop {
            tokio::time::sleep_until(due).await;
            let sent = Instant::now();
            due = sent + if self.heartbeat(item, action, every / 2).await { every } else { every / 4 };
        }
    }

    /// One heartbeat; false if the next should follow soon.
    async fn heartbeat(&self, item: &WorkItem, action: &LifecycleAction, patience: Duration) -> bool {
        let instance = action.instance.as_str();
        let lifecycle = item.recorder.lifecycle(&self.lifecycle);
        match tokio::time::timeout(patience, lifecycle.heartbeat(action)).await {
            Ok(Ok(Answer::Accepted)) => tracing::debug!(instance, "heartbeat"),
            // The work goes on: it is what the operator asked for, and completing will find the same.
            Ok(Ok(Answer::Over)) => tracing::warn!(instance, "heartbeat: the lifecycle action is over already"),
            Ok(Err(error)) => {
                tracing::warn!(instance, %error, "heartbeat failed; the next one follows soon");
                return false;
            }
            Err(_) => {
                tracing::warn!(instance, "heartbeat not answered; the next one follows soon");
                return false;
            }
        }
        true
    }

    /// Tells Auto Scaling what was decided.
    async fn complete(
        &self,
        item: &WorkItem,
        action: &LifecycleAction,
        decision: &Decision,
        door_closes: Option<Instant>,
    ) -> Result<Completion, DispatchError> {
        let Some(result) = lifecycle_result(decision, item, action) else { return Ok(Completion::Left) };
        let completed = match result {
            LifecycleResult::Continue => Completion::Continue,
            LifecycleResult::Abandon => Completion::Abandon,
        };
        let lifecycle = item.recorder.lifecycle(&self.lifecycle);
        let mut tries = 1;
        // Whether an earlier try may have taken effect without our hearing of it.
        let mut unheard = false;
        loop {
            match lifecycle.complete(action, result).await {
                Ok(Answer::Accepted) => return Ok(completed),
                Ok(Answer::Over) if unheard => return Ok(completed),
                Ok(Answer::Over) => return Ok(Completion::Late),
                Err(error) => {
                    unheard |= matches!(error.kind, PortErrorKind::Timeout | PortErrorKind::Unavailable);
                    let wait = backoff(tries);
                    let time = door_closes.is_none_or(|closes| Instant::now() + wait + CALL < closes);
                    if !error.retryable() || tries >= COMPLETE_TRIES || !time {
                        let (event, instance) = (item.event.id.clone(), action.instance.to_string());
                        let result = result.as_str();
                        return Err(DispatchError::NotCompleted { event, instance, result, source: error });
                    }
                    tracing::warn!(event = item.event.id, %error, tries, "completing the lifecycle action failed; trying again");
                    tokio::time::sleep(wait).await;
                    tries += 1;
                }
            }
        }
    }
}

impl WorkItem {
    fn new(
        event: Event,
        handler: Arc<Handler>,
        hook: Option<HookTimes>,
        door_closes: Option<Instant>,
        recorder: Recorder,
    ) -> Self {
        let of_policy = after(event.time, handler.finish.deadline);
        let of_hook = hook.map(|hook| after(event.time, hook.global_timeout));
        let of_aws = [of_hook, event.deadline].into_iter().flatten().min();
        let deadline = of_aws.map_or(of_policy, |of_aws| of_aws.min(of_policy));
        // Past AWS's own deadline nothing counts any more, so the last attempt is begun before it.
        let before_aws = of_aws.map(|of_aws| of_aws - SignedDuration::try_from(TO_FINISH).unwrap_or_default());
        let last_attempt = before_aws.map_or(of_policy, |before_aws| before_aws.min(of_policy));
        let stop = door_closes.map(|closes| closes.checked_sub(TO_FINISH).unwrap_or_else(Instant::now));
        let item = Self { event: Arc::new(event), handler, deadline, last_attempt, stop, recorder };
        tracing::info!(
            event = item.event.id,
            kind = item.event.kind.as_str(),
            instance = item.event.instance.as_ref().map(|instance| instance.as_str()),
            handler = item.handler.name,
            deadline = %item.deadline,
            "event taken"
        );
        item
    }

    /// How long there is before work has to stop; none if there is no end to it.
    fn time_to_stop(&self) -> Option<Duration> {
        self.stop.map(|stop| stop.saturating_duration_since(Instant::now()))
    }

    /// What `work` comes to, unless it has to stop before that.
    async fn until_stop<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self.stop {
            Some(stop) => tokio::time::timeout_at(stop, work).await.ok(),
            None => Some(work.await),
        }
    }

    fn out_of_time(&self, note: String) -> DispatchError {
        DispatchError::OutOfTime { event: self.event.id.clone(), note }
    }
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

/// What Auto Scaling is told; nothing when the policy leaves it to the hook.
fn lifecycle_result(decision: &Decision, item: &WorkItem, action: &LifecycleAction) -> Option<LifecycleResult> {
    let on_failure = item.handler.finish.on_failure.unwrap_or(match action.transition {
        Transition::Terminating => OnFailure::Abandon,
        // ABANDON makes Auto Scaling launch another instance: a broken plugin would make that a storm.
        Transition::Launching => OnFailure::Leave,
    });
    match (decision, on_failure) {
        (Decision::Done, _) => Some(LifecycleResult::Continue),
        (Decision::Abandon { .. }, _) => Some(LifecycleResult::Abandon),
        (Decision::GaveUp { .. }, OnFailure::Continue) => Some(LifecycleResult::Continue),
        (Decision::GaveUp { .. }, OnFailure::Abandon) => Some(LifecycleResult::Abandon),
        (Decision::GaveUp { .. }, OnFailure::Leave) => None,
    }
}

/// The wait after so many failures in a row.
fn backoff(failures: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_BACKOFF)
}

/// One line for each attempt.
fn log_attempt(item: &WorkItem, attempt: u32, module: &str, outcome: &Outcome, report: Option<&Report>) {
    let note = outcome.note();
    let instance = item.event.instance.as_ref().map(|instance| instance.as_str());
    tracing::info!(
        event = item.event.id,
        kind = item.event.kind.as_str(),
        instance,
        handler = item.handler.name,
        module,
        attempt,
        outcome = outcome.as_str(),
        note,
        cpu_ms = report.map(|report| report.cpu.as_secs_f64() * 1e3),
        wall_ms = report.map(|report| report.wall.as_secs_f64() * 1e3),
        peak_memory = report.map(|report| report.peak_memory),
        host_calls = report.map(|report| report.host_calls),
        log_lines_dropped = report.map(|report| report.log_dropped).filter(|dropped| *dropped > 0),
        "attempt"
    );
}

/// One line for the end of the work, as loud as it is bad.
fn summarise(item: &WorkItem, worked: &Worked) {
    let (event, kind, handler) = (item.event.id.as_str(), item.event.kind.as_str(), worked.handler.as_str());
    let instance = item.event.instance.as_ref().map(|instance| instance.as_str());
    let lifecycle = worked.lifecycle.map(Completion::as_str);
    let attempts = worked.attempts;
    match (&worked.decision, worked.lifecycle) {
        (Decision::GaveUp { why }, _) => {
            tracing::error!(event, kind, instance, handler, attempts, lifecycle, why, "gave up");
        }
        (decision, Some(Completion::Late)) => {
            let why = "the lifecycle action was over before it was completed: by another delivery, another hand, or the hook's timeout";
            tracing::warn!(
                event,
                kind,
                instance,
                handler,
                attempts,
                lifecycle,
                decision = decision.as_str(),
                why,
                "late"
            );
        }
        (Decision::Abandon { why }, _) => {
            tracing::warn!(event, kind, instance, handler, attempts, lifecycle, why, "abandoned");
        }
        (Decision::Done, _) => tracing::info!(event, kind, instance, handler, attempts, lifecycle, "done"),
    }
}

#[cfg(test)]
pub(crate) mod tests;
