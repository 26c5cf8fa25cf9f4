//! What a world was given for a purpose and that came to none, in words: who wrote it may have meant something else.

use std::sync::PoisonError;

use super::World;
use super::journal::{Entry, What};
use super::service::Service;
use super::ssh::Script;

impl World {
    /// What of the faults that were ordered has befallen no call.
    pub fn idle_faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).unmet()
    }

    /// The answers over SSH that no command met, and the services of which no task moved.
    pub fn idle_parts(&self) -> Vec<String> {
        let journal = self.journal();
        let state = self.lock();
        let answers = state.scripts.iter().filter_map(unmet);
        let services = state.services.iter().filter(|service| !moved(service, &journal));
        let services = services.map(|service| format!("no task of the service {} had to move", service.name));
        answers.chain(services).collect()
    }
}

/// The answer, if no command met it. One to any command is there for whatever may come.
fn unmet(script: &Script) -> Option<String> {
    let command = script.command.as_ref().filter(|_| !script.met)?;
    let node = script.instance.as_ref().map(|instance| format!(" on {instance}")).unwrap_or_default();
    Some(format!("no command met the ssh answer to {command:?}{node}"))
}

/// Whether the service stopped or started a task, or said what kept it from that.
fn moved(service: &Service, journal: &[Entry]) -> bool {
    let of_task = format!("service:{} ", service.name);
    journal.iter().any(|entry| match &entry.what {
        What::Change { name, target, .. } => {
            target.starts_with(&of_task) || name == "service" && *target == service.name
        }
        _ => false,
    })
}
