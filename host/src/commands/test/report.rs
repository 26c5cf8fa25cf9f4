//! What `hostler test` prints: each case as it ends, and what has to be known of the ones that failed at the very end, where
//! the eye is.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde_json::json;

use super::Outcome;
use crate::commands::policy::counted;
use crate::harness::Verdict;
use crate::shell;
use crate::telemetry::visible;
use crate::timeline;

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const QUIET: Style = AnsiColor::BrightBlack.on_default();

/// The lines of a timeline that are shown from its beginning, and from its end, when it is longer than both together.
const FIRST_LINES: usize = 20;
const LAST_LINES: usize = 40;

/// Prints results: for people, or as JSON lines.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
}

impl Report {
    pub(super) fn new(json: bool, seeds: Option<u64>, cases: usize) -> Self {
        let report = Self { json };
        if let (false, Some(seeds)) = (json, seeds) {
            let each = if cases == 1 { "" } else { ", each" };
            report.line(&format!(
                "{}{each} under {}",
                counted(cases, "case"),
                counted(usize::try_from(seeds).unwrap_or(usize::MAX), "seed")
            ));
        }
        report
    }

    /// A plugin is about to be built.
    pub(super) fn building(&self, package: &Path) {
        if !self.json {
            let name = package.file_name().map_or_else(|| package.to_string_lossy(), |name| name.to_string_lossy());
            self.line(&format!("{QUIET}    building {}{QUIET:#}", visible(&name)));
        }
    }

    /// A case has ended.
    pub(super) fn case(&self, outcome: &Outcome) {
        if self.json {
            return self.line(&as_json(outcome).to_string());
        }
        let (word, style) = word(outcome);
        let took = milliseconds(outcome.took);
        let simulated = match &outcome.result {
            Ok(verdict) => format!("{:>10}", timeline::clock(rounded(verdict.virtual_time))),
            Err(_) => " ".repeat(10),
        };
        let title = visible(&outcome.found.title());
        self.line(&format!("{style}{word:>6}{style:#} {took:>10} {QUIET}{simulated}{QUIET:#}  {title}"));
        for hint in outcome.result.iter().flat_map(|verdict| &verdict.hints) {
            self.line(&format!("{QUIET}       hint: {}{QUIET:#}", visible(hint)));
        }
    }

    /// All have ended.
    pub(super) fn finish(&self, outcomes: &[Outcome], took: Duration) {
        let count = |wanted: &str| outcomes.iter().filter(|outcome| word(outcome).0 == wanted).count();
        let (passed, failed, errors) = (count("pass"), count("FAIL"), count("ERROR"));
        if self.json {
            let summary = json!({ "summary": {
                "cases": outcomes.len(), "passed": passed, "failed": failed, "errors": errors,
                "milliseconds": took.as_secs_f64() * 1e3,
            }});
            return self.line(&summary.to_string());
        }
        for outcome in outcomes {
            self.failure(outcome);
        }
        let simulated: Duration =
            outcomes.iter().flat_map(|outcome| &outcome.result).map(|verdict| verdict.virtual_time).sum();
        let mut told = vec![format!("{GOOD}{passed} passed{GOOD:#}")];
        if failed > 0 {
            told.push(format!("{BAD}{failed} failed{BAD:#}"));
        }
        if errors > 0 {
            told.push(format!("{BAD}{errors} not played{BAD:#}"));
        }
        let (cases, took) = (counted(outcomes.len(), "case"), milliseconds(took));
        let simulated = timeline::clock(rounded(simulated));
        self.line(&format!("{cases}: {} in {took}, {simulated} of simulated time", told.join(", ")));
    }

    /// Why a case does not hold, and what happened up to there.
    fn failure(&self, outcome: &Outcome) {
        let (word, style) = word(outcome);
        let title = || {
            format!("\n{style}{word} {}{style:#}  {}", visible(&outcome.found.title()), outcome.found.path.display())
        };
        let verdict = match &outcome.result {
            Ok(verdict) if verdict.holds() => return,
            Ok(verdict) => verdict,
            Err(trouble) => {
                self.line(&title());
                // Of our own making, with line breaks that are meant; the texts in it are quoted.
                return self.line(&indented(&trouble.to_string()));
            }
        };
        self.line(&title());
        if let Some(failed) = verdict.explored.as_ref().and_then(|explored| explored.failed.as_ref()) {
            let path = visible(&shell::typed(&outcome.found.path.to_string_lossy()));
            self.line(&format!("  holds as it is written, and not under seed {}: replay it with", failed.seed));
            self.line(&format!("    hostler test {path} --seeds 1 --seed {}", failed.seed));
            self.line("  the least that has to go wrong:");
            self.line(&indented(&indented(failed.least.trim_end())));
        }
        for deviation in &verdict.deviations {
            let text: Vec<_> = deviation.to_string().lines().map(visible).collect();
            for line in text {
                let style = match line.trim_start().chars().next() {
                    Some('-') => BAD,
                    Some('+') => GOOD,
                    _ => Style::new(),
                };
                self.line(&format!("  {style}{line}{style:#}"));
            }
        }
        let lines = timeline::text(&verdict.journal);
        self.line("  what happened:");
        let left_out = lines.len().saturating_sub(FIRST_LINES + LAST_LINES);
        for (index, line) in lines.iter().enumerate() {
            if left_out > 0 && index == FIRST_LINES {
                self.line(&format!("{QUIET}    … {left_out} lines …{QUIET:#}"));
            }
            if left_out == 0 || index < FIRST_LINES || index >= FIRST_LINES + left_out {
                self.line(&format!("{QUIET}    {line}{QUIET:#}"));
            }
        }
    }

    /// Prints a line, in colour where there are colours.
    fn line(&self, text: &str) {
        // Nobody is left to be told when standard output is closed.
        let _ = writeln!(anstream::stdout(), "{text}");
    }
}

/// What the result is called.
fn word(outcome: &Outcome) -> (&'static str, Style) {
    match &outcome.result {
        Ok(verdict) if verdict.holds() => ("pass", GOOD),
        Ok(_) => ("FAIL", BAD),
        Err(_) => ("ERROR", BAD),
    }
}

/// One case as a JSON object.
fn as_json(outcome: &Outcome) -> serde_json::Value {
    let mut told = json!({
        "case": outcome.found.title(),
        "path": outcome.found.path.display().to_string(),
        "result": word(outcome).0.to_lowercase(),
        "milliseconds": outcome.took.as_secs_f64() * 1e3,
    });
    match &outcome.result {
        Ok(Verdict { deviations, hints, virtual_time, journal, explored, .. }) => {
            told["simulated-seconds"] = virtual_time.as_secs_f64().into();
            told["hints"] = json!(hints);
            if !deviations.is_empty() {
                told["deviations"] = json!(deviations);
                told["timeline"] = json!(timeline::text(journal));
            }
            if let Some(explored) = explored {
                told["seeds"] = explored.seeds.into();
                if let Some(failed) = &explored.failed {
                    told["failed-seed"] = json!({ "seed": failed.seed, "least": failed.least });
                }
            }
        }
        Err(trouble) => told["error"] = trouble.to_string().into(),
    }
    told
}

/// Why a case does not hold, as plain text; nothing when it does.
pub(super) fn why(outcome: &Outcome) -> String {
    match &outcome.result {
        Ok(verdict) => {
            let deviations = verdict.deviations.iter().map(ToString::to_string);
            deviations
                .map(|text| text.lines().map(visible).collect::<Vec<_>>().join("\n"))
                .collect::<Vec<_>>()
                .join("\n")
        }
        Err(trouble) => trouble.to_string(),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// To the millisecond, as clocks show it.
fn rounded(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn milliseconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1}ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{:.2}s", time.as_secs_f64())
    }
}
