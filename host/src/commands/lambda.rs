//! The Lambda function: set up once, then serve.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;

use super::policy::{PolicyFile, read_policy};
use crate::aws::Aws;
use crate::doors::lambda::Door;
use crate::{assemble, telemetry};

/// Serves invocations. Returns only when the function cannot be set up, which Lambda reports as a failed init.
pub fn run() -> ExitCode {
    telemetry::json(std::io::stdout);
    let served = super::runtime().block_on(async {
        let path = PolicyFile::of_environment().path;
        let policy = read_policy(&path).map_err(anyhow::Error::from)?;
        for warning in &policy.warnings {
            tracing::warn!(policy = %path.display(), line = warning.line, "{}", warning.message);
        }
        let (digest, handlers) = (policy.digest.clone(), policy.handlers.len());
        let aws = Aws::connect().await?;
        let dead_letter = policy.queue.as_ref().and_then(|queue| queue.dead_letter.as_deref());
        let dead_letters = dead_letter.map(|url| aws.dead_letters(url));
        let dispatch = assemble::live(&aws, policy, None).await?;
        let place = &dispatch.place;
        tracing::info!(policy = digest, handlers, account = %place.account, region = %place.region, "ready");
        let (sweeps, queue) = (dispatch.policy.sweep.is_some(), dispatch.policy.queue.as_ref());
        let (adopt, groups) = (queue.map(|queue| aws.adopts(&queue.url)), aws.groups());
        ensure!(
            !sweeps || adopt.is_some(),
            "the policy has [sweep] and no [queue]: a function does not live long enough to bring what it finds to its end, so name the \
             queue it is fed from, [queue] with url = \"https://sqs.REGION.amazonaws.com/ACCOUNT/NAME\""
        );
        let keep = dispatch.policy.ledger.as_ref().map_or(Duration::MAX, |ledger| ledger.keep);
        let door = Door::new(dispatch, move |arn| aws.queue_of_arn(arn), dead_letters);
        let door = match adopt {
            Some(adopt) if sweeps => door.sweeping(groups, adopt, keep),
            _ => door,
        };
        door.serve().await.map_err(|error| anyhow::anyhow!(error))
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "cannot serve");
            ExitCode::FAILURE
        }
    }
}
