//! `hostler:handler/ssh`: commands on the node.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::call::{CallError, about};
use crate::bindings::hostler::handler::ssh as wit;
use crate::policy::{Exec, Granted};
use crate::ports::{CommandOutput, InstanceId, PortError, PortErrorKind};
use crate::sandbox::Attempt;

/// SSH to a node.
#[async_trait]
pub trait Ssh: Send + Sync {
    /// Runs a command and waits for its end, within the timeouts of the request. An exit status other than zero is an output.
    async fn exec(&self, request: Granted<Exec>) -> Result<CommandOutput, PortError>;
}

impl wit::Host for Attempt {
    async fn exec(&mut self, instance: String, command: wit::Command) -> Result<wit::Output, CallError> {
        let mut words = vec![command.program];
        words.extend(command.arguments);
        let stdin_bytes = command.stdin.as_ref().map_or(0, Vec::len);
        let handed =
            instance.len() + stdin_bytes + words.iter().map(|word| size_of::<String>() + word.len()).sum::<usize>();
        let call = self.mutating("ssh.exec", format_args!("{instance}: {words:?}"), handed)?;
        let (stdin, timeout) = (command.stdin, command.timeout_milliseconds.map(u64::from).map(Duration::from_millis));
        let output = async {
            if words.iter().any(|word| word.contains('\0')) {
                let message = "a command holds a NUL byte, which no program can be given as an argument";
                return Err(PortError::new(PortErrorKind::Invalid, message).into());
            }
            // EC2 says at this moment where the instance is; an address is never remembered, since addresses are reused.
            let id = InstanceId::parse(&instance)?;
            let look = self.scope.describe_for_exec(id.clone(), &words)?;
            let seen = self.ports.ec2.describe_instance(look).await?;
            about(&id, &seen.instance)?;
            if seen.private_address.is_none() {
                let message = format!("{instance} is {} and has no address to connect to", seen.state);
                return Err(PortError::new(PortErrorKind::Conflict, message).into());
            }
            // The command's own timeout ends first, if connecting was quick: then the node is told to stop it.
            let left = self.ends.saturating_duration_since(Instant::now() + TO_TELL);
            let timeout = timeout.unwrap_or(Duration::MAX).min(left.saturating_sub(TO_STOP));
            self.budget.charge_ssh(stdin_bytes)?;
            let request = self.scope.exec(&seen, words, stdin, Some(timeout))?;
            let output = tokio::time::timeout(left, self.ports.ssh.exec(request)).await.unwrap_or_else(|_| {
                let message = format!(
                    "the command on {instance} did not end in the time that the attempt's wall budget had left; it may still be running"
                );
                Err(PortError::new(PortErrorKind::Timeout, message))
            });
            let output = output?;
            let answered = output.stdout.len() + output.stderr.len();
            self.budget.hold(answered)?;
            self.budget.charge_ssh(answered)?;
            Ok(output.into())
        };
        let output = output.await;
        self.end(call, output)
    }
}

/// What is kept back of the wall budget when a command is run, for the guest to hear what came of it.
const TO_TELL: Duration = Duration::from_secs(2);

/// What is kept back of the rest for stopping a command in order.
const TO_STOP: Duration = Duration::from_secs(1);

impl From<CommandOutput> for wit::Output {
    fn from(output: CommandOutput) -> Self {
        Self {
            exit_status: output.exit_status,
            signal: output.signal,
            stdout: output.stdout,
            stdout_truncated: output.stdout_truncated,
            stderr: output.stderr,
            stderr_truncated: output.stderr_truncated,
        }
    }
}
