//! What each host function lets a handler do, and what grants lack of it: the only table of both.
//!
//! Judged before anything is known of instances, clusters, groups or commands; [`scope`](super::scope) goes on from here.

use std::fmt;

use serde::{Serialize, Serializer};

use super::grants::write_list;
use super::{AutoScalingAction, AutoScalingGrant, Ec2Action, Ec2Grant, EcsAction, EcsGrant, Grants, SshGrant};

/// What a host function lets a handler do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// A host function of `ecs`.
    Ecs(EcsCall),
    /// A host function of `autoscaling`.
    AutoScaling(AutoScalingCall),
    /// `ec2.describe-instance`.
    DescribeInstance,
    /// `ssh.exec`.
    Exec,
    /// `config.get`.
    Config,
    /// `log.log`.
    Log,
    /// `clock.now`.
    Now,
    /// `clock.sleep`.
    Sleep,
}

/// The host functions of `ecs`: what a search or a listing is made for decides what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EcsCall {
    /// `ecs.find-container-instance`.
    FindContainerInstance,
    /// `ecs.drain`.
    Drain,
    /// `ecs.list-tasks`.
    ListTasks,
    /// `ecs.stop-task`.
    StopTask,
}

/// The host functions of `autoscaling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoScalingCall {
    /// `autoscaling.describe-instance`.
    DescribeInstance,
    /// `autoscaling.set-instance-protection`.
    SetInstanceProtection,
}

/// What the policy has to grant for a power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A word in `grants.ecs.allow`.
    Ecs(EcsAction),
    /// A word in `grants.autoscaling.allow`.
    AutoScaling(AutoScalingAction),
    /// A word in `grants.ec2.allow`.
    Ec2(Ec2Action),
    /// `grants.ssh`, whose patterns say which commands.
    Ssh,
}

/// What grants lack for a power, whatever it would be used on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// The rule that refuses it.
    pub rule: String,
    /// What to write, and where, to allow it.
    pub remedy: String,
}

impl Power {
    /// Every power there is, in the order of the contract.
    pub const ALL: [Self; 12] = [
        Self::Ecs(EcsCall::FindContainerInstance),
        Self::Ecs(EcsCall::Drain),
        Self::Ecs(EcsCall::ListTasks),
        Self::Ecs(EcsCall::StopTask),
        Self::AutoScaling(AutoScalingCall::DescribeInstance),
        Self::AutoScaling(AutoScalingCall::SetInstanceProtection),
        Self::DescribeInstance,
        Self::Exec,
        Self::Config,
        Self::Log,
        Self::Now,
        Self::Sleep,
    ];

    /// The power of a host function, named such as `ecs.drain`.
    pub fn of(call: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|power| power.call() == call)
    }

    /// The host function, as denials name it.
    pub fn call(self) -> &'static str {
        match self {
            Self::Ecs(EcsCall::FindContainerInstance) => "ecs.find-container-instance",
            Self::Ecs(EcsCall::Drain) => "ecs.drain",
            Self::Ecs(EcsCall::ListTasks) => "ecs.list-tasks",
            Self::Ecs(EcsCall::StopTask) => "ecs.stop-task",
            Self::AutoScaling(AutoScalingCall::DescribeInstance) => "autoscaling.describe-instance",
            Self::AutoScaling(AutoScalingCall::SetInstanceProtection) => "autoscaling.set-instance-protection",
            Self::DescribeInstance => "ec2.describe-instance",
            Self::Exec => "ssh.exec",
            Self::Config => "config.get",
            Self::Log => "log.log",
            Self::Now => "clock.now",
            Self::Sleep => "clock.sleep",
        }
    }

    /// What it comes to, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ecs(EcsCall::FindContainerInstance) => "find the event's instance in an ECS cluster",
            Self::Ecs(EcsCall::Drain) => "set the event's container instance to DRAINING",
            Self::Ecs(EcsCall::ListTasks) => "list the tasks on the event's container instance",
            Self::Ecs(EcsCall::StopTask) => "stop a task on the event's container instance",
            Self::AutoScaling(AutoScalingCall::DescribeInstance) => {
                "read the state of the event's instance in its Auto Scaling group"
            }
            Self::AutoScaling(AutoScalingCall::SetInstanceProtection) => {
                "protect the event's instance from scale-in, or stop protecting it"
            }
            Self::DescribeInstance => "read the state, address and tags of the event's instance",
            Self::Exec => "run a command on the event's instance over SSH",
            Self::Config => "read its settings",
            Self::Log => "write lines to the host's log",
            Self::Now => "read the time",
            Self::Sleep => "pause",
        }
    }

    /// What the policy has to grant for it; none where every handler has it.
    pub fn need(self) -> Option<Need> {
        match self {
            Self::Ecs(call) => Some(Need::Ecs(call.needs())),
            Self::AutoScaling(call) => Some(Need::AutoScaling(call.needs())),
            Self::DescribeInstance => Some(Need::Ec2(Ec2Action::Read)),
            Self::Exec => Some(Need::Ssh),
            Self::Config | Self::Log | Self::Now | Self::Sleep => None,
        }
    }
}

impl EcsCall {
    pub(super) fn name(self) -> &'static str {
        Power::Ecs(self).call()
    }

    fn needs(self) -> EcsAction {
        match self {
            Self::FindContainerInstance | Self::ListTasks => EcsAction::Read,
            Self::Drain => EcsAction::Drain,
            Self::StopTask => EcsAction::StopTask,
        }
    }
}

impl AutoScalingCall {
    pub(super) fn name(self) -> &'static str {
        Power::AutoScaling(self).call()
    }

    fn needs(self) -> AutoScalingAction {
        match self {
            Self::DescribeInstance => AutoScalingAction::Read,
            Self::SetInstanceProtection => AutoScalingAction::Protect,
        }
    }
}

impl Need {
    /// The section of `[handler.grants]`.
    fn section(self) -> &'static str {
        match self {
            Self::Ecs(_) => "ecs",
            Self::AutoScaling(_) => "autoscaling",
            Self::Ec2(_) => "ec2",
            Self::Ssh => "ssh",
        }
    }

    /// The word in the section's `allow`, where it has one.
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Ecs(EcsAction::Read) | Self::AutoScaling(AutoScalingAction::Read) | Self::Ec2(Ec2Action::Read) => {
                Some("read")
            }
            Self::Ecs(EcsAction::Drain) => Some("drain"),
            Self::Ecs(EcsAction::StopTask) => Some("stop-task"),
            Self::AutoScaling(AutoScalingAction::Protect) => Some("protect"),
            Self::Ssh => None,
        }
    }

    /// A section that grants it, to be filled in.
    fn example(self) -> String {
        let names = match self {
            Self::Ecs(_) => "clusters = [\"…\"], ",
            Self::AutoScaling(_) => "groups = [\"…\"], ",
            Self::Ec2(_) | Self::Ssh => "",
        };
        match self.word() {
            Some(word) => format!("{{ {names}allow = [\"{word}\"] }}"),
            None => "{ user = \"…\", key = \"…\", host-keys = \"…\", commands = [[\"…\"]] }".to_owned(),
        }
    }
}

impl fmt::Display for Need {
    /// `grants.ecs allow "drain"`, or `grants.ssh`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grants.{}", self.section())?;
        self.word().map_or(Ok(()), |word| write!(f, " allow \"{word}\""))
    }
}

impl Serialize for Need {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.rule, self.remedy)
    }
}

impl Grants {
    /// What these grants lack for `power`; none when there is something it may be used on.
    pub fn lack(&self, power: Power) -> Option<Lack> {
        match power {
            Power::Ecs(call) => self.for_ecs(call).err(),
            Power::AutoScaling(call) => self.for_autoscaling(call).err(),
            Power::DescribeInstance => self.for_ec2().err(),
            Power::Exec => self.for_ssh().err(),
            Power::Config | Power::Log | Power::Now | Power::Sleep => None,
        }
    }

    /// The line of the policy where the section of `need` stands, if there is one.
    pub fn line_of(&self, need: Need) -> Option<usize> {
        match need {
            Need::Ecs(_) => self.ecs.as_ref().map(|grant| grant.line),
            Need::AutoScaling(_) => self.autoscaling.as_ref().map(|grant| grant.line),
            Need::Ec2(_) => self.ec2.as_ref().map(|grant| grant.line),
            Need::Ssh => self.ssh.as_ref().map(|grant| grant.line),
        }
    }

    pub(super) fn for_ecs(&self, call: EcsCall) -> Result<&EcsGrant, Lack> {
        let need = Need::Ecs(call.needs());
        let grant = self.ecs.as_ref().ok_or_else(|| self.no_grant(need))?;
        let allowed =
            [(EcsAction::Read, grant.read), (EcsAction::Drain, grant.drain), (EcsAction::StopTask, grant.stop_task)];
        check_allowed(need, grant.line, allowed.map(|(action, allowed)| (Need::Ecs(action), allowed)))?;
        Ok(grant)
    }

    pub(super) fn for_autoscaling(&self, call: AutoScalingCall) -> Result<&AutoScalingGrant, Lack> {
        let need = Need::AutoScaling(call.needs());
        let grant = self.autoscaling.as_ref().ok_or_else(|| self.no_grant(need))?;
        let allowed = [(AutoScalingAction::Read, grant.read), (AutoScalingAction::Protect, grant.protect)];
        check_allowed(need, grant.line, allowed.map(|(action, allowed)| (Need::AutoScaling(action), allowed)))?;
        Ok(grant)
    }

    pub(super) fn for_ec2(&self) -> Result<&Ec2Grant, Lack> {
        let need = Need::Ec2(Ec2Action::Read);
        let grant = self.ec2.as_ref().ok_or_else(|| self.no_grant(need))?;
        check_allowed(need, grant.line, [(need, grant.read)])?;
        Ok(grant)
    }

    pub(super) fn for_ssh(&self) -> Result<&SshGrant, Lack> {
        self.ssh.as_ref().ok_or_else(|| self.no_grant(Need::Ssh))
    }

    fn no_grant(&self, need: Need) -> Lack {
        let (section, example, line) = (need.section(), need.example(), self.line);
        Lack {
            rule: format!("it has no {section} grant"),
            remedy: format!("to allow it, add {section} = {example} to its [handler.grants] (line {line})"),
        }
    }
}

/// Whether `need` is among what a section allows.
fn check_allowed<const N: usize>(need: Need, line: usize, section: [(Need, bool); N]) -> Result<(), Lack> {
    if section.contains(&(need, true)) {
        return Ok(());
    }
    let words = section.into_iter().filter(|(_, allowed)| *allowed).filter_map(|(need, _)| need.word());
    let mut allowed = String::new();
    // Writing to a string cannot fail.
    let _ = write_list(&mut allowed, words);
    let allowed = if allowed.is_empty() { "nothing".to_owned() } else { format!("only {allowed}") };
    let (name, word) = (need.section(), need.word().unwrap_or_default());
    Err(Lack {
        rule: format!("its {name} grant (line {line}) allows {allowed}"),
        remedy: format!("to allow it, add \"{word}\" to grants.{name}.allow"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_the_contract_says() {
        let mut resolve = wit_parser::Resolve::default();
        resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).unwrap();
        let mut calls = Vec::new();
        for (_, interface) in &resolve.interfaces {
            let name = interface.name.as_deref().unwrap();
            for function in interface.functions.values() {
                let call = format!("{name}.{}", function.name);
                let need = Power::of(&call).unwrap_or_else(|| panic!("{call} is not in the table")).need();
                let (own, whole) = (function.docs.contents.as_deref(), interface.docs.contents.as_deref());
                let documented = match need {
                    Some(need) => match need.word() {
                        Some(word) => own.is_some_and(|docs| docs.contains(&format!("`allow = [\"{word}\"]`"))),
                        None => whole.is_some_and(|docs| docs.contains(&format!("Grant: `{} =", need.section()))),
                    },
                    None => whole.is_some_and(|docs| docs.contains("Needs no grant.")),
                };
                assert!(documented, "wit/{name}.wit does not say of {call} what the table says: {need:?}");
                calls.push(call);
            }
        }
        assert_eq!(calls.len(), Power::ALL.len());
        assert_eq!(Power::of("ecs.destroy-cluster"), None);
    }

    #[test]
    fn the_words_of_allow_are_those_the_policy_takes() {
        for need in Power::ALL.into_iter().filter_map(Power::need) {
            let Some(word) = need.word() else { continue };
            let json = format!("\"{word}\"");
            let read = match need {
                Need::Ecs(action) => serde_json::from_str(&json).is_ok_and(|read: EcsAction| read == action),
                Need::AutoScaling(action) => {
                    serde_json::from_str(&json).is_ok_and(|read: AutoScalingAction| read == action)
                }
                Need::Ec2(action) => serde_json::from_str(&json).is_ok_and(|read: Ec2Action| read == action),
                Need::Ssh => false,
            };
            assert!(read, "{need} is not what the policy calls it");
        }
    }
}
