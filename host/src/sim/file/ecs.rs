//! `[[service]]` and `[[task]]`.

use super::{Builder, FAMILY};
use crate::ports::{ClusterName, InstanceId};
use crate::reading::{At, Section};
use crate::sim::keys::{ServiceKeys, TaskKeys};
use crate::sim::node::{Phase, STOPS_IN};
use crate::sim::service::{MAXIMUM_PERCENT, MINIMUM_HEALTHY_PERCENT, STARTS_IN, Service, Strategy};

/// A service that runs more tasks is no test of anything.
const MOST_TASKS: u32 = 1000;

/// A service, until its tasks are known.
pub(super) struct Wanted {
    at: usize,
    keys: ServiceKeys,
    /// Which of the state's services it is.
    index: usize,
}

impl Builder<'_, '_> {
    /// Adds a service, which desires nothing before [`Builder::desire`].
    pub(super) fn service(&mut self, At { at, value }: Section<ServiceKeys>) -> Option<Wanted> {
        let mut keys = value.0;
        let name = self.reading.required(at, "name", keys.name.take(), "name = \"…\", as tasks give it in service");
        let starts_in = self.time("replacements-start-in", keys.replacements_start_in, STARTS_IN);
        let name = name?;
        let cluster = self.cluster_of(&name, keys.cluster.take())?;
        if self.state.service(&cluster, &name.value).is_some() {
            self.mistake(name.at, format!("the service {} is in {cluster} twice", name.value));
        }
        let strategy = if keys.daemon == Some(true) { Strategy::Daemon } else { Strategy::replica(0, 0, 0) };
        self.state.services.push(Service { name: name.value, cluster, strategy, starts_in, said: None });
        Some(Wanted { at: name.at, keys, index: self.state.services.len() - 1 })
    }

    /// The cluster that a service names, or the only one.
    fn cluster_of(&mut self, service: &At<String>, written: Option<At<ClusterName>>) -> Option<ClusterName> {
        let clusters: Vec<_> = self.state.clusters.iter().map(ToString::to_string).collect();
        match (written, &*clusters) {
            (Some(At { at, value: cluster }), _) => {
                if !self.state.clusters.contains(&cluster) {
                    let from = format!("the service {}", service.value);
                    self.missing(at, from, "cluster", cluster.as_str(), &clusters);
                }
                Some(cluster)
            }
            (None, [_]) => self.state.clusters.first().cloned(),
            (None, []) => {
                let cluster = self.table("cluster");
                self.mistake(service.at, format!("the service {} is in no cluster: add a {cluster}", service.value));
                None
            }
            (None, _) => {
                let message = format!(
                    "the service {} names no cluster, and the world has {}: write cluster = {:?}",
                    service.value,
                    clusters.join(" and "),
                    clusters[0],
                );
                self.mistake(service.at, message);
                None
            }
        }
    }

    /// Lets a service desire what its keys say, now that its tasks are known.
    pub(super) fn desire(&mut self, Wanted { at, keys, index }: Wanted) {
        let service = &self.state.services[index];
        let (name, listed) = (service.name.clone(), self.state.tasks_of(index).count());
        if service.strategy == Strategy::Daemon {
            for (key, name_of_key) in [
                (keys.desired_count, "desired-count"),
                (keys.minimum_healthy_percent, "minimum-healthy-percent"),
                (keys.maximum_percent, "maximum-percent"),
            ] {
                if let Some(key) = key {
                    let message =
                        format!("{name} is a daemon, one task to each container instance: leave {name_of_key} out");
                    self.mistake(key.at, message);
                }
            }
            return;
        }
        let most = i64::from(MOST_TASKS);
        let desired = self.reading.count("desired-count", keys.desired_count, MOST_TASKS, 0..=most);
        let desired = keys.desired_count.map_or(listed, |_| usize::try_from(desired).unwrap_or(usize::MAX));
        match keys.desired_count {
            None if listed == 0 => {
                let task = self.table("task");
                let message = format!(
                    "the service {name} has neither tasks nor desired-count: add a {task}, or write desired-count"
                );
                self.mistake(at, message);
            }
            Some(written) if listed > desired => {
                self.mistake(
                    written.at,
                    format!("{name} has desired-count = {desired}, and the world lists {listed} of its tasks"),
                );
            }
            _ => {}
        }
        let (minimum, maximum) = (keys.minimum_healthy_percent, keys.maximum_percent);
        let minimum = self.reading.count("minimum-healthy-percent", minimum, MINIMUM_HEALTHY_PERCENT, 0..=100);
        let maximum = self.reading.count("maximum-percent", maximum, MAXIMUM_PERCENT, 100..=1000);
        self.state.services[index].strategy = Strategy::replica(desired, minimum, maximum);
    }

    pub(super) fn task(&mut self, At { at, value }: Section<TaskKeys>) {
        let keys = value.0;
        let (group, name) = match (&keys.service, &keys.family) {
            (Some(service), None) => (format!("service:{service}"), service.as_str()),
            (None, family) => {
                let family = family.as_deref().unwrap_or(FAMILY);
                (format!("family:{family}"), family)
            }
            (Some(service), Some(family)) => {
                self.mistake(at, format!("a task of the service {service} and of no service ({family}) at once"));
                return;
            }
        };
        if let Some(stops_in) = keys.stops_in
            && keys.stuck == Some(true)
        {
            self.mistake(stops_in.at, format!("the task {name} has stops-in, and is stuck: choose one"));
        }
        let starts_in = self.some_time("starts-in", keys.starts_in);
        let stops_in = self.time("stops-in", keys.stops_in, STOPS_IN);
        let Some((at, id)) = self.instance_of(at, name, keys.instance) else { return };
        let Some(node) = self.state.find(&id) else {
            let known: Vec<_> = self.state.nodes.iter().map(|node| node.id.to_string()).collect();
            self.missing(at, format!("the task {name}"), "instance", id.as_str(), &known);
            return;
        };
        let Some(cluster) =
            self.state.nodes[node].registration.as_ref().map(|registration| registration.cluster.clone())
        else {
            let message = format!("the task {name} is on {id}, which is in no cluster; give the instance a cluster");
            self.mistake(at, message);
            return;
        };
        let service = keys.service.as_deref().and_then(|service| self.state.service(&cluster, service));
        let of_daemon = service.map(|index| self.state.services[index].strategy == Strategy::Daemon);
        self.daemon(name, keys.service.is_some(), of_daemon, keys.daemon);
        let place = self.state.place.clone();
        let Some(registration) = &mut self.state.nodes[node].registration else { return };
        let task = registration.add_task(&place, &id, group);
        if let Some(definition) = keys.definition {
            task.definition = definition;
        }
        task.daemon = of_daemon.unwrap_or(keys.daemon.is_some_and(|daemon| daemon.value));
        task.stops_in = (keys.stuck != Some(true)).then_some(stops_in);
        if let Some(starts_in) = starts_in {
            task.phase = Phase::Pending { runs_at: starts_in };
            task.started = None;
        }
    }

    /// The instance that a task names, or the only one.
    fn instance_of(&mut self, at: usize, task: &str, written: Option<At<InstanceId>>) -> Option<(usize, InstanceId)> {
        match (written, &*self.state.nodes) {
            (Some(written), _) => Some((written.at, written.value)),
            (None, [only]) => Some((at, only.id.clone())),
            (None, known) => {
                let message = format!(
                    "the task {task} names no instance, and the world has {}: write instance = \"i-…\"",
                    if known.is_empty() { "none".to_owned() } else { format!("{} of them", known.len()) }
                );
                self.mistake(at, message);
                None
            }
        }
    }

    /// A daemon task is of a service, and one that is not declared otherwise.
    fn daemon(&mut self, task: &str, has_service: bool, of_daemon: Option<bool>, written: Option<At<bool>>) {
        let Some(At { at, value: daemon }) = written else { return };
        if daemon && !has_service {
            self.mistake(at, format!("the task {task} is a daemon of no service; write service = \"…\""));
        }
        if of_daemon.is_some_and(|of_daemon| of_daemon != daemon) {
            let service = self.table("service");
            let message = format!("the {service} {task} says daemon = {}; leave this out", !daemon);
            self.mistake(at, message);
        }
    }
}
