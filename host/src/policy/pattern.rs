//! EventBridge's pattern language.

use serde_json::Value;

/// A pattern over an event in EventBridge's form.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern;

impl Pattern {
    /// Whether `event` matches.
    pub fn matches(&self, event: &Value) -> bool {
        let _ = event;
        unimplemented!()
    }

    /// Whether the field at `path` is matched against `value` as a plain text.
    pub fn names_literally(&self, path: &[&str], value: &str) -> bool {
        let _ = (path, value);
        unimplemented!()
    }
}
