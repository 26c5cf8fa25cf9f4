//! The sweep's own door: a timer, in the agent. In Lambda the schedule of an EventBridge rule is the timer.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::vitals::Pulse;
use crate::event::Event;
use crate::sweep::{Sweep, SweepError, Swept};

/// How often it is looked for ends that need not be kept any longer.
const TIDY_EVERY: Duration = Duration::from_secs(60 * 60);

/// How long after the start the first round is: what was under way has come back by then.
const FIRST: Duration = Duration::from_secs(5);

/// What the timer runs.
pub struct Sweeper {
    /// What looks.
    pub sweep: Sweep,
    /// `sweep.every`: how often.
    pub every: Duration,
    /// `ledger.keep`: how long ends are kept.
    pub keep: Duration,
    /// Beats at each round.
    pub pulse: Pulse,
}

impl Sweeper {
    /// How often the pulse beats at least: a round over thousands of instances takes its time.
    pub fn turns_within(every: Duration) -> Duration {
        every * 2 + Duration::from_secs(300)
    }

    /// Looks again and again, for as long as it is polled.
    pub async fn run(self) {
        let mut rounds = interval_at(Instant::now() + FIRST, self.every);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tidied: Option<Instant> = None;
        loop {
            self.pulse.beat();
            rounds.tick().await;
            let _ = round(&self.sweep).await;
            if tidied.is_none_or(|at| at.elapsed() >= TIDY_EVERY) {
                tidied = Some(Instant::now());
                tidy(&self.sweep, self.keep).await;
            }
        }
    }
}

/// One round, whose failure is said.
pub async fn round(sweep: &Sweep) -> Result<Swept, SweepError> {
    let swept = sweep.round().await;
    if let Err(error) = &swept {
        tracing::error!(%error, "the next round tries again");
    }
    swept
}

/// Removes what has ended long ago.
pub async fn tidy(sweep: &Sweep, keep: Duration) {
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    match sweep.dispatch.ledger.sweep_ended(keep).await {
        Ok(0) => {}
        Ok(removed) => {
            tracing::info!(removed, "ended work that need not be kept any longer was removed from the ledger")
        }
        Err(error) => tracing::warn!(%error, "ended work could not be removed from the ledger"),
    }
}

/// Whether an event is the schedule that says when to sweep: EventBridge's own, for a rule with a rate.
pub fn is_schedule(event: &Event) -> bool {
    event.source == "aws.events" && event.detail_type == "Scheduled Event"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Message, parse_message};
    use crate::testing::terminating;

    #[test]
    fn the_schedule_of_a_rule_is_told_from_what_happens_to_instances() {
        let scheduled = r#"{"version":"0","id":"53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa","detail-type":"Scheduled Event",
            "source":"aws.events","account":"123456789012","time":"2026-01-15T03:00:00Z","region":"eu-central-1",
            "resources":["arn:aws:events:eu-central-1:123456789012:rule/sweep"],"detail":{}}"#;
        let Ok(Message::Events(events)) = parse_message(scheduled.as_bytes(), None) else { panic!("not an event") };
        assert!(is_schedule(&events[0]));
        assert!(!is_schedule(&terminating()));
    }
}
