//! The agent on a node: what the instance metadata service announces to it becomes events.
//!
//! Asks again and again, notices what is new, and hands it on: each announcement once, and again only if it was not brought to
//! its end. Knows nothing of HTTP, and nothing of what is done about an event.

mod notices;
mod silence;
mod target;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use self::notices::Notices;
use self::silence::Silence;
use self::target::Target;
use super::vitals::{Pulse, Readiness};
use crate::clock::Clock;
use crate::event::Event;
use crate::event::imds::{Identity, Item, Member, announced};
use crate::ports::{InstanceId, PortError, PortErrorKind};

/// For one question. The service is on the machine itself and answers within milliseconds; the port's own timeouts are
/// shorter than this.
const CALL: Duration = Duration::from_secs(5);

/// The longest pause between two rounds while nothing is answered: a Spot instance has two minutes.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The instance metadata service, as the door asks it.
#[async_trait]
pub trait Metadata: Send + Sync {
    /// What an item says; none while there is nothing to say (404).
    async fn item(&self, item: Item) -> Result<Option<String>, PortError>;

    /// Who the instance is (the instance identity document).
    async fn identity(&self) -> Result<Identity, PortError>;
}

/// What Auto Scaling knows of an instance, which the instance is not told.
#[async_trait]
pub trait Membership: Send + Sync {
    /// The instance as a member of its group; none if it is in no group.
    async fn member(&self, instance: &InstanceId) -> Result<Option<Member>, PortError>;
}

/// Where events go.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Brings an event to its end, however long that takes, and says whether that was done. What was not is offered again,
    /// as long as it is announced.
    async fn bring(&self, event: Event) -> bool;
}

/// The door.
pub struct Poller {
    /// Who is asked.
    pub metadata: Arc<dyn Metadata>,
    /// Who is asked about lifecycle actions.
    pub membership: Arc<dyn Membership>,
    /// Where events go.
    pub sink: Arc<dyn Sink>,
    /// Tells the time of what is announced without one.
    pub clock: Arc<dyn Clock>,
    /// The instance we are on.
    pub identity: Identity,
    /// `imds.poll`: how often.
    pub every: Duration,
    /// Beats at each round.
    pub pulse: Pulse,
    /// Whether the service answers.
    pub readiness: Readiness,
}

/// What is remembered from round to round.
#[derive(Default)]
struct Round {
    /// What each item said last.
    said: HashMap<Item, Option<String>>,
    notices: Notices,
    target: Target,
    silence: Silence,
    /// The events under way: whether each was brought to its end.
    bringing: JoinSet<bool>,
}

impl Poller {
    /// How often the pulse of a door that polls `every` so often beats at least.
    pub fn turns_within(every: Duration) -> Duration {
        every.max(LONGEST_PAUSE) + 2 * CALL
    }

    /// Polls until `stop`, and then waits for the events that are under way: whoever stops it makes them end.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut round = Round::default();
        loop {
            self.pulse.beat();
            let begun = Instant::now();
            self.look(&mut round).await;
            let next = begun + round.silence.pause(self.every);
            if self.until(next, &mut round, stop.as_mut()).await {
                break;
            }
        }
        while round.bringing.join_next().await.is_some() {}
    }

    /// Attends to what comes to an end before `next`. True: it is time to stop.
    async fn until(&self, next: Instant, round: &mut Round, mut stop: Pin<&mut impl Future<Output = ()>>) -> bool {
        loop {
            self.offer(round);
            tokio::select! {
                () = stop.as_mut() => return true,
                () = sleep_until(next) => return false,
                Some(over) = round.bringing.join_next_with_id() => {
                    let (task, brought) = over.unwrap_or_else(|panic| {
                        tracing::error!(error = %panic, "a fault of this host");
                        (panic.id(), false)
                    });
                    round.notices.over(task, brought, Instant::now());
                }
                Some(actions) = round.target.answer(&self.identity, self.clock.now()) => {
                    round.notices.announced(Item::TargetLifecycleState, actions, Instant::now());
                }
            }
        }
    }

    /// Asks for every item, and notes what is new.
    async fn look(&self, round: &mut Round) {
        let [spot, target, rebalance, maintenance] = Item::ALL.map(|item| async move { (item, self.ask(item).await) });
        let answers: [_; Item::ALL.len()] = tokio::join!(spot, target, rebalance, maintenance).into();
        let failed: Vec<_> = answers.iter().filter_map(|(_, answer)| answer.as_ref().err()).collect();
        round.silence.heard(&failed, answers.len(), &self.readiness);
        for (item, answer) in answers {
            // An item that was not answered says neither more nor less than before.
            let Ok(text) = answer else { continue };
            if round.said.get(&item) != Some(&text) {
                self.changed(round, item, text.as_deref());
                round.said.insert(item, text);
            }
        }
        round.target.ask(&self.membership, &self.identity.instance);
    }

    async fn ask(&self, item: Item) -> Result<Option<String>, PortError> {
        timeout(CALL, self.metadata.item(item)).await.unwrap_or_else(|_| {
            let message = format!("{}: the instance metadata service did not answer within {CALL:?}", item.path());
            Err(PortError::new(PortErrorKind::Timeout, message))
        })
    }

    /// An item says something else than before.
    fn changed(&self, round: &mut Round, item: Item, text: Option<&str>) {
        if item == Item::TargetLifecycleState {
            round.target.set(text.map(str::trim));
            if text.is_none() {
                round.notices.announced(item, Vec::new(), Instant::now());
            }
            return;
        }
        match text.map_or(Ok(Vec::new()), |text| announced(item, text, &self.identity, self.clock.now())) {
            Ok(events) => round.notices.announced(item, events, Instant::now()),
            Err(error) => tracing::error!(%error, "an announcement of the instance metadata that cannot be read"),
        }
    }

    /// Begins what is due.
    fn offer(&self, round: &mut Round) {
        let Round { notices, bringing, .. } = round;
        notices.offer(Instant::now(), |event| {
            let instance = self.identity.instance.as_str();
            tracing::info!(event = event.id, kind = event.kind.as_str(), instance, "announced by instance metadata");
            let sink = Arc::clone(&self.sink);
            bringing.spawn(async move { sink.bring(event).await }).id()
        });
    }
}
