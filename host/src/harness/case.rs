//! A case, read and put together: everything that can be known to be wrong is said before anything is played.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::event::{About, envelope};
use super::expect::Expectation;
use super::explore::Exploration;
use super::forms::{OneOrMany, TextOrTable};
use super::keys::{EventKeys, FaultKeys, File};
use crate::event::{Delivery, Event, Message, parse_payload};
use crate::policy::{Handler, Policy};
use crate::ports::{AccountId, ClusterName, GroupName, HookName, InstanceId, Region};
use crate::reading::{At, Mistakes, Reading, nearest};
use crate::sim::keys::File as WorldKeys;
use crate::sim::{Blueprint, Fault, When, World, operations};

/// The largest case that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// When a case begins unless an event of it says otherwise.
const START: Timestamp = Timestamp::constant(1_768_446_000, 0); // 2026-01-15T03:00:00Z

/// A scenario, ready to be played.
#[derive(Debug)]
pub struct Case {
    /// The file.
    pub path: PathBuf,
    /// Where the plugins of the policy's handlers come from, by the name of their module.
    pub plugins: BTreeMap<String, PathBuf>,
    /// The file of the policy.
    pub policy_path: PathBuf,
    pub(super) policy: Policy,
    pub(super) handler: Arc<Handler>,
    pub(super) events: Vec<Incident>,
    pub(super) world: Blueprint,
    pub(super) faults: Vec<Fault>,
    pub(super) seed: u64,
    pub(super) expectation: Expectation,
    pub(super) explore: Exploration,
}

/// An event of a case, with the times it is delivered at.
#[derive(Debug, Clone)]
pub(super) struct Incident {
    pub(super) name: String,
    pub(super) event: Event,
    pub(super) at: Vec<Duration>,
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
        let mut reader = Reader { folder, reading: Reading::new(&text) };
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
fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_BYTES {
        return Err(format!("it has {size} bytes, and at most {MAX_BYTES} are read"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// A case being read. Where a method gives none, a mistake has been noted.
struct Reader<'t> {
    folder: &'t Path,
    reading: Reading<'t>,
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
        let events = events.map(|events| self.events(events)).unwrap_or_default();
        let faults = keys.fault.into_iter().flat_map(|faults| faults.0);
        let faults = faults.filter_map(|fault| self.fault(fault.at, fault.value.0)).collect();
        let policy = policy?;
        let policy_path = self.folder.join(&policy.value);
        let mut policy = self.policy(&policy)?;
        let handler = self.handler(&mut policy, &handler?, keys.config)?;
        let plugins = self.plugins(&policy, &handler, keys.plugin, keys.plugins);
        let world = self.world(keys.world, &events, &handler)?.beginning(beginning(&events));
        let expect = keys.expect.map(|section| section.value.0).unwrap_or_default();
        let expectation = Expectation::read(&mut self.reading, expect, &events);
        let explore = Exploration::read(keys.explore.map(|section| section.value.0).unwrap_or_default());
        let seed = keys.seed.unwrap_or(0);
        Some(Case {
            path: path.to_owned(),
            plugins,
            policy_path,
            policy,
            handler,
            events,
            world,
            faults,
            seed,
            expectation,
            explore,
        })
    }

    fn policy(&mut self, path: &At<PathBuf>) -> Option<Policy> {
        let name = self.folder.join(&path.value).display().to_string();
        match read(Path::new(&name)) {
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
        // Nobody else holds it: the policy was read a moment ago.
        if let Some(handler) = Arc::get_mut(handler) {
            handler.config.extend(config);
        }
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
        let module = plugin.extension().is_some_and(|extension| extension == "wasm");
        if !package && !module {
            let message = format!("{} is neither a package (it has no Cargo.toml) nor a .wasm file", plugin.display());
            self.mistake(path.at, message);
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

    fn events(&mut self, At { at, value }: At<OneOrMany<EventKeys>>) -> Vec<Incident> {
        let mut incidents: Vec<Incident> = Vec::new();
        if value.0.is_empty() {
            self.mistake(at, "the case has no event: nothing would happen");
        }
        let described: Vec<_> = value.0.into_iter().flat_map(|keys| self.event(at, keys)).collect();
        for incident in described {
            if incidents.iter().any(|other| other.event.id == incident.event.id) {
                self.mistake(
                    at,
                    format!(
                        "two events have the id {:?}: to deliver one twice, write at = [\"0s\", \"0s\"]; to tell two apart, give them an id, or a token",
                        incident.event.id
                    ),
                );
            }
            incidents.push(incident);
        }
        incidents
    }

    /// The events that some keys describe: several when a file or a text names several instances.
    fn event(&mut self, place: usize, keys: EventKeys) -> Vec<Incident> {
        let at: Vec<_> = keys.at.iter().flat_map(|at| &at.0).map(|at| at.0).collect();
        let at = if at.is_empty() { vec![Duration::ZERO] } else { at };
        let forms = [
            keys.kind.as_ref().map(|kind| (kind.at, "kind")),
            keys.json.as_ref().map(|json| (json.at, "json")),
            keys.file.as_ref().map(|file| (file.at, "file")),
        ];
        let forms: Vec<_> = forms.into_iter().flatten().collect();
        if let [(_, first), (second_at, second), ..] = forms[..] {
            self.mistake(second_at, format!("an event has {first} and {second}: it comes in one form"));
        }
        let (name, events) = match (&keys.kind, &keys.json, &keys.file) {
            (Some(kind), _, _) => {
                let first = at.iter().min().copied().unwrap_or_default();
                let envelope = envelope(kind.value, &about(&keys, first)).to_string();
                (kind.value.as_str(), self.parsed(kind.at, "the event", envelope.as_bytes()))
            }
            (None, Some(json), _) => ("event", self.parsed(json.at, "the event", json.value.as_bytes())),
            (None, None, Some(file)) => {
                let path = self.folder.join(&file.value);
                match read(&path) {
                    Ok(text) => ("event", self.parsed(file.at, &path.display().to_string(), text.as_bytes())),
                    Err(why) => {
                        self.mistake(file.at, format!("{} cannot be read: {why}", path.display()));
                        return Vec::new();
                    }
                }
            }
            (None, None, None) => {
                self.mistake(place, "an event needs a kind, or json, or file");
                return Vec::new();
            }
        };
        if keys.kind.is_none() {
            self.only_with_a_kind(&keys);
        }
        let name = keys.name.map_or_else(|| name.to_owned(), |name| name.value);
        events.into_iter().map(|event| Incident { name: name.clone(), event, at: at.clone() }).collect()
    }

    /// Keys that say what an event given as it came says itself.
    fn only_with_a_kind(&mut self, keys: &EventKeys) {
        let said = [
            (keys.instance.as_ref().map(|key| key.at), "instance"),
            (keys.group.as_ref().map(|key| key.at), "group"),
            (keys.hook.as_ref().map(|key| key.at), "hook"),
        ];
        for (at, key) in said {
            if let Some(at) = at {
                self.mistake(at, format!("{key} goes with a kind: an event given as it came says it itself"));
            }
        }
    }

    fn parsed(&mut self, at: usize, name: &str, bytes: &[u8]) -> Vec<Event> {
        let messages = match parse_payload(bytes) {
            Ok(Delivery::Direct(messages)) => messages.into_iter().map(Ok).collect(),
            Ok(Delivery::Queue(messages)) => messages.into_iter().map(|(_, message)| message).collect(),
            Err(error) => vec![Err(error)],
        };
        let mut events = Vec::new();
        for message in messages {
            match message {
                Ok(Message::Events(parsed)) => events.extend(parsed),
                Ok(Message::Test) => self.mistake(at, format!("{name} is a test notification, which makes no event")),
                Err(error) => self.mistake(at, format!("{name} is not an event: {error}")),
            }
        }
        events
    }

    fn fault(&mut self, at: usize, keys: FaultKeys) -> Option<Fault> {
        let operation = self.reading.required(at, "operation", keys.operation, "operation = \"ecs.drain\", or \"*\"");
        let kind = self.reading.required(at, "fault", keys.fault, "fault = \"throttled\", or another kind");
        let operation = operation?;
        let known: Vec<_> = operations().collect();
        if operation.value != "*" && !known.contains(&operation.value.as_str()) {
            let mend = mend(&operation.value, &known);
            self.mistake(operation.at, format!("there is no operation {:?}; {mend}, or * for any", operation.value));
        }
        let when = match (keys.nth, keys.probability) {
            (None, None) => When::Always,
            (Some(At { at, value: OneOrMany(numbers) }), None) => {
                if numbers.is_empty() || numbers.contains(&0) {
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
        Some(Fault { operation: operation.value, kind: kind?, when })
    }

    fn world(
        &mut self,
        keys: Option<At<TextOrTable<WorldKeys>>>,
        incidents: &[Incident],
        handler: &Handler,
    ) -> Option<Blueprint> {
        let events: Vec<_> = incidents.iter().map(|incident| &incident.event).collect();
        let granted = handler.grants.ecs.as_ref().and_then(|ecs| ecs.clusters.example());
        let cluster = granted.and_then(|name| ClusterName::parse(&name).ok());
        let keys = match keys {
            None => WorldKeys::default(),
            Some(At { value: TextOrTable::Table(keys), .. }) => *keys,
            Some(At { at, value: TextOrTable::Text(path) }) => {
                let path = self.folder.join(path);
                let name = path.display().to_string();
                let text = read(&path).map_err(|why| format!("the world {name} cannot be read: {why}"));
                let blueprint = text.and_then(|text| Blueprint::parse(&name, &text).map_err(|error| error.to_string()));
                return blueprint.map_err(|message| self.mistake(at, message)).ok();
            }
        };
        Some(Blueprint::completed(&mut self.reading, keys, &events, cluster))
    }

    fn mistake(&mut self, at: usize, message: impl Into<String>) {
        self.reading.findings.mistake(at, message);
    }
}

/// When a case begins: so that each event has happened when it is delivered first.
fn beginning(incidents: &[Incident]) -> Timestamp {
    let begins = incidents.iter().filter_map(|Incident { event, at, .. }| {
        let first = SignedDuration::try_from(*at.iter().min()?).ok()?;
        event.time.checked_sub(first).ok()
    });
    begins.max().unwrap_or(START)
}

/// What to write instead of a name that is none of `known`.
fn mend(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => format!("there are {}", known.join(", ")),
    }
}

/// What an event given by its kind is about.
fn about(keys: &EventKeys, first: Duration) -> About {
    let delivered = START.saturating_add(SignedDuration::try_from(first).unwrap_or_default()).unwrap_or(START);
    About {
        account: AccountId::parse("123456789012").expect("twelve digits"),
        region: Region::parse("eu-central-1").expect("a region"),
        time: keys.time.map_or(delivered, |time| time.0),
        id: keys.id.clone(),
        token: keys.token.clone(),
        instance: keys.instance.as_ref().map_or_else(
            || InstanceId::parse("i-0123456789abcdef0").expect("an instance id"),
            |instance| instance.value.clone(),
        ),
        group: keys
            .group
            .as_ref()
            .map_or_else(|| GroupName::parse("web").expect("a name"), |group| group.value.clone()),
        hook: keys.hook.as_ref().map_or_else(|| HookName::parse("drain").expect("a name"), |hook| hook.value.clone()),
        detail: keys
            .detail
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), serde_json::to_value(value).ok()?)))
            .collect(),
    }
}
