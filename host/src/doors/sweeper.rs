//! The sweep's own door: a timer, in the agent. In Lambda the schedule of an EventBridge rule is the timer.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::vitals::{Pulse, Readiness};
use crate::dispatch::Dispatch;
use crate::event::Event;
use crate::ledger::Ledger;
use crate::sweep::{Sweep, SweepError, Swept};

/// How often it is looked for ends that need not be kept any longer.
const TIDY_EVERY: Duration = Duration::from_secs(60 * 60);

/// How long after the start the first round is, at the earliest: what was under way has come back by then.
const FIRST: Duration = Duration::from_secs(5);

/// What is allowed for a round over thousands of instances, of which Auto Scaling tells fifty at a time, and a tenth as fast as usual when it
/// is pressed.
const LONG_ROUND: Duration = Duration::from_secs(30 * 60);

/// What the timer runs.
pub struct Sweeper {
    /// What looks.
    pub sweep: Sweep,
    /// `sweep.every`: how often.
    pub every: Duration,
    /// Beats at each round.
    pub pulse: Pulse,
    /// Whether the last round could look at all.
    pub readiness: Readiness,
}

impl Sweeper {
    /// How often the pulse beats at least.
    pub fn turns_within(every: Duration) -> Duration {
        every * 2 + LONG_ROUND
    }

    /// Looks again and again, for as long as it is polled.
    pub async fn run(self) {
        // Nobody waits for the first round.
        self.readiness.ready();
        let mut rounds = rounds(self.every);
        loop {
            self.pulse.beat();
            rounds.tick().await;
            match round(&self.sweep).await {
                Ok(_) => self.readiness.ready(),
                Err(error) => self.readiness.not_ready(error.to_string()),
            }
        }
    }
}

/// The timer that lets go of ends, of every agent that has a ledger: also of one that sweeps nothing.
pub struct Tidier {
    /// Whose ledger.
    pub dispatch: Arc<Dispatch>,
    /// `ledger.keep`: how long ends are kept.
    pub keep: Duration,
    /// Beats at each round.
    pub pulse: Pulse,
}

impl Tidier {
    /// How often the pulse beats at least.
    pub const TURNS_WITHIN: Duration = Duration::from_secs(2 * TIDY_EVERY.as_secs() + LONG_ROUND.as_secs());

    /// Removes again and again what has ended long ago, for as long as it is polled.
    pub async fn run(self) {
        let mut rounds = rounds(TIDY_EVERY);
        loop {
            self.pulse.beat();
            rounds.tick().await;
            tidy(&self.dispatch.ledger, self.keep).await;
        }
    }
}

/// The times of rounds: not in step with those of other agents, which may all have been started together.
fn rounds(every: Duration) -> Interval {
    let first = FIRST + rand::rng().random_range(Duration::ZERO..=every / 10);
    let mut rounds = interval_at(Instant::now() + first, every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rounds
}

/// One round, whose failure is said.
pub async fn round(sweep: &Sweep) -> Result<Swept, SweepError> {
    let swept = sweep.round().await;
    if let Err(error) = &swept {
        tracing::error!(%error, "not swept; the next round tries again");
    }
    swept
}

/// Removes what has ended long ago.
pub async fn tidy(ledger: &Ledger, keep: Duration) {
    match ledger.sweep_ended(keep).await {
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
    use crate::dispatch::tests::host;
    use crate::dispatch::{End, Step};
    use crate::doors::vitals::Vitals;
    use crate::event::{Message, parse_message};
    use crate::ports::InstanceId;
    use crate::testing::{INSTANCE, guests, terminating};

    #[tokio::test(start_paused = true)]
    async fn agents_that_start_together_do_not_sweep_in_step() {
        let every = Duration::from_secs(60);
        let mut firsts = Vec::new();
        for _ in 0..20 {
            let start = Instant::now();
            firsts.push(rounds(every).tick().await - start);
        }
        assert!(firsts.iter().all(|first| (FIRST..=FIRST + every / 10).contains(first)), "{firsts:?}");
        assert!(firsts.iter().any(|first| *first != firsts[0]), "{firsts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn ends_are_let_go_of_in_their_time_by_an_agent_that_sweeps_nothing() {
        let dispatch = Arc::new(host(Some(guests::done()), "").dispatch);
        let stepped = dispatch.step(&terminating(), None).await;
        assert!(matches!(stepped, Ok(Step::Ended(End::Worked(_)))), "{stepped:?}");
        let keep = Duration::from_secs(3 * 3600);
        let pulse = Vitals::default().pulse("tidy", Tidier::TURNS_WITHIN);
        let tidier = tokio::spawn(Tidier { dispatch: Arc::clone(&dispatch), keep, pulse }.run());
        let instance = InstanceId::parse(INSTANCE).unwrap();
        for (hours, kept) in [(2, 1), (3, 0)] {
            tokio::time::sleep(Duration::from_secs(hours * 3600)).await;
            assert_eq!(dispatch.ledger.ended(&instance).await.unwrap().items.len(), kept);
        }
        tidier.abort();
    }

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
