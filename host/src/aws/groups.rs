//! The host's own port to EC2 Auto Scaling: what the sweep sees of all instances, and the agent on a node of its own.

use async_trait::async_trait;
use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::types::{AutoScalingInstanceDetails, LifecycleHook};

use super::budget::Budget;
use super::error::Call;
use super::lifecycle::{hook_times, is_no_such_group};
use crate::doors::imds::Membership;
use crate::event::Transition;
use crate::event::imds::Member;
use crate::ports::{GroupName, HookName, IdError, InstanceId, PortError, PortErrorKind};
use crate::sweep::{Groups, Hook, Waiting, waits};

/// How many instances a page has at most (API reference, DescribeAutoScalingInstances).
const PAGE: i32 = 50;

/// The Auto Scaling groups of the account and region.
#[derive(Debug)]
pub(super) struct AutoScalingGroups {
    client: Client,
    budget: Budget,
}

impl AutoScalingGroups {
    pub(super) fn new(client: Client, budget: Budget) -> Self {
        Self { client, budget }
    }
}

#[async_trait]
impl Groups for AutoScalingGroups {
    async fn waiting(&self) -> Result<Vec<Waiting>, PortError> {
        let call = Call::new("autoscaling:DescribeAutoScalingInstances", "all instances");
        let mut pages = self.client.describe_auto_scaling_instances().into_paginator().page_size(PAGE).send();
        let mut found = Vec::new();
        self.budget.turn(call.operation()).await;
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| call.failed(&error))?;
            found.extend(page.auto_scaling_instances().iter().filter_map(waiting));
            if page.next_token().is_some() {
                self.budget.turn(call.operation()).await;
            }
        }
        Ok(found)
    }

    async fn hooks(&self, group: &GroupName) -> Result<Vec<Hook>, PortError> {
        let call = Call::new("autoscaling:DescribeLifecycleHooks", format!("group {group}"));
        self.budget.turn(call.operation()).await;
        match self.client.describe_lifecycle_hooks().auto_scaling_group_name(group.as_str()).send().await {
            Ok(answer) => Ok(answer.lifecycle_hooks().iter().filter_map(hook).collect()),
            Err(error) if is_no_such_group(&error) => Ok(Vec::new()),
            Err(error) => Err(call.failed(&error)),
        }
    }
}

#[async_trait]
impl Membership for AutoScalingGroups {
    async fn member(&self, instance: &InstanceId) -> Result<Option<Member>, PortError> {
        let call = Call::new("autoscaling:DescribeAutoScalingInstances", instance.as_str());
        self.budget.turn(call.operation()).await;
        let request = self.client.describe_auto_scaling_instances().instance_ids(instance.as_str());
        let answer = request.send().await.map_err(|error| call.failed(&error))?;
        let ours = |found: &&AutoScalingInstanceDetails| found.instance_id() == Some(instance.as_str());
        let Some(found) = answer.auto_scaling_instances().iter().find(ours) else { return Ok(None) };
        let group = GroupName::parse(found.auto_scaling_group_name().unwrap_or_default())
            .map_err(|error| call.error(PortErrorKind::Other, error.to_string()))?;
        let lifecycle_state = found.lifecycle_state().unwrap_or_default().to_owned();
        // Its hooks matter only while one of them holds it back.
        let hooks = if waits(&lifecycle_state) { self.hooks(&group).await? } else { Vec::new() };
        let hooks = hooks.into_iter().map(|hook| (hook.name, hook.transition)).collect();
        Ok(Some(Member { group, lifecycle_state, hooks }))
    }
}

/// The instance, if it waits. One that we cannot name is passed over: the net must hold for all the others.
fn waiting(from: &AutoScalingInstanceDetails) -> Option<Waiting> {
    let lifecycle_state = from.lifecycle_state().filter(|state| waits(state))?;
    let named = || -> Result<_, IdError> {
        let group = GroupName::parse(from.auto_scaling_group_name().unwrap_or_default())?;
        Ok((group, InstanceId::parse(from.instance_id().unwrap_or_default())?))
    };
    match named() {
        Ok((group, instance)) => Some(Waiting { group, instance, lifecycle_state: lifecycle_state.to_owned() }),
        Err(error) => {
            tracing::warn!(%error, lifecycle_state, "Auto Scaling tells of an instance that waits, and not which one");
            None
        }
    }
}

/// The hook, if it is of a transition that we know.
fn hook(from: &LifecycleHook) -> Option<Hook> {
    let known = [Transition::Launching, Transition::Terminating];
    let transition = known.into_iter().find(|transition| from.lifecycle_transition() == Some(transition.as_str()))?;
    let name = HookName::parse(from.lifecycle_hook_name()?).ok()?;
    let times = hook_times(from.heartbeat_timeout(), from.global_timeout());
    Some(Hook { name, transition, times, metadata: from.notification_metadata().map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::aws::fake::{Fake, Reply};
    use crate::lifecycle::HookTimes;
    use crate::ports::PortErrorKind;

    fn port(fake: &Fake) -> AutoScalingGroups {
        AutoScalingGroups::new(Client::new(&fake.config()), Budget::new())
    }

    fn web() -> GroupName {
        GroupName::parse("web").unwrap()
    }

    /// A page with these instances, in these states; the token of the next page, if there is one.
    fn page(instances: &[(&str, &str)], next: Option<usize>) -> Reply {
        let members: String = instances
            .iter()
            .map(|(id, state)| {
                format!(
                    "<member><InstanceId>{id}</InstanceId><AutoScalingGroupName>web</AutoScalingGroupName>\
                     <LifecycleState>{state}</LifecycleState></member>"
                )
            })
            .collect();
        let next = next.map(|next| format!("<NextToken>{next}</NextToken>")).unwrap_or_default();
        let result = format!("<AutoScalingInstances>{members}</AutoScalingInstances>{next}");
        Reply::query("DescribeAutoScalingInstances", &result)
    }

    /// Pages of one instance each, all of which wait. The page at `faulty` is refused `times` times.
    fn pages(count: usize, faulty: usize, times: usize) -> Fake {
        let left = Mutex::new(times);
        Fake::new(move |call| {
            let token = call.body.split('&').find_map(|field| field.strip_prefix("NextToken="));
            let at: usize = token.map_or(0, |token| token.parse().unwrap());
            let mut left = left.lock().unwrap();
            if at == faulty && *left > 0 {
                *left -= 1;
                return Reply::query_error(400, "Throttling", "Rate exceeded");
            }
            page(&[(&format!("i-{at:017x}"), "Terminating:Wait")], Some(at + 1).filter(|next| *next < count))
        })
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_wait_are_found_on_every_page_and_no_others() {
        let fake = Fake::new(|call| match call.body.contains("NextToken=2") {
            true => page(&[("i-00000000000000003", "Warmed:Pending:Wait")], None),
            false => page(
                &[
                    ("i-00000000000000001", "InService"),
                    ("i-00000000000000002", "Terminating:Wait"),
                    ("i-00000000000000004", "Terminating:Retained"),
                    ("i-00000000000000005", "Hibernating:Maybe"),
                    ("i-00000000000000006", "Hibernating:Wait"),
                    ("mi-7", "Terminating:Wait"),
                ],
                Some(2),
            ),
        });
        let found = port(&fake).waiting().await.unwrap();
        let told: Vec<_> = found.iter().map(|found| (found.instance.as_str(), &*found.lifecycle_state)).collect();
        assert_eq!(
            told,
            [
                ("i-00000000000000002", "Terminating:Wait"),
                ("i-00000000000000006", "Hibernating:Wait"),
                ("i-00000000000000003", "Warmed:Pending:Wait"),
            ]
        );
        assert!(found.iter().all(|found| found.group == web()));
        assert!(fake.calls()[0].body.contains("MaxRecords=50"), "{}", fake.calls()[0].body);
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_half_way_costs_time_and_no_instance() {
        assert_eq!(port(&pages(4, 2, 3)).waiting().await.unwrap().len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_whole_is_none() {
        let error = port(&pages(4, 2, 99)).waiting().await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Throttled);
        insta::assert_snapshot!(error.message, @"autoscaling:DescribeAutoScalingInstances for all instances: AWS asks to slow down, and did so at every retry (Throttling: Rate exceeded, HTTP 400, request req-1)");
    }

    #[tokio::test(start_paused = true)]
    async fn the_pages_of_a_large_account_stay_within_the_budget() {
        let fake = pages(100, 0, 0);
        assert_eq!(port(&fake).waiting().await.unwrap().len(), 100);
        let calls = fake.calls();
        let last = calls.last().unwrap().at - calls[0].at;
        assert!(last >= Duration::from_secs(15), "100 pages within {last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn hooks_are_told_with_their_transition_and_times() {
        let hook = |name: &str, transition: &str| {
            let told = (name == "drain").then_some("<NotificationMetadata>blue</NotificationMetadata>");
            let metadata = told.unwrap_or_default();
            format!(
                "<member><LifecycleHookName>{name}</LifecycleHookName><HeartbeatTimeout>300</HeartbeatTimeout>\
                 {metadata}<LifecycleTransition>autoscaling:EC2_INSTANCE_{transition}</LifecycleTransition></member>"
            )
        };
        let hooks = ["drain", "prepare", "dream"].into_iter().zip(["TERMINATING", "LAUNCHING", "HIBERNATING"]);
        let hooks: String = hooks.map(|(name, transition)| hook(name, transition)).collect();
        let reply = Reply::query("DescribeLifecycleHooks", &format!("<LifecycleHooks>{hooks}</LifecycleHooks>"));
        let times =
            HookTimes { heartbeat_timeout: Duration::from_secs(300), global_timeout: Duration::from_secs(30_000) };
        let named = |name, transition, metadata: Option<&str>| {
            let metadata = metadata.map(str::to_owned);
            Hook { name: HookName::parse(name).unwrap(), transition, times, metadata }
        };
        assert_eq!(
            port(&Fake::always(reply)).hooks(&web()).await,
            Ok(vec![
                named("drain", Transition::Terminating, Some("blue")),
                named("prepare", Transition::Launching, None)
            ])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_instance_is_told_with_the_hooks_that_may_hold_it_back() {
        let instance = InstanceId::parse("i-00000000000000002").unwrap();
        let fake = |state: &'static str| {
            Fake::new(move |call| match call.body.contains("Action=DescribeLifecycleHooks") {
                true => Reply::query(
                    "DescribeLifecycleHooks",
                    "<LifecycleHooks><member><LifecycleHookName>drain</LifecycleHookName>\
                     <LifecycleTransition>autoscaling:EC2_INSTANCE_TERMINATING</LifecycleTransition></member></LifecycleHooks>",
                ),
                // Emulators do not always keep to the filter.
                false => page(&[("i-00000000000000001", "Pending:Wait"), ("i-00000000000000002", state)], None),
            })
        };
        let held = fake("Terminating:Wait");
        let drain = (HookName::parse("drain").unwrap(), Transition::Terminating);
        let member = Member { group: web(), lifecycle_state: "Terminating:Wait".to_owned(), hooks: vec![drain] };
        assert_eq!(port(&held).member(&instance).await, Ok(Some(member)));
        assert!(held.calls()[0].body.contains("InstanceIds.member.1=i-00000000000000002"));

        let free = fake("InService");
        let member = Member { group: web(), lifecycle_state: "InService".to_owned(), hooks: vec![] };
        assert_eq!(port(&free).member(&instance).await, Ok(Some(member)));
        assert_eq!(free.calls().len(), 1);

        let nobody = Fake::always(page(&[("i-00000000000000001", "Terminating:Wait")], None));
        assert_eq!(port(&nobody).member(&instance).await, Ok(None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_is_gone_has_no_hooks_and_any_other_refusal_is_an_error() {
        let gone = "AutoScalingGroup name not found - AutoScalingGroup web not found";
        let fake = Fake::always(Reply::query_error(400, "ValidationError", gone));
        assert_eq!(port(&fake).hooks(&web()).await, Ok(vec![]));
        let fake = Fake::always(Reply::query_error(403, "AccessDenied", "no"));
        let error = port(&fake).hooks(&web()).await.unwrap_err();
        insta::assert_snapshot!(error.message, @"autoscaling:DescribeLifecycleHooks for group web: not allowed by IAM (AccessDenied: no, HTTP 403, request req-1); allow autoscaling:DescribeLifecycleHooks for the role Hostler runs as");
    }
}
