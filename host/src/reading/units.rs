//! Times and sizes as a policy writes them: a number with its unit, never bare.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// In seconds.
const DAY: u64 = 24 * 3600;

/// A time, such as `"60s"` or `"1h 30m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(pub(crate) Duration);

/// A size in bytes, such as `"64MiB"` or `"500kB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

impl Time {
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map(Self).map_err(|_| {
            format!(r#"{text:?} is not a time: write a number with its unit, such as "60s", "500ms" or "1h""#)
        })
    }
}

impl Size {
    pub(crate) const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    pub(crate) const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let bare = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<ByteSize>().ok().filter(|_| !bare).map(|size| Self(size.0)).ok_or_else(|| {
            format!(r#"{text:?} is not a size: write a number with its unit, such as "64MiB" or "500kB""#)
        })
    }
}

impl fmt::Display for Time {
    /// In no unit above the day: months and years are averages, in which `365d` has hours and minutes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.as_secs() / DAY;
        let rest = self.0 - Duration::from_secs(days * DAY);
        match days {
            0 | 1 => humantime::format_duration(self.0).fmt(f),
            _ if rest.is_zero() => write!(f, "{days}days"),
            _ => write!(f, "{days}days {}", humantime::format_duration(rest)),
        }
    }
}

impl fmt::Display for Size {
    /// Exact: in the largest binary unit that leaves no fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shift, unit) = match self.0.trailing_zeros() {
            30..64 => (30, "GiB"),
            20..30 => (20, "MiB"),
            10..20 => (10, "KiB"),
            _ => (0, "B"),
        };
        write!(f, "{}{unit}", self.0 >> shift)
    }
}

/// Accepts a text that `parse` accepts, and says to a bare number what it should have been.
struct WithUnit<T> {
    parse: fn(&str) -> Result<T, String>,
    what: &'static str,
    unit: &'static str,
}

impl<T> Visitor<'_> for WithUnit<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"a {} with its unit, such as "60{}""#, self.what, self.unit)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        Err(bare(self.what, number, self.unit))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        Err(bare(self.what, number, self.unit))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        Err(bare(self.what, number, self.unit))
    }
}

fn bare<E: de::Error>(what: &str, number: impl fmt::Display, unit: &str) -> E {
    E::custom(format!(r#"the bare number {number} is not a {what}: give it a unit, such as "{number}{unit}""#))
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WithUnit { parse: Self::parse, what: "time", unit: "s" })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WithUnit { parse: Self::parse, what: "size", unit: "MiB" })
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A time with its unit: ms, s, m, h, d, or several of them.",
            "pattern": r"^\s*(\d+\s*[a-zA-Z]+\s*)+$",
            "examples": ["500ms", "60s", "1h 30m"],
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A size with its unit: B, kB, MB, GB, or KiB, MiB, GiB.",
            "pattern": r"^\d+(\.\d+)?\s*[a-zA-Z]+$",
            "examples": ["64MiB", "500kB"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(Time::parse("1h 30m"), Ok(Time::seconds(5400)));
        assert_eq!(Time::parse("0s"), Ok(Time::seconds(0)));
        assert_eq!(Size::parse("64MiB"), Ok(Size::mib(64)));
        assert_eq!(Size::parse("64 KiB"), Ok(Size::kib(64)));
        assert_eq!(Size::parse("2kB"), Ok(Size(2000)));
        for bad in ["", "60", "-1s", "s", "1 fortnight", "99999999999999999999999s"] {
            assert!(Time::parse(bad).is_err(), "{bad:?} passed for a time");
        }
        for bad in ["", "64", "-1MiB", "MiB", "64 parsecs"] {
            assert!(Size::parse(bad).is_err(), "{bad:?} passed for a size");
        }
    }

    #[test]
    fn they_are_shown_exactly_as_they_are_written() {
        for text in ["15m", "1day 1s", "45days", "365days", "7days 1h 30m"] {
            assert_eq!(Time::parse(text).unwrap().to_string(), text);
        }
        for text in ["1GiB", "64MiB", "100KiB", "1001B", "0B"] {
            assert_eq!(Size::parse(text).unwrap().to_string(), text);
        }
    }
}
