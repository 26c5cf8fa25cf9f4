//! `hostler:handler/log`: the guest's lines in our log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytesize::ByteSize;

use crate::bindings::hostler::handler::log as wit;
use crate::outcome::BudgetSpent;
use crate::policy::Limits;
use crate::sandbox::Attempt;
use crate::sandbox::bounded::{self, as_json};

pub(crate) use wit::Level;

/// What the host function is called.
const CALL: &str = "log.log";

/// The longest message or value that is kept, in bytes.
const TEXT_BYTES: usize = 4 << 10;

/// What a line is charged beyond its text: what stands around it in our log.
const LINE_BYTES: u64 = 128;

/// The most fields that are kept of one line.
const FIELDS: usize = 32;

impl wit::Host for Attempt {
    async fn log(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        let handed = fields.iter().map(|(name, value)| size_of::<(String, String)>() + name.len() + value.len());
        self.budget.begin_call(CALL, message.len() + handed.sum::<usize>())?;
        self.log.line(CALL, level, &message, &fields);
        Ok(self.budget.end_call()?)
    }
}

/// Where the lines of one attempt go: to our log, with handler and event, until the `log` or the `log-lines` limit is reached.
#[derive(Clone, Debug)]
pub(crate) struct GuestLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handler: String,
    event: String,
    attempt: u32,
    limit: u64,
    line_limit: u64,
    written: AtomicU64,
    lines: AtomicU64,
    dropped: AtomicU64,
}

impl GuestLog {
    pub(crate) fn new(handler: &str, event: &str, attempt: u32, limits: &Limits) -> Self {
        Self(Arc::new(Inner {
            handler: handler.to_owned(),
            event: event.to_owned(),
            attempt,
            limit: limits.log,
            line_limit: limits.log_lines.into(),
            written: AtomicU64::new(0),
            lines: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Writes one line that the guest has handed to `call`, or counts it as dropped.
    pub(crate) fn line(&self, call: &'static str, level: Level, message: &str, fields: &[(String, String)]) {
        if self.dropped() > 0 {
            // Once past a limit, no shorter line slips in behind a longer one.
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let (message, fields) = (cut(message), render(fields));
        let bytes = LINE_BYTES + (as_json(&message) + as_json(&fields)) as u64;
        if self.0.lines.fetch_add(1, Ordering::Relaxed) >= self.0.line_limit {
            return self.spent("log-lines", self.0.line_limit.to_string(), call);
        }
        if self.0.written.fetch_add(bytes, Ordering::Relaxed) + bytes > self.0.limit {
            return self.spent("log", ByteSize::b(self.0.limit).to_string(), call);
        }
        let (handler, event, attempt) = (self.0.handler.as_str(), self.0.event.as_str(), self.0.attempt);
        match level {
            Level::Debug => tracing::debug!(target: "guest", handler, event, attempt, fields, "{message}"),
            Level::Info => tracing::info!(target: "guest", handler, event, attempt, fields, "{message}"),
            Level::Warn => tracing::warn!(target: "guest", handler, event, attempt, fields, "{message}"),
            Level::Error => tracing::error!(target: "guest", handler, event, attempt, fields, "{message}"),
        }
    }

    /// Counts the first line that is dropped, and says so: whoever reads the log must know that it is not all.
    fn spent(&self, budget: &'static str, limit: String, call: &'static str) {
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
        let (handler, event, attempt) = (self.0.handler.as_str(), self.0.event.as_str(), self.0.attempt);
        let spent = BudgetSpent { budget, limit, during: Some(call) };
        tracing::warn!(handler, event, attempt, "{spent}: from here on, what the plugin logs is dropped");
    }

    /// How many lines did not fit.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

/// Cuts a text a guest wrote, and says how long it was.
fn cut(text: &str) -> String {
    let cut = bounded::cut(text, TEXT_BYTES);
    if text.len() <= TEXT_BYTES { cut } else { format!("{cut} ({} bytes in all)", text.len()) }
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
    use crate::testing::{self, handler};

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

    /// What of `lines` is logged under these limits, and how many are not.
    fn logged(log_bytes: u64, log_lines: u32, lines: &[&str]) -> (String, u64) {
        let limits = Limits { log: log_bytes, log_lines, ..handler("").limits.clone() };
        let (told, _guard) = testing::log();
        let log = GuestLog::new("h", "e", 1, &limits);
        for line in lines {
            log.line(CALL, Level::Info, line, &[]);
        }
        (told.told(), log.dropped())
    }

    #[test]
    fn lines_past_the_limit_are_counted_and_nothing_slips_in_behind_them() {
        let (told, dropped) = logged(10 + LINE_BYTES, 9, &["123456", "1234567", "1"]);
        assert_eq!(dropped, 2);
        insta::assert_snapshot!(told, @r#"
         INFO 123456 handler="h" event="e" attempt=1 fields=""
         WARN log budget of 138 B spent during log.log: from here on, what the plugin logs is dropped handler="h" event="e" attempt=1
        "#);
    }

    #[test]
    fn many_small_lines_end_with_a_budget_of_their_own() {
        let (told, dropped) = logged(1 << 20, 2, &["a", "b", "c", "d"]);
        assert_eq!(dropped, 2);
        insta::assert_snapshot!(told, @r#"
         INFO a handler="h" event="e" attempt=1 fields=""
         INFO b handler="h" event="e" attempt=1 fields=""
         WARN log-lines budget of 2 spent during log.log: from here on, what the plugin logs is dropped handler="h" event="e" attempt=1
        "#);
    }

    #[test]
    fn a_line_is_charged_as_it_is_written() {
        // Six bytes each, as JSON writes them.
        let (_, dropped) = logged(LINE_BYTES + 59, 9, &["\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}"]);
        assert_eq!(dropped, 1);
        let (_, dropped) = logged(LINE_BYTES + 60, 9, &["\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}"]);
        assert_eq!(dropped, 0);
    }
}
