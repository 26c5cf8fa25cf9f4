//! Earlier versions, of a source that keeps them: what a process goes to when the newest upload is not taken, and what it has is none, or
//! older than it should be.

use std::sync::Arc;

use super::ask::PATIENCE;
use super::slot::{Compiling, Slot};
use super::{
    CompileError, Fetched, ModuleError, Modules, Origin, Plugin, Refusal, SourceError, SourceErrorKind, Upload, Which,
};
use crate::policy::Pin;
use crate::sandbox::Module;

/// Why an earlier version is not taken.
#[derive(Debug, thiserror::Error)]
enum Untaken {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("it {0}")]
    Refused(#[from] Refusal),
    #[error("it {0}")]
    Outweighed(Refusal, Origin),
    #[error(transparent)]
    Compiler(#[from] CompileError),
}

impl Untaken {
    /// Whether it may be otherwise the next time.
    fn passes(&self) -> bool {
        match self {
            // Who may read what can be mended without another upload.
            Self::Source(error) => matches!(error.kind, SourceErrorKind::Unavailable | SourceErrorKind::Denied),
            Self::Compiler(error) => matches!(error, CompileError::Failed(_)),
            Self::Refused(_) | Self::Outweighed(..) => false,
        }
    }

    /// Where it comes from, if it is not taken for what hosts know.
    fn outweighed(self) -> Option<Origin> {
        match self {
            Self::Outweighed(_, origin) => Some(origin),
            Self::Source(_) | Self::Refused(_) | Self::Compiler(_) => None,
        }
    }
}

impl Modules {
    /// Begins with an earlier version: the newest is not taken, for `refusal`, and there is nothing to go on with.
    pub(super) async fn take_earlier(&self, name: &str, pin: Option<&Pin>, slot: &mut Slot, refusal: &ModuleError) {
        let Some(uploads) = &self.uploads else { return self.not_taken(name, slot, &refusal.message) };
        if let Some(Pin::VersionId(_)) = pin {
            return self.not_taken(name, slot, &refusal.message);
        }
        // What was run for a pin is noted, and not read otherwise.
        if pin.is_some()
            && let Err(error) = uploads.recall(name).await
        {
            tracing::warn!(module = name, %error, "where the pinned version is cannot be read: what the source lists is looked through");
        }
        let mut versions = uploads.known(name, pin);
        versions.extend(self.listed(name, slot).await);
        match (self.first_that_passes(name, pin, slot, versions).await, pin) {
            (Some(plugin), None) => {
                let (digest, why) = (plugin.module.digest.clone(), &refusal.message);
                let version_id = plugin.origin.version_id.clone();
                self.take(name, pin, slot, plugin).await;
                tracing::error!(
                    module = name,
                    version_id,
                    digest,
                    why,
                    "the newest version is not taken: an earlier one is used"
                );
                slot.said.clone_from(&refusal.message);
                slot.refuse(refusal.clone());
            }
            (Some(plugin), Some(_)) => {
                self.take(name, pin, slot, plugin).await;
                tracing::info!(module = name, "what the handler is pinned to is an earlier version");
                slot.refuse(refusal.clone());
            }
            (None, _) => self.not_taken(name, slot, &refusal.message),
        }
    }

    async fn first_that_passes(
        &self,
        name: &str,
        pin: Option<&Pin>,
        slot: &mut Slot,
        versions: Vec<String>,
    ) -> Option<Plugin> {
        let (mut first, mut passed_over, mut found) = (None, 0_usize, None);
        for version in versions {
            if self.was_tried(name, slot, &version) {
                continue;
            }
            let untaken = match self.earlier(name, pin, &version).await {
                Ok(plugin) => {
                    found = Some(plugin);
                    break;
                }
                Err(untaken) => untaken,
            };
            let (why, passes) = (untaken.to_string(), untaken.passes());
            tracing::debug!(module = name, version_id = version, why, "an earlier version is not taken");
            first.get_or_insert((version.clone(), why));
            passed_over += 1;
            // What may pass is worth another look.
            if !passes {
                slot.tried.note(version, untaken.outweighed());
            }
        }
        // Each might have as much to say.
        if let (Some((version_id, why)), None) = (first, pin) {
            tracing::warn!(
                module = name,
                passed_over,
                version_id,
                why,
                "earlier versions are passed over too; this is the first of them"
            );
        }
        found
    }

    /// Begins to catch up, if the plugin in use is not what should be in use, and says why it is not.
    pub(super) async fn give_way(&self, name: &str, slot: &mut Slot) -> Option<ModuleError> {
        let outdated = self.outdated(name, slot)?;
        self.catch_up(name, slot).await;
        Some(outdated)
    }

    /// Why the plugin in use is not what should be in use, if so: another host has accepted a newer one, which is not the newest upload.
    fn outdated(&self, name: &str, slot: &Slot) -> Option<ModuleError> {
        let (good, uploads) = (slot.good.as_ref()?, self.uploads.as_ref()?);
        let refusal = uploads.allows(name, &good.origin).err()?;
        Some(ModuleError {
            message: format!("{} has nothing newer: the one in use {refusal}", self.source.locate(name)),
            passes: false,
        })
    }

    /// Begins to compile what another host has accepted, which is newer than what is in use here and is not the newest upload. Whoever
    /// needs the module goes on with the one in use meanwhile.
    async fn catch_up(&self, name: &str, slot: &mut Slot) {
        let Some(uploads) = &self.uploads else { return };
        let search = async {
            for version in uploads.known(name, None) {
                if self.was_tried(name, slot, &version) {
                    continue;
                }
                match self.upload(name, None, &version).await {
                    Ok((upload, origin)) => {
                        let work = self.compile(slot.good.as_deref(), &origin, upload);
                        slot.compiling = Some(Compiling::new(None, origin, work));
                        return;
                    }
                    Err(untaken) if untaken.passes() => {}
                    Err(untaken) => slot.tried.note(version, untaken.outweighed()),
                }
            }
        };
        let _ = tokio::time::timeout(PATIENCE, search).await;
    }

    fn was_tried(&self, name: &str, slot: &Slot, version_id: &str) -> bool {
        slot.tried.has(version_id, |origin| self.allows(name, origin).is_ok())
    }

    /// What the source has of earlier versions, the newest first.
    async fn listed(&self, name: &str, slot: &mut Slot) -> Vec<String> {
        self.source.earlier(name).await.unwrap_or_else(|error| {
            if slot.unlisted != Some(error.kind) {
                tracing::warn!(module = name, %error, "earlier versions of a module that cannot be had cannot be looked for");
                slot.unlisted = Some(error.kind);
            }
            Vec::new()
        })
    }

    /// An earlier version, if it passes every check.
    async fn earlier(&self, name: &str, pin: Option<&Pin>, version_id: &str) -> Result<Plugin, Untaken> {
        let (upload, origin) = self.upload(name, pin, version_id).await?;
        let module = self.compile(None, &origin, upload).await?;
        match self.still_allows(name, pin, None, &origin).await {
            Ok(()) => Ok(Plugin::new(module, origin)),
            Err(refusal) => Err(Untaken::Outweighed(refusal, origin)),
        }
    }

    /// An earlier version, if it passes every check but that it compiles.
    async fn upload(&self, name: &str, pin: Option<&Pin>, version_id: &str) -> Result<(Upload, Origin), Untaken> {
        match self.source.fetch(name, Which::Version(version_id), self.max_size).await? {
            Fetched::Unchanged => Err(Refusal::because("has not changed").into()),
            Fetched::New(upload) => {
                let (upload, origin) = self.judge(name, pin, upload).await?;
                let origin = origin?;
                match self.allows(name, &origin) {
                    Ok(()) => Ok((upload, origin)),
                    Err(refusal) => Err(Untaken::Outweighed(refusal, origin)),
                }
            }
        }
    }

    /// What becomes of an upload that has passed all other checks. What is in use, and was signed again, need not be compiled again.
    pub(super) fn compile(
        &self,
        in_use: Option<&Plugin>,
        origin: &Origin,
        upload: Upload,
    ) -> impl Future<Output = Result<Module, CompileError>> + Send + use<> {
        let same = in_use.map(|plugin| &plugin.module).filter(|module| module.digest == origin.digest).cloned();
        let (compiler, sandbox) = (self.compiler.clone(), Arc::clone(&self.sandbox));
        async move {
            match same {
                Some(module) => Ok(module),
                None => compiler.load(&sandbox, upload.bytes).await,
            }
        }
    }
}
