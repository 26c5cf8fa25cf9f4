//! What is asked, and known, of modules that others upload.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::signature::Signers;
use super::{Origin, Record, Refusal, Upload, Version};
use crate::digest::sha256;
use crate::ledger::Notes;
use crate::policy::{ModulesPolicy, Pin};

/// Whose modules are taken, and what hosts have told of them.
pub(super) struct Uploads {
    signers: Signers,
    pub(super) rollback_after: Option<u32>,
    /// What all hosts know of modules.
    pub(super) notes: Notes<Record>,
    /// The same, as this one has read it last.
    records: Mutex<HashMap<String, Remembered>>,
}

/// The record of a module as a host has read it, and how often it has itself changed it.
#[derive(Default)]
struct Remembered {
    record: Record,
    changes: u64,
}

/// What hosts know that decides which modules are run: what was refused may pass when it is otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Grounds {
    newest: Option<(Version, String)>,
    given_up: BTreeSet<String>,
}

impl Uploads {
    pub(super) fn new(policy: &ModulesPolicy, notes: Notes<Record>) -> Self {
        let (signers, rollback_after) = (Signers::new(&policy.trust), policy.rollback_after);
        Self { signers, rollback_after, notes, records: Mutex::default() }
    }

    /// Every check that an upload has to pass before it is compiled. Returns where it comes from.
    pub(super) fn look_at(&self, name: &str, pin: Option<&Pin>, upload: &Upload) -> Result<Origin, Refusal> {
        let digest = sha256(&upload.bytes);
        if let Some(Pin::Sha256(pinned)) = pin
            && *pinned != digest
        {
            return Err(Refusal::because(format!(
                "has the SHA-256 {digest}, and the handler is pinned to {pinned}: upload that, or correct sha256 in the policy"
            )));
        }
        let signed = self.signers.verify(name, &upload.bytes, upload.signature.as_deref())?;
        let (accepted, version_id) = (pin.is_none(), upload.version_id.clone());
        let origin = Origin { digest, signed, accepted, version_id };
        self.allows(name, pin, &origin).map(|()| origin)
    }

    /// Whether what hosts know allows a digest to be run.
    pub(super) fn allows(&self, name: &str, pin: Option<&Pin>, origin: &Origin) -> Result<(), Refusal> {
        let digest = &origin.digest;
        if pin.is_some() {
            return Ok(());
        }
        let record = self.record(name).unwrap_or_default();
        if let (Some(version), Some(newest)) = (origin.version(), self.newest(&record)) {
            is_new(version, digest, newest)?;
        }
        if let Some(why) = record.given_up(digest) {
            return Err(Refusal::because(format!(
                "was given up before: {why}; upload a better one, or pin the handler to sha256 = \"{digest}\" to run it all the same"
            )));
        }
        Ok(())
    }

    /// What was accepted as the newest version, by those who are trusted.
    fn newest<'r>(&self, record: &'r Record) -> Option<(&'r Version, &'r str)> {
        record.newest(|by| self.signers.trusts(by))
    }

    /// What a process may begin with, of what hosts know, as the source calls it, the newest first.
    pub(super) fn usable(&self, record: &Record) -> Vec<String> {
        record.usable(|by| self.signers.trusts(by)).into_iter().map(str::to_owned).collect()
    }

    /// What the verdict on a module that was refused may have hung on.
    pub(super) fn grounds(&self, record: &Record) -> Grounds {
        let given_up = record.digests.iter().filter(|told| told.given_up.is_some());
        Grounds {
            newest: self.newest(record).map(|(version, digest)| (version.clone(), digest.to_owned())),
            given_up: given_up.map(|told| told.digest.clone()).collect(),
        }
    }

    pub(super) fn record(&self, name: &str) -> Option<Record> {
        self.remembered().get(name).map(|remembered| remembered.record.clone())
    }

    /// How often this host has changed the record of a module.
    pub(super) fn changes(&self, name: &str) -> u64 {
        self.remembered().get(name).map_or(0, |remembered| remembered.changes)
    }

    /// Keeps a record as this host has changed it.
    pub(super) fn changed(&self, name: &str, record: Record) {
        let mut remembered = self.remembered();
        let changes = remembered.get(name).map_or(0, |remembered| remembered.changes) + 1;
        remembered.insert(name.to_owned(), Remembered { record, changes });
    }

    /// Keeps a record as it was read, unless this host has changed it since there were so many `changes`: what it has then is no older.
    pub(super) fn read(&self, name: &str, record: Record, changes: u64) {
        let mut remembered = self.remembered();
        if remembered.get(name).map_or(0, |remembered| remembered.changes) == changes {
            remembered.insert(name.to_owned(), Remembered { record, changes });
        }
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a version may follow the `newest` that was accepted, which is that of another digest or of this one.
fn is_new(version: &Version, digest: &str, (newest, holder): (&Version, &str)) -> Result<(), Refusal> {
    let remedy = match (version.cmp(newest), newest.as_time()) {
        (Ordering::Greater, _) => return Ok(()),
        (Ordering::Equal, _) if digest == holder => return Ok(()),
        (Ordering::Equal, _) => {
            return Err(Refusal::because(format!(
                "is version {version}, as which SHA-256 {holder} was accepted before: sign it with a version of its own, or pin the \
                 handler to sha256 = \"{digest}\""
            )));
        }
        (Ordering::Less, Some(time)) if version.as_time().is_none() => {
            format!(", which is the time of a signature without --version ({time}): sign it without --version too")
        }
        (Ordering::Less, _) => ": sign it with a higher one".to_owned(),
    };
    Err(Refusal::because(format!(
        "is version {version}, and version {newest} was accepted before{remedy}, or pin the handler to sha256 = \"{digest}\" to go back \
         to it"
    )))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ledger::{Ledger, MemoryStore};
    use crate::ports::{AccountId, Place, Region};
    use crate::testing::{VirtualClock, policy};

    #[tokio::test(start_paused = true)]
    async fn what_was_read_before_this_host_has_written_is_not_remembered_after_it() {
        let place = Place {
            account: AccountId::parse("123456789012").unwrap(),
            region: Region::parse("eu-central-1").unwrap(),
        };
        let clock = Arc::new(VirtualClock::new());
        let ledger = Ledger::new(Arc::new(MemoryStore::default()), clock, place, "this host");
        let uploads = Uploads::new(&policy("").modules, ledger.notes("modules"));
        let record = |digest: &str| {
            let mut record = Record::default();
            record.accept(&Origin { version_id: Some("id".into()), ..Origin::built_here(digest) });
            record
        };
        let changes = uploads.changes("m");
        uploads.changed("m", record("written"));
        uploads.read("m", record("read before"), changes);
        assert_eq!(uploads.record("m"), Some(record("written")));
        uploads.read("m", record("read after"), uploads.changes("m"));
        assert_eq!(uploads.record("m"), Some(record("read after")));
        assert_eq!(uploads.record("other"), None);
    }
}
