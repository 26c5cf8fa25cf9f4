//! Where plugins come from, and which of them are run.
//!
//! A module that passes every check replaces the one in use; one that fails leaves the last good one working, and says so.
//! Owns freshness, acceptance and the compiled modules. Knows nothing of events or of what a module does.

pub mod accept;
mod dir;
#[cfg(feature = "live")]
mod s3;
mod source;
mod surface;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub use accept::Refusal;
pub use dir::{DirSource, OneFile};
#[cfg(feature = "live")]
pub use s3::S3Source;
pub use source::{Fetched, Source, SourceError, SourceErrorKind};
pub use surface::Surface;

use crate::clock::Clock;
use crate::digest::sha256;
use crate::policy::ModulesPolicy;
use crate::sandbox::{Module, Sandbox};
use crate::side_by_side::side_by_side;

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
#[error("{message}")]
pub struct ModuleError {
    /// One line that names its place.
    message: String,
    /// Whether it passes without anybody doing something about it: the source does not answer.
    pub passes: bool,
}

/// How long the source is waited for when there is a good module to go on with. A module of 32 MiB takes about a second
/// inside a region.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a module may take to compile: a Python one, the slowest that is meant well, takes about ten seconds.
const COMPILING: Duration = Duration::from_secs(40);

/// What is known of one module. Locked while it is fetched, so that there is one fetch at a time.
#[derive(Default)]
struct Slot {
    /// The last version that passed every check.
    good: Option<Arc<Module>>,
    /// The version the source had last, good or refused: a refused one is not downloaded and compiled again.
    version: Option<String>,
    /// Why that version was refused, if it was.
    refused: Option<ModuleError>,
    /// When the source was asked last.
    asked: Option<Timestamp>,
    /// When it last failed, while there was nothing to go on with.
    failed: Option<Timestamp>,
    /// Why the version the source has is not the one in use: refused, or the source failed.
    trouble: Option<ModuleError>,
}

impl Modules {
    /// Modules from `source`, under the policy's `[modules]`.
    pub fn new(source: Arc<dyn Source>, sandbox: Arc<Sandbox>, clock: Arc<dyn Clock>, policy: &ModulesPolicy) -> Self {
        let (refresh, max_size) = (policy.refresh, policy.max_size);
        Self { source, sandbox, clock, refresh, max_size, slots: Mutex::default() }
    }

    /// Modules that are known from the beginning and never change; any other is asked of `source`.
    pub(crate) fn holding(
        known: impl IntoIterator<Item = (String, Arc<Module>)>,
        source: Arc<dyn Source>,
        sandbox: Arc<Sandbox>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let asked = Some(clock.now());
        let slot = |good| Arc::new(tokio::sync::Mutex::new(Slot { good: Some(good), asked, ..Slot::default() }));
        let slots = known.into_iter().map(|(name, good)| (name, slot(good))).collect();
        Self { source, sandbox, clock, refresh: Duration::MAX, max_size: 0, slots: Mutex::new(slots) }
    }

    /// Whether the source has modules to give, asked about those called `names`: once, at start, where a person still reads the answer.
    ///
    /// An error if there is no such source, or if none of them may be read. One that is not there yet, and what may pass by itself, is
    /// said and not waited for.
    pub async fn check(&self, names: impl IntoIterator<Item = &str>) -> Result<(), SourceError> {
        let asked = names.into_iter().collect::<BTreeSet<_>>().into_iter().map(|name| {
            let (name, source) = (name.to_owned(), Arc::clone(&self.source));
            async move {
                // Nothing is so small as to be read for this.
                let fetched = tokio::time::timeout(PATIENCE, source.fetch(&name, None, 0)).await;
                (name, fetched)
            }
        });
        let (mut forbidden, mut others) = (None, false);
        for (name, fetched) in side_by_side(asked).await {
            match fetched.unwrap_or_else(|_| Err(self.late(&name))) {
                Err(error) if error.kind == SourceErrorKind::SourceMissing => return Err(error),
                Err(error) if error.kind == SourceErrorKind::Denied => forbidden = Some(forbidden.unwrap_or(error)),
                Err(error) if error.kind != SourceErrorKind::TooLarge => {
                    others = true;
                    tracing::warn!(module = name, %error, "a module cannot be had yet: it is asked for again with each event");
                }
                _ => others = true,
            }
        }
        match forbidden {
            Some(error) if !others => Err(error),
            Some(error) => {
                tracing::warn!(%error, "a module cannot be had: it is asked for again with each event");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The module to run now: the newest good one, at most `refresh` old.
    ///
    /// May be dropped at any point: nothing is taken for known that is not.
    pub async fn current(&self, name: &str) -> Result<Arc<Module>, ModuleError> {
        let slot = self.slot(name);
        let arrived = self.clock.now();
        let mut slot = slot.lock().await;
        // Whoever waited while another asked in vain has that answer: one after the other they would wait for minutes.
        let failed_meanwhile = slot.failed.is_some_and(|failed| failed > arrived);
        if !failed_meanwhile && !slot.fresh(arrived, self.clock.now(), self.refresh) {
            self.refresh(name, &mut slot).await;
        }
        match (&slot.good, &slot.trouble) {
            (Some(good), _) => Ok(Arc::clone(good)),
            (None, Some(trouble)) => Err(trouble.clone()),
            (None, None) => {
                Err(ModuleError { message: format!("{} has not been fetched", self.source.locate(name)), passes: true })
            }
        }
    }

    /// Asks the source, and takes what it has if it passes every check.
    async fn refresh(&self, name: &str, slot: &mut Slot) {
        let began = self.clock.now();
        match self.fetch(name, slot).await {
            Ok(Fetched::Unchanged) => slot.trouble = slot.refused.clone(),
            Ok(Fetched::New { bytes, version }) => {
                let loaded = self.load(bytes).await;
                slot.version = Some(version);
                match loaded {
                    Ok(module) => {
                        let (digest, bytes) = (module.digest.as_str(), module.size);
                        let replaces = slot.good.as_ref().map(|module| module.digest.as_str());
                        tracing::info!(module = name, digest, bytes, replaces, "module loaded");
                        slot.good = Some(Arc::new(module));
                        (slot.refused, slot.trouble) = (None, None);
                    }
                    Err(refusal) => {
                        let message = format!("{} was refused: it {refusal}", self.source.locate(name));
                        self.not_taken(name, slot, &message);
                        let trouble = ModuleError { message, passes: false };
                        (slot.refused, slot.trouble) = (Some(trouble.clone()), Some(trouble));
                    }
                }
            }
            Err(error) => {
                self.not_taken(name, slot, &error.message);
                let SourceError { kind, message } = error;
                slot.trouble = Some(ModuleError { message, passes: kind == SourceErrorKind::Unavailable });
                // With nothing to go on with, the next attempt asks again: a passing fault must not outlive itself.
                if slot.good.is_none() {
                    slot.failed = Some(self.clock.now());
                    return;
                }
            }
        }
        slot.asked = Some(began);
    }

    /// Asks the source: for as long as it takes when there is nothing else, and with `PATIENCE` when there is.
    async fn fetch(&self, name: &str, slot: &Slot) -> Result<Fetched, SourceError> {
        let fetch = self.source.fetch(name, slot.version.as_deref(), self.max_size);
        if slot.good.is_none() {
            return fetch.await;
        }
        tokio::time::timeout(PATIENCE, fetch).await.unwrap_or_else(|_| Err(self.late(name)))
    }

    fn late(&self, name: &str) -> SourceError {
        let message = format!("{} did not answer within {PATIENCE:?}", self.source.locate(name));
        SourceError { kind: SourceErrorKind::Unavailable, message }
    }

    /// Says loudly that what the source has is not what runs.
    fn not_taken(&self, name: &str, slot: &Slot, error: &str) {
        let place = self.source.locate(name);
        match &slot.good {
            Some(good) => {
                let digest = good.digest.as_str();
                tracing::error!(module = name, place, error, digest, "module not taken: the last good one goes on");
            }
            None => tracing::error!(module = name, place, error, "module not taken, and there is no earlier one"),
        }
    }

    /// Checks, compiles and links, off the threads that serve events.
    async fn load(&self, bytes: Vec<u8>) -> Result<Module, Refusal> {
        let sandbox = Arc::clone(&self.sandbox);
        let loading = tokio::task::spawn_blocking(move || load(&sandbox, &bytes));
        // A compilation cannot be cancelled: past its time it goes on by itself, and what it makes is thrown away.
        match tokio::time::timeout(COMPILING, loading).await {
            Ok(loaded) => loaded.unwrap_or_else(|error| Err(Refusal::because(format!("could not be loaded: {error}")))),
            Err(_) => Err(Refusal::because(format!("takes longer than {COMPILING:?} to compile: make it smaller"))),
        }
    }

    fn slot(&self, name: &str) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.get(name) {
            Some(slot) => Arc::clone(slot),
            None => Arc::clone(slots.entry(name.to_owned()).or_default()),
        }
    }
}

/// Checks, compiles and links a module. A large one takes seconds.
pub fn load(sandbox: &Sandbox, bytes: &[u8]) -> Result<Module, Refusal> {
    accept::accept(bytes)?;
    let compiled = sandbox.compile(bytes, sha256(bytes));
    compiled.map_err(|error| Refusal::because(format!("does not fit this host: {error:#}")))
}

impl Slot {
    /// Whether what is here is recent enough to be used without asking, by an event that arrived at `arrived`.
    ///
    /// Judged by the clock on the wall: a monotonic one stands still while Lambda keeps the process frozen.
    fn fresh(&self, arrived: Timestamp, now: Timestamp, refresh: Duration) -> bool {
        let Some(asked) = self.asked else { return false };
        let age = now.duration_since(asked);
        // A clock that was set back makes the age negative: then nothing is known of it.
        let young = age >= SignedDuration::ZERO && age.unsigned_abs() < refresh;
        // Whoever waited while another asked for the same has the answer, even with `refresh = "0s"`.
        let asked_meanwhile = asked >= arrived && asked <= now;
        young || asked_meanwhile
    }
}

#[cfg(test)]
mod tests;
