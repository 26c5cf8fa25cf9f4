//! `--wait`: until what was ordered has been carried out, or the time is over. Time is tokio's.

use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep_until};

use super::desk::Refusal;
use crate::reading::units::Time;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(2);

/// Whether to wait, and for how long.
#[derive(Debug, Args)]
pub(super) struct Wait {
    /// Wait until it has been carried out, for so long at most
    #[arg(
        id = "wait",
        long = "wait",
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "5m",
        value_parser = |text: &str| Time::parse(text).map(|time| time.0)
    )]
    pub(super) at_most: Option<Duration>,
}

/// Looks every few seconds until there is something to see; none when that has not come in time.
pub(super) async fn until<T>(
    at_most: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>, Refusal>,
) -> Result<Option<T>, Refusal> {
    // What is too far away for a clock is as good as never.
    let ends = Instant::now().checked_add(at_most);
    loop {
        if let Some(seen) = look().await? {
            return Ok(Some(seen));
        }
        let now = Instant::now();
        if ends.is_some_and(|ends| ends <= now) {
            return Ok(None);
        }
        let next = now + EVERY;
        sleep_until(ends.map_or(next, |ends| ends.min(next))).await;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        wait: Wait,
    }

    fn parsed(arguments: &[&str]) -> Result<Option<Duration>, String> {
        let parsed = Cli::try_parse_from(["finish"].iter().chain(arguments));
        parsed.map(|cli| cli.wait.at_most).map_err(|error| error.to_string())
    }

    #[test]
    fn it_waits_for_a_while_or_as_long_as_is_said() {
        assert_eq!(parsed(&[]), Ok(None));
        assert_eq!(parsed(&["--wait"]), Ok(Some(Duration::from_secs(300))));
        assert_eq!(parsed(&["--wait=90s"]), Ok(Some(Duration::from_secs(90))));
        let error = parsed(&["--wait=90"]).unwrap_err();
        insta::assert_snapshot!(error.lines().next().unwrap_or_default(), @r#"error: invalid value '90' for '--wait[=<DURATION>]': "90" is not a time: write a number with its unit, such as "60s", "500ms" or "1h""#);
    }

    #[tokio::test(start_paused = true)]
    async fn it_looks_once_more_when_the_time_is_over() {
        let began = Instant::now();
        let mut looks = Vec::new();
        let seen = until(Duration::from_secs(5), async || {
            looks.push(began.elapsed().as_secs());
            Ok(None::<()>)
        });
        assert!(matches!(seen.await, Ok(None)));
        assert_eq!(looks, [0, 2, 4, 5]);
    }
}
