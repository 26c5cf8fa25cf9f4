//! The lifecycle actions, what is asked of them, and what time does to them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Call, Fault, escape};

/// The timeout of a hook that says nothing else (API reference, PutLifecycleHook).
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(3600);

/// The most that heartbeats can make of it: so many times the timeout, and never more than 48 hours.
const HEARTBEATS: u32 = 100;
const LONGEST: Duration = Duration::from_secs(48 * 3600);

/// How many instances a page has, at most and when nothing else is asked for.
const PAGE: usize = 50;

#[derive(Debug, Default)]
pub(super) struct State {
    /// Timeouts, by group and hook, where they are not the usual one.
    timeouts: BTreeMap<(String, String), Duration>,
    actions: Vec<Action>,
    pub(super) calls: Vec<Call>,
}

/// An instance held back by a hook.
#[derive(Debug)]
struct Action {
    group: String,
    hook: String,
    instance: String,
    token: String,
    timeout: Duration,
    began: Instant,
    heartbeats: Vec<Instant>,
    accepted: Vec<String>,
    refused: usize,
    end: Option<(Instant, Ended)>,
    protected: bool,
}

/// How a lifecycle action ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was completed with this result.
    Completed(String),
    /// No heartbeat came in time.
    TimedOut,
}

/// What became of a lifecycle action.
#[derive(Debug, Clone)]
pub struct Story {
    /// The instance it holds back.
    pub instance: String,
    /// Its hook.
    pub hook: String,
    /// The results it was completed with: one, where all is well.
    pub accepted: Vec<String>,
    /// How many completions came when it was over.
    pub refused: usize,
    /// How many heartbeats it had.
    pub heartbeats: usize,
    /// The longest time that it was without a sign of life, from its beginning to its end, or to now.
    pub longest_gap: Duration,
    /// How it ended; none while it waits.
    pub end: Option<Ended>,
}

impl Action {
    /// When it ends unless a heartbeat comes.
    fn ends_at(&self) -> Instant {
        let alive = self.heartbeats.last().copied().unwrap_or(self.began);
        (alive + self.timeout).min(self.began + global_timeout(self.timeout))
    }

    fn is_active(&self) -> bool {
        self.end.is_none()
    }

    fn story(&self, now: Instant) -> Story {
        let end = self.end.as_ref().map_or(now, |(at, _)| *at);
        let signs = [self.began].into_iter().chain(self.heartbeats.iter().copied());
        let next = self.heartbeats.iter().copied().chain([end]);
        Story {
            instance: self.instance.clone(),
            hook: self.hook.clone(),
            accepted: self.accepted.clone(),
            refused: self.refused,
            heartbeats: self.heartbeats.len(),
            longest_gap: signs.zip(next).map(|(sign, next)| next - sign).max().unwrap_or_default(),
            end: self.end.as_ref().map(|(_, end)| end.clone()),
        }
    }
}

impl State {
    pub(super) fn hook(&mut self, group: &str, hook: &str, timeout: Duration) {
        self.timeouts.insert((group.into(), hook.into()), timeout);
    }

    pub(super) fn hold_back(&mut self, group: &str, hook: &str, instance: &str, now: Instant) -> String {
        let token = format!("00000000-0000-4000-8000-{:012}", self.actions.len());
        self.actions.push(Action {
            group: group.into(),
            hook: hook.into(),
            instance: instance.into(),
            token: token.clone(),
            timeout: self.timeout(group, hook),
            began: now,
            heartbeats: Vec::new(),
            accepted: Vec::new(),
            refused: 0,
            end: None,
            protected: false,
        });
        token
    }

    pub(super) fn stories(&mut self, group: &str, now: Instant) -> Vec<Story> {
        self.expire(now);
        self.actions.iter().filter(|action| action.group == group).map(|action| action.story(now)).collect()
    }

    pub(super) fn act(&mut self, call: &Call, now: Instant) -> Result<String, Fault> {
        self.expire(now);
        match call.action.as_str() {
            "DescribeLifecycleHooks" => self.hooks(call),
            "DescribeAutoScalingInstances" => self.instances(call),
            "SetInstanceProtection" => self.protect(call),
            "RecordLifecycleActionHeartbeat" => {
                self.active(call)?.heartbeats.push(now);
                Ok(String::new())
            }
            "CompleteLifecycleAction" => self.complete(call, now),
            other => Err(Fault("InvalidAction", format!("Could not find operation {other} for version 2011-01-01"))),
        }
    }

    /// Ends what nobody has kept alive.
    fn expire(&mut self, now: Instant) {
        for action in self.actions.iter_mut().filter(|action| action.is_active() && action.ends_at() <= now) {
            action.end = Some((action.ends_at(), Ended::TimedOut));
        }
    }

    fn complete(&mut self, call: &Call, now: Instant) -> Result<String, Fault> {
        let result = call.parameter("LifecycleActionResult");
        if !["CONTINUE", "ABANDON"].contains(&result) {
            return Err(Fault("ValidationError", format!("{result:?} is not a valid LifecycleActionResult")));
        }
        let over = match self.active(call) {
            Ok(action) => {
                action.accepted.push(result.to_owned());
                action.end = Some((now, Ended::Completed(result.to_owned())));
                return Ok(String::new());
            }
            Err(over) => over,
        };
        if let Some(action) = self.actions.iter_mut().rev().find(|action| action.is_meant(call)) {
            action.refused += 1;
        }
        Err(over)
    }

    /// The lifecycle action that a call names, if it still waits.
    fn active(&mut self, call: &Call) -> Result<&mut Action, Fault> {
        let (token, instance) = (call.parameter("LifecycleActionToken"), call.parameter("InstanceId"));
        let by = if token.is_empty() { format!("instance ID {instance}") } else { format!("token {token}") };
        let over = || Fault("ValidationError", format!("No active Lifecycle Action found with {by}"));
        self.actions.iter_mut().find(|action| action.is_active() && action.is_meant(call)).ok_or_else(over)
    }

    fn hooks(&self, call: &Call) -> Result<String, Fault> {
        let group = call.parameter("AutoScalingGroupName");
        let configured = self.timeouts.keys().filter(|(of, _)| of == group).map(|(_, hook)| hook.as_str());
        let acting = self.actions.iter().filter(|action| action.group == group).map(|action| action.hook.as_str());
        let mut hooks: Vec<_> = configured.chain(acting).collect();
        if hooks.is_empty() {
            return Err(Fault("ValidationError", format!("AutoScalingGroup name not found - no such group: {group}")));
        }
        let asked = list(call, "LifecycleHookNames");
        hooks.sort_unstable();
        hooks.dedup();
        let members = hooks.into_iter().filter(|hook| asked.is_empty() || asked.contains(hook)).map(|hook| {
            let timeout = self.timeout(group, hook);
            format!(
                "<member><AutoScalingGroupName>{}</AutoScalingGroupName><LifecycleHookName>{}</LifecycleHookName>\
                 <LifecycleTransition>autoscaling:EC2_INSTANCE_TERMINATING</LifecycleTransition>\
                 <HeartbeatTimeout>{}</HeartbeatTimeout><GlobalTimeout>{}</GlobalTimeout>\
                 <DefaultResult>ABANDON</DefaultResult></member>",
                escape(group),
                escape(hook),
                timeout.as_secs(),
                global_timeout(timeout).as_secs()
            )
        });
        Ok(format!("<LifecycleHooks>{}</LifecycleHooks>", members.collect::<String>()))
    }

    /// The instances asked for, or a page of all there are. One that nothing holds back any longer goes on to its end.
    fn instances(&self, call: &Call) -> Result<String, Fault> {
        let asked = list(call, "InstanceIds");
        if asked.len() > PAGE {
            let message = format!("The number of instance ids that may be passed in is limited to {PAGE}");
            return Err(Fault("ValidationError", message));
        }
        let mut instances = BTreeMap::new();
        for action in self.actions.iter().filter(|action| asked.is_empty() || asked.contains(&&*action.instance)) {
            let (waits, latest) = instances.entry(action.instance.as_str()).or_insert((false, action));
            *waits |= action.is_active();
            *latest = action;
        }
        let size = call.parameter("MaxRecords").parse().unwrap_or(PAGE).clamp(1, PAGE);
        let from: usize = match call.parameter("NextToken") {
            "" => 0,
            token => token.parse().map_err(|_| Fault("InvalidNextToken", format!("The token {token} is not valid")))?,
        };
        let members = instances.values().skip(from).take(size).map(|(waits, action)| {
            format!(
                "<member><InstanceId>{}</InstanceId><AutoScalingGroupName>{}</AutoScalingGroupName>\
                 <AvailabilityZone>eu-central-1a</AvailabilityZone><HealthStatus>HEALTHY</HealthStatus>\
                 <LifecycleState>Terminating:{}</LifecycleState>\
                 <ProtectedFromScaleIn>{}</ProtectedFromScaleIn></member>",
                escape(&action.instance),
                escape(&action.group),
                if *waits { "Wait" } else { "Proceed" },
                action.protected
            )
        });
        let members: String = members.collect();
        let next = from + size;
        let token = if next < instances.len() { format!("<NextToken>{next}</NextToken>") } else { String::new() };
        Ok(format!("<AutoScalingInstances>{members}</AutoScalingInstances>{token}"))
    }

    fn protect(&mut self, call: &Call) -> Result<String, Fault> {
        let (asked, protected) = (list(call, "InstanceIds"), call.parameter("ProtectedFromScaleIn") == "true");
        for id in asked {
            let group = call.parameter("AutoScalingGroupName");
            let member = self.actions.iter_mut().find(|action| action.instance == id && action.group == group);
            let unknown =
                || Fault("ValidationError", format!("The instance {id} is not part of Auto Scaling group {group}."));
            member.ok_or_else(unknown)?.protected = protected;
        }
        Ok(String::new())
    }

    fn timeout(&self, group: &str, hook: &str) -> Duration {
        self.timeouts.get(&(group.to_owned(), hook.to_owned())).copied().unwrap_or(HEARTBEAT_TIMEOUT)
    }
}

impl Action {
    /// Whether a call names it: by its token, or by the instance where it gives none. Group and hook must fit too.
    fn is_meant(&self, call: &Call) -> bool {
        let (token, instance) = (call.parameter("LifecycleActionToken"), call.parameter("InstanceId"));
        self.group == call.parameter("AutoScalingGroupName")
            && self.hook == call.parameter("LifecycleHookName")
            && if token.is_empty() { self.instance == instance } else { self.token == token }
    }
}

fn global_timeout(heartbeat_timeout: Duration) -> Duration {
    (heartbeat_timeout * HEARTBEATS).min(LONGEST)
}

/// A list among the parameters: `name.member.1` and so on.
fn list<'a>(call: &'a Call, name: &str) -> Vec<&'a str> {
    let prefix = format!("{name}.member.");
    call.parameters.iter().filter(|(key, _)| key.starts_with(&prefix)).map(|(_, value)| value.as_str()).collect()
}
