//! An open item as two lines of the table: what and when, and below it what was said last.

use std::cmp::Ordering;

use jiff::Timestamp;

use crate::clock::words::{brief, due, relative};
use crate::commands::desk::{WIDTH, cut, short};
use crate::ledger::{Item, LedgerError, Open, Standing, Worry};
use crate::ports::Place;
use crate::telemetry::visible;

/// The columns, each with the most it may take; all of them with two spaces between fit into [`WIDTH`].
pub(super) const COLUMNS: [(&str, usize); 7] =
    [("INSTANCE", 19), ("WHAT", 24), ("HANDLER", 15), ("AGE", 4), ("TRY", 4), ("NOW", 14), ("DEADLINE", 8)];

/// What is kept of an item to be shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    worry: Worry,
    /// Empty for an object that cannot be read.
    pub(super) cells: Vec<String>,
    pub(super) more: String,
}

impl Row {
    pub(super) fn of(open: &Open, item: &Item, place: Option<&Place>, now: Timestamp) -> Self {
        let standing = open.standing(item, now);
        let cells = [
            item.instance().map_or_else(|| item.event.id.clone(), ToString::to_string),
            item.event.kind.in_short().to_owned(),
            item.handler.clone(),
            brief(now.duration_since(item.taken)),
            item.attempts.to_string(),
            told(standing, open, item, now),
            relative(item.deadline, now),
        ];
        let cells = cells.iter().zip(COLUMNS).map(|(cell, (_, most))| cut(&visible(cell), most)).collect();
        Self { worry: open.worry(item, now), cells, more: line(&more(standing, open, item, place, now)) }
    }

    /// An object that cannot be read, in its place.
    pub(super) fn unreadable(error: &LedgerError) -> Self {
        Self { worry: Worry::MOST, cells: Vec::new(), more: format!("cannot be read: {error}") }
    }
}

/// Cut to the width of the table, and further in.
fn line(text: &str) -> String {
    format!("  {}", cut(&visible(text), WIDTH - 2))
}

/// Where it stands, in a few words.
fn told(standing: Standing, open: &Open, item: &Item, now: Timestamp) -> String {
    match standing {
        Standing::Overdue => format!("overdue by {}", brief(now.duration_since(item.wake))),
        Standing::Working => {
            let since = open.held(now).map_or(now, |lease| lease.since);
            format!("working {}", brief(now.duration_since(since)))
        }
        Standing::Due | Standing::Waiting => format!("due {}", due(item.due, now)),
        Standing::Finishing | Standing::Ordered | Standing::Behind => standing.as_str().to_owned(),
    }
}

/// The rest, the most telling last because notes are long.
fn more(standing: Standing, open: &Open, item: &Item, place: Option<&Place>, now: Timestamp) -> String {
    let mut parts = Vec::new();
    parts.extend(place.map(|place| format!("{} {}", place.account, place.region)));
    let action = item.event.lifecycle_action.as_ref();
    parts.extend(action.map(|action| format!("{}/{}", action.group, action.hook)));
    if let Some(finishing) = &item.finishing {
        let result = finishing.result.map_or("no result", |result| result.as_str());
        parts.push(format!("decided {}: {result} to be told", finishing.decision.as_str()));
    } else if let Some(order) = &item.order {
        parts.push(format!("{} ordered by {}", order.result.as_str(), order.by));
    }
    if let (Standing::Working | Standing::Behind, Some(lease)) = (standing, open.held(now)) {
        parts.push(format!("by {}", lease.holder));
    }
    if item.failures > 0 {
        parts.push(format!("{} failed in a row", item.failures));
    }
    let last = item.last_ended();
    parts.extend(last.map(|last| short(&last.module).to_owned()).filter(|digest| !digest.is_empty()));
    let parts = parts.join(", ");
    match last.map(|last| last.note.as_str()).filter(|note| !note.is_empty()) {
        // Of which there is room for the beginning only.
        Some(note) => format!("{parts}: {}", note.strip_prefix("the handler returned an error: ").unwrap_or(note)),
        None => parts,
    }
}

/// The most worrying first.
impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.worry, &self.cells, &self.more).cmp(&(other.worry, &other.cells, &other.more))
    }
}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
