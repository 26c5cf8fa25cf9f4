//! Events: what happened to which instance.

use std::fmt;

use crate::bindings::hostler::handler::types::Event as HostEvent;
use crate::{Error, Result, Time};

/// One thing that happened to one EC2 instance, and what this attempt at it should know.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Identity of what happened: the same for every delivery of it, different for anything else.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// EventBridge `source`, such as `aws.autoscaling`.
    pub source: String,
    /// EventBridge `detail-type`, such as `EC2 Instance-terminate Lifecycle Action`.
    pub detail_type: String,
    /// AWS account id, twelve digits.
    pub account: String,
    /// AWS region, such as `eu-central-1`.
    pub region: String,
    /// When it happened.
    pub time: Time,
    /// The instance it happened to; see [`Event::instance`]. Absent only when `kind` is [`Kind::Other`].
    pub instance: Option<String>,
    /// The Auto Scaling group, when the event names one.
    pub group: Option<String>,
    /// The instant after which AWS, or the policy, goes on whatever the handler does.
    pub deadline: Option<Time>,
    /// Which attempt at this event this is: 1 on the first.
    pub attempt: u32,
    /// What the previous attempt handed to [`Outcome::with_state`](crate::Outcome::with_state); kept across failed attempts.
    pub state: Option<String>,
    /// The event's own `detail`, as AWS sent it: a JSON object. Parse it with the crate of your choice.
    pub detail: String,
}

impl Event {
    /// The instance it happened to, or an error that says that the event names none.
    pub fn instance(&self) -> Result<&str> {
        self.instance.as_deref().ok_or_else(|| {
            Error::new(format!(
                "event {} ({}) names no instance: narrow the handler's pattern",
                self.id, self.detail_type
            ))
        })
    }
}

impl From<HostEvent> for Event {
    fn from(event: HostEvent) -> Self {
        Self {
            id: event.id,
            kind: Kind::from(event.kind.as_str()),
            source: event.source,
            detail_type: event.detail_type,
            account: event.account,
            region: event.region,
            time: Time::from_unix_milliseconds(event.time),
            instance: event.instance,
            group: event.group,
            deadline: event.deadline.map(Time::from_unix_milliseconds),
            attempt: event.attempt,
            state: event.state,
            detail: event.detail,
        }
    }
}

/// The kinds and the contract's words for them, once.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What happened, in one word.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $name,)*
            /// Any other event, and any word that is newer than this crate. Holds the word.
            Other(String),
        }

        impl Kind {
            /// The word of the contract, such as `instance-terminating`.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $word,)*
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for Kind {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$name,)*
                    word => Self::Other(word.to_owned()),
                }
            }
        }
    };
}

kinds! {
    /// A lifecycle hook holds the instance back on its way out of the group.
    InstanceTerminating = "instance-terminating",
    /// A lifecycle hook holds the instance back on its way into service.
    InstanceLaunching = "instance-launching",
    /// On its way out of service, into the warm pool.
    InstanceReturningToWarmPool = "instance-returning-to-warm-pool",
    /// A new instance is being prepared for the warm pool.
    InstanceEnteringWarmPool = "instance-entering-warm-pool",
    /// An instance of the warm pool goes for good. It may be stopped.
    WarmInstanceTerminating = "warm-instance-terminating",
    /// An instance leaves the warm pool for service.
    InstanceLeavingWarmPool = "instance-leaving-warm-pool",
    /// EC2 takes the Spot instance back, two minutes after the event's time.
    SpotInterruption = "spot-interruption",
    /// EC2 expects to take the Spot instance back.
    RebalanceRecommendation = "rebalance-recommendation",
    /// The instance entered another state.
    InstanceStateChange = "instance-state-change",
    /// EC2 takes back the capacity reservation the instance runs in.
    CapacityReservationInterruption = "capacity-reservation-interruption",
    /// AWS Health announces maintenance of the instance.
    ScheduledMaintenance = "scheduled-maintenance",
}

impl Kind {
    /// Whether the instance is on its way into service or into the warm pool: the last thing to do is to drain it.
    pub fn is_arrival(&self) -> bool {
        matches!(self, Self::InstanceLaunching | Self::InstanceEnteringWarmPool | Self::InstanceLeavingWarmPool)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words that `wit/types.wit` lists under `kind`.
    fn words_of_the_contract() -> Vec<&'static str> {
        let wit = include_str!("../wit/types.wit");
        let listed = &wit[wit.find("What happened, in one word").unwrap()..wit.find("kind: string").unwrap()];
        listed.split('`').skip(1).step_by(2).filter(|word| *word != "other").collect()
    }

    #[test]
    fn every_word_of_the_contract_is_a_kind_and_back() {
        let words = words_of_the_contract();
        assert_eq!(words.len(), 11, "{words:?}");
        for word in words {
            let kind = Kind::from(word);
            assert!(!matches!(kind, Kind::Other(_)), "{word} is not a kind of its own");
            assert_eq!(kind.as_str(), word);
        }
    }

    #[test]
    fn a_word_from_the_future_is_kept() {
        assert_eq!(Kind::from("instance-hibernating").to_string(), "instance-hibernating");
    }

    #[test]
    fn an_event_without_an_instance_says_what_to_mend() {
        let event = Event { instance: None, ..crate::testing::event(Kind::Other("other".to_owned())) };
        assert_eq!(
            event.instance().unwrap_err().to_string(),
            "event 11111111-2222-3333-4444-555555555555 (Test Event) names no instance: narrow the handler's pattern"
        );
    }
}
