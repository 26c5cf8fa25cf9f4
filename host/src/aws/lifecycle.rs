//! The host's own port to EC2 Auto Scaling: lifecycle actions.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::config::retry::RetryConfig;
use aws_sdk_autoscaling::config::timeout::TimeoutConfig;
use aws_sdk_autoscaling::config::{self, Config};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::budget::Budget;
use super::error::Call;
use crate::event::LifecycleAction;
use crate::lifecycle::{Answer, HookTimes, Lifecycle, LifecycleResult};
use crate::ports::{PortError, PortErrorKind};

/// How Auto Scaling begins its message when an action is over; the id or the token follows. The code is the one for every mistake.
const OVER: &str = "No active Lifecycle Action found";

/// The hook's timeout when Auto Scaling names none, or zero: the shortest it admits (PutLifecycleHook: "from 30 to 7200 seconds"),
/// so that heartbeats are early rather than late, and never without a pause.
const SHORTEST_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(30);

/// The most that heartbeats can make of it: 100 times the timeout, and never more than this (PutLifecycleHook).
const LONGEST_ACTION: Duration = Duration::from_secs(48 * 3600);

/// For completing, once: `dispatch` keeps 10 s back to finish and tries again by itself, and two tries with the pause between them
/// fit into that.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(4);

/// EC2 Auto Scaling's lifecycle actions.
#[derive(Debug)]
pub(super) struct LifecycleActions {
    client: Client,
    budget: Budget,
}

impl LifecycleActions {
    pub(super) fn new(client: Client, budget: Budget) -> Self {
        Self { client, budget }
    }
}

#[async_trait]
impl Lifecycle for LifecycleActions {
    async fn hook(&self, action: &LifecycleAction) -> Result<Option<HookTimes>, PortError> {
        let call = call("autoscaling:DescribeLifecycleHooks", action);
        self.budget.turn(call.operation()).await;
        let result = self
            .client
            .describe_lifecycle_hooks()
            .auto_scaling_group_name(action.group.as_str())
            .lifecycle_hook_names(action.hook.as_str())
            .send()
            .await;
        let answer = match result {
            Ok(answer) => answer,
            // Its hooks went with it.
            Err(error) if is_no_such_group(&error) => return Ok(None),
            Err(error) => return Err(call.failed(&error)),
        };
        let ours =
            answer.lifecycle_hooks().iter().find(|hook| hook.lifecycle_hook_name() == Some(action.hook.as_str()));
        Ok(ours.map(|hook| hook_times(hook.heartbeat_timeout(), hook.global_timeout())))
    }

    async fn heartbeat(&self, action: &LifecycleAction) -> Result<Answer, PortError> {
        let call = call("autoscaling:RecordLifecycleActionHeartbeat", action);
        self.budget.turn(call.operation()).await;
        let result = self
            .client
            .record_lifecycle_action_heartbeat()
            .auto_scaling_group_name(action.group.as_str())
            .lifecycle_hook_name(action.hook.as_str())
            .instance_id(action.instance.as_str())
            .set_lifecycle_action_token(action.token.clone())
            .send()
            .await;
        answer(&call, result)
    }

    async fn complete(&self, action: &LifecycleAction, outcome: LifecycleResult) -> Result<Answer, PortError> {
        let call = call("autoscaling:CompleteLifecycleAction", action);
        self.budget.turn(call.operation()).await;
        let result = self
            .client
            .complete_lifecycle_action()
            .auto_scaling_group_name(action.group.as_str())
            .lifecycle_hook_name(action.hook.as_str())
            .instance_id(action.instance.as_str())
            .set_lifecycle_action_token(action.token.clone())
            .lifecycle_action_result(outcome.as_str())
            .customize()
            .config_override(tried_once())
            .send()
            .await;
        match result {
            Err(SdkError::TimeoutError(_)) => {
                let what = format!("no answer within {COMPLETE_TIMEOUT:?}; it may have taken effect");
                Err(call.error(PortErrorKind::Timeout, what))
            }
            result => answer(&call, result),
        }
    }
}

/// No retries by the SDK: one after a lost answer reads "No active Lifecycle Action found", which would be taken for somebody else's
/// completion. `dispatch` retries, and knows that it does.
fn tried_once() -> config::Builder {
    Config::builder()
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(COMPLETE_TIMEOUT).build())
}

fn call(operation: &'static str, action: &LifecycleAction) -> Call {
    Call::new(operation, format!("{}, hook {} of group {}", action.instance, action.hook, action.group))
}

/// Tells "over" from every other refusal: that an action is over ends the work on it, so nothing else may pass for it.
fn answer<O, E>(call: &Call, result: Result<O, SdkError<E, HttpResponse>>) -> Result<Answer, PortError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match result {
        Ok(_) => Ok(Answer::Accepted),
        Err(error) if is_validation_error(&error, |message| message.starts_with(OVER)) => Ok(Answer::Over),
        // Its actions went with it.
        Err(error) if is_no_such_group(&error) => Ok(Answer::Over),
        Err(error) => Err(call.failed(&error)),
    }
}

/// "AutoScalingGroup name not found".
pub(super) fn is_no_such_group(error: &impl ProvideErrorMetadata) -> bool {
    is_validation_error(error, |message| message.starts_with("AutoScalingGroup name not found"))
}

fn is_validation_error(error: &impl ProvideErrorMetadata, says: impl FnOnce(&str) -> bool) -> bool {
    error.code() == Some("ValidationError") && error.message().is_some_and(says)
}

/// What DescribeLifecycleHooks gives, in seconds. What is left out is as good as unknown, and so is zero, which no hook can have.
pub(super) fn hook_times(heartbeat_timeout: Option<i32>, global_timeout: Option<i32>) -> HookTimes {
    let heartbeat_timeout = known(heartbeat_timeout);
    let longest = heartbeat_timeout.map_or(LONGEST_ACTION, |timeout| LONGEST_ACTION.min(timeout * 100));
    HookTimes {
        heartbeat_timeout: heartbeat_timeout.unwrap_or(SHORTEST_HEARTBEAT_TIMEOUT),
        global_timeout: known(global_timeout).unwrap_or(longest),
    }
}

fn known(seconds: Option<i32>) -> Option<Duration> {
    seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::fake::{Fake, Reply};
    use crate::event::Transition;
    use crate::ports::{GroupName, HookName, InstanceId};

    fn action(token: Option<&str>) -> LifecycleAction {
        LifecycleAction {
            group: GroupName::parse("web").unwrap(),
            hook: HookName::parse("drain").unwrap(),
            instance: InstanceId::parse("i-0123456789abcdef0").unwrap(),
            token: token.map(str::to_owned),
            transition: Transition::Terminating,
        }
    }

    fn port(fake: &Fake) -> LifecycleActions {
        LifecycleActions::new(Client::new(&fake.config()), Budget::new())
    }

    fn validation_error(message: &str) -> Fake {
        Fake::always(Reply::query_error(400, "ValidationError", message))
    }

    #[tokio::test(start_paused = true)]
    async fn completing_sends_the_token_and_everything_else() {
        let fake = Fake::always(Reply::query("CompleteLifecycleAction", ""));
        let token = "87654321-4321-4321-4321-210987654321";
        let answer = port(&fake).complete(&action(Some(token)), LifecycleResult::Abandon).await;
        assert_eq!(answer, Ok(Answer::Accepted));
        let body = &fake.calls()[0].body;
        for part in [
            "AutoScalingGroupName=web",
            "LifecycleHookName=drain",
            "InstanceId=i-0123456789abcdef0",
            "LifecycleActionResult=ABANDON",
            "LifecycleActionToken=87654321-4321-4321-4321-210987654321",
        ] {
            assert!(body.contains(part), "{part} is not in {body}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_token_the_instance_names_the_action() {
        let fake = Fake::always(Reply::query("RecordLifecycleActionHeartbeat", ""));
        assert_eq!(port(&fake).heartbeat(&action(None)).await, Ok(Answer::Accepted));
        let body = &fake.calls()[0].body;
        assert!(body.contains("InstanceId=i-0123456789abcdef0") && !body.contains("LifecycleActionToken"), "{body}");
    }

    #[tokio::test(start_paused = true)]
    async fn only_auto_scalings_own_words_mean_that_an_action_is_over() {
        let over = validation_error("No active Lifecycle Action found with instance ID i-0123456789abcdef0");
        assert_eq!(port(&over).complete(&action(None), LifecycleResult::Continue).await, Ok(Answer::Over));
        assert_eq!(port(&over).heartbeat(&action(None)).await, Ok(Answer::Over));

        // The actions of a group go with it.
        let gone = validation_error("AutoScalingGroup name not found - no such group: web");
        assert_eq!(port(&gone).complete(&action(None), LifecycleResult::Continue).await, Ok(Answer::Over));
        assert_eq!(port(&gone).heartbeat(&action(None)).await, Ok(Answer::Over));

        let message = "is No active Lifecycle Action found?";
        let error =
            port(&validation_error(message)).complete(&action(None), LifecycleResult::Continue).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Invalid);
        assert!(error.message.contains(message) && error.message.contains("hook drain of group web"), "{error}");
        let elsewhere = Fake::always(Reply::query_error(400, "InvalidParameterValue", OVER));
        assert!(port(&elsewhere).heartbeat(&action(None)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn completing_is_tried_once_and_not_for_long() {
        let start = tokio::time::Instant::now();
        let fake = Fake::always(Reply::Silence);
        let error = port(&fake).complete(&action(None), LifecycleResult::Continue).await.unwrap_err();
        assert_eq!((start.elapsed(), fake.calls().len()), (COMPLETE_TIMEOUT, 1));
        assert!(error.retryable(), "dispatch tries again");
        insta::assert_snapshot!(error.message, @"autoscaling:CompleteLifecycleAction for i-0123456789abcdef0, hook drain of group web: no answer within 4s; it may have taken effect");

        for reply in [Reply::new(503, ""), Reply::Refused, Reply::query_error(400, "Throttling", "Rate exceeded")] {
            let fake = Fake::always(reply);
            let error = port(&fake).complete(&action(None), LifecycleResult::Continue).await.unwrap_err();
            assert_eq!((fake.calls().len(), error.retryable()), (1, true), "{error}");
        }
        let fake = Fake::always(Reply::new(503, ""));
        assert!(port(&fake).heartbeat(&action(None)).await.is_err());
        assert_eq!(fake.calls().len(), 4, "a heartbeat does no harm twice, so the SDK retries it");
    }

    #[test]
    fn times_that_no_hook_can_have_are_unknown() {
        let seconds = |heartbeat, global| {
            let times = hook_times(heartbeat, global);
            (times.heartbeat_timeout.as_secs(), times.global_timeout.as_secs())
        };
        assert_eq!(seconds(Some(300), Some(6000)), (300, 6000));
        assert_eq!(seconds(Some(0), Some(0)), (30, 172_800));
        assert_eq!(seconds(Some(0), Some(6000)), (30, 6000));
        assert_eq!(seconds(Some(300), Some(0)), (300, 30_000));
        assert_eq!(seconds(Some(7200), None), (7200, 172_800));
        assert_eq!(seconds(Some(-1), None), (30, 172_800));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_has_two_times() {
        let hooks =
            |hooks: &str| Reply::query("DescribeLifecycleHooks", &format!("<LifecycleHooks>{hooks}</LifecycleHooks>"));
        let times = |heartbeat, global| HookTimes {
            heartbeat_timeout: Duration::from_secs(heartbeat),
            global_timeout: Duration::from_secs(global),
        };
        for (reply, expected) in [
            ("<member><LifecycleHookName>other</LifecycleHookName></member>", None),
            ("", None),
            (
                "<member><LifecycleHookName>drain</LifecycleHookName><HeartbeatTimeout>300</HeartbeatTimeout>\
                 <GlobalTimeout>30000</GlobalTimeout></member>",
                Some(times(300, 30_000)),
            ),
            (
                "<member><LifecycleHookName>drain</LifecycleHookName><HeartbeatTimeout>300</HeartbeatTimeout></member>",
                Some(times(300, 30_000)),
            ),
            ("<member><LifecycleHookName>drain</LifecycleHookName></member>", Some(times(30, 172_800))),
        ] {
            let fake = Fake::always(hooks(reply));
            assert_eq!(port(&fake).hook(&action(None)).await, Ok(expected), "{reply}");
        }
        let gone = validation_error("AutoScalingGroup name not found - AutoScalingGroup web not found");
        assert_eq!(port(&gone).hook(&action(None)).await, Ok(None));
    }
}
