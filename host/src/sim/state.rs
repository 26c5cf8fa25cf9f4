//! The world as data, and what time does to it.
//!
//! Nothing runs in the background. Every look at the world first makes happen, one by one and in order, what was due since
//! the last look ([`State::settle`]); so the same calls at the same virtual times always see the same world.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, TimestampArithmetic};

use super::Script;
use super::journal::Journal;
use super::node::{Node, Phase, SimTask};
use crate::dispatch::Place;
use crate::dispatch::lifecycle::{HookTimes, LifecycleResult};
use crate::event::Transition;
use crate::ports::{ClusterName, GroupName, HookName, InstanceId};

/// How long an instance is `shutting-down` before it is `terminated`. AWS documents no time; this is a usual one.
const SHUTTING_DOWN: Duration = Duration::from_secs(30);

/// The `HeartbeatTimeout` of a hook that says nothing else. API reference, PutLifecycleHook: 3600 seconds.
pub(super) const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(3600);

/// How long an instance stays in `Pending:Proceed`, or in `Warmed:Pending:Proceed`, before the state that follows.
const PROCEEDING: Duration = Duration::from_secs(5);

/// Where the virtual clock begins when neither the file nor an event says.
const DEFAULT_START: Timestamp = Timestamp::constant(1_767_225_600, 0); // 2026-01-01T00:00:00Z

/// Everything there is. All times are since the world began.
#[derive(Debug)]
pub(super) struct State {
    pub(super) place: Place,
    /// What the virtual clock says when the world begins.
    pub(super) start: Option<Timestamp>,
    pub(super) clusters: Vec<ClusterName>,
    pub(super) groups: Vec<Group>,
    pub(super) nodes: Vec<Node>,
    /// The lifecycle actions, those that have ended too.
    pub(super) actions: Vec<Action>,
    pub(super) scripts: Vec<Script>,
    pub(super) journal: Journal,
}

/// An Auto Scaling group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: GroupName,
    pub(super) hooks: Vec<Hook>,
}

/// A lifecycle hook of a group.
#[derive(Debug, Clone)]
pub(super) struct Hook {
    pub(super) name: HookName,
    pub(super) transition: Transition,
    pub(super) times: HookTimes,
    pub(super) default_result: LifecycleResult,
}

/// A lifecycle action: one hook holding one instance back, once.
#[derive(Debug)]
pub(super) struct Action {
    pub(super) node: usize,
    pub(super) group: GroupName,
    pub(super) hook: Hook,
    /// Known once an event has told it.
    pub(super) token: Option<String>,
    /// When the hook's timeout ends it, unless a heartbeat comes first.
    pub(super) heartbeat_at: Duration,
    /// When nothing can keep it alive any longer.
    pub(super) global_at: Duration,
    pub(super) active: bool,
}

/// What is due.
#[derive(Debug, Clone, Copy)]
enum Change {
    Reclaimed(usize),
    Terminated(usize),
    MovesOn(usize, &'static str),
    Registered(usize),
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
            nodes: Vec::new(),
            actions: Vec::new(),
            scripts: Vec::new(),
            journal: Journal::default(),
        }
    }

    /// Lets everything happen that is due, and says what time it is. The first call is the beginning of the world.
    pub(super) fn settle(&mut self) -> Duration {
        self.start.get_or_insert(DEFAULT_START);
        let now = self.journal.now();
        while let Some((at, change)) = self.next_change().filter(|(at, _)| *at <= now) {
            self.apply(at, change);
        }
        now
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
        let actions = self.actions.iter().enumerate().filter(|(_, action)| action.active);
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
            Change::Terminated(node) => {
                self.nodes[node].state = "terminated";
                self.note(at, "instance terminated", self.nodes[node].id.clone(), "");
                self.leave_group(node, at);
            }
            Change::MovesOn(node, state) => self.move_on(node, at, state),
            Change::Registered(node) => {
                if let Some(registration) = &mut self.nodes[node].registration {
                    registration.registered = true;
                    let became = format!("{} in {}", registration.status, registration.cluster);
                    self.note(at, "container instance registered", self.nodes[node].id.clone(), &became);
                    self.continue_draining(node, at);
                }
            }
            Change::TaskRuns(node, task) => {
                if let Some(running) = self.task_mut(node, task) {
                    running.phase = Phase::Running;
                    running.started = SignedDuration::try_from(at).ok();
                    self.note_task(at, "task started", node, task);
                }
            }
            Change::TaskStopped(node, task) => {
                if let Some(stopped) = self.task_mut(node, task) {
                    stopped.phase = Phase::Stopped;
                    self.note_task(at, "task stopped", node, task);
                    self.continue_draining(node, at);
                }
            }
            Change::Expired(action) => {
                let result = self.actions[action].hook.default_result;
                self.end_action(action, at, result, "timed out, default result");
            }
        }
    }

    fn task_mut(&mut self, node: usize, task: usize) -> Option<&mut SimTask> {
        self.nodes[node].registration.as_mut()?.tasks.get_mut(task)
    }

    fn note_task(&mut self, at: Duration, operation: &str, node: usize, task: usize) {
        let node = &self.nodes[node];
        if let Some(task) = node.registration.as_ref().and_then(|registration| registration.tasks.get(task)) {
            self.note(at, operation, format!("{} on {}", task.name(), node.id), "");
        }
    }

    /// Stops the tasks that draining stops.
    ///
    /// "Draining Amazon ECS container instances": service tasks that are PENDING stop at once, those that are RUNNING are
    /// stopped; tasks of no service are left alone. "Amazon ECS services", daemon strategy: a daemon task is the last to
    /// stop, after all replica tasks.
    ///
    /// Not as AWS does it: every service task is asked to stop at the same moment, and none is replaced elsewhere, whatever
    /// the service's minimum and maximum healthy percent.
    pub(super) fn continue_draining(&mut self, node: usize, at: Duration) {
        self.stop_service_tasks(node, at, false);
        let draining = self.nodes[node].registration.as_ref().filter(|registration| registration.is_draining());
        let replicas_are_gone = draining.is_some_and(|registration| {
            let mut replicas = registration.tasks.iter().filter(|task| task.is_of_service() && !task.daemon);
            replicas.all(|task| task.phase == Phase::Stopped)
        });
        if replicas_are_gone {
            self.stop_service_tasks(node, at, true);
        }
    }

    /// Stops the daemon tasks of a draining container instance, or its other service tasks.
    fn stop_service_tasks(&mut self, node: usize, at: Duration, daemon: bool) {
        let draining = self.nodes[node].registration.as_ref().filter(|registration| registration.is_draining());
        let tasks = draining.map_or(&[][..], |registration| &registration.tasks);
        let chosen = |task: &SimTask| task.is_of_service() && task.daemon == daemon;
        let to_stop: Vec<usize> = (0..tasks.len()).filter(|&index| chosen(&tasks[index])).collect();
        for task in to_stop {
            self.stop(node, task, at);
        }
    }

    /// Asks for a task to be stopped; one that has been asked already, or has ended, stays as it is.
    ///
    /// While the agent is disconnected the container goes on: ECS wants it stopped and has nobody to tell.
    pub(super) fn stop(&mut self, node: usize, task: usize, at: Duration) {
        let Some(registration) = &mut self.nodes[node].registration else { return };
        let connected = registration.agent_connected;
        let Some(stopped) = registration.tasks.get_mut(task) else { return };
        match stopped.phase {
            Phase::Pending { .. } => {
                stopped.phase = Phase::Stopped;
                self.note_task(at, "task stopped", node, task);
            }
            Phase::Running => {
                let stops_at = stopped.stops_in.filter(|_| connected).map(|stops_in| at + stops_in);
                stopped.phase = Phase::Stopping { asked_at: at, stops_at };
                self.note_task(at, "task stopping", node, task);
            }
            Phase::Stopping { .. } | Phase::Stopped => {}
        }
    }

    /// Begins the end of an instance: its tasks are gone, and ECS forgets it.
    ///
    /// API reference, DeregisterContainerInstance: terminating a running container instance deregisters it, but not one
    /// whose agent is disconnected, which stays listed with its tasks.
    fn shut_down(&mut self, node: usize, at: Duration) {
        let dying = &mut self.nodes[node];
        if !dying.exists() {
            return;
        }
        dying.state = "shutting-down";
        dying.terminated_at = Some(at + SHUTTING_DOWN);
        dying.reclaimed_at = None;
        let registration = dying.registration.take_if(|registration| registration.agent_connected);
        let id = dying.id.clone();
        self.note(at, "instance shutting down", id.clone(), "");
        if let Some(registration) = registration.filter(|registration| registration.registered) {
            let lost = registration.tasks.iter().filter(|task| task.phase != Phase::Stopped).count();
            let became = if lost == 0 { String::new() } else { format!("{lost} tasks lost") };
            self.note(at, "container instance deregistered", id, &became);
        }
    }

    /// Takes an instance that is terminated out of its group, unless a lifecycle action still holds its place.
    fn leave_group(&mut self, node: usize, at: Duration) {
        let held = self.actions.iter().any(|action| action.active && action.node == node);
        if self.nodes[node].state == "terminated"
            && !held
            && let Some(member) = self.nodes[node].member.take()
        {
            self.note(at, "instance left its group", self.nodes[node].id.clone(), member.group.as_str());
        }
    }

    /// Begins every lifecycle action that holds an instance back in its present state: one for each hook of its group on
    /// that transition. `held_for` is how long they have done so already.
    ///
    /// "How lifecycle hooks work in Auto Scaling groups": the instance waits until every action is complete.
    pub(super) fn begin_actions(&mut self, node: usize, transition: Transition, at: Duration, held_for: Duration) {
        let Some(member) = &self.nodes[node].member else { return };
        let Some(group) = self.groups.iter().find(|group| group.name == member.group) else { return };
        let hooks = group.hooks.iter().filter(|hook| hook.transition == transition);
        self.actions.extend(hooks.map(|hook| Action {
            node,
            group: group.name.clone(),
            hook: hook.clone(),
            token: None,
            heartbeat_at: (at + hook.times.heartbeat_timeout).saturating_sub(held_for),
            global_at: (at + hook.times.global_timeout).saturating_sub(held_for),
            active: true,
        }));
    }

    /// Ends a lifecycle action, and the wait with the last of them.
    ///
    /// "Complete a lifecycle action in an Auto Scaling group": ABANDON stops any remaining actions, CONTINUE lets the
    /// others complete.
    pub(super) fn end_action(&mut self, action: usize, at: Duration, result: LifecycleResult, how: &str) {
        let ended = &mut self.actions[action];
        ended.active = false;
        let node = ended.node;
        let target = format!("{} on {}", ended.hook.name, self.nodes[node].id);
        self.note(at, "lifecycle action ended", target, &format!("{how} {}", result.as_str()));
        if result == LifecycleResult::Abandon {
            for other in self.actions.iter_mut().filter(|other| other.node == node) {
                other.active = false;
            }
        }
        if !self.actions.iter().any(|other| other.active && other.node == node) {
            self.proceed(node, at, result);
        }
    }

    /// Moves an instance that nothing holds back any longer.
    ///
    /// "How lifecycle hooks work in Auto Scaling groups": on termination both results end the instance; on launch ABANDON
    /// terminates it. "Use lifecycle hooks with a warm pool in Auto Scaling group" for the `Warmed:` states.
    ///
    /// Not as AWS does it: an instance whose launch is abandoned is not replaced and passes no terminate hook, a group never
    /// retains instances (`TerminateHookAbandon`), and a warm pool always keeps its instances stopped.
    fn proceed(&mut self, node: usize, at: Duration, result: LifecycleResult) {
        let Some(member) = &self.nodes[node].member else { return };
        let (state, then) = match (member.state, result) {
            ("Pending:Wait", LifecycleResult::Continue) => ("Pending:Proceed", Some("InService")),
            ("Warmed:Pending:Wait", LifecycleResult::Continue) => ("Warmed:Pending:Proceed", Some("Warmed:Stopped")),
            ("Pending:Wait" | "Terminating:Wait", _) => ("Terminating:Proceed", None),
            ("Warmed:Pending:Wait" | "Warmed:Terminating:Wait", _) => ("Warmed:Terminating:Proceed", None),
            _ => return,
        };
        self.move_on(node, at, state);
        match (then, &mut self.nodes[node].member) {
            (Some(then), Some(member)) => member.becomes = Some((at + PROCEEDING, then)),
            _ => {
                self.shut_down(node, at);
                self.leave_group(node, at);
            }
        }
    }

    /// Puts a member of a group into another lifecycle state.
    pub(super) fn move_on(&mut self, node: usize, at: Duration, state: &'static str) {
        let moving = &mut self.nodes[node];
        let Some(member) = &mut moving.member else { return };
        member.state = state;
        member.becomes = None;
        if state == "Warmed:Stopped" && moving.exists() {
            moving.state = "stopped";
            if let Some(registration) = &mut moving.registration {
                registration.agent_connected = false;
                registration.tasks.clear();
            }
        }
        self.note(at, "lifecycle state", self.nodes[node].id.clone(), state);
    }
}

impl Action {
    /// When it ends with the hook's default result.
    fn ends_at(&self) -> Duration {
        self.heartbeat_at.min(self.global_at)
    }
}

impl Node {
    /// What is due on this node.
    fn changes(&self, index: usize) -> impl Iterator<Item = (Duration, Change)> {
        let reclaimed = self.reclaimed_at.filter(|_| self.exists()).map(|at| (at, Change::Reclaimed(index)));
        let terminated =
            self.terminated_at.filter(|_| self.state == "shutting-down").map(|at| (at, Change::Terminated(index)));
        let moves_on = self
            .member
            .as_ref()
            .and_then(|member| member.becomes)
            .map(|(at, state)| (at, Change::MovesOn(index, state)));
        let registration = self.registration.as_ref().filter(|_| self.exists());
        let registered = registration
            .filter(|registration| !registration.registered)
            .map(|registration| (registration.at, Change::Registered(index)));
        let tasks =
            registration.filter(|registration| registration.registered).into_iter().flat_map(move |registration| {
                registration.tasks.iter().enumerate().filter_map(move |(task, sim)| match sim.phase {
                    Phase::Pending { runs_at } if registration.agent_connected => {
                        Some((runs_at, Change::TaskRuns(index, task)))
                    }
                    Phase::Stopping { stops_at: Some(at), .. } => Some((at, Change::TaskStopped(index, task))),
                    _ => None,
                })
            });
        [reclaimed, terminated, moves_on, registered].into_iter().flatten().chain(tasks)
    }
}

/// The times of a hook that sets no global timeout of its own. API reference, `LifecycleHook`: 48 hours or 100 times the
/// heartbeat timeout, whichever is smaller.
pub(super) fn hook_times(heartbeat_timeout: Duration) -> HookTimes {
    HookTimes { heartbeat_timeout, global_timeout: (heartbeat_timeout * 100).min(Duration::from_secs(48 * 60 * 60)) }
}
