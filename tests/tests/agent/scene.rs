//! An instance in a cluster and in a group, for an agent that is on it or elsewhere.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hostler_tests::{Agent, Fleet, Instance, Refusal, events, guest, plugin, policy, poll};
use jiff::SignedDuration;
use serde_json::{Value, json};

/// The hook of every group.
pub(crate) const HOOK: &str = "drain";

/// How long anything may take that happens at once: the host, the emulators and the other tests share a machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The exit status of an agent that finds at its start that it cannot do its work.
pub(crate) const CANNOT_SERVE: Option<i32> = Some(5);

pub(crate) struct Scene {
    pub(crate) fleet: Fleet,
    pub(crate) instance: Instance,
    folder: PathBuf,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let fleet = Fleet::new("agent");
        for name in ["asg-lifecycle", "spot-interruption"] {
            fleet.upload(name, plugin(name));
        }
        fleet.upload("probe", guest("probe"));
        let instance = fleet.launch(Ipv4Addr::LOCALHOST);
        let folder = fleet.stack.folder(&fleet.bucket);
        Self { fleet, instance, folder }
    }

    /// What the test writes, and the agents.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A policy with a ledger in `store`, and with these sections.
    pub(crate) fn policy(&self, store: &str, sections: &str) -> String {
        [&policy::modules(&self.fleet.bucket), &policy::ledger(store), sections].concat()
    }

    /// That of a node: what is announced to it, and a ledger in a folder.
    pub(crate) fn policy_of_node(&self, handlers: &str) -> String {
        let ledger = format!("dir:{}", self.folder.join("ledger").display());
        self.policy(&ledger, &format!("[imds]\npoll = \"1s\"\n{handlers}"))
    }

    /// That of an agent on a queue.
    pub(crate) fn policy_of_queue(&self, url: &str, handlers: &str) -> String {
        self.policy(&format!("s3://{}/ledger/", self.fleet.bucket), &(policy::queue(url) + handlers))
    }

    /// A handler of the terminations of the group.
    pub(crate) fn handler(&self, module: &str, sections: &str) -> String {
        let handler = policy::handler("terminating", module);
        [&handler, &policy::terminations(&self.fleet.group, HOOK), sections].concat()
    }

    /// The handler of Spot notices.
    pub(crate) fn spot(&self) -> String {
        let handler = policy::handler("spot", "spot-interruption");
        [handler, policy::told_by_ec2("EC2 Spot Instance Interruption Warning"), self.grants()].concat()
    }

    /// The grants of a handler that drains.
    pub(crate) fn grants(&self) -> String {
        policy::grants(&self.fleet.cluster)
    }

    /// What leads an agent to the servers, and then to those of the test.
    pub(crate) fn environment(
        &self,
        more: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Vec<(&'static str, String)> {
        self.fleet.stack.environment().into_iter().chain(more).collect()
    }

    pub(crate) fn start(
        &self,
        name: &str,
        policy: &str,
        more: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Agent {
        Agent::start(&self.folder.join(name), policy, &self.environment(more))
    }

    /// Starts an agent that is not to serve: why it does not, in its own words.
    pub(crate) fn refusal(&self, policy: &str, more: impl IntoIterator<Item = (&'static str, String)>) -> String {
        let Refusal { status, why, log } =
            Agent::refuses(&self.folder.join("refused"), policy, &self.environment(more));
        assert_eq!(status, CANNOT_SERVE, "{log}");
        why
    }

    pub(crate) fn status(&self) -> String {
        self.fleet.status(&self.instance)
    }

    pub(crate) fn wait_until_draining(&self, agent: &Agent) {
        assert!(poll(SOON, || self.status() == "DRAINING"), "it is not drained: {:#?}", agent.log());
    }

    /// Lets the instance go: the event about it.
    pub(crate) fn termination(&self) -> Value {
        let token = self.fleet.hold_back(HOOK, &self.instance.id);
        events::termination(&self.fleet.group, HOOK, &self.instance.id, &token)
    }

    /// What Auto Scaling was told: the result of each completion, and whether it was accepted.
    pub(crate) fn completions(&self) -> Vec<(String, bool)> {
        let calls = self.fleet.completions().into_iter();
        calls.map(|call| (call.parameter("LifecycleActionResult").to_owned(), call.accepted)).collect()
    }

    pub(crate) fn wait_until_completed(&self, agent: &Agent, result: &str) {
        let completed = poll(SOON, || !self.completions().is_empty());
        assert!(completed, "the lifecycle action was not completed: {:#?}", agent.log());
        assert_eq!(self.completions(), [(result.to_owned(), true)]);
    }
}

/// What EC2 tells a Spot instance that it takes back in two minutes.
pub(crate) fn spot_notice() -> String {
    let acts = events::now() + SignedDuration::from_mins(2);
    json!({ "action": "terminate", "time": acts.to_string() }).to_string()
}
