//! Why an instance is still here: what the ledger says of it and what the world says, judged into one sentence, with the evidence.
//!
//! Owns the question to the world ([`Sight`], [`Services`]) and the judgement, which is pure. Changes nothing, and knows nothing of
//! how it is printed.

mod book;
mod cluster;
mod evidence;
mod notes;
mod services;
mod sight;
#[cfg(test)]
mod tests;

pub use book::Book;
pub(crate) use book::{end, nobody_comes, overdue, unfinished};
pub use services::{Service, Services, Strategy, obstacle};
pub use sight::Sight;

/// What was found: a conclusion, what can be done, and what both rest on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// What blocks the instance, in a sentence that goes on from its id: `waits: …`.
    pub finding: Finding,
    /// What the ledger says.
    pub ledger: Vec<String>,
    /// What the world says; empty if it was not asked.
    pub world: Vec<String>,
    /// What could not be had of the world, each with why.
    pub unknown: Vec<String>,
}

/// What blocks an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In plain English, without a full stop.
    pub conclusion: String,
    /// What can be done about it, if anybody can do anything.
    pub remedy: Option<String>,
    /// The command that does it, where there is one: to be copied, not to be broken.
    pub command: Option<String>,
}

impl Finding {
    fn new(conclusion: impl Into<String>) -> Self {
        Self { conclusion: conclusion.into(), remedy: None, command: None }
    }

    fn with(conclusion: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(conclusion) }
    }

    fn and(self, command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), ..self }
    }
}

/// Judges what is known. Without `sight`, the world was not asked.
pub fn diagnose(book: &Book<'_>, sight: Option<&Sight>) -> Diagnosis {
    let finding = match book.worst() {
        Some(item) => book.blocker(item, sight),
        None => book.nothing_open(sight),
    };
    Diagnosis {
        finding,
        ledger: evidence::of_ledger(book),
        world: sight.map(evidence::of_world).unwrap_or_default(),
        unknown: sight.map(evidence::unknown).unwrap_or_default(),
    }
}
