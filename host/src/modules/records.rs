//! What hosts tell each other of modules, and what this one has read of that last.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Record, Source};
use crate::digest::sha256;
use crate::ledger::{LedgerError, Notes, Store};
use crate::policy::Location;

/// The folder of a ledger's store in which hosts tell each other of modules.
pub const NOTES: &str = "modules";

/// What hosts that take their modules from `source` have told each other of one, in the store of their ledger.
pub async fn recorded(store: &Arc<dyn Store>, source: &Location, module: &str) -> Result<Record, LedgerError> {
    Notes::new(Arc::clone(store), NOTES).look(&note(module, &source.locate(module))).await
}

/// Writes a record for others to read.
#[cfg(test)]
pub(crate) async fn put_record(store: &Arc<dyn Store>, source: &Location, module: &str, record: &Record) {
    let write = |written: &mut Record| {
        written.clone_from(record);
        true
    };
    Notes::new(Arc::clone(store), NOTES).change(&note(module, &source.locate(module)), write).await.unwrap();
}

/// The name of a module's note: readable, and told from that of the same name in another `place`.
fn note(module: &str, place: &str) -> String {
    let readable = module.replace(|char: char| !char.is_ascii_alphanumeric(), "-");
    format!("{readable}-{}", &sha256(place)[..16])
}

/// The records of modules, by what those are called.
pub(super) struct Records {
    source: Arc<dyn Source>,
    notes: Notes<Record>,
    held: Mutex<HashMap<String, Held>>,
    /// Whose turn it is to read or to change one: what comes later is newer then.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// A record as it was read or changed last.
#[derive(Debug, Clone, Default)]
struct Held {
    record: Record,
    /// The digests of which this host knows more than it could write down.
    unwritten: BTreeSet<String>,
}

impl Held {
    /// Adds to `record`, which is the ledger's, what could not be written down, and what was lost there since. Returns of which digests
    /// that is new to it.
    fn add_to(&self, record: &mut Record) -> BTreeSet<String> {
        let lost = record.has_lost(&self.record);
        let ours = self.record.digests.iter().filter(|told| lost || self.unwritten.contains(&told.digest));
        ours.filter(|told| record.learn(told)).map(|told| told.digest.clone()).collect()
    }
}

impl Records {
    /// Those of the modules in `source`.
    pub(super) fn new(source: Arc<dyn Source>, notes: Notes<Record>) -> Self {
        Self { source, notes, held: Mutex::default(), turns: Mutex::default() }
    }

    /// As it was read or changed last; an empty one if it was not.
    pub(super) fn last(&self, module: &str) -> Record {
        self.held(module).record
    }

    /// Reads one. What could not be written down before, or is lost, is kept, and written now if that is possible.
    pub(super) async fn read(&self, module: &str) -> Result<(), LedgerError> {
        let turn = self.turn(module);
        let _turn = turn.lock().await;
        let mut record = self.notes.read(&self.note(module)).await?;
        let unwritten = self.held(module).add_to(&mut record);
        let all_written = unwritten.is_empty();
        self.hold(module, Held { record, unwritten });
        if !all_written {
            match self.write(module, |_| false).await {
                Ok(()) => {
                    tracing::info!(module, "what could not be written down of a module is known to other hosts now")
                }
                Err(error) => {
                    tracing::debug!(module, %error, "what is known of a module can still not be written down")
                }
            }
        }
        Ok(())
    }

    /// Changes one, unless `change` says that there is nothing to change. Where that cannot be written down, or nobody waits for it, this
    /// host alone knows it until it can.
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
        self.write(module, change).await
    }

    /// Writes down what could not be written before, and what `change` adds.
    async fn write(&self, module: &str, mut change: impl FnMut(&mut Record) -> bool) -> Result<(), LedgerError> {
        let before = self.held(module);
        let mut held = before.clone();
        change(&mut held.record);
        let new = held.record.digests.iter().filter(|told| before.record.of(&told.digest) != Some(told));
        held.unwritten.extend(new.map(|told| told.digest.clone()));
        self.hold(module, held);
        let add = |record: &mut Record| {
            let added = before.add_to(record);
            change(record) || !added.is_empty()
        };
        let record = self.notes.change(&self.note(module), add).await?;
        self.hold(module, Held { record, unwritten: BTreeSet::new() });
        Ok(())
    }

    fn held(&self, module: &str) -> Held {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(module).cloned().unwrap_or_default()
    }

    fn hold(&self, module: &str, held: Held) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(module.to_owned(), held);
    }

    fn turn(&self, module: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(module.to_owned()).or_default())
    }

    fn note(&self, module: &str) -> String {
        note(module, &self.source.locate(module))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;
    use crate::clock::Clock;
    use crate::ledger::tests::scripted::{Fate, Scripted};
    use crate::ledger::{MemoryStore, Page, Stored, WriteError};
    use crate::modules::tests::ledger_over;
    use crate::modules::{Origin, Sign};
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
        let (read, changed) = tokio::join!(records.read("m"), records.change("m", |record| record.accept(&written)));
        assert!(read.is_ok() && changed.is_ok());
        assert!(records.last("m").of("written").is_some());
    }

    /// Two hosts that write to one ledger.
    fn hosts() -> (Arc<Scripted>, [Records; 2]) {
        let (store, clock): (_, Arc<dyn Clock>) = (Arc::new(Scripted::default()), Arc::new(VirtualClock::new()));
        let ledger = ledger_over(store.clone(), &clock);
        let hosts = [(), ()].map(|()| Records::new(Bucket::unversioned(), ledger.notes("modules")));
        (store, hosts)
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_written_down_is_kept_and_written_with_the_next_change() {
        let (store, [host, other]) = hosts();
        let (first, second) = (Origin::built_here("first"), Origin::built_here("second"));
        let ended = |record: &mut Record| record.note(&first, "h", &Sign::Ended, Some(1));
        host.change("m", ended).await.unwrap();
        let crashed = |record: &mut Record| record.note(&second, "h", &Sign::Crashed("trap".into()), Some(1));
        store.next([Fate::Refused, Fate::Refused]);
        let error = host.change("m", crashed).await.unwrap_err();
        assert!(error.to_string().contains("s3:PutObject is not allowed"), "{error}");
        host.read("m").await.expect("reading is all that is needed to go on");
        assert!(host.last("m").given_up("second").is_some());
        other.read("m").await.unwrap();
        assert_eq!(other.last("m").given_up("second"), None);
        host.change("m", |record| record.note(&second, "h2", &Sign::Ended, Some(1))).await.unwrap();
        other.read("m").await.unwrap();
        assert!(other.last("m").given_up("second").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waited_to_see_written_down_is_known_all_the_same_and_written_later() {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
        let ledger = ledger_over(Arc::new(Late::default()), &clock);
        let [host, other] = [(), ()].map(|()| Records::new(Bucket::unversioned(), ledger.notes("modules")));
        let crashed =
            |record: &mut Record| record.note(&Origin::built_here("new"), "h", &Sign::Crashed("trap".into()), Some(1));
        assert!(tokio::time::timeout(Duration::ZERO, host.change("m", crashed)).await.is_err());
        assert!(host.last("m").given_up("new").is_some());
        host.read("m").await.unwrap();
        other.read("m").await.unwrap();
        assert!(other.last("m").given_up("new").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lost_of_a_ledger_is_written_anew_by_those_who_know_it() {
        let (store, [host, other]) = hosts();
        let accept = |digest: &str| {
            let origin = Origin { version_id: Some("id".into()), ..Origin::built_here(digest) };
            move |record: &mut Record| record.accept(&origin)
        };
        host.change("m", accept("first")).await.unwrap();
        let [key] = &store.keys().await[..] else { panic!("one note") };
        let stored = store.objects.read(key).await.unwrap().unwrap();
        store.objects.remove(key, &stored.version).await.unwrap();
        // Before it is seen, a host that knows nothing writes.
        other.change("m", accept("second")).await.unwrap();
        host.read("m").await.unwrap();
        other.read("m").await.unwrap();
        for host in [host, other] {
            assert!(host.last("m").of("first").is_some() && host.last("m").of("second").is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_only_looks_leaves_what_is_damaged_to_hosts() {
        let (store, [host, _]) = hosts();
        host.change("m.wasm", |record| record.note(&Origin::built_here("digest"), "h", &Sign::Ended, None))
            .await
            .unwrap();
        let [key] = &store.keys().await[..] else { panic!("one note") };
        store.put(key, b"{").await;
        let (looks, source): (Arc<dyn Store>, _) =
            (store.clone(), Location::S3 { bucket: "bucket".into(), prefix: String::new() });
        let error = recorded(&looks, &source, "m.wasm").await.unwrap_err().to_string();
        assert!(error.contains(key.as_str()), "{error}");
        assert_eq!(store.keys().await, std::slice::from_ref(key));
        host.read("m.wasm").await.unwrap();
        assert_ne!(recorded(&looks, &source, "m.wasm").await.unwrap(), Record::default(), "the host still knew it");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_finds_what_hosts_have_written() {
        let (store, [host, _]) = hosts();
        host.change("m.wasm", |record| record.note(&Origin::built_here("digest"), "h", &Sign::Ended, None))
            .await
            .unwrap();
        let (store, source): (Arc<dyn Store>, _) =
            (store, Location::S3 { bucket: "bucket".into(), prefix: String::new() });
        assert_eq!(recorded(&store, &source, "m.wasm").await.unwrap(), host.last("m.wasm"));
        assert_ne!(host.last("m.wasm"), Record::default());
        assert_eq!(recorded(&store, &source, "other.wasm").await.unwrap(), Record::default());
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_written_down_is_written_with_the_next_refresh() {
        let (store, [host, other]) = hosts();
        store.next([Fate::Refused]);
        let origin = Origin { version_id: Some("id".into()), ..Origin::built_here("pinned") };
        host.change("m", |record| record.accept(&origin)).await.unwrap_err();
        for _ in 0..2 {
            let before = store.tried.lock().unwrap().len();
            host.read("m").await.unwrap();
            other.read("m").await.unwrap();
            assert!(other.last("m").of("pinned").is_some());
            assert!(store.tried.lock().unwrap().len() <= before + 1);
        }
        assert_eq!(store.tried.lock().unwrap().len(), 2, "once in vain and once for good");
    }
}
