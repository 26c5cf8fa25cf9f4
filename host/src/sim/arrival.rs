//! Events arriving in the world.

use std::time::Duration;

use super::state::State;
use crate::event::{Event, Kind, LifecycleAction, Transition};
use crate::ports::InstanceId;

/// What EC2 gives between warning and reclaim. "Spot Instance interruption notices": two minutes.
const SPOT_WARNING: Duration = Duration::from_secs(120);

/// Makes happen what `event` tells, or says how it contradicts the world.
pub(super) fn deliver(state: &mut State, event: &Event) -> Result<(), String> {
    if event.account != state.place.account || event.region != state.place.region {
        return Ok(());
    }
    state.start.get_or_insert(event.time);
    let now = state.settle();
    let Some(instance) = &event.instance else { return Ok(()) };
    let node = state.find(instance).ok_or_else(|| no_such_instance(state, instance))?;
    if event.time > state.after(now) {
        return Err(format!(
            "it is of {}, and the world's clock says {}; leave `start` out of the world, or set it no earlier than the event",
            event.time,
            state.after(now)
        ));
    }
    state.note(now, "event delivered", instance, event.kind.as_str());
    if let Some(action) = &event.lifecycle_action {
        register(state, node, event.kind, action, now)?;
    }
    if event.kind == Kind::SpotInterruption {
        warn(state, node, event, now)?;
    }
    Ok(())
}

/// Begins the lifecycle action of an event, or tells the token of one that has begun.
fn register(state: &mut State, node: usize, kind: Kind, action: &LifecycleAction, now: Duration) -> Result<(), String> {
    let LifecycleAction { group, hook, instance, token, transition } = action;
    let Some(member) = &state.nodes[node].member else {
        // It has been in its group and left it for good: an event that comes late.
        if !state.nodes[node].exists() {
            return Ok(());
        }
        let group = group.as_str();
        return Err(format!("it puts {instance} in the group {group}, the world in none; add group = {group:?} to it"));
    };
    if member.group != *group {
        return Err(format!("it puts {instance} in the group {group}, the world in {}", member.group));
    }
    let hooks = state.group(group).map_or(&[][..], |group| &group.hooks);
    if !hooks.iter().any(|known| known.name == *hook && known.transition == *transition) {
        let known: Vec<_> = hooks.iter().map(|hook| format!("{} ({})", hook.name, word(hook.transition))).collect();
        let known = if known.is_empty() { "no hooks".to_owned() } else { known.join(", ") };
        return Err(format!("it is of the hook {hook} ({}); in the world {group} has {known}", word(*transition)));
    }
    let state_now = member.state;
    let delivered_before = state.actions.iter().any(|known| token.is_some() && known.token == *token);
    // The group has moved the instance on already: an event that comes late, and changes nothing.
    let late = state_now.ends_with(":Proceed") || state_now.ends_with("Terminated");
    if delivered_before || late {
        return Ok(());
    }
    let wait = waiting_state(kind, *transition);
    if state_now != wait {
        if !may_begin_to_wait(state_now, *transition) {
            return Err(format!("it makes {instance} {wait}, and in the world it is {state_now}"));
        }
        state.move_on(node, now, wait);
        state.begin_actions(node, *transition, now, Duration::ZERO);
    }
    let waiting =
        state.actions.iter_mut().find(|known| known.is_active() && known.node == node && known.hook.name == *hook);
    match waiting {
        Some(waiting) if waiting.token.is_none() => waiting.token.clone_from(token),
        Some(waiting) if token.is_some() => {
            return Err(format!(
                "its token is {}, and {hook} holds {instance} already with the token {}",
                token.as_deref().unwrap_or_default(),
                waiting.token.as_deref().unwrap_or_default()
            ));
        }
        // The action has ended: an event that comes late.
        _ => {}
    }
    Ok(())
}

/// Sets the end of a Spot instance: when the warning says, whatever anybody does.
fn warn(state: &mut State, node: usize, event: &Event, now: Duration) -> Result<(), String> {
    let start = state.start();
    let warned = &mut state.nodes[node];
    if warned.lifecycle != "spot" {
        return Err(format!(
            "it is a Spot interruption, and {} is {}; write lifecycle = \"spot\"",
            warned.id, warned.lifecycle
        ));
    }
    let deadline = event.deadline.unwrap_or(event.time).duration_since(start);
    let at = match event.deadline {
        // Before the beginning of the world means at once.
        Some(_) => Duration::try_from(deadline).unwrap_or_default(),
        None => Duration::try_from(deadline).unwrap_or_default() + SPOT_WARNING,
    };
    let at = at.clamp(now, now + SPOT_WARNING);
    warned.reclaimed_at = Some(warned.reclaimed_at.map_or(at, |known| known.min(at)));
    Ok(())
}

/// The state in which a hook holds an instance back. "Amazon EC2 Auto Scaling instance lifecycle", and "Use lifecycle hooks
/// with a warm pool in Auto Scaling group": an instance that returns to the pool waits in `Warmed:Pending:Wait`.
fn waiting_state(kind: Kind, transition: Transition) -> &'static str {
    match (kind, transition) {
        (Kind::InstanceReturningToWarmPool | Kind::InstanceEnteringWarmPool, _) => "Warmed:Pending:Wait",
        (Kind::WarmInstanceTerminating, _) => "Warmed:Terminating:Wait",
        (_, Transition::Launching) => "Pending:Wait",
        (_, Transition::Terminating) => "Terminating:Wait",
    }
}

/// Whether an instance in `state` can be on its way into a wait of that transition.
fn may_begin_to_wait(state: &str, transition: Transition) -> bool {
    match transition {
        Transition::Launching => matches!(state, "Pending" | "Warmed:Pending" | "Warmed:Stopped" | "Warmed:Running"),
        Transition::Terminating => {
            !state.ends_with(":Wait") && !state.ends_with(":Retained") && !state.starts_with("Detach")
        }
    }
}

fn word(transition: Transition) -> &'static str {
    match transition {
        Transition::Launching => "launching",
        Transition::Terminating => "terminating",
    }
}

fn no_such_instance(state: &State, instance: &InstanceId) -> String {
    let known: Vec<_> = state.nodes.iter().map(|node| node.id.as_str()).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("it is about {instance}, and the world's instances are: {known}; add it, or run another event")
}
