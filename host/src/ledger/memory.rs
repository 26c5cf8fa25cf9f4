//! A ledger's store that lives as long as the process: for hosts that promise no more, and for the harness.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Listed, Page, Store, Stored, Version, WriteError};
use crate::clock::{Clock, SystemClock};
use crate::digest::sha256;
use crate::ports::PortError;

/// How many objects a page holds: as many as one of S3.
const PAGE: usize = 1_000;

/// Objects in memory, which behave like those of a bucket: versions name contents, as S3's ETags do, so that an object that
/// was changed and changed back passes for unchanged.
pub struct MemoryStore {
    objects: Mutex<BTreeMap<String, Object>>,
    clock: Arc<dyn Clock>,
}

struct Object {
    stored: Stored,
    modified: Timestamp,
}

impl MemoryStore {
    /// A store with nothing in it, whose objects are dated by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { objects: Mutex::default(), clock }
    }

    /// The objects, for a moment. A change is one insertion or removal, so a panic elsewhere leaves none half-done.
    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Object>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn read(&self, key: &str) -> Result<Option<Stored>, PortError> {
        Ok(self.objects().get(key).map(|object| object.stored.clone()))
    }

    async fn write(&self, key: &str, bytes: Vec<u8>, over: Option<&Version>) -> Result<Version, WriteError> {
        let modified = self.clock.now();
        let mut objects = self.objects();
        if objects.get(key).map(|object| &object.stored.version) != over {
            return Err(WriteError::Changed);
        }
        let version = Version(sha256(&bytes));
        let stored = Stored { bytes, version: version.clone() };
        objects.insert(key.to_owned(), Object { stored, modified });
        Ok(version)
    }

    async fn remove(&self, key: &str, version: &Version) -> Result<(), WriteError> {
        let mut objects = self.objects();
        if objects.get(key).is_none_or(|object| object.stored.version != *version) {
            return Err(WriteError::Changed);
        }
        objects.remove(key);
        Ok(())
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, PortError> {
        let objects = self.objects();
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut found = objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, object)| Listed { key: key.clone(), modified: object.modified });
        let listed = found.by_ref().take(PAGE).collect();
        Ok(Page { objects: listed, more: found.next().is_some() })
    }

    fn locate(&self, key: &str) -> String {
        format!("memory:{key}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::contract;

    #[tokio::test]
    async fn it_keeps_the_contract() {
        contract::holds(&MemoryStore::default()).await;
    }

    #[tokio::test]
    async fn a_long_list_comes_in_pages() {
        contract::pages(&MemoryStore::default(), PAGE).await;
    }

    #[tokio::test]
    async fn a_place_says_that_it_is_none() {
        assert_eq!(MemoryStore::default().locate("items/i-1.json"), "memory:items/i-1.json");
    }
}
