//! What hosts tell each other of modules, and what this one has read of that last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Record, Source};
use crate::digest::sha256;
use crate::ledger::{LedgerError, Notes};

/// The records of modules, by what those are called.
pub(super) struct Records {
    source: Arc<dyn Source>,
    notes: Notes<Record>,
    /// As they were read or changed last.
    last: Mutex<HashMap<String, Record>>,
    /// Whose turn it is to read or to change one: what comes later is newer then.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Records {
    /// Those of the modules in `source`.
    pub(super) fn new(source: Arc<dyn Source>, notes: Notes<Record>) -> Self {
        Self { source, notes, last: Mutex::default(), turns: Mutex::default() }
    }

    /// As it was read or changed last; an empty one if it was not.
    pub(super) fn last(&self, module: &str) -> Record {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).get(module).cloned().unwrap_or_default()
    }

    /// Reads one; `more` adds what this host alone knows, if anything.
    pub(super) async fn read(&self, module: &str, more: impl FnOnce(&mut Record)) -> Result<(), LedgerError> {
        let turn = self.turn(module);
        let _turn = turn.lock().await;
        let mut record = self.notes.read(&self.note(module)).await?;
        more(&mut record);
        self.remember(module, record);
        Ok(())
    }

    /// Changes one, unless `change` says that there is nothing to change. Where that cannot be written down, this host alone knows it.
    pub(super) async fn change(
        &self,
        module: &str,
        mut change: impl FnMut(&mut Record) -> bool,
    ) -> Result<(), LedgerError> {
        // Most have nothing new to say, and of those that come together all but the first.
        if !change(&mut self.last(module)) {
            return Ok(());
        }
        let turn = self.turn(module);
        let _turn = turn.lock().await;
        if !change(&mut self.last(module)) {
            return Ok(());
        }
        let changed = self.notes.change(&self.note(module), &mut change).await;
        let (record, written) = match changed {
            Ok(record) => (record, Ok(())),
            Err(error) => {
                let mut record = self.last(module);
                change(&mut record);
                (record, Err(error))
            }
        };
        self.remember(module, record);
        written
    }

    fn remember(&self, module: &str, record: Record) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(module.to_owned(), record);
    }

    fn turn(&self, module: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(module.to_owned()).or_default())
    }

    /// The name of a module's note: readable, and told from the same name in another source.
    fn note(&self, module: &str) -> String {
        let readable = module.replace(|char: char| !char.is_ascii_alphanumeric(), "-");
        format!("{readable}-{}", &sha256(self.source.locate(module))[..16])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;
    use crate::clock::Clock;
    use crate::ledger::{MemoryStore, Page, Store, Stored, WriteError};
    use crate::modules::Origin;
    use crate::modules::tests::ledger_over;
    use crate::ports::PortError;
    use crate::testing::VirtualClock;
    use crate::testing::bucket::Bucket;

    /// A store whose first read comes late: with what was there when it began.
    #[derive(Default)]
    struct Late {
        objects: MemoryStore,
        read: Mutex<bool>,
    }

    #[async_trait]
    impl Store for Late {
        async fn read(&self, key: &str) -> Result<Option<Stored>, PortError> {
            let stored = self.objects.read(key).await;
            let read_before = std::mem::replace(&mut *self.read.lock().unwrap(), true);
            if !read_before {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            stored
        }

        async fn write(
            &self,
            key: &str,
            bytes: Vec<u8>,
            over: Option<&crate::ledger::Version>,
        ) -> Result<crate::ledger::Version, WriteError> {
            self.objects.write(key, bytes, over).await
        }

        async fn remove(&self, key: &str, version: &crate::ledger::Version) -> Result<(), WriteError> {
            self.objects.remove(key, version).await
        }

        async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, PortError> {
            self.objects.list(prefix, after).await
        }

        fn locate(&self, key: &str) -> String {
            key.to_owned()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_before_this_host_has_written_does_not_take_its_place() {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
        let notes = ledger_over(Arc::new(Late::default()), &clock).notes("modules");
        let records = Records::new(Bucket::unversioned(), notes);
        let written = Origin { version_id: Some("id".into()), ..Origin::built_here("written") };
        let (read, changed) =
            tokio::join!(records.read("m", |_| ()), records.change("m", |record| record.accept(&written)));
        assert!(read.is_ok() && changed.is_ok());
        assert!(records.last("m").of("written").is_some());
    }
}
