//! The Lambda function: set up once, then serve.

use std::process::ExitCode;

use anyhow::ensure;

use super::policy::{PolicyFile, read_policy};
use crate::aws::Aws;
use crate::doors::lambda::Door;
use crate::policy::{Location, Policy};
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
        suits_a_function(&policy)?;
        let (digest, handlers) = (policy.digest.clone(), policy.handlers.len());
        let aws = Aws::connect().await?;
        let dead_letter = policy.queue.as_ref().and_then(|queue| queue.dead_letter.as_deref());
        let dead_letters = dead_letter.map(|url| aws.dead_letters(url));
        let dispatch = assemble::live(&aws, policy, None).await?;
        assemble::has_ledger(&dispatch).await?;
        let place = &dispatch.place;
        tracing::info!(policy = digest, handlers, account = %place.account, region = %place.region, "ready");
        let (sweeps, queue) = (dispatch.policy.sweep.is_some(), dispatch.policy.queue.as_ref());
        let (adopt, groups) = (queue.map(|queue| aws.adopts(&queue.url)), aws.groups());
        let keep = dispatch.policy.ledger.as_ref().map(|ledger| ledger.keep);
        let mappings = aws.mappings();
        let door = Door::new(dispatch, move |arn| aws.queue_of_arn(arn), mappings, dead_letters);
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

/// Whether a function can do what the policy says, which an agent could.
fn suits_a_function(policy: &Policy) -> anyhow::Result<()> {
    ensure!(
        policy.sweep.is_none() || policy.queue.is_some(),
        "the policy has [sweep] and no [queue]: a function does not live long enough to bring what it finds to its end, so name the \
         queue it is fed from, [queue] with url = \"https://sqs.REGION.amazonaws.com/ACCOUNT/NAME\""
    );
    if let Some(ledger) = &policy.ledger
        && let Location::Dir(folder) = &ledger.store
    {
        anyhow::bail!(
            "the policy keeps its ledger in the folder {}, and no instance of a function sees another's files, so that each would \
             begin all work anew: keep it in a bucket, [ledger] with store = \"s3://BUCKET/PREFIX/\"",
            folder.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::policy;

    #[test]
    fn a_function_has_no_folder_for_its_ledger_and_no_time_for_what_its_sweep_finds() {
        let refused = |sections: &str| suits_a_function(&policy(sections)).unwrap_err().to_string();
        let (folder, bucket) = ("[ledger]\nstore = \"dir:/tmp/ledger\"", "[ledger]\nstore = \"s3://bucket/ledger/\"");
        insta::assert_snapshot!(refused(folder), @r#"the policy keeps its ledger in the folder /tmp/ledger, and no instance of a function sees another's files, so that each would begin all work anew: keep it in a bucket, [ledger] with store = "s3://BUCKET/PREFIX/""#);
        insta::assert_snapshot!(refused(&format!("{bucket}\n[sweep]")), @r#"the policy has [sweep] and no [queue]: a function does not live long enough to bring what it finds to its end, so name the queue it is fed from, [queue] with url = "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME""#);
        let queue = "[queue]\nurl = \"https://sqs.eu-central-1.amazonaws.com/123456789012/events\"";
        suits_a_function(&policy(&format!("{bucket}\n{queue}\n[sweep]"))).unwrap();
        suits_a_function(&policy("")).unwrap();
    }
}
