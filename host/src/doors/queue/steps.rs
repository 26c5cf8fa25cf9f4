//! Who brings events on: what the doors on queues need of `dispatch`.

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::dispatch::{Dispatch, DispatchError, Step};
use crate::event::Event;

/// Brings events on, a step at a time.
#[async_trait]
pub trait Steps: Send + Sync {
    /// Brings an event one step on. `closes` is when the caller stops waiting for it; none if it does not.
    async fn step(&self, event: &Event, closes: Option<Instant>) -> Result<Step, DispatchError>;

    /// When the work on an event is over whatever comes of it; none if that is not known.
    fn deadline(&self, event: &Event) -> Option<Timestamp>;

    /// Now, by the clock that steps and deadlines go by.
    fn now(&self) -> Timestamp;
}

#[async_trait]
impl Steps for Dispatch {
    async fn step(&self, event: &Event, closes: Option<Instant>) -> Result<Step, DispatchError> {
        Self::step(self, event, closes).await
    }

    fn deadline(&self, event: &Event) -> Option<Timestamp> {
        Some(Self::deadline(self, event, self.policy.route(event)?))
    }

    fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }
}
