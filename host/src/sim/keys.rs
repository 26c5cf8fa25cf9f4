//! The keys of a world's file, as serde reads them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use toml::Spanned;

use crate::ports::{AccountId, ClusterName, GroupName, HookName, InstanceId, Region};

/// The longest time a world knows: more than anything in it can last.
const MAX_TIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct File {
    pub(super) start: Option<Stamp>,
    pub(super) account: AccountId,
    pub(super) region: Region,
    #[serde(default)]
    pub(super) cluster: Vec<ClusterKeys>,
    #[serde(default)]
    pub(super) group: Vec<GroupKeys>,
    #[serde(default)]
    pub(super) instance: Vec<InstanceKeys>,
    #[serde(default)]
    pub(super) task: Vec<TaskKeys>,
    #[serde(default)]
    pub(super) ssh: Vec<SshKeys>,
}

/// `[[cluster]]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ClusterKeys {
    pub(super) name: Spanned<ClusterName>,
}

/// `[[group]]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct GroupKeys {
    pub(super) name: Spanned<GroupName>,
    #[serde(default)]
    pub(super) hook: Vec<HookKeys>,
}

/// `[[group.hook]]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct HookKeys {
    pub(super) name: Spanned<HookName>,
    pub(super) transition: Spanned<String>,
    pub(super) heartbeat_timeout: Option<Time>,
    pub(super) global_timeout: Option<Time>,
    pub(super) default_result: Option<Spanned<String>>,
}

/// `[[instance]]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct InstanceKeys {
    pub(super) id: Spanned<InstanceId>,
    pub(super) r#type: Option<String>,
    pub(super) lifecycle: Option<Spanned<String>>,
    pub(super) state: Option<Spanned<String>>,
    pub(super) address: Option<IpAddr>,
    pub(super) availability_zone: Option<String>,
    pub(super) launched_at: Option<Stamp>,
    #[serde(default)]
    pub(super) tags: BTreeMap<String, String>,
    pub(super) reclaimed_after: Option<Time>,
    pub(super) group: Option<Spanned<GroupName>>,
    pub(super) lifecycle_state: Option<Spanned<String>>,
    pub(super) held_for: Option<Time>,
    #[serde(default)]
    pub(super) protected_from_scale_in: bool,
    pub(super) health_status: Option<Spanned<String>>,
    pub(super) cluster: Option<Spanned<ClusterName>>,
    pub(super) registered_after: Option<Time>,
    pub(super) container_instance_status: Option<Spanned<String>>,
    pub(super) agent_connected: Option<bool>,
}

/// `[[task]]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct TaskKeys {
    pub(super) instance: Spanned<InstanceId>,
    pub(super) service: Option<String>,
    pub(super) family: Option<String>,
    pub(super) definition: Option<String>,
    #[serde(default)]
    pub(super) daemon: bool,
    pub(super) starts_in: Option<Time>,
    pub(super) stops_in: Option<Time>,
    #[serde(default)]
    pub(super) stuck: bool,
}

/// `[[ssh]]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct SshKeys {
    pub(super) instance: Option<Spanned<InstanceId>>,
    pub(super) command: Option<Spanned<Vec<String>>>,
    pub(super) exit_status: Option<Spanned<u32>>,
    pub(super) signal: Option<Spanned<String>>,
    pub(super) stdout: Option<Spanned<String>>,
    pub(super) stderr: Option<Spanned<String>>,
    pub(super) delay: Option<Spanned<Time>>,
    pub(super) hang: Option<Spanned<bool>>,
    pub(super) refused: Option<Spanned<bool>>,
    pub(super) wrong_host_key: Option<Spanned<bool>>,
}

/// A length of time with its unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time(pub(super) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time in quotes with its unit, such as \"90s\" or \"5m\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
                let time = humantime::parse_duration(text).map_err(|error| {
                    E::custom(format!("{text:?} is not a time with its unit, such as \"90s\" or \"5m\": {error}"))
                })?;
                if time > MAX_TIME {
                    return Err(E::custom(format!("{text:?} is longer than 30 days, the longest a world knows")));
                }
                Ok(Time(time))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// An instant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp(pub(super) Timestamp);

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Stamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an instant in quotes, such as \"2026-01-15T03:00:00Z\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Stamp, E> {
                text.parse().map(Stamp).map_err(|error| {
                    E::custom(format!("{text:?} is not an instant such as \"2026-01-15T03:00:00Z\": {error}"))
                })
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// What serde says of a key it does not know, with the key that was probably meant.
///
/// Serde names the unknown key first and then the known ones, each in backticks; that is the form of its
/// `Error::unknown_field`, and a test watches over it.
pub(super) fn with_suggestion(message: &str) -> String {
    let mut named = message.split('`').skip(1).step_by(2);
    let message = message.trim_end();
    match named.next() {
        Some(unknown) if message.starts_with("unknown field") => match closest(unknown, named) {
            Some(meant) => format!("unknown key {unknown:?}; did you mean {meant:?}?"),
            None => message.replacen("unknown field", "unknown key", 1),
        },
        _ => message.to_owned(),
    }
}

/// The one of `known` that `text` is probably a misspelling of.
pub(super) fn closest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lowered = text.to_lowercase().replace('_', "-");
    let distance = |word: &str| strsim::damerau_levenshtein(&lowered, &word.to_lowercase());
    let near = known.into_iter().map(|word| (distance(word), word)).min_by_key(|(distance, _)| *distance)?;
    (near.0 <= 1 + text.chars().count() / 4).then_some(near.1)
}
