//! Words of a command line, as a POSIX shell reads them, and fish.

/// The word in single quotes, within which nothing has a meaning.
pub(crate) fn quoted(word: &str) -> String {
    // A single quote cannot stand within single quotes, nor, for fish, can a backslash: close, escape one, open again.
    let mut quoted = String::from("'");
    for char in word.chars() {
        match char {
            '\'' | '\\' => quoted.extend(["'\\", char.encode_utf8(&mut [0; 4]), "'"]),
            _ => quoted.push(char),
        }
    }
    quoted + "'"
}

/// The word as a person would type it: in quotes only where it needs them.
pub(crate) fn typed(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { quoted(word) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_it_needs_it() {
        for plain in ["cases/one-minute.toml", "/home/me/drain_nicely/../x", "--seeds", "a,b:c@d%e+f"] {
            assert_eq!(typed(plain), plain);
        }
        for (word, expected) in [
            ("", "''"),
            ("my cases/late.toml", "'my cases/late.toml'"),
            ("~/cases", "'~/cases'"),
            ("it's", r"'it'\''s'"),
            (r"a\b", r"'a'\\'b'"),
            (r"\' ; reboot #", r"''\\''\'' ; reboot #'"),
            ("a;b", "'a;b'"),
            ("$HOME", "'$HOME'"),
            ("*.toml", "'*.toml'"),
            ("caf\u{e9}", "'caf\u{e9}'"),
        ] {
            assert_eq!(typed(word), expected);
        }
    }
}
