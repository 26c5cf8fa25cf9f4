//! `hostler agent`: the host as a process that lives, with the doors that the policy configures.

use std::process::ExitCode;

use anyhow::ensure;
use clap::{Args, ValueEnum};

use super::policy::{PolicyFile, read_policy};
use crate::policy::Policy;

/// Takes events from an SQS queue, and from the EC2 instance it runs on, until it is stopped.
///
/// The policy says where from: `[queue]` names a queue to poll, and `[imds]` watches the notices of the instance itself. Events that
/// wait for their next attempt wait in the queue, and cost nothing here.
///
/// On SIGTERM or SIGINT the agent takes no more events, lets running attempts end for as long as shutdown in `[agent]` says, hands the rest
/// back to the queue, and exits with 0. Killed in any other way it loses nothing either: its messages come again half a minute later.
///
/// It acts on the real AWS account. The log is JSON lines on standard output; HOSTLER_LOG sets what is logged.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0  stopped: by SIGTERM or SIGINT, with everything ended or handed back
  2  bad input: arguments or policy, or nothing in the policy to take events from
  5  cannot serve, and the last line of the log says why:
     - AWS cannot be reached, or does not know us
     - the ledger cannot be read or written, or the clock is off
     - the queue, or the source of modules, is missing or forbidden
     - [imds] is not on an EC2 instance, or on one of another account or region
     - another process listens at the address of [agent]")]
pub struct Arguments {
    #[command(flatten)]
    policy: PolicyFile,
    /// Take events from here alone, whatever else the policy configures
    #[arg(long, value_enum, value_name = "DOOR")]
    only: Option<Door>,
}

/// Where an agent takes events from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Door {
    /// The SQS queue of [queue]
    Queue,
    /// The notices of the instance the agent runs on, of [imds]
    Imds,
}

/// The doors that are to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Doors {
    queue: bool,
    imds: bool,
}

const BAD_INPUT: u8 = 2;

/// There is no way to serve.
#[cfg(feature = "live")]
const CANNOT_SERVE: u8 = 5;

impl Arguments {
    /// Runs the command.
    pub fn run(&self) -> ExitCode {
        let read = read_policy(&self.policy.path).map_err(anyhow::Error::from);
        let checked = read.and_then(|policy| Ok((self.doors(&policy)?, policy)));
        match checked {
            Ok((doors, policy)) => self.serve(policy, doors),
            Err(error) => {
                super::complain(&error);
                ExitCode::from(BAD_INPUT)
            }
        }
    }

    /// The doors that the policy configures and the arguments want.
    fn doors(&self, policy: &Policy) -> anyhow::Result<Doors> {
        let (queue, imds) = (policy.queue.is_some(), policy.imds.is_some());
        let path = self.policy.path.display();
        match self.only {
            Some(Door::Queue) => ensure!(
                queue,
                "{path} has no [queue] to take events from: add [queue] with url = \"https://sqs.REGION.amazonaws.com/ACCOUNT/NAME\", or \
                 leave out --only"
            ),
            Some(Door::Imds) => ensure!(
                imds,
                "{path} has no [imds], so the notices of the instance are not watched: add [imds], or leave out --only"
            ),
            None => ensure!(
                queue || imds,
                "{path} names nothing to take events from: add [queue] with \
                 url = \"https://sqs.REGION.amazonaws.com/ACCOUNT/NAME\", or [imds] on an EC2 instance"
            ),
        }
        Ok(Doors { queue: queue && self.only != Some(Door::Imds), imds: imds && self.only != Some(Door::Queue) })
    }

    #[cfg(feature = "live")]
    fn serve(&self, policy: Policy, doors: Doors) -> ExitCode {
        crate::telemetry::json(std::io::stdout);
        for warning in &policy.warnings {
            tracing::warn!(policy = %self.policy.path.display(), line = warning.line, "{}", warning.message);
        }
        let runtime = super::runtime();
        let served = runtime.block_on(live::serve(policy, doors));
        // A disk that hangs must not keep the process from its end.
        runtime.shutdown_timeout(std::time::Duration::from_secs(2));
        match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "cannot serve");
                ExitCode::from(CANNOT_SERVE)
            }
        }
    }

    #[cfg(not(feature = "live"))]
    fn serve(&self, _: Policy, _: Doors) -> ExitCode {
        super::complain(&anyhow::anyhow!("this build has no agent: it was made without the feature `live`"));
        ExitCode::from(BAD_INPUT)
    }
}

#[cfg(feature = "live")]
mod live;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::policy;

    fn doors(sections: &str, only: Option<Door>) -> String {
        let policy = policy(sections);
        let arguments = Arguments { policy: PolicyFile { path: "hostler.toml".into() }, only };
        match arguments.doors(&policy) {
            Ok(Doors { queue, imds }) => format!("queue: {queue}, imds: {imds}"),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn the_doors_are_those_of_the_policy_or_the_one_that_is_asked_for() {
        let ledger = "[ledger]\nstore = \"dir:ledger\"";
        let queue = &format!("{ledger}\n[queue]\nurl = \"https://sqs.eu-central-1.amazonaws.com/123456789012/events\"");
        let (imds, both) = (&format!("{ledger}\n[imds]"), &format!("{queue}\n[imds]"));
        assert_eq!(doors(queue, None), "queue: true, imds: false");
        assert_eq!(doors(imds, None), "queue: false, imds: true");
        assert_eq!(doors(both, None), "queue: true, imds: true");
        assert_eq!(doors(both, Some(Door::Queue)), "queue: true, imds: false");
        assert_eq!(doors(both, Some(Door::Imds)), "queue: false, imds: true");
        insta::assert_snapshot!(doors("", None), @r#"hostler.toml names nothing to take events from: add [queue] with url = "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME", or [imds] on an EC2 instance"#);
        insta::assert_snapshot!(doors(imds, Some(Door::Queue)), @r#"hostler.toml has no [queue] to take events from: add [queue] with url = "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME", or leave out --only"#);
        insta::assert_snapshot!(doors(queue, Some(Door::Imds)), @"hostler.toml has no [imds], so the notices of the instance are not watched: add [imds], or leave out --only");
    }
}
