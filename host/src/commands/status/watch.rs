//! What is amiss, a line each, for monitoring.

use std::io::{self, Write};

use jiff::{SignedDuration, Timestamp};

use super::{AMISS, READ, list};
use crate::clock::words::relative;
use crate::commands::desk::{Refusal, write_lines};
use crate::diagnosis;
use crate::ledger::{Ledger, Standing, Store};
use crate::lifecycle::Completion;
use crate::telemetry::visible;

/// How long an action that was left can keep its instance waiting: the longest HeartbeatTimeout of a hook
/// ("PutLifecycleHook", Amazon EC2 Auto Scaling API Reference).
const LEFT: SignedDuration = SignedDuration::from_hours(2);

/// Says what is overdue, damaged or left. `place` is the ledger's, for messages.
pub(super) async fn amiss(
    out: &mut dyn Write,
    (store, ledgers): (&dyn Store, &[Ledger]),
    place: &str,
    now: Timestamp,
) -> Result<u8, Refusal> {
    let mut lines = Vec::new();
    list::each_open(ledgers, |_, open| {
        match open {
            Ok(open) => {
                for item in open.items.iter().filter(|item| open.standing(item, now) == Standing::Overdue) {
                    let subject = item.instance().map_or(&*item.event.id, |instance| instance.as_str());
                    lines.push(format!("overdue: {subject}: {}", diagnosis::overdue(item, now)));
                }
            }
            Err(error) => lines.push(format!("cannot be read: {error}")),
        }
        io::Result::Ok(())
    })
    .await?;
    for object in Ledger::set_aside(store).await? {
        let (object, at) = (store.locate(&object.key), relative(object.modified, now));
        lines.push(format!("damaged: {object} was set aside {at}: look at it, and remove it"));
    }
    let since = now - LEFT;
    for ledger in ledgers {
        for (instance, ended) in ledger.ended_since(since).await? {
            let ended = match ended {
                Ok(ended) => ended,
                Err(error) => {
                    lines.push(format!("cannot be read: {error}"));
                    continue;
                }
            };
            let left = |lifecycle| lifecycle == Some(Completion::Left);
            for item in ended.items.iter().filter(|item| left(item.lifecycle) && item.ended >= since) {
                let at = relative(item.ended, now);
                lines.push(format!("left: {instance}: {at}, {}", diagnosis::end(item)));
            }
        }
    }
    if lines.is_empty() {
        writeln!(out, "nothing is overdue, damaged or left in {}", visible(place))?;
        return Ok(READ);
    }
    write_lines(out, lines.iter().map(String::as_str))?;
    Ok(AMISS)
}
