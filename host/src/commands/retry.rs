//! `hostler retry`: the next attempt is due now, and failures are forgiven.

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::desk::{self, Known, Refusal, write_lines};
use super::policy::PolicyFile;
use super::wait::{self, Wait};
use crate::assemble::ByHand;
use crate::clock::words::{brief, due, long, to_the_second};
use crate::clock::{Clock, SystemClock};
use crate::diagnosis;
use crate::ledger::{Item, Standing, Told};
use crate::policy::Policy;
use crate::ports::InstanceId;

/// Makes the next attempt for an instance due now, with the failures so far forgiven.
///
/// For when the plugin or the policy has been mended, or AWS answers again: `max-attempts` is counted anew. It runs no plugin itself:
/// a host does, with the newest plugin, as soon as the queue or its own clock brings it to the work. The command says when that is. What
/// a host works on at this moment gets a further attempt right after, unless that one brings it to its end.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// The instance
    #[arg(value_name = "INSTANCE", value_parser = InstanceId::parse)]
    instance: InstanceId,
    #[command(flatten)]
    policy: PolicyFile,
    /// Which of its open items; needed where it has several
    #[arg(long, value_name = "ID")]
    item: Option<String>,
    #[command(flatten)]
    wait: Wait,
}

const HELP: &str = "\
Exit codes:
  0  the next attempt is due now, or right after the one that a host is making; with --wait, it has come to its end, whatever that is
  1  with --wait: no attempt has ended in time
  2  bad input: arguments or policy; the policy has no [ledger]; or several items are open
  3  no work is open for the instance
  5  the ledger cannot be read or written";

const DUE: u8 = 0;
const NOT_IN_TIME: u8 = 1;

impl Arguments {
    /// Runs the command.
    pub fn run(&self) -> ExitCode {
        crate::telemetry::human();
        desk::exit(super::runtime().block_on(self.retry()))
    }

    async fn retry(&self) -> Result<u8, Refusal> {
        let by_hand = ByHand::new(desk::policy(&self.policy)?).await?;
        let (policy, store) = (&by_hand.policy, &by_hand.store);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let known = desk::known(desk::ledgers(store, &clock).await?, &self.instance).await?;
        let known =
            known.ok_or_else(|| Refusal::nothing(desk::unknown(&self.instance, &desk::place(policy, &**store))))?;
        let item = known.choose(&self.instance, self.item.as_deref(), clock.now())?;
        let out = &mut io::stdout().lock();
        let by = by_hand.caller().unwrap_or_else(desk::user_at_host);
        retry(out, (&self.instance, &by), &known, item, policy, clock.now()).await?;
        match self.wait.at_most {
            Some(at_most) => see_through(out, &self.instance, &known, item, at_most).await,
            None => Ok(DUE),
        }
    }
}

/// Waits until an attempt has ended that began after `item` was seen, or the work itself has.
async fn see_through(
    out: &mut dyn Write,
    instance: &InstanceId,
    known: &Known,
    item: &Item,
    at_most: Duration,
) -> Result<u8, Refusal> {
    let ended = wait::until(at_most, async || {
        let open = known.ledger.open(instance).await?;
        if let Some(open) = open.still(item) {
            return Ok(open.last_ended().filter(|last| last.attempt > item.attempts).map(tried));
        }
        let end = known.ledger.ended(instance).await?.end_of(item).map(diagnosis::end);
        Ok(Some(end.map_or_else(|| "the work has ended".to_owned(), |end| end.to_string())))
    });
    let (code, line) = match ended.await? {
        Some(line) => (DUE, line),
        None => (NOT_IN_TIME, format!("no attempt has ended within {}", long(at_most))),
    };
    write_lines(out, [&*format!("{instance}: {line}")])?;
    Ok(code)
}

/// What an attempt came to.
fn tried(told: &Told) -> String {
    let outcome = told.outcome.as_deref().unwrap_or("unknown");
    let note = if told.note.is_empty() { String::new() } else { format!(": {}", told.note) };
    format!("attempt {} ended: {outcome}{note}", told.attempt)
}

async fn retry(
    out: &mut dyn Write,
    (instance, by): (&InstanceId, &str),
    known: &Known,
    item: &Item,
    policy: &Policy,
    now: Timestamp,
) -> Result<(), Refusal> {
    let standing = known.open.standing(item, now);
    // Who works on it finds out when the attempt has ended, and then makes another.
    let at_work = known.open.held(now).filter(|_| standing == Standing::Working);
    if known.ledger.retry(instance, item, by).await?.is_none() {
        return Err(Refusal::nothing(format!("{instance}: the work has ended meanwhile; nothing was changed")));
    }
    let forgiven = match item.failures {
        0 => String::new(),
        1 => ", and its failure is forgiven".to_owned(),
        failures => format!(", and its {failures} failures in a row are forgiven"),
    };
    let (end, next) = match item.finishing {
        Some(_) => ("its end is decided, and ", "the next try to tell Auto Scaling"),
        None => ("", "the next attempt"),
    };
    let what = match at_work {
        Some(lease) => {
            let (holder, since) = (&lease.holder, brief(now.duration_since(lease.since)));
            format!(
                "{holder} works on it, for {since}; {end}unless that brings it to its end, {next} is due right after it{forgiven}"
            )
        }
        None => format!("{end}{next} is due now{forgiven}. {}", comes(standing, item, policy, now)),
    };
    write_lines(out, [&*format!("{instance}: {}: {what}", item.event.about())])?;
    Ok(())
}

/// Who comes for it, and when.
fn comes(standing: Standing, item: &Item, policy: &Policy, now: Timestamp) -> String {
    match standing {
        Standing::Overdue => format!(
            "But no host has come for it since {}: {}",
            to_the_second(item.wake),
            diagnosis::nobody_comes(policy)
        ),
        _ if item.wake <= now => "A host comes for it at any moment".to_owned(),
        _ => format!("A host comes for it {} or sooner", due(item.wake, now)),
    }
}
