//! The events of a case, whichever form each is given in, and the instant they make it begin at.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Reader;
use crate::event::{Delivery, Event, Message, parse_payload};
use crate::harness::event::{About, envelope};
use crate::harness::keys::EventKeys;
use crate::ports::{AccountId, GroupName, HookName, InstanceId, Region};
use crate::reading::{At, Section};

/// When a case begins unless an event of it says otherwise.
const START: Timestamp = Timestamp::constant(1_768_446_000, 0); // 2026-01-15T03:00:00Z

/// How many deliveries there can be, over all events, and how late. With what exploring adds, all of them can be under way at once.
const MOST_DELIVERIES: usize = 60;
const LATEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// An event of a case, with the times it is delivered at.
#[derive(Debug, Clone)]
pub(in crate::harness) struct Incident {
    pub(in crate::harness) name: String,
    pub(in crate::harness) event: Event,
    pub(in crate::harness) at: Vec<Duration>,
}

impl Reader<'_> {
    /// The events, in the order of the file.
    pub(super) fn events(&mut self, sections: Vec<Section<EventKeys>>, start: Option<Timestamp>) -> Vec<Incident> {
        // An event that does not say when it happened is of the moment it is delivered: so it is made once the others have said
        // when the case begins.
        let mut sections: Vec<_> = sections.into_iter().enumerate().collect();
        sections.sort_by_key(|(_, section)| section.value.0.kind.is_some() && section.value.0.time.is_none());
        let mut made: Vec<(usize, Incident)> = Vec::new();
        for (index, At { at, value }) in sections {
            let begins = start.unwrap_or_else(|| beginning(made.iter().map(|(_, incident)| incident)));
            for incident in self.event(at, value.0, begins) {
                if made.iter().any(|(_, other)| other.event.id == incident.event.id) {
                    let message = format!(
                        "two events have the id {:?}: to deliver one twice, write at = [\"0s\", \"0s\"]; to tell two apart, give them an id, or a token",
                        incident.event.id
                    );
                    self.mistake(at, message);
                }
                made.push((index, incident));
            }
        }
        let deliveries: usize = made.iter().map(|(_, incident)| incident.at.len()).sum();
        if deliveries > MOST_DELIVERIES {
            self.mistake(0, format!("{deliveries} deliveries in one case; there can be {MOST_DELIVERIES}"));
        }
        made.sort_by_key(|(index, _)| *index);
        made.into_iter().map(|(_, incident)| incident).collect()
    }

    /// The events that some keys describe: several when a file or a text names several instances.
    fn event(&mut self, place: usize, keys: EventKeys, begins: Timestamp) -> Vec<Incident> {
        let at: Vec<_> = keys.at.as_ref().map_or(vec![Duration::ZERO], |at| at.0.iter().map(|at| at.0).collect());
        if at.len() > MOST_DELIVERIES {
            self.mistake(place, format!("{} deliveries in one case; there can be {MOST_DELIVERIES}", at.len()));
            return Vec::new();
        }
        if at.iter().any(|at| *at > LATEST) {
            self.mistake(place, "an event is delivered within 30 days of the beginning, the longest a world knows");
        }
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
                let first = SignedDuration::try_from(at.iter().min().copied().unwrap_or_default());
                let delivered = begins.saturating_add(first.unwrap_or_default()).unwrap_or(begins);
                let envelope = envelope(kind.value, &about(&keys, delivered)).to_string();
                (kind.value.as_str(), self.parsed(kind.at, "the event", envelope.as_bytes()))
            }
            (None, Some(json), _) => ("event", self.parsed(json.at, "the event", json.value.as_bytes())),
            (None, None, Some(file)) => {
                let path = self.folder.join(&file.value);
                match self.read(&path) {
                    Ok(text) => ("event", self.parsed(file.at, &path.display().to_string(), text.as_bytes())),
                    Err(why) => {
                        self.mistake(file.at, format!("{} cannot be read: {why}", path.display()));
                        return Vec::new();
                    }
                }
            }
            (None, None, None) => {
                self.reading.required::<()>(place, "kind", None, "kind = \"instance-terminating\", or json, or file");
                return Vec::new();
            }
        };
        self.useless_keys(place, &keys, &events);
        let name = keys.name.map_or_else(|| name.to_owned(), |name| name.value);
        events.into_iter().map(|event| Incident { name: name.clone(), event, at: at.clone() }).collect()
    }

    /// Keys that mean nothing for `events`, of which these keys are.
    fn useless_keys(&mut self, place: usize, keys: &EventKeys, events: &[Event]) {
        let instance = (keys.instance.as_ref().map(|key| key.at), "instance");
        let time = (keys.time.map(|_| place), "time");
        let id = (keys.id.as_ref().map(|_| place), "id");
        let detail = ((!keys.detail.is_empty()).then_some(place), "detail");
        let of_lifecycle = [
            (keys.group.as_ref().map(|key| key.at), "group"),
            (keys.hook.as_ref().map(|key| key.at), "hook"),
            (keys.token.as_ref().map(|_| place), "token"),
        ];
        let (useless, why) = match &keys.kind {
            None => {
                let all = [&[instance, time, id, detail][..], &of_lifecycle].concat();
                (all, "goes with a kind: an event given as it came says it itself".to_owned())
            }
            Some(kind) if events.iter().all(|event| event.lifecycle_action.is_none()) => {
                let kind = kind.value.as_str();
                (of_lifecycle.to_vec(), format!("goes with a lifecycle action, and {kind} has none"))
            }
            Some(_) => return,
        };
        for (at, key) in useless {
            if let Some(at) = at {
                self.mistake(at, format!("{key} {why}"));
            }
        }
    }

    fn parsed(&mut self, at: usize, name: &str, bytes: &[u8]) -> Vec<Event> {
        let messages = match parse_payload(bytes) {
            Ok(Delivery::Direct(messages)) => messages.into_iter().map(Ok).collect(),
            Ok(Delivery::Queue(records)) => records.into_iter().map(|record| record.says).collect(),
            Err(error) => vec![Err(error)],
        };
        let mut events = Vec::new();
        for message in messages {
            match message {
                Ok(Message::Events(parsed)) => events.extend(parsed),
                Ok(Message::Test) => self.mistake(at, format!("{name} is a test notification, which makes no event")),
                Err(error) => self.mistake(at, format!("{name}: {error}")),
            }
        }
        events
    }
}

/// When a case begins: so that each event has happened when it is delivered first.
pub(super) fn beginning<'i>(incidents: impl IntoIterator<Item = &'i Incident>) -> Timestamp {
    let begins = incidents.into_iter().filter_map(|Incident { event, at, .. }| {
        let first = SignedDuration::try_from(*at.iter().min()?).ok()?;
        event.time.checked_sub(first).ok()
    });
    begins.max().unwrap_or(START)
}

/// What an event given by its kind is about, that is `delivered` then for the first time.
fn about(keys: &EventKeys, delivered: Timestamp) -> About {
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
        detail: keys.detail.iter().filter_map(|(key, value)| Some((key.clone(), json(value)?))).collect(),
    }
}

/// A value of TOML as JSON has it: its dates become texts.
fn json(value: &toml::Value) -> Option<serde_json::Value> {
    Some(match value {
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(values) => values.iter().map(json).collect::<Option<Vec<_>>>()?.into(),
        toml::Value::Table(table) => {
            let entries = table.iter().map(|(key, value)| Some((key.clone(), json(value)?)));
            serde_json::Value::Object(entries.collect::<Option<_>>()?)
        }
        plain => serde_json::to_value(plain).ok()?,
    })
}
