//! The Lambda function: set up once, then serve.

use std::process::ExitCode;

use super::policy::{PolicyFile, read_policy};
use crate::aws::Aws;
use crate::{assemble, doors, telemetry};

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
        let aws = Aws::connect().await.map_err(assemble::AssembleError::from)?;
        let dispatch = assemble::live(policy, None, &aws).await?;
        let place = &dispatch.place;
        tracing::info!(policy = digest, handlers, account = %place.account, region = %place.region, "ready");
        doors::lambda::serve(dispatch).await.map_err(|error| anyhow::anyhow!(error))
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "cannot serve");
            ExitCode::FAILURE
        }
    }
}
