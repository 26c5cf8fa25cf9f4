//! Auto Scaling groups, their hooks, and the lifecycle states that these lead an instance through.

use std::time::Duration;

use serde::Serialize;

use super::state::State;
use crate::event::Transition;
use crate::lifecycle::{HookTimes, LifecycleResult};
use crate::ports::{GroupName, HookName};

/// The `HeartbeatTimeout` of a hook that says nothing else. API reference, PutLifecycleHook: 3600 seconds.
pub(super) const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(3600);

/// How long an instance stays in a lifecycle state that leads on by itself. AWS documents no time.
const PROCEEDING: Duration = Duration::from_secs(5);

/// An Auto Scaling group.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) name: GroupName,
    pub(super) hooks: Vec<Hook>,
    /// Whether it keeps instances whose terminating hook ends with ABANDON.
    pub(super) retains: bool,
}

/// A lifecycle hook of a group.
#[derive(Debug, Clone)]
pub(super) struct Hook {
    pub(super) name: HookName,
    pub(super) transition: Transition,
    pub(super) times: HookTimes,
    pub(super) default_result: LifecycleResult,
    /// `NotificationMetadata`.
    pub(super) metadata: Option<String>,
}

/// A lifecycle action: one hook holding one instance back, once.
#[derive(Debug, Clone)]
pub(super) struct Action {
    pub(super) node: usize,
    pub(super) group: GroupName,
    pub(super) hook: Hook,
    /// Known once an event has told it.
    pub(super) token: Option<String>,
    /// When the hook's timeout ends it, unless a heartbeat comes first.
    pub(super) heartbeat_at: Duration,
    /// When nothing can keep it alive any longer.
    pub(super) global_at: Duration,
    /// None while it waits.
    pub(super) end: Option<ActionEnd>,
}

/// How a lifecycle action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionEnd {
    /// It was completed with CONTINUE.
    Continued,
    /// It was completed with ABANDON.
    Abandoned,
    /// The hook's timeout ended it, with the default result.
    TimedOut,
    /// Another action of the instance was abandoned, which ends all of them.
    WithAnother,
}

impl Action {
    /// When it ends with the hook's default result.
    pub(super) fn ends_at(&self) -> Duration {
        self.heartbeat_at.min(self.global_at)
    }

    /// Whether it still holds its instance back.
    pub(super) fn is_active(&self) -> bool {
        self.end.is_none()
    }
}

impl State {
    /// Begins every lifecycle action that holds an instance back in its present state: one for each hook of its group on
    /// that transition. `held_for` is how long they have done so already.
    ///
    /// "How lifecycle hooks work in Auto Scaling groups": the instance waits until every action is complete.
    pub(super) fn begin_actions(&mut self, node: usize, transition: Transition, at: Duration, held_for: Duration) {
        let Some(member) = &self.nodes[node].member else { return };
        let Some(group) = self.groups.iter().find(|group| group.name == member.group) else { return };
        let hooks = group.hooks.iter().filter(|hook| hook.transition == transition);
        self.actions.extend(hooks.map(|hook| Action {
            node,
            group: group.name.clone(),
            hook: hook.clone(),
            token: None,
            heartbeat_at: (at + hook.times.heartbeat_timeout).saturating_sub(held_for),
            global_at: (at + hook.times.global_timeout).saturating_sub(held_for),
            end: None,
        }));
    }

    /// Ends a lifecycle action, and the wait with the last of them.
    ///
    /// "Complete a lifecycle action in an Auto Scaling group": ABANDON stops any remaining actions, CONTINUE lets the
    /// others complete.
    pub(super) fn end_action(&mut self, action: usize, at: Duration, end: ActionEnd) {
        let ended = &mut self.actions[action];
        ended.end = Some(end);
        let (how, result) = match end {
            ActionEnd::Continued => ("completed with", LifecycleResult::Continue),
            ActionEnd::Abandoned => ("completed with", LifecycleResult::Abandon),
            ActionEnd::TimedOut => ("timed out, default result", ended.hook.default_result),
            ActionEnd::WithAnother => ("ended with another by", LifecycleResult::Abandon),
        };
        let (node, transition) = (ended.node, ended.hook.transition);
        let target = format!("{} on {}", ended.hook.name, self.nodes[node].id);
        self.note(at, "lifecycle action ended", target, &format!("{how} {}", result.as_str()));
        if result == LifecycleResult::Abandon {
            for other in self.actions.iter_mut().filter(|other| other.node == node) {
                other.end.get_or_insert(ActionEnd::WithAnother);
            }
        }
        if !self.actions.iter().any(|other| other.is_active() && other.node == node) {
            self.proceed(node, at, transition, result);
        }
    }

    /// Moves an instance that nothing holds back any longer.
    ///
    /// "How lifecycle hooks work in Auto Scaling groups": on termination both results end the instance; on launch ABANDON
    /// terminates it. "Use lifecycle hooks with a warm pool in Auto Scaling group" for the `Warmed:` states. "Manage retained
    /// instances": where the group retains instances, ABANDON on termination leads to a `:Retained` state, by way of the
    /// `:Proceed` state, and the instance runs on.
    ///
    /// Not as AWS does it: an instance whose launch is abandoned is not replaced and passes no terminate hook, and a warm
    /// pool always keeps its instances stopped.
    fn proceed(&mut self, node: usize, at: Duration, transition: Transition, result: LifecycleResult) {
        let Some(member) = &self.nodes[node].member else { return };
        let retains = transition == Transition::Terminating
            && result == LifecycleResult::Abandon
            && self.nodes[node].exists()
            && self.group(&member.group).is_some_and(|group| group.retains);
        let (proceeding, retained) = match (member.state, result) {
            ("Pending:Wait", LifecycleResult::Continue) => ("Pending:Proceed", None),
            ("Warmed:Pending:Wait", LifecycleResult::Continue) => ("Warmed:Pending:Proceed", None),
            ("Warmed:Pending:Wait", _) if retains => ("Warmed:Pending:Proceed", Some("Warmed:Pending:Retained")),
            ("Pending:Wait" | "Terminating:Wait", _) => ("Terminating:Proceed", Some("Terminating:Retained")),
            ("Warmed:Pending:Wait" | "Warmed:Terminating:Wait", _) => {
                ("Warmed:Terminating:Proceed", Some("Warmed:Terminating:Retained"))
            }
            _ => return,
        };
        self.move_on(node, at, proceeding);
        if let (Some(retained), Some(member)) = (retained.filter(|_| retains), &mut self.nodes[node].member) {
            member.becomes = Some((at + PROCEEDING, retained));
        } else if ends(proceeding) {
            self.shut_down(node, at);
            self.leave_group(node, at);
        }
    }

    /// Puts a member of a group into another lifecycle state.
    pub(super) fn move_on(&mut self, node: usize, at: Duration, state: &'static str) {
        let moving = &mut self.nodes[node];
        let Some(member) = &mut moving.member else { return };
        member.state = state;
        member.becomes = follows(state, at);
        if state == "Warmed:Stopped" && moving.exists() {
            moving.enter("stopped", at);
            if let Some(registration) = &mut moving.registration {
                registration.agent_connected = false;
                (registration.disconnects_at, registration.reconnects_at) = (None, None);
                registration.tasks.clear();
            }
        }
        self.note(at, "lifecycle state", self.nodes[node].id.clone(), state);
        if state == "Detached" {
            self.take_out(node, at);
        }
    }

    /// Takes an instance that is terminated out of its group, unless a lifecycle action still holds its place.
    pub(super) fn leave_group(&mut self, node: usize, at: Duration) {
        let held = self.actions.iter().any(|action| action.is_active() && action.node == node);
        if self.nodes[node].state == "terminated" && !held {
            self.take_out(node, at);
        }
    }

    fn take_out(&mut self, node: usize, at: Duration) {
        if let Some(member) = self.nodes[node].member.take() {
            self.note(at, "instance left its group", self.nodes[node].id.clone(), member.group.as_str());
        }
    }
}

/// The lifecycle state that follows `state`, entered at `at`, by itself. "Amazon EC2 Auto Scaling instance lifecycle".
///
/// Not as AWS does it: an instance that the file puts into `Pending` or `Terminating` stays there until an event about it is
/// delivered, since the event begins the wait.
pub(super) fn follows(state: &str, at: Duration) -> Option<(Duration, &'static str)> {
    let next = match state {
        "Pending:Proceed" => "InService",
        "Warmed:Pending:Proceed" => "Warmed:Stopped",
        "EnteringStandby" => "Standby",
        "Detaching" => "Detached",
        _ => return None,
    };
    Some((at + PROCEEDING, next))
}

/// Whether Auto Scaling terminates an instance in `state`, with nothing more to wait for.
pub(super) fn ends(state: &str) -> bool {
    matches!(state, "Terminating:Proceed" | "Warmed:Terminating:Proceed")
}

/// The transition whose hooks hold an instance in `state` back; none when nothing does.
///
/// An instance in `Warmed:Pending:Wait` may also be on its way back into the warm pool, which is a terminating transition; a
/// file that begins there means one on its way in.
pub(super) fn holding(state: &str) -> Option<Transition> {
    match state {
        "Pending:Wait" | "Warmed:Pending:Wait" => Some(Transition::Launching),
        "Terminating:Wait" | "Warmed:Terminating:Wait" => Some(Transition::Terminating),
        _ => None,
    }
}

/// The times of a hook that sets no global timeout of its own. API reference, `LifecycleHook`: 48 hours or 100 times the
/// heartbeat timeout, whichever is smaller.
pub(super) fn hook_times(heartbeat_timeout: Duration) -> HookTimes {
    HookTimes { heartbeat_timeout, global_timeout: (heartbeat_timeout * 100).min(Duration::from_secs(48 * 60 * 60)) }
}
