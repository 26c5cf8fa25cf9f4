//! The TOML form of a world: what its keys mean, and what is wrong with them.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::WorldError;
use super::keys::{File, GroupKeys, HookKeys, InstanceKeys, SshKeys, TaskKeys, closest, with_suggestion};
use super::node::{Member, Node, Phase, Registration};
use super::ssh::{Behaviour, Script};
use super::state::{Group, HEARTBEAT_TIMEOUT, Hook, State, hook_times};
use crate::dispatch::Place;
use crate::dispatch::lifecycle::{HookTimes, LifecycleResult};
use crate::event::Transition;
use crate::ports::{CommandOutput, InstanceId};

/// The largest file that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// How long a task takes to stop when the file does not say.
const STOPS_IN: Duration = Duration::from_secs(10);

// The words of AWS that a file may use, in each list first the one that holds when the key is absent.
const INSTANCE_STATES: &[&str] = &["running", "pending", "shutting-down", "terminated", "stopping", "stopped"];
const INSTANCE_LIFECYCLES: &[&str] = &["on-demand", "spot", "scheduled", "capacity-block"];
const HEALTH: &[&str] = &["HEALTHY", "UNHEALTHY"];
const CONTAINER_INSTANCE_STATUSES: &[&str] =
    &["ACTIVE", "DRAINING", "REGISTERING", "REGISTRATION_FAILED", "DEREGISTERING"];
const RESULTS: &[&str] = &["ABANDON", "CONTINUE"];
const TRANSITIONS: &[&str] =
    &["terminating", "launching", "autoscaling:EC2_INSTANCE_TERMINATING", "autoscaling:EC2_INSTANCE_LAUNCHING"];
const LIFECYCLE_STATES: &[&str] = &[
    "InService",
    "Pending",
    "Pending:Wait",
    "Pending:Proceed",
    "Quarantined",
    "Terminating",
    "Terminating:Wait",
    "Terminating:Proceed",
    "Terminating:Retained",
    "Terminated",
    "Detaching",
    "Detached",
    "EnteringStandby",
    "Standby",
    "Warmed:Pending",
    "Warmed:Pending:Wait",
    "Warmed:Pending:Proceed",
    "Warmed:Terminating",
    "Warmed:Terminating:Wait",
    "Warmed:Terminating:Proceed",
    "Warmed:Terminated",
    "Warmed:Stopped",
    "Warmed:Running",
    "Warmed:Hibernated",
];

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what would mend it.
    pub message: String,
}

/// The mistakes, one to a line, each with its place.
pub(super) fn explain(name: &str, mistakes: &[Mistake]) -> String {
    let lines: Vec<_> =
        mistakes.iter().map(|mistake| format!("{name}:{}: {}", mistake.line, mistake.message)).collect();
    lines.join("\n")
}

/// Reads a world, or explains its mistakes: the first when it is not of the right form, else all of them.
pub(super) fn parse(name: &str, text: &str) -> Result<State, WorldError> {
    let fail = |mistakes| WorldError::File { name: name.to_owned(), mistakes };
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, and a world can have {MAX_BYTES} at most", text.len());
        return Err(fail(vec![Mistake { line: 1, message }]));
    }
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        fail(vec![Mistake { line, message: with_suggestion(error.message()) }])
    })?;
    let place = Place { account: file.account.clone(), region: file.region.clone() };
    let state = State::empty(place, file.start.map(|start| start.0));
    let mut builder = Builder { text, state, mistakes: Vec::new() };
    builder.build(file);
    let Builder { state, mut mistakes, .. } = builder;
    if mistakes.is_empty() {
        return Ok(state);
    }
    mistakes.sort_by_key(|mistake| mistake.line);
    Err(fail(mistakes))
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// A world being put together, and what was found wrong on the way.
struct Builder<'t> {
    text: &'t str,
    state: State,
    mistakes: Vec<Mistake>,
}

impl Builder<'_> {
    /// Everything, in the order in which one thing refers to another.
    fn build(&mut self, file: File) {
        for cluster in file.cluster {
            if self.state.clusters.contains(cluster.name.get_ref()) {
                self.mistake(cluster.name.span(), format!("the cluster {} is there twice", cluster.name.get_ref()));
            }
            self.state.clusters.push(cluster.name.into_inner());
        }
        for keys in file.group {
            self.group(keys);
        }
        for keys in file.instance {
            self.instance(keys);
        }
        for keys in file.task {
            self.task(keys);
        }
        for node in 0..self.state.nodes.len() {
            self.state.continue_draining(node, Duration::ZERO);
        }
        for keys in file.ssh {
            self.ssh(keys);
        }
    }

    fn group(&mut self, keys: GroupKeys) {
        if self.state.group(keys.name.get_ref()).is_some() {
            self.mistake(keys.name.span(), format!("the group {} is there twice", keys.name.get_ref()));
        }
        let mut group = Group { name: keys.name.into_inner(), hooks: Vec::new() };
        for keys in keys.hook {
            if group.hooks.iter().any(|hook| hook.name == *keys.name.get_ref()) {
                let message = format!("the group {} has the hook {} twice", group.name, keys.name.get_ref());
                self.mistake(keys.name.span(), message);
            }
            group.hooks.push(self.hook(keys));
        }
        self.state.groups.push(group);
    }

    /// API reference, PutLifecycleHook and the `LifecycleHook` data type, for the ranges.
    fn hook(&mut self, keys: HookKeys) -> Hook {
        let heartbeat_timeout = keys.heartbeat_timeout.map_or(HEARTBEAT_TIMEOUT, |time| time.0);
        if !(Duration::from_secs(30)..=Duration::from_secs(7200)).contains(&heartbeat_timeout) {
            let message = format!("the heartbeat-timeout of the hook {} must be from 30s to 2h", keys.name.get_ref());
            self.mistake(keys.name.span(), message);
        }
        let longest = hook_times(heartbeat_timeout).global_timeout;
        let global_timeout = keys.global_timeout.map_or(longest, |time| time.0);
        if global_timeout > longest {
            let message = format!(
                "the global-timeout of the hook {} must be {} at most (48h or 100 heartbeat-timeouts)",
                keys.name.get_ref(),
                humantime::format_duration(longest)
            );
            self.mistake(keys.name.span(), message);
        }
        Hook {
            transition: match self.word(Some(keys.transition), "transition", TRANSITIONS) {
                "launching" | "autoscaling:EC2_INSTANCE_LAUNCHING" => Transition::Launching,
                _ => Transition::Terminating,
            },
            times: HookTimes { heartbeat_timeout, global_timeout },
            default_result: match self.word(keys.default_result, "default-result", RESULTS) {
                "CONTINUE" => LifecycleResult::Continue,
                _ => LifecycleResult::Abandon,
            },
            name: keys.name.into_inner(),
        }
    }

    fn instance(&mut self, mut keys: InstanceKeys) {
        let (span, id) = (keys.id.span(), keys.id.get_ref().clone());
        if let Some(known) = self.state.find(&id) {
            let first = self.state.nodes[known].registration.as_ref().map(|registration| registration.cluster.clone());
            let second = keys.cluster.as_ref().map(|cluster| cluster.get_ref().clone());
            let message = match (first, second) {
                (Some(first), Some(second)) if first != second => {
                    format!("{id} is in two clusters, {first} and {second}; an instance is a member of one at most")
                }
                _ => format!("{id} is there twice"),
            };
            self.mistake(span, message);
            return;
        }
        let address = keys.address.unwrap_or_else(|| self.free_address());
        if let Some(other) = self.state.nodes.iter().find(|node| node.address == address) {
            let message = format!("{id} and {} have the same address, {address}", other.id);
            self.mistake(span.clone(), message);
        }
        let lifecycle = self.word(keys.lifecycle.take(), "lifecycle", INSTANCE_LIFECYCLES);
        if keys.reclaimed_after.is_some() && lifecycle != "spot" {
            self.mistake(span, format!("{id} has reclaimed-after, and is {lifecycle}; write lifecycle = \"spot\""));
        }
        let member = self.member(&id, &mut keys);
        let held_by = member.as_ref().and_then(|member| transition_of(member.state));
        let node = Node {
            instance_type: keys.r#type.take().unwrap_or_else(|| "m7g.large".to_owned()),
            lifecycle,
            availability_zone: keys.availability_zone.take().unwrap_or_else(|| format!("{}a", self.state.place.region)),
            address,
            launched_at: keys.launched_at.map(|at| at.0),
            tags: std::mem::take(&mut keys.tags).into_iter().collect(),
            state: self.word(keys.state.take(), "state", INSTANCE_STATES),
            terminated_at: None,
            reclaimed_at: keys.reclaimed_after.map(|time| time.0),
            member,
            registration: self.registration(&id, &mut keys),
            id,
        };
        self.state.add(node);
        if let Some(transition) = held_by {
            let held_for = keys.held_for.map_or(Duration::ZERO, |time| time.0);
            self.state.begin_actions(self.state.nodes.len() - 1, transition, Duration::ZERO, held_for);
        }
    }

    /// The instance as a member of the group it names.
    fn member(&mut self, id: &InstanceId, keys: &mut InstanceKeys) -> Option<Member> {
        let Some(group) = keys.group.take() else {
            let without = [
                (keys.lifecycle_state.as_ref().map(Spanned::span), "lifecycle-state"),
                (keys.health_status.as_ref().map(Spanned::span), "health-status"),
                (keys.held_for.as_ref().map(|_| keys.id.span()), "held-for"),
                (keys.protected_from_scale_in.then(|| keys.id.span()), "protected-from-scale-in"),
            ];
            self.useless(&without, id, "group");
            return None;
        };
        if self.state.group(group.get_ref()).is_none() {
            let known: Vec<_> = self.state.groups.iter().map(|group| group.name.as_str().to_owned()).collect();
            self.missing(group.span(), id, "group", group.get_ref().as_str(), &known);
        }
        let state = self.word(keys.lifecycle_state.take(), "lifecycle-state", LIFECYCLE_STATES);
        if keys.held_for.is_some() && transition_of(state).is_none() {
            let message = format!("{id} has held-for, and no hook holds it while it is {state}");
            self.mistake(keys.id.span(), message);
        }
        Some(Member {
            group: group.into_inner(),
            state,
            becomes: None,
            protected: keys.protected_from_scale_in,
            health: self.word(keys.health_status.take(), "health-status", HEALTH),
        })
    }

    /// The instance as a member of the cluster it names.
    fn registration(&mut self, id: &InstanceId, keys: &mut InstanceKeys) -> Option<Registration> {
        let Some(cluster) = keys.cluster.take() else {
            let without = [
                (keys.registered_after.map(|_| keys.id.span()), "registered-after"),
                (keys.container_instance_status.as_ref().map(Spanned::span), "container-instance-status"),
                (keys.agent_connected.map(|_| keys.id.span()), "agent-connected"),
            ];
            self.useless(&without, id, "cluster");
            return None;
        };
        if !self.state.clusters.contains(cluster.get_ref()) {
            let known: Vec<_> = self.state.clusters.iter().map(ToString::to_string).collect();
            self.missing(cluster.span(), id, "cluster", cluster.get_ref().as_str(), &known);
        }
        let mut registration = Registration::new(&self.state.place, cluster.into_inner(), id);
        registration.at = keys.registered_after.map_or(Duration::ZERO, |time| time.0);
        registration.registered = registration.at.is_zero();
        registration.agent_connected = keys.agent_connected.unwrap_or(true);
        registration.status =
            self.word(keys.container_instance_status.take(), "container-instance-status", CONTAINER_INSTANCE_STATUSES);
        Some(registration)
    }

    fn task(&mut self, keys: TaskKeys) {
        let (span, id) = (keys.instance.span(), keys.instance.into_inner());
        let (group, name) = match (keys.service, keys.family) {
            (Some(service), None) => (format!("service:{service}"), service),
            (None, family) => {
                let family = family.unwrap_or_else(|| "standalone".to_owned());
                (format!("family:{family}"), family)
            }
            (Some(service), Some(family)) => {
                self.mistake(
                    span.clone(),
                    format!("a task of the service {service} and of no service ({family}) at once"),
                );
                return;
            }
        };
        if keys.daemon && !group.starts_with("service:") {
            self.mistake(span.clone(), format!("the task {name} is a daemon of no service; write service = \"…\""));
        }
        if keys.stuck && keys.stops_in.is_some() {
            self.mistake(span.clone(), format!("the task {name} has stops-in, and is stuck: choose one"));
        }
        let Some(node) = self.state.find(&id) else {
            let known: Vec<_> = self.state.nodes.iter().map(|node| node.id.to_string()).collect();
            self.missing(span, format!("the task {name}"), "instance", id.as_str(), &known);
            return;
        };
        let place = self.state.place.clone();
        let Some(registration) = &mut self.state.nodes[node].registration else {
            let message = format!("the task {name} is on {id}, which is in no cluster; give the instance a cluster");
            self.mistake(span, message);
            return;
        };
        let task = registration.add_task(&place, &id, group);
        if let Some(definition) = keys.definition {
            task.definition = definition;
        }
        task.daemon = keys.daemon;
        task.stops_in = (!keys.stuck).then(|| keys.stops_in.map_or(STOPS_IN, |time| time.0));
        if let Some(starts_in) = keys.starts_in {
            task.phase = Phase::Pending { runs_at: starts_in.0 };
            task.started = None;
        }
    }

    fn ssh(&mut self, keys: SshKeys) {
        if let Some(instance) = &keys.instance
            && self.state.find(instance.get_ref()).is_none()
        {
            let known: Vec<_> = self.state.nodes.iter().map(|node| node.id.to_string()).collect();
            self.missing(instance.span(), "an ssh answer", "instance", instance.get_ref().as_str(), &known);
        }
        if let Some(command) = &keys.command {
            let (span, command) = (command.span(), command.get_ref());
            if command.is_empty() {
                self.mistake(span, "a command without a program; leave `command` out to mean any".to_owned());
            } else if command[..command.len() - 1].iter().any(|argument| argument == "**") {
                self.mistake(span, "`**` stands for the last arguments, so it can only come last".to_owned());
            }
        }
        let failures = [
            (&keys.hang, "hang", Behaviour::Hangs),
            (&keys.refused, "refused", Behaviour::Refuses),
            (&keys.wrong_host_key, "wrong-host-key", Behaviour::WrongHostKey),
        ];
        let mut chosen = failures.into_iter().filter_map(|(key, name, behaviour)| {
            key.as_ref().filter(|key| *key.get_ref()).map(|key| (key.span(), name, behaviour))
        });
        let behaviour = match chosen.next() {
            Some((_, name, behaviour)) => {
                let answers = [
                    (keys.exit_status.as_ref().map(Spanned::span), "exit-status"),
                    (keys.signal.as_ref().map(Spanned::span), "signal"),
                    (keys.stdout.as_ref().map(Spanned::span), "stdout"),
                    (keys.stderr.as_ref().map(Spanned::span), "stderr"),
                    (keys.delay.as_ref().map(Spanned::span), "delay"),
                ];
                let answers = answers.into_iter().filter_map(|(span, other)| Some((span?, other)));
                for (span, other) in chosen.map(|(span, other, _)| (span, other)).chain(answers) {
                    self.mistake(span, format!("{name} and {other} at once: a node gives one answer"));
                }
                behaviour
            }
            None => {
                if let (Some(status), Some(signal)) = (&keys.exit_status, &keys.signal) {
                    let message = format!(
                        "a command ended by the signal {} has no exit status ({})",
                        signal.get_ref(),
                        status.get_ref()
                    );
                    self.mistake(signal.span(), message);
                }
                let exit_status = keys.exit_status.map(Spanned::into_inner);
                let output = CommandOutput {
                    exit_status: exit_status.or(keys.signal.is_none().then_some(0)),
                    signal: keys.signal.map(Spanned::into_inner),
                    stdout: keys.stdout.map(|text| text.into_inner().into_bytes()).unwrap_or_default(),
                    stderr: keys.stderr.map(|text| text.into_inner().into_bytes()).unwrap_or_default(),
                    ..CommandOutput::default()
                };
                Behaviour::Answers { output, delay: keys.delay.map_or(Duration::ZERO, |delay| delay.into_inner().0) }
            }
        };
        self.state.scripts.push(Script {
            instance: keys.instance.map(Spanned::into_inner),
            command: keys.command.map(Spanned::into_inner),
            behaviour,
        });
    }

    /// One of AWS's words; the first when the key is absent, or is none of them.
    fn word(&mut self, text: Option<Spanned<String>>, key: &str, words: &'static [&'static str]) -> &'static str {
        let Some(text) = text else { return words[0] };
        if let Some(word) = words.iter().find(|word| **word == text.get_ref()) {
            return word;
        }
        let mend = match closest(text.get_ref(), words.iter().copied()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("it can be {}", words.join(", ")),
        };
        self.mistake(text.span(), format!("{key} is {:?}; {mend}", text.get_ref()));
        words[0]
    }

    /// A reference to a thing that is not there.
    fn missing(&mut self, span: Range<usize>, from: impl Display, kind: &str, name: &str, known: &[String]) {
        let mend = match closest(name, known.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("add a [[{kind}]] for it"),
        };
        self.mistake(span, format!("{from} refers to the {kind} {name}, which is not in the world; {mend}"));
    }

    /// Keys that mean nothing without another.
    fn useless(&mut self, keys: &[(Option<Range<usize>>, &str)], id: &InstanceId, without: &str) {
        for (span, key) in keys {
            if let Some(span) = span {
                self.mistake(span.clone(), format!("{id} has {key}, which means nothing without {without} = \"…\""));
            }
        }
    }

    fn mistake(&mut self, span: Range<usize>, message: String) {
        self.mistakes.push(Mistake { line: line_of(self.text, span.start), message });
    }

    /// An address for an instance that was given none: 10.0.0.10 and so on.
    fn free_address(&self) -> IpAddr {
        let taken = |address: &IpAddr| self.state.nodes.iter().any(|node| node.address == *address);
        let first = u32::from(Ipv4Addr::new(10, 0, 0, 10));
        let mut addresses = (first..).map(|bits| IpAddr::V4(Ipv4Addr::from(bits)));
        addresses.find(|address| !taken(address)).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

/// The transition whose hooks hold an instance in `state` back; none when nothing does.
///
/// An instance in `Warmed:Pending:Wait` may also be on its way back into the warm pool, which is a terminating transition; a
/// file that begins there means one on its way in.
fn transition_of(state: &str) -> Option<Transition> {
    match state {
        "Pending:Wait" | "Warmed:Pending:Wait" => Some(Transition::Launching),
        "Terminating:Wait" | "Warmed:Terminating:Wait" => Some(Transition::Terminating),
        _ => None,
    }
}
