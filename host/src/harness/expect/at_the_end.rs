//! What is expected of the world at the end.

use super::Deviation;
use crate::harness::case::mend;
use crate::harness::keys::{InstanceAtTheEnd, TaskAtTheEnd};
use crate::ports::InstanceId;
use crate::reading::Reading;
use crate::sim::InstancePicture;
use crate::sim::keys::{ContainerInstanceStatus, InstanceState, LifecycleState};

/// Compares an instance with what was expected of it.
pub(super) fn judge_instance(instance: &InstancePicture, wanted: &InstanceAtTheEnd, found: &mut Vec<Deviation>) {
    let protected = instance.protected_from_scale_in;
    let compared = [
        ("state", wanted.state.clone(), instance.state.to_owned()),
        ("lifecycle-state", wanted.lifecycle_state.clone(), instance.lifecycle_state.unwrap_or("none").to_owned()),
        (
            "container-instance-status",
            wanted.container_instance_status.clone(),
            instance.container_instance_status.unwrap_or("none").to_owned(),
        ),
        (
            "protected-from-scale-in",
            wanted.protected_from_scale_in.map(|wanted| wanted.to_string()),
            protected.to_string(),
        ),
    ];
    for (key, wanted, actual) in compared {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != actual) {
            found.push(Deviation::new(format!("instance {}: {key}", instance.id), wanted, actual));
        }
    }
}

/// Compares the tasks that are meant, all of them, with what was expected.
pub(super) fn judge_task(
    instance: Option<&InstancePicture>,
    on: &InstanceId,
    wanted: &TaskAtTheEnd,
    found: &mut Vec<Deviation>,
) {
    let group = match (&wanted.service, &wanted.family) {
        (Some(service), _) => format!("service:{service}"),
        (None, family) => format!("family:{}", family.as_deref().unwrap_or_default()),
    };
    let what = format!("task {group} on {on}: last-status");
    let status = wanted.last_status.clone().unwrap_or_default();
    let tasks = instance.map_or(&[][..], |instance| &instance.tasks);
    let mut meant = tasks.iter().filter(|task| task.group == group).peekable();
    if meant.peek().is_none() {
        let there: Vec<_> = tasks.iter().map(|task| task.group.as_str()).collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        found.push(Deviation::new(what, status, format!("no such task; there are: {there}")));
        return;
    }
    if let Some(other) = meant.find(|task| task.last_status != status) {
        found.push(Deviation::new(what, status, other.last_status));
    }
}

/// The states of an instance, as AWS calls them: a misspelt one would never come true.
pub(super) fn words_of_aws(reading: &mut Reading<'_>, at: usize, wanted: &InstanceAtTheEnd) {
    let InstanceAtTheEnd { state, lifecycle_state, container_instance_status, protected_from_scale_in, .. } = wanted;
    let written = [
        ("state", state, InstanceState::WORDS),
        ("lifecycle-state", lifecycle_state, LifecycleState::WORDS),
        ("container-instance-status", container_instance_status, ContainerInstanceStatus::WORDS),
    ];
    let nothing = protected_from_scale_in.is_none() && written.iter().all(|(_, word, _)| word.is_none());
    if nothing && reading.findings.is_sound() {
        reading.findings.mistake(at, "nothing is expected of this instance: write its state, for example");
    }
    for (key, word, words) in written {
        let Some(word) = word.as_deref().filter(|word| *word != "none" && !words.contains(word)) else { continue };
        let message = format!("{key} is {word:?}, which AWS does not know; {}", mend(word, words));
        reading.findings.mistake(at, message);
    }
}
