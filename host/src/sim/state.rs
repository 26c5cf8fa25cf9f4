//! The world as data, and what time does to it.
//!
//! Nothing runs in the background. Every look at the world first makes happen, one by one and in order, what was due since
//! the last look ([`State::settle`]); so the same calls at the same virtual times always see the same world.

use std::time::Duration;

use jiff::{Timestamp, TimestampArithmetic};

use super::Script;
use super::group::{Action, ActionEnd, Group, ends};
use super::history::{History, Seen};
use super::journal::Journal;
use super::node::{Node, Phase};
use super::service::Service;
use crate::ports::{ClusterName, GroupName, InstanceId, Place};

/// Where the virtual clock begins when neither the file nor an event says.
const DEFAULT_START: Timestamp = Timestamp::constant(1_767_225_600, 0); // 2026-01-01T00:00:00Z

/// Everything there is. All times are since the world began.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) place: Place,
    /// What the virtual clock says when the world begins.
    pub(super) start: Option<Timestamp>,
    pub(super) clusters: Vec<ClusterName>,
    pub(super) groups: Vec<Group>,
    pub(super) services: Vec<Service>,
    pub(super) nodes: Vec<Node>,
    /// The lifecycle actions, those that have ended too.
    pub(super) actions: Vec<Action>,
    pub(super) scripts: Vec<Script>,
    pub(super) history: History,
    pub(super) journal: Journal,
}

/// What is due.
#[derive(Debug, Clone, Copy)]
enum Change {
    Reclaimed(usize),
    Enters(usize, &'static str),
    MovesOn(usize, &'static str),
    Registered(usize),
    AgentDisconnected(usize),
    AgentReconnected(usize),
    TaskRuns(usize, usize),
    TaskStopped(usize, usize),
    Expired(usize),
}

impl State {
    /// A world with nothing in it.
    pub(super) fn empty(place: Place, start: Option<Timestamp>) -> Self {
        Self {
            place,
            start,
            clusters: Vec::new(),
            groups: Vec::new(),
            services: Vec::new(),
            nodes: Vec::new(),
            actions: Vec::new(),
            scripts: Vec::new(),
            history: History::default(),
            journal: Journal::default(),
        }
    }

    /// Lets everything happen that is due, and says what time it is. The first call is the beginning of the world.
    pub(super) fn settle(&mut self) -> Duration {
        self.start.get_or_insert(DEFAULT_START);
        let now = self.journal.now();
        self.history.keep_last(&self.nodes);
        while let Some((at, change)) = self.next_change().filter(|(at, _)| *at <= now) {
            self.apply(at, change);
        }
        self.history.look(now);
        now
    }

    /// Lets begin what the world begins with: services act, and instances that have passed their last hook end.
    pub(super) fn begin(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].member.as_ref().is_some_and(|member| ends(member.state)) {
                self.shut_down(node, Duration::ZERO);
            }
        }
        self.schedule(Duration::ZERO);
    }

    /// The instances as a read sees them.
    pub(super) fn seen(&self, now: Duration) -> Seen<'_> {
        self.history.seen(now, &self.nodes)
    }

    /// The instant `at` after the beginning, by the world's clock.
    pub(super) fn after(&self, at: impl Into<TimestampArithmetic>) -> Timestamp {
        self.start().saturating_add(at).unwrap_or(Timestamp::MAX)
    }

    /// What the clock said at the beginning.
    pub(super) fn start(&self) -> Timestamp {
        self.start.unwrap_or(DEFAULT_START)
    }

    /// The place of an instance among the nodes.
    pub(super) fn find(&self, instance: &InstanceId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == *instance)
    }

    /// A group by its name.
    pub(super) fn group(&self, name: &GroupName) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == *name)
    }

    /// Adds an instance.
    pub(super) fn add(&mut self, node: Node) {
        self.nodes.push(node);
    }

    /// Writes a change of the world into the journal.
    pub(super) fn note(&mut self, at: Duration, operation: &str, target: impl ToString, became: &str) {
        self.journal.change(at, operation, target.to_string(), became);
    }

    /// What happens next, and when. Of two things due at once the first in the order of the file.
    fn next_change(&self) -> Option<(Duration, Change)> {
        let nodes = self.nodes.iter().enumerate().flat_map(|(index, node)| node.changes(index));
        let actions = self.actions.iter().enumerate().filter(|(_, action)| action.is_active());
        let expiries = actions.map(|(index, action)| (action.ends_at(), Change::Expired(index)));
        nodes.chain(expiries).min_by_key(|(at, _)| *at)
    }

    fn apply(&mut self, at: Duration, change: Change) {
        match change {
            Change::Reclaimed(node) => {
                self.nodes[node].reclaimed_at = None;
                self.note(at, "spot instance reclaimed", self.nodes[node].id.clone(), "");
                self.shut_down(node, at);
            }
            Change::Enters(node, state) => {
                self.nodes[node].enter(state, at);
                self.note(at, &format!("instance {state}"), self.nodes[node].id.clone(), "");
                self.leave_group(node, at);
            }
            Change::MovesOn(node, state) => self.move_on(node, at, state),
            Change::Registered(node) => self.register(node, at),
            Change::AgentDisconnected(node) => self.disconnect_agent(node, at),
            Change::AgentReconnected(node) => self.reconnect_agent(node, at),
            Change::TaskRuns(node, task) => self.task_runs(node, task, at),
            Change::TaskStopped(node, task) => self.task_stopped(node, task, at),
            Change::Expired(action) => self.end_action(action, at, ActionEnd::TimedOut),
        }
        self.schedule(at);
        self.history.keep(at, &self.nodes);
    }

    /// Begins the end of an instance: its tasks are gone, and ECS forgets it.
    ///
    /// API reference, DeregisterContainerInstance: terminating a running container instance deregisters it, but not one
    /// whose agent is disconnected, which stays listed with its tasks.
    pub(super) fn shut_down(&mut self, node: usize, at: Duration) {
        let dying = &mut self.nodes[node];
        if !dying.exists() {
            return;
        }
        dying.enter("shutting-down", at);
        dying.reclaimed_at = None;
        let registration = dying.registration.take_if(|registration| registration.agent_connected);
        let id = dying.id.clone();
        self.note(at, "instance shutting down", id.clone(), "");
        if let Some(registration) = registration.filter(|registration| registration.registered) {
            let lost = registration.tasks.iter().filter(|task| task.phase != Phase::Stopped).count();
            let became = match lost {
                0 => String::new(),
                1 => "1 task lost".to_owned(),
                _ => format!("{lost} tasks lost"),
            };
            self.note(at, "container instance deregistered", id, &became);
            self.nodes[node].deregistered = Some(registration);
        }
    }
}

impl Node {
    /// What is due on this node.
    fn changes(&self, index: usize) -> impl Iterator<Item = (Duration, Change)> {
        let reclaimed = self.reclaimed_at.filter(|_| self.exists()).map(|at| (at, Change::Reclaimed(index)));
        let enters = self.becomes.map(|(at, state)| (at, Change::Enters(index, state)));
        let moves_on = self
            .member
            .as_ref()
            .and_then(|member| member.becomes)
            .map(|(at, state)| (at, Change::MovesOn(index, state)));
        let registration = self.registration.as_ref().filter(|_| self.exists());
        let registers = registration
            .filter(|registration| !registration.registered)
            .map(|registration| (registration.at, Change::Registered(index)));
        let registration = registration.filter(|registration| registration.registered);
        let disconnects = registration
            .and_then(|registration| registration.disconnects_at)
            .map(|at| (at, Change::AgentDisconnected(index)));
        // An agent that is connected until then cannot come back before it goes.
        let reconnects = registration
            .filter(|registration| !registration.agent_connected)
            .and_then(|registration| registration.reconnects_at)
            .map(|at| (at, Change::AgentReconnected(index)));
        let connected = registration.filter(|registration| registration.agent_connected);
        let tasks = connected.into_iter().flat_map(move |registration| {
            registration.tasks.iter().enumerate().filter_map(move |(task, sim)| match sim.phase {
                Phase::Pending { runs_at } => Some((runs_at, Change::TaskRuns(index, task))),
                Phase::Stopping { stops_at: Some(at), .. } => Some((at, Change::TaskStopped(index, task))),
                _ => None,
            })
        });
        [reclaimed, enters, moves_on, registers, disconnects, reconnects].into_iter().flatten().chain(tasks)
    }
}
