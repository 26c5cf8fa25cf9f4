//! Lifecycle actions, and the port through which the host, and nobody else, keeps them alive and completes them.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::event::LifecycleAction;
use crate::ports::PortError;

/// EC2 Auto Scaling's side of a lifecycle action. Capabilities cannot reach it.
#[async_trait]
pub trait Lifecycle: Send + Sync {
    /// The hook's times (DescribeLifecycleHooks); none when the group has no such hook any more.
    async fn hook(&self, action: &LifecycleAction) -> Result<Option<HookTimes>, PortError>;

    /// Starts the hook's timeout again (RecordLifecycleActionHeartbeat).
    async fn heartbeat(&self, action: &LifecycleAction) -> Result<Answer, PortError>;

    /// Lets Auto Scaling go on with `result` (CompleteLifecycleAction).
    async fn complete(&self, action: &LifecycleAction, result: LifecycleResult) -> Result<Answer, PortError>;
}

/// What Auto Scaling is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LifecycleResult {
    /// CONTINUE.
    Continue,
    /// ABANDON.
    Abandon,
}

impl LifecycleResult {
    /// Auto Scaling's own word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Abandon => "ABANDON",
        }
    }
}

/// What Auto Scaling answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It took effect.
    Accepted,
    /// "No active Lifecycle Action found": somebody else, or the timeout, has decided already.
    Over,
}

/// What became of the lifecycle action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Completion {
    /// Completed with CONTINUE.
    Continue,
    /// Completed with ABANDON.
    Abandon,
    /// Left to the hook's own timeout and default result, as `on-failure = "leave"` says.
    Left,
    /// It was over before we completed it: by another delivery of the event, another hand, or the hook's timeout.
    Late,
}

impl Completion {
    /// What it means for the lifecycle action, for people.
    pub fn told(self) -> &'static str {
        match self {
            Self::Continue => "lifecycle action completed with CONTINUE",
            Self::Abandon => "lifecycle action completed with ABANDON",
            Self::Left => "lifecycle action left to the hook's timeout",
            Self::Late => "too late: the lifecycle action was over already",
        }
    }

    /// One word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Abandon => "abandon",
            Self::Left => "left",
            Self::Late => "late",
        }
    }
}

/// The longest that a hook waits for a sign of life: the largest `HeartbeatTimeout` ("PutLifecycleHook", Amazon EC2 Auto Scaling API
/// Reference).
pub const LONGEST_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(7_200);

/// How long a hook holds an instance back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HookTimes {
    /// `HeartbeatTimeout`: 30 s to 7200 s.
    #[serde(with = "with_unit")]
    pub heartbeat_timeout: Duration,
    /// `GlobalTimeout`: the most that heartbeats can make of it, from the start.
    #[serde(with = "with_unit")]
    pub global_timeout: Duration,
}

/// A time as text with its unit, such as `5m`.
mod with_unit {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(D::Error::custom)
    }
}
