//! Nodes that answer over SSH as their script says.

use std::time::Duration;

use async_trait::async_trait;

use super::World;
use super::node::Node;
use super::state::State;
use crate::capabilities::ssh::Ssh;
use crate::policy::{Exec, Granted};
use crate::ports::{CommandOutput, InstanceId, PortError, PortErrorKind};

/// What a shell's exit status is for a command it does not find.
const COMMAND_NOT_FOUND: u32 = 127;

/// A scripted answer.
#[derive(Debug, Clone)]
pub(super) struct Script {
    /// On which instance; any when none.
    pub(super) instance: Option<InstanceId>,
    /// To which command, as [`fits`] compares; any when none.
    pub(super) command: Option<Vec<String>>,
    pub(super) behaviour: Behaviour,
    /// Whether a command has met it.
    pub(super) met: bool,
}

/// What a node does when it is asked.
#[derive(Debug, Clone)]
pub(super) enum Behaviour {
    /// It runs the command, for as long, to this end.
    Answers { output: CommandOutput, delay: Duration },
    /// It runs the command for ever.
    Hangs,
    /// It refuses the connection.
    Refuses,
    /// It shows a host key that is not the one expected.
    WrongHostKey,
}

#[async_trait]
impl Ssh for World {
    async fn exec(&self, request: Granted<Exec>) -> Result<CommandOutput, PortError> {
        self.run(request.into_request()).await
    }
}

impl World {
    /// Runs a command as the first answer that fits says, within the request's time for commands.
    ///
    /// A node that EC2 takes away meanwhile drops the connection at that moment. Not as a real node does it: connecting takes
    /// no time, and an instance that is not running, or no longer at the address, is unreachable at once instead of silent.
    pub(super) async fn run(&self, request: Exec) -> Result<CommandOutput, PortError> {
        let (asked, began, script) = {
            let mut state = self.lock();
            let now = state.settle();
            let target = format!("{} {:?}", request.instance, request.command);
            (self.journal.call(now, "ssh.exec", target), now, script(&mut state, &request))
        };
        let result = match script {
            Behaviour::Refuses => Err(unavailable(&request, "refuses the connection; is sshd running there?")),
            Behaviour::WrongHostKey => Err(PortError::new(
                PortErrorKind::Denied,
                format!(
                    "{} at {} shows a host key that is not the one expected; nothing was sent to it",
                    request.instance, request.address
                ),
            )),
            Behaviour::Hangs => self.wait(&request, began, None).await.and_then(|()| Err(timed_out(&request))),
            Behaviour::Answers { delay, .. } if delay > request.command_timeout => {
                self.wait(&request, began, None).await.and_then(|()| Err(timed_out(&request)))
            }
            Behaviour::Answers { output, delay } => {
                self.wait(&request, began, Some(delay)).await.map(|()| cut(output, request.max_output))
            }
        };
        let now = self.lock().settle();
        self.journal.answer(asked, now, result.as_ref().map(tell));
        result
    }

    /// Lets the command run, for the request's time unless it ends after `delay`, or until the node is gone.
    async fn wait(&self, request: &Exec, began: Duration, delay: Option<Duration>) -> Result<(), PortError> {
        let end = began + delay.unwrap_or(request.command_timeout);
        loop {
            let (now, reclaimed_at) = {
                let mut state = self.lock();
                let now = state.settle();
                let node = state.find(&request.instance).map(|node| &state.nodes[node]);
                let Some(node) = node.filter(|node| is_reachable(node, request)) else {
                    let connected = now > began;
                    let told = if connected { "dropped the connection" } else { "is not reachable (no route to host)" };
                    return Err(unavailable(request, told));
                };
                (now, node.reclaimed_at)
            };
            if now >= end {
                return Ok(());
            }
            let next = reclaimed_at.map_or(end, |at| at.min(end));
            tokio::time::sleep(next.saturating_sub(now)).await;
        }
    }
}

/// What the node does: what the first fitting script says. A node in no shape to answer is found out in [`World::wait`].
fn script(state: &mut State, request: &Exec) -> Behaviour {
    let running = state.find(&request.instance).is_some_and(|node| is_reachable(&state.nodes[node], request));
    let fitting = state.scripts.iter_mut().filter(|_| running).find(|script| {
        script.instance.as_ref().is_none_or(|instance| *instance == request.instance)
            && script.command.as_ref().is_none_or(|pattern| fits(pattern, &request.command))
    });
    fitting.map_or_else(
        || unscripted(request),
        |script| {
            script.met = true;
            script.behaviour.clone()
        },
    )
}

fn is_reachable(node: &Node, request: &Exec) -> bool {
    node.state == "running" && node.address == request.address
}

/// The end of a command that the world knows nothing of: as on a node that does not have it, and with the reason to be read.
fn unscripted(request: &Exec) -> Behaviour {
    let stderr = format!("the simulated world has no ssh answer for {:?} on {}\n", request.command, request.instance);
    let output =
        CommandOutput { exit_status: Some(COMMAND_NOT_FOUND), stderr: stderr.into_bytes(), ..CommandOutput::default() };
    Behaviour::Answers { output, delay: Duration::ZERO }
}

/// Whether a command is one that `pattern` means: argument by argument, `*` for any one, a last `**` for any further ones.
fn fits(pattern: &[String], command: &[String]) -> bool {
    let (pattern, open) = match pattern {
        [fixed @ .., last] if last == "**" => (fixed, true),
        fixed => (fixed, false),
    };
    let same_length = if open { command.len() >= pattern.len() } else { command.len() == pattern.len() };
    same_length && pattern.iter().zip(command).all(|(wanted, argument)| wanted == "*" || wanted == argument)
}

fn cut(mut output: CommandOutput, max: usize) -> CommandOutput {
    output.stdout_truncated = output.stdout.len() > max;
    output.stdout.truncate(max);
    output.stderr_truncated = output.stderr.len() > max;
    output.stderr.truncate(max);
    output
}

fn unavailable(request: &Exec, what: &str) -> PortError {
    PortError::new(
        PortErrorKind::Unavailable,
        format!("{} at {}:{} {what}", request.instance, request.address, request.port),
    )
}

fn timed_out(request: &Exec) -> PortError {
    PortError::new(
        PortErrorKind::Timeout,
        format!(
            "{:?} on {} has not ended within {}; it may still be running",
            request.command,
            request.instance,
            humantime::format_duration(request.command_timeout)
        ),
    )
}

fn tell(output: &CommandOutput) -> String {
    match (&output.signal, output.exit_status) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(status)) => format!("exit status {status}"),
        (None, None) => "no exit status".to_owned(),
    }
}
