//! How long a message is hidden until it is due again. Pure.

use std::time::Duration;

use super::LONGEST_HIDE;

/// The shortest delay: what is due at once still gives others a turn.
const SHORTEST: Duration = Duration::from_secs(1);

/// When so many receives are left, or fewer, they are spread over the time in which the message is still needed. Before that it
/// comes as often as it is asked to.
pub(super) const FEW: u32 = 100;

/// How long a message is taken to be needed still when that is not known: as long as work may last unless the policy says
/// otherwise. Each time it comes this begins anew, so the receives last for several times as long.
const UNKNOWN: Duration = Duration::from_secs(60 * 60);

/// How long before a lifecycle action ends its message comes at the latest, to keep it alive.
const TO_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What decides on a delay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    /// The time until the message is due.
    pub(super) asked: Duration,
    /// The time until nothing it asks for counts any more; none if that is not known.
    pub(super) needed: Option<Duration>,
    /// The time until a lifecycle action ends unless the message comes before that; none if there is none.
    pub(super) alive: Option<Duration>,
    /// How often the message has been received, this time included.
    pub(super) receives: u32,
    /// How often it can be, before SQS moves it to the dead-letter queue; none if it never does.
    pub(super) max_receives: Option<u32>,
    /// How long ago it was received.
    pub(super) age: Duration,
}

/// A delay, and what is to be said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delay {
    /// For how long the message is hidden from now on.
    pub(super) hide: Duration,
    /// Whether that is longer than was asked, so that the receives last.
    pub(super) stretched: bool,
    /// Whether it ends in the dead-letter queue: there is no receive left.
    pub(super) last: bool,
}

impl Wait {
    pub(super) fn delay(self) -> Delay {
        let asked = self.asked.max(SHORTEST);
        let left = self.max_receives.map(|most| most.saturating_sub(self.receives));
        let spread = match left {
            // Hidden for longer, it would only be longer until somebody sees it in the dead-letter queue. A message that dies is
            // found by the sweep; an action that has ended cannot be brought back.
            Some(1..=FEW) => {
                let alive = self.alive.map_or(Duration::MAX, |alive| alive.saturating_sub(TO_KEEP_ALIVE));
                (self.needed.unwrap_or(UNKNOWN) / left.unwrap_or(1)).min(alive)
            }
            _ => Duration::ZERO,
        };
        let hide = asked.max(spread).min(LONGEST_HIDE.saturating_sub(self.age));
        Delay { hide, stretched: hide > asked, last: left == Some(0) }
    }
}

/// For how long a message that was received `age` ago is kept hidden while it is worked on; none if SQS allows no more.
pub(super) fn extension(age: Duration) -> Option<Duration> {
    let left = LONGEST_HIDE.saturating_sub(age);
    (left > Duration::ZERO).then(|| left.min(super::FIRST_HIDE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn wait(asked: u64, left: u32) -> Wait {
        Wait {
            asked: Duration::from_secs(asked),
            needed: Some(HOUR),
            alive: None,
            receives: 1000 - left,
            max_receives: Some(1000),
            age: Duration::ZERO,
        }
    }

    fn seconds(wait: Wait) -> u64 {
        wait.delay().hide.as_secs()
    }

    #[test]
    fn a_message_comes_when_it_is_asked_to() {
        assert_eq!(wait(15, 999).delay(), Delay { hide: Duration::from_secs(15), stretched: false, last: false });
        assert_eq!(seconds(wait(15, 101)), 15);
        assert_eq!(seconds(wait(0, 999)), 1, "others get a turn");
        assert_eq!(seconds(Wait { max_receives: None, receives: 5000, ..wait(15, 0) }), 15);
    }

    #[test]
    fn the_last_receives_are_spread_until_the_deadline() {
        assert_eq!(wait(15, 100).delay(), Delay { hide: Duration::from_secs(36), stretched: true, last: false });
        assert_eq!(seconds(wait(15, 4)), 900);
        assert_eq!(seconds(wait(15, 1)), 3600);
        let longer = wait(1000, 4).delay();
        assert_eq!((longer.hide.as_secs(), longer.stretched), (1000, false), "what is asked for longer stays so");
        assert_eq!(seconds(Wait { needed: Some(Duration::ZERO), ..wait(15, 4) }), 15, "past the deadline");
    }

    #[test]
    fn no_receive_is_saved_at_the_cost_of_a_lifecycle_action() {
        let alive = |seconds| Wait { alive: Some(Duration::from_secs(seconds)), ..wait(15, 4) };
        assert_eq!(seconds(alive(300)), 285);
        assert_eq!(seconds(alive(20)), 15, "what is asked for stays so");
        assert_eq!(seconds(alive(3_000)), 900);
    }

    #[test]
    fn spread_so_the_receives_last_until_the_deadline() {
        let (mut now, mut left) = (Duration::ZERO, 1000);
        while now < HOUR {
            assert!(left > 0, "dead after {now:?}");
            left -= 1;
            let needed = Some(HOUR - now);
            now += Wait { needed, ..wait(1, left) }.delay().hide;
        }
    }

    #[test]
    fn without_a_deadline_each_is_spread_over_an_hour() {
        assert_eq!(seconds(Wait { needed: None, ..wait(15, 60) }), 60);
        assert_eq!(seconds(Wait { needed: None, ..wait(15, 1) }), 3600);
    }

    #[test]
    fn after_the_last_receive_comes_the_dead_letter_queue_and_soon() {
        assert_eq!(wait(15, 0).delay(), Delay { hide: Duration::from_secs(15), stretched: false, last: true });
        let beyond = Wait { receives: 1001, ..wait(15, 0) };
        assert!(beyond.delay().last, "the queue's maxReceiveCount was lowered");
    }

    #[test]
    fn nothing_is_hidden_beyond_what_sqs_allows() {
        let twelve = 12 * 3600;
        assert_eq!(seconds(wait(twelve, 999)), twelve - 60);
        let old = Wait { age: 11 * HOUR, ..wait(twelve, 999) };
        assert_eq!(seconds(old), 3600 - 60);
        let spread = Wait { needed: Some(48 * HOUR), ..wait(15, 2) };
        assert_eq!(seconds(spread), twelve - 60);
        assert_eq!(extension(Duration::ZERO), Some(Duration::from_secs(30)));
        assert_eq!(extension(12 * HOUR - Duration::from_secs(70)), Some(Duration::from_secs(10)));
        assert_eq!(extension(12 * HOUR), None);
    }
}
