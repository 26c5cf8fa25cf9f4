//! ECS services: which tasks their schedulers stop and start, above all on a container instance that is drained.
//!
//! The documents: "Draining Amazon ECS container instances"; API reference, `DeploymentConfiguration`; "Amazon ECS service
//! event messages". A scheduler acts on what is so, not on what has happened: [`State::schedule`] may be called at any time,
//! and does what is still missing.
//!
//! Not as AWS does it: a scheduler acts at once instead of within seconds. A task counts as healthy as soon as it is RUNNING:
//! there are no health checks, no load balancers, and no 40 seconds of waiting. Any container instance that can take tasks
//! has room for any number of them, and the one with the fewest tasks of the service takes the next. A task that is stopping
//! counts against the maximum until it has stopped.

use std::time::Duration;

use super::node::{Phase, Registration, SimTask};
use super::state::State;
use crate::ports::ClusterName;

/// API reference, `DeploymentConfiguration`: the default `minimumHealthyPercent` of a replica service.
pub(super) const MINIMUM_HEALTHY_PERCENT: u32 = 100;

/// API reference, `DeploymentConfiguration`: the default `maximumPercent` of a replica service.
pub(super) const MAXIMUM_PERCENT: u32 = 200;

/// How long a task that a service starts is PENDING when the file does not say.
pub(super) const STARTS_IN: Duration = Duration::from_secs(20);

/// What a service says when there is nowhere to place a task.
const NO_ROOM: &str = "was unable to place a task because no container instance met all of its requirements";

/// What a service says when its own limits allow neither to stop a task nor to start one.
const BLOCKED: &str =
    "was unable to stop or start tasks during a deployment because of the service deployment configuration";

/// An ECS service that replaces its tasks. One that the file has no entry for is none of these.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) cluster: ClusterName,
    pub(super) strategy: Strategy,
    /// How long a task that it starts is PENDING.
    pub(super) starts_in: Duration,
    /// What it has said stands in its way, until it does no longer. ECS repeats no event message before that either.
    pub(super) said: Option<&'static str>,
}

/// The scheduling strategy of a service, in tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    /// REPLICA: so many tasks, wherever there is room.
    Replica {
        desired: usize,
        /// How many stay RUNNING while tasks are replaced.
        minimum: usize,
        /// How many there may be while tasks are replaced, those included that are stopping.
        maximum: usize,
    },
    /// DAEMON: one task on every container instance that can take tasks.
    Daemon,
}

impl Strategy {
    /// API reference, `DeploymentConfiguration`: the minimum is rounded up to whole tasks, the maximum down.
    pub(super) fn replica(desired: usize, minimum_healthy_percent: u32, maximum_percent: u32) -> Self {
        let percent = |percent: u32| desired * usize::try_from(percent).unwrap_or(usize::MAX);
        let minimum = percent(minimum_healthy_percent).div_ceil(100);
        Self::Replica { desired, minimum, maximum: percent(maximum_percent) / 100 }
    }
}

impl State {
    /// A service by its name.
    pub(super) fn service(&self, cluster: &ClusterName, name: &str) -> Option<usize> {
        self.services.iter().position(|service| service.cluster == *cluster && service.name == name)
    }

    /// The tasks of a service that have not stopped, each with its node and its place there.
    pub(super) fn tasks_of(&self, service: usize) -> impl Iterator<Item = (usize, usize, &SimTask)> {
        let service = &self.services[service];
        let registrations = self.nodes.iter().enumerate().filter_map(|(node, known)| {
            Some((node, known.registration.as_ref().filter(|known| known.cluster == service.cluster)?))
        });
        registrations.flat_map(move |(node, registration)| {
            let tasks = registration.tasks.iter().enumerate();
            let here = tasks.filter(|(_, task)| task.phase != Phase::Stopped);
            let of_service = here.filter(|(_, task)| task.service() == Some(&*service.name));
            of_service.map(move |(index, task)| (node, index, task))
        })
    }

    /// Lets every service stop and start what it has to.
    pub(super) fn schedule(&mut self, at: Duration) {
        for service in 0..self.services.len() {
            match self.services[service].strategy {
                Strategy::Replica { desired, minimum, maximum } => {
                    self.schedule_replicas(service, at, desired, minimum, maximum);
                }
                Strategy::Daemon => self.place_daemons(service, at),
            }
        }
        for node in 0..self.nodes.len() {
            self.drain(node, at);
        }
    }

    /// Moves the tasks of a replica service off the container instances that drain, and starts what is missing.
    ///
    /// "Draining Amazon ECS container instances": PENDING tasks stop at once. RUNNING ones stop as far as the minimum allows,
    /// and replacements start as far as the maximum allows: with a minimum below 100% before they run, with 100% after. With a
    /// maximum that leaves no room as well, nothing moves, and the drain never ends.
    fn schedule_replicas(&mut self, service: usize, at: Duration, desired: usize, minimum: usize, maximum: usize) {
        let leaving = |state: &Self, node: usize| state.registered(node).is_some_and(Registration::is_draining);
        let on_leaving = self.tasks_of(service).filter(|(node, ..)| leaving(self, *node));
        let on_leaving: Vec<_> = on_leaving.map(|(node, index, task)| (node, index, task.phase)).collect();
        let pending = on_leaving.iter().filter(|(.., phase)| matches!(phase, Phase::Pending { .. }));
        for (node, task, _) in pending {
            self.stop(*node, *task, at);
        }
        let running = self.tasks_of(service).filter(|(.., task)| task.phase == Phase::Running).count();
        let to_stop = on_leaving.iter().filter(|(.., phase)| *phase == Phase::Running);
        for (node, task, _) in to_stop.take(running.saturating_sub(minimum)) {
            self.stop(*node, *task, at);
        }

        let is_wanted = |task: &SimTask| matches!(task.phase, Phase::Pending { .. } | Phase::Running);
        let staying = self.tasks_of(service).filter(|(node, _, task)| is_wanted(task) && !leaving(self, *node)).count();
        let missing = desired.saturating_sub(staying);
        let room = maximum.saturating_sub(self.tasks_of(service).count());
        let placed = (0..missing.min(room)).take_while(|_| self.place(service, at)).count();
        let moving = self.tasks_of(service).any(|(.., task)| task.phase != Phase::Running);
        let obstacle = match () {
            () if placed < missing.min(room) => Some(NO_ROOM),
            () if placed < missing && !moving => Some(BLOCKED),
            () => None,
        };
        self.say(service, at, obstacle);
    }

    /// Places a daemon task on every container instance that can take it and has none.
    ///
    /// "Amazon ECS services", daemon strategy. Nothing is placed on a container instance that drains.
    fn place_daemons(&mut self, service: usize, at: Duration) {
        for node in 0..self.nodes.len() {
            let cluster = &self.services[service].cluster;
            let takes = self.registered(node).is_some_and(|known| known.cluster == *cluster && known.takes_tasks());
            if takes && !self.tasks_of(service).any(|(on, ..)| on == node) {
                self.place_on(node, service, at);
            }
        }
    }

    /// Stops the tasks on a draining container instance whose services no entry of the file describes, and then daemons.
    ///
    /// "Draining Amazon ECS container instances": tasks of no service are left alone. "Amazon ECS services", daemon strategy: a
    /// daemon task is the last to stop, after all replica tasks.
    ///
    /// A service that the file has no entry for has room elsewhere, out of view: its tasks stop at the same moment, and none is
    /// replaced.
    fn drain(&mut self, node: usize, at: Duration) {
        for daemons in [false, true] {
            let Some(draining) = self.registered(node).filter(|known| known.is_draining()) else { return };
            let mut replicas = draining.tasks.iter().filter(|task| task.service().is_some() && !task.daemon);
            if daemons && !replicas.all(|task| task.phase == Phase::Stopped) {
                return;
            }
            let stops = |task: &SimTask| {
                let is_described = |name| self.service(&draining.cluster, name).is_some();
                task.daemon == daemons && task.service().is_some_and(|name| daemons || !is_described(name))
            };
            let to_stop: Vec<_> = (0..draining.tasks.len()).filter(|&task| stops(&draining.tasks[task])).collect();
            for task in to_stop {
                self.stop(node, task, at);
            }
        }
    }

    /// Places a task of a service on the container instance that has the fewest of them, then the fewest at all, then stands
    /// first in the file.
    fn place(&mut self, service: usize, at: Duration) -> bool {
        let cluster = &self.services[service].cluster;
        let fitting = (0..self.nodes.len()).filter_map(|node| Some((node, self.registered(node)?)));
        let fitting = fitting.filter(|(_, known)| known.cluster == *cluster && known.takes_tasks());
        let freest = fitting.min_by_key(|(node, known)| {
            let own = self.tasks_of(service).filter(|(on, ..)| on == node).count();
            (own, known.tasks.iter().filter(|task| task.phase != Phase::Stopped).count())
        });
        let Some((node, _)) = freest else { return false };
        self.place_on(node, service, at);
        true
    }

    fn place_on(&mut self, node: usize, service: usize, at: Duration) {
        let definition = self.tasks_of(service).next().map(|(.., task)| task.definition.clone());
        let Service { name, strategy, starts_in, .. } = &self.services[service];
        let (place, id) = (self.place.clone(), self.nodes[node].id.clone());
        let Some(registration) = &mut self.nodes[node].registration else { return };
        let index = registration.tasks.len();
        let task = registration.add_task(&place, &id, format!("service:{name}"));
        task.definition = definition.unwrap_or_else(|| std::mem::take(&mut task.definition));
        task.daemon = *strategy == Strategy::Daemon;
        task.phase = Phase::Pending { runs_at: at + *starts_in };
        task.started = None;
        self.note_task(at, "task placed", node, index, "");
    }

    /// Lets a service say what stands in its way, once.
    fn say(&mut self, service: usize, at: Duration, obstacle: Option<&'static str>) {
        let service = &mut self.services[service];
        let said = std::mem::replace(&mut service.said, obstacle);
        if let Some(obstacle) = obstacle.filter(|_| said != obstacle) {
            let name = service.name.clone();
            self.note(at, "service", name, obstacle);
        }
    }

    fn registered(&self, node: usize) -> Option<&Registration> {
        self.nodes[node].registration.as_ref().filter(|registration| registration.registered)
    }
}
