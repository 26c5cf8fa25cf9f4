//! What is asked, and known, of modules that others upload.

use std::sync::Arc;

use super::records::Records;
use super::signature::Signers;
use super::{Origin, Plugin, Record, Refusal, Sign, Source, Told, Upload, Version};
use crate::digest::sha256;
use crate::ledger::{LedgerError, Notes};
use crate::policy::{ModulesPolicy, Pin};

/// Whose modules are taken, and what hosts have told of them.
pub(super) struct Uploads {
    signers: Signers,
    rollback_after: Option<u32>,
    /// What all hosts know of modules.
    records: Records,
}

impl Uploads {
    pub(super) fn new(source: Arc<dyn Source>, policy: &ModulesPolicy, notes: Notes<Record>) -> Self {
        let (signers, rollback_after) = (Signers::new(&policy.trust), policy.rollback_after);
        Self { signers, rollback_after, records: Records::new(source, notes) }
    }

    /// Where an upload comes from, if it passes every check that nothing but itself decides.
    pub(super) fn origin(&self, name: &str, pin: Option<&Pin>, upload: &Upload) -> Result<Origin, Refusal> {
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
        Ok(Origin { digest, signed, accepted, version_id })
    }

    /// Whether what hosts know, as far as this one has read, allows a module to be run.
    pub(super) fn allows(&self, name: &str, origin: &Origin) -> Result<(), Refusal> {
        self.allows_by(name, &self.records.last(name), origin)
    }

    /// Whether `record` allows a module to be run. What a handler is pinned to need not ask.
    fn allows_by(&self, name: &str, record: &Record, origin: &Origin) -> Result<(), Refusal> {
        let digest = &origin.digest;
        if !origin.accepted {
            return Ok(());
        }
        if let (Some(version), Some(newest)) = (origin.version(), record.newest(|by| self.signers.trusts(name, by))) {
            may_follow(version, digest, newest)?;
        }
        if let Some(why) = record.given_up(digest) {
            return Err(Refusal::because(format!(
                "was given up before: {why}; upload a better one, or pin the handler to sha256 = \"{digest}\" to run it all the same"
            )));
        }
        Ok(())
    }

    /// Has all hosts know that a module is run. Not if another host was quicker with something newer.
    pub(super) async fn accept(&self, name: &str, origin: &Origin) -> Result<(), LedgerError> {
        let accept = |record: &mut Record| self.allows_by(name, record, origin).is_ok() && record.accept(origin);
        self.records.change(name, accept).await
    }

    /// Reads what hosts know of a module.
    pub(super) async fn recall(&self, name: &str) -> Result<(), LedgerError> {
        self.records.read(name).await
    }

    /// Has all hosts know what an attempt of `handler` says of the plugin that it ran, which may be the end of it.
    pub(super) async fn tell(
        &self,
        name: &str,
        handler: &str,
        plugin: &Plugin,
        sign: &Sign,
    ) -> Result<(), LedgerError> {
        let Plugin { origin, before, .. } = plugin;
        if *sign == Sign::Worked
            && self.rollback_after.is_some()
            && self.records.last(name).is_on_trial(&origin.digest, handler)
        {
            // Other hosts may have seen it crash since: no more of these are in a row.
            self.records.read(name).await?;
        }
        let note = |record: &mut Record| {
            let accepted = origin.accepted && self.allows_by(name, record, origin).is_ok();
            let goes_back = record.goes_back(&origin.digest, |told| self.is_to_be_had(name, told, before.as_deref()));
            let after = self.rollback_after.filter(|_| goes_back);
            record.note(&Origin { accepted, ..origin.clone() }, handler, sign, after)
        };
        self.records.change(name, note).await
    }

    /// Whether a digest can be run in the place of another, by this process, which had `before` before, or by one that starts.
    fn is_to_be_had(&self, name: &str, told: &Told, before: Option<&str>) -> bool {
        let is_there = before == Some(told.digest.as_str()) || !told.version_ids().is_empty();
        is_there && self.signers.take(name, told.accepted.keys().map(String::as_str))
    }

    /// What may be run, of what hosts know, as the source calls it: what is pinned, or what a process may begin with, the newest first.
    /// Whoever uploads much hides none of it.
    pub(super) fn known(&self, name: &str, pin: Option<&Pin>) -> Vec<String> {
        let record = self.records.last(name);
        match pin {
            None => record.usable(|by| self.signers.trusts(name, by)).into_iter().map(str::to_owned).collect(),
            Some(Pin::Sha256(pinned)) => record.of(pinned).map(Told::version_ids).unwrap_or_default(),
            Some(Pin::VersionId(version)) => vec![version.clone()],
        }
    }

    /// Why a digest is not to be run again, if so.
    pub(super) fn given_up(&self, name: &str, digest: &str) -> Option<String> {
        self.records.last(name).given_up(digest).map(str::to_owned)
    }
}

/// Whether a digest may be run as `version` after `newest` was accepted, which is that of the digest `holder`.
fn may_follow(version: &Version, digest: &str, (newest, holder): (&Version, &str)) -> Result<(), Refusal> {
    // The very bytes are no older than they are, whoever signs them.
    if digest == holder || version > newest {
        return Ok(());
    }
    let refusal = if version == newest {
        format!("is version {version}, as which SHA-256 {holder} was accepted before: sign it with a higher one")
    } else {
        let remedy = match newest.as_time() {
            Some(time) if version.as_time().is_none() => {
                format!(", which is the time of a signature without --version ({time}): sign it without --version too")
            }
            _ => ": sign it with a higher one".to_owned(),
        };
        format!("is version {version}, and version {newest} was accepted before{remedy}")
    };
    Err(Refusal::because(format!("{refusal}, or pin the handler to sha256 = \"{digest}\" to run it all the same")))
}
