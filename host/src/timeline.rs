//! What happened in a simulated run, told in the order of its virtual clock.
//!
//! Owns how a run is shown to people: as lines of text, and as a page with a picture. Knows nothing of how the run came about.

mod end;
mod html;
mod text;

use std::time::Duration;

pub use self::end::words;
pub use self::html::{Handled, Run, html};
pub use self::text::text;
use crate::sim::Line;

/// `mm:ss.mmm` since the run began; hours when there are any.
pub fn clock(at: Duration) -> String {
    let (seconds, milliseconds) = (at.as_secs(), at.subsec_millis());
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}.{milliseconds:03}")
    } else {
        format!("{minutes:02}:{seconds:02}.{milliseconds:03}")
    }
}

/// What every line of a run would repeat, and what is different in every run.
const LEFT_OUT: [&str; 8] =
    ["event", "handler", "kind", "instance", "cpu_ms", "wall_ms", "milliseconds", "peak_memory"];

/// What else a line of the host tells, as `name=value`.
fn rest(line: &Line) -> String {
    let fields = line.fields.iter().filter(|(name, _)| !LEFT_OUT.contains(name));
    fields.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_has_hours_when_there_are_any() {
        let shown = |milliseconds| clock(Duration::from_millis(milliseconds));
        assert_eq!([shown(0), shown(61_005), shown(3_599_999)], ["00:00.000", "01:01.005", "59:59.999"]);
        assert_eq!([shown(3_600_000), shown(360_000_000)], ["1:00:00.000", "100:00:00.000"]);
    }
}
