//! What a world lacks is made around the events that happen in it: a handler finds everything it may look for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::keys::{
    ClusterKeys, File, GroupKeys, HookKeys, InstanceKeys, InstanceState, LifecycleState, Purchase, SshKeys, TaskKeys,
    TransitionName,
};
use crate::event::{Event, Kind, Transition};
use crate::ports::{ClusterName, GroupName, InstanceId};
use crate::reading::units::Time;
use crate::reading::{At, Section, Table, Tables};

/// Gives `file` what it does not speak of. What it does speak of stays as it is.
///
/// The events' instances run, are in the events' groups with the events' hooks, and are members of `cluster` with two service
/// tasks that stop in 20 s and 45 s and a standalone task. An instance on its way into service has no tasks yet; one of a
/// warm pool on its way out is stopped. Any command over SSH ends with status 0.
pub(super) fn fill(file: &mut File, events: &[&Event], cluster: Option<ClusterName>) {
    if let Some(first) = events.first() {
        file.account.get_or_insert_with(|| first.account.clone());
        file.region.get_or_insert_with(|| first.region.clone());
    }
    let named = |name| ClusterKeys { name: Some(made(name)) };
    let clusters = file.cluster.get_or_insert_with(|| tables(cluster.map(named)));
    let cluster = clusters.0.first().and_then(|cluster| Some(cluster.value.0.name.as_ref()?.value.clone()));
    file.group.get_or_insert_with(|| tables(groups(events)));
    let instances = instances(events);
    if file.instance.is_none() {
        let tasks = instances.iter().filter(|_| cluster.is_some()).flat_map(|(id, events)| tasks(id, events));
        file.task.get_or_insert_with(|| tables(tasks));
        let keys = instances.iter().map(|(id, events)| instance(id, events, cluster.as_ref()));
        file.instance = Some(tables(keys));
    }
    for task in file.task.iter_mut().flat_map(|tasks| &mut tasks.0) {
        let first = instances.first().map(|(id, _)| id.clone());
        task.value.0.instance = task.value.0.instance.take().or(first.map(made));
    }
    file.ssh.get_or_insert_with(|| tables([SshKeys::default()]));
}

/// The instances that events are about, each with its events, in the order of the events.
fn instances<'e>(events: &[&'e Event]) -> Vec<(InstanceId, Vec<&'e Event>)> {
    let mut instances: Vec<(InstanceId, Vec<&Event>)> = Vec::new();
    for event in events {
        let Some(id) = &event.instance else { continue };
        match instances.iter_mut().find(|(known, _)| known == id) {
            Some((_, events)) => events.push(event),
            None => instances.push((id.clone(), vec![event])),
        }
    }
    instances
}

/// The groups of the events, each with the hooks that hold instances back.
fn groups(events: &[&Event]) -> Vec<GroupKeys> {
    let mut groups: BTreeMap<&GroupName, Vec<HookKeys>> = BTreeMap::new();
    for event in events {
        let action = event.lifecycle_action.as_ref();
        let Some(group) = action.map(|action| &action.group).or(event.group.as_ref()) else { continue };
        let hooks = groups.entry(group).or_default();
        let Some(action) = action else { continue };
        if hooks.iter().any(|hook| hook.name.as_ref().is_some_and(|name| name.value == action.hook)) {
            continue;
        }
        let transition = match action.transition {
            Transition::Terminating => TransitionName::Terminating,
            Transition::Launching => TransitionName::Launching,
        };
        let name = Some(made(action.hook.clone()));
        hooks.push(HookKeys { name, transition: Some(transition), ..HookKeys::default() });
    }
    let keys = |(group, hooks): (&GroupName, Vec<HookKeys>)| GroupKeys {
        name: Some(made(group.clone())),
        hook: Some(tables(hooks)),
        ..GroupKeys::default()
    };
    groups.into_iter().map(keys).collect()
}

fn instance(id: &InstanceId, events: &[&Event], cluster: Option<&ClusterName>) -> InstanceKeys {
    let any = |kind| events.iter().any(|event| event.kind == kind);
    let mut groups = events.iter().filter_map(|event| {
        let action = event.lifecycle_action.as_ref().map(|action| &action.group);
        action.or(event.group.as_ref())
    });
    let group = groups.next().cloned();
    let stopped = any(Kind::WarmInstanceTerminating);
    let state = match (stopped, comes(events)) {
        (true, _) => LifecycleState::parse("Warmed:Stopped"),
        (false, true) => LifecycleState::parse("Pending"),
        (false, false) => LifecycleState::parse("InService"),
    };
    InstanceKeys {
        id: Some(made(id.clone())),
        state: if stopped { InstanceState::parse("stopped") } else { None },
        lifecycle: if any(Kind::SpotInterruption) { Purchase::parse("spot") } else { None },
        tags: Some(BTreeMap::from([("Name".to_owned(), "simulated".to_owned())])),
        lifecycle_state: state.filter(|_| group.is_some()).map(made),
        group: group.map(made),
        cluster: cluster.filter(|_| !stopped).cloned().map(made),
        ..InstanceKeys::default()
    }
}

fn tasks(id: &InstanceId, events: &[&Event]) -> Vec<TaskKeys> {
    if comes(events) || events.iter().any(|event| event.kind == Kind::WarmInstanceTerminating) {
        return Vec::new();
    }
    let of_service = |name: &str, seconds| TaskKeys {
        instance: Some(made(id.clone())),
        service: Some(name.to_owned()),
        stops_in: Some(made(Time(Duration::from_secs(seconds)))),
        ..TaskKeys::default()
    };
    let standalone =
        TaskKeys { instance: Some(made(id.clone())), family: Some("nightly-report".to_owned()), ..TaskKeys::default() };
    vec![of_service("web", 20), of_service("worker", 45), standalone]
}

/// Whether the instance is on its way into service.
fn comes(events: &[&Event]) -> bool {
    let mut actions = events.iter().filter_map(|event| event.lifecycle_action.as_ref());
    actions.any(|action| action.transition == Transition::Launching)
}

/// A value that stands nowhere in a file.
fn made<T>(value: T) -> At<T> {
    At { at: 0, value }
}

fn tables<T>(keys: impl IntoIterator<Item = T>) -> Tables<T> {
    Tables(keys.into_iter().map(|keys| -> Section<T> { made(Table(keys)) }).collect())
}
