//! Plays a case: a world of its own, under virtual time, on a runtime of its own.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tracing_subscriber::layer::SubscriberExt;

use super::case::{Case, Incident};
use super::plugins::Plugins;
use crate::assemble;
use crate::dispatch::{Dispatch, DispatchError, End};
use crate::event::Event;
use crate::sim::{Entry, Fault, Picture, World};

/// How long after a host was killed, or could not bring an event to its end, the event is delivered again: the visibility
/// timeout of a queue that is set up well.
const DELIVERED_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// How often an event is delivered in all, when it cannot be brought to its end: a queue, too, gives up some day. A handler that
/// needs more is in trouble.
const DELIVERIES: u32 = 10;

/// What is different from the case as it is written, in one run of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Variation {
    /// Decides what chance does.
    pub(super) seed: u64,
    /// Faults beside those of the case.
    pub(super) faults: Vec<Fault>,
    /// Events that come later than the case says: the place of the event, and how much.
    pub(super) delays: Vec<(usize, Duration)>,
    /// Deliveries beside those of the case: the place of the event, and when.
    pub(super) deliveries: Vec<(usize, Duration)>,
}

impl Variation {
    /// When an event is delivered that the case delivers `at` these times.
    pub(super) fn deliveries_of(&self, event: usize, at: &[Duration]) -> Vec<Duration> {
        let delay: Duration = self.delays.iter().filter(|(of, _)| *of == event).map(|(_, delay)| *delay).sum();
        let more = self.deliveries.iter().filter(|(of, _)| *of == event).map(|(_, at)| *at);
        at.iter().map(|at| *at + delay).chain(more).collect()
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub(super) struct Played {
    /// What the world's clock said at the beginning.
    pub(super) start: Timestamp,
    /// How each delivery of each event ended, in the order they did: with the place of the event.
    pub(super) ends: Vec<(usize, Ended)>,
    pub(super) journal: Vec<Entry>,
    /// How often each operation was called: those of the handler, of the host, and of its ledger.
    pub(super) called: BTreeMap<&'static str, u32>,
    pub(super) picture: Picture,
    /// Faults that befell nothing, in words.
    pub(super) idle_faults: Vec<String>,
    /// Answers and services of the world that came to nothing, in words.
    pub(super) idle_parts: Vec<String>,
    /// How long it took by the clock of the world.
    pub(super) virtual_time: Duration,
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    Handled(End),
    /// It failed: in the last of [`DELIVERIES`], or in the first when another would be of no use.
    Failed(DispatchError),
    /// The host was killed in the last of [`DELIVERIES`].
    Killed,
    /// The event contradicts the world, or the host panicked.
    Broken(String),
}

/// Plays a case once.
pub(super) fn play(case: &Case, plugins: &Plugins, variation: &Variation) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without a driver for sockets needs nothing of the system");
    let faults = case.faults.iter().chain(&variation.faults).cloned().collect();
    let world = case.begin().with_faults(faults, variation.seed);
    let heard = tracing_subscriber::registry().with(world.listener());
    let (ends, virtual_time) = tracing::subscriber::with_default(heard, || {
        runtime.block_on(async {
            let ends = deliver(case, plugins, variation, &world).await;
            let virtual_time = world.age();
            // A Spot instance has a last minute whatever the handler said: only then it shows what was lost.
            world.until_reclaimed().await;
            (ends, virtual_time)
        })
    });
    let _entered = runtime.enter();
    Played {
        start: world.start(),
        ends,
        journal: world.journal(),
        called: world.called(),
        picture: world.picture(),
        idle_faults: world.idle_faults(),
        idle_parts: world.idle_parts(),
        virtual_time,
    }
}

/// Makes every delivery at its time, and waits for all of them to end.
async fn deliver(case: &Case, plugins: &Plugins, variation: &Variation, world: &World) -> Vec<(usize, Ended)> {
    let dispatch =
        Arc::new(assemble::played(case.policy.clone(), plugins.modules(case, world), plugins.sandbox(), world));
    let deliveries_of = |(index, incident): (usize, &Incident)| {
        variation.deliveries_of(index, &incident.at).into_iter().map(move |at| (index, at))
    };
    let mut deliveries = JoinSet::new();
    for (index, at) in case.events.iter().enumerate().flat_map(deliveries_of) {
        let (event, world, dispatch) = (case.events[index].event.clone(), world.clone(), Arc::clone(&dispatch));
        deliveries.spawn(async move {
            tokio::time::sleep(at).await;
            (index, to_its_end(&dispatch, &world, &event).await)
        });
    }
    let mut ends = Vec::new();
    while let Some(ended) = deliveries.join_next().await {
        ends.push(ended.unwrap_or_else(|error| (0, panicked(&*error.into_panic()))));
    }
    ends
}

/// One delivery: again and again while the host is killed or fails, as a queue does it.
async fn to_its_end(dispatch: &Dispatch, world: &World, event: &Event) -> Ended {
    if let Err(error) = world.deliver(event) {
        return Ended::Broken(error.to_string());
    }
    let mut kills = world.kills();
    for delivery in 1..=DELIVERIES {
        kills.mark_unchanged();
        let failed = tokio::select! {
            biased;
            _ = kills.changed() => None,
            ended = dispatch.handle(event.clone(), None) => match ended {
                Ok(end) => return Ended::Handled(end),
                Err(error) => Some(error),
            },
        };
        match failed {
            Some(error) if delivery == DELIVERIES || matches!(error, DispatchError::Elsewhere { .. }) => {
                return Ended::Failed(error);
            }
            None if delivery == DELIVERIES => return Ended::Killed,
            Some(error) => tracing::warn!(%error, "not brought to its end: delivered again"),
            None => tracing::warn!(event = event.id, "the host was killed: the event is delivered again, to a new one"),
        }
        tokio::time::sleep(DELIVERED_AGAIN_AFTER).await;
    }
    unreachable!("the last delivery returns, whatever it comes to")
}

pub(super) fn panicked(payload: &(dyn Any + Send)) -> Ended {
    let literal = payload.downcast_ref::<&str>().copied();
    let told = literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("it said nothing");
    Ended::Broken(format!("the host panicked, which is a defect of hostler: {told}"))
}
