//! What a diagnosis rests on, line by line.

use super::book::{Book, last_note};
use super::cluster::name;
use super::services::{Service, Strategy};
use super::sight::{Node, Sight};
use crate::clock::words::{due, relative};
use crate::ledger::{Item, Standing};

/// How many tasks are told one by one.
const TASKS: usize = 10;

/// What the ledger says: of each open item, and of the last that has ended.
pub(super) fn of_ledger(book: &Book<'_>) -> Vec<String> {
    let mut items: Vec<&Item> = book.open.items.iter().collect();
    items.sort_by_key(|item| book.open.worry(item, book.now));
    let mut lines: Vec<String> = items.into_iter().flat_map(|item| of_item(book, item)).collect();
    if let Some(last) = book.ended.items.last() {
        let (kind, at) = (&last.kind, relative(last.ended, book.now));
        lines.push(format!("{kind}, ended {at}: {}", super::book::end(last)));
    }
    if lines.is_empty() {
        lines.push("nothing".to_owned());
    }
    lines
}

fn of_item(book: &Book<'_>, item: &Item) -> Vec<String> {
    let (now, handler) = (book.now, &item.handler);
    let unknown = if book.handler(item).is_none() { ", which the policy at hand does not have" } else { "" };
    let mut lines = vec![format!(
        "{}: handler {handler}{unknown}, taken {}, deadline {}",
        item.event.about(),
        relative(item.taken, now),
        relative(item.deadline, now)
    )];
    let mut say = |line: String| lines.push(format!("  {line}"));
    match (book.open.standing(item, now), book.open.held(now)) {
        (Standing::Working, Some(lease)) => {
            say(format!("{} works on it, since {}", lease.holder, relative(lease.since, now)));
        }
        (Standing::Behind, Some(lease)) => say(format!("behind: {} works on {}", lease.holder, lease.item)),
        (Standing::Overdue, _) => say(super::book::overdue(item, now)),
        _ => say(format!("its next attempt is due {}", due(item.due, now))),
    }
    if let Some(last) = item.last_ended() {
        let outcome = last.outcome.as_deref().unwrap_or("unknown");
        let at = last.ended.map(|at| relative(at, now)).unwrap_or_default();
        let note = last_note(item).map(|note| format!(": {note}")).unwrap_or_default();
        say(format!("attempt {} ended {at}: {outcome}{note}", last.attempt));
    }
    if let Some(why) = book.given_up(item) {
        say(format!("the plugin of that attempt is given up: {why}"));
    }
    if item.failures > 0 {
        say(format!("failures in a row: {}", item.failures));
    }
    if item.interrupted > 0 {
        say(format!("attempts in a row that ended with their host, or with their door's time: {}", item.interrupted));
    }
    if let Some(order) = &item.order {
        say(format!("ordered {} by {}: {}", relative(order.at, now), order.by, order.result.as_str()));
    }
    if let Some(finishing) = &item.finishing {
        let result = finishing.result.map_or("nothing to be told to Auto Scaling", |result| result.as_str());
        say(format!("decided {}, {}: {result}", relative(finishing.at, now), finishing.decision));
    }
    lines
}

/// What the world says.
pub(super) fn of_world(sight: &Sight) -> Vec<String> {
    let mut lines = Vec::new();
    match (&sight.machine, sight.gone()) {
        (Ok(seen), _) => {
            let address = seen.private_address.map(|address| format!(", {address}")).unwrap_or_default();
            lines.push(format!("EC2: {}, {}, {}{address}", seen.state, seen.lifecycle, seen.instance_type));
        }
        (Err(_), Some(_)) => lines.push("EC2: knows no such instance".to_owned()),
        (Err(_), None) => {}
    }
    match &sight.member {
        Ok(Some(member)) => lines.push(format!("Auto Scaling: {} in group {}", member.lifecycle_state, member.group)),
        Ok(None) => lines.push("Auto Scaling: in no group".to_owned()),
        Err(_) => {}
    }
    match &sight.node {
        None => lines.push("ECS: not asked, since its handler has no ecs grant that names clusters".to_owned()),
        Some(Ok(None)) => lines.push("ECS: in none of the clusters that its handler is granted".to_owned()),
        Some(Ok(Some(node))) => lines.extend(of_node(node)),
        Some(Err(_)) => {}
    }
    lines
}

fn of_node(node: &Node) -> Vec<String> {
    let seen = &node.container_instance;
    let agent = if seen.agent_connected { "agent connected" } else { "agent NOT connected" };
    let mut lines = vec![format!("ECS: {} in cluster {}, {agent}", seen.status, seen.cluster)];
    let Ok(tasks) = &node.tasks else { return lines };
    if tasks.is_empty() {
        lines.push("  no tasks".to_owned());
    }
    for task in tasks.iter().take(TASKS) {
        let id = task.arn.as_str().rsplit('/').next().unwrap_or_default();
        let whose = if task.service().is_some() { "service " } else { "no service, " };
        let (last, desired) = (&task.last_status, &task.desired_status);
        lines.push(format!("  task {id} of {whose}{}: {last}, to be {desired}", name(task)));
    }
    if tasks.len() > TASKS {
        lines.push(format!("  and {} more tasks", tasks.len() - TASKS));
    }
    lines.extend(node.services.iter().flatten().flat_map(of_service));
    lines
}

fn of_service(service: &Service) -> Vec<String> {
    let Service { name, strategy, running, pending, obstacle } = service;
    let counts = match strategy {
        Strategy::Replica { desired, minimum_percent, maximum_percent } => format!(
            "desired {desired}, running {running}, pending {pending}; minimum {minimum_percent}%, maximum {maximum_percent}%"
        ),
        Strategy::Daemon => format!("a daemon; running {running}, pending {pending}"),
    };
    let said = obstacle.as_ref().map(|said| format!("    it says: {said}"));
    [Some(format!("  service {name}: {counts}")), said].into_iter().flatten().collect()
}

/// What could not be had, and what permission would give it.
pub(super) fn unknown(sight: &Sight) -> Vec<String> {
    sight.unknown().into_iter().map(|(what, error)| format!("{what}: {error}")).collect()
}
