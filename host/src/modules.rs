//! Where plugins come from, and which of them are run.
//!
//! A module that passes every check replaces the one in use; one that fails leaves the last good one working, and says so.
//! Owns freshness, acceptance and the compiled modules. Knows nothing of events or of what a module does.

pub mod accept;
mod dir;
#[cfg(feature = "live")]
mod s3;
mod source;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub use accept::Refusal;
pub use dir::DirSource;
#[cfg(feature = "live")]
pub use s3::S3Source;
pub use source::{Fetched, Source, SourceError, SourceErrorKind};

use crate::clock::Clock;
use crate::digest::sha256;
use crate::policy::ModulesPolicy;
use crate::sandbox::{Module, Sandbox};

/// The modules of one policy: fetched when they are asked for, compiled once per version, and kept.
pub struct Modules {
    source: Arc<dyn Source>,
    sandbox: Arc<Sandbox>,
    clock: Arc<dyn Clock>,
    refresh: Duration,
    max_size: u64,
    slots: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Slot>>>>,
}

/// Why there is no module to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct ModuleError {
    place: String,
    why: String,
}

/// What is known of one module. Locked while it is fetched, so that there is one fetch at a time.
#[derive(Default)]
struct Slot {
    /// The last version that passed every check.
    good: Option<Arc<Module>>,
    /// The version the source had last, good or refused: a refused one is not downloaded and compiled again.
    version: Option<String>,
    /// When the source was asked last.
    asked: Option<Timestamp>,
    /// Why the version the source has is not the one in use.
    trouble: Option<String>,
}

impl Modules {
    /// Modules from `source`, under the policy's `[modules]`.
    pub fn new(source: Arc<dyn Source>, sandbox: Arc<Sandbox>, clock: Arc<dyn Clock>, policy: &ModulesPolicy) -> Self {
        let (refresh, max_size) = (policy.refresh, policy.max_size);
        Self { source, sandbox, clock, refresh, max_size, slots: Mutex::default() }
    }

    /// The module to run now: the newest good one, at most `refresh` old.
    pub async fn current(&self, name: &str) -> Result<Arc<Module>, ModuleError> {
        let slot = self.slot(name);
        let mut slot = slot.lock().await;
        if !slot.fresh(self.clock.now(), self.refresh) {
            self.refresh(name, &mut slot).await;
            slot.asked = Some(self.clock.now());
        }
        match (&slot.good, &slot.trouble) {
            (Some(good), _) => Ok(Arc::clone(good)),
            (None, trouble) => Err(ModuleError {
                place: self.source.locate(name),
                why: trouble.clone().unwrap_or_else(|| "has not been fetched".to_owned()),
            }),
        }
    }

    /// Asks the source, and takes what it has if it passes every check.
    async fn refresh(&self, name: &str, slot: &mut Slot) {
        let fetched = self.source.fetch(name, slot.version.as_deref(), self.max_size).await;
        let trouble = match fetched {
            // What was wrong with this version still is: said when it came, and in every error until a good one comes.
            Ok(Fetched::Unchanged) => return,
            Ok(Fetched::New { bytes, version }) => {
                slot.version = Some(version);
                match self.load(bytes).await {
                    Ok(module) => {
                        let (digest, bytes) = (module.digest.as_str(), module.size);
                        let replaces = slot.good.as_ref().map(|module| module.digest.as_str());
                        tracing::info!(module = name, digest, bytes, replaces, "module loaded");
                        slot.good = Some(Arc::new(module));
                        slot.trouble = None;
                        return;
                    }
                    Err(refusal) => format!("refused: it {refusal}"),
                }
            }
            Err(error) => error.to_string(),
        };
        let place = self.source.locate(name);
        match &slot.good {
            Some(good) => {
                let digest = good.digest.as_str();
                tracing::error!(
                    module = name,
                    place,
                    error = trouble,
                    digest,
                    "module not taken: the last good one goes on"
                );
            }
            None => {
                tracing::error!(module = name, place, error = trouble, "module not taken, and there is no earlier one")
            }
        }
        slot.trouble = Some(trouble);
    }

    /// Checks, compiles and links, off the threads that serve events.
    async fn load(&self, bytes: Vec<u8>) -> Result<Module, Refusal> {
        let sandbox = Arc::clone(&self.sandbox);
        let loading = tokio::task::spawn_blocking(move || {
            accept::accept(&bytes)?;
            sandbox
                .compile(&bytes, sha256(&bytes))
                .map_err(|error| Refusal::because(format!("does not fit this host: {error:#}")))
        });
        loading.await.unwrap_or_else(|error| Err(Refusal::because(format!("could not be loaded: {error}"))))
    }

    fn slot(&self, name: &str) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.get(name) {
            Some(slot) => Arc::clone(slot),
            None => Arc::clone(slots.entry(name.to_owned()).or_default()),
        }
    }
}

impl Slot {
    /// Whether what is here is recent enough to be used without asking.
    ///
    /// Judged by the clock on the wall: a monotonic one stands still while Lambda keeps the process frozen.
    fn fresh(&self, now: Timestamp, refresh: Duration) -> bool {
        let Some(asked) = self.asked else { return false };
        let age = now.duration_since(asked);
        // A clock that was set back makes the age negative: then nothing is known of it.
        age >= SignedDuration::ZERO && age.unsigned_abs() < refresh
    }
}

#[cfg(test)]
mod tests;
