//! Where plugins come from, and which of them are run.
//!
//! A module that passes every check replaces the one in use; one that fails leaves the last good one working, and says so.
//! Owns freshness, acceptance and the compiled modules. Knows nothing of events or of what a module does.

pub mod accept;
pub mod compile;
mod dir;
mod record;
#[cfg(feature = "live")]
mod s3;
pub mod signature;
pub mod signing;
mod slot;
mod source;
mod surface;
mod uploads;
mod version;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

pub use accept::Refusal;
pub use compile::{Child, CompileError, Compiler, load};
pub use dir::{DirSource, OneFile};
pub use record::{Record, Sign, Told};
#[cfg(feature = "live")]
pub use s3::S3Source;
use slot::{Compiling, Slot};
pub use source::{Fetched, Known, Source, SourceError, SourceErrorKind, Upload, Which};
pub use surface::Surface;
use uploads::Uploads;
pub use version::Version;

use crate::clock::Clock;
use crate::digest::sha256;
use crate::ledger::Notes;
use crate::policy::{ModulesPolicy, Pin};
use crate::sandbox::{Module, Sandbox};
use crate::side_by_side::side_by_side;

/// The modules of one policy: fetched when they are asked for, compiled once per version, and kept.
pub struct Modules {
    source: Arc<dyn Source>,
    sandbox: Arc<Sandbox>,
    compiler: Compiler,
    clock: Arc<dyn Clock>,
    refresh: Duration,
    max_size: u64,
    /// None if whoever runs this host has built them.
    uploads: Option<Uploads>,
    slots: Mutex<Slots>,
}

/// What is known of each module, by what it is asked for as.
type Slots = HashMap<(String, Option<Pin>), Arc<tokio::sync::Mutex<Slot>>>;

/// A module that was accepted, and what is known of where it came from.
#[derive(Debug)]
pub struct Plugin {
    /// What runs.
    pub module: Module,
    /// What it was signed as.
    pub version: Option<Version>,
    /// What its source calls it.
    pub version_id: Option<String>,
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

/// How long the source, or the compiler, is waited for when there is a good module to go on with. A module of 32 MiB takes about a second
/// inside a region.
const PATIENCE: Duration = Duration::from_secs(5);

impl Modules {
    /// Modules that others upload to `source`, under the policy's `[modules]`. `notes` is where hosts tell each other of them.
    pub fn new(
        source: Arc<dyn Source>,
        (sandbox, compiler): (Arc<Sandbox>, Compiler),
        clock: Arc<dyn Clock>,
        policy: &ModulesPolicy,
        notes: Notes<Record>,
    ) -> Self {
        let uploads = Some(Uploads::new(policy, notes));
        Self { compiler, uploads, ..Self::of_this_machine(source, sandbox, clock, policy) }
    }

    /// Modules that whoever runs this host has built: signed or not, whatever a handler is pinned to, and compiled in this process.
    pub fn of_this_machine(
        source: Arc<dyn Source>,
        sandbox: Arc<Sandbox>,
        clock: Arc<dyn Clock>,
        policy: &ModulesPolicy,
    ) -> Self {
        let (refresh, max_size) = (policy.refresh, policy.max_size);
        let (compiler, uploads, slots) = (Compiler::Here, None, Mutex::default());
        Self { source, sandbox, compiler, clock, refresh, max_size, uploads, slots }
    }

    /// Modules that are known from the beginning and never change; any other is asked of `source`.
    pub(crate) fn holding(
        known: impl IntoIterator<Item = (String, Arc<Plugin>)>,
        source: Arc<dyn Source>,
        sandbox: Arc<Sandbox>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let asked = Some(clock.now());
        let slot = |good| Arc::new(tokio::sync::Mutex::new(Slot { good: Some(good), asked, ..Slot::default() }));
        let slots = known.into_iter().map(|(name, good)| ((name, None), slot(good))).collect();
        let (compiler, refresh, max_size) = (Compiler::Here, Duration::MAX, 0);
        Self { source, sandbox, compiler, clock, refresh, max_size, uploads: None, slots: Mutex::new(slots) }
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
                let fetched = tokio::time::timeout(PATIENCE, source.fetch(&name, Which::Newest(None), 0)).await;
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

    /// The plugin to run now: the pinned one, or the newest good one, at most `refresh` old.
    ///
    /// May be dropped at any point: nothing is taken for known that is not.
    pub async fn current(&self, name: &str, pin: Option<&Pin>) -> Result<Arc<Plugin>, ModuleError> {
        let pin = pin.filter(|_| self.uploads.is_some());
        let slot = self.slot(name, pin);
        let arrived = self.clock.now();
        let mut slot = slot.lock().await;
        self.go_back(name, pin, &mut slot);
        // Whoever waited while another asked in vain has that answer: one after the other they would wait for minutes.
        let failed_meanwhile = slot.failed.is_some_and(|failed| failed > arrived);
        let settled = pin.is_some() && slot.good.is_some();
        if slot.compiling.is_some() {
            self.finish(name, pin, &mut slot).await;
        } else if !settled && !failed_meanwhile && !slot.fresh(arrived, self.clock.now(), self.refresh) {
            self.refresh(name, pin, &mut slot).await;
        }
        match (&slot.good, &slot.trouble) {
            (Some(good), _) => Ok(Arc::clone(good)),
            (None, Some(trouble)) => Err(trouble.clone()),
            (None, None) => {
                Err(ModuleError { message: format!("{} has not been fetched", self.source.locate(name)), passes: true })
            }
        }
    }

    /// Notes what an attempt of `handler` says of the plugin that it ran, which may be the end of it.
    pub async fn tell(&self, name: &str, handler: &str, plugin: &Plugin, sign: &Sign) {
        let Some(uploads) = &self.uploads else { return };
        let told = Told::new(&plugin.module.digest, plugin.version.clone(), plugin.version_id.clone());
        let after = uploads.rollback_after;
        let nothing_new = uploads.record(name).is_some_and(|mut record| !record.note(&told, handler, sign, after));
        if nothing_new {
            return;
        }
        let noting = |record: &mut Record| record.note(&told, handler, sign, after);
        let record = uploads.notes.change(&self.note_of(name), noting).await.unwrap_or_else(|error| {
            tracing::warn!(module = name, %error, "what an attempt says of its module could not be written down for other hosts");
            let mut record = uploads.record(name).unwrap_or_default();
            record.note(&told, handler, sign, after);
            record
        });
        uploads.remember(name, record);
    }

    /// Whether a version of a module is not to be run again, as far as this host has read.
    pub fn has_given_up(&self, name: &str, digest: &str) -> bool {
        let record = self.uploads.as_ref().and_then(|uploads| uploads.record(name));
        record.is_some_and(|record| record.given_up(digest).is_some())
    }

    /// Puts the plugin before in the place of one that was given up, by this host or by another.
    fn go_back(&self, name: &str, pin: Option<&Pin>, slot: &mut Slot) {
        let record = self.uploads.as_ref().and_then(|uploads| uploads.record(name));
        let (None, Some(good), Some(record)) = (pin, &slot.good, record) else { return };
        let Some(why) = record.given_up(&good.module.digest) else { return };
        let digest = good.module.digest.clone();
        let message = format!("{} was given up: {why}", self.source.locate(name));
        slot.good = slot.previous.take().filter(|before| record.given_up(&before.module.digest).is_none());
        let back_to = slot.good.as_ref().map(|good| good.module.digest.as_str());
        tracing::error!(
            module = name,
            digest,
            why,
            back_to,
            "a new plugin is given up: the one before it takes its place"
        );
        if slot.good.is_none() {
            (slot.asked, slot.known) = (None, None);
        }
        slot.refuse(ModuleError { message, passes: false });
    }

    /// Asks the source, and takes what it has if it passes every check.
    async fn refresh(&self, name: &str, pin: Option<&Pin>, slot: &mut Slot) {
        let began = self.clock.now();
        if let Err(trouble) = self.recall(name, pin).await {
            return self.failed(name, slot, trouble, began);
        }
        self.go_back(name, pin, slot);
        match self.fetch(name, pin, slot).await {
            Ok(Fetched::Unchanged) => slot.trouble = slot.refused.clone(),
            Ok(Fetched::New(upload)) => {
                let (tag, signature) = (upload.tag.clone(), upload.signature.clone());
                match self.look_at(name, pin, &upload) {
                    Ok(version) => {
                        let known = Known { tag, refused_with: None };
                        let (compiler, sandbox) = (self.compiler.clone(), Arc::clone(&self.sandbox));
                        let work = async move { compiler.load(&sandbox, upload.bytes).await };
                        slot.compiling = Some(Compiling::new(known, (version, upload.version_id), work));
                    }
                    Err(refusal) => {
                        slot.known = Some(Known { tag, refused_with: Some(signature) });
                        self.refused(name, pin, slot, &refusal);
                    }
                }
            }
            Err(SourceError { kind: SourceErrorKind::TooLarge, message }) => {
                slot.refusals += u64::from(slot.said != message);
                self.not_taken(name, slot, &message);
                slot.refuse(ModuleError { message, passes: false });
            }
            Err(SourceError { kind, message }) => {
                let trouble = ModuleError { message, passes: kind == SourceErrorKind::Unavailable };
                return self.failed(name, slot, trouble, began);
            }
        }
        slot.asked = Some(began);
        self.finish(name, pin, slot).await;
    }

    /// Takes what is being compiled, once it is. With a good one to go on with, the first event waits a while, and others not at all.
    async fn finish(&self, name: &str, pin: Option<&Pin>, slot: &mut Slot) {
        if let Some(compiling) = &mut slot.compiling {
            let patience = slot.good.is_some().then_some(PATIENCE);
            let Some((known, compiled)) = compiling.done(patience).await else {
                return tracing::info!(module = name, "a new version still compiles: the one in use goes on");
            };
            slot.compiling = None;
            match compiled {
                Ok(plugin) => {
                    // Whoever goes meanwhile leaves it to be fetched again.
                    self.take(name, pin, slot, plugin).await;
                    slot.known = Some(known);
                }
                Err(CompileError::Refused(refusal)) => {
                    slot.known = Some(known);
                    self.refused(name, pin, slot, &refusal);
                }
                Err(error @ CompileError::Failed(_)) => {
                    let message = format!("{} is not taken yet: {error}", self.source.locate(name));
                    let began = self.clock.now();
                    return self.failed(name, slot, ModuleError { message, passes: true }, began);
                }
            }
        }
        if slot.good.is_none() && slot.refused.is_some() {
            self.take_earlier(name, pin, slot).await;
        }
    }

    /// Notes that the version which the source has is not taken.
    fn refused(&self, name: &str, pin: Option<&Pin>, slot: &mut Slot, refusal: &Refusal) {
        let message = format!("{} was refused: it {refusal}", self.source.locate(name));
        slot.refusals += 1;
        // That the newest is another than the pinned one is as it should be, if that one is found.
        if !matches!(pin, Some(Pin::Sha256(_))) {
            self.not_taken(name, slot, &message);
        }
        slot.refuse(ModuleError { message, passes: false });
    }

    /// Notes that the source, or the record, could not be asked.
    fn failed(&self, name: &str, slot: &mut Slot, trouble: ModuleError, began: Timestamp) {
        self.not_taken(name, slot, &trouble.message);
        slot.trouble = Some(trouble);
        // With nothing to go on with, the next attempt asks again: a passing fault must not outlive itself.
        match slot.good {
            None => slot.failed = Some(self.clock.now()),
            Some(_) => slot.asked = Some(began),
        }
    }

    /// Every check that an upload has to pass before it is compiled. Returns the version it was signed as.
    fn look_at(&self, name: &str, pin: Option<&Pin>, upload: &Upload) -> Result<Option<Version>, Refusal> {
        self.uploads.as_ref().map_or(Ok(None), |uploads| uploads.look_at(name, pin, upload))
    }

    /// Puts a plugin in the place of the one in use.
    async fn take(&self, name: &str, pin: Option<&Pin>, slot: &mut Slot, plugin: Plugin) {
        if let (None, Some(version), Some(uploads)) = (pin, &plugin.version, &self.uploads) {
            match uploads.notes.change(&self.note_of(name), |record| record.accept(version)).await {
                Ok(record) => uploads.remember(name, record),
                Err(error) => {
                    tracing::warn!(module = name, %version, %error, "the version could not be written down: until it is, an older one is taken too");
                }
            }
        }
        let (digest, bytes) = (plugin.module.digest.as_str(), plugin.module.size);
        let (version, version_id) = (plugin.version.as_ref().map(ToString::to_string), plugin.version_id.as_deref());
        let replaces = slot.good.as_ref().map(|good| good.module.digest.as_str());
        tracing::info!(module = name, digest, version, version_id, bytes, replaces, "module loaded");
        let before = slot.good.replace(Arc::new(plugin));
        slot.previous = before.or_else(|| slot.previous.take());
        (slot.refused, slot.trouble) = (None, None);
        slot.said.clear();
    }

    /// Looks through earlier versions for one that passes every check: the newest was refused, and there is nothing to go on with.
    async fn take_earlier(&self, name: &str, pin: Option<&Pin>, slot: &mut Slot) {
        let (Some(uploads), None | Some(Pin::Sha256(_))) = (&self.uploads, pin) else { return };
        let record = if pin.is_none() { uploads.record(name).unwrap_or_default() } else { Record::default() };
        let recorded = record.good().filter_map(|told| told.version_id.clone()).collect::<Vec<_>>();
        let listed = self.source.earlier(name).await.unwrap_or_else(|error| {
            tracing::warn!(module = name, %error, "earlier versions of a refused module cannot be looked for");
            Vec::new()
        });
        for version in recorded.into_iter().chain(listed) {
            if slot.tried.contains(&version) {
                continue;
            }
            let why = match self.earlier(name, pin, &version).await {
                Ok(plugin) => {
                    let digest = plugin.module.digest.clone();
                    let refused = slot.refused.clone();
                    self.take(name, pin, slot, plugin).await;
                    match pin {
                        None => tracing::error!(
                            module = name,
                            version_id = version,
                            digest,
                            "the newest version was refused: an earlier one is used"
                        ),
                        Some(_) => tracing::info!(
                            module = name,
                            version_id = version,
                            digest,
                            "the pinned version is an earlier one"
                        ),
                    }
                    (slot.refused, slot.trouble) = (refused.clone(), refused);
                    return;
                }
                // It may pass; then it is worth another look.
                Err(error) if error.passes() => error.to_string(),
                Err(error) => {
                    slot.tried.insert(version.clone());
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

    /// An earlier version, if it passes every check.
    async fn earlier(&self, name: &str, pin: Option<&Pin>, version_id: &str) -> Result<Plugin, Untaken> {
        match self.source.fetch(name, Which::Version(version_id), self.max_size).await? {
            Fetched::Unchanged => Err(Refusal::because("has not changed").into()),
            Fetched::New(upload) => {
                let version = self.look_at(name, pin, &upload)?;
                let module = self.compiler.load(&self.sandbox, upload.bytes).await?;
                Ok(Plugin { module, version, version_id: upload.version_id })
            }
        }
    }

    /// Reads what hosts know of a module.
    async fn recall(&self, name: &str, pin: Option<&Pin>) -> Result<(), ModuleError> {
        let (None, Some(uploads)) = (pin, &self.uploads) else { return Ok(()) };
        let record = uploads.notes.read(&self.note_of(name)).await;
        let record = record.map_err(|error| ModuleError { message: error.to_string(), passes: true })?;
        uploads.remember(name, record);
        Ok(())
    }

    /// The name of a module's note: readable, and told from the same name in another source.
    fn note_of(&self, name: &str) -> String {
        let readable = name.replace(|char: char| !char.is_ascii_alphanumeric(), "-");
        format!("{readable}-{}", &sha256(self.source.locate(name))[..16])
    }

    /// Asks the source: for as long as it takes when there is nothing else, and with `PATIENCE` when there is.
    async fn fetch(&self, name: &str, pin: Option<&Pin>, slot: &Slot) -> Result<Fetched, SourceError> {
        let which = match pin {
            Some(Pin::VersionId(version)) => Which::Version(version),
            _ => Which::Newest(slot.known.as_ref()),
        };
        let fetch = self.source.fetch(name, which, self.max_size);
        if slot.good.is_none() {
            return fetch.await;
        }
        tokio::time::timeout(PATIENCE, fetch).await.unwrap_or_else(|_| Err(self.late(name)))
    }

    fn late(&self, name: &str) -> SourceError {
        let message = format!("{} did not answer within {PATIENCE:?}", self.source.locate(name));
        SourceError { kind: SourceErrorKind::Unavailable, message }
    }

    /// Says loudly that what the source has is not what runs: once, since each event would have the same to say.
    fn not_taken(&self, name: &str, slot: &mut Slot, error: &str) {
        if slot.said == error {
            return;
        }
        error.clone_into(&mut slot.said);
        let (place, refused) = (self.source.locate(name), slot.refusals);
        match &slot.good {
            Some(good) => {
                let digest = good.module.digest.as_str();
                tracing::error!(
                    module = name,
                    place,
                    error,
                    refused,
                    digest,
                    "module not taken: the last good one goes on"
                );
            }
            None => {
                tracing::error!(module = name, place, error, refused, "module not taken, and there is no earlier one")
            }
        }
    }

    fn slot(&self, name: &str, pin: Option<&Pin>) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry((name.to_owned(), pin.cloned())).or_default())
    }
}

#[cfg(test)]
mod tests;
