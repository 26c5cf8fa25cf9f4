//! What is asked, and known, of modules that others upload.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

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
    records: Mutex<HashMap<String, Record>>,
}

/// What hosts know that decides which modules are run: what was refused may pass when it is otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Grounds {
    newest: Option<Version>,
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
            return Err(Refusal::because(format!("has the SHA-256 {digest}, and the handler is pinned to {pinned}")));
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
        if let (Some(version), Some(newest)) = (origin.version(), record.newest(|by| self.signers.trusts(by)))
            && version < newest
        {
            return Err(Refusal::because(format!(
                "is version {version}, and version {newest} was accepted before: sign it with a higher one, or pin the handler to \
                 sha256 = \"{digest}\" to go back to it"
            )));
        }
        if let Some(why) = record.given_up(digest) {
            return Err(Refusal::because(format!(
                "was given up before: {why}; upload a better one, or pin the handler to sha256 = \"{digest}\" to run it all the same"
            )));
        }
        Ok(())
    }

    /// What a process may begin with, of what hosts know, as the source calls it, the newest first.
    pub(super) fn usable(&self, record: &Record) -> Vec<String> {
        record.usable(|by| self.signers.trusts(by)).into_iter().map(str::to_owned).collect()
    }

    /// What the verdict on a module that was refused may have hung on.
    pub(super) fn grounds(&self, record: &Record) -> Grounds {
        let given_up = record.digests.iter().filter(|told| told.given_up.is_some());
        Grounds {
            newest: record.newest(|by| self.signers.trusts(by)).cloned(),
            given_up: given_up.map(|told| told.digest.clone()).collect(),
        }
    }

    pub(super) fn record(&self, name: &str) -> Option<Record> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(super) fn remember(&self, name: &str, record: Record) {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), record);
    }
}
