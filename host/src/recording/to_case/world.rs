//! The world of a case, put together from what was answered.

use std::collections::BTreeSet;
use std::time::Duration;

use super::page::{Page, time};
use super::{answered, command, listings};
use crate::event::{Kind, LifecycleAction, Transition};
use crate::lifecycle::HookTimes;
use crate::ports::{
    ClusterName, CommandOutput, ContainerInstance, GroupInstance, GroupName, Instance, InstanceId, Task, TaskArn,
};
use crate::recording::asked::Operation;
use crate::recording::file::{Call, Recording, Reply};

/// Answers that took less say nothing of the command: connecting takes that long.
const SHORTEST_DELAY: Duration = Duration::from_millis(100);

/// Writes `[world]` and what is in it.
pub(super) fn write(page: &mut Page, recording: &Recording) {
    let (header, event) = (&recording.header, &recording.event);
    page.table("[world]");
    // An event is never from the future, even if the host's clock was behind.
    page.key("start", header.recorded_at.max(event.time).to_string());
    page.key("account", event.account.as_str());
    page.key("region", event.region.as_str());

    let found: Vec<(Duration, InstanceId, Option<ContainerInstance>)> = found(recording).collect();
    let clusters: BTreeSet<&ClusterName> =
        found.iter().filter_map(|(_, _, found)| Some(&found.as_ref()?.cluster)).collect();
    for cluster in clusters {
        page.table("[[world.cluster]]");
        page.key("name", cluster.as_str());
    }
    let members: Vec<GroupInstance> =
        facts::<Option<GroupInstance>>(recording, Operation::DescribeGroupInstance).flatten().collect();
    let mut groups: BTreeSet<&GroupName> = members.iter().map(|member| &member.group).collect();
    groups.extend(&event.group);
    for group in groups {
        page.table("[[world.group]]");
        page.key("name", group.as_str());
        if let Some(action) = event.lifecycle_action.as_ref().filter(|action| action.group == *group) {
            hook(page, recording, action);
        }
    }

    let described: Vec<Instance> = facts(recording, Operation::DescribeInstance).collect();
    let mut ids: Vec<&InstanceId> = event.instance.iter().collect();
    ids.extend(described.iter().map(|instance| &instance.instance));
    ids.extend(found.iter().filter_map(|(_, _, found)| Some(&found.as_ref()?.instance)));
    let mut seen = BTreeSet::new();
    for id in ids.into_iter().filter(|id| seen.insert(*id)) {
        page.table("[[world.instance]]");
        page.key("id", id.as_str());
        instance(page, described.iter().find(|known| known.instance == *id), event.kind);
        membership(page, recording, id, members.iter().find(|member| member.instance == *id));
        registration(page, found.iter().filter(|(_, of, _)| of == id).map(|(at, _, found)| (*at, found.as_ref())));
    }
    tasks(page, recording);
    commands(page, recording);
}

/// The facts that an operation answered, in order.
fn facts<T: serde::de::DeserializeOwned>(recording: &Recording, operation: Operation) -> impl Iterator<Item = T> {
    recording.calls.iter().filter(move |call| call.asked.operation == operation).filter_map(Call::fact)
}

/// Each search for a container instance: when it was answered, for which instance, and what was found.
fn found(recording: &Recording) -> impl Iterator<Item = (Duration, InstanceId, Option<ContainerInstance>)> {
    let searches = recording.calls.iter().filter(|call| call.asked.operation == Operation::FindContainerInstance);
    searches
        .filter_map(|call| Some((answered(call), InstanceId::parse(call.asked.text("instance")?).ok()?, call.fact()?)))
}

fn hook(page: &mut Page, recording: &Recording, action: &LifecycleAction) {
    page.table("[[world.group.hook]]");
    page.key("name", action.hook.as_str());
    page.key(
        "transition",
        match action.transition {
            Transition::Launching => "launching",
            Transition::Terminating => "terminating",
        },
    );
    if let Some(times) = facts::<Option<HookTimes>>(recording, Operation::Hook).flatten().next() {
        page.key("heartbeat-timeout", time(times.heartbeat_timeout));
        page.key("global-timeout", time(times.global_timeout));
    }
}

/// What EC2 said of the instance first; what it was when nobody asked is left to the world.
fn instance(page: &mut Page, described: Option<&Instance>, kind: Kind) {
    let Some(described) = described else {
        if kind == Kind::SpotInterruption {
            page.noted("lifecycle", "spot", "inferred: the event is a Spot interruption");
        }
        return;
    };
    page.key("type", described.instance_type.as_str());
    page.key("lifecycle", described.lifecycle.as_str());
    page.key("state", described.state.as_str());
    page.key("availability-zone", described.availability_zone.as_str());
    if let Some(address) = described.private_address {
        page.key("address", address.to_string());
    }
    if let Some(launched_at) = described.launched_at {
        page.key("launched-at", launched_at.to_string());
    }
    let tags = described.tags.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
    let tags: toml::Table = tags.collect();
    if !tags.is_empty() {
        page.key("tags", tags);
    }
}

/// The instance in its group, before the event.
fn membership(page: &mut Page, recording: &Recording, id: &InstanceId, member: Option<&GroupInstance>) {
    let event = &recording.event;
    let own = event.instance.as_ref() == Some(id);
    let Some(group) = member.map(|member| &member.group).or(event.group.as_ref().filter(|_| own)) else { return };
    page.key("group", group.as_str());
    let before = match event.kind {
        Kind::InstanceLaunching => Some("Pending"),
        Kind::InstanceEnteringWarmPool => Some("Warmed:Pending"),
        Kind::InstanceLeavingWarmPool | Kind::WarmInstanceTerminating => Some("Warmed:Stopped"),
        _ => None,
    };
    match (before, member) {
        (Some(before), _) if own => page.noted("lifecycle-state", before, "inferred: the event comes next"),
        (None, Some(member)) if !own => page.key("lifecycle-state", member.lifecycle_state.as_str()),
        _ => {}
    }
    if let Some(member) = member {
        page.key("protected-from-scale-in", member.protected_from_scale_in);
        page.key("health-status", member.health_status.as_str());
    }
}

/// The instance in its cluster, as the searches for it found it.
fn registration<'r>(page: &mut Page, searches: impl Iterator<Item = (Duration, Option<&'r ContainerInstance>)>) {
    let mut missing = None;
    for (at, found) in searches {
        let Some(found) = found else {
            missing = Some(at);
            continue;
        };
        page.key("cluster", found.cluster.as_str());
        if let Some(missing) = missing {
            page.noted(
                "registered-after",
                time(between(missing, at)),
                "inferred: between not being found and being found",
            );
        }
        if found.status != "ACTIVE" {
            page.key("container-instance-status", found.status.as_str());
        }
        if !found.agent_connected {
            page.key("agent-connected", false);
        }
        return;
    }
}

/// Every task that was listed, in the order of its first appearance.
fn tasks(page: &mut Page, recording: &Recording) {
    let mut seen: Vec<(Duration, Task)> = Vec::new();
    for (at, tasks) in listings(recording) {
        for task in tasks {
            if !seen.iter().any(|(_, known)| known.arn == task.arn) {
                seen.push((at, task));
            }
        }
    }
    for (_, task) in &seen {
        page.table("[[world.task]]");
        if recording.event.instance.as_ref() != Some(&task.on) {
            page.key("instance", task.on.as_str());
        }
        match (task.service(), task.group.as_deref()) {
            (Some(service), _) => page.key("service", service),
            (None, Some(group)) => page.key("family", group.strip_prefix("family:").unwrap_or(group)),
            (None, None) => page.noted("family", "standalone", "inferred: it belonged to no service"),
        }
        let history = History::of(recording, task);
        if let Some(runs) = history.runs {
            page.noted("starts-in", time(runs), "inferred: between being listed as PENDING and as RUNNING");
        }
        match (history.asked_to_stop(recording, task), history.gone) {
            (Some(asked), Some(gone)) => {
                let stops_in = between(history.last_seen.saturating_sub(asked), gone.saturating_sub(asked));
                page.noted(
                    "stops-in",
                    time(stops_in),
                    "inferred: between its last listing and the next, since it was asked to",
                );
            }
            (Some(_), None) => page.noted("stuck", true, "inferred: asked to stop, and still listed in the end"),
            (None, Some(gone)) => {
                page.comment(&format!("It ended by itself before {}, which tasks here do not.", time(gone)));
            }
            (None, None) => {}
        }
    }
}

/// A task, from listing to listing.
#[derive(Default)]
struct History {
    /// When it began to run, if it was pending before.
    runs: Option<Duration>,
    /// When it was first listed as one that has to stop.
    stopping: Option<Duration>,
    /// When it was listed last.
    last_seen: Duration,
    /// When it was not listed any more.
    gone: Option<Duration>,
}

impl History {
    fn of(recording: &Recording, task: &Task) -> Self {
        let mut history = Self::default();
        let mut pending = None;
        let mut listed = false;
        for call in recording.calls.iter().filter(|call| call.asked.operation == Operation::ListTasks) {
            if call.asked.text("instance") != Some(task.on.as_str()) {
                continue;
            }
            let (at, Some(tasks)) = (answered(call), call.fact::<Vec<Task>>()) else { continue };
            let Some(now) = tasks.into_iter().find(|listed| listed.arn == task.arn) else {
                if listed {
                    history.gone.get_or_insert(at);
                }
                continue;
            };
            if now.desired_status == "STOPPED" {
                history.stopping.get_or_insert(at);
            }
            match (now.last_status.as_str(), pending) {
                ("PENDING", _) => pending = Some(at),
                ("RUNNING", Some(pending)) => {
                    history.runs.get_or_insert(between(pending, at));
                }
                _ => {}
            }
            (listed, history.last_seen, history.gone) = (true, at, None);
        }
        history
    }

    /// When it was asked to stop, by draining or by name; else when it was first seen to have been.
    fn asked_to_stop(&self, recording: &Recording, task: &Task) -> Option<Duration> {
        let asked = |call: &&Call| match call.asked.operation {
            Operation::Drain => task.service().is_some() && call.asked.text("instance") == Some(task.on.as_str()),
            Operation::StopTask => call.asked.text("task") == Some(TaskArn::as_str(&task.arn)),
            _ => false,
        };
        let carried_out = |call: &&Call| matches!(call.reply, Reply::Answer(_));
        let first = recording.calls.iter().filter(carried_out).find(asked).map(answered);
        [first, self.stopping].into_iter().flatten().min()
    }
}

/// The middle between `low` and `high`, in whole seconds if there is such a time.
fn between(low: Duration, high: Duration) -> Duration {
    let middle = low + high.saturating_sub(low) / 2;
    let whole = Duration::from_secs(middle.as_secs());
    if whole > low { whole } else { middle }
}

/// What the nodes answered, each command once.
fn commands(page: &mut Page, recording: &Recording) {
    let mut seen: Vec<&Call> = Vec::new();
    for call in recording.calls.iter().filter(|call| call.asked.operation == Operation::Exec) {
        let answer = matches!(call.reply, Reply::Answer(_) | Reply::None);
        if answer && !seen.iter().any(|known| known.asked == call.asked) {
            seen.push(call);
        }
    }
    for call in seen {
        page.table("[[world.ssh]]");
        if let Some(other) = call
            .asked
            .text("instance")
            .filter(|id| recording.event.instance.as_ref().is_none_or(|own| own.as_str() != *id))
        {
            page.key("instance", other);
        }
        page.key("command", command(call).unwrap_or_default());
        let Some(output) = call.fact::<CommandOutput>() else {
            page.noted("hang", true, "inferred: it had not ended when its time was up");
            continue;
        };
        answer(page, &output);
        if answered(call).saturating_sub(Duration::from_millis(call.at_ms)) >= SHORTEST_DELAY {
            page.key("delay", time(Duration::from_millis(call.took_ms)));
        }
        let differently = recording.calls.iter().filter(|later| later.asked == call.asked);
        if differently.filter_map(Call::fact::<CommandOutput>).any(|later| later != output) {
            page.comment("Later it was answered differently; a node here gives one answer.");
        }
    }
}

fn answer(page: &mut Page, output: &CommandOutput) {
    match (&output.signal, output.exit_status) {
        (Some(signal), _) => page.key("signal", signal.as_str()),
        (None, Some(status)) => page.key("exit-status", i64::from(status)),
        (None, None) => page.comment("It ended with no exit status."),
    }
    for (key, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        match str::from_utf8(bytes) {
            Ok("") => {}
            Ok(text) => page.key(key, text),
            Err(_) => page.noted(key, String::from_utf8_lossy(bytes).into_owned(), "not all of it was text"),
        }
    }
}
