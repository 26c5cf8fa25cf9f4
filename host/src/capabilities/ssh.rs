//! `hostler:handler/ssh`: commands on the node.

use async_trait::async_trait;

use crate::policy::{Exec, Granted};
use crate::ports::{CommandOutput, PortError};

/// SSH to a node.
#[async_trait]
pub trait Ssh: Send + Sync {
    /// Runs a command and waits for its end, within the timeouts of the request. An exit status other than zero is an output.
    async fn exec(&self, request: Granted<Exec>) -> Result<CommandOutput, PortError>;
}
