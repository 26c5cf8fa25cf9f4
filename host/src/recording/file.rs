//! The format: JSON Lines. First a header, then what happened in the order of its ends, then the end.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::asked::{Asked, Operation};
use crate::dispatch::{DispatchError, End};
use crate::event::{Event, Message, parse_message};
use crate::ledger::Item;
use crate::lifecycle::{Answer, HookTimes};
use crate::modules::accept::contract_version;
use crate::ports::{CommandOutput, ContainerInstance, GroupInstance, Instance, PortError, Task};

/// The version of this format. Another one cannot be read.
const FORMAT: u32 = 1;

/// The key that makes a line the header of a recording; its value is the format's version.
const MARK: &str = "hostler-recording";

/// The largest recording, in bytes: a handler that polls every second for twelve hours fits.
pub const MAX_BYTES: usize = 64 << 20;

/// What is quoted of a file that is none, in characters.
const QUOTED_CHARS: usize = 60;

/// What a recording is of.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// The event.
    pub event: &'a Event,
    /// Whether it is of one step, and not of all that the event comes to.
    pub one_step: bool,
    /// Whether waits are spread.
    pub spread: bool,
    /// Where the work stood before, if it had begun.
    pub resumed: Option<Item>,
}

impl<'a> Part<'a> {
    /// All of it.
    pub fn whole(event: &'a Event) -> Self {
        Self { event, one_step: false, spread: false, resumed: None }
    }
}

/// What is known before the work begins: the first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Header {
    #[serde(rename = "hostler-recording")]
    format: u32,
    /// The version of the contract between host and plugin.
    pub contract: String,
    /// The version of the host.
    pub host: String,
    /// When the event was taken, by the clock that the handler saw.
    pub recorded_at: Timestamp,
    /// How long the door was open from then on, in milliseconds; for ever when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub door_closes_after_ms: Option<u64>,
    /// Whether it is of one step, as a queue's door makes them, and not of all that an event comes to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_step: bool,
    /// Whether waits were spread, as [`crate::dispatch::Jitter`] does it: a replay has to look at the same times.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spread: bool,
    /// Where the work stood before, if this does not begin with the first attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Box<Item>>,
    /// The handler that took the event.
    pub handler: String,
    /// SHA-256 of the policy.
    pub policy: String,
    /// The event, in EventBridge's form.
    pub event: Value,
}

impl Header {
    /// The header of a recording that begins now.
    pub(super) fn new(
        recorded_at: Timestamp,
        door_closes_after_ms: Option<u64>,
        handler: &str,
        policy: &str,
        part: Part<'_>,
    ) -> Self {
        let Part { event, one_step, spread, resumed } = part;
        Self {
            format: FORMAT,
            contract: contract_version().to_owned(),
            host: env!("CARGO_PKG_VERSION").to_owned(),
            recorded_at,
            door_closes_after_ms,
            one_step,
            spread,
            resumed: resumed.map(Box::new),
            handler: handler.to_owned(),
            policy: policy.to_owned(),
            event: event.envelope.clone(),
        }
    }
}

/// Any line after the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line {
    Call(Call),
    Attempt(Attempted),
    /// Why nothing but the end follows.
    Cut(String),
    End(Ended),
}

/// A call of a port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Call {
    /// When it was made, in milliseconds since the beginning.
    pub at_ms: u64,
    /// In which attempt; none for the host's own calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// What was asked.
    #[serde(flatten)]
    pub asked: Asked,
    /// What was answered.
    pub reply: Reply,
    /// How long the answer took, in milliseconds.
    pub took_ms: u64,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The fact, or null for an operation that answers nothing.
    Answer(Value),
    /// It failed.
    Error(PortError),
    /// Nobody waited for the answer: a budget or a timeout ended first.
    None,
}

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attempted {
    /// When it ended, in milliseconds since the beginning.
    pub at_ms: u64,
    /// Its number, from 1.
    pub attempt: u32,
    /// SHA-256 of the plugin; empty when there was none to run.
    pub module: String,
    /// `done`, `abandon`, `again` or `failed`.
    pub outcome: String,
    /// What there was to say about it.
    pub note: String,
    /// What it left for the next attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// The end of it all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ended {
    /// When, in milliseconds since the beginning.
    pub at_ms: u64,
    /// What it came to.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What the handling of an event came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its end.
    Result(End),
    /// Why it was not brought to its end.
    Error {
        /// The kind of error, such as `NotCompleted`.
        name: String,
        /// What it said.
        message: String,
    },
}

impl From<&Result<End, DispatchError>> for Outcome {
    fn from(ended: &Result<End, DispatchError>) -> Self {
        match ended {
            Ok(end) => Self::Result(end.clone()),
            Err(error) => Self::Error { name: error.name().to_owned(), message: error.to_string() },
        }
    }
}

/// A recording that has been read.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Its first line.
    pub header: Header,
    /// The event that the header has.
    pub event: Event,
    /// The calls, in the order in which they were made.
    pub calls: Vec<Call>,
    /// The attempts.
    pub attempts: Vec<Attempted>,
    /// The end, unless the recording ends before it.
    pub end: Option<Ended>,
    /// What is missing of it, in words.
    pub gap: Option<String>,
}

/// Why a file cannot be replayed. The message names the file and what would mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// It is something else.
    #[error("{name} is not a recording: {why}; `hostler run --record FILE` makes one")]
    NotOne {
        /// The file.
        name: String,
        /// What it is instead.
        why: String,
    },
    /// It is of a format that this version does not know.
    #[error(
        "{name} is a recording of format {found}, and this hostler ({}) reads format {FORMAT}: replay it with the version that recorded it{}",
        env!("CARGO_PKG_VERSION"), by.as_ref().map(|by| format!(", {by}")).unwrap_or_default()
    )]
    Format {
        /// The file.
        name: String,
        /// Its format.
        found: String,
        /// The version of the host that recorded it.
        by: Option<String>,
    },
    /// It speaks another version of the contract between host and plugin.
    #[error(
        "{name} was recorded by hostler {by} with version {found} of the contract, and this hostler ({}) serves {}: replay it with hostler {by}",
        env!("CARGO_PKG_VERSION"), contract_version()
    )]
    Contract {
        /// The file.
        name: String,
        /// Its version of the contract.
        found: String,
        /// The version of the host that recorded it.
        by: String,
    },
    /// A line is not what a recording can have there.
    #[error("{name}:{line}: {why}; the file was changed since it was recorded, or written by a newer hostler")]
    Line {
        /// The file.
        name: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

impl Recording {
    /// Reads a recording. One that ends early is one too; [`Recording::gap`] says what is missing. `name` is the file's, for
    /// messages.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, RecordingError> {
        let (first, rest) = split(bytes);
        let header = header(name, first)?;
        let event = event(&header).map_err(|why| RecordingError::Line { name: name.to_owned(), line: 1, why })?;
        let (calls, attempts) = (Vec::new(), Vec::new());
        let mut recording = Self { header, event, calls, attempts, end: None, gap: None };
        let mut rest = rest;
        for number in 2.. {
            if rest.is_empty() {
                break;
            }
            let (line, after) = split(rest);
            // A line is written in one go, with its end: one without it was torn.
            if after.is_empty() && !rest.ends_with(b"\n") {
                recording.gap = Some(format!(
                    "line {number}, the last, is cut off in the middle: it was copied too early, or the host was stopped"
                ));
                break;
            }
            rest = after;
            recording.line(line).map_err(|why| RecordingError::Line { name: name.to_owned(), line: number, why })?;
        }
        if recording.end.is_none() && recording.gap.is_none() {
            recording.gap =
                Some("it stops before the end of the work: the host was stopped, or is still at it".to_owned());
        }
        // They were written as they ended.
        recording.calls.sort_by_key(|call| call.at_ms);
        Ok(recording)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        if self.end.is_some() {
            return Err("there is a line after the end".to_owned());
        }
        match serde_json::from_slice(line).map_err(|error| without_place(&error))? {
            Line::Call(call) => {
                check(&call).map_err(|error| format!("the answer to {}: {error}", call.asked.operation.as_str()))?;
                self.calls.push(call);
            }
            Line::Attempt(attempt) => self.attempts.push(attempt),
            Line::Cut(why) => self.gap = Some(why),
            Line::End(end) => self.end = Some(end),
        }
        Ok(())
    }

    /// The SHA-256 of each plugin that ran, in the order of the attempts.
    pub fn modules(&self) -> Vec<&str> {
        let modules = self.attempts.iter().map(|attempt| attempt.module.as_str());
        let mut modules: Vec<_> = modules.filter(|module| !module.is_empty()).collect();
        modules.dedup();
        modules
    }
}

impl Call {
    /// The fact that was answered, if it was one of this type.
    pub(super) fn fact<T: DeserializeOwned>(&self) -> Option<T> {
        match &self.reply {
            Reply::Answer(answer) => T::deserialize(answer).ok(),
            Reply::Error(_) | Reply::None => None,
        }
    }
}

/// The first line, and what follows it.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// What is wrong with a line. serde_json tells where in it, as if it were a file of its own.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
}

fn header(name: &str, line: &[u8]) -> Result<Header, RecordingError> {
    let not_one = |why: String| RecordingError::NotOne { name: name.to_owned(), why };
    if line.is_empty() {
        return Err(not_one("it is empty, or begins with an empty line".to_owned()));
    }
    let value: Value = match serde_json::from_slice(line) {
        Ok(value) => value,
        Err(error) => {
            let begin: String = String::from_utf8_lossy(line).chars().take(QUOTED_CHARS).collect();
            return Err(not_one(format!(
                "its first line, which begins with {begin:?}, is not JSON ({})",
                without_place(&error)
            )));
        }
    };
    let Some(format) = value.get(MARK) else {
        return Err(not_one(format!("its first line has no {MARK:?}")));
    };
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    if format != FORMAT {
        return Err(RecordingError::Format { name: name.to_owned(), found: format.to_string(), by: text("host") });
    }
    if let Some(found) = text("contract").filter(|found| found != contract_version()) {
        let by = text("host").unwrap_or_else(|| "of an unnamed version".to_owned());
        return Err(RecordingError::Contract { name: name.to_owned(), found, by });
    }
    serde_json::from_value(value).map_err(|error| RecordingError::Line {
        name: name.to_owned(),
        line: 1,
        why: error.to_string(),
    })
}

/// The event, made again from its envelope as it was made the first time.
fn event(header: &Header) -> Result<Event, String> {
    match parse_message(header.event.to_string().as_bytes(), None) {
        Ok(Message::Events(mut events)) if events.len() == 1 => Ok(events.remove(0)),
        Ok(_) => Err("its event is not one event".to_owned()),
        Err(error) => Err(format!("its event: {error}")),
    }
}

/// Whether the answer is one that the operation gives.
fn check(call: &Call) -> Result<(), serde_json::Error> {
    fn is<T: DeserializeOwned>(answer: &Value) -> Result<(), serde_json::Error> {
        T::deserialize(answer).map(drop)
    }
    let Reply::Answer(answer) = &call.reply else { return Ok(()) };
    match call.asked.operation {
        Operation::FindContainerInstance => is::<Option<ContainerInstance>>(answer),
        Operation::Drain => is::<ContainerInstance>(answer),
        Operation::ListTasks => is::<Vec<Task>>(answer),
        Operation::StopTask | Operation::SetInstanceProtection => is::<()>(answer),
        Operation::DescribeGroupInstance => is::<Option<GroupInstance>>(answer),
        Operation::DescribeInstance => is::<Instance>(answer),
        Operation::Exec => is::<CommandOutput>(answer),
        Operation::Hook => is::<Option<HookTimes>>(answer),
        Operation::Heartbeat | Operation::Complete => is::<Answer>(answer),
    }
}
