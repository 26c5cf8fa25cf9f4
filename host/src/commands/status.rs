//! `hostler status`: what is under way, from the ledger alone; or the story of one instance.

mod amiss;
mod item;
mod list;
mod plugins;
mod row;
mod story;
#[cfg(test)]
mod tests;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use self::plugins::Plugins;
use super::desk::{self, Refusal, write_lines};
use super::policy::PolicyFile;
use crate::assemble;
use crate::clock::{Clock, SystemClock};
use crate::ports::InstanceId;

/// Shows what is under way, or the story of one instance.
///
/// All open work is listed, the most worrying first. It reads the ledger that the policy names and asks nobody else, so it works while hosts do not. Below each instance stands what
/// its last attempt said. "overdue" means that no host has come for it long after its time: hosts are down, or what would
/// bring it is lost, which the sweep makes up for. "finishing" means that its end is decided, and Auto Scaling is still to be told. `hostler why` says what blocks an instance.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// Tell the story of this instance: its work, open and ended, with every attempt
    #[arg(value_name = "INSTANCE", value_parser = InstanceId::parse)]
    instance: Option<InstanceId>,
    #[command(flatten)]
    policy: PolicyFile,
    /// Show so many items; the others are only counted
    #[arg(long, value_name = "NUMBER", default_value_t = 100, conflicts_with_all = ["json", "instance"])]
    limit: usize,
    /// Tell what hosts know of the plugins of the policy: which versions were accepted, are on trial, have worked or were given up
    #[arg(long, conflicts_with_all = ["instance", "limit", "check"])]
    plugins: bool,
    /// Say only what is stuck (overdue, late or finishing for long), damaged or left to a hook's timeout, for monitoring
    #[arg(long, conflicts_with_all = ["json", "instance", "limit"])]
    check: bool,
    /// Print JSON: a line for each item, all of them, in the order of their instances, or for each plugin; or one object for the story
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Exit codes:
  0  all of it was read
  1  some of it cannot be read: a line says which object, and why; or --check has found something
  2  bad input: arguments or policy; or the policy has no [ledger]
  3  the ledger knows nothing of the instance
  5  the ledger cannot be read

--check says that a folder is missing, or has a line for each item that is overdue, that has been finishing for more than 3 minutes, or whose deadline passed more than 3 \
minutes ago; for each object that cannot be read or was set aside below damaged/ and is still \
there; and for each lifecycle action that was left to its hook in the last 2 hours, the longest that a hook waits.

Each line of --json has `instance` (null where the event names none), `account`, `region`, `item`, `event` (ids), `kind`, `group`, `hook`, \
`handler`, `standing` (overdue, finishing, ordered, due, waiting, behind or working), `overdue`, `taken`, `age-seconds`, `deadline`, `due`, \
`wake` (when its door brings it again), `attempts`, `failures` and `interrupted` (in a row), `outcome`, `note` and `digest` of the last \
attempt that ended, `lease` (`holder`, `item`, `since`, `until`, or null), `order` (`result`, `by`, `at`, or null) and `finishing` \
(`decision`, with `why`, or `result` and `by`; `tell`, what Auto Scaling is told; `sent`, `at`; or null). An object that cannot be read has `error` and nothing else. The story has \
`instance`, `account`, `region`, `open` (items as above, each with `told`, its attempts) and `ended` (each with `item`, `event`, `kind`, \
`handler`, `happened`, `taken`, `ended`, `decision`, and `why` or `result` and `by`, `lifecycle`, `attempts` and `told`). An attempt has \
`attempt`, `began`, `ended`, `outcome`, `note` and `module`. `given-up` of the story has the modules that are not run any more, and why.

Each line of --plugins --json has `module`, `place` (of its newest version), `handlers`, `newest` (`version` and `digest` of what no other may be older \
than, or null) and `digests`, in the order in which hosts came to know them: each has `digest`, `version-id`, `accepted` (by key: `version`, \
`version-id`), `pinned`, `worked` (handlers), `crashes` (in a row, by handler) and `given-up` (why, or null). Keys may be added.";

/// All of it was read.
const READ: u8 = 0;
/// Some of it was not.
const PARTLY: u8 = 1;
/// Something is stuck, damaged or left.
const AMISS: u8 = 1;

impl Arguments {
    /// Runs the command.
    pub fn run(&self) -> ExitCode {
        crate::telemetry::human();
        desk::exit(super::runtime().block_on(self.tell()))
    }

    async fn tell(&self) -> Result<u8, Refusal> {
        let policy = desk::policy(&self.policy)?;
        let store = assemble::ledger_alone(&policy).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (ledgers, now) = (desk::ledgers(&store, &clock).await?, clock.now());
        let place = desk::place(&policy, &*store);
        let out = &mut io::stdout().lock();
        match &self.instance {
            // Monitoring that looks in the wrong place must not find that all is well.
            None if self.check && desk::is_missing(&policy) => {
                write_lines(out, [&*format!("missing: {place}")])?;
                Ok(AMISS)
            }
            None if self.check => amiss::tell(out, (&*store, &ledgers), &place, now).await,
            Some(instance) => {
                let known = desk::known(ledgers, instance).await?;
                let known = known.ok_or_else(|| Refusal::nothing(desk::unknown(instance, &place)))?;
                story::tell(out, instance, &known, &known.given_up(&policy, &store).await, now, self.json)?;
                Ok(READ)
            }
            None if self.plugins => {
                let code = Plugins::read(&policy, &store).await.tell(out, self.json)?;
                if desk::is_missing(&policy) && !self.json {
                    write_lines(out, ["", &*format!("the ledger is {place}")])?;
                }
                Ok(code)
            }
            None if self.json => list::as_json(out, &ledgers, now).await,
            None => {
                let code = list::as_table(out, &ledgers, &place, now, self.limit).await?;
                Ok(code.max(Plugins::read(&policy, &store).await.warn(out)?))
            }
        }
    }
}
