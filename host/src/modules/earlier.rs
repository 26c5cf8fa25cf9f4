//! Earlier versions, of a source that keeps them: what a process begins with when the newest is not taken.

use std::collections::HashSet;

use super::slot::Slot;
use super::{
    CompileError, Fetched, ModuleError, Modules, PATIENCE, Plugin, Refusal, SourceError, SourceErrorKind, Which,
};
use crate::policy::Pin;

/// Why an earlier version is not taken.
#[derive(Debug, thiserror::Error)]
enum Untaken {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("it {0}")]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Compiler(#[from] CompileError),
}

impl Untaken {
    /// Whether it may be otherwise the next time.
    fn passes(&self) -> bool {
        match self {
            Self::Source(error) => error.kind == SourceErrorKind::Unavailable,
            Self::Compiler(error) => matches!(error, CompileError::Failed(_)),
            Self::Refused(_) => false,
        }
    }
}

impl Modules {
    /// Whether the source hands out any earlier version of a module: then it is the newest alone that nobody can read.
    pub(super) async fn reads_earlier(&self, name: &str) -> bool {
        let looks = async {
            for version in self.source.earlier(name).await.unwrap_or_default() {
                // As at the start: none is so small as to be read for this.
                match self.source.fetch(name, Which::Version(&version), 0).await {
                    Ok(_) => return true,
                    Err(error) if error.kind == SourceErrorKind::TooLarge => return true,
                    Err(_) => {}
                }
            }
            false
        };
        tokio::time::timeout(PATIENCE, looks).await.unwrap_or_default()
    }

    /// Looks through earlier versions for one that passes every check: the newest is not taken, for `refusal`, and there is nothing to go
    /// on with, or only what is older than it should be.
    pub(super) async fn take_earlier(&self, name: &str, pin: Option<&Pin>, slot: &mut Slot, refusal: &ModuleError) {
        let (Some(uploads), None | Some(Pin::Sha256(_))) = (&self.uploads, pin) else { return };
        let record = match pin {
            None => uploads.record(name),
            // What was run for a pin is noted, and not read otherwise.
            Some(_) => uploads.notes.read(&self.note_of(name)).await.ok(),
        };
        let record = record.unwrap_or_default();
        // Those that are known to be good first: whoever uploads much hides nothing.
        let recorded: Vec<_> = match pin {
            Some(Pin::Sha256(pinned)) => record.of(pinned).map(|told| &told.origin).into_iter().collect(),
            _ => record.usable().filter(|origin| uploads.allows(name, pin, origin).is_ok()).collect(),
        };
        let recorded: Vec<_> = recorded.into_iter().filter_map(|origin| origin.version_id.clone()).collect();
        // Nobody waits for a long search while there is something to go on with.
        let listed = if slot.good.is_none() { self.listed(name).await } else { Vec::new() };
        if slot.tried.1 != record {
            slot.tried = (HashSet::new(), record);
        }
        for version in recorded.into_iter().chain(listed) {
            if slot.tried.0.contains(&version) {
                continue;
            }
            let why = match self.earlier(name, pin, &version).await {
                Ok(plugin) => {
                    let digest = plugin.module.digest.clone();
                    self.take(name, pin, slot, plugin).await;
                    match pin {
                        None => tracing::error!(
                            module = name,
                            version_id = version,
                            digest,
                            "the newest version is not taken: an earlier one is used"
                        ),
                        Some(_) => tracing::info!(
                            module = name,
                            version_id = version,
                            digest,
                            "the pinned version is an earlier one"
                        ),
                    }
                    return slot.refuse(refusal.clone());
                }
                // It may pass; then it is worth another look.
                Err(error) if error.passes() => error.to_string(),
                Err(error) => {
                    slot.tried.0.insert(version.clone());
                    error.to_string()
                }
            };
            if pin.is_none() {
                tracing::warn!(module = name, version_id = version, why, "an earlier version is not taken either");
            }
        }
        if let (Some(_), Some(trouble)) = (pin, &slot.trouble) {
            let message = trouble.message.clone();
            self.not_taken(name, slot, &message);
        }
    }

    /// What the source has of earlier versions, the newest first.
    async fn listed(&self, name: &str) -> Vec<String> {
        self.source.earlier(name).await.unwrap_or_else(|error| {
            tracing::warn!(module = name, %error, "earlier versions of a refused module cannot be looked for");
            Vec::new()
        })
    }

    /// An earlier version, if it passes every check.
    async fn earlier(&self, name: &str, pin: Option<&Pin>, version_id: &str) -> Result<Plugin, Untaken> {
        match self.source.fetch(name, Which::Version(version_id), self.max_size).await? {
            Fetched::Unchanged => Err(Refusal::because("has not changed").into()),
            Fetched::New(upload) => {
                let origin = self.look_at(name, pin, &upload)?;
                let module = self.compiler.load(&self.sandbox, upload.bytes).await?;
                Ok(Plugin { module, origin })
            }
        }
    }
}
