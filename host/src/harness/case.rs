//! A case, read and put together: everything that can be known to be wrong is said before anything is played.

mod incident;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

pub(super) use self::incident::Incident;
use self::incident::beginning;
use super::expect::Expectation;
use super::explore::Exploration;
use super::forms::{OneOrMany, TextOrTable};
use super::keys::{FaultKeys, File};
use crate::files;
use crate::policy::{Handler, Policy};
use crate::ports::ClusterName;
use crate::reading::{At, Mistakes, Reading, nearest};
use crate::sim::keys::File as WorldKeys;
use crate::sim::{Blueprint, Fault, When, World, operations};

/// The largest case that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A scenario, ready to be played.
#[derive(Debug)]
pub struct Case {
    /// The file.
    pub path: PathBuf,
    /// Where the plugins of the policy's handlers come from, by the name of their module.
    pub plugins: BTreeMap<String, PathBuf>,
    /// The files it was read from: its own, those of its policy and its world, and those of its events.
    pub inputs: Vec<PathBuf>,
    pub(super) policy: Policy,
    pub(super) handler: Arc<Handler>,
    pub(super) events: Vec<Incident>,
    pub(super) world: Blueprint,
    /// Whether the world is of this case alone, and not of a file that others may share.
    pub(super) own_world: bool,
    /// The handler's settings that are the case's own.
    pub(super) settings: Vec<String>,
    pub(super) faults: Vec<Fault>,
    pub(super) seed: u64,
    pub(super) expectation: Expectation,
    pub(super) explore: Exploration,
}

/// Why a file is not a case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// It cannot be read.
    #[error("{}: cannot be read: {why}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It does not describe a case.
    #[error(transparent)]
    Mistaken(#[from] Mistakes),
}

impl Case {
    /// Reads a case, and what it refers to: its policy, and files of events and worlds.
    pub fn read(path: &Path) -> Result<Self, CaseError> {
        let text = read(path).map_err(|why| CaseError::Unreadable { path: path.to_owned(), why })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut reader = Reader { folder, reading: Reading::new(&text), inputs: vec![path.to_owned()] };
        let keys = reader.reading.read::<File>(&text);
        let case = keys.and_then(|keys| reader.case(path, keys));
        let (mistakes, _) = reader.reading.findings.finish();
        case.filter(|_| mistakes.is_empty())
            .ok_or_else(|| Mistakes { name: path.display().to_string(), mistakes }.into())
    }

    /// A world as the case begins with, before anything happens.
    pub fn begin(&self) -> World {
        self.world.world()
    }

    /// The largest memory limit of any of its handlers, in bytes: what a sandbox has to have room for.
    pub fn memory(&self) -> u64 {
        self.policy.most_memory()
    }
}

/// A file's text, or why there is none.
pub(super) fn read(path: &Path) -> Result<String, String> {
    files::read_text(path, MAX_BYTES).map_err(|error| error.to_string())
}

/// What a case says of its world: all of it in a file, or as much as it cares about.
enum Setting {
    File(Blueprint),
    Keys(WorldKeys),
}

impl Setting {
    fn start(&self) -> Option<Timestamp> {
        match self {
            Self::File(blueprint) => blueprint.start(),
            Self::Keys(keys) => keys.start(),
        }
    }
}

/// A case being read. Where a method gives none, a mistake has been noted.
struct Reader<'t> {
    folder: &'t Path,
    reading: Reading<'t>,
    inputs: Vec<PathBuf>,
}

impl Reader<'_> {
    fn case(&mut self, path: &Path, keys: File) -> Option<Case> {
        let policy =
            self.reading.required(0, "policy", keys.policy, "policy = \"../hostler.toml\", the path of a policy");
        let handler =
            self.reading.required(0, "handler", keys.handler, "handler = \"…\", the name of a handler of the policy");
        let events = self.reading.required(
            0,
            "event",
            keys.event,
            "[event] with a kind, such as kind = \"instance-terminating\"",
        );
        let world = self.setting(keys.world);
        let start = world.as_ref().and_then(Setting::start);
        let events = events.map(|events| self.events(events.0, start)).unwrap_or_default();
        let faults = keys.fault.into_iter().flat_map(|faults| faults.0);
        let faults = faults.filter_map(|fault| self.fault(fault.at, fault.value.0)).collect();
        let policy = policy?;
        let mut policy = self.policy(&policy)?;
        let settings = keys.config.keys().cloned().collect();
        let handler = self.handler(&mut policy, &handler?, keys.config)?;
        let plugins = self.plugins(&policy, &handler, keys.plugin, keys.plugins);
        if events.is_empty() {
            // What is wrong with the event has been noted, and whatever depends on it would seem wrong.
            return None;
        }
        let world = world?;
        let own_world = matches!(world, Setting::Keys(_));
        let world = self.world(world, &events, &handler).beginning(beginning(&events));
        let (place, expect) = keys.expect.map_or((0, Default::default()), |section| (section.at, section.value.0));
        let expectation = Expectation::read(&mut self.reading, place, expect, &events);
        let explore =
            Exploration::read(&mut self.reading, keys.explore.map(|section| section.value.0).unwrap_or_default());
        let seed = keys.seed.unwrap_or(0);
        Some(Case {
            path: path.to_owned(),
            plugins,
            inputs: std::mem::take(&mut self.inputs),
            policy,
            handler,
            events,
            world,
            own_world,
            settings,
            faults,
            seed,
            expectation,
            explore,
        })
    }

    /// The text of a file that the case refers to, or why there is none.
    fn read(&mut self, path: &Path) -> Result<String, String> {
        self.inputs.push(path.to_owned());
        read(path)
    }

    fn policy(&mut self, path: &At<PathBuf>) -> Option<Policy> {
        let file = self.folder.join(&path.value);
        let name = file.display().to_string();
        match self.read(&file) {
            Ok(text) => Policy::parse(&name, &text)
                .map_err(|mistakes| self.mistake(path.at, format!("the policy is not sound:\n{mistakes}")))
                .ok(),
            Err(why) => {
                self.mistake(path.at, format!("the policy {name} cannot be read: {why}"));
                None
            }
        }
    }

    /// The handler that is meant, with the settings of the case.
    fn handler(
        &mut self,
        policy: &mut Policy,
        name: &At<String>,
        config: BTreeMap<String, String>,
    ) -> Option<Arc<Handler>> {
        let Some(handler) = policy.handlers.iter_mut().find(|handler| handler.name == name.value) else {
            let known: Vec<_> = policy.handlers.iter().map(|handler| handler.name.as_str()).collect();
            let message = format!("the policy has no handler {:?}; {}", name.value, mend(&name.value, &known));
            self.mistake(name.at, message);
            return None;
        };
        Arc::get_mut(handler)
            .expect("the policy was read a moment ago, and nobody else holds it")
            .config
            .extend(config);
        Some(Arc::clone(handler))
    }

    /// Where the module of each handler comes from, as far as the case knows.
    fn plugins(
        &mut self,
        policy: &Policy,
        handler: &Handler,
        plugin: Option<At<PathBuf>>,
        others: BTreeMap<String, At<PathBuf>>,
    ) -> BTreeMap<String, PathBuf> {
        let known: Vec<_> = policy.handlers.iter().map(|handler| handler.module.as_str()).collect();
        let mut plugins = BTreeMap::new();
        for (module, path) in others {
            if !known.contains(&module.as_str()) {
                self.mistake(path.at, format!("the policy names no module {module:?}; {}", mend(&module, &known)));
            }
            plugins.insert(module, self.plugin(&path));
        }
        let own = plugin.map(|path| self.plugin(&path)).or_else(|| self.package());
        match own {
            Some(own) => drop(plugins.insert(handler.module.clone(), own)),
            None => self.mistake(0, "the file is in no package, so it has to name its plugin: write plugin = \"…\""),
        }
        plugins
    }

    fn plugin(&mut self, path: &At<PathBuf>) -> PathBuf {
        let plugin = self.folder.join(&path.value);
        let package = plugin.join("Cargo.toml").is_file();
        let module = plugin.is_file() && plugin.extension().is_some_and(|extension| extension == "wasm");
        if !package && !module {
            let what = if plugin.exists() {
                "is neither a package (it has no Cargo.toml) nor a .wasm file"
            } else {
                "does not exist"
            };
            self.mistake(path.at, format!("{} {what}", plugin.display()));
        }
        // One package is one plugin, however its path is written.
        plugin.canonicalize().unwrap_or(plugin)
    }

    /// The package that the file is in.
    fn package(&self) -> Option<PathBuf> {
        let folder = if self.folder.as_os_str().is_empty() { Path::new(".") } else { self.folder };
        let folder = folder.canonicalize().ok()?;
        folder.ancestors().find(|folder| folder.join("Cargo.toml").is_file()).map(Path::to_owned)
    }

    fn fault(&mut self, at: usize, keys: FaultKeys) -> Option<Fault> {
        let operation = self.reading.required(at, "operation", keys.operation, "operation = \"ecs.drain\", or \"*\"");
        let kind = self.reading.required(at, "fault", keys.fault, "fault = \"throttled\", or another kind");
        let operation = operation?;
        let known: Vec<_> = operations().chain(["*"]).collect();
        if !known.contains(&operation.value.as_str()) {
            let mend = mend(&operation.value, &known);
            self.mistake(operation.at, format!("there is no operation {:?}; {mend}", operation.value));
        }
        let when = match (keys.nth, keys.probability) {
            (None, None) => When::Always,
            (Some(At { at, value: OneOrMany(numbers) }), None) => {
                if numbers.contains(&0) {
                    self.mistake(at, "calls are counted from 1");
                }
                When::Nth(numbers)
            }
            (None, Some(At { at, value })) => {
                if !(0.0..=1.0).contains(&value) {
                    self.mistake(at, format!("{value} is not a probability, which is from 0 to 1"));
                    return None;
                }
                When::Probability(value)
            }
            (Some(_), Some(At { at, .. })) => {
                self.mistake(at, "nth and probability at once: a fault has one of them");
                return None;
            }
        };
        let fault = Fault { operation: operation.value, kind: kind?, when };
        if !fault.is_possible() {
            let message =
                format!("{} is a call of the host, which no attempt makes: write host-killed", fault.operation);
            self.mistake(at, message);
        }
        Some(fault)
    }

    /// What the case says of its world.
    fn setting(&mut self, keys: Option<At<TextOrTable<WorldKeys>>>) -> Option<Setting> {
        let Some(At { at, value }) = keys else { return Some(Setting::Keys(WorldKeys::default())) };
        let path = match value {
            TextOrTable::Table(keys) => return Some(Setting::Keys(*keys)),
            TextOrTable::Text(path) => self.folder.join(path),
        };
        let name = path.display().to_string();
        let text = self.read(&path).map_err(|why| format!("the world {name} cannot be read: {why}"));
        let blueprint = text.and_then(|text| Blueprint::parse(&name, &text).map_err(|error| error.to_string()));
        blueprint.map(Setting::File).map_err(|message| self.mistake(at, message)).ok()
    }

    fn world(&mut self, setting: Setting, incidents: &[Incident], handler: &Handler) -> Blueprint {
        let keys = match setting {
            Setting::File(blueprint) => return blueprint,
            Setting::Keys(keys) => keys,
        };
        let events: Vec<_> = incidents.iter().map(|incident| &incident.event).collect();
        let granted = handler.grants.ecs.as_ref().and_then(|ecs| ecs.clusters.example());
        let cluster = granted.and_then(|name| ClusterName::parse(&name).ok());
        Blueprint::completed(&mut self.reading, keys, &events, cluster)
    }

    fn mistake(&mut self, at: usize, message: impl Into<String>) {
        self.reading.findings.mistake(at, message);
    }
}

/// What to write instead of a name that is none of `known`.
pub(super) fn mend(name: &str, known: &[&str]) -> String {
    match (nearest(name, known), known) {
        (Some(meant), _) => format!("did you mean {meant:?}?"),
        (None, [only]) => format!("there is only {only:?}"),
        (None, known) => format!("there are {}", known.join(", ")),
    }
}
