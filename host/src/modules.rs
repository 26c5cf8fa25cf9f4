//! Where plugins come from, and which of them are run.
//!
//! A module that passes every check replaces the one in use; one that fails leaves the last good one working, and says so.
//! Owns freshness, acceptance and the compiled modules. Knows nothing of events or of what a module does.

pub mod accept;
mod ask;
pub mod compile;
mod dir;
mod earlier;
mod machine;
mod record;
mod records;
#[cfg(feature = "live")]
mod s3;
pub mod signature;
pub mod signing;
mod slot;
mod source;
mod start;
mod surface;
mod uploads;
mod version;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

pub use accept::Refusal;
pub use compile::{Child, CompileError, Compiler, load};
pub use dir::{DirSource, OneFile};
pub use record::{Origin, Record, Sign, Told};
#[cfg(test)]
pub(crate) use records::put_record;
pub use records::{NOTES, recorded};
#[cfg(feature = "live")]
pub use s3::S3Source;
use slot::{Compiled, Compiling, Slot};
pub use source::{Fetched, Known, Source, SourceError, SourceErrorKind, Upload, Which};
pub use surface::Surface;
use uploads::Uploads;
pub use version::Version;

use crate::clock::Clock;
use crate::ledger::Notes;
use crate::policy::{ModulesPolicy, Pin};
use crate::sandbox::{Module, Sandbox};

/// The modules of one policy: fetched when they are asked for, compiled once per version, and kept.
pub struct Modules {
    source: Arc<dyn Source>,
    sandbox: Arc<Sandbox>,
    compiler: Compiler,
    clock: Arc<dyn Clock>,
    refresh: Duration,
    max_size: u64,
    /// None if whoever runs this host has built them.
    uploads: Option<Arc<Uploads>>,
    slots: Mutex<Slots>,
}

/// What is known of each module, by what it is asked for as.
type Slots = HashMap<(String, Option<Pin>), Arc<tokio::sync::Mutex<Slot>>>;

/// A module that was accepted, and what is known of where it came from.
#[derive(Debug)]
pub struct Plugin {
    /// What runs.
    pub module: Module,
    /// Where it comes from.
    pub origin: Origin,
    /// The digest of the one that it took the place of in this process, which can go back to that.
    before: Option<String>,
}

impl Plugin {
    fn new(module: Module, origin: Origin) -> Self {
        Self { module, origin, before: None }
    }

    /// One that whoever runs this host has built.
    pub fn built_here(module: Module) -> Self {
        let origin = Origin::built_here(&module.digest);
        Self::new(module, origin)
    }
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

impl Modules {
    /// Modules that others upload to `source`, under the policy's `[modules]`. `notes` is where hosts tell each other of them.
    pub fn new(
        source: Arc<dyn Source>,
        (sandbox, compiler): (Arc<Sandbox>, Compiler),
        clock: Arc<dyn Clock>,
        policy: &ModulesPolicy,
        notes: Notes<Record>,
    ) -> Self {
        let uploads = Some(Arc::new(Uploads::new(Arc::clone(&source), policy, notes)));
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

    /// The plugin to run now: the pinned one, or the newest good one, at most `refresh` old. Never one that is known to be given up.
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
        // That may have become known meanwhile.
        self.go_back(name, pin, &mut slot);
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
        if let Err(error) = uploads.tell(name, handler, plugin, sign).await {
            tracing::warn!(module = name, %error, "what an attempt says of its module could not be written down for other hosts");
        }
    }

    /// Whether a version of a module is not to be run again, as far as this host has read.
    pub fn has_given_up(&self, name: &str, digest: &str) -> bool {
        self.uploads.as_ref().is_some_and(|uploads| uploads.given_up(name, digest).is_some())
    }

    /// Puts the plugin before in the place of one that was given up, by this host or by another.
    fn go_back(&self, name: &str, pin: Option<&Pin>, slot: &mut Slot) {
        let (None, Some(good), Some(uploads)) = (pin, &slot.good, &self.uploads) else { return };
        let Some(why) = uploads.given_up(name, &good.module.digest) else { return };
        let (digest, version) = (good.module.digest.clone(), good.origin.version().map(ToString::to_string));
        let message = format!("{} was given up: {why}", self.source.locate(name));
        slot.good = slot.previous.take().filter(|before| uploads.allows(name, &before.origin).is_ok());
        let back_to = slot.good.as_ref().map(|good| good.module.digest.as_str());
        let back_to_version = slot.good.as_ref().and_then(|good| good.origin.version()).map(ToString::to_string);
        let what = if back_to.is_some() { "the one before it takes its place" } else { "an earlier one is looked for" };
        tracing::error!(
            module = name,
            digest,
            version,
            why,
            back_to,
            back_to_version,
            "a new plugin is given up: {what}"
        );
        if slot.good.is_none() {
            (slot.asked, slot.known) = (None, None);
        }
        slot.refuse(ModuleError { message, passes: false });
    }

    /// Forgets what the source has if it was refused for what hosts knew, and what they know by now allows it.
    fn judge_anew(&self, name: &str, slot: &mut Slot) {
        let (Some(uploads), Some(origin)) = (&self.uploads, &slot.outweighed) else { return };
        if uploads.allows(name, origin).is_ok() {
            (slot.known, slot.outweighed) = (None, None);
        }
    }

    /// Asks the source, and takes what it has if it passes every check.
    async fn refresh(&self, name: &str, pin: Option<&Pin>, slot: &mut Slot) {
        let began = self.clock.now();
        if let Err(trouble) = self.recall(name, pin, slot.patience()).await {
            return self.failed(name, slot, trouble, began);
        }
        self.go_back(name, pin, slot);
        self.judge_anew(name, slot);
        match self.fetch(name, pin, slot).await {
            Ok(None) => slot.trouble = slot.refused.clone(),
            Ok(Some((upload, origin))) => {
                let known = upload.known();
                slot.outweighed = None;
                let judged = origin.and_then(|origin| {
                    let allowed = self.allows(name, &origin);
                    slot.outweighed = allowed.is_err().then(|| origin.clone());
                    allowed.map(|()| origin)
                });
                match judged {
                    Ok(origin) => {
                        let work = self.compile(slot.good.as_deref(), &origin, upload);
                        slot.compiling = Some(Compiling::new(Some(known), origin, work));
                    }
                    Err(refusal) => {
                        slot.known = Some(known);
                        self.refused(name, pin, slot, upload.version_id.as_deref(), &refusal);
                    }
                }
            }
            Err(SourceError { kind: SourceErrorKind::TooLarge, message }) => {
                slot.refusals += u64::from(slot.refused.as_ref().is_none_or(|refused| refused.message != message));
                self.goes_on(name, slot, &message);
                slot.refuse(ModuleError { message, passes: false });
            }
            Err(SourceError { kind, message }) => {
                let trouble = ModuleError { message, passes: kind == SourceErrorKind::Unavailable };
                // Whoever may upload can make an object that nobody reads, and delete what a handler is pinned to.
                let hidden = match kind {
                    SourceErrorKind::Denied => true,
                    SourceErrorKind::NotFound => matches!(pin, Some(Pin::Sha256(_))),
                    _ => false,
                };
                if slot.good.is_none() && hidden {
                    self.take_earlier(name, pin, slot, &trouble).await;
                    if slot.good.is_some() {
                        slot.asked = Some(began);
                        return;
                    }
                }
                // What cannot be had keeps this host from nothing that another has accepted.
                let trouble = match self.give_way(name, slot).await {
                    Some(outdated) if slot.compiling.is_none() => {
                        ModuleError { message: format!("{trouble}; and {outdated}"), ..trouble }
                    }
                    _ => trouble,
                };
                return self.failed(name, slot, trouble, began);
            }
        }
        slot.asked = Some(began);
        self.finish(name, pin, slot).await;
    }

    /// Takes what is being compiled, once it is. With a good one to go on with, the first event waits a while, and others not at all.
    async fn finish(&self, name: &str, pin: Option<&Pin>, slot: &mut Slot) {
        let patience = slot.patience();
        if let Some(compiling) = &mut slot.compiling {
            let Some(compiled) = compiling.done(patience).await else {
                return tracing::info!(module = name, "a new version still compiles: the one in use goes on");
            };
            slot.compiling = None;
            // Whoever goes before it is settled leaves it to be fetched again.
            let asked = slot.asked.take();
            if let Err(trouble) = self.settle(name, pin, slot, compiled).await {
                let began = self.clock.now();
                if slot.good.is_none() {
                    self.take_earlier(name, pin, slot, &trouble).await;
                }
                return self.failed(name, slot, trouble, began);
            }
            slot.asked = asked;
        }
        if slot.good.is_none() {
            if let Some(refusal) = slot.refused.clone() {
                // Whoever goes before one is found leaves it to be looked for again.
                let asked = slot.asked.take();
                self.take_earlier(name, pin, slot, &refusal).await;
                slot.asked = asked;
            }
        } else if let Some(outdated) = self.give_way(name, slot).await {
            if slot.compiling.is_none() {
                self.not_taken(name, slot, &outdated.message);
            }
            slot.trouble = Some(outdated);
        }
    }

    /// Takes what was compiled, or notes why not; an error where that says nothing of the module.
    async fn settle(
        &self,
        name: &str,
        pin: Option<&Pin>,
        slot: &mut Slot,
        Compiled { known, version_id, plugin }: Compiled,
    ) -> Result<(), ModuleError> {
        let (refusal, outweighed) = match plugin {
            Ok(plugin) => match self.still_allows(name, pin, slot.patience(), &plugin.origin).await {
                Ok(()) => {
                    self.take(name, pin, slot, plugin).await;
                    // With an earlier one, what is known of the newest stays.
                    slot.known = known.or(slot.known.take());
                    return Ok(());
                }
                Err(refusal) => (refusal, Some(plugin.origin)),
            },
            Err(CompileError::Refused(refusal)) => (refusal, None),
            Err(error @ CompileError::Failed(_)) => {
                let message = format!("{} is not taken yet: {error}", self.source.locate(name));
                return Err(ModuleError { message, passes: true });
            }
        };
        if let Some(known) = known {
            (slot.known, slot.outweighed) = (Some(known), outweighed);
            self.refused(name, pin, slot, version_id.as_deref(), &refusal);
        } else if let Some(version_id) = version_id {
            slot.tried.note(version_id, outweighed);
        }
        Ok(())
    }

    /// Notes that the version which the source has is not taken.
    fn refused(&self, name: &str, pin: Option<&Pin>, slot: &mut Slot, version_id: Option<&str>, refusal: &Refusal) {
        let which = version_id.map(|id| format!(" (version-id {id})")).unwrap_or_default();
        let message = format!("{}{which} was refused: it {refusal}", self.source.locate(name));
        slot.refusals += 1;
        // That the newest is another than the pinned one is as it should be, if that one is found.
        if !matches!(pin, Some(Pin::Sha256(_))) {
            self.goes_on(name, slot, &message);
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

    /// Whether what hosts know allows a module to be run.
    fn allows(&self, name: &str, origin: &Origin) -> Result<(), Refusal> {
        self.uploads.as_ref().map_or(Ok(()), |uploads| uploads.allows(name, origin))
    }

    /// Puts a plugin in the place of the one in use.
    async fn take(&self, name: &str, pin: Option<&Pin>, slot: &mut Slot, mut plugin: Plugin) {
        let Plugin { module: Module { digest, size, .. }, origin, .. } = &plugin;
        let (version, version_id) = (origin.version().map(ToString::to_string), origin.version_id.as_deref());
        let tells = match pin {
            None => version.is_some(),
            // Where it is, however much is uploaded after it.
            Some(Pin::Sha256(_)) => version_id.is_some(),
            Some(Pin::VersionId(_)) => false,
        };
        if let (true, Some(uploads)) = (tells, &self.uploads)
            && let Err(error) = uploads.accept(name, origin).await
        {
            tracing::warn!(module = name, version, %error, "what was taken could not be written down: until it is, other hosts do not know of it");
        }
        let signed_by = origin.signed.as_ref().map(|signed| signed.by.to_string());
        let replaces = slot.good.as_ref().map(|good| good.module.digest.as_str());
        let again = replaces == Some(digest);
        let what = if again { "module uploaded again" } else { "module loaded" };
        tracing::info!(module = name, digest, version, signed_by, version_id, bytes = size, replaces, "{what}");
        slot.previous = slot.good.take().filter(|_| !again).or_else(|| slot.previous.take());
        plugin.before = slot.previous.as_ref().map(|before| before.module.digest.clone());
        slot.good = Some(Arc::new(plugin));
        (slot.refused, slot.trouble) = (None, None);
        slot.said.clear();
    }

    /// Says that what the source has is not taken, if there is one to go on with. Else an earlier one is looked for first.
    fn goes_on(&self, name: &str, slot: &mut Slot, error: &str) {
        if slot.good.is_some() {
            self.not_taken(name, slot, error);
        }
    }

    /// Says loudly that what the source has is not what runs: once, since each event would have the same to say.
    fn not_taken(&self, name: &str, slot: &mut Slot, error: &str) {
        if slot.said == error {
            return;
        }
        error.clone_into(&mut slot.said);
        let (place, refusals) = (self.source.locate(name), slot.refusals);
        match &slot.good {
            Some(good) => {
                let in_use = good.module.digest.as_str();
                tracing::error!(
                    module = name,
                    place,
                    error,
                    refusals,
                    in_use,
                    "module not taken: the last good one goes on"
                );
            }
            None => {
                tracing::error!(module = name, place, error, refusals, "module not taken, and none is in use yet")
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
