//! Auto Scaling, as far as the host speaks to it: a server of our own that checks what it is told and remembers it.
//!
//! The emulators accept any completion, or none. The errors here are worded as AWS words them, since the host reads them.

mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::state::State;
pub use self::state::{Ended, Story};
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

impl AutoScaling {
    /// An Auto Scaling without groups.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let served = Arc::clone(&state);
        Self { server: Server::start(move |request| answer(&mut lock(&served), &request)), state }
    }

    /// Gives `group` a hook on the way out whose actions end when no heartbeat comes for so long. Else it is an hour.
    pub fn hook(&self, group: &str, hook: &str, heartbeat_timeout: Duration) {
        lock(&self.state).hook(group, hook, heartbeat_timeout);
    }

    /// Has `hook` of `group` hold back `instance` on its way out, from now on: the token that the event carries.
    pub fn hold_back(&self, group: &str, hook: &str, instance: &str) -> String {
        lock(&self.state).hold_back(group, hook, instance, Instant::now())
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

    /// What became of every lifecycle action of `group` up to now, in the order in which they began.
    pub fn stories(&self, group: &str) -> Vec<Story> {
        lock(&self.state).stories(group, Instant::now())
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What AWS calls a sender's error: code and message.
struct Fault(&'static str, String);

fn answer(state: &mut State, request: &Request) -> Response {
    let form = String::from_utf8_lossy(&request.body).into_owned();
    let mut parameters: BTreeMap<_, _> = pairs(&form).collect();
    let action = parameters.remove("Action").unwrap_or_default();
    parameters.remove("Version");
    let mut call = Call { action, parameters, accepted: false };
    let result = state.act(&call, Instant::now());
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

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
