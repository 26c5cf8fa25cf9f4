//! What is amiss, a line each, for monitoring.

use std::io::Write;

use jiff::Timestamp;

use super::{AMISS, READ, list};
use crate::clock::words::relative;
use crate::commands::desk::{Refusal, write_lines};
use crate::diagnosis;
use crate::ledger::{Ended, Item, Ledger, OVERDUE, Open, Standing, Store};
use crate::lifecycle::LONGEST_HEARTBEAT_TIMEOUT;
use crate::ports::InstanceId;
use crate::telemetry::visible;

/// Says what is overdue, late, finishing for long, damaged or left, as it is found. `place` is the ledger's, for messages.
pub(super) async fn tell(
    out: &mut dyn Write,
    (store, ledgers): (&dyn Store, &[Ledger]),
    place: &str,
    now: Timestamp,
) -> Result<u8, Refusal> {
    let mut code = READ;
    let mut say = |line: String| {
        code = AMISS;
        write_lines(out, [&*line])
    };
    list::each_open(ledgers, |_, open| match open {
        Ok(open) => open.items.iter().filter_map(|item| stuck(&open, item, now)).try_for_each(&mut say),
        Err(error) => say(format!("cannot be read: {error}")),
    })
    .await?;
    Ledger::damaged(store, |object| {
        let (object, at) = (store.locate(&object.key), relative(object.modified, now));
        say(format!("damaged: {object} was set aside {at}: look at it, and remove it")).map_err(Refusal::from)
    })
    .await?;
    for ledger in ledgers {
        let since = now - LONGEST_HEARTBEAT_TIMEOUT;
        let told = ledger.ended_since(since, |instance, ended| {
            let told = match ended {
                Ok(ended) => left(&instance, &ended, now).try_for_each(&mut say),
                Err(error) => say(format!("cannot be read: {error}")),
            };
            told.map_err(Refusal::from)
        });
        told.await?;
    }
    if code == READ {
        writeln!(out, "nothing is overdue, late, finishing for long, damaged or left in {}", visible(place))?;
    }
    Ok(code)
}

/// What of an instance was left to a hook that may still hold it: how long its hook waits is not known here.
fn left(instance: &InstanceId, ended: &Ended, now: Timestamp) -> impl Iterator<Item = String> {
    let left = ended.items.iter().filter(move |item| item.is_left_to_its_hook(LONGEST_HEARTBEAT_TIMEOUT, now));
    left.map(move |item| format!("left: {instance}: {}, {}", relative(item.ended, now), diagnosis::end(item)))
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
