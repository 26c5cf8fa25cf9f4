//! The time axis: from virtual time to a place in the picture, and the instants that are written below it.

use std::time::Duration;

/// The room left of the first instant, so that what stands there is whole. In pixels, like all of the picture.
const BEFORE: f64 = 40.0;

/// The room right of the last instant: much happens there, and is to be read.
const AFTER: f64 = 150.0;

/// The least room for a tick with its text.
const TICK: f64 = 84.0;

/// The steps that people read easily, in milliseconds: up to half a second, half a minute, half an hour, and then days.
const STEPS: [u64; 27] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000,
    900_000, 1_800_000, 3_600_000, 7_200_000, 10_800_000, 21_600_000, 43_200_000, DAY,
];

const DAY: u64 = 86_400_000;

/// How time is spread over the picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    span: Duration,
    width: f64,
}

impl Axis {
    /// An axis from zero to `end`. A run that takes no time at all gets a millisecond.
    pub(super) fn new(end: Duration, width: f64) -> Self {
        Self { span: end.max(Duration::from_millis(1)), width }
    }

    /// How wide the picture is.
    pub(super) fn width(&self) -> f64 {
        self.width
    }

    /// Where an instant is.
    pub(super) fn x(&self, at: Duration) -> f64 {
        BEFORE + at.as_secs_f64() / self.span.as_secs_f64() * self.length()
    }

    /// From the first instant to the last.
    pub(super) fn length(&self) -> f64 {
        self.width - BEFORE - AFTER
    }

    /// How far apart the ticks are: the shortest step that leaves each its room.
    pub(super) fn step(&self) -> Duration {
        let least = self.span.as_secs_f64() * 1e3 / (self.length() / TICK);
        let days = (1..).map(|days| days * DAY);
        let mut steps = STEPS.into_iter().chain(days);
        // A span has an end, so some number of days is enough; the rest is for the compiler.
        Duration::from_millis(steps.find(|step| *step as f64 >= least).unwrap_or(u64::MAX))
    }

    /// The instants to write down: every step, and the end.
    pub(super) fn ticks(&self) -> impl Iterator<Item = Duration> {
        let (axis, step, end) = (*self, self.step(), self.span);
        let is_apart = move |at: &Duration| axis.x(*at) + TICK <= axis.x(end);
        (0..).map_while(move |count| step.checked_mul(count).filter(is_apart)).chain([end])
    }
}

/// A duration for people, in hours, minutes, seconds and milliseconds, as far as there are any.
pub(super) fn brief(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(duration.subsec_millis()), "ms"),
    ];
    let told: Vec<_> =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number}{unit}")).collect();
    if told.is_empty() { "0".to_owned() } else { told.join(" ") }
}
