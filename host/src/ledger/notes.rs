//! Objects that the ledger does not know itself: others keep them in its store, and change them by the same rules.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::record::Object;
use super::store::Store;
use super::swap::{self, Change};
use super::{Ledger, LedgerError};

/// Notes of one kind, by name.
pub struct Notes<T> {
    store: Arc<dyn Store>,
    folder: &'static str,
    kind: PhantomData<fn() -> T>,
}

/// A note as it is written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Note<T> {
    generation: u64,
    writes: Vec<String>,
    of: String,
    note: T,
}

impl Ledger {
    /// The notes in `folder`.
    pub fn notes<T>(&self, folder: &'static str) -> Notes<T> {
        Notes::new(Arc::clone(&self.store), folder)
    }
}

impl<T> Notes<T> {
    /// Those in `folder` of a ledger's store.
    pub fn new(store: Arc<dyn Store>, folder: &'static str) -> Self {
        Self { store, folder, kind: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned + Default + Clone + Send> Notes<T> {
    /// The note of that name; an empty one if there is none.
    pub async fn read(&self, name: &str) -> Result<T, LedgerError> {
        Ok(swap::read::<Note<T>>(&*self.store, &self.key(name)).await?.object.note)
    }

    /// The same, for somebody who changes nothing: one that is damaged is an error.
    pub async fn look(&self, name: &str) -> Result<T, LedgerError> {
        Ok(swap::look::<Note<T>>(&*self.store, &self.key(name)).await?.object.note)
    }

    /// Changes a note, unless `change` says that there is nothing to change, and returns it as it is then.
    pub async fn change(&self, name: &str, mut change: impl FnMut(&mut T) -> bool) -> Result<T, LedgerError> {
        let key = self.key(name);
        let ((), seen) = swap::change(&*self.store, &key, None, |note: &mut Note<T>| {
            note.of.clone_from(&key);
            if change(&mut note.note) { Change::Write(()) } else { Change::Nothing(()) }
        })
        .await?;
        Ok(seen.object.note)
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}.json", self.folder)
    }
}

impl<T: Serialize + DeserializeOwned + Default + Clone + Send> Object for Note<T> {
    const FOLDER: &'static str = "notes";
    const LOST: &'static str =
        "what hosts have told each other in it counts no more, but for what those that run still know";

    fn writes(&self) -> &[String] {
        &self.writes
    }

    fn mark(&mut self, nonce: &str) {
        super::record::mark(&mut self.generation, &mut self.writes, nonce);
    }

    fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    fn belongs_to(&self, key: &str) -> bool {
        self.of == key
    }
}
