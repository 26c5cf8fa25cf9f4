//! `hostler finish` and `hostler abandon`: a person decides how the work on an instance ends.

mod here;
#[cfg(test)]
mod tests;
mod words;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::desk::{self, BAD_INPUT, Known, NOT_COMPLETED, Refusal, write_lines};
use super::policy::PolicyFile;
use super::wait::{self, Wait};
use crate::assemble::{ByHand, Hand};
use crate::clock::{Clock, SystemClock};
use crate::diagnosis;
use crate::dispatch::{DispatchError, End, Step, Worked};
use crate::ledger::Item;
use crate::lifecycle::{Completion, LifecycleResult};
use crate::policy::Policy;
use crate::ports::InstanceId;
use here::Here;

/// Which work, and whether to ask.
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
    /// Do not ask. Needed where standard input is no terminal
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    wait: Wait,
}

/// What both commands do.
pub(super) const ABOUT: &str = "\
Ends the work on an instance, whatever its handler says: `finish` with CONTINUE, `abandon` with ABANDON.

The order is written into the ledger that the policy names, with who gave it and when, and stands from then on. With the credentials at \
hand the command then ends the work itself: no plugin runs, Auto Scaling is told, and that is written down. Where it cannot, the \
next host that takes the work up does. Work that has no lifecycle action ends with either, and nobody is told. An end that was decided \
before is not changed any more. --wait waits for that, and ends the work as soon as no other host is at it; what fails here and does \
not pass by itself, such as a denial, ends the wait.";

const HELP: &str = "\
Exit codes:
  0  the work has ended as ordered
  1  not yet (with --wait: not in time, or not from here): the order is written down and takes effect later; or another end was decided before
  2  bad input: arguments or policy; no [ledger] in it; several items are open; or you said no
  3  no work is open for the instance
  5  not completed: the ledger cannot be read or written, or the lifecycle action was over already";

const ENDED: u8 = 0;
const NOT_YET: u8 = 1;

impl Arguments {
    /// Runs the command, which orders `result`.
    pub fn run(&self, result: LifecycleResult) -> ExitCode {
        crate::telemetry::human();
        desk::exit(super::runtime().block_on(self.decide(result)))
    }

    async fn decide(&self, result: LifecycleResult) -> Result<u8, Refusal> {
        let by_hand = ByHand::new(desk::policy(&self.policy)?).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ledgers = desk::ledgers(&by_hand.store, &clock).await?;
        let known = desk::known(ledgers, &self.instance).await?;
        let known = known.ok_or_else(|| {
            Refusal::nothing(desk::unknown(&self.instance, &desk::place(&by_hand.policy, &*by_hand.store)))
        })?;
        let item = known.choose(&self.instance, self.item.as_deref(), clock.now())?;
        let out = &mut io::stdout().lock();
        let (instance, policy, wait) = (&self.instance, &by_hand.policy, self.wait.at_most);
        let order = Order { instance, item, result, known: &known, policy, wait };
        write_lines(out, order.announced(clock.now()).iter().map(String::as_str))?;
        if !self.yes && !io::stdin().is_terminal() {
            let message = "nothing was ordered: there is no terminal to ask at; give --yes if that is what you mean";
            return Err(Refusal::bad_input(anyhow::Error::msg(message)));
        }
        if !self.yes && !agreed()? {
            write_lines(out, ["nothing was ordered"])?;
            return Ok(BAD_INPUT);
        }
        order.carry_out(out, by_hand.hand().await, &*clock).await
    }
}

/// Asks the person at the terminal.
fn agreed() -> io::Result<bool> {
    eprint!("Go on? [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What is ordered, and for what.
struct Order<'a> {
    instance: &'a InstanceId,
    item: &'a Item,
    result: LifecycleResult,
    known: &'a Known,
    policy: &'a Policy,
    /// How long it is waited for what is not done at once.
    wait: Option<Duration>,
}

impl Order<'_> {
    /// Writes the order down, brings the item one step on if that can be done, and says what came of it.
    async fn carry_out(
        &self,
        out: &mut dyn Write,
        hand: Result<Hand, String>,
        clock: &dyn Clock,
    ) -> Result<u8, Refusal> {
        let theirs = self.known.ledger.place();
        let hand = hand.and_then(|hand| match &hand.dispatch.place {
            ours if ours == theirs => Ok(hand),
            ours => Err(desk::elsewhere(ours, theirs)),
        });
        let by = hand.as_ref().map_or_else(|_| desk::user_at_host(), |hand| hand.caller.clone());
        let Some(item) = self.write_down(&by).await? else {
            let message = format!("{}: the work has ended meanwhile; nothing was ordered", self.instance);
            return Err(Refusal::nothing(message));
        };
        let mut here = Here::new(hand);
        let step = here.step(&item).await;
        let has_ended = matches!(step, Ok(Ok(Step::Ended(End::Worked(_) | End::Already(_)))));
        let (code, line) = match step {
            Err(why) => (NOT_YET, self.left_to_hosts(&item, &why, clock.now())),
            Ok(step) => self.judge(step, &item, clock).await?,
        };
        write_lines(out, [&*format!("{}: {line}", self.instance)])?;
        match self.wait {
            Some(at_most) if !has_ended => self.see_through(out, (at_most, here), &item, clock).await,
            _ => Ok(code),
        }
    }

    /// Waits until the work has ended, and ends it from here where no other host is at it, unless that is hopeless.
    async fn see_through(
        &self,
        out: &mut dyn Write,
        (at_most, mut here): (Duration, Here),
        item: &Item,
        clock: &dyn Clock,
    ) -> Result<u8, Refusal> {
        let (ledger, mut lease) = (&self.known.ledger, None);
        let ended = wait::until(at_most, async || {
            let open = ledger.open(self.instance).await?;
            if open.still(item).is_none() {
                let ended = ledger.ended(self.instance).await?;
                return Ok(Some(Ok(ended.end_of(item).map(diagnosis::end))));
            }
            here.step_again(&open, item, clock.now()).await;
            lease = open.held(clock.now()).cloned();
            Ok(here.hopeless().cloned().map(Err))
        });
        let (code, line) = match ended.await? {
            Some(Ok(Some(end))) => (self.code(&end), end.to_string()),
            Some(Ok(None)) => (NOT_YET, "the work has ended, and the ledger no longer says how".to_owned()),
            Some(Err(error)) => (NOT_YET, words::hopeless(&error)),
            None => (NOT_YET, words::not_in_time(at_most, &here, lease.as_ref(), clock.now())),
        };
        write_lines(out, [&*format!("{}: {line}", self.instance)])?;
        Ok(code)
    }

    /// The item as it is then; none if it has ended. An end that is decided is not ordered another time.
    async fn write_down(&self, by: &str) -> Result<Option<Item>, Refusal> {
        if self.item.finishing.is_some() {
            return Ok(Some(self.item.clone()));
        }
        Ok(self.known.ledger.order(self.instance, self.item, self.result, by).await?)
    }

    /// What came of the step, and the exit code for it.
    async fn judge(
        &self,
        step: Result<Step, DispatchError>,
        item: &Item,
        clock: &dyn Clock,
    ) -> Result<(u8, String), Refusal> {
        Ok(match step {
            Ok(Step::Ended(end @ (End::NoHandler | End::LeftAlone { .. }))) => (NOT_YET, self.not_ours(&end)),
            Ok(Step::Ended(end)) => (self.code(&end), end.to_string()),
            Ok(Step::Later { note, .. }) => {
                let open = self.known.ledger.open(self.instance).await?;
                (NOT_YET, self.busy(&open, &note, clock.now()))
            }
            Err(error) => (NOT_YET, self.not_told(item, &error)),
        })
    }

    fn code(&self, end: &End) -> u8 {
        let lifecycle = match end {
            End::Worked(Worked { lifecycle, .. }) => *lifecycle,
            End::Already(already) => already.lifecycle,
            End::NoHandler | End::LeftAlone { .. } => return NOT_YET,
        };
        match (lifecycle, self.result) {
            (None, _)
            | (Some(Completion::Continue), LifecycleResult::Continue)
            | (Some(Completion::Abandon), LifecycleResult::Abandon) => ENDED,
            (Some(Completion::Late), _) => NOT_COMPLETED,
            (Some(_), _) => NOT_YET,
        }
    }
}
