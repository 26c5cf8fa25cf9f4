//! How the log is written: JSON lines for machines, short lines for people.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// What is logged unless `HOSTLER_LOG` says otherwise: our own lines and the guests', and other libraries' warnings.
const DEFAULT_FILTER: &str = "warn,hostler=info,guest=info";

/// The environment variable that sets what is logged, in the form `target=level,…`.
pub const FILTER_VARIABLE: &str = "HOSTLER_LOG";

fn filter() -> EnvFilter {
    let directives = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| DEFAULT_FILTER.to_owned());
    EnvFilter::try_new(&directives).unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER))
}

/// One JSON object per line, as CloudWatch Logs reads them, to `writer`.
pub fn json<W>(writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter())
        .with_writer(writer)
        .init();
}

/// Short lines on standard error.
pub fn human() {
    tracing_subscriber::fmt()
        .with_env_filter(filter())
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
