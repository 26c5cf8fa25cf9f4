//! What goes wrong with one operation.

use std::time::Duration;

/// What goes wrong with one operation of a host: of its ledger, of Auto Scaling's, of its sweep's, or of a handler's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The host is killed before the operation takes effect.
    KilledBefore,
    /// The host is killed after it has taken effect, and before it hears of it.
    KilledAfter,
    /// The whole process stands still for a minute before the operation takes effect, and goes on with it.
    FrozenBefore,
    /// The same after it has taken effect.
    FrozenAfter,
    /// The other side refuses, and asks to come again later.
    Throttled,
    /// Nothing happens, and no answer comes.
    NoAnswer,
    /// The operation takes effect, and no answer comes.
    AnswerLost,
    /// No answer comes; the operation takes effect only after the caller has given up.
    Late,
    /// Everything takes long.
    Slow,
    /// A write is answered with 409, and was not done.
    Conflict,
    /// A write is done, and answered with 412 to the client's own second try of it.
    Repeated,
    /// The host's clock steps back, as far as it may.
    ClockBack,
}

impl Trouble {
    pub(super) const ALL: [Self; 12] = [
        Self::KilledBefore,
        Self::KilledAfter,
        Self::FrozenBefore,
        Self::FrozenAfter,
        Self::Throttled,
        Self::NoAnswer,
        Self::AnswerLost,
        Self::Late,
        Self::Slow,
        Self::Conflict,
        Self::Repeated,
        Self::ClockBack,
    ];

    /// How much longer it can keep a sign of life from a lifecycle action whose message comes again and again.
    pub(super) fn keeps_away(self) -> Duration {
        let seconds = match self {
            // What its host had received is hidden for so long. The lease, which is free before that, keeps nobody from a heartbeat.
            Self::KilledBefore | Self::KilledAfter => 30,
            // Its host can lose its lease by it.
            Self::ClockBack => 5 + 30,
            // What its host had received is hidden once more when it finds its lease lost.
            Self::FrozenBefore | Self::FrozenAfter => 60 + 30,
            // A heartbeat that fails is sent again after a quarter of the time between two; a message that fails is hidden for less.
            Self::Throttled | Self::Conflict | Self::Repeated => 40,
            Self::NoAnswer | Self::AnswerLost | Self::Late => 5 + 40,
            Self::Slow => 5,
        };
        Duration::from_secs(seconds)
    }

    /// How many attempts of an item it can cost, at the most. A write costs one only with its host, or the host's lease: else it is tried
    /// again, or found to have been done.
    pub(super) fn attempts(self, of_a_write: bool) -> u32 {
        match self {
            Self::KilledBefore | Self::KilledAfter | Self::FrozenBefore | Self::FrozenAfter | Self::ClockBack => 2,
            _ => 2 * u32::from(!of_a_write),
        }
    }
}
