//! Auto Scaling, as far as the host speaks to it: a server of our own that checks what it is told and remembers it.
//!
//! The emulators accept any completion, or none. The errors here are worded as AWS words them, since the host reads them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::{Request, Response, Server, pairs};

const NAMESPACE: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";

/// The server.
#[derive(Debug)]
pub struct AutoScaling {
    /// Where it listens.
    pub server: Server,
    state: Arc<Mutex<State>>,
}

/// A call that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Such as `CompleteLifecycleAction`.
    pub action: String,
    /// Its parameters, by AWS's names.
    pub parameters: BTreeMap<String, String>,
    /// Whether it was accepted.
    pub accepted: bool,
}

impl Call {
    /// A parameter's value; empty when it was not given.
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }
}

#[derive(Debug, Default)]
struct State {
    actions: Vec<Action>,
    calls: Vec<Call>,
}

/// An instance held back by a hook; each has a group and a hook of its own making.
#[derive(Debug)]
struct Action {
    group: String,
    hook: String,
    instance: String,
    token: String,
    active: bool,
    protected: bool,
}

/// What AWS calls a sender's error: code and message.
struct Fault(&'static str, String);

impl AutoScaling {
    /// An Auto Scaling without groups.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let served = Arc::clone(&state);
        Self { server: Server::start(move |request| answer(&mut lock(&served), &request)), state }
    }

    /// Has `hook` of `group` hold back `instance` on its way out: the token that the event carries.
    pub fn hold_back(&self, group: &str, hook: &str, instance: &str) -> String {
        let mut state = lock(&self.state);
        let token = format!("00000000-0000-4000-8000-{:012}", state.actions.len());
        state.actions.push(Action {
            group: group.into(),
            hook: hook.into(),
            instance: instance.into(),
            token: token.clone(),
            active: true,
            protected: false,
        });
        token
    }

    /// What was called about `group`, in order.
    pub fn calls(&self, group: &str) -> Vec<Call> {
        let calls = lock(&self.state).calls.clone();
        calls.into_iter().filter(|call| call.parameter("AutoScalingGroupName") == group).collect()
    }

    /// The completions of `group`'s lifecycle actions, in order.
    pub fn completions(&self, group: &str) -> Vec<Call> {
        self.calls(group).into_iter().filter(|call| call.action == "CompleteLifecycleAction").collect()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(state: &mut State, request: &Request) -> Response {
    let form = String::from_utf8_lossy(&request.body).into_owned();
    let mut parameters: BTreeMap<_, _> = pairs(&form).collect();
    let action = parameters.remove("Action").unwrap_or_default();
    parameters.remove("Version");
    let mut call = Call { action, parameters, accepted: false };
    let result = state.act(&call);
    call.accepted = result.is_ok();
    let action = call.action.clone();
    state.calls.push(call);

    let (status, body) = match result {
        Ok(body) => (
            200,
            format!(
                "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{body}</{action}Result>\
                 <ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></{action}Response>"
            ),
        ),
        Err(Fault(code, message)) => (
            400,
            format!(
                "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code>\
                 <Message>{}</Message></Error><RequestId>0</RequestId></ErrorResponse>",
                escape(&message)
            ),
        ),
    };
    let mut response = Response::new(status, body);
    response.headers.push(("content-type".into(), "text/xml".into()));
    response
}

impl State {
    fn act(&mut self, call: &Call) -> Result<String, Fault> {
        match call.action.as_str() {
            "DescribeLifecycleHooks" => self.hooks(call),
            "DescribeAutoScalingInstances" => Ok(self.instances(call)),
            "SetInstanceProtection" => self.protect(call),
            "RecordLifecycleActionHeartbeat" => self.active(call).map(|_| String::new()),
            "CompleteLifecycleAction" => {
                let result = call.parameter("LifecycleActionResult");
                if !["CONTINUE", "ABANDON"].contains(&result) {
                    return Err(Fault("ValidationError", format!("{result:?} is not a valid LifecycleActionResult")));
                }
                self.active(call)?.active = false;
                Ok(String::new())
            }
            other => Err(Fault("InvalidAction", format!("Could not find operation {other} for version 2011-01-01"))),
        }
    }

    /// The lifecycle action that a call names, if it still waits.
    fn active(&mut self, call: &Call) -> Result<&mut Action, Fault> {
        let (token, instance) = (call.parameter("LifecycleActionToken"), call.parameter("InstanceId"));
        let named = |action: &&mut Action| {
            action.active
                && action.group == call.parameter("AutoScalingGroupName")
                && action.hook == call.parameter("LifecycleHookName")
                && if token.is_empty() { action.instance == instance } else { action.token == token }
        };
        let by = if token.is_empty() { format!("instance ID {instance}") } else { format!("token {token}") };
        let gone = || Fault("ValidationError", format!("No active Lifecycle Action found with {by}"));
        self.actions.iter_mut().find(named).ok_or_else(gone)
    }

    fn hooks(&self, call: &Call) -> Result<String, Fault> {
        let group = call.parameter("AutoScalingGroupName");
        if !self.actions.iter().any(|action| action.group == group) {
            return Err(Fault("ValidationError", format!("AutoScalingGroup name not found - no such group: {group}")));
        }
        let mut hooks: Vec<_> = self.actions.iter().filter(|action| action.group == group).map(|a| &a.hook).collect();
        let asked = list(call, "LifecycleHookNames");
        hooks.sort();
        hooks.dedup();
        let members = hooks.into_iter().filter(|hook| asked.is_empty() || asked.contains(&hook.as_str())).map(|hook| {
            format!(
                "<member><AutoScalingGroupName>{}</AutoScalingGroupName><LifecycleHookName>{}</LifecycleHookName>\
                 <LifecycleTransition>autoscaling:EC2_INSTANCE_TERMINATING</LifecycleTransition>\
                 <HeartbeatTimeout>3600</HeartbeatTimeout><GlobalTimeout>172800</GlobalTimeout>\
                 <DefaultResult>ABANDON</DefaultResult></member>",
                escape(group),
                escape(hook)
            )
        });
        Ok(format!("<LifecycleHooks>{}</LifecycleHooks>", members.collect::<String>()))
    }

    fn instances(&self, call: &Call) -> String {
        let asked = list(call, "InstanceIds");
        let members = self.actions.iter().filter(|action| asked.contains(&action.instance.as_str())).map(|action| {
            format!(
                "<member><InstanceId>{}</InstanceId><AutoScalingGroupName>{}</AutoScalingGroupName>\
                 <AvailabilityZone>eu-central-1a</AvailabilityZone><HealthStatus>HEALTHY</HealthStatus>\
                 <LifecycleState>Terminating:{}</LifecycleState>\
                 <ProtectedFromScaleIn>{}</ProtectedFromScaleIn></member>",
                escape(&action.instance),
                escape(&action.group),
                if action.active { "Wait" } else { "Proceed" },
                action.protected
            )
        });
        format!("<AutoScalingInstances>{}</AutoScalingInstances>", members.collect::<String>())
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
}

/// A list among the parameters: `name.member.1` and so on.
fn list<'a>(call: &'a Call, name: &str) -> Vec<&'a str> {
    let prefix = format!("{name}.member.");
    call.parameters.iter().filter(|(key, _)| key.starts_with(&prefix)).map(|(_, value)| value.as_str()).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
