//! What is done from here: a step at once, and further ones for as long as somebody waits.

use jiff::{SignedDuration, Timestamp};

use crate::assemble::Hand;
use crate::dispatch::{DispatchError, Step};
use crate::ledger::{Item, Open};

/// How soon it is tried again after an error that does not say when: as soon as hosts tell Auto Scaling again.
const AGAIN: SignedDuration = SignedDuration::from_secs(15);

/// A host of the person's own on the ledger, or why there is none.
pub(super) struct Here {
    pub(super) hand: Result<Hand, String>,
    /// Why the last step failed, if it did.
    pub(super) failed: Option<DispatchError>,
    /// When the next step is worth making.
    again: Timestamp,
}

impl Here {
    pub(super) fn new(hand: Result<Hand, String>) -> Self {
        Self { hand, failed: None, again: Timestamp::MIN }
    }

    /// Brings the item a step on; if nobody here can, says why.
    pub(super) async fn step(&mut self, item: &Item) -> Result<Result<Step, DispatchError>, String> {
        let dispatch = &self.hand.as_ref().map_err(Clone::clone)?.dispatch;
        let step = dispatch.step(&item.event, None).await;
        self.failed = step.as_ref().err().cloned();
        self.again = match &self.failed {
            None => Timestamp::MIN,
            Some(DispatchError::NotCompleted { again, .. }) => *again,
            Some(_) => dispatch.ports.clock.now().saturating_add(AGAIN).unwrap_or(Timestamp::MAX),
        };
        Ok(step)
    }

    /// The same, where that may be of use now: no other host is at it, and it is time again. What came of it is seen in the ledger.
    pub(super) async fn step_again(&mut self, open: &Open, item: &Item, now: Timestamp) {
        if open.held(now).is_none() && self.again <= now && self.hopeless().is_none() {
            let _ = self.step(item).await;
        }
    }

    /// What failed, if that does not pass by itself.
    pub(super) fn hopeless(&self) -> Option<&DispatchError> {
        self.failed.as_ref().filter(|error| !error.passes())
    }
}
