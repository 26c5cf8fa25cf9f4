//! Lets a world's journal hear what is logged, so that what was said stands between what happened.

use std::fmt::Debug;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::journal::{Journal, Line, What};

/// A layer that writes into a journal: our own lines and the guests', and other libraries' warnings.
#[derive(Debug)]
pub struct Listener {
    journal: Journal,
}

impl Listener {
    pub(super) fn new(journal: Journal) -> Self {
        Self { journal }
    }
}

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let guest = metadata.target() == "guest";
        let ours = guest || metadata.target().starts_with("hostler");
        let level = *metadata.level();
        if level > Level::DEBUG || !ours && level > Level::WARN {
            return;
        }
        let mut line = Line { level: level.as_str(), message: String::new(), fields: Vec::new() };
        event.record(&mut Fields(&mut line));
        self.journal.say(if guest { What::Guest(line) } else { What::Host(line) });
    }
}

/// The fields of one line, as text.
struct Fields<'l>(&'l mut Line);

impl Fields<'_> {
    fn keep(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.0.message = value,
            name => self.0.fields.push((name, value)),
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.keep(field, format!("{value:?}"));
    }
}
