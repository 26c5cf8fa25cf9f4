//! How the log is written: JSON lines for machines, short lines for people.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Filter, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// What is logged unless `HOSTLER_LOG` says otherwise: our own lines and the guests', and other libraries' warnings.
const DEFAULT_FILTER: &str = "warn,hostler=info,guest=info";

/// The environment variable that sets what is logged, in the form `target=level,…`.
pub const FILTER_VARIABLE: &str = "HOSTLER_LOG";

/// Whether a terminal would obey a character: control characters, and those that turn the direction of writing.
pub(crate) fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text with everything made visible that a terminal would obey. What guests, nodes and events say is printed on
/// terminals.
pub(crate) fn visible(text: &str) -> String {
    text.chars().flat_map(|c| if is_obeyed(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

/// The same for a text whose line breaks are ours.
pub(crate) fn visible_lines(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

/// The same for JSON, which stays JSON.
pub(crate) fn visible_json(json: &serde_json::Value) -> String {
    escaped_json(&json.to_string())
}

/// The same for the text of a JSON value: only in strings does it hold such characters.
fn escaped_json(text: &str) -> String {
    let escaped = |c: char| if is_obeyed(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    text.chars().map(escaped).collect()
}

/// The same for a line of the log that has line breaks of others in it: what follows them is indented, and so no line of the host's.
fn indented(text: &str) -> String {
    visible_lines(text).replace('\n', "\n    ")
}

/// Where lines of the log are written: what a terminal would obey is made visible first.
struct Visible<M> {
    to: M,
    escape: fn(&str) -> String,
}

/// The same for one line.
struct VisibleLine<W> {
    to: W,
    escape: fn(&str) -> String,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Visible<M> {
    type Writer = VisibleLine<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        VisibleLine { to: self.to.make_writer(), escape: self.escape }
    }
}

impl<W: io::Write> io::Write for VisibleLine<W> {
    /// Takes a whole line, as the layers of tracing-subscriber write it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let shown = (self.escape)(text.strip_suffix('\n').unwrap_or(&text));
        self.to.write_all(format!("{shown}\n").as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// What is logged: what the environment asks for, if nothing is secret in it.
fn filter<S: Subscriber>() -> impl Filter<S> {
    let asked = asked_for().and_then(|asked| EnvFilter::try_new(asked).ok());
    without_secrets(asked.unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER)))
}

fn without_secrets<S: Subscriber>(asked: EnvFilter) -> impl Filter<S> {
    // Without the hint every line of every library would be looked at, wanted or not.
    asked.and(filter_fn(|metadata| !may_hold_secrets(metadata)).with_max_level_hint(LevelFilter::TRACE))
}

/// Whether lines like this one are never written, whatever is asked for.
///
/// At level TRACE the AWS SDK shows requests and answers whole, with the tokens of the metadata service, and, if its own
/// LOG_SENSITIVE_BODIES is set, the keys that Secrets Manager keeps for us. And whatever the level, where it looks for credentials in
/// vain, it shows the answer that it could do nothing with. That there are none, the error of the call says, and why.
fn may_hold_secrets(metadata: &Metadata<'_>) -> bool {
    let shows_answers = *metadata.level() == Level::TRACE && metadata.target().starts_with("aws_");
    shows_answers || metadata.target() == "aws_config::meta::credentials::chain"
}

/// What the environment says is to be logged.
fn asked_for() -> Option<String> {
    // What is not UTF-8 is no directive either, and is shown as well as it can be.
    std::env::var_os(FILTER_VARIABLE).map(|asked| asked.to_string_lossy().into_owned())
}

/// Says that what the environment asks for cannot be made out, and what is logged instead.
pub fn warn_of_filter() {
    if let Some(warning) = asked_for().and_then(|asked| not_understood(&asked)) {
        tracing::warn!("{warning}");
    }
}

fn not_understood(asked: &str) -> Option<String> {
    let error = EnvFilter::try_new(asked).err()?;
    Some(format!(
        "{FILTER_VARIABLE} is {asked:?}, which cannot be made out ({error}): as if it were {DEFAULT_FILTER:?}; write \
         TARGET=LEVEL, divided by commas, with the levels error, warn, info, debug and trace"
    ))
}

/// One JSON object per line, as CloudWatch Logs reads them, to `writer`.
pub fn json<W>(writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::registry().with(json_lines(writer)).init();
    warn_of_filter();
}

/// The same as a layer, beside others.
pub fn json_lines<S, W>(writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // What an event is about is its `target`: the module that says so must not stand beside it under the same name.
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false);
    let writer = Visible { to: writer, escape: escaped_json };
    lines.with_current_span(false).with_span_list(false).with_writer(writer).with_filter(filter())
}

/// Short lines on standard error.
pub fn human() {
    let writer = Visible { to: io::stderr, escape: indented };
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    tracing_subscriber::registry().with(lines.with_filter(filter())).init();
    warn_of_filter();
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn json_stays_json_and_obeyed_by_no_terminal() {
        let value = serde_json::json!({ "a": "x\u{202e}\u{9b}\u{1b}\né" });
        let shown = visible_json(&value);
        assert_eq!(shown, r#"{"a":"x\u202e\u009b\u001b\né"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn a_filter_that_cannot_be_made_out_is_named_with_what_is_logged_instead() {
        assert_eq!(
            ["", "debug", DEFAULT_FILTER, "hostler[attempt]=trace"].map(not_understood),
            [None, None, None, None]
        );
        insta::assert_snapshot!(not_understood("hostler=loud").unwrap(), @r#"HOSTLER_LOG is "hostler=loud", which cannot be made out (error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5): as if it were "warn,hostler=info,guest=info"; write TARGET=LEVEL, divided by commas, with the levels error, warn, info, debug and trace"#);
    }

    #[test]
    fn what_the_aws_sdk_shows_of_requests_is_never_logged() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&written);
        let lines = tracing_subscriber::fmt::layer().with_writer(move || Sink(Arc::clone(&sink)));
        let all = lines.with_filter(without_secrets(EnvFilter::new("trace")));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(all), || {
            tracing::trace!(target: "aws_smithy_runtime::client::orchestrator", "a secret");
            tracing::warn!(target: "aws_config::meta::credentials::chain", "a secret");
            tracing::debug!(target: "aws_smithy_runtime::client::orchestrator", "a stage");
            tracing::trace!(target: "hostler::dispatch", "a step");
        });
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(!written.contains("a secret"), "{written}");
        assert!(written.contains("a stage") && written.contains("a step"), "{written}");
    }

    /// What is written of a line by `layer`, which writes to what it is given.
    fn logged<L: Layer<tracing_subscriber::Registry> + Send + Sync>(
        layer: impl FnOnce(Box<dyn Fn() -> Sink + Send + Sync>) -> L,
        message: &str,
    ) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&written);
        let layer = layer(Box::new(move || Sink(Arc::clone(&sink))));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(target: "guest", "{message}");
        });
        String::from_utf8(written.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn what_a_guest_logs_is_obeyed_by_no_terminal_and_is_no_line_of_the_hosts() {
        let hostile = "a\r\n2026-01-15T03:00:00Z ERROR b\u{9b}2J\u{1b}[2J\u{202e}c";
        let json = logged(json_lines, hostile);
        assert!(!json.trim_end_matches('\n').contains(is_obeyed), "{json:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["message"], hostile);
        let human = |writer| {
            let writer = Visible { to: writer, escape: indented };
            tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_writer(writer)
        };
        let lines = logged(human, hostile);
        assert!(!lines.replace('\n', "").contains(is_obeyed), "{lines:?}");
        assert!(lines.contains("\n    2026-01-15T03:00:00Z ERROR b") && lines.ends_with("c\n"), "{lines:?}");
    }

    /// Keeps what is written.
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_made_visible() {
        assert_eq!(visible("a\x1b[2Jb\nc\u{9b}d\u{202e}é"), "a\\u{1b}[2Jb\\nc\\u{9b}d\\u{202e}é");
    }
}
