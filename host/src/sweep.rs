//! The sweep: what the host sees of instances that wait, whoever was told of them.
//!
//! EventBridge delivers as well as it can, and a message may die before its work is done. So the host looks for itself.

mod announcement;
mod over;
mod round;

use async_trait::async_trait;

pub use round::{Adopt, Sweep, SweepError, Swept};

use crate::event::Transition;
use crate::lifecycle::HookTimes;
use crate::ports::{GroupName, HookName, InstanceId, PortError};

/// EC2 Auto Scaling's side of the sweep. Capabilities cannot reach it.
#[async_trait]
pub trait Groups: Send + Sync {
    /// The instances of the account and region that wait (DescribeAutoScalingInstances): all of them, or an error.
    async fn waiting(&self) -> Result<Vec<Waiting>, PortError>;

    /// The hooks of a group (DescribeLifecycleHooks); none when there is no such group any more.
    ///
    /// Auto Scaling does not tell which of them an instance waits for, nor the tokens of its actions.
    async fn hooks(&self, group: &GroupName) -> Result<Vec<Hook>, PortError>;
}

/// An instance that lifecycle hooks hold back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its group.
    pub group: GroupName,
    /// The EC2 instance.
    pub instance: InstanceId,
    /// Auto Scaling's own word, such as `Terminating:Wait` or `Warmed:Pending:Wait`.
    pub lifecycle_state: String,
}

/// A lifecycle hook of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its name.
    pub name: HookName,
    /// Which way instances go that it holds back.
    pub transition: Transition,
    /// How long it holds them back.
    pub times: HookTimes,
    /// `NotificationMetadata`: what whoever made it wants to be told with each action.
    pub metadata: Option<String>,
}

/// Whether an instance in this state is held back by a hook. One that is `:Retained` has no hook left to wait for.
pub(crate) fn waits(lifecycle_state: &str) -> bool {
    lifecycle_state.ends_with(":Wait")
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod states {
    use super::*;

    #[test]
    fn an_instance_waits_in_the_states_of_hooks_and_in_no_other() {
        for state in ["Pending:Wait", "Terminating:Wait", "Warmed:Pending:Wait", "Warmed:Terminating:Wait"] {
            assert!(waits(state), "{state}");
        }
        for state in ["InService", "Terminating:Proceed", "Terminating:Retained", "Warmed:Stopped", "Standby", ""] {
            assert!(!waits(state), "{state}");
        }
    }
}
