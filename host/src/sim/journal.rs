//! What was asked of the world and what happened in it, in order.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::ports::PortError;

/// How many entries are kept; later ones are only counted. A benchmark may call a world millions of times.
const MAX_ENTRIES: usize = 10_000;

/// What is kept of a target, in characters: a guest may write a megabyte of it.
const MAX_TARGET: usize = 2_048;

/// One call of a port, or one change of the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When, by the world's clock: for a call, when it was made.
    pub at: Timestamp,
    /// The same, since the world began.
    pub elapsed: Duration,
    /// Whether somebody asked, or the world moved by itself.
    pub source: Source,
    /// What was called, such as `ecs.drain`, or what happened, such as `task stopped`.
    pub operation: String,
    /// To what: an instance id, and whatever else names the thing.
    pub target: String,
    /// What came of it.
    pub result: Reply,
    /// How long the caller waited for it. Zero for a change of the world.
    pub took: Duration,
}

/// Where an entry comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A port was called.
    Call,
    /// The world changed.
    World,
}

/// What came of a call or a change, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// What the caller was given, or what the thing became.
    Ok(String),
    /// The message of the error the caller was given.
    Error(String),
    /// No answer: the call is still waiting, or its caller went away.
    None,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            Source::Call => "call ",
            Source::World => "world",
        };
        write!(f, "+{} {source} {}", humantime::format_duration(self.elapsed), self.operation)?;
        if !self.target.is_empty() {
            write!(f, " {}", self.target)?;
        }
        match &self.result {
            Reply::Ok(text) if text.is_empty() => {}
            Reply::Ok(text) => write!(f, ": {text}")?,
            Reply::Error(message) => write!(f, ": error: {message}")?,
            Reply::None => f.write_str(": no answer")?,
        }
        if self.took.is_zero() { Ok(()) } else { write!(f, " (after {})", humantime::format_duration(self.took)) }
    }
}

/// The entries so far.
#[derive(Debug, Default)]
pub(super) struct Journal {
    entries: Vec<Entry>,
}

/// A call that has been written down and not answered yet; none when the journal is full.
#[derive(Debug)]
pub(super) struct Asked(Option<usize>);

impl Journal {
    /// The entries, oldest first.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Writes down that a port is called, before anything the call brings about.
    pub(super) fn call(&mut self, start: Timestamp, now: Duration, operation: &str, target: String) -> Asked {
        if self.entries.len() >= MAX_ENTRIES {
            return Asked(None);
        }
        self.push(start, now, Source::Call, operation, target, Reply::None);
        Asked(Some(self.entries.len() - 1))
    }

    /// Writes down what the call came to.
    pub(super) fn answer(&mut self, asked: Asked, now: Duration, result: Result<String, &PortError>) {
        if let Some(entry) = asked.0.and_then(|index| self.entries.get_mut(index)) {
            entry.result = match result {
                Ok(text) => Reply::Ok(text),
                Err(error) => Reply::Error(error.message.clone()),
            };
            entry.took = now.saturating_sub(entry.elapsed);
        }
    }

    /// Writes down that the world changed.
    pub(super) fn change(&mut self, start: Timestamp, at: Duration, operation: &str, target: String, became: &str) {
        if self.entries.len() < MAX_ENTRIES {
            self.push(start, at, Source::World, operation, target, Reply::Ok(became.to_owned()));
        }
    }

    fn push(&mut self, start: Timestamp, at: Duration, source: Source, operation: &str, target: String, result: Reply) {
        self.entries.push(Entry {
            at: start.saturating_add(at).unwrap_or(Timestamp::MAX),
            elapsed: at,
            source,
            operation: operation.to_owned(),
            target: target.chars().take(MAX_TARGET).collect(),
            result,
            took: Duration::ZERO,
        });
    }
}
