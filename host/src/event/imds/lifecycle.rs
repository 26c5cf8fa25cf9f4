//! The lifecycle actions that hold an instance back, told from inside it.
//!
//! `autoscaling/target-lifecycle-state` says only where Auto Scaling is taking the instance ("Retrieve the target lifecycle
//! state through instance metadata"): a place to stay, such as `Terminated`, long before it gets there. Whether a hook holds
//! it back on the way, and which, only Auto Scaling itself knows.

use jiff::Timestamp;
use serde_json::json;

use super::{Identity, Item, Told};
use crate::event::eventbridge::AUTO_SCALING;
use crate::event::{Event, ParseError, Transition};
use crate::ports::{GroupName, HookName};

/// The instance as a member of its Auto Scaling group (DescribeAutoScalingInstances, DescribeLifecycleHooks).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its group.
    pub group: GroupName,
    /// Auto Scaling's own word, such as `Terminating:Wait`.
    pub lifecycle_state: String,
    /// The hooks of the group, with the transition each is for.
    pub hooks: Vec<(HookName, Transition)>,
}

/// How far the instance has come on its way.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Hooks hold it back: a lifecycle action of each. Which of them have been completed already, nobody tells.
    Held(Vec<Event>),
    /// It is on its way, and hooks may still hold it back.
    Moving,
    /// It is where it was going, or past every hook.
    Arrived,
}

/// How far `instance` has come on its way to the state `target`, `member` being what Auto Scaling knows of it; none if it is in
/// no group. `now` is when that is.
pub fn standing(
    target: &str,
    member: Option<&Member>,
    instance: &Identity,
    now: Timestamp,
) -> Result<Standing, ParseError> {
    let Some(member) = member else { return Ok(Standing::Arrived) };
    match member.lifecycle_state.as_str() {
        // `:Retained` is kept for somebody to look at, by a group whose hook was abandoned.
        state if state == target || state.ends_with(":Proceed") || state.ends_with(":Retained") => {
            Ok(Standing::Arrived)
        }
        state => match Way::of(state, target) {
            Some(way) => held(way, member, instance, now).map_err(|error| error.at(Item::TargetLifecycleState.path())),
            None => Ok(Standing::Moving),
        },
    }
}

fn held(way: Way, member: &Member, instance: &Identity, now: Timestamp) -> Result<Standing, ParseError> {
    let way = way.among(&member.hooks);
    let mut actions = Vec::new();
    for (hook, _) in member.hooks.iter().filter(|(_, transition)| *transition == way.transition) {
        let mut detail = json!({
            "AutoScalingGroupName": member.group,
            "LifecycleHookName": hook,
            "EC2InstanceId": instance.instance,
            "LifecycleTransition": way.transition,
            "Destination": way.destination,
        });
        if let Some(origin) = way.origin {
            detail["Origin"] = json!(origin);
        }
        let told = Told {
            source: AUTO_SCALING,
            detail_type: way.transition.detail_type(),
            time: now,
            // Auto Scaling has the ARN of the group here, with a number that is not to be had.
            resources: Vec::new(),
            detail,
        };
        let id = format!("{}/{hook}/{}", member.group, way.transition.as_str());
        actions.extend(instance.event(Item::TargetLifecycleState, &id, told)?);
    }
    Ok(Standing::Held(actions))
}

/// From where to where an instance waits ("Warm pool event types", Amazon EC2 Auto Scaling User Guide).
struct Way {
    transition: Transition,
    /// Not told of an instance on its way into service: it may be new, or from the warm pool.
    origin: Option<&'static str>,
    destination: &'static str,
}

impl Way {
    /// That of an instance in `state`, if a hook holds it back in that.
    fn of(state: &str, target: &str) -> Option<Self> {
        let to_pool = target.starts_with("Warmed:");
        let way = |transition, origin, destination| Some(Self { transition, origin, destination });
        match state {
            "Pending:Wait" => way(Transition::Launching, None, "AutoScalingGroup"),
            "Warmed:Pending:Wait" => way(Transition::Launching, Some("EC2"), "WarmPool"),
            "Terminating:Wait" if to_pool => way(Transition::Terminating, Some("AutoScalingGroup"), "WarmPool"),
            "Terminating:Wait" => way(Transition::Terminating, Some("AutoScalingGroup"), "EC2"),
            "Warmed:Terminating:Wait" => way(Transition::Terminating, Some("WarmPool"), "EC2"),
            _ => None,
        }
    }

    /// The same, or the way back into the warm pool, in which an instance waits in the same state as on its way in for the first time.
    ///
    /// Where the group has hooks of both transitions it passes for new, since nobody here can ask which of them waits: to drain an
    /// instance that is only being prepared would do harm. An instance that returns is then left to EventBridge, and to the sweep,
    /// which does ask.
    fn among(self, hooks: &[(HookName, Transition)]) -> Self {
        let is_known = |wanted| hooks.iter().any(|(_, transition)| *transition == wanted);
        let into_the_pool = self.transition == Transition::Launching && self.destination == "WarmPool";
        if into_the_pool && !is_known(Transition::Launching) && is_known(Transition::Terminating) {
            let origin = Some("AutoScalingGroup");
            return Self { transition: Transition::Terminating, origin, destination: "WarmPool" };
        }
        self
    }
}
