//! The ports on a simulated world, under virtual time.
//!
//! Owns what the world is ([`World::parse`], [`Blueprint::around`]), how AWS's rules move it, and the journal of what was asked
//! of it. Knows nothing of policy, plugins or what is being tested. The rules are those of AWS's documents, each named where
//! it is applied; where the simulation knows that it differs, its docs say so ("not as AWS does it"). In general: calls
//! take no time, see every change at once unless the world says `eventually-consistent`, and fail only by order ([`Fault`]).
//!
//! Time is tokio's alone: run a world on a runtime whose clock is paused, and an hour of draining takes milliseconds.

mod agent;
mod around;
mod arrival;
mod autoscaling;
mod described;
mod ec2;
mod ecs;
mod faults;
mod file;
mod group;
mod history;
mod idle;
mod journal;
pub(crate) mod keys;
mod ledger;
mod lifecycle;
mod listener;
mod node;
mod picture;
pub mod queue;
mod service;
mod ssh;
mod state;
mod sweep;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

pub use self::faults::{Fault, FaultKind, When, operations, told_operations};
use self::faults::{Faults, Faulty};
pub use self::group::ActionEnd;
use self::journal::Journal;
pub use self::journal::{Call, Entry, Line, MAX_ENTRIES, Reply, What};
use self::keys::File;
pub use self::listener::Listener;
pub use self::picture::{ActionPicture, InstancePicture, Picture, TaskPicture};
use self::ssh::Script;
use self::state::State;
use crate::capabilities::Ports;
use crate::clock::Clock;
use crate::event::Event;
use crate::ledger::{MemoryStore, Store};
use crate::lifecycle::Lifecycle;
use crate::ports::{ClusterName, Place, PortError};
use crate::reading::{Mistakes, Reading};
use crate::reference;
use crate::sweep::Groups;

/// A simulated AWS account in one region. A handle: clones share one world.
///
/// Its time begins at the first look at it: a delivery, a call, or its clock.
#[derive(Debug, Clone)]
pub struct World {
    state: Arc<Mutex<State>>,
    journal: Journal,
    faults: Arc<Mutex<Faults>>,
    /// How often the host has been killed.
    kills: watch::Sender<u32>,
    ledger: Arc<MemoryStore>,
}

/// Why there is no such world, or why an event cannot happen in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// The file does not describe a world.
    #[error("the simulated world has mistakes\n{0}")]
    File(Mistakes),
    /// The event contradicts the world.
    #[error("the event does not fit the simulated world: {0}")]
    Event(String),
}

/// How worlds begin: any number of them, each with a time and a history of its own.
#[derive(Debug)]
pub struct Blueprint(State);

impl Blueprint {
    /// Reads a world from TOML, or explains what is wrong with it. `name` is the file's, for messages.
    ///
    /// Its keys are described by [`World::schema`], and indexed in `docs/world.md`.
    pub fn parse(name: &str, text: &str) -> Result<Self, WorldError> {
        file::parse(name, text).map(Self).map_err(WorldError::File)
    }

    /// The small world used when none is given: `events` can happen in it, and a handler finds everything it may look for.
    ///
    /// Each event's instance runs, is in the event's group with the event's hook, and is a member of `cluster` (normally the
    /// first one the policy grants) with two service tasks that stop in 20 s and 45 s and one standalone task. An instance on its
    /// way into service has no tasks yet; one of a warm pool on its way out is stopped. Any command over SSH ends with
    /// status 0.
    pub fn around(events: &[&Event], cluster: Option<ClusterName>) -> Self {
        Self::completed(&mut Reading::new(""), File::default(), events, cluster)
    }

    /// The world that `file` describes, with what it does not speak of made around `events`. It is sound only if `reading`
    /// has found no mistake.
    pub(crate) fn completed(
        reading: &mut Reading<'_>,
        mut file: File,
        events: &[&Event],
        cluster: Option<ClusterName>,
    ) -> Self {
        around::fill(&mut file, events, cluster);
        Self(file::build(reading, "world.", file))
    }

    /// What the clock says at the beginning, if that is said.
    pub fn start(&self) -> Option<Timestamp> {
        self.0.start
    }

    /// The same, beginning at `start` unless it says when.
    pub fn beginning(mut self, start: Timestamp) -> Self {
        self.0.start.get_or_insert(start);
        self
    }

    /// A world that begins so.
    pub fn world(&self) -> World {
        let journal = self.0.journal.fork();
        World::from(State { journal, ..self.0.clone() })
    }
}

impl File {
    /// What the clock says at the beginning, if that is said.
    pub(crate) fn start(&self) -> Option<Timestamp> {
        self.start.map(|start| start.0)
    }
}

impl World {
    /// Reads a world from TOML, or explains what is wrong with it. `name` is the file's, for messages.
    ///
    /// Its keys are described by [`World::schema`], and indexed in `docs/world.md`.
    pub fn parse(name: &str, text: &str) -> Result<Self, WorldError> {
        Blueprint::parse(name, text).map(|blueprint| blueprint.world())
    }

    /// The JSON Schema of the file.
    pub fn schema() -> Value {
        reference::schema_of::<File>()
    }

    /// Makes happen what `event` tells: its lifecycle action begins (with its token and the hook's timers), or EC2 will take the
    /// Spot instance back when the warning says. Call it before a handler sees the event; another time changes nothing.
    ///
    /// An event of another account or region changes nothing. An error, and no change, when the event contradicts the world.
    pub fn deliver(&self, event: &Event) -> Result<(), WorldError> {
        arrival::deliver(&mut self.lock(), event).map_err(WorldError::Event)
    }

    /// The same world, in which calls suffer `faults`; `seed` decides what chance does.
    pub fn with_faults(self, faults: Vec<Fault>, seed: u64) -> Self {
        Self { faults: Arc::new(Mutex::new(Faults::new(faults, seed))), ..self }
    }

    /// What handlers reach of this world.
    pub fn ports(&self) -> Ports {
        let world = Arc::new(Faulty(self.clone()));
        let clock = Arc::new(self.clone());
        Ports { ecs: world.clone(), autoscaling: world.clone(), ec2: world.clone(), ssh: world, clock }
    }

    /// Auto Scaling's side of lifecycle actions in this world.
    pub fn lifecycle(&self) -> Arc<dyn Lifecycle> {
        Arc::new(Faulty(self.clone()))
    }

    /// How often each operation was called that a fault can befall.
    pub fn called(&self) -> BTreeMap<&'static str, u32> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).called()
    }

    /// Where the host keeps its ledger. It survives a host that is killed.
    pub fn ledger(&self) -> Arc<dyn Store> {
        Arc::new(Faulty(self.clone()))
    }

    /// What the host sees of this world's groups.
    pub fn groups(&self) -> Arc<dyn Groups> {
        Arc::new(Faulty(self.clone()))
    }

    /// Tells when a fault kills the host: whoever plays it then drops everything that is in flight.
    pub fn kills(&self) -> watch::Receiver<u32> {
        self.kills.subscribe()
    }

    /// Writes what is logged into the journal, for as long as it is the subscriber's layer.
    pub fn listener(&self) -> Listener {
        Listener::new(self.journal.clone())
    }

    /// The world's clock: what it began with, and as much time as tokio has seen pass since.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clone())
    }

    /// The world's account and region.
    pub fn place(&self) -> Place {
        self.lock().place.clone()
    }

    /// What the world's clock said at its beginning.
    pub fn start(&self) -> Timestamp {
        self.lock().start()
    }

    /// Lets time pass until EC2 has taken back whatever it has announced to.
    pub async fn until_reclaimed(&self) {
        let reclaims = self.lock().nodes.iter().filter_map(|node| node.reclaimed_at).max();
        if let Some(at) = reclaims {
            tokio::time::sleep(at.saturating_sub(self.age())).await;
        }
    }

    /// How long ago it began.
    pub fn age(&self) -> Duration {
        self.journal.now()
    }

    /// Every call, every change and every line heard up to now, in order. The first [`MAX_ENTRIES`] are kept.
    pub fn journal(&self) -> Vec<Entry> {
        self.lock().settle();
        self.journal.entries()
    }

    /// One call of a port that is answered at once: lets the world catch up, writes the call down, carries it out, and
    /// writes down what `tell` makes of the answer.
    fn call<T>(
        &self,
        operation: &'static str,
        target: String,
        carry_out: impl FnOnce(&mut State, Duration) -> Result<T, PortError>,
        tell: impl FnOnce(&T) -> String,
    ) -> Result<T, PortError> {
        let mut state = self.lock();
        let now = state.settle();
        let asked = self.journal.call(now, operation, target);
        let result = carry_out(&mut state, now);
        self.journal.answer(asked, now, result.as_ref().map(tell));
        result
    }

    /// The state, for a moment. A panic elsewhere cannot have left it half-changed in a way that matters to a simulation.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<State> for World {
    fn from(state: State) -> Self {
        let journal = state.journal.clone();
        let faults = Arc::new(Mutex::new(Faults::new(Vec::new(), 0)));
        let state = Arc::new(Mutex::new(state));
        // The ledger tells the time by the state alone, since a world that owned itself would never end.
        let ledger = Arc::new(MemoryStore::new(state.clone()));
        Self { state, journal, faults, kills: watch::Sender::new(0), ledger }
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.state.now()
    }
}

impl Clock for Mutex<State> {
    fn now(&self) -> Timestamp {
        let mut state = self.lock().unwrap_or_else(PoisonError::into_inner);
        let now = state.settle();
        state.after(now)
    }
}
