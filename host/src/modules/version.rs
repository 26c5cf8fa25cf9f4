//! The version that a signer gives to a module: what makes one newer than another.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The most numbers a version has.
const PARTS: usize = 4;

/// The Unix times that a version is likely to be, in seconds: from 2001 to 2286.
const TIMES: std::ops::Range<u64> = 1_000_000_000..10_000_000_000;

/// One to four numbers, divided by dots, of which the first counts most: `7`, `1.4.2`, or the seconds of a Unix time.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    text: String,
    parts: [u64; PARTS],
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a version is one to four whole numbers with dots between them, such as 7 or 1.4.2")]
pub struct NoVersion;

impl Version {
    /// The time that it looks like: that of a signature to which nobody gave a version.
    pub fn as_time(&self) -> Option<Timestamp> {
        let seconds = self.parts[0];
        let is_time = TIMES.contains(&seconds) && !self.text.contains('.');
        is_time.then(|| Timestamp::from_second(seconds.try_into().ok()?).ok()).flatten()
    }
}

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let mut parts = [0; PARTS];
        for (place, part) in text.split('.').enumerate() {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.then(|| part.parse().ok()).flatten();
            *parts.get_mut(place).ok_or(NoVersion)? = number.ok_or(NoVersion)?;
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

impl TryFrom<String> for Version {
    type Error = NoVersion;

    fn try_from(text: String) -> Result<Self, NoVersion> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.text
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `1.4` and `1.4.0` are the same.
impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts.cmp(&other.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let rising = ["0", "7", "7.0.1", "7.1", "7.10", "10", "10.0.0.1", "1795690062", "18446744073709551615"];
        assert!(rising.map(version).is_sorted_by(|before, after| before < after));
        assert_eq!(version("1.4"), version("1.4.0.0"));
        assert_eq!(version("01.4").to_string(), "01.4");
    }

    #[test]
    fn a_version_that_nobody_has_given_is_told_as_a_time() {
        assert_eq!(version("1768446000").as_time(), "2026-01-15T03:00:00Z".parse().ok());
        for text in ["1.4.2", "7", "1768446000.1", "20260115030000", "18446744073709551615"] {
            assert_eq!(version(text).as_time(), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_version_is_an_error() {
        for text in
            ["", ".", "1.", ".1", "1..2", "1.2.3.4.5", "v1", "1.2-rc1", "-1", "+1", "1 ", "18446744073709551616", "١"]
        {
            assert_eq!(text.parse::<Version>(), Err(NoVersion), "{text:?}");
        }
    }
}
