//! Auto Scaling's lifecycle actions in the simulated world: `dispatch`'s own port.

use async_trait::async_trait;

use super::World;
use super::group::ActionEnd;
use super::state::State;
use crate::event::LifecycleAction;
use crate::lifecycle::{Answer, HookTimes, Lifecycle, LifecycleResult};
use crate::ports::{PortError, PortErrorKind};

#[async_trait]
impl Lifecycle for World {
    /// API reference, DescribeLifecycleHooks: a group that does not exist is an error, a hook that does not is left out.
    async fn hook(&self, action: &LifecycleAction) -> Result<Option<HookTimes>, PortError> {
        self.call(
            "lifecycle.hook",
            format!("{} of {}", action.hook, action.group),
            |state, _| {
                let group = state.group(&action.group).ok_or_else(|| {
                    PortError::new(
                        PortErrorKind::NotFound,
                        format!("there is no Auto Scaling group {} in {}", action.group, state.place.region),
                    )
                })?;
                Ok(group.hooks.iter().find(|hook| hook.name == action.hook).map(|hook| hook.times))
            },
            |found| match found {
                Some(times) => format!("heartbeat timeout {}", humantime::format_duration(times.heartbeat_timeout)),
                None => "no such hook".to_owned(),
            },
        )
    }

    /// API reference, RecordLifecycleActionHeartbeat: the hook's timeout starts again; the global timeout goes on.
    async fn heartbeat(&self, action: &LifecycleAction) -> Result<Answer, PortError> {
        self.call(
            "lifecycle.heartbeat",
            format!("{} on {}", action.hook, action.instance),
            |state, now| {
                let Some(index) = active(state, action) else { return Ok(Answer::Over) };
                let alive = &mut state.actions[index];
                alive.heartbeat_at = now + alive.hook.times.heartbeat_timeout;
                Ok(Answer::Accepted)
            },
            |answer| tell(*answer, "accepted"),
        )
    }

    /// API reference, CompleteLifecycleAction.
    async fn complete(&self, action: &LifecycleAction, result: LifecycleResult) -> Result<Answer, PortError> {
        self.call(
            "lifecycle.complete",
            format!("{} on {}", action.hook, action.instance),
            |state, now| {
                let Some(index) = active(state, action) else { return Ok(Answer::Over) };
                let end = match result {
                    LifecycleResult::Continue => ActionEnd::Continued,
                    LifecycleResult::Abandon => ActionEnd::Abandoned,
                };
                state.end_action(index, now, end);
                Ok(Answer::Accepted)
            },
            |answer| tell(*answer, result.as_str()),
        )
    }
}

/// The action that is meant, if it still waits: by its token, or by the instance where the caller has none. Group and hook
/// must fit too. Whatever does not fit, Auto Scaling answers alike: "No active Lifecycle Action found".
fn active(state: &State, wanted: &LifecycleAction) -> Option<usize> {
    state.actions.iter().position(|action| {
        action.is_active()
            && state.nodes[action.node].id == wanted.instance
            && action.group == wanted.group
            && action.hook.name == wanted.hook
            && (wanted.token.is_none() || action.token == wanted.token)
    })
}

fn tell(answer: Answer, accepted: &str) -> String {
    match answer {
        Answer::Accepted => accepted.to_owned(),
        Answer::Over => "no active lifecycle action found".to_owned(),
    }
}
