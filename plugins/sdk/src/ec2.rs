//! Amazon EC2.
//!
//! Grant: `ec2 = { allow = ["read"] }`, for the event's own instance unless it says `instances = "any"`.

use crate::Result;
pub use crate::bindings::hostler::handler::ec2::InstanceDescription;
use crate::host::ec2 as host;

/// Describes `instance`.
///
/// Needs `allow = ["read"]`. `not-found` when EC2 does not know it (about an hour after termination).
pub fn describe_instance(instance: &str) -> Result<InstanceDescription> {
    Ok(host::describe_instance(instance)?)
}

impl InstanceDescription {
    /// The value of the tag `key`.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}
