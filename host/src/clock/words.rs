//! Times as people say them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A length of time in one unit, in three characters at most unless it is months: `12s`, `48m`, `30h`, `3d`.
pub(crate) fn brief(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0);
    match seconds {
        0..100 => format!("{seconds}s"),
        100..6_000 => format!("{}m", seconds / 60),
        6_000..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A length of time in sentences, in whole units: `7 days`, `1 hour 30 minutes`, `20 seconds`. What is shorter than a second is left out.
pub(crate) fn long(length: Duration) -> String {
    let seconds = length.as_secs();
    let units = [
        ("day", seconds / 86_400),
        ("hour", seconds / 3_600 % 24),
        ("minute", seconds / 60 % 60),
        ("second", seconds % 60),
    ];
    let said = units.into_iter().filter(|(_, count)| *count > 0).map(|(unit, count)| match count {
        1 => format!("1 {unit}"),
        _ => format!("{count} {unit}s"),
    });
    let said = said.collect::<Vec<_>>().join(" ");
    if said.is_empty() { "0 seconds".to_owned() } else { said }
}

/// `in 12s`, `12s ago` or, within a second, `just now`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    let ahead = at.duration_since(now);
    match ahead.as_secs() {
        0 => "just now".to_owned(),
        1.. => format!("in {}", brief(ahead)),
        _ => format!("{} ago", brief(-ahead)),
    }
}

/// When something is due: `in 12s`, or `now` as well if it was due before.
pub(crate) fn due(at: Timestamp, now: Timestamp) -> String {
    if at.duration_since(now).as_secs() <= 0 { "now".to_owned() } else { relative(at, now) }
}

/// An instant to the second, such as `2026-01-15T03:00:01Z`.
pub(crate) fn to_the_second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::START;

    #[test]
    fn lengths_have_one_unit_and_two_digits() {
        let told = [0, 99, 100, 5_999, 6_000, 172_799, 172_800, 8_640_000];
        let told = told.map(|seconds| brief(SignedDuration::from_secs(seconds)));
        assert_eq!(told, ["0s", "99s", "1m", "99m", "1h", "47h", "2d", "100d"]);
        assert_eq!(brief(SignedDuration::from_secs(-1)), "0s");
    }

    #[test]
    fn in_sentences_lengths_have_words_for_units() {
        let told = [0, 1, 20, 60, 5_400, 86_400, 604_800, 694_861].map(|seconds| long(Duration::from_secs(seconds)));
        assert_eq!(
            told,
            [
                "0 seconds",
                "1 second",
                "20 seconds",
                "1 minute",
                "1 hour 30 minutes",
                "1 day",
                "7 days",
                "8 days 1 hour 1 minute 1 second"
            ]
        );
    }

    #[test]
    fn what_is_ahead_is_told_from_what_is_past() {
        let now: Timestamp = START.parse().unwrap();
        let at = |seconds| now + SignedDuration::from_secs(seconds);
        assert_eq!(
            [relative(at(12), now), relative(now, now), relative(at(-12), now)],
            ["in 12s", "just now", "12s ago"]
        );
        assert_eq!([due(at(12), now), due(at(0), now), due(at(-12), now)], ["in 12s", "now", "now"]);
        assert_eq!(to_the_second(at(1) + SignedDuration::from_millis(7)), "2026-01-15T03:00:01Z");
    }
}
