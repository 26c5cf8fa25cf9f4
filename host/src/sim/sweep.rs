//! What the sweep sees of the simulated world.

use async_trait::async_trait;

use super::{World, group};
use crate::ports::{GroupName, PortError};
use crate::sweep::{Groups, Hook, Waiting, waits};

#[async_trait]
impl Groups for World {
    /// API reference, DescribeAutoScalingInstances: without instance ids it tells of all that there are.
    async fn waiting(&self) -> Result<Vec<Waiting>, PortError> {
        self.call(
            "sweep.waiting",
            "all instances".to_owned(),
            |state, now| {
                let members = state.seen(now).nodes.iter().filter_map(|node| Some((node, node.member.as_ref()?)));
                let waiting = members.filter(|(_, member)| waits(member.state)).map(|(node, member)| Waiting {
                    group: member.group.clone(),
                    instance: node.id.clone(),
                    lifecycle_state: member.state.to_owned(),
                });
                Ok(waiting.collect())
            },
            |found: &Vec<Waiting>| {
                let told = found.iter().map(|waiting| format!("{} {}", waiting.instance, waiting.lifecycle_state));
                if found.is_empty() { "none".to_owned() } else { told.collect::<Vec<_>>().join(", ") }
            },
        )
    }

    /// API reference, DescribeLifecycleHooks.
    async fn hooks(&self, group: &GroupName) -> Result<Vec<Hook>, PortError> {
        self.call(
            "sweep.hooks",
            group.to_string(),
            |state, _| {
                let hooks = state.group(group).map(|group| group.hooks.as_slice()).unwrap_or_default();
                let told = |hook: &group::Hook| Hook {
                    name: hook.name.clone(),
                    transition: hook.transition,
                    times: hook.times,
                    metadata: hook.metadata.clone(),
                };
                Ok(hooks.iter().map(told).collect())
            },
            |found: &Vec<Hook>| {
                let names: Vec<_> = found.iter().map(|hook| hook.name.as_str()).collect();
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            },
        )
    }
}
