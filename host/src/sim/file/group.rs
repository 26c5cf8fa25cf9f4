//! `[[group]]` and `[[group.hook]]`.

use std::ops::RangeInclusive;

use super::{Builder, tables};
use crate::event::Transition;
use crate::lifecycle::{HookTimes, LifecycleResult};
use crate::reading::units::Time;
use crate::reading::{At, Section};
use crate::sim::group::{Group, HEARTBEAT_TIMEOUT, Hook, hook_times};
use crate::sim::keys::{GroupKeys, HookKeys, OnAbandon, TransitionName};

/// API reference, PutLifecycleHook, `HeartbeatTimeout`.
const HEARTBEAT_TIMEOUTS: RangeInclusive<Time> = Time::seconds(30)..=Time::seconds(7200);

impl Builder<'_, '_> {
    pub(super) fn group(&mut self, At { at, value }: Section<GroupKeys>) {
        let keys = value.0;
        let Some(name) = self.reading.required(at, "name", keys.name, "name = \"…\"") else { return };
        if self.state.group(&name.value).is_some() {
            self.mistake(name.at, format!("the group {} is there twice", name.value));
        }
        let retains = keys.terminate_hook_abandon.is_some_and(|action: OnAbandon| action.as_str() == "retain");
        let mut group = Group { name: name.value, hooks: Vec::new(), retains };
        for keys in tables(keys.hook) {
            self.hook(&mut group, keys);
        }
        self.state.groups.push(group);
    }

    /// API reference, PutLifecycleHook and the `LifecycleHook` data type, for the ranges.
    fn hook(&mut self, group: &mut Group, At { at, value }: Section<HookKeys>) {
        let keys = value.0;
        let name = self.reading.required(at, "name", keys.name, "name = \"…\"");
        let transition =
            self.reading.required(at, "transition", keys.transition, "transition = \"terminating\" or \"launching\"");
        let default = Time(HEARTBEAT_TIMEOUT);
        let heartbeat = self.reading.within("heartbeat-timeout", keys.heartbeat_timeout, default, HEARTBEAT_TIMEOUTS);
        let longest = Time(hook_times(heartbeat.0).global_timeout);
        let global = self.reading.within("global-timeout", keys.global_timeout, longest, Time::seconds(1)..=longest);
        let (Some(name), Some(transition)) = (name, transition) else { return };
        if group.hooks.iter().any(|hook| hook.name == name.value) {
            self.mistake(name.at, format!("the group {} has the hook {} twice", group.name, name.value));
        }
        group.hooks.push(Hook {
            name: name.value,
            transition: match transition {
                TransitionName::Launching | TransitionName::LongLaunching => Transition::Launching,
                TransitionName::Terminating | TransitionName::LongTerminating => Transition::Terminating,
            },
            times: HookTimes { heartbeat_timeout: heartbeat.0, global_timeout: global.0 },
            default_result: match keys.default_result.unwrap_or_default().as_str() {
                "CONTINUE" => LifecycleResult::Continue,
                _ => LifecycleResult::Abandon,
            },
            metadata: keys.notification_metadata,
        });
    }
}
