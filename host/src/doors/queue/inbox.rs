//! One message: what it asks for, brought one step on, and what becomes of the message then.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::settle::Complaints;
use super::{DeadLetters, FIRST_HIDE, Queue, Received, Steps};
use crate::dispatch::{DispatchError, End, Step};
use crate::event::{Event, Message, ParseError};
use crate::telemetry::visible;

/// What is quoted of a message that is no event, in characters.
const QUOTED: usize = 300;

/// How many events of one message are brought on at once: an announcement can name thousands of instances, and each step has calls of its
/// own under way.
const AT_ONCE: usize = 32;

/// What a door on a queue works with: the queue, and who brings on what comes from it.
pub struct Inbox {
    /// Where messages come from, and wait.
    pub(super) queue: Arc<dyn Queue>,
    /// Where those go that cannot be handled; none if they are only written to the log.
    pub(super) dead_letters: Option<Arc<dyn DeadLetters>>,
    /// Who brings events on.
    pub(super) steps: Arc<dyn Steps>,
    pub(super) complaints: Complaints,
    /// Whether it has been said that messages can be received only a few times.
    pub(super) warned: AtomicBool,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It may be deleted: everything it asks for has ended and that is written down, or nothing can ever come of it.
    Over,
    /// It comes again.
    Again {
        /// When it is due.
        at: Timestamp,
        /// When nothing it asks for counts any more; none if that is not known.
        deadline: Option<Timestamp>,
        /// When a lifecycle action ends unless it comes before that; none if it has none, or that is not known.
        alive_until: Option<Timestamp>,
    },
}

impl Inbox {
    /// An inbox for the messages of `queue`.
    pub fn new(queue: Arc<dyn Queue>, dead_letters: Option<Arc<dyn DeadLetters>>, steps: Arc<dyn Steps>) -> Self {
        Self { queue, dead_letters, steps, complaints: Complaints::default(), warned: AtomicBool::new(false) }
    }

    /// Brings everything on that a message asks for, one step each, side by side.
    pub(super) async fn bring_on(
        &self,
        message: &Received,
        said: Result<Message, ParseError>,
        closes: Option<Instant>,
    ) -> Fate {
        match said {
            Ok(Message::Events(events)) => self.bring_events_on(message, events, closes).await,
            Ok(Message::Test) => {
                tracing::info!(queue = self.queue.name(), message_id = message.id, "test notification acknowledged");
                Fate::Over
            }
            Err(error) => self.give_up(message, &error).await,
        }
    }

    /// A message of several events is over when all of them have ended, and is due when the first of them is. The ones that have
    /// ended are found so when it comes again.
    async fn bring_events_on(&self, message: &Received, events: Vec<Event>, closes: Option<Instant>) -> Fate {
        let (mut steps, turns) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
        for event in events {
            let (brings_on, turns) = (Arc::clone(&self.steps), Arc::clone(&turns));
            steps.spawn(async move {
                // Nobody closes it.
                let _turn = turns.acquire().await;
                let step = brings_on.step(&event, closes).await;
                (event, step)
            });
        }
        let mut fate = Fate::Over;
        let mut elsewhere = None;
        while let Some(stepped) = steps.join_next().await {
            let again = match stepped {
                Ok((event, Ok(Step::Ended(End::NoHandler)))) => {
                    let (kind, source) = (event.kind.as_str(), event.source.as_str());
                    let (instance, group) = (event.instance.as_ref().map(|id| id.as_str()), event.group.as_ref());
                    let group = group.map(|group| group.as_str());
                    tracing::warn!(
                        event = event.id,
                        kind,
                        source,
                        instance,
                        group,
                        "no handler takes this event: acknowledged"
                    );
                    Fate::Over
                }
                Ok((_, Ok(Step::Ended(_)))) => Fate::Over,
                Ok((event, Ok(Step::Later { at, alive_until, .. }))) => {
                    Fate::Again { at, deadline: self.steps.deadline(&event), alive_until }
                }
                Ok((_, Err(error @ DispatchError::Elsewhere { .. }))) => {
                    elsewhere = Some(error);
                    Fate::Over
                }
                Ok((event, Err(error @ DispatchError::NotCompleted { again, .. }))) => {
                    tracing::warn!(message_id = message.id, event = event.id, %error, "comes again, to be told then");
                    Fate::Again { at: again, deadline: self.steps.deadline(&event), alive_until: None }
                }
                Ok((event, Err(error))) => {
                    tracing::warn!(message_id = message.id, event = event.id, %error, "comes again in {FIRST_HIDE:?}");
                    self.after_failure(self.steps.deadline(&event))
                }
                Err(panic) => {
                    tracing::error!(message_id = message.id, error = %panic, "a fault of this host: comes again in {FIRST_HIDE:?}");
                    self.after_failure(None)
                }
            };
            fate = fate.and(again);
        }
        match elsewhere {
            // While a part of it waits, the message is still needed here.
            Some(error) if fate == Fate::Over => self.refuse(message, &error).await,
            _ => fate,
        }
    }

    /// What becomes of a message after a failure that may pass: what becomes of it after a crash.
    pub(super) fn after_failure(&self, deadline: Option<Timestamp>) -> Fate {
        Fate::Again { at: self.steps.now() + FIRST_HIDE, deadline, alive_until: None }
    }

    /// What becomes of a message that is only waited with, for the queue itself to do something about it: its receives need not last.
    fn not_needed(&self) -> Fate {
        self.after_failure(Some(self.steps.now()))
    }

    /// A message that is no event, and never will be.
    async fn give_up(&self, message: &Received, error: &ParseError) -> Fate {
        let (queue, id) = (self.queue.name(), message.id.as_str());
        let Some(dead_letters) = &self.dead_letters else {
            let body = quoted(&message.body);
            let why = "acknowledged, since there is no dead-letter in [queue] to send it to";
            tracing::error!(queue, message_id = id, %error, body, why, "not an event");
            return Fate::Over;
        };
        self.send_away(&**dead_letters, message, "not an event", error).await
    }

    /// A message for another account or region: of use, and not here.
    async fn refuse(&self, message: &Received, error: &DispatchError) -> Fate {
        let (queue, id, receives) = (self.queue.name(), message.id.as_str(), message.receives);
        if let Some(dead_letters) = &self.dead_letters {
            return self.send_away(&**dead_letters, message, "cannot be handled here", error).await;
        }
        // It comes every half a minute until the queue's own redrive policy takes it.
        if receives.is_power_of_two() {
            let why = "left to the redrive policy of the queue, since there is no dead-letter in [queue] to send it to";
            tracing::error!(queue, message_id = id, receives, %error, why, "cannot be handled here");
        }
        self.not_needed()
    }

    /// Sent first and deleted then: a crash in between leaves two copies, and never none.
    async fn send_away(
        &self,
        dead_letters: &dyn DeadLetters,
        message: &Received,
        what: &str,
        why: &(dyn std::error::Error + Sync),
    ) -> Fate {
        let (queue, message_id, to) = (self.queue.name(), message.id.as_str(), dead_letters.name());
        let Err(not_sent) = dead_letters.send(message, &why.to_string()).await else {
            tracing::error!(queue, message_id, error = %why, to, "{what}: sent to the dead-letter queue");
            return Fate::Over;
        };
        let body = quoted(&message.body);
        let meaning = "it stays in its queue, and sending it is tried again when it comes again";
        tracing::error!(
            queue,
            message_id,
            error = %why,
            to,
            %not_sent,
            body,
            meaning,
            "{what}, and could not be sent to the dead-letter queue"
        );
        self.not_needed()
    }
}

impl Fate {
    /// What becomes of a message of two parts.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Over, fate) | (fate, Self::Over) => fate,
            (
                Self::Again { at, deadline, alive_until },
                Self::Again { at: sooner, deadline: later, alive_until: until },
            ) => {
                // It is needed as long as any part of it is.
                let deadline = deadline.zip(later).map(|(one, other)| one.max(other));
                let alive_until = [alive_until, until].into_iter().flatten().min();
                Self::Again { at: at.min(sooner), deadline, alive_until }
            }
        }
    }
}

/// The beginning of a text from outside, on one line.
fn quoted(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTED).collect();
    if quoted.len() < text.len() {
        quoted.push('…');
    }
    visible(&quoted)
}
