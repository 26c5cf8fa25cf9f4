//! Texts with `*` in them: the one wildcard of cluster names, group names and EventBridge patterns.

/// Literal text with `*` for any run of characters, empty ones included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wildcard {
    /// The literal parts between the stars, so one more than there are stars. Never empty.
    parts: Vec<String>,
}

impl Wildcard {
    /// Reads a name, in which `*` is the only character with a meaning.
    pub(crate) fn name(text: &str) -> Self {
        Self { parts: text.split('*').map(str::to_owned).collect() }
    }

    /// Reads EventBridge's `wildcard`: `\*` and `\\` are literal, and stars may not follow each other.
    pub(crate) fn event_bridge(text: &str) -> Result<Self, String> {
        let mut parts = vec![String::new()];
        let mut part = String::new();
        let mut star = false;
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            if char == '*' {
                if star {
                    return Err(format!(
                        "wildcard {text:?} has two stars in a row, which EventBridge refuses: write one"
                    ));
                }
                commit(&mut parts, &mut part);
                parts.push(String::new());
                star = true;
                continue;
            }
            star = false;
            match (char, if char == '\\' { chars.next() } else { None }) {
                ('\\', Some(escaped @ ('*' | '\\'))) => part.push(escaped),
                ('\\', _) => {
                    return Err(format!(
                        r"wildcard {text:?} has a backslash that escapes nothing: write \* for a star and \\ for a backslash, in single quotes ('…')"
                    ));
                }
                _ => part.push(char),
            }
        }
        commit(&mut parts, &mut part);
        Ok(Self { parts })
    }

    /// Whether all of `text` matches. Linear in its length: texts come from events, which others write.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.parts.split_first() else { return false };
        let Some((last, middle)) = rest.split_last() else { return text == first };
        let Some(mut text) = text.strip_prefix(first.as_str()).and_then(|text| text.strip_suffix(last.as_str())) else {
            return false;
        };
        // The leftmost place is always as good as any later one, so no place is ever looked at twice.
        for part in middle {
            let Some(found) = text.find(part.as_str()) else { return false };
            text = &text[found + part.len()..];
        }
        true
    }
}

/// Ends the part being read.
fn commit(parts: &mut [String], part: &mut String) {
    if let Some(last) = parts.last_mut() {
        last.push_str(part);
    }
    part.clear();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, by brute force.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            Some((char, rest)) => text.split_first().is_some_and(|(first, tail)| first == char && naive(rest, tail)),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*é]{0,8}", text in "[abé]{0,12}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Wildcard::name(&pattern).matches(&text), naive(&chars(&pattern), &chars(&text)));
            if let Ok(wildcard) = Wildcard::event_bridge(&pattern) {
                prop_assert_eq!(wildcard.matches(&text), naive(&chars(&pattern), &chars(&text)));
            } else {
                prop_assert!(pattern.contains("**"));
            }
        }
    }

    #[test]
    fn escapes_are_eventbridges() {
        let matches = |pattern, text| Wildcard::event_bridge(pattern).unwrap().matches(text);
        assert!(matches(r"a\*b", "a*b") && !matches(r"a\*b", "axb"));
        assert!(matches(r"a\\*", r"a\b") && !matches(r"a\\*", "ab"));
        assert!(matches(r"*\**", "x*y") && !matches(r"*\**", "xy"));
    }

    #[test]
    fn what_eventbridge_refuses_is_refused() {
        insta::assert_snapshot!(Wildcard::event_bridge("a**b").unwrap_err(), @r#"wildcard "a**b" has two stars in a row, which EventBridge refuses: write one"#);
        insta::assert_snapshot!(Wildcard::event_bridge(r"a\b").unwrap_err(), @r#"wildcard "a\\b" has a backslash that escapes nothing: write \* for a star and \\ for a backslash, in single quotes ('…')"#);
        assert!(Wildcard::event_bridge("a\\").is_err());
    }

    #[test]
    fn a_hostile_text_costs_no_more_than_its_length() {
        let pattern = Wildcard::name(&"a*".repeat(50));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(49))));
        let late = Wildcard::name("*a*a*a*a*a*a*a*a*a*a*a*a*c");
        assert!(!late.matches(&"a".repeat(300_000)));
    }
}
