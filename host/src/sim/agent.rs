//! What the ECS agent of an instance does: it registers, carries out what ECS wants of its tasks, and may lose touch.

use std::time::Duration;

use jiff::SignedDuration;

use super::node::{Phase, Registration};
use super::state::State;

impl State {
    /// The agent registers its instance with the cluster.
    pub(super) fn register(&mut self, node: usize, at: Duration) {
        let Some(registration) = &mut self.nodes[node].registration else { return };
        registration.registered = true;
        let became = format!("{} in {}", registration.status, registration.cluster);
        self.note(at, "container instance registered", self.nodes[node].id.clone(), &became);
    }

    /// The agent loses the connection: its tasks go on, and ECS hears nothing of what becomes of them.
    pub(super) fn disconnect_agent(&mut self, node: usize, at: Duration) {
        let Some(registration) = &mut self.nodes[node].registration else { return };
        registration.agent_connected = false;
        registration.disconnects_at = None;
        self.note(at, "agent disconnected", self.nodes[node].id.clone(), "");
    }

    /// The agent is back: it reports what has happened meanwhile, and carries out what was wanted of it.
    pub(super) fn reconnect_agent(&mut self, node: usize, at: Duration) {
        let Some(registration) = &mut self.nodes[node].registration else { return };
        registration.agent_connected = true;
        registration.reconnects_at = None;
        let mut to_stop = Vec::new();
        for (index, task) in registration.tasks.iter_mut().enumerate() {
            match &mut task.phase {
                Phase::Pending { runs_at: due } | Phase::Stopping { stops_at: Some(due), .. } => *due = at.max(*due),
                Phase::Unheard => {
                    task.phase = Phase::Running;
                    to_stop.push(index);
                }
                Phase::Running | Phase::Stopping { stops_at: None, .. } | Phase::Stopped => {}
            }
        }
        self.note(at, "agent reconnected", self.nodes[node].id.clone(), "");
        for task in to_stop {
            self.stop(node, task, at);
        }
    }

    /// A task has started.
    pub(super) fn task_runs(&mut self, node: usize, task: usize, at: Duration) {
        if let Some(running) = self.nodes[node].registration.as_mut().and_then(|known| known.tasks.get_mut(task)) {
            running.phase = Phase::Running;
            running.started = SignedDuration::try_from(at).ok();
            self.note_task(at, "task started", node, task, "");
        }
    }

    /// A task has stopped.
    pub(super) fn task_stopped(&mut self, node: usize, task: usize, at: Duration) {
        if let Some(stopped) = self.nodes[node].registration.as_mut().and_then(|known| known.tasks.get_mut(task)) {
            stopped.phase = Phase::Stopped;
            self.note_task(at, "task stopped", node, task, "");
        }
    }

    /// Asks for a task to be stopped; one that has been asked already, or has ended, stays as it is.
    ///
    /// While the agent is disconnected the container goes on: ECS wants it stopped and has nobody to tell. A task that is
    /// PENDING stops all the same, since nothing of it runs yet.
    pub(super) fn stop(&mut self, node: usize, task: usize, at: Duration) {
        let Some(Registration { agent_connected, tasks, .. }) = &mut self.nodes[node].registration else { return };
        let Some(stopped) = tasks.get_mut(task) else { return };
        match stopped.phase {
            Phase::Pending { .. } => {
                stopped.phase = Phase::Stopped;
                self.note_task(at, "task stopped", node, task, "");
            }
            Phase::Running if !*agent_connected => {
                stopped.phase = Phase::Unheard;
                self.note_task(at, "task asked to stop", node, task, "its agent is disconnected");
            }
            Phase::Running => {
                let stops_at = stopped.stops_in.map(|stops_in| at + stops_in);
                stopped.phase = Phase::Stopping { asked_at: at, stops_at };
                self.note_task(at, "task stopping", node, task, "");
            }
            Phase::Unheard | Phase::Stopping { .. } | Phase::Stopped => {}
        }
    }

    /// Writes into the journal what becomes of a task.
    pub(super) fn note_task(&mut self, at: Duration, operation: &str, node: usize, task: usize, became: &str) {
        let node = &self.nodes[node];
        if let Some(task) = node.registration.as_ref().and_then(|registration| registration.tasks.get(task)) {
            let target = format!("{} on {}", task.name(), node.id);
            self.note(at, operation, target, became);
        }
    }
}
