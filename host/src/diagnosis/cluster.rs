//! What keeps tasks on a container instance: its agent, its state, the limits of services, the lack of room, slow stops.
//!
//! The documents: "Draining Amazon ECS container instances"; API reference, `DeploymentConfiguration`; "Amazon ECS service
//! event messages". The simulated world follows the same ones (`sim/service.rs`).

use std::collections::BTreeMap;

use super::Finding;
use super::services::Service;
use super::sight::Node;
use crate::policy::{EcsCall, Handler, Power};
use crate::ports::Task;

/// What keeps tasks there, the most stubborn first; none when there are none, or none is known of.
pub(super) fn blocker(node: &Node, handler: Option<&Handler>) -> Option<Finding> {
    let tasks = node.tasks.as_ref().ok().filter(|tasks| !tasks.is_empty())?;
    Some(
        disconnected(node, tasks)
            .or_else(|| not_draining(node, tasks, handler))
            .or_else(|| services(node, tasks).find_map(|(service, tasks)| deadlocked(node, service, &tasks)))
            .or_else(|| services(node, tasks).find_map(|(service, tasks)| obstructed(service, &tasks)))
            .or_else(|| standalone(node, tasks, handler))
            .or_else(|| stopping(tasks))
            .or_else(|| services(node, tasks).find_map(|(service, tasks)| moving(service, &tasks)))
            .unwrap_or_else(|| Finding::new(format!("it still runs {}", counted(tasks)))),
    )
}

/// "Draining": with its agent disconnected, ECS hears of no task that has stopped.
fn disconnected(node: &Node, tasks: &[Task]) -> Option<Finding> {
    let seen = &node.container_instance;
    (!seen.agent_connected).then(|| {
        let conclusion =
            format!("its ECS agent is not connected, so {} may never be reported as stopped", counted(tasks));
        let remedy = "look at the agent on the node (systemctl status ecs); if the node is dead, there is nothing to drain any \
                      more: hostler finish";
        Finding::with(conclusion, remedy)
    })
}

fn not_draining(node: &Node, tasks: &[Task], handler: Option<&Handler>) -> Option<Finding> {
    let seen = &node.container_instance;
    (seen.status == "ACTIVE").then(|| {
        let conclusion = format!(
            "its container instance is still ACTIVE in cluster {}, so that nothing moves {} away: nobody has set it to DRAINING",
            seen.cluster,
            counted(tasks)
        );
        let lack = handler.and_then(|handler| handler.grants.lack(Power::Ecs(EcsCall::Drain)));
        let remedy = lack.map(|lack| format!("its handler cannot: {}; {}", lack.rule, lack.remedy));
        Finding { remedy, ..Finding::new(conclusion) }
    })
}

/// The services that still want tasks to run there, with those tasks.
fn services<'n>(node: &'n Node, tasks: &'n [Task]) -> impl Iterator<Item = (&'n Service, Vec<&'n Task>)> {
    let known = node.services.as_ref().map_or(&[][..], Vec::as_slice);
    known.iter().filter_map(|service| {
        let own = tasks.iter().filter(|task| task.service() == Some(&service.name) && wanted(task));
        Some((service, own.collect())).filter(|(_, own): &(_, Vec<_>)| !own.is_empty())
    })
}

/// Neither may a task stop, nor may another start first.
fn deadlocked(node: &Node, service: &Service, tasks: &[&Task]) -> Option<Finding> {
    let (desired, minimum, maximum) = service.limits()?;
    let running = service.running;
    (service.pending == 0 && running <= minimum && running >= maximum).then(|| {
        let (name, cluster) = (&service.name, &node.container_instance.cluster);
        let conclusion = format!(
            "ECS cannot move {} of service {name}: {running} of {desired} run, its minimum healthy percent keeps {minimum} \
             running, and its maximum percent allows {maximum}, so that it may neither stop one nor start another first",
            number(tasks.len())
        );
        let remedy = "let it start another before it stops one, by raising the maximum, or stop one first, by lowering the minimum";
        Finding::with(conclusion, remedy).and(format!(
            "aws ecs update-service --cluster {cluster} --service {name} --deployment-configuration \
             maximumPercent=200,minimumHealthyPercent=100"
        ))
    })
}

/// The service says itself what stands in its way.
fn obstructed(service: &Service, tasks: &[&Task]) -> Option<Finding> {
    let (_, minimum, _) = service.limits()?;
    let said = service.obstacle.as_ref().filter(|_| service.running <= minimum && service.pending == 0)?;
    let name = &service.name;
    let conclusion = format!(
        "ECS cannot replace {} of service {name}, and stops none before its replacement runs; it says: {said}",
        number(tasks.len())
    );
    let remedy = format!(
        "make room for {name} in the cluster (more container instances, or fewer tasks), or lower its minimum healthy percent"
    );
    Some(Finding::with(conclusion, remedy))
}

/// "Draining": tasks of no service are left alone.
fn standalone(node: &Node, tasks: &[Task], handler: Option<&Handler>) -> Option<Finding> {
    let alone: Vec<_> = tasks.iter().filter(|task| task.service().is_none() && wanted(task)).cloned().collect();
    let first = alone.first()?;
    let conclusion = format!(
        "it runs {} of no service, which draining leaves alone: they end by themselves, or when somebody stops them",
        counted(&alone)
    );
    let lack = handler.and_then(|handler| handler.grants.lack(Power::Ecs(EcsCall::StopTask)));
    let (cluster, id) = (&node.container_instance.cluster, first.arn.as_str().rsplit('/').next().unwrap_or_default());
    let remedy = match lack {
        Some(lack) => format!("its handler may not stop tasks: {}; {}. By hand", lack.rule, lack.remedy),
        None => "its handler may stop them, and may be giving them time. By hand".to_owned(),
    };
    Some(Finding::with(conclusion, remedy).and(format!("aws ecs stop-task --cluster {cluster} --task {id}")))
}

/// "Amazon ECS task lifecycle".
fn stopping(tasks: &[Task]) -> Option<Finding> {
    let told: Vec<_> = tasks.iter().filter(|task| !wanted(task)).cloned().collect();
    let first = told.first()?;
    let (conclusion, remedy) = match first.last_status.as_str() {
        "RUNNING" => {
            ("has told the agent to stop them, and hears nothing of it", "look at the agent and at Docker on the node")
        }
        "DEACTIVATING" => (
            "is taking them out of their load balancers",
            "that lasts as long as the deregistration delay of their target groups, 5 minutes unless it was changed",
        ),
        _ => (
            "has told them to stop, and they are not through",
            "they are killed after the stopTimeout of their containers, or the agent's ECS_CONTAINER_STOP_TIMEOUT (30s); if \
             it is long past, look at Docker on the node",
        ),
    };
    let conclusion = format!("ECS {conclusion}: {}, last seen {}", counted(&told), first.last_status);
    Some(Finding::with(conclusion, remedy))
}

/// It goes on by itself.
fn moving(service: &Service, tasks: &[&Task]) -> Option<Finding> {
    let (name, own) = (&service.name, number(tasks.len()));
    let Some((_, minimum, _)) = service.limits() else {
        return Some(Finding::new(format!("it still runs the daemon {name}, which ECS stops after all other tasks")));
    };
    Some(Finding::new(match (service.pending, service.running > minimum) {
        (0, true) => format!("ECS is about to stop {own} of service {name}"),
        (0, false) => format!("ECS is about to start replacements for {own} of service {name}"),
        (pending, _) => format!(
            "ECS is replacing {own} of service {name}: {} on the way, and it stops these once they run",
            if pending == 1 { "1 replacement is".to_owned() } else { format!("{pending} replacements are") }
        ),
    }))
}

/// Whether ECS wants it to run.
fn wanted(task: &Task) -> bool {
    task.desired_status != "STOPPED"
}

fn number(tasks: usize) -> String {
    if tasks == 1 { "1 task".to_owned() } else { format!("{tasks} tasks") }
}

/// Tasks by name: `3 tasks (cron x1, web x2)`.
pub(super) fn counted(tasks: &[Task]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for task in tasks {
        *counts.entry(name(task)).or_default() += 1;
    }
    let names: Vec<_> = counts.iter().map(|(name, count)| format!("{name} x{count}")).collect();
    format!("{} ({})", number(tasks.len()), names.join(", "))
}

/// The service of a task, or what it was started from.
pub(super) fn name(task: &Task) -> &str {
    let of_group = task.group.as_deref().and_then(|group| group.split_once(':'));
    of_group.map_or_else(|| task.definition.rsplit('/').next().unwrap_or_default(), |(_, name)| name)
}
