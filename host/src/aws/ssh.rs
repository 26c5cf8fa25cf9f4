//! The SSH port: a command on a node, with the node proving which instance it is before anything is sent to it.
//!
//! Owns where keys come from (ours and theirs) and the order of the steps; the steps themselves are those of `crate::ssh`. Does not know
//! what may run where: that was decided when the request was granted.

mod client_key;
mod cloud;
mod file;
mod host_keys;
mod secret;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use russh::keys::PrivateKey;
use tokio::time::{Instant, timeout_at};

use self::client_key::ClientKeys;
use self::cloud::Cloud;
use self::host_keys::HostKeyring;
use crate::capabilities::ssh::Ssh;
use crate::policy::{Exec, Granted};
use crate::ports::{CommandOutput, PortError, PortErrorKind};
use crate::ssh::{Node, command_line};

/// No timeout is longer than this, whatever it says: clocks overflow.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// SSH to nodes.
pub struct SshPort {
    keys: ClientKeys,
    host_keys: HostKeyring,
}

impl SshPort {
    /// A port that asks AWS for what a policy may want of it (console output, EC2 Instance Connect, secrets) with the
    /// credentials and the region of `config`. Calls nothing until a command needs it.
    pub fn new(config: &SdkConfig) -> Self {
        Self::over(Arc::new(cloud::Aws::new(config)))
    }

    fn over(cloud: Arc<dyn Cloud>) -> Self {
        Self { keys: ClientKeys::new(Arc::clone(&cloud)), host_keys: HostKeyring::new(cloud) }
    }

    /// Carries a request out. What a denial may have been judged from is not believed again without asking.
    async fn exec(&self, request: Exec) -> Result<CommandOutput, PortError> {
        let (key, instance) = (request.key.clone(), request.instance.clone());
        let result = self.attempt(request).await;
        if result.as_ref().is_err_and(|error| error.kind == PortErrorKind::Denied) {
            self.keys.forget(&key);
            self.host_keys.forget(&instance);
        }
        result
    }

    async fn attempt(&self, request: Exec) -> Result<CommandOutput, PortError> {
        let line = command_line(&request.command)?;
        let deadline = Instant::now() + request.connect_timeout.min(LONGEST);
        let trust = in_time(&request, deadline, "what its host key must be", self.host_keys.trust(&request)).await?;
        let key = in_time(&request, deadline, "the key to log in with", self.keys.load(&request)).await?;

        let node = Node::connect(&request, trust, deadline).await?;
        self.command(node, request, key, line, deadline).await
    }

    /// Logs in to a node that has proved itself, until `deadline`, and runs a line of shell there.
    async fn command(
        &self,
        mut node: Node,
        mut request: Exec,
        key: Arc<PrivateKey>,
        line: String,
        deadline: Instant,
    ) -> Result<CommandOutput, PortError> {
        let stdin = request.stdin.take();
        let result = async {
            // Only now, that we know who is asking: a fresh key is worth something for a minute.
            let announced = self.keys.announce(&request, &key);
            in_time(&request, deadline, "EC2 Instance Connect to take our key", announced).await?;
            node.log_in(&request, key, deadline).await?;
            node.run(line, stdin, request.max_output, request.command_timeout.min(LONGEST)).await
        }
        .await;
        node.close().await;
        result
    }
}

/// `work` that precedes the login, within what `connect-timeout` leaves for it.
async fn in_time<T>(
    request: &Exec,
    deadline: Instant,
    what: &str,
    work: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    timeout_at(deadline, work).await.unwrap_or_else(|_| {
        let limit = humantime::format_duration(request.connect_timeout);
        let message = format!(
            "connecting to {} waited for {what} longer than connect-timeout allows ({limit})",
            request.instance
        );
        Err(PortError::new(PortErrorKind::Timeout, message))
    })
}

/// `source`, as the policy writes it, is of no use to us: the operator's to mend, and no retry helps.
fn unusable(source: &str, why: impl std::fmt::Display) -> PortError {
    PortError::new(PortErrorKind::Other, format!("{source} in the policy cannot be used: {why}"))
}

#[async_trait]
impl Ssh for SshPort {
    async fn exec(&self, request: Granted<Exec>) -> Result<CommandOutput, PortError> {
        self.exec(request.into_request()).await
    }
}
