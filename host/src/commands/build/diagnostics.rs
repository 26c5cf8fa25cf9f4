//! What cargo and the compiler say of a package, for those who do not see it go by.

use serde::Deserialize;

use crate::telemetry::visible;

/// The most that is kept of errors, in bytes: the first few tell what is wrong, and hundreds would bury a report.
const MAX_BYTES: usize = 8 << 10;

/// What was said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Diagnostics {
    /// What is wrong: as the compiler shows it, with file and line; or as cargo does, when it did not come to compiling.
    pub(super) errors: String,
    /// What is no error.
    pub(super) warnings: String,
}

/// One of the messages of `--message-format json`, as far as it concerns us.
#[derive(Deserialize)]
struct Message {
    message: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
}

/// Sorts what was said: by the compiler, in `messages`, one JSON object in a line; and by cargo itself, in `stderr`.
pub(super) fn told(messages: &str, stderr: &str) -> Diagnostics {
    let (mut errors, mut warnings) = (String::new(), String::new());
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    for diagnostic in messages.filter_map(|message| message.message) {
        // `error` has a sibling for the compiler's own failures, `error: internal compiler error`.
        let of_its_level = if diagnostic.level.starts_with("error") { &mut errors } else { &mut warnings };
        *of_its_level += &diagnostic.rendered.unwrap_or_default();
    }
    if errors.is_empty() {
        stderr.clone_into(&mut errors);
    }
    Diagnostics { errors: bounded(&errors), warnings }
}

/// Whole lines, up to the bound. Sources are quoted in them, and may hold what a terminal would obey.
fn bounded(text: &str) -> String {
    let mut kept = String::new();
    for line in text.trim_end().lines().map(visible) {
        if kept.len() + line.len() > MAX_BYTES {
            kept += "… and more: `hostler build` shows all of it";
            return kept;
        }
        kept += &line;
        kept.push('\n');
    }
    kept.truncate(kept.trim_end().len());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of the compiler, as cargo hands it on.
    fn message(level: &str, rendered: &str) -> String {
        let message = serde_json::json!({ "level": level, "rendered": rendered });
        serde_json::json!({ "reason": "compiler-message", "message": message }).to_string()
    }

    #[test]
    fn errors_are_told_apart_from_warnings() {
        let messages = [
            message("warning", "warning: unused variable: `x`\n"),
            message("error", "error: expected `;`\n --> src/lib.rs:3:1\n\u{1b}[2J\n\n"),
            "not json".to_owned(),
            r#"{"reason":"build-finished","success":false}"#.to_owned(),
        ];
        let told = told(&messages.join("\n"), "error: could not compile `drain`");
        assert_eq!(told.errors, "error: expected `;`\n --> src/lib.rs:3:1\n\\u{1b}[2J");
        assert_eq!(told.warnings, "warning: unused variable: `x`\n");
    }

    #[test]
    fn what_cargo_says_counts_when_nothing_was_compiled() {
        let told = told("", "error: no matching package named `x` found\n");
        assert_eq!(told.errors, "error: no matching package named `x` found");
    }

    #[test]
    fn a_flood_of_errors_is_cut_at_a_line() {
        let line = format!("{}\n", "e".repeat(999));
        let told = told(&message("error", &line.repeat(1_000)), "");
        assert!(told.errors.len() < MAX_BYTES + 100, "{} bytes", told.errors.len());
        assert!(told.errors.ends_with("e\n… and more: `hostler build` shows all of it"), "{}", told.errors);
        assert_eq!(told.errors.lines().count(), 9);
    }
}
