//! When there is an end to patience: the policy's, AWS's, and the door's.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::after;
use crate::event::Event;
use crate::lifecycle::HookTimes;
use crate::policy::Handler;

/// What is kept back, of the door's time and before AWS's own deadline, for completing the lifecycle action and saying
/// how it ended.
const TO_FINISH: Duration = Duration::from_secs(10);

/// An attempt with less time than this is not begun: it would end in the middle of what it does.
pub(super) const LEAST_WALL: Duration = Duration::from_secs(5);

/// When there is an end to patience.
pub(super) struct Deadline {
    /// When AWS or the policy goes on, whichever is first: what the handler is told.
    pub(super) of_work: Timestamp,
    /// When the last attempt is begun: early enough before AWS's own deadline for its end to count.
    pub(super) last_attempt: Timestamp,
    /// The time by which an attempt has to end for its end to count at AWS; none if nothing is known of that.
    pub(super) before_aws: Option<Timestamp>,
}

impl Deadline {
    pub(super) fn of(event: &Event, handler: &Handler, hook: Option<HookTimes>) -> Self {
        let of_policy = after(event.time, handler.finish.deadline);
        let of_hook = hook.map(|hook| after(event.time, hook.global_timeout));
        let of_aws = [of_hook, event.deadline].into_iter().flatten().min();
        // Past AWS's own deadline nothing counts any more, so the last attempt is begun before it.
        let to_finish = SignedDuration::try_from(TO_FINISH).unwrap_or_default();
        let before_aws = of_aws.map(|of_aws| of_aws.saturating_sub(to_finish).unwrap_or(Timestamp::MIN));
        Self {
            of_work: of_aws.map_or(of_policy, |of_aws| of_aws.min(of_policy)),
            last_attempt: before_aws.map_or(of_policy, |before_aws| before_aws.min(of_policy)),
            before_aws,
        }
    }
}

/// How long there is before work has to stop for its end to be told before the door closes; none if there is no end to it.
pub(super) fn time_to_stop(door_closes: Option<Instant>) -> Option<Duration> {
    let stop = door_closes?.checked_sub(TO_FINISH).unwrap_or_else(Instant::now);
    Some(stop.saturating_duration_since(Instant::now()))
}
