//! How the parts of an agent say that they are alive and that they can work, and how that is read.
//!
//! Knows nothing of HTTP. Time is tokio's.

use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// What all parts say of themselves. Put together at start; after that only read.
#[derive(Debug, Default)]
pub struct Vitals {
    loops: Vec<Loop>,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Loop {
    name: &'static str,
    turns_within: Duration,
    turned: watch::Receiver<Instant>,
}

#[derive(Debug)]
struct Part {
    name: &'static str,
    hindrance: watch::Receiver<Option<String>>,
}

impl Vitals {
    /// For the loop called `name`, which beats at each turn: at the latest `turns_within` after the last. Begins to count now.
    pub fn pulse(&mut self, name: &'static str, turns_within: Duration) -> Pulse {
        let (beat, turned) = watch::channel(Instant::now());
        self.loops.push(Loop { name, turns_within, turned });
        Pulse(beat)
    }

    /// For the part called `name`, which is not ready until it says so.
    pub fn readiness(&mut self, name: &'static str) -> Readiness {
        let (say, hindrance) = watch::channel(Some("it has not said yet that it is ready".to_owned()));
        self.parts.push(Part { name, hindrance });
        Readiness(say)
    }

    /// A line for each loop that has stopped turning.
    pub fn stopped(&self) -> Vec<String> {
        let late = |one: &Loop| {
            let still = one.turned.borrow().elapsed();
            let within = one.turns_within;
            (still > within).then(|| {
                format!("{}: its loop last turned {still:.0?} ago, and has to turn every {within:.0?}", one.name)
            })
        };
        self.loops.iter().filter_map(late).collect()
    }

    /// Ends when every part has said that it can work.
    pub async fn ready(&self) {
        for part in &self.parts {
            // One that is gone says nothing any more: why, its door tells.
            if part.hindrance.clone().wait_for(Option::is_none).await.is_err() {
                return pending().await;
            }
        }
    }

    /// A line for each part that cannot work at the moment.
    pub fn unready(&self) -> Vec<String> {
        let hindered = |part: &Part| part.hindrance.borrow().as_ref().map(|why| format!("{}: {why}", part.name));
        self.parts.iter().filter_map(hindered).collect()
    }
}

/// Says that a loop turns. What is dropped beats no more.
#[derive(Debug)]
pub struct Pulse(watch::Sender<Instant>);

impl Pulse {
    /// The loop turns.
    pub fn beat(&self) {
        self.0.send_replace(Instant::now());
    }
}

/// Says whether a part can work.
#[derive(Debug)]
pub struct Readiness(watch::Sender<Option<String>>);

impl Readiness {
    /// It can.
    pub fn ready(&self) {
        self.0.send_replace(None);
    }

    /// Whether it can.
    pub fn is_ready(&self) -> bool {
        self.0.borrow().is_none()
    }

    /// It cannot; `why` is for people, on one line.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.0.send_replace(Some(why.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stops_turning_is_named_and_one_that_turns_again_is_not() {
        let mut vitals = Vitals::default();
        let imds = vitals.pulse("imds", Duration::from_secs(40));
        let queue = vitals.pulse("queue", Duration::from_secs(60));
        tokio::time::advance(Duration::from_secs(40)).await;
        queue.beat();
        assert!(vitals.stopped().is_empty());
        tokio::time::advance(Duration::from_secs(2)).await;
        insta::assert_snapshot!(vitals.stopped().join("\n"), @"imds: its loop last turned 42s ago, and has to turn every 40s");
        imds.beat();
        assert!(vitals.stopped().is_empty());
        drop(imds);
        tokio::time::advance(Duration::from_secs(70)).await;
        assert_eq!(vitals.stopped().len(), 2);
    }

    #[test]
    fn nothing_is_ready_before_it_says_so() {
        let mut vitals = Vitals::default();
        let (ledger, queue) = (vitals.readiness("ledger"), vitals.readiness("queue"));
        ledger.ready();
        insta::assert_snapshot!(vitals.unready().join("\n"), @"queue: it has not said yet that it is ready");
        queue.ready();
        assert!(vitals.unready().is_empty());
        ledger.not_ready("the disk is full");
        insta::assert_snapshot!(vitals.unready().join("\n"), @"ledger: the disk is full");
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_is_ready_when_all_its_parts_are_and_never_when_one_has_ended() {
        let mut vitals = Vitals::default();
        let (ledger, queue) = (vitals.readiness("ledger"), vitals.readiness("queue"));
        let soon = || tokio::time::timeout(Duration::from_secs(1), vitals.ready());
        ledger.ready();
        assert!(soon().await.is_err());
        queue.ready();
        assert!(soon().await.is_ok());
        queue.not_ready("there is no such queue");
        drop(queue);
        assert!(soon().await.is_err());
    }
}
