//! What is not as expected, and how it is shown.

use std::fmt;

/// How many lines of a list are shown.
const SHOWN: usize = 12;

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Deviation {
    /// The key of the expectation, such as `outcome`.
    pub what: String,
    /// What was expected, and was not so.
    pub expected: Vec<String>,
    /// What was so instead.
    pub actual: Vec<String>,
    /// What else there is to know.
    pub remarks: Vec<String>,
}

impl Deviation {
    pub(super) fn new(what: impl Into<String>, expected: impl Into<String>, actual: impl Into<String>) -> Self {
        let (expected, actual) = (vec![expected.into()], vec![actual.into()]);
        Self { what: what.into(), expected, actual, remarks: Vec::new() }
    }

    pub(super) fn remarking(mut self, remarks: Vec<String>) -> Self {
        self.remarks = remarks;
        self
    }
}

/// As a difference: `-` for what was expected, `+` for what was so.
impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.what)?;
        self.expected.iter().try_for_each(|line| write!(f, "\n  - {line}"))?;
        self.actual.iter().try_for_each(|line| write!(f, "\n  + {line}"))?;
        self.remarks.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// The words of which any would have done.
pub(super) fn any_of<T: Copy>(words: &[T], as_str: fn(T) -> &'static str) -> String {
    words.iter().map(|word| as_str(*word)).collect::<Vec<_>>().join(" or ")
}

/// The first of some lines, those that follow each other and are alike as one.
pub(in crate::harness) fn few(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut told: Vec<(String, u32)> = Vec::new();
    for line in lines {
        match told.last_mut() {
            Some((last, times)) if *last == line => *times += 1,
            _ => told.push((line, 1)),
        }
    }
    let more = told.len().saturating_sub(SHOWN);
    let shown = told
        .into_iter()
        .take(SHOWN)
        .map(|(line, times)| if times > 1 { format!("{line} ({times} times)") } else { line });
    let mut shown: Vec<_> = shown.collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown
}

/// What there was instead of what is missing.
pub(super) fn instead(lines: &[String]) -> Vec<String> {
    if lines.is_empty() {
        return vec!["there were none".to_owned()];
    }
    let mut told = vec!["there were:".to_owned()];
    told.extend(few(lines.iter().cloned()).into_iter().map(|line| format!("  {line}")));
    told
}
