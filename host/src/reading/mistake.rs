//! What is wrong with a policy, and where.

use std::fmt;

use crate::telemetry::visible;

/// One mistake, with its place.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong and what would mend it.
    pub message: String,
    /// The line as it is written; empty when it is too long to show.
    pub source: String,
}

impl Mistake {
    /// The line, with what a terminal would obey replaced, one character by one, so that the caret stays where it belongs.
    fn shown(&self) -> String {
        self.source
            .chars()
            .map(|c| if c != '\t' && visible(&c.to_string()).len() > c.len_utf8() { '\u{fffd}' } else { c })
            .collect()
    }

    /// Writes the mistake as compilers do: place, message, and the line with a caret below it.
    pub fn render(&self, f: &mut dyn fmt::Write, name: &str, severity: &str) -> fmt::Result {
        writeln!(f, "{name}:{}:{}: {severity}{}", self.line, self.column, self.message)?;
        if self.source.is_empty() {
            return Ok(());
        }
        let number = self.line.to_string();
        // Tabs stay tabs, so that the caret stands where the terminal puts the character.
        let indent: String = self
            .source
            .chars()
            .take(self.column.saturating_sub(1))
            .map(|char| if char == '\t' { '\t' } else { ' ' })
            .collect();
        writeln!(f, "  {number} | {}", self.shown())?;
        writeln!(f, "  {:1$} | {indent}^", "", number.len())
    }
}

/// Every mistake of a policy, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    /// The file's name.
    pub name: String,
    /// At least one.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mistakes.iter().try_for_each(|mistake| mistake.render(f, &self.name, ""))
    }
}

impl std::error::Error for Mistakes {}

/// More findings than these are only counted: nobody reads them, and each costs a walk through the text.
const MOST: usize = 100;

/// A longer line of source is not shown.
const SHOWN_CHARS: usize = 160;

/// What has been found in a text so far. Places are byte offsets.
#[derive(Debug)]
pub(crate) struct Findings<'t> {
    text: &'t str,
    mistakes: Vec<(usize, String)>,
    warnings: Vec<(usize, String)>,
}

impl<'t> Findings<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, mistakes: Vec::new(), warnings: Vec::new() }
    }

    pub(crate) fn mistake(&mut self, at: usize, message: impl Into<String>) {
        self.mistakes.push((at, message.into()));
    }

    pub(crate) fn warn(&mut self, at: usize, message: impl Into<String>) {
        self.warnings.push((at, message.into()));
    }

    /// Whether nothing wrong has been found.
    pub(crate) fn is_sound(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// The line of a place, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        place(self.text, at).0
    }

    /// The mistakes and the warnings, each in the order of the file.
    pub(crate) fn finish(self) -> (Vec<Mistake>, Vec<Mistake>) {
        let located = |mut found: Vec<(usize, String)>| {
            found.sort_by_key(|(at, _)| *at);
            let more = found.len().saturating_sub(MOST);
            found.truncate(MOST);
            if let (true, Some((at, _))) = (more > 0, found.last()) {
                found.push((*at, format!("{more} more follow: mend these first")));
            }
            found.into_iter().map(|(at, message)| locate(self.text, at, message)).collect()
        };
        (located(self.mistakes), located(self.warnings))
    }
}

/// Line and column of a byte offset, both from 1, and the line itself.
fn place(text: &str, at: usize) -> (usize, usize, &str) {
    let before = &text[..text.floor_char_boundary(at)];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1, line)
}

fn locate(text: &str, at: usize, message: String) -> Mistake {
    let (line, column, source) = place(text, at);
    let shown = source.chars().nth(SHOWN_CHARS).is_none();
    Mistake { line, column, message, source: if shown { source.to_owned() } else { String::new() } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_past_the_most_are_counted() {
        let mut findings = Findings::new("x\n");
        (0..MOST + 7).for_each(|at| findings.mistake(at, "wrong"));
        let (mistakes, _) = findings.finish();
        assert_eq!(mistakes.len(), MOST + 1);
        assert_eq!(mistakes[MOST].message, "7 more follow: mend these first");
    }

    #[test]
    fn a_place_counts_characters_not_bytes() {
        let text = "a = 1\nname = \"é\" x\n";
        assert_eq!(place(text, text.find('x').unwrap()), (2, 12, "name = \"é\" x"));
        assert_eq!(place(text, text.len()), (3, 1, ""));
        assert_eq!(place("", 10), (1, 1, ""));
    }

    #[test]
    fn mistakes_come_in_the_order_of_the_file_and_read_like_a_compilers() {
        let text = "first = 1\n\tsecond = 2\n";
        let mut findings = Findings::new(text);
        findings.mistake(text.find('2').unwrap(), "two is too many");
        findings.mistake(0, "one is too few");
        let mistakes = Mistakes { name: "hostler.toml".to_owned(), mistakes: findings.finish().0 };
        insta::assert_snapshot!(mistakes.to_string().replace('\t', "→"), @r#"
        hostler.toml:1:1: one is too few
          1 | first = 1
            | ^
        hostler.toml:2:11: two is too many
          2 | →second = 2
            | →         ^
        "#);
    }

    #[test]
    fn a_very_long_line_is_not_shown() {
        let text = "x".repeat(1000);
        let mut findings = Findings::new(&text);
        findings.mistake(500, "here");
        let mistakes = Mistakes { name: "p".to_owned(), mistakes: findings.finish().0 };
        assert_eq!(mistakes.to_string(), "p:1:501: here\n");
    }
}
