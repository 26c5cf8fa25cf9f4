//! A batch of messages that is answered for as a whole: what Lambda hands to one invocation.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};

use super::in_flight::InFlight;
use super::inbox::{Fate, Inbox};
use super::{EXTEND_EVERY, Received};
use crate::event::{Message, ParseError};

/// What is kept back of the door's time, to set the delays and to answer.
const TO_ANSWER: Duration = Duration::from_secs(3);

/// What is kept back of that for the answer alone.
const TO_SAY: Duration = Duration::from_millis(500);

impl Inbox {
    /// Brings the messages of a batch on, side by side. Whoever answers for the batch says which of them come again; the others are
    /// to be deleted. `closes` is when the answer has to be there.
    ///
    /// All of them stay hidden until the last is through, and only then are the delays set.
    pub async fn bring_batch_on(
        self: &Arc<Self>,
        batch: Vec<(Received, Result<Message, ParseError>)>,
        closes: Instant,
    ) -> Brought {
        let stop = closes.checked_sub(TO_ANSWER).unwrap_or(closes);
        let mut in_flight = InFlight::new(self);
        for (message, said) in batch {
            in_flight.begin(message, said, Some(stop));
        }
        let mut through = Vec::new();
        // The first time is at once: whatever visibility timeout the queue has, a crash costs seconds from now on.
        let mut extend = interval(EXTEND_EVERY);
        extend.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = sleep_until(stop) => break,
                _ = extend.tick() => {
                    let waiting = through.iter().map(|(message, _)| message);
                    // What SQS leaves without an answer must not cost those their time who have one.
                    let _ = timeout_at(stop, self.extend(in_flight.messages().chain(waiting))).await;
                }
                next = in_flight.next() => match next {
                    Some(done) => through.push(done),
                    None => break,
                },
            }
        }
        let (late, cut) = in_flight.cut_off().await;
        through.extend(late);
        for message in cut {
            tracing::error!(message_id = message.id, "cut off by the end of the invocation: comes again");
            through.push((message, self.after_failure(None)));
        }
        // Late is better than no answer, which makes all of them come again.
        let answer = closes.checked_sub(TO_SAY).unwrap_or(closes);
        if timeout_at(answer, self.put_off(&through)).await.is_err() {
            tracing::error!(queue = self.queue.name(), "no time was left to set delays: messages come again early");
        }
        Brought(through)
    }

    /// Deletes what is over of a batch, where whoever answers for it cannot.
    pub async fn delete(&self, brought: &Brought) {
        self.delete_what_is_over(&brought.0).await;
    }
}

/// What became of the messages of a batch.
pub struct Brought(Vec<(Received, Fate)>);

impl Brought {
    /// The ids of those that come again.
    pub fn again(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, fate)| *fate != Fate::Over).map(|(message, _)| message.id.as_str())
    }
}
