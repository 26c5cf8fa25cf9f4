//! The agent's door: receives messages itself, and answers for each of them when it is through.

use std::collections::hash_map::RandomState;
use std::future::pending;
use std::hash::BuildHasher;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout, timeout_at};

use super::in_flight::InFlight;
use super::inbox::Inbox;
use super::{EXTEND_EVERY, FIRST_HIDE, Received};
use crate::clock::doubling;
use crate::doors::vitals::{Pulse, Readiness};
use crate::event::parse_message;
use crate::ports::{PortError, PortErrorKind, Region};

/// How many messages SQS gives at once, and how long it waits for the first ("ReceiveMessage").
const MOST: usize = 10;
const LONG_POLL: Duration = Duration::from_secs(20);

/// How long after a failure SQS is asked again; it doubles with each further one in a row, up to the longest.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// What is kept back of the time for shutting down to hand messages back: a quarter, and this at most. By then attempts have been cut
/// short for a while (`commands/agent`), so that their leases are given back before.
const TO_HAND_BACK: Duration = Duration::from_secs(2);

/// Takes messages from a queue for as long as the agent lives.
pub struct Poller {
    /// The queue, and who brings on what comes from it.
    pub inbox: Arc<Inbox>,
    /// Where the queue is: some events do not say it.
    pub region: Region,
    /// `queue.concurrency`: how many messages are worked on at once.
    pub concurrency: usize,
    /// `agent.shutdown`: how long the work may go on when the agent is to end.
    pub shutdown: Duration,
    /// Beats at each turn.
    pub pulse: Pulse,
    /// Whether messages can be received.
    pub readiness: Readiness,
}

impl Poller {
    /// How often its pulse beats at least: after each extension, and however long SQS leaves the calls of one turn without an
    /// answer.
    pub const TURNS_WITHIN: Duration = Duration::from_secs(60);

    /// Serves until `stop`, and hands back then what is not through in time.
    ///
    /// An error only if there never was a queue: one that cannot be received from at the start, for a reason that does not pass.
    /// Later such a reason is an operator at work, and is waited out.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), PortError> {
        let mut stop = pin!(stop);
        self.inbox.check_queue().await?;
        let mut receiver = Receiver::new(&self.inbox);
        let mut in_flight = InFlight::new(&self.inbox);
        let mut extend = interval_at(Instant::now() + EXTEND_EVERY, EXTEND_EVERY);
        extend.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.pulse.beat();
            let room = self.concurrency.saturating_sub(in_flight.len());
            tokio::select! {
                () = &mut stop => break,
                received = receiver.receive(room, &self.readiness) => {
                    for message in received? {
                        let said = parse_message(message.body.as_bytes(), Some(&self.region));
                        in_flight.begin(message, said, None);
                    }
                }
                Some(done) = in_flight.next() => {
                    let mut through = vec![done];
                    while let Some(done) = in_flight.ready() {
                        through.push(done);
                    }
                    // One after the other, never beside an extension: a message that is settled must not be hidden by one that
                    // comes late.
                    self.inbox.settle(&through).await;
                }
                _ = extend.tick() => self.inbox.extend(in_flight.messages()).await,
            }
        }
        self.shut_down(in_flight, receiver.close()).await;
        Ok(())
    }

    /// Lets work end, which whoever ends the process cuts short, and hands the rest back: first it ends, then its message is shown to
    /// others.
    async fn shut_down(&self, mut in_flight: InFlight, not_begun: Vec<Received>) {
        let began = Instant::now();
        let to_hand_back = TO_HAND_BACK.min(self.shutdown / 4);
        let stop = began + (self.shutdown - to_hand_back);
        tracing::info!(queue = self.inbox.queue.name(), messages = in_flight.len(), "no more messages are taken");
        let _ = timeout_at(stop, self.inbox.hand_back(&not_begun)).await;
        let mut extend = interval_at(began + EXTEND_EVERY, EXTEND_EVERY);
        loop {
            self.pulse.beat();
            tokio::select! {
                biased;
                () = sleep_until(stop) => break,
                next = in_flight.next() => match next {
                    Some(done) => {
                        let _ = timeout_at(stop, self.inbox.settle(&[done])).await;
                    }
                    None => return,
                },
                _ = extend.tick() => {
                    let _ = timeout_at(stop, self.inbox.extend(in_flight.messages())).await;
                }
            }
        }
        let handed_back = timeout(to_hand_back, async {
            let (through, cut) = in_flight.cut_off().await;
            tokio::join!(self.inbox.settle(&through), self.inbox.hand_back(&cut));
            let messages = cut.len();
            tracing::info!(queue = self.inbox.queue.name(), messages, "work cut short, and messages handed back");
        });
        if handed_back.await.is_err() {
            let meaning = "they come again when the time is over for which they are hidden already";
            tracing::warn!(queue = self.inbox.queue.name(), meaning, "no time was left to hand messages back");
        }
    }
}

/// Receives messages, one call at a time.
struct Receiver {
    inbox: Arc<Inbox>,
    /// The call under way, if there is one. It is a task of its own: SQS hides what it gives, so its answer must not be lost
    /// whenever something else is done first.
    call: JoinSet<Result<Vec<Received>, PortError>>,
    /// When the last call was made.
    called: Instant,
    /// When the next call is made, at the soonest.
    not_before: Instant,
    /// Failures in a row.
    failures: u32,
    /// Whether a call has succeeded.
    proven: bool,
    chance: ChaCha8Rng,
}

impl Receiver {
    fn new(inbox: &Arc<Inbox>) -> Self {
        let now = Instant::now();
        Self {
            inbox: Arc::clone(inbox),
            call: JoinSet::new(),
            called: now,
            not_before: now,
            failures: 0,
            proven: false,
            chance: ChaCha8Rng::seed_from_u64(RandomState::new().hash_one(now)),
        }
    }

    /// The next messages, no more than there is `room` for. Loses nothing when it is dropped.
    async fn receive(&mut self, room: usize, readiness: &Readiness) -> Result<Vec<Received>, PortError> {
        if self.call.is_empty() {
            if room == 0 {
                return pending().await;
            }
            sleep_until(self.not_before).await;
            let queue = Arc::clone(&self.inbox.queue);
            self.called = Instant::now();
            // The first call does not wait: it only finds out whether there is a queue.
            let wait = if self.proven { LONG_POLL } else { Duration::ZERO };
            self.call.spawn(async move { queue.receive(room.min(MOST), wait, FIRST_HIDE).await });
        }
        let answer = match self.call.join_next().await {
            Some(Ok(answer)) => answer,
            Some(Err(panic)) => Err(PortError::new(PortErrorKind::Other, panic.to_string())),
            None => Ok(Vec::new()),
        };
        match &answer {
            Ok(_) => readiness.ready(),
            Err(error) => readiness.not_ready(error.to_string()),
        }
        self.answered(answer)
    }

    fn answered(&mut self, answer: Result<Vec<Received>, PortError>) -> Result<Vec<Received>, PortError> {
        let queue = self.inbox.queue.name();
        match answer {
            Ok(messages) => {
                if self.failures > 0 {
                    tracing::info!(queue, failures = self.failures, "messages are received again");
                }
                // What is not a long poll must not become a storm of short ones.
                if messages.is_empty() && self.proven {
                    self.not_before = self.called + FIRST_BACKOFF;
                }
                (self.failures, self.proven) = (0, true);
                Ok(messages)
            }
            Err(error) if !self.proven && !error.passes() => Err(error),
            Err(error) => {
                self.failures += 1;
                let pause = backoff(self.failures, &mut self.chance);
                self.not_before = Instant::now() + pause;
                tracing::error!(queue, %error, failures = self.failures, next = ?pause, "no messages can be received");
                Ok(Vec::new())
            }
        }
    }

    /// Makes no more calls. Returns what has come meanwhile; what comes to the call that is dropped now, SQS gives again when it
    /// is no longer hidden.
    fn close(mut self) -> Vec<Received> {
        self.call.try_join_next().and_then(Result::ok).and_then(Result::ok).unwrap_or_default()
    }
}

/// The pause after so many failures in a row, cut by up to a half so that agents do not come back in step.
fn backoff(failures: u32, chance: &mut ChaCha8Rng) -> Duration {
    doubling(FIRST_BACKOFF, failures, LONGEST_BACKOFF).mul_f64(chance.random_range(0.5..=1.0))
}
