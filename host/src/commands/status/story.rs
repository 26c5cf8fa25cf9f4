//! The story of one instance: its open work and its ended work, with every attempt.

use std::collections::BTreeMap;
use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::json;

use super::item::{OpenItem, Past};
use crate::clock::words::{brief, due, relative, to_the_second};
use crate::commands::desk::{Known, short, write_lines};
use crate::diagnosis;
use crate::ledger::{EndedItem, Item, Open, Retried, Standing, Told};
use crate::ports::InstanceId;
use crate::telemetry::visible_json;

pub(super) fn tell(
    out: &mut dyn Write,
    instance: &InstanceId,
    known: &Known,
    given_up: &BTreeMap<String, String>,
    now: Timestamp,
    json: bool,
) -> io::Result<()> {
    let Known { ledger, open, ended } = known;
    let place = ledger.place();
    if json {
        let items = open.items.iter().map(|item| OpenItem::of(open, item, place, now).with_attempts(item));
        let story = json!({
            "instance": instance,
            "account": place.account,
            "region": place.region,
            "open": items.collect::<Vec<_>>(),
            "ended": ended.items.iter().map(Past::from).collect::<Vec<_>>(),
            "given-up": given_up,
        });
        return writeln!(out, "{}", visible_json(&story));
    }
    let mut lines = vec![format!("{instance} in account {}, {}", place.account, place.region)];
    lines.extend(ended.items.iter().flat_map(|ended| of_ended(ended, now)));
    lines.extend(open.items.iter().flat_map(|item| of_open(open, item, now)));
    if !given_up.is_empty() {
        lines.push(String::new());
    }
    lines.extend(given_up.iter().map(|(module, why)| format!("plugin {} was given up: {why}", short(module))));
    write_lines(out, lines.iter().map(String::as_str))
}

fn of_ended(ended: &EndedItem, now: Timestamp) -> Vec<String> {
    let EndedItem { kind, handler, taken, ended: at, .. } = ended;
    let mut lines = vec![
        String::new(),
        format!("ended: {kind}, handler {handler}"),
        format!("  item {}", ended.id),
        format!("  taken {} ({})", to_the_second(*taken), relative(*taken, now)),
    ];
    lines.extend(ended.told.iter().map(of_attempt));
    lines.extend(ended.retried.as_ref().map(of_retry));
    lines.push(format!("  ended {} ({}): {}", to_the_second(*at), relative(*at, now), diagnosis::end(ended)));
    lines
}

fn of_open(open: &Open, item: &Item, now: Timestamp) -> Vec<String> {
    let (taken, deadline) = (item.taken, item.deadline);
    let mut lines = vec![
        String::new(),
        format!("open: {}, handler {}", item.event.about(), item.handler),
        format!("  item {}", item.id),
        format!("  taken {} ({})", to_the_second(taken), relative(taken, now)),
        format!("  deadline {} ({})", to_the_second(deadline), relative(deadline, now)),
    ];
    lines.extend(item.told.iter().map(of_attempt));
    lines.extend(item.retried.as_ref().map(of_retry));
    if let Some(order) = &item.order {
        let at = to_the_second(order.at);
        lines.push(format!("  ordered {at} by {}: {}", order.by, order.result.as_str()));
    }
    if let Some(finishing) = &item.finishing {
        let result = match (finishing.result, finishing.sent) {
            (None, _) => "nothing is to be told to Auto Scaling".to_owned(),
            (Some(result), true) => format!("{} is being told to Auto Scaling, and may have arrived", result.as_str()),
            (Some(result), false) => format!("{} is still to be told to Auto Scaling", result.as_str()),
        };
        let decided = &finishing.decision;
        lines.push(format!("  decided {}: {decided}; {result}", to_the_second(finishing.at)));
    }
    lines.push(format!("  now: {}", stands(open, item, now)));
    lines
}

fn stands(open: &Open, item: &Item, now: Timestamp) -> String {
    let failed = match item.failures {
        0 => String::new(),
        1 => ", after a failure".to_owned(),
        failures => format!(", after {failures} failures in a row"),
    };
    match (open.standing(item, now), open.held(now)) {
        (Standing::Working, Some(lease)) => {
            format!("{} works on it, for {}{failed}", lease.holder, brief(now.duration_since(lease.since)))
        }
        (Standing::Behind, Some(lease)) => format!("waits for {}, who works on {}", lease.holder, lease.item),
        (Standing::Overdue, _) => diagnosis::overdue(item, now),
        _ => format!("the next attempt is due {}{failed}", due(item.due, now)),
    }
}

fn of_retry(Retried { by, at, failures }: &Retried) -> String {
    let forgiven = if *failures == 0 { String::new() } else { format!(", failures in a row forgiven: {failures}") };
    format!("  another attempt asked for {} by {by}{forgiven}", to_the_second(*at))
}

fn of_attempt(told: &Told) -> String {
    let took = told.ended.map(|ended| format!(", {}", brief(ended.duration_since(told.began)))).unwrap_or_default();
    let outcome = told.outcome.as_deref().unwrap_or("under way");
    let module = if told.module.is_empty() { "no module" } else { short(&told.module) };
    let note = if told.note.is_empty() { String::new() } else { format!(": {}", told.note) };
    format!("  {} attempt {} ({module}{took}) {outcome}{note}", to_the_second(told.began), told.attempt)
}
