//! What was asked of the world, what happened in it, and what was said about it, in order.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::FaultKind;

/// How many entries are kept; later ones are only counted. A benchmark may call a world millions of times.
pub const MAX_ENTRIES: usize = 100_000;

/// What is kept of a target, in characters: a guest may write a megabyte of it.
const MAX_TARGET: usize = 2_048;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When, since the world began: for a call, when it was made.
    pub elapsed: Duration,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// A call of a port, a change of the world, or a line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// A port was called.
    Call(Call),
    /// The world changed.
    Change {
        /// What happened, such as `task stopped`.
        name: String,
        /// To what.
        target: String,
        /// What it became; empty when the name says it all.
        became: String,
    },
    /// The host said something.
    Host(Line),
    /// The handler said something.
    Guest(Line),
}

/// One call of a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// The operation, such as `ecs.drain`.
    pub operation: &'static str,
    /// On what: an instance id, and whatever else names the thing.
    pub target: String,
    /// What came of it in the world.
    pub reply: Reply,
    /// How long the caller waited for it.
    pub took: Duration,
    /// What went wrong with it by order.
    pub fault: Option<FaultKind>,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// `ERROR`, `WARN`, `INFO` or `DEBUG`.
    pub level: &'static str,
    /// What was said.
    pub message: String,
    /// What it was said of, in the order of the line.
    pub fields: Vec<(&'static str, String)>,
}

impl Line {
    /// The field of that name; empty when the line has none.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| *field == name).map_or("", |(_, value)| value)
    }
}

/// What came of a call, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// What the caller was given.
    Ok(String),
    /// The message of the error the caller was given.
    Error(String),
    /// No answer: the call is still waiting, or its caller went away.
    None,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{} {}", humantime::format_duration(self.elapsed), self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call) => write!(f, "call  {call}"),
            Self::Change { name, target, became } => {
                write!(f, "world {name}")?;
                if !target.is_empty() {
                    write!(f, " {target}")?;
                }
                if became.is_empty() { Ok(()) } else { write!(f, ": {became}") }
            }
            Self::Host(line) => write!(f, "host  {}", line.message),
            Self::Guest(line) => write!(f, "guest {}", line.message),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation, self.target)?;
        match &self.reply {
            Reply::Ok(text) if text.is_empty() => {}
            Reply::Ok(text) => write!(f, ": {text}")?,
            Reply::Error(message) => write!(f, ": error: {message}")?,
            Reply::None => f.write_str(": no answer")?,
        }
        if !self.took.is_zero() {
            write!(f, " (after {})", humantime::format_duration(self.took))?;
        }
        self.fault.map_or(Ok(()), |fault| write!(f, " (fault: {fault})"))
    }
}

/// The entries so far, and the clock they are told by. A handle, and its lock is never held while anything else runs: the log
/// may be written to from wherever the world is looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Journal(Arc<Mutex<Tape>>);

#[derive(Debug, Default)]
struct Tape {
    /// When the world began: at the first look at it.
    began: Option<Instant>,
    entries: Vec<Entry>,
    /// The fault that the next call suffers.
    fault: Option<FaultKind>,
}

/// A call that has been written down and not answered yet; none when the journal is full.
#[derive(Debug)]
pub(super) struct Asked(Option<usize>);

impl Journal {
    /// How long ago the world began. The first call is its beginning.
    pub(super) fn now(&self) -> Duration {
        self.tape().now()
    }

    /// Another journal, with what is in this one: of a world that has not begun.
    pub(super) fn fork(&self) -> Self {
        let entries = self.tape().entries.clone();
        Self(Arc::new(Mutex::new(Tape { entries, ..Tape::default() })))
    }

    /// A copy of the entries, ordered by their time; what happened at one instant stays in the order it was found out.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut entries = self.tape().entries.clone();
        entries.sort_by_key(|entry| entry.elapsed);
        entries
    }

    /// Lets the next call suffer `fault`.
    pub(super) fn next_suffers(&self, fault: FaultKind) {
        self.tape().fault = Some(fault);
    }

    /// Writes down that a port is called, before anything the call brings about.
    pub(super) fn call(&self, now: Duration, operation: &'static str, target: String) -> Asked {
        let mut tape = self.tape();
        let target = target.chars().take(MAX_TARGET).collect();
        let fault = tape.fault.take();
        let call = Call { operation, target, reply: Reply::None, took: Duration::ZERO, fault };
        Asked(tape.push(now, What::Call(call)))
    }

    /// Writes down what the call came to.
    pub(super) fn answer(&self, asked: Asked, now: Duration, result: Result<String, &impl ToString>) {
        let mut tape = self.tape();
        let Some(entry) = asked.0.and_then(|index| tape.entries.get_mut(index)) else { return };
        let What::Call(call) = &mut entry.what else { return };
        call.reply = result.map_or_else(|error| Reply::Error(error.to_string()), Reply::Ok);
        call.took = now.saturating_sub(entry.elapsed);
    }

    /// Writes down that the world changed.
    pub(super) fn change(&self, at: Duration, name: &str, target: String, became: &str) {
        self.tape().push(at, What::Change { name: name.to_owned(), target, became: became.to_owned() });
    }

    /// Writes down what was said.
    pub(super) fn say(&self, what: What) {
        let mut tape = self.tape();
        let now = tape.now();
        tape.push(now, what);
    }

    /// The tape, for a moment. Whatever panicked elsewhere, what is written is written.
    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tape {
    fn now(&mut self) -> Duration {
        self.began.get_or_insert_with(Instant::now).elapsed()
    }

    fn push(&mut self, elapsed: Duration, what: What) -> Option<usize> {
        let room = self.entries.len() < MAX_ENTRIES;
        room.then(|| {
            self.entries.push(Entry { elapsed, what });
            self.entries.len() - 1
        })
    }
}
