//! The lease on an instance, as its holder has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;

use super::record::{Item, Lease, Open};
use super::swap::Seen;

/// The lease on an instance, to work on one item. Dropped without an end it is as if its host had died.
#[derive(Debug)]
pub struct Held {
    pub(super) key: String,
    pub(super) lease: String,
    pub(super) item: String,
    pub(super) subject: String,
    pub(super) until: Arc<LeaseEnd>,
    pub(super) seen: Mutex<Seen<Open>>,
}

/// When a lease ends, shared with those who must not change anything after it.
#[derive(Debug, Default)]
pub struct LeaseEnd(AtomicI64);

impl LeaseEnd {
    /// Whether it has come. A process that was frozen for a while finds out so.
    pub fn is_past(&self, now: Timestamp) -> bool {
        now.as_millisecond() >= self.0.load(Ordering::Relaxed)
    }

    /// How long it is until then; zero if it has come.
    pub fn left(&self, now: Timestamp) -> Duration {
        let left = self.0.load(Ordering::Relaxed).saturating_sub(now.as_millisecond());
        Duration::from_millis(u64::try_from(left).unwrap_or_default())
    }

    pub(super) fn set(&self, lease: Option<&Lease>) {
        self.0.store(lease.map_or(i64::MIN, |lease| lease.until.as_millisecond()), Ordering::Relaxed);
    }
}

impl Held {
    /// The item, as it was last written.
    pub async fn item(&self) -> Option<Item> {
        self.seen.lock().await.object.item(&self.item).cloned()
    }

    /// When the lease ends unless it is renewed.
    pub fn until(&self) -> Arc<LeaseEnd> {
        Arc::clone(&self.until)
    }
}
