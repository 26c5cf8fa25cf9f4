//! Instants and durations, read and written for people.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant, to the millisecond. Written as `2026-01-31T12:00:00Z`.
///
/// ```
/// # use hostler_plugin::prelude::*;
/// let time = Time::from_unix_milliseconds(1_700_000_000_000);
/// assert_eq!(time.to_string(), "2023-11-14T22:13:20Z");
/// assert_eq!((time + Duration::from_secs(90)).since(time), Duration::from_secs(90));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// From milliseconds since 1970 (UTC), the contract's unit.
    pub const fn from_unix_milliseconds(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// In milliseconds since 1970 (UTC).
    pub const fn unix_milliseconds(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is before.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Never overflows: the far future is the far future.
impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Never before 1970.
impl Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Days since 1970 as year, month and day of the Gregorian calendar.
///
/// Years are counted from March here, so that the leap day is the last of its year; an era is 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The units of a duration, largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A duration for people: `1h 5m`, `2m`, `45s`, `0s`. Whole seconds, and no seconds from an hour on.
pub fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let shown: Vec<String> = parts
        .iter()
        .filter(|(number, unit)| *number > 0 && !(*unit == "s" && seconds >= 3600))
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if shown.is_empty() { "0s".to_owned() } else { shown.join(" ") }
}

/// Reads a duration such as `30s`, `2m`, `1h 30m` or `500ms`. A bare number is an error: it could be anything.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is not a duration: write numbers with units, such as \"90s\", \"2m\" or \"1h 30m\"");
    let mut milliseconds: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let part = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .and_then(|(_, size)| number.parse::<u64>().ok()?.checked_mul(*size))
            .ok_or_else(wrong)?;
        milliseconds = milliseconds.checked_add(part).ok_or_else(wrong)?;
        rest = tail.trim_start();
    }
    Ok(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_in_utc() {
        let written = |seconds: u64| Time::from_unix_milliseconds(seconds * 1000).to_string();
        assert_eq!(written(0), "1970-01-01T00:00:00Z");
        assert_eq!(written(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(written(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(written(1_709_164_800), "2024-02-29T00:00:00Z");
        assert_eq!(written(4_107_542_400), "2100-03-01T00:00:00Z");
        assert_eq!(written(1_767_225_599), "2025-12-31T23:59:59Z");
        assert!(!Time::from_unix_milliseconds(u64::MAX).to_string().is_empty());
    }

    #[test]
    fn instants_saturate() {
        assert_eq!(Time::default() - Duration::from_secs(1), Time::default());
        assert_eq!((Time::default() + Duration::MAX).unix_milliseconds(), u64::MAX);
        assert_eq!(Time::default().since(Time::from_unix_milliseconds(5)), Duration::ZERO);
    }

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, seconds) in
            [("0s", 0), ("30s", 30), ("2m", 120), ("1h 30m", 5400), ("1h30m", 5400), (" 1d ", 86_400)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn what_is_not_a_duration_is_quoted() {
        for text in [
            "",
            " ",
            "2",
            "s",
            "-1s",
            "2 m",
            "1.5h",
            "2min",
            "2m,",
            "2µs",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            let message = parse_duration(text).unwrap_err();
            assert_eq!(
                message,
                format!("{text:?} is not a duration: write numbers with units, such as \"90s\", \"2m\" or \"1h 30m\"")
            );
        }
    }

    #[test]
    fn durations_are_written_short() {
        for (seconds, text) in [(0, "0s"), (45, "45s"), (120, "2m"), (125, "2m 5s"), (3905, "1h 5m"), (90_000, "1d 1h")]
        {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
        assert_eq!(short(Duration::from_millis(1999)), "1s");
    }
}
