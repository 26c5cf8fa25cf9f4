//! A group whose instance is about to go, and stands in a cluster beside another one; and what the function made of it.

use std::net::Ipv4Addr;

use hostler_tests::{Fleet, Function, Instance, Invocation, events, policy};
use serde_json::Value;

/// The hook of every group.
pub(crate) const HOOK: &str = "drain";

/// What a policy's handler runs, without its `.wasm`.
pub(crate) const MODULE: &str = "handler";

pub(crate) struct Scene {
    pub(crate) fleet: Fleet,
    pub(crate) instance: Instance,
    pub(crate) other: Instance,
    pub(crate) token: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let fleet = Fleet::new("web");
        // The other one first, so that whoever takes the first container instance of a cluster takes the wrong one.
        let other = fleet.launch(Ipv4Addr::new(127, 0, 0, 2));
        let instance = fleet.launch(Ipv4Addr::LOCALHOST);
        let token = fleet.hold_back(HOOK, &instance.id);
        Self { fleet, instance, other, token }
    }

    pub(crate) fn upload(&self, module: impl Into<Vec<u8>>) {
        self.fleet.upload(MODULE, module);
    }

    /// A policy with one handler. `sections` follow its `[handler.event]`.
    pub(crate) fn policy(&self, sections: &str) -> String {
        let Fleet { bucket, group, .. } = &self.fleet;
        let modules = policy::modules(bucket) + "refresh = \"0s\"\n";
        let handler = policy::handler("terminating", MODULE);
        [&modules, &handler, &policy::terminations(group, HOOK), sections, "\n"].concat()
    }

    /// The grants of a handler that drains. Other grants may follow.
    pub(crate) fn grants(&self) -> String {
        policy::grants(&self.fleet.cluster)
    }

    pub(crate) fn deploy(&self, sections: &str) -> Function<'static> {
        Function::deploy(self.fleet.stack, &self.policy(sections), &[])
    }

    /// The event that EventBridge sends about the instance.
    pub(crate) fn event(&self) -> Value {
        events::termination(&self.fleet.group, HOOK, &self.instance.id, &self.token)
    }

    /// Lets the next instance of the group go: the event about it.
    pub(crate) fn next_event(&mut self) -> Value {
        self.instance = self.fleet.launch(Ipv4Addr::LOCALHOST);
        self.token = self.fleet.hold_back(HOOK, &self.instance.id);
        self.event()
    }

    pub(crate) fn status(&self) -> String {
        self.fleet.status(&self.instance)
    }

    pub(crate) fn status_of_the_other(&self) -> String {
        self.fleet.status(&self.other)
    }

    /// What Auto Scaling was told: token and result of each completion, and whether it accepted them.
    pub(crate) fn completions(&self) -> Vec<(String, String, bool)> {
        let calls = self.fleet.completions().into_iter();
        let told = calls.map(|call| {
            let parameter = |name| call.parameter(name).to_owned();
            (parameter("LifecycleActionToken"), parameter("LifecycleActionResult"), call.accepted)
        });
        told.collect()
    }

    pub(crate) fn completion(&self, result: &str) -> (String, String, bool) {
        (self.token.clone(), result.to_owned(), true)
    }
}

/// What the function returned for the one event of an invocation: its decision, why, and what became of the lifecycle action.
pub(crate) fn end(invocation: &Invocation) -> (&str, &str, &str) {
    assert!(!invocation.failed, "it failed: {}", invocation.payload);
    let end = &invocation.payload["events"][0];
    let text = |key: &str| end[key].as_str().unwrap_or_default();
    (text("decision"), text("why"), text("lifecycle"))
}

/// The error of a failed invocation.
pub(crate) fn failure(invocation: &Invocation) -> &str {
    assert!(invocation.failed, "it did not fail: {}", invocation.payload);
    invocation.payload["errorMessage"].as_str().unwrap_or_default()
}

/// The lines of attempts at an event, with an outcome.
pub(crate) fn attempts(function: &Function<'_>, token: &str, outcome: &str) -> Vec<Value> {
    function.lines(&format!("an attempt at {token} that came to {outcome:?}"), |line| {
        line["message"] == "attempt" && line["event"] == token && line["outcome"] == outcome
    })
}

/// The lines of host calls with a result.
pub(crate) fn host_calls(function: &Function<'_>, call: &str, result: &str) -> Vec<Value> {
    function.lines(&format!("a call of {call} with the result {result:?}"), |line| {
        line["message"] == "host call" && line["call"] == call && line["result"] == result
    })
}

/// How often the function was set up: one process each.
pub(crate) fn processes(function: &Function<'_>) -> usize {
    function.lines("of a process that is ready", |line| line["message"] == "ready").len()
}
