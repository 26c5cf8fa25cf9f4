//! From what the file says to a [`Policy`]: defaults, bounds, and what only shows when several keys are seen together.

mod host;
mod trust;
mod warnings;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use self::warnings::{left_out, probably_not_meant};
use super::file::{
    AutoScalingAction, AutoScalingSection, Ec2Action, Ec2Section, EcsAction, EcsSection, File, FinishSection,
    GrantsSection, HandlerSection, LimitsSection, ModulesSection, SshSection,
};
use super::pattern::EventPattern;
use super::texts::{Sha256, VersionId};
use super::{
    AutoScalingGrant, CommandPattern, Ec2Grant, EcsGrant, Finish, Grants, Handler, HostKeys, Instances, LARGEST_MODULE,
    Limits, Location, Mistakes, ModulesPolicy, NamePatterns, Pattern, Pin, Policy, SshGrant,
};
use crate::digest::sha256;
use crate::reading::units::{Size, Time};
use crate::reading::{At, Reading, Section};

/// Reads a policy, or explains every mistake in it.
pub(super) fn parse(name: &str, text: &str) -> Result<Policy, Mistakes> {
    let mut reading = Reading::new(text);
    let policy = reading.read::<File>(text).and_then(|file| policy(&mut reading, file));
    let (mistakes, warnings) = reading.findings.finish();
    match policy {
        Some(policy) if mistakes.is_empty() => Ok(Policy { digest: sha256(text), warnings, ..policy }),
        _ => Err(Mistakes { name: name.to_owned(), mistakes }),
    }
}

/// None only where a mistake has been noted; all the functions below keep to that. The digest and the warnings are still to come.
fn policy(reading: &mut Reading<'_>, file: File) -> Option<Policy> {
    host::needs_a_ledger(reading, &file);
    let modules_at = file.modules.as_ref().map_or(0, |section| section.at);
    let modules = reading
        .required(
            0,
            "modules",
            file.modules,
            "[modules] with source = \"s3://BUCKET/PREFIX/\" or \"dir:PATH\" below it",
        )
        .and_then(|section| modules(reading, section, trust::is_named_by_all(file.handler.as_ref())));
    let recordings = file.recordings.and_then(|section| host::store(reading, section.at, section.value.0.store));
    let ledger = file.ledger.and_then(|section| host::ledger(reading, section));
    let queue_at = file.queue.as_ref().map_or(0, |section| section.at);
    let queue = file.queue.and_then(|section| host::queue(reading, section));
    let sweeps_at = file.sweep.as_ref().map(|section| section.at);
    let imds = file.imds.map(|section| host::imds(reading, section));
    let agent = host::agent(reading, file.agent);
    let sweep = file.sweep.map(|section| host::sweep(reading, section));
    if let (Some(at), Some(ledger), Some(_)) = (sweeps_at, &ledger, &imds) {
        host::sweeps_for_all(reading, at, ledger);
    }
    let written = reading.required(0, "handler", file.handler, "at least one [[handler]]");
    let mut handlers = Vec::new();
    let in_folder = modules.as_ref().is_some_and(|modules| matches!(modules.source, Location::Dir(_)));
    let rollback_after = modules.as_ref().and_then(|modules| modules.rollback_after);
    let revoked = modules.as_ref().map(|modules| modules.trust.revoked.clone()).unwrap_or_default();
    let mut seen = Seen { in_folder, rollback_after, revoked, ..Seen::default() };
    for section in written.map(|handlers| handlers.0).unwrap_or_default() {
        if let Some(handler) = handler(reading, section, &mut seen) {
            handlers.push(Arc::new(handler));
        }
    }
    let (digest, warnings) = (String::new(), Vec::new());
    let mut modules = modules?;
    modules.trust.of_modules = trust::of_modules(seen.trusted);
    let policy = Policy { modules, recordings, ledger, queue, imds, agent, sweep, handlers, digest, warnings };
    left_out(reading, modules_at, queue_at, &policy);
    Some(policy)
}

/// `named` says whether each handler names those whom it trusts.
fn modules(reading: &mut Reading<'_>, At { at, value }: Section<ModulesSection>, named: bool) -> Option<ModulesPolicy> {
    let section = value.0;
    let source = reading.required(at, "source", section.source, "source = \"s3://BUCKET/PREFIX/\" or \"dir:PATH\"");
    let refresh =
        reading.within("refresh", section.refresh, Time::seconds(10), Time::seconds(0)..=Time::seconds(86_400));
    let max_size = reading.within("max-size", section.max_size, Size::mib(32), Size::kib(1)..=Size(LARGEST_MODULE));
    let rollback_after = reading.count("rollback-after", section.rollback_after, 3, 0..=100);
    let keys = (section.trusted_keys, section.revoked_keys);
    let trust = trust::of_all(reading, at, keys, section.allow_unsigned, named);
    let rollback_after = (rollback_after > 0).then_some(rollback_after);
    Some(ModulesPolicy { source: source?, refresh: refresh.0, max_size: max_size.0, trust: trust?, rollback_after })
}

/// What was said before a handler: of modules, and by earlier handlers.
#[derive(Debug, Default)]
struct Seen {
    /// Whether modules come from a folder.
    in_folder: bool,
    rollback_after: Option<u32>,
    /// The keys that are revoked.
    revoked: Vec<String>,
    /// The line of each name.
    names: HashMap<String, usize>,
    /// Whom the first handler of each module trusts, by itself, and its line.
    trusted: BTreeMap<String, (usize, Option<Vec<String>>)>,
    patterns: Vec<(String, Pattern)>,
}

fn handler(reading: &mut Reading<'_>, At { at, value }: Section<HandlerSection>, seen: &mut Seen) -> Option<Handler> {
    let section = value.0;
    let name = reading.required(at, "name", section.name, "name = \"…\", unique in the file");
    let module = reading.required(at, "module", section.module, "module = \"….wasm\"");
    let event =
        reading.required(at, "event", section.event, "[handler.event] with source = [\"aws.autoscaling\"] below it");
    if let Some(name) = &name {
        let line = reading.findings.line(name.at);
        if let Some(first) = seen.names.insert(name.value.0.clone(), line) {
            let message = format!("the handler on line {first} has this name too: names are unique");
            reading.findings.mistake(name.at, message);
        }
    }
    let event = event.map(|event| (event.at, EventPattern::read(event.at, &event.value, reading)));
    if let Some(module) = &module {
        trust::of_handler(reading, at, &module.0, section.trusted_keys, seen);
    }
    let pin = pin(reading, section.sha256, section.version_id, seen.in_folder);
    let finish = finish(reading, section.finish);
    if let (None, Some(after)) = (&pin, seen.rollback_after)
        && after > finish.max_attempts
    {
        let message = format!(
            "an event is given up after {} attempts that fail, before a broken plugin is given up for the one before it, which \
             takes {after}: raise max-attempts in [handler.finish], or lower rollback-after in [modules]",
            finish.max_attempts
        );
        reading.findings.warn(at, message);
    }
    let limits = limits(reading, section.limits);
    let grants = grants(reading, at, section.grants);
    let config = section.config.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();

    let (name, (event_at, event)) = (name?.value.0, event?);
    probably_not_meant(reading, event_at, &event, seen);
    seen.patterns.push((name.clone(), event.clone()));
    Some(Handler { name, module: module?.0, pin, event, finish, limits, grants: grants?, config })
}

fn pin(
    reading: &mut Reading<'_>,
    sha256: Option<At<Sha256>>,
    version_id: Option<At<VersionId>>,
    in_folder: bool,
) -> Option<Pin> {
    if let (Some(version_id), true) = (&version_id, in_folder) {
        let message = "modules come from a folder, which has no versions: pin the handler with sha256 = \"…\"";
        reading.findings.mistake(version_id.at, message);
    }
    if let (Some(sha256), Some(version_id)) = (&sha256, &version_id) {
        let line = reading.findings.line(sha256.at);
        let message = format!("the handler is pinned already, with sha256 on line {line}: leave one of them out");
        reading.findings.mistake(version_id.at, message);
    }
    let sha256 = sha256.map(|digest| Pin::Sha256(digest.value.0));
    sha256.or_else(|| version_id.map(|id| Pin::VersionId(id.value.0)))
}

fn finish(reading: &mut Reading<'_>, section: Option<Section<FinishSection>>) -> Finish {
    let section = section.map(|section| section.value.0).unwrap_or_default();
    let deadline = Time::seconds(1)..=Time::seconds(48 * 3600);
    Finish {
        deadline: reading.within("deadline", section.deadline, Time::seconds(3600), deadline).0,
        on_failure: section.on_failure,
        max_attempts: reading.count("max-attempts", section.max_attempts, 5, 1..=100),
    }
}

fn limits(reading: &mut Reading<'_>, section: Option<Section<LimitsSection>>) -> Limits {
    let section = section.map(|section| section.value.0).unwrap_or_default();
    let wall = reading.within("wall", section.wall, Time::seconds(60), Time::seconds(1)..=Time::seconds(15 * 60));
    let millisecond = Time(Duration::from_millis(1));
    let cpu = reading.within("cpu", section.cpu, Time::seconds(2).min(wall), millisecond..=Time::seconds(15 * 60));
    if let Some(written) = section.cpu
        && cpu > wall
    {
        let message = format!(
            "cpu is {cpu}, which an attempt cut short after {wall} (wall) can never use: write at most \"{wall}\""
        );
        reading.findings.mistake(written.at, message);
    }
    Limits {
        cpu: cpu.0,
        wall: wall.0,
        memory: reading.within("memory", section.memory, Size::mib(64), Size::mib(1)..=Size::mib(1024)).0,
        host_calls: reading.count("host-calls", section.host_calls, 500, 1..=100_000),
        log: reading.within("log", section.log, Size::kib(256), Size(0)..=Size::mib(16)).0,
        log_lines: reading.count("log-lines", section.log_lines, 1000, 0..=100_000),
        ssh: reading.within("ssh", section.ssh, Size::mib(16), Size(0)..=Size::mib(1024)).0,
    }
}

fn grants(reading: &mut Reading<'_>, handler: usize, section: Option<Section<GrantsSection>>) -> Option<Grants> {
    let line = reading.findings.line(section.as_ref().map_or(handler, |section| section.at));
    let section = section.map(|section| section.value.0).unwrap_or_default();
    // All are read before the first that is wrong ends it, so that all their mistakes are found.
    let ecs = section.ecs.map(|section| ecs(reading, section));
    let autoscaling = section.autoscaling.map(|section| autoscaling(reading, section));
    let ec2 = section.ec2.map(|section| ec2(reading, section));
    let ssh = section.ssh.map(|section| ssh(reading, section));
    let sound = |absent_or_sound: bool| absent_or_sound.then_some(());
    sound(ecs.as_ref().is_none_or(Option::is_some))?;
    sound(autoscaling.as_ref().is_none_or(Option::is_some))?;
    sound(ec2.as_ref().is_none_or(Option::is_some))?;
    sound(ssh.as_ref().is_none_or(Option::is_some))?;
    Some(Grants {
        line,
        ecs: ecs.flatten(),
        autoscaling: autoscaling.flatten(),
        ec2: ec2.flatten(),
        ssh: ssh.flatten(),
    })
}

fn ecs(reading: &mut Reading<'_>, At { at, value }: Section<EcsSection>) -> Option<EcsGrant> {
    let section = value.0;
    let clusters =
        reading.required(at, "clusters", section.clusters, "clusters = [\"…\"], by name, with * for any run");
    let allow = reading.required(
        at,
        "allow",
        section.allow,
        "allow = [\"read\"], with \"drain\" and \"stop-task\" where needed",
    );
    let clusters = clusters.and_then(|list| names(reading, list.at, list.value.into_iter().map(|name| name.0)));
    let allow = allow.and_then(|list| nonempty(reading, list, "allow", "\"read\", \"drain\" or \"stop-task\""));
    let instances = instances(reading, section.instances);
    let line = reading.findings.line(at);
    let (clusters, allow) = (clusters?, allow?);
    Some(EcsGrant {
        clusters: Arc::new(clusters),
        read: allow.contains(&EcsAction::Read),
        drain: allow.contains(&EcsAction::Drain),
        stop_task: allow.contains(&EcsAction::StopTask),
        instances,
        line,
    })
}

fn autoscaling(reading: &mut Reading<'_>, At { at, value }: Section<AutoScalingSection>) -> Option<AutoScalingGrant> {
    let section = value.0;
    let groups = reading.required(at, "groups", section.groups, "groups = [\"…\"], by name, with * for any run");
    let allow = reading.required(at, "allow", section.allow, "allow = [\"read\"], with \"protect\" where needed");
    let groups = groups.and_then(|list| names(reading, list.at, list.value.into_iter().map(|name| name.0)));
    let allow = allow.and_then(|list| nonempty(reading, list, "allow", "\"read\" or \"protect\""));
    let instances = instances(reading, section.instances);
    let line = reading.findings.line(at);
    let (groups, allow) = (groups?, allow?);
    Some(AutoScalingGrant {
        groups,
        read: allow.contains(&AutoScalingAction::Read),
        protect: allow.contains(&AutoScalingAction::Protect),
        instances,
        line,
    })
}

fn ec2(reading: &mut Reading<'_>, At { at, value }: Section<Ec2Section>) -> Option<Ec2Grant> {
    let section = value.0;
    let allow = reading.required(at, "allow", section.allow, "allow = [\"read\"]");
    let allow = allow.and_then(|list| nonempty(reading, list, "allow", "\"read\""));
    let instances = instances(reading, section.instances);
    let line = reading.findings.line(at);
    Some(Ec2Grant { read: allow?.contains(&Ec2Action::Read), instances, line })
}

fn ssh(reading: &mut Reading<'_>, At { at, value }: Section<SshSection>) -> Option<SshGrant> {
    let section = value.0;
    let user = reading.required(at, "user", section.user, "user = \"ec2-user\"");
    let key = reading.required(
        at,
        "key",
        section.key,
        "key = \"file:PATH\", \"env:NAME\", \"secretsmanager:NAME\" or \"instance-connect\"",
    );
    let host_keys = reading.required(
        at,
        "host-keys",
        section.host_keys,
        "host-keys = \"ca:PATH\", \"known-hosts:PATH\" or \"console\"",
    );
    let commands = reading.required(at, "commands", section.commands, "commands = [[\"program\", \"argument\"]]");
    let commands_at = commands.as_ref().map_or(at, |list| list.at);
    let commands = commands.and_then(|list| nonempty(reading, list, "commands", "[\"program\", \"argument\"]"));
    if let Some(At { value: HostKeys::InsecureAcceptAny, at }) = host_keys {
        reading
            .findings
            .warn(at, "any machine that answers at the node's address is taken for the node: prefer \"ca:PATH\"");
    }
    for warning in commands.iter().flatten().filter_map(CommandPattern::probably_not_meant) {
        reading.findings.warn(commands_at, warning);
    }
    if let Some(At { value: true, at }) = section.loopback {
        let warning = "where EC2 gives a node an address of the loopback interface, which it never does itself, commands go to the \
                       machine that Hostler runs on: leave it out, except in tests against an emulator";
        reading.findings.warn(at, warning);
    }
    let second = Time::seconds(1);
    let quarter = Time::seconds(15 * 60);
    let port = reading.count("port", section.port, 22, 1..=65_535);
    let connect =
        reading.within("connect-timeout", section.connect_timeout, Time::seconds(10), second..=Time::seconds(300));
    let command = reading.within("command-timeout", section.command_timeout, Time::seconds(60), second..=quarter);
    let max_output = reading.within("max-output", section.max_output, Size::kib(64), Size(1)..=Size::mib(1));
    let instances = instances(reading, section.instances);
    let line = reading.findings.line(at);
    Some(SshGrant {
        user: user?.0,
        key: key?,
        host_keys: host_keys?.value,
        commands: commands?,
        port: u16::try_from(port).ok()?,
        connect_timeout: connect.0,
        command_timeout: command.0,
        max_output: usize::try_from(max_output.0).ok()?,
        loopback: section.loopback.is_some_and(|loopback| loopback.value),
        instances,
        line,
    })
}

fn instances(reading: &mut Reading<'_>, written: Option<At<Instances>>) -> Instances {
    if let Some(At { value: Instances::Any, at }) = written {
        reading.findings.warn(at, "this grant reaches every instance there is, not only the event's own");
    }
    written.map(|written| written.value).unwrap_or_default()
}

fn names(reading: &mut Reading<'_>, at: usize, written: impl Iterator<Item = String>) -> Option<NamePatterns> {
    match NamePatterns::new(written.collect()) {
        Ok(names) => Some(names),
        Err(_) if reading.lost_part(at) => None,
        Err(why) => {
            reading.findings.mistake(at, why);
            None
        }
    }
}

fn nonempty<T>(reading: &mut Reading<'_>, list: At<Vec<T>>, key: &str, example: &str) -> Option<Vec<T>> {
    if list.value.is_empty() && !reading.lost_part(list.at) {
        let message = format!("{key} is empty, so the grant allows nothing: name {example}, or leave the grant out");
        reading.findings.mistake(list.at, message);
    }
    (!list.value.is_empty()).then_some(list.value)
}

#[cfg(test)]
mod tests;
