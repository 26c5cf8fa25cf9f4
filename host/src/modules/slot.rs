//! What a process knows of one module: the version in use, the one before it, and what became of the newest.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use super::ask::{PATIENCE, within};
use super::{CompileError, Known, ModuleError, Origin, Plugin, SourceErrorKind};
use crate::sandbox::Module;

/// What is known of one module. Locked while it is fetched, so that there is one fetch at a time.
#[derive(Default)]
pub(super) struct Slot {
    /// The last version that passed every check.
    pub(super) good: Option<Arc<Plugin>>,
    /// The one before it, to go back to.
    pub(super) previous: Option<Arc<Plugin>>,
    /// The version the source had last, good or refused: a refused one is not downloaded and compiled again.
    pub(super) known: Option<Known>,
    /// Why that version was refused, if it was.
    pub(super) refused: Option<ModuleError>,
    /// Where that comes from, if it was refused for what hosts know.
    pub(super) outweighed: Option<Origin>,
    /// How many versions were refused.
    pub(super) refusals: u64,
    /// A newer version, which has passed all other checks.
    pub(super) compiling: Option<Compiling>,
    /// Earlier versions that were looked at in vain.
    pub(super) tried: Tried,
    /// When the source was asked last.
    pub(super) asked: Option<Timestamp>,
    /// When it last failed, while there was nothing to go on with.
    pub(super) failed: Option<Timestamp>,
    /// Why the version the source has is not the one in use: refused, or the source failed. It is the answer where none is in use.
    pub(super) trouble: Option<ModuleError>,
    /// What was said last about a version that is not taken: it is said once.
    pub(super) said: String,
    /// Why earlier versions could not be looked for, said once too.
    pub(super) unlisted: Option<SourceErrorKind>,
}

/// A module on its way to be taken. Whoever waits for it may go: the work goes on, and ends with the slot.
pub(super) struct Compiling {
    /// What will be known of the newest upload; none if it is an earlier one.
    known: Option<Known>,
    /// Where the module comes from.
    origin: Origin,
    /// One task.
    work: JoinSet<Result<Module, CompileError>>,
    /// Whether an event has waited as long as it should.
    waited: bool,
}

/// What has come of compiling a module.
pub(super) struct Compiled {
    pub(super) known: Option<Known>,
    pub(super) version_id: Option<String>,
    pub(super) plugin: Result<Plugin, CompileError>,
}

/// Versions that were looked at in vain, as the source calls them. Those that were refused for what hosts knew are here with where they
/// come from: they may pass when hosts know better.
#[derive(Debug, Default)]
pub(super) struct Tried(HashMap<String, Option<Origin>>);

impl Tried {
    /// Whether a version need not be looked at again, where hosts know by now what `allows` an origin.
    pub(super) fn has(&self, version: &str, allows: impl Fn(&Origin) -> bool) -> bool {
        self.0.get(version).is_some_and(|outweighed| !outweighed.as_ref().is_some_and(allows))
    }

    pub(super) fn note(&mut self, version: String, outweighed: Option<Origin>) {
        self.0.insert(version, outweighed);
    }
}

impl Slot {
    /// How long the source, the compiler and what hosts know are waited for: as long as it takes, where there is nothing to go on with.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.good.is_some().then_some(PATIENCE)
    }

    /// Notes why the newest version is not in use.
    pub(super) fn refuse(&mut self, trouble: ModuleError) {
        (self.refused, self.trouble) = (Some(trouble.clone()), Some(trouble));
    }

    /// Whether what is here is recent enough to be used without asking, by an event that arrived at `arrived`.
    ///
    /// Judged by the clock on the wall: a monotonic one stands still while Lambda keeps the process frozen.
    pub(super) fn fresh(&self, arrived: Timestamp, now: Timestamp, refresh: Duration) -> bool {
        let Some(asked) = self.asked else { return false };
        let age = now.duration_since(asked);
        // A clock that was set back makes the age negative: then nothing is known of it.
        let young = age >= SignedDuration::ZERO && age.unsigned_abs() < refresh;
        // Whoever waited while another asked for the same has the answer, even with `refresh = "0s"`.
        let asked_meanwhile = asked >= arrived && asked <= now;
        young || asked_meanwhile
    }
}

impl Compiling {
    /// Begins with `work`, whose end makes `known` what is known of the source.
    pub(super) fn new(
        known: Option<Known>,
        origin: Origin,
        work: impl Future<Output = Result<Module, CompileError>> + Send + 'static,
    ) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(work);
        Self { known, origin, work: tasks, waited: false }
    }

    /// What has come of it; none if that takes longer than `patience`, or an event has had that much before.
    pub(super) async fn done(&mut self, patience: Option<Duration>) -> Option<Compiled> {
        let patience = patience.map(|patience| if self.waited { Duration::ZERO } else { patience });
        let joined = within(patience, self.work.join_next()).await;
        self.waited |= joined.is_none();
        let compiled = match joined? {
            Some(Ok(compiled)) => compiled,
            Some(Err(error)) => Err(CompileError::Failed(error.to_string())),
            None => Err(CompileError::Failed("nobody is at it".to_owned())),
        };
        let plugin = compiled.map(|module| Plugin::new(module, self.origin.clone()));
        Some(Compiled { known: self.known.clone(), version_id: self.origin.version_id.clone(), plugin })
    }
}
