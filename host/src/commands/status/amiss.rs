//! What is amiss, a line each, for monitoring.

use std::io::{self, Write};

use jiff::Timestamp;

use super::{AMISS, READ, list};
use crate::clock::words::relative;
use crate::commands::desk::{Refusal, write_lines};
use crate::diagnosis;
use crate::ledger::{Item, Ledger, OVERDUE, Open, Standing, Store};
use crate::lifecycle::LONGEST_HEARTBEAT_TIMEOUT;
use crate::telemetry::visible;

/// Says what is overdue, late, finishing for long, damaged or left. `place` is the ledger's, for messages.
pub(super) async fn tell(
    out: &mut dyn Write,
    (store, ledgers): (&dyn Store, &[Ledger]),
    place: &str,
    now: Timestamp,
) -> Result<u8, Refusal> {
    let mut lines = Vec::new();
    list::each_open(ledgers, |_, open| {
        match open {
            Ok(open) => lines.extend(open.items.iter().filter_map(|item| stuck(&open, item, now))),
            Err(error) => lines.push(format!("cannot be read: {error}")),
        }
        io::Result::Ok(())
    })
    .await?;
    for object in Ledger::damaged(store).await? {
        let (object, at) = (store.locate(&object.key), relative(object.modified, now));
        lines.push(format!("damaged: {object} was set aside {at}: look at it, and remove it"));
    }
    let since = now - LONGEST_HEARTBEAT_TIMEOUT;
    for ledger in ledgers {
        for (instance, ended) in ledger.ended_since(since).await? {
            let ended = match ended {
                Ok(ended) => ended,
                Err(error) => {
                    lines.push(format!("cannot be read: {error}"));
                    continue;
                }
            };
            // How long its hook waits is not known here: left is what may still wait.
            let left = ended.items.iter().filter(|item| item.is_left_to_its_hook(LONGEST_HEARTBEAT_TIMEOUT, now));
            for item in left {
                let at = relative(item.ended, now);
                lines.push(format!("left: {instance}: {at}, {}", diagnosis::end(item)));
            }
        }
    }
    if lines.is_empty() {
        writeln!(out, "nothing is overdue, late, finishing for long, damaged or left in {}", visible(place))?;
        return Ok(READ);
    }
    write_lines(out, lines.iter().map(String::as_str))?;
    Ok(AMISS)
}

/// What is wrong with an open item, if it is stuck. Hosts come for one that is finishing every few seconds, so that it is not overdue,
/// whatever Auto Scaling answers.
fn stuck(open: &Open, item: &Item, now: Timestamp) -> Option<String> {
    let for_long = |since: Timestamp| now.duration_since(since) > OVERDUE;
    let subject = item.instance().map_or(&*item.event.id, |instance| instance.as_str());
    let unfinished = item.finishing.as_ref().filter(|finishing| for_long(finishing.at));
    if open.standing(item, now) == Standing::Overdue {
        Some(format!("overdue: {subject}: {}", diagnosis::overdue(item, now)))
    } else if let Some(finishing) = unfinished {
        Some(format!("finishing: {subject}: {}", diagnosis::unfinished(item, finishing, now)))
    } else if for_long(item.deadline) {
        let passed = relative(item.deadline, now);
        Some(format!(
            "late: {subject}: its deadline passed {passed}, and it is still open; attempts: {}",
            item.attempts
        ))
    } else {
        None
    }
}
