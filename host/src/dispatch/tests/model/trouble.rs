//! What goes wrong with one operation.

/// What goes wrong with one operation of a host: of its ledger, of Auto Scaling's, or of a handler's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The host is killed before the operation takes effect.
    KilledBefore,
    /// The host is killed after it has taken effect, and before it hears of it.
    KilledAfter,
    /// The whole process stands still for a minute after the operation has taken effect.
    Frozen,
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
}

impl Trouble {
    pub(super) const KILLS: [Self; 2] = [Self::KilledBefore, Self::KilledAfter];

    pub(super) const OTHERS: [Self; 8] = [
        Self::Frozen,
        Self::Throttled,
        Self::NoAnswer,
        Self::AnswerLost,
        Self::Late,
        Self::Slow,
        Self::Conflict,
        Self::Repeated,
    ];
}
