//! What happened in a simulated run, in the order of its virtual clock: the host's and the guest's log lines, and the
//! changes of the world between them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::sim::{Entry, Reply, Source, World};
use crate::telemetry;

/// When something happened, since the run began, and what is said of it.
type Line = (Duration, String);

/// A log that is kept until the run has ended.
pub(super) struct Timeline {
    /// None when the log is written as it happens.
    lines: Option<Arc<Mutex<Vec<Line>>>>,
}

impl Timeline {
    /// Begins to keep what is logged; as JSON, it is written to standard error instead.
    pub(super) fn start(json: bool) -> Self {
        if json {
            telemetry::json(std::io::stderr);
            return Self { lines: None };
        }
        let lines = Arc::new(Mutex::new(Vec::new()));
        let recorder = Recorder { began: Instant::now(), lines: Arc::clone(&lines) };
        tracing_subscriber::registry().with(recorder).init();
        Self { lines: Some(lines) }
    }

    /// Prints what was kept, with the changes of `world` where they belong.
    pub(super) fn print(&self, world: &World) {
        let Some(lines) = &self.lines else { return };
        let mut lines = std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
        let journal = world.journal();
        lines.extend(journal.iter().filter(|entry| entry.source == Source::World).map(change));
        // Stable, so that what happened at one instant stays in the order it was said.
        lines.sort_by_key(|(at, _)| *at);
        let mut out = std::io::stdout().lock();
        for (at, text) in lines {
            // Nobody is left to be told when standard output is closed.
            let _ = writeln!(out, "{}  {}", clock(at), telemetry::visible(&text));
        }
    }
}

/// A change of the world, as a line.
fn change(entry: &Entry) -> (Duration, String) {
    let became = match &entry.result {
        Reply::Ok(text) | Reply::Error(text) => text,
        Reply::None => "",
    };
    let line = with(format!("~ {}", entry.operation), " ", &entry.target);
    (entry.elapsed, with(line, ": ", became))
}

/// `mm:ss.mmm` since the run began; hours when there are any.
fn clock(at: Duration) -> String {
    let (seconds, milliseconds) = (at.as_secs(), at.subsec_millis());
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}.{milliseconds:03}")
    } else {
        format!("{minutes:02}:{seconds:02}.{milliseconds:03}")
    }
}

struct Recorder {
    began: Instant,
    lines: Arc<Mutex<Vec<Line>>>,
}

impl<S: Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let ours = metadata.target().starts_with("hostler") || metadata.target() == "guest";
        let level = *metadata.level();
        if level > Level::DEBUG || !ours && level > Level::WARN {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = fields.line(metadata.target() == "guest", level);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push((self.began.elapsed(), line));
    }
}

/// The fields of one log line, as text.
#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }
}

/// What every line of a run would repeat, and what is different in every run.
const LEFT_OUT: [&str; 9] =
    ["message", "event", "handler", "kind", "instance", "cpu_ms", "wall_ms", "milliseconds", "peak_memory"];

impl Fields {
    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| *field == name).map_or("", |(_, value)| value)
    }

    /// A line for people: what they look for first, then the rest as `name=value`.
    fn line(&self, guest: bool, level: Level) -> String {
        let message = self.get("message");
        match message {
            // First, so that no guest speaks as the host does.
            _ if guest => with(format!("  | {message}"), " ", self.get("fields")),
            "event taken" => format!(
                "{} {} taken by {}, deadline {}",
                self.get("kind"),
                self.get("instance"),
                self.get("handler"),
                self.get("deadline")
            ),
            "attempt" => {
                let line = format!("attempt {}: {}", self.get("attempt"), self.get("outcome"));
                let line = with(line, ", ", self.get("note"));
                with(line, "; log lines dropped: ", self.get("log_lines_dropped"))
            }
            "host call" => {
                let line = format!("  {} {} -> {}", self.get("call"), self.get("target"), self.get("result"));
                with(line, " ", self.get("error"))
            }
            _ => {
                let mut line = if level <= Level::WARN { format!("{level}: {message}") } else { message.to_owned() };
                for (name, value) in self.0.iter().filter(|(name, _)| !LEFT_OUT.contains(name)) {
                    // Writing to a string cannot fail.
                    let _ = write!(line, " {name}={value}");
                }
                line
            }
        }
    }
}

fn with(line: String, between: &str, rest: &str) -> String {
    if rest.is_empty() { line } else { format!("{line}{between}{rest}") }
}
