//! The name of a new plugin: one that cargo, rustc and a policy all take.

/// A name that has been found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(String);

/// Why a text is not the name of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameError {
    /// There is nothing.
    #[error("the name is empty: call the plugin after what it does, such as drain-web")]
    Empty,
    /// A policy's names end there.
    #[error("the name has {0} characters: use at most {MOST_CHARS}")]
    TooLong(usize),
    /// It is a path.
    #[error("{0:?} has a {1:?} in it: a name is no path; say where to make the plugin with --path DIR")]
    Path(String, char),
    /// A character that no crate's name has, or that rustc warns of.
    #[error("{0:?} has a {1:?} in it: use lower-case letters, digits, - and _")]
    Character(String, char),
    /// Cargo takes letters only.
    #[error("{0:?} begins with {1:?}: begin with a lower-case letter")]
    Begin(String, char),
    /// A word of the language.
    #[error("{0:?} is a keyword of Rust, which no crate can be called: try {0}-plugin")]
    Keyword(String),
    /// A crate of Rust itself, or the SDK.
    #[error("{0:?} is the name of a crate that every plugin has already: try my-{0}")]
    Taken(String),
}

/// What a policy takes as the name of a handler.
const MOST_CHARS: usize = 64;

/// The Rust Reference, "Keywords": strict and reserved, of edition 2024.
const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// As crates are named in code, with `_` for `-`.
const TAKEN: [&str; 6] = ["alloc", "core", "hostler_plugin", "proc_macro", "std", "test"];

impl Name {
    /// Reads a name, or says what is wrong with it.
    pub(super) fn new(text: &str) -> Result<Self, NameError> {
        let name = || text.to_owned();
        let first = text.chars().next().ok_or(NameError::Empty)?;
        if let Some(separator) = text.chars().find(|char| matches!(char, '/' | '\\')) {
            return Err(NameError::Path(name(), separator));
        }
        let good = |char: char| matches!(char, 'a'..='z' | '0'..='9' | '-' | '_');
        if let Some(bad) = text.chars().find(|char| !good(*char)) {
            return Err(NameError::Character(name(), bad));
        }
        if !first.is_ascii_lowercase() {
            return Err(NameError::Begin(name(), first));
        }
        if text.len() > MOST_CHARS {
            return Err(NameError::TooLong(text.len()));
        }
        if KEYWORDS.contains(&text) {
            return Err(NameError::Keyword(name()));
        }
        if TAKEN.contains(&text.replace('-', "_").as_str()) {
            return Err(NameError::Taken(name()));
        }
        Ok(Self(name()))
    }

    /// The name.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Name::new(text).unwrap_err().to_string()
    }

    #[test]
    fn names_of_crates_are_taken() {
        for name in ["a", "drain-web", "drain_web2", "unions", "tests", "stdlib", &"x".repeat(64)] {
            assert_eq!(Name::new(name).map(|name| name.0), Ok(name.to_owned()));
        }
    }

    #[test]
    fn other_names_are_told_what_is_wrong() {
        insta::assert_snapshot!(error(""), @"the name is empty: call the plugin after what it does, such as drain-web");
        insta::assert_snapshot!(error("../drain"), @r#""../drain" has a '/' in it: a name is no path; say where to make the plugin with --path DIR"#);
        insta::assert_snapshot!(error("drain web"), @r#""drain web" has a ' ' in it: use lower-case letters, digits, - and _"#);
        insta::assert_snapshot!(error("Drain"), @r#""Drain" has a 'D' in it: use lower-case letters, digits, - and _"#);
        insta::assert_snapshot!(error("drän\u{1b}"), @r#""drän\u{1b}" has a 'ä' in it: use lower-case letters, digits, - and _"#);
        insta::assert_snapshot!(error("2drain"), @r#""2drain" begins with '2': begin with a lower-case letter"#);
        insta::assert_snapshot!(error("--drain"), @r#""--drain" begins with '-': begin with a lower-case letter"#);
        insta::assert_snapshot!(error("async"), @r#""async" is a keyword of Rust, which no crate can be called: try async-plugin"#);
        insta::assert_snapshot!(error("test"), @r#""test" is the name of a crate that every plugin has already: try my-test"#);
        insta::assert_snapshot!(error("hostler-plugin"), @r#""hostler-plugin" is the name of a crate that every plugin has already: try my-hostler-plugin"#);
        insta::assert_snapshot!(error(&"x".repeat(65)), @"the name has 65 characters: use at most 64");
    }
}
