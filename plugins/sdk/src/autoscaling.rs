//! EC2 Auto Scaling, by EC2 instance id. Completing the lifecycle action is not here: the host does it, from the outcome.
//!
//! Grant: `autoscaling = { groups = [...], allow = [...] }`, for the event's own instance unless it says `instances = "any"`.

use crate::Result;
pub use crate::bindings::hostler::handler::autoscaling::GroupInstance;
use crate::host::autoscaling as host;

/// Describes `instance` as a member of its group; none when it belongs to no group, or no longer does.
///
/// Needs `allow = ["read"]`.
pub fn describe_instance(instance: &str) -> Result<Option<GroupInstance>> {
    Ok(host::describe_instance(instance)?)
}

/// Sets or removes the protection of `instance` from scale-in.
///
/// Needs `allow = ["protect"]`. `not-found` when it belongs to no group; `conflict` when Auto Scaling does not admit it in
/// the instance's present state.
pub fn set_instance_protection(instance: &str, protected: bool) -> Result<()> {
    Ok(host::set_instance_protection(instance, protected)?)
}
