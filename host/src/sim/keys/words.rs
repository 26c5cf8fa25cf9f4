//! AWS's own words, where a key takes one of a few.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};

/// One of the words listed. The first is the default.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $first:literal $(, $word:literal)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $name(&'static str);

        impl $name {
            /// Every word there is.
            pub(crate) const WORDS: &'static [&'static str] = &[$first $(, $word)*];

            /// The word that is written so, if it is one.
            pub(in crate::sim) fn parse(text: &str) -> Option<Self> {
                Self::WORDS.iter().find(|word| **word == text).map(|word| Self(word))
            }

            /// The word.
            pub(in crate::sim) fn as_str(self) -> &'static str {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self($first)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| D::Error::unknown_variant(&text, Self::WORDS))
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": Self::WORDS, "default": $first })
            }
        }
    };
}

words! {
    /// API reference, `InstanceState`.
    InstanceState: "running", "pending", "shutting-down", "terminated", "stopping", "stopped"
}

words! {
    /// API reference, `Instance`, `instanceLifecycle`; which says nothing for an On-Demand instance.
    Purchase: "on-demand", "spot", "scheduled", "capacity-block"
}

words! {
    /// API reference, `AutoScalingInstanceDetails`, `HealthStatus`.
    HealthStatus: "HEALTHY", "UNHEALTHY"
}

words! {
    /// API reference, `ContainerInstance`, `status`.
    ContainerInstanceStatus: "ACTIVE", "DRAINING", "REGISTERING", "REGISTRATION_FAILED", "DEREGISTERING"
}

words! {
    /// API reference, CompleteLifecycleAction, `LifecycleActionResult`.
    ActionResult: "ABANDON", "CONTINUE"
}

words! {
    /// API reference, `RetentionTriggers`, `TerminateHookAbandon`.
    OnAbandon: "terminate", "retain"
}

words! {
    /// API reference, `LifecycleState` of an instance.
    LifecycleState:
        "InService", "Pending", "Pending:Wait", "Pending:Proceed", "Quarantined", "Terminating", "Terminating:Wait",
        "Terminating:Proceed", "Terminating:Retained", "Terminated", "Detaching", "Detached", "EnteringStandby", "Standby",
        "ReplacingRootVolume", "ReplacingRootVolume:Wait", "ReplacingRootVolume:Proceed", "RootVolumeReplaced",
        "Warmed:Pending", "Warmed:Pending:Wait", "Warmed:Pending:Proceed", "Warmed:Pending:Retained",
        "Warmed:Terminating", "Warmed:Terminating:Wait", "Warmed:Terminating:Proceed", "Warmed:Terminating:Retained",
        "Warmed:Terminated", "Warmed:Stopped", "Warmed:Running", "Warmed:Hibernated"
}

/// API reference, `LifecycleHook`, `LifecycleTransition`; or, shorter, the way an instance goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[schemars(inline)]
pub(in crate::sim) enum TransitionName {
    #[serde(rename = "terminating")]
    Terminating,
    #[serde(rename = "launching")]
    Launching,
    #[serde(rename = "autoscaling:EC2_INSTANCE_TERMINATING")]
    LongTerminating,
    #[serde(rename = "autoscaling:EC2_INSTANCE_LAUNCHING")]
    LongLaunching,
}
