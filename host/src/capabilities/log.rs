//! `hostler:handler/log`: the guest's lines in our log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bindings::hostler::handler::log as wit;
use crate::sandbox::Attempt;

pub(crate) use wit::Level;

/// The longest message or value that is kept, in bytes.
const TEXT_BYTES: usize = 4 << 10;

/// What a line is charged beyond its text: what stands around it in our log.
const LINE_BYTES: u64 = 128;

/// The most fields that are kept of one line.
const FIELDS: usize = 32;

impl wit::Host for Attempt {
    async fn log(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        self.budget.begin_call("log.log")?;
        self.budget.end_call();
        self.log.line(level, &message, &fields);
        Ok(())
    }
}

/// Where the lines of one attempt go: to our log, with handler and event, until the `log` limit is reached.
#[derive(Clone, Debug)]
pub(crate) struct GuestLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handler: String,
    event: String,
    attempt: u32,
    limit: u64,
    written: AtomicU64,
    dropped: AtomicU64,
}

impl GuestLog {
    pub(crate) fn new(handler: &str, event: &str, attempt: u32, limit: u64) -> Self {
        let (handler, event) = (handler.to_owned(), event.to_owned());
        Self(Arc::new(Inner { handler, event, attempt, limit, written: AtomicU64::new(0), dropped: AtomicU64::new(0) }))
    }

    /// Writes one line, or counts it as dropped.
    pub(crate) fn line(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let (message, fields) = (cut(message), render(fields));
        let bytes = LINE_BYTES + (message.len() + fields.len()) as u64;
        if self.0.written.fetch_add(bytes, Ordering::Relaxed) + bytes > self.0.limit {
            // What did not fit stays charged: once past the limit, no shorter line slips in behind a longer one.
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let (handler, event, attempt) = (self.0.handler.as_str(), self.0.event.as_str(), self.0.attempt);
        match level {
            Level::Debug => tracing::debug!(target: "guest", handler, event, attempt, fields, "{message}"),
            Level::Info => tracing::info!(target: "guest", handler, event, attempt, fields, "{message}"),
            Level::Warn => tracing::warn!(target: "guest", handler, event, attempt, fields, "{message}"),
            Level::Error => tracing::error!(target: "guest", handler, event, attempt, fields, "{message}"),
        }
    }

    /// How many lines did not fit.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

/// Cuts a text a guest wrote, with a mark, at a character's boundary.
fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES {
        return text.to_owned();
    }
    format!("{}… ({} bytes in all)", &text[..text.floor_char_boundary(TEXT_BYTES)], text.len())
}

/// Fields as one JSON object: tracing's own fields have names fixed at compile time. Empty when there are none.
fn render(fields: &[(String, String)]) -> String {
    if fields.is_empty() {
        return String::new();
    }
    let mut object: serde_json::Map<_, _> =
        fields.iter().take(FIELDS).map(|(name, value)| (cut(name), serde_json::Value::String(cut(value)))).collect();
    if fields.len() > FIELDS {
        object.insert("…".into(), format!("{} more fields dropped", fields.len() - FIELDS).into());
    }
    serde_json::Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character_and_says_so() {
        let text = "ä".repeat(TEXT_BYTES);
        let cut = cut(&text);
        assert!(cut.ends_with(&format!("… ({} bytes in all)", text.len())));
        assert!(cut.len() < TEXT_BYTES + 64);
    }

    #[test]
    fn fields_beyond_the_bound_are_dropped_with_a_mark() {
        let fields: Vec<_> = (0..FIELDS + 3).map(|n| (format!("k{n}"), "v".to_owned())).collect();
        assert!(render(&fields).contains("3 more fields dropped"));
    }

    #[test]
    fn lines_past_the_limit_are_counted_and_nothing_slips_in_behind_them() {
        let log = GuestLog::new("h", "e", 1, 10 + LINE_BYTES);
        log.line(Level::Info, "123456", &[]);
        log.line(Level::Info, "1234567", &[]);
        log.line(Level::Info, "1", &[]);
        assert_eq!(log.dropped(), 2);
    }
}
