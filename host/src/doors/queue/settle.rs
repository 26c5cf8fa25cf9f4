//! What the queue is told about messages: that they stay hidden, when they are due, and that they are over.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use super::delay::{FEW, Wait, extension};
use super::inbox::{Fate, Inbox};
use super::{Attributes, Receipt, Received};
use crate::ports::{PortError, PortErrorKind};

/// How long SQS is waited for when it is told that messages stay hidden. The next time comes soon.
const EXTENDING: Duration = Duration::from_secs(5);

/// And when it is answered for messages: others are hidden meanwhile, and have to stay so.
const SETTLING: Duration = Duration::from_secs(10);

/// How long nothing is said about a call that fails again in the same way.
const SILENCE: Duration = Duration::from_secs(60);

/// A call to the queue that can fail for a message, and what that means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Told {
    Extend,
    PutOff,
    Delete,
    HandBack,
}

/// What has been complained about, and when.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<HashMap<(Told, PortErrorKind), Instant>>);

impl Inbox {
    /// Answers for messages: those that are over are deleted, the others hidden until they are due.
    pub(super) async fn settle(&self, messages: &[(Received, Fate)]) {
        let settled = async { tokio::join!(self.delete_what_is_over(messages), self.put_off(messages)) };
        if timeout(SETTLING, settled).await.is_err() {
            let meaning = "what is over is received once more and found ended, and what waits comes again early";
            tracing::error!(
                queue = self.queue.name(),
                meaning,
                "the queue did not answer for messages within {SETTLING:?}"
            );
        }
    }

    /// Hides the messages that come again until they are due. The last that is done to them: set earlier, a delay runs out while
    /// whoever answers for them is still at work.
    pub(super) async fn put_off(&self, messages: &[(Received, Fate)]) {
        let again = messages.iter().filter_map(|(message, fate)| match fate {
            Fate::Over => None,
            Fate::Again { at, deadline, alive_until } => Some((message, *at, *deadline, *alive_until)),
        });
        let again: Vec<_> = again.collect();
        if again.is_empty() {
            return;
        }
        let max_receives = self.max_receives().await;
        let now = self.steps.now();
        let until = |time: Timestamp| Duration::try_from(time.duration_since(now)).unwrap_or_default();
        let hidden = again.iter().map(|(message, at, deadline, alive_until)| {
            let wait = Wait {
                asked: until(*at),
                needed: deadline.map(until),
                alive: alive_until.map(until),
                receives: message.receives,
                max_receives,
                age: message.at.elapsed(),
            };
            (*message, self.delay(message, wait))
        });
        self.hide(Told::PutOff, hidden.collect()).await;
    }

    /// Keeps messages hidden that are worked on, from now on for [`FIRST_HIDE`](super::FIRST_HIDE).
    pub(super) async fn extend(&self, messages: impl Iterator<Item = &Received>) {
        let hidden = messages.filter_map(|message| Some((message, extension(message.at.elapsed())?)));
        // What SQS leaves without an answer must not hold up what else there is to do.
        let _ = timeout(EXTENDING, self.hide(Told::Extend, hidden.collect())).await;
    }

    /// Shows messages again that nobody works on any more.
    pub(super) async fn hand_back(&self, messages: &[Received]) {
        self.hide(Told::HandBack, messages.iter().map(|message| (message, Duration::ZERO)).collect()).await;
    }

    pub(super) async fn delete_what_is_over(&self, messages: &[(Received, Fate)]) {
        let over: Vec<_> =
            messages.iter().filter(|(_, fate)| *fate == Fate::Over).map(|(message, _)| message).collect();
        if over.is_empty() {
            return;
        }
        let receipts: Vec<_> = over.iter().map(|message| message.receipt.clone()).collect();
        let answers = self.queue.delete(&receipts).await;
        self.complain(Told::Delete, over.into_iter().zip(answers));
    }

    async fn hide(&self, told: Told, messages: Vec<(&Received, Duration)>) {
        if messages.is_empty() {
            return;
        }
        let receipts: Vec<(Receipt, Duration)> =
            messages.iter().map(|(message, hide)| (message.receipt.clone(), *hide)).collect();
        let answers = self.queue.hide(&receipts).await;
        self.complain(told, messages.into_iter().map(|(message, _)| message).zip(answers));
    }

    /// How long a message is hidden, and what is to be said about that.
    fn delay(&self, message: &Received, wait: Wait) -> Duration {
        let delay = wait.delay();
        let (id, receives, max, hide) = (message.id.as_str(), wait.receives, wait.max_receives, delay.hide);
        if delay.last {
            let meaning = "SQS moves it to the dead-letter queue next; what it asks for stays open in the ledger until the sweep \
                           adopts it. Set maxReceiveCount to 1000 in the redrive policy of the queue";
            tracing::error!(message_id = id, receives, max, meaning, "no receive is left");
        } else if delay.stretched {
            let why = "so that the receives that are left last until the deadline";
            tracing::warn!(message_id = id, receives, max, asked = ?wait.asked, ?hide, why, "comes again later than asked");
        } else {
            tracing::debug!(message_id = id, receives, ?hide, "comes again");
        }
        hide
    }

    /// Says at start what about the queue will be in the way. An error if there is no queue, or none for what cannot be handled.
    pub(super) async fn check_queue(&self) -> Result<(), PortError> {
        if let Some(dead_letters) = &self.dead_letters
            && let Err(error) = dead_letters.check().await
            && error.kind == PortErrorKind::NotFound
        {
            return Err(error);
        }
        match self.queue.attributes().await {
            Ok(attributes) => self.warn_of_few(attributes),
            Err(error) if error.kind == PortErrorKind::NotFound => return Err(error),
            // It is asked for again, and said then, when it matters.
            Err(_) => {}
        }
        Ok(())
    }

    /// Says once that messages can be received only a few times.
    fn warn_of_few(&self, Attributes { max_receives, visibility_timeout }: Attributes) {
        let Some(max) = max_receives.filter(|max| *max <= FEW) else { return };
        if self.warned.swap(true, Ordering::Relaxed) {
            return;
        }
        let (queue, what) = (self.queue.name(), "messages of the queue can be received only a few times");
        let meaning = "messages that wait are received again and again, so delays are stretched from the first on: set \
                       maxReceiveCount to 1000 in its redrive policy";
        tracing::warn!(queue, max, ?visibility_timeout, meaning, "{what}");
    }

    /// How often a message can be received; none if there is no limit, or if it is not known.
    async fn max_receives(&self) -> Option<u32> {
        let error = match self.queue.attributes().await {
            Ok(attributes) => {
                self.warn_of_few(attributes);
                return attributes.max_receives;
            }
            Err(error) => error,
        };
        if self.complaints.is_new(Told::PutOff, error.kind) {
            let meaning =
                "it is not known how often a message can be received, so delays are not stretched when that ends";
            tracing::warn!(queue = self.queue.name(), %error, meaning, "the queue's attributes cannot be read");
        }
        None
    }

    /// One line for each kind of failure, and none for what was said a moment ago.
    fn complain<'a>(&self, told: Told, answers: impl Iterator<Item = (&'a Received, Result<(), PortError>)>) {
        let mut failures: HashMap<PortErrorKind, (usize, &str, PortError)> = HashMap::new();
        for (message, answer) in answers {
            if let Err(error) = answer {
                failures.entry(error.kind).or_insert_with(|| (0, message.id.as_str(), error)).0 += 1;
            }
        }
        let (what, meaning) = (told.what(), told.meaning());
        for (kind, (messages, first, error)) in failures {
            if self.complaints.is_new(told, kind) {
                tracing::error!(queue = self.queue.name(), messages, first, %error, meaning, "{what}");
            }
        }
    }
}

impl Told {
    fn what(self) -> &'static str {
        match self {
            Self::Extend => "messages that are worked on could not be hidden",
            Self::PutOff => "messages could not be hidden until they are due",
            Self::Delete => "messages that are over could not be deleted",
            Self::HandBack => "messages could not be handed back",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Extend => {
                "unless the next try succeeds they are received again while they are worked on, and the ledger has to keep the two apart"
            }
            Self::PutOff => {
                "they come again when the time is over for which they are hidden already, and wait on then: nothing is lost, but each \
                 time counts toward maxReceiveCount"
            }
            Self::Delete => "they are received again, found ended, and deleted then",
            Self::HandBack => "they come again when the time is over for which they are hidden already",
        }
    }
}

impl Complaints {
    /// Whether this has not been said for a while. It has been now.
    fn is_new(&self, told: Told, kind: PortErrorKind) -> bool {
        let now = Instant::now();
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = said.get(&(told, kind)).is_none_or(|said| now.duration_since(*said) >= SILENCE);
        if new {
            said.insert((told, kind), now);
        }
        new
    }
}
