//! The end of an item: decided once, written down, told to Auto Scaling, written down as ended. Whoever takes over in between
//! repeats what was decided, and never decides again.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::judge::backoff;
use super::work::Work;
use super::{CALL, DispatchError, End, Step, Worked, after, told};
use crate::event::{LifecycleAction, Transition};
use crate::ledger::{Finishing, Order};
use crate::lifecycle::{Answer, Completion, LifecycleResult};
use crate::outcome::Decision;
use crate::policy::{Handler, OnFailure};
use crate::ports::{PortError, PortErrorKind};

/// How often completing is tried when Auto Scaling does not answer as it should. The port tries once: a retry of its own would
/// read that the action is over, and not know that it was the one who ended it.
const COMPLETE_TRIES: u32 = 3;

/// How long a host that could not tell Auto Scaling leaves it to the next.
const TELL_AGAIN_AFTER: std::time::Duration = std::time::Duration::from_secs(15);

impl Work<'_> {
    /// Writes down how the item ends, and brings it there. What a person has ordered by then goes before what we have decided, and
    /// before giving up goes the further attempt that one has asked for.
    pub(super) async fn decide(mut self, decision: Decision) -> Result<Step, DispatchError> {
        let gives_up = matches!(decision, Decision::GaveUp { .. });
        let ours = self.finishing(decision);
        self.dispatch
            .ledger
            .note(&self.held, |item| {
                let another = gives_up && self.asked_for_another(item);
                self.write_to(item);
                let ordered = item.order.as_ref().map(|Order { result, by, .. }| {
                    self.finishing(Decision::Ordered { result: *result, by: by.clone() })
                });
                item.finishing = ordered.or_else(|| (!another).then(|| ours.clone()));
                if item.finishing.is_some() {
                    // Nothing runs any more that it would be handed to.
                    item.state = None;
                }
            })
            .await?;
        let Some(finishing) = self.held.item().await.and_then(|item| item.finishing) else {
            let now = self.dispatch.ports.clock.now();
            return self.give_back(now, "a further attempt was asked for".to_owned()).await;
        };
        self.item.finishing = Some(finishing.clone());
        self.tell_and_end(finishing, false).await
    }

    fn finishing(&self, decision: Decision) -> Finishing {
        let action = self.event.lifecycle_action.as_ref();
        let result = action.and_then(|action| lifecycle_result(&decision, &self.handler, action));
        Finishing { decision, result, sent: result.is_some(), at: self.dispatch.ports.clock.now() }
    }

    /// Repeats what was decided before.
    pub(super) async fn finish(mut self, mut finishing: Finishing) -> Result<Step, DispatchError> {
        let earlier = finishing.sent;
        if !earlier && finishing.result.is_some() {
            finishing.sent = true;
            self.item.finishing = Some(finishing.clone());
            self.dispatch.ledger.note(&self.held, |item| self.write_to(item)).await?;
        }
        let (event, decision) = (self.event.id.as_str(), finishing.decision.as_str());
        tracing::info!(
            event,
            handler = self.handler.name,
            decision,
            "what was decided before is told to Auto Scaling now"
        );
        self.tell_and_end(finishing, earlier).await
    }

    /// `earlier` says that a call of another host, or of an earlier step, may have taken effect already.
    async fn tell_and_end(mut self, finishing: Finishing, earlier: bool) -> Result<Step, DispatchError> {
        let action = self.event.lifecycle_action.clone();
        let completion = match (&action, finishing.result) {
            (None, _) => None,
            (Some(_), None) => Some(Completion::Left),
            (Some(action), Some(result)) => {
                let alive = Mutex::new(self.item.clone());
                // Many that complete at once wait for their turn, and the action has to live until then.
                let completed = tokio::select! {
                    biased;
                    lost = self.hold() => return Err(lost.into()),
                    never = self.dispatch.keep_alive(&alive, &self.recorder) => match never {},
                    completed = self.complete(action, result, earlier) => completed,
                };
                self.item = alive.into_inner().unwrap_or_else(PoisonError::into_inner);
                match completed {
                    Ok(completion) => Some(completion),
                    Err((error, unheard)) => {
                        self.item.finishing = Some(Finishing { sent: unheard, ..finishing });
                        return self.not_completed(action, result, error).await;
                    }
                }
            }
        };
        self.dispatch.ledger.end(&self.held, &finishing.decision, completion).await?;
        let worked = Worked {
            handler: self.handler.name.clone(),
            decision: finishing.decision,
            attempts: self.item.attempts,
            lifecycle: completion,
        };
        told::ended(&self, &worked);
        Ok(Step::Ended(End::Worked(worked)))
    }

    /// Leaves it to a later step to tell Auto Scaling, and keeps the action alive until then.
    async fn not_completed(
        mut self,
        action: &LifecycleAction,
        result: LifecycleResult,
        source: PortError,
    ) -> Result<Step, DispatchError> {
        let again = after(self.dispatch.ports.clock.now(), TELL_AGAIN_AFTER);
        if self.item.next_heartbeat().is_some_and(|beat| beat < again) {
            let beat = self.dispatch.heartbeat(action, &self.recorder, CALL).await;
            self.item.note_heartbeat(beat, self.dispatch.ports.clock.now());
        }
        let (event, instance) = (self.event.id.clone(), action.instance.to_string());
        let again = match self.give_back(again, String::new()).await? {
            Step::Later { at, .. } => at,
            Step::Ended(_) => again,
        };
        Err(DispatchError::NotCompleted { event, instance, result: result.as_str(), source, again })
    }

    /// Tells Auto Scaling what was decided. An error comes with whether a call may have taken effect all the same.
    async fn complete(
        &self,
        action: &LifecycleAction,
        result: LifecycleResult,
        earlier: bool,
    ) -> Result<Completion, (PortError, bool)> {
        let completed = match result {
            LifecycleResult::Continue => Completion::Continue,
            LifecycleResult::Abandon => Completion::Abandon,
        };
        let lifecycle = self.recorder.lifecycle(&self.dispatch.lifecycle);
        let mut tries = 1;
        // Whether an earlier try may have taken effect without our hearing of it.
        let mut unheard = earlier;
        loop {
            match lifecycle.complete(action, result).await {
                Ok(Answer::Accepted) => return Ok(completed),
                Ok(Answer::Over) if unheard => return Ok(completed),
                Ok(Answer::Over) => return Ok(Completion::Late),
                Err(error) => {
                    unheard |= matches!(error.kind, PortErrorKind::Timeout | PortErrorKind::Unavailable);
                    let wait = backoff(tries);
                    let time = !self.dispatch.closing.has_cut()
                        && self.door_closes.is_none_or(|closes| Instant::now() + wait + CALL < closes);
                    if !error.retryable() || tries >= COMPLETE_TRIES || !time {
                        return Err((error, unheard));
                    }
                    tracing::warn!(event = self.event.id, %error, tries, "completing the lifecycle action failed; trying again");
                    tokio::time::sleep(wait).await;
                    tries += 1;
                }
            }
        }
    }
}

/// What Auto Scaling is told; nothing when the policy leaves it to the hook.
fn lifecycle_result(decision: &Decision, handler: &Handler, action: &LifecycleAction) -> Option<LifecycleResult> {
    let on_failure = handler.finish.on_failure.unwrap_or(match action.transition {
        Transition::Terminating => OnFailure::Abandon,
        // ABANDON makes Auto Scaling launch another instance: a broken plugin would make that a storm.
        Transition::Launching => OnFailure::Leave,
    });
    match (decision, on_failure) {
        (Decision::Done, _) => Some(LifecycleResult::Continue),
        (Decision::Abandon { .. }, _) => Some(LifecycleResult::Abandon),
        (Decision::Ordered { result, .. }, _) => Some(*result),
        (Decision::GaveUp { .. }, OnFailure::Continue) => Some(LifecycleResult::Continue),
        (Decision::GaveUp { .. }, OnFailure::Abandon) => Some(LifecycleResult::Abandon),
        (Decision::GaveUp { .. }, OnFailure::Leave) => None,
    }
}
