//! The ledger put to the test: its rules, its writes, and what several hosts make of both.

mod claim;
mod ends;
mod format;
mod lately;
mod leases;
mod looking;
pub(crate) mod scripted;
mod swap;

use super::*;
use crate::event::Event;
use crate::testing::{INSTANCE, START, VirtualClock, terminating};
use scripted::Scripted;

/// `seconds` after the events of tests happen.
fn at(seconds: i64) -> Timestamp {
    START.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

/// The termination of [`INSTANCE`] that happened then, with this token.
fn terminating_at(seconds: i64, token: Option<&str>) -> Event {
    let mut event = terminating();
    event.time = at(seconds);
    event.id = token.map_or_else(|| "no token".to_owned(), str::to_owned);
    event.lifecycle_action.as_mut().unwrap().token = token.map(str::to_owned);
    event
}

/// Another event of [`INSTANCE`], which waits for no result.
fn notice(id: &str) -> Event {
    Event { id: id.to_owned(), lifecycle_action: None, ..terminating() }
}

fn wanted(event: &Event) -> Wanted<'_> {
    Wanted { event, handler: "under-test", deadline: at(3_600), hook: None }
}

fn instance() -> InstanceId {
    InstanceId::parse(INSTANCE).unwrap()
}

/// A ledger in a store of its own, by a virtual clock.
fn ledger() -> (Ledger, Arc<Scripted>) {
    let store = Arc::new(Scripted::default());
    (of(&store), store)
}

/// Another host's ledger in the same store.
fn of(store: &Arc<Scripted>) -> Ledger {
    let place = Place {
        account: crate::ports::AccountId::parse("123456789012").unwrap(),
        region: crate::ports::Region::parse("eu-central-1").unwrap(),
    };
    Ledger::new(store.clone(), Arc::new(VirtualClock::new()), place, "this host")
}

impl Claim {
    fn ours(self) -> Box<Held> {
        match self {
            Self::Ours(held) => held,
            other => panic!("not ours: {other:?}"),
        }
    }

    fn ended(self) -> EndedItem {
        match self {
            Self::Ended(ended) => ended,
            other => panic!("not ended: {other:?}"),
        }
    }

    fn is_busy(&self) -> bool {
        matches!(self, Self::Busy(..))
    }
}
