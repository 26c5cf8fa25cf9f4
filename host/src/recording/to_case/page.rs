//! TOML for people: keys in the order they are written, with comments.

use std::time::Duration;

use toml::Value;

use crate::telemetry::visible;

/// A TOML file that is being written.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    pub(super) fn into_text(self) -> String {
        self.0
    }

    /// A line of comment. Whatever it quotes stays on it.
    pub(super) fn comment(&mut self, text: &str) {
        self.line(&format!("# {}", visible(text)));
    }

    pub(super) fn blank(&mut self) {
        self.line("");
    }

    /// The heading of a table, apart from what is above.
    pub(super) fn table(&mut self, heading: &str) {
        self.blank();
        self.line(heading);
    }

    pub(super) fn key(&mut self, key: &str, value: impl Into<Value>) {
        self.line(&format!("{key} = {}", value.into()));
    }

    /// A key, with a remark.
    pub(super) fn noted(&mut self, key: &str, value: impl Into<Value>, remark: &str) {
        self.line(&format!("{key} = {} # {}", value.into(), visible(remark)));
    }

    /// A long text over several lines, as it is; TOML's literals have no escapes, and hold no control characters.
    pub(super) fn literal(&mut self, key: &str, text: &str) {
        let controls = text.chars().any(|c| c.is_ascii_control() && c != '\n');
        if controls || text.contains("'''") {
            self.key(key, text)
        } else {
            self.line(&format!("{key} = '''\n{text}\n'''"))
        }
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }
}

/// A time with its unit, in whole milliseconds.
pub(super) fn time(time: Duration) -> String {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    humantime::format_duration(Duration::from_millis(milliseconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_toml_whatever_is_in_it() {
        for text in ["{\n  \"a\": 1\n}", "it's '''quoted'''", "a \u{7f} that JSON leaves as it is", "\u{1b}[2J"] {
            let mut page = Page::default();
            page.literal("json", text);
            let table: toml::Table = page.into_text().parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!(table["json"].as_str().map(str::trim), Some(text.trim()));
        }
    }
}
