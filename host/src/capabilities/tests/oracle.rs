//! What a call should come to, told from the words of the documentation and from nothing of the policy's code.

use std::collections::HashSet;

use super::{COMMANDS, Call, Target};
use crate::bindings::hostler::handler::types::ErrorCode;

/// A section of `[handler.grants]`.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// `clusters`, or `groups`; of no meaning to `ec2` and `ssh`.
    pub(super) names: &'static [&'static str],
    /// `allow`; of no meaning to `ssh`.
    pub(super) allow: Vec<&'static str>,
    /// `commands`; of no meaning to any but `ssh`.
    pub(super) commands: &'static [&'static [&'static str]],
    /// `instances = "any"`.
    pub(super) any: bool,
}

/// `[handler.grants]`.
#[derive(Debug, Clone, Default)]
pub(super) struct Grants {
    pub(super) ecs: Option<Section>,
    pub(super) autoscaling: Option<Section>,
    pub(super) ec2: Option<Section>,
    pub(super) ssh: Option<Section>,
}

impl Grants {
    /// As the policy writes them.
    pub(super) fn written(&self) -> String {
        let any = |section: &Section| if section.any { ", instances = \"any\"" } else { "" };
        let mut lines = Vec::new();
        if let Some(s) = &self.ecs {
            lines.push(format!("ecs = {{ clusters = {:?}, allow = {:?}{} }}", s.names, s.allow, any(s)));
        }
        if let Some(s) = &self.autoscaling {
            lines.push(format!("autoscaling = {{ groups = {:?}, allow = {:?}{} }}", s.names, s.allow, any(s)));
        }
        if let Some(s) = &self.ec2 {
            lines.push(format!("ec2 = {{ allow = {:?}{} }}", s.allow, any(s)));
        }
        if let Some(s) = &self.ssh {
            let ssh = "user = \"u\", key = \"env:K\", host-keys = \"console\"";
            lines.push(format!("ssh = {{ {ssh}, commands = {:?}{} }}", s.commands, any(s)));
        }
        lines.join("\n")
    }
}

/// What a call comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) ends: Result<(), ErrorCode>,
    /// What of the world it reaches, in order.
    pub(super) reaches: Vec<String>,
}

/// One attempt, as the documentation sees it.
pub(super) struct Oracle {
    pub(super) grants: Grants,
    pub(super) names_instance: bool,
    /// Container instances are searched for once in an attempt.
    pub(super) found: HashSet<Target>,
}

impl Oracle {
    pub(super) fn judge(&mut self, call: &Call) -> Verdict {
        let (interface, function) = call.function.split_once('.').unwrap();
        let id = call.target.id();
        let verdict =
            |ends, reaches: &[&str]| Verdict { ends, reaches: reaches.iter().map(|at| format!("{at} {id}")).collect() };
        let (section, word) = match (interface, function) {
            ("config" | "log" | "clock", _) => return verdict(Ok(()), &[]),
            ("ecs", "find-container-instance" | "list-tasks") => (&self.grants.ecs, "read"),
            ("ecs", "drain") => (&self.grants.ecs, "drain"),
            ("ecs", "stop-task") => (&self.grants.ecs, "stop-task"),
            ("autoscaling", "describe-instance") => (&self.grants.autoscaling, "read"),
            ("autoscaling", "set-instance-protection") => (&self.grants.autoscaling, "protect"),
            ("ec2", "describe-instance") => (&self.grants.ec2, "read"),
            ("ssh", "exec") => (&self.grants.ssh, ""),
            _ => panic!("{} is in the contract, and the oracle knows nothing of it", call.function),
        };
        if call.target == Target::Malformed {
            return verdict(Err(ErrorCode::Invalid), &[]);
        }
        let own = call.target == Target::Own && self.names_instance;
        let section = section
            .clone()
            .filter(|section| (interface == "ssh" || section.allow.contains(&word)) && (section.any || own));
        let Some(section) = section else { return verdict(Err(ErrorCode::Denied), &[]) };
        match interface {
            "ecs" => self.ecs(call, function, &section),
            "autoscaling" => {
                let look = "autoscaling.describe-instance";
                match group(call.target) {
                    None if function == "describe-instance" => verdict(Ok(()), &[look]),
                    None => verdict(Err(ErrorCode::NotFound), &[look]),
                    Some(group) if !named(&section, group) => verdict(Err(ErrorCode::Denied), &[look]),
                    Some(_) if function == "describe-instance" => verdict(Ok(()), &[look]),
                    Some(_) => verdict(Ok(()), &[look, "autoscaling.set-instance-protection"]),
                }
            }
            "ec2" if call.target == Target::Unknown => verdict(Err(ErrorCode::NotFound), &["ec2.describe-instance"]),
            "ec2" => verdict(Ok(()), &["ec2.describe-instance"]),
            _ if !section.commands.iter().any(|pattern| runs(pattern, COMMANDS[call.command])) => {
                verdict(Err(ErrorCode::Denied), &[])
            }
            _ if call.target == Target::Unknown => verdict(Err(ErrorCode::NotFound), &["ec2.describe-instance"]),
            _ => verdict(Ok(()), &["ec2.describe-instance", "ssh.exec"]),
        }
    }

    /// A cluster that is not granted does not exist for the handler.
    fn ecs(&mut self, call: &Call, function: &str, section: &Section) -> Verdict {
        let member = cluster(call.target).is_some_and(|cluster| named(section, cluster));
        let mut reaches = Vec::new();
        if function == "find-container-instance" || !self.found.contains(&call.target) {
            reaches.push("ecs.find-container-instance");
        }
        let ends = if !member {
            if function == "find-container-instance" { Ok(()) } else { Err(ErrorCode::NotFound) }
        } else {
            self.found.insert(call.target);
            match function {
                "drain" => reaches.push("ecs.drain"),
                "list-tasks" => reaches.push("ecs.list-tasks"),
                "stop-task" => reaches.push("ecs.list-tasks"),
                _ => {}
            }
            if function != "stop-task" {
                Ok(())
            } else if call.task_of == call.target {
                reaches.push("ecs.stop-task");
                Ok(())
            } else {
                Err(ErrorCode::NotFound)
            }
        };
        Verdict { ends, reaches: reaches.into_iter().map(|at| format!("{at} {}", call.target.id())).collect() }
    }
}

fn cluster(target: Target) -> Option<&'static str> {
    match target {
        Target::Own | Target::Sibling => Some("prod-1"),
        Target::Elsewhere => Some("batch"),
        _ => None,
    }
}

fn group(target: Target) -> Option<&'static str> {
    match target {
        Target::Own | Target::Sibling => Some("web"),
        Target::Elsewhere => Some("jobs"),
        _ => None,
    }
}

/// Names are whole, or have one star at their end: all that this matrix writes.
fn named(section: &Section, name: &str) -> bool {
    section.names.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => name.len() >= beginning.len() && &name[..beginning.len()] == beginning,
        None => *pattern == name,
    })
}

/// Argument by argument: `*` is one that is no option, a last `**` the rest.
fn runs(pattern: &[&str], command: &[&str]) -> bool {
    let mut given = command.iter();
    for wanted in pattern {
        let Some(argument) = (if *wanted == "**" { return true } else { given.next() }) else { return false };
        if !(wanted == argument || *wanted == "*" && !argument.starts_with('-')) {
            return false;
        }
    }
    given.next().is_none()
}
