//! `hostler why`: what blocks an instance now.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::desk::{self, NOT_COMPLETED, NOTHING, Refusal, write_lines};
use super::policy::PolicyFile;
use crate::assemble::{ByHand, Eyes};
use crate::clock::{Clock, SystemClock};
use crate::diagnosis::{Book, Diagnosis, Finding, Sight, diagnose};
use crate::ledger::{Ended, LedgerError, Open, Store};
use crate::policy::{NamePatterns, Policy};
use crate::ports::{InstanceId, Place};
use crate::telemetry::visible_json;

/// Says what blocks an instance now, and what can be done about it.
///
/// One sentence comes first, and below it what that rests on. It reads the ledger that the policy names; then, with the credentials at hand, it asks AWS: for the instance's state in EC2 and
/// in its group, for its container instance and the tasks on it, and for what keeps their services from moving them. It changes
/// nothing. What the credentials do not allow is named, and left out.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// The instance
    #[arg(value_name = "INSTANCE", value_parser = InstanceId::parse)]
    instance: InstanceId,
    #[command(flatten)]
    policy: PolicyFile,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Exit codes:
  0  work is open for the instance, and what blocks it was said
  2  bad input: arguments or policy; or the policy has no [ledger]
  3  no work is open for the instance
  5  the ledger cannot be read; what AWS says is told all the same where its object is only damaged

The object of --json has `instance`, `open` (how many items are), `conclusion`, `remedy` and `command` (each null where there is none), \
`ledger`, `aws` and `unknown` (lines: what each says, and what could not be found out), and `unasked` (why AWS was not asked, or null). \
Keys may be added. The lines are for people: scripts read the items in `hostler status INSTANCE --json`.";

/// Work is open.
const OPEN: u8 = 0;

impl Arguments {
    /// Runs the command.
    pub fn run(&self) -> ExitCode {
        crate::telemetry::human();
        desk::exit(super::runtime().block_on(self.tell()))
    }

    async fn tell(&self) -> Result<u8, Refusal> {
        let by_hand = ByHand::new(desk::policy(&self.policy)?).await?;
        let asked = Asked { instance: &self.instance, policy: &by_hand.policy, store: &by_hand.store, json: self.json };
        asked.tell(&mut io::stdout().lock(), by_hand.eyes(), &(Arc::new(SystemClock) as Arc<dyn Clock>)).await
    }
}

/// What is asked, and of which ledger.
struct Asked<'a> {
    instance: &'a InstanceId,
    policy: &'a Policy,
    store: &'a Arc<dyn Store>,
    json: bool,
}

impl Asked<'_> {
    async fn tell(
        &self,
        out: &mut dyn Write,
        eyes: Result<Eyes, String>,
        clock: &Arc<dyn Clock>,
    ) -> Result<u8, Refusal> {
        let (known, damage) = match desk::known(desk::ledgers(self.store, clock).await?, self.instance).await {
            // What AWS says is told all the same.
            Err(error @ LedgerError::Unsound { .. }) => (None, Some(error)),
            known => (known?, None),
        };
        let place = known.as_ref().map(|known| known.ledger.place().clone());
        let given_up = match &known {
            Some(known) => known.given_up(self.policy, self.store).await,
            None => BTreeMap::new(),
        };
        let (open, ended) = known.map_or_else(Default::default, |known| (known.open, known.ended));
        let sight = match eyes.and_then(|eyes| seen_from(&eyes.place, place.as_ref()).map(|()| eyes)) {
            Ok(eyes) => {
                let clusters = self.clusters(&open, &ended);
                Ok(Sight::of(self.instance, clusters, &eyes.ports, &*eyes.services).await)
            }
            Err(why) => Err(why),
        };
        let (instance, policy, now) = (self.instance, self.policy, clock.now());
        let book = Book { instance, open: &open, ended: &ended, given_up: &given_up, policy, now };
        let mut diagnosis = diagnose(&book, sight.as_ref().ok());
        let code = match damage {
            Some(error) => {
                diagnosis.finding = Finding { conclusion: error.to_string(), remedy: None, command: None };
                diagnosis.ledger = vec!["what cannot be read".to_owned()];
                NOT_COMPLETED
            }
            None if open.items.is_empty() => NOTHING,
            None => OPEN,
        };
        if self.json {
            writeln!(out, "{}", visible_json(&as_json(self.instance, &open, &diagnosis, sight.err())))?;
        } else {
            let lines = lines(self.instance, &diagnosis, &desk::place(self.policy, &**self.store), sight.err());
            write_lines(out, lines.iter().map(String::as_str))?;
        }
        Ok(code)
    }

    /// The clusters that the handler of its work knows: the open work, or else the last.
    fn clusters(&self, open: &Open, ended: &Ended) -> Option<Arc<NamePatterns>> {
        let names = open.items.iter().map(|item| &item.handler).chain(ended.items.last().map(|ended| &ended.handler));
        let handlers = names.filter_map(|name| self.policy.handlers.iter().find(|handler| handler.name == *name));
        handlers.filter_map(|handler| handler.grants.ecs.as_ref()).map(|grant| Arc::clone(&grant.clusters)).next()
    }
}

/// From anywhere else, every instance is unknown.
fn seen_from(ours: &Place, theirs: Option<&Place>) -> Result<(), String> {
    match theirs {
        Some(theirs) if theirs != ours => Err(desk::elsewhere(ours, theirs)),
        _ => Ok(()),
    }
}

fn as_json(instance: &InstanceId, open: &Open, diagnosis: &Diagnosis, unasked: Option<String>) -> Value {
    let Diagnosis { finding: Finding { conclusion, remedy, command }, ledger, world, unknown } = diagnosis;
    json!({
        "instance": instance,
        "open": open.items.len(),
        "conclusion": conclusion,
        "remedy": remedy,
        "command": command,
        "ledger": ledger,
        "aws": world,
        "unknown": unknown,
        "unasked": unasked,
    })
}

/// What a command is printed after.
const COMMAND: &str = "  $ ";

fn lines(instance: &InstanceId, diagnosis: &Diagnosis, place: &str, unasked: Option<String>) -> Vec<String> {
    let Diagnosis { finding, ledger, world, unknown } = diagnosis;
    let mut lines = vec![format!("{instance}: {}.", finding.conclusion)];
    lines.extend(finding.remedy.as_ref().map(|remedy| {
        let end = if finding.command.is_some() { ':' } else { '.' };
        format!("What to do: {remedy}{end}")
    }));
    lines.extend(finding.command.as_ref().map(|command| format!("{COMMAND}{command}")));
    let mut section = |heading: String, rest: &[String]| {
        lines.extend([String::new(), heading]);
        lines.extend(rest.iter().map(|line| format!("  {line}")));
    };
    section(format!("The ledger, {place}, says"), ledger);
    match unasked {
        Some(why) => section("AWS was not asked".to_owned(), &[why]),
        None => section("AWS says".to_owned(), world),
    }
    if !unknown.is_empty() {
        section("What could not be found out".to_owned(), unknown);
    }
    lines
}
