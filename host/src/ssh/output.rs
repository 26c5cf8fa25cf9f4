//! What a command on a node prints, and how it ends, as far as it is kept.

use std::time::Duration;

use russh::{ChannelMsg, ChannelReadHalf, Sig};
use tokio::time::timeout;

use crate::ports::CommandOutput;

/// How long a stream may stay silent once the command has ended. Longer means that something it left running holds the
/// stream open, which OpenSSH would wait for as long as that runs.
const LINGER: Duration = if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(2) };

/// How much of the name of a signal is kept: the node chose it.
const SIGNAL_CHARS: usize = 32;

/// How the reading of an output came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The node refused to run the command.
    Refused,
    /// Nothing more will come.
    Closed,
}

/// What a command has written, and how it ended, so far.
pub(crate) struct Output {
    command: CommandOutput,
    max: usize,
    /// Whether the node said that nothing more will come.
    complete: bool,
}

impl Output {
    /// Nothing yet, and at most `max` bytes of each stream later.
    pub(crate) fn new(max: usize) -> Self {
        Self { command: CommandOutput::default(), max, complete: false }
    }

    /// Whether the node told how the command ended.
    pub(crate) fn ended(&self) -> bool {
        self.command.exit_status.is_some() || self.command.signal.is_some()
    }

    /// Reads until the node closes the channel, or stays silent for a while after the command ended.
    pub(super) async fn collect(&mut self, from: &mut ChannelReadHalf) -> End {
        loop {
            let message =
                if self.ended() { timeout(LINGER, from.wait()).await.ok().flatten() } else { from.wait().await };
            let Some(message) = message else { return End::Closed };
            if let Some(end) = self.take(message) {
                return end;
            }
        }
    }

    /// Takes in what the node says next. What it comes to, if it is the last.
    pub(crate) fn take(&mut self, message: ChannelMsg) -> Option<End> {
        let CommandOutput { stdout, stdout_truncated, stderr, stderr_truncated, .. } = &mut self.command;
        match message {
            ChannelMsg::Data { data } => keep(stdout, stdout_truncated, &data, self.max),
            ChannelMsg::ExtendedData { data, ext: 1 } => keep(stderr, stderr_truncated, &data, self.max),
            ChannelMsg::ExitStatus { exit_status } => self.command.exit_status = Some(exit_status),
            ChannelMsg::ExitSignal { signal_name, .. } => self.command.signal = Some(name(&signal_name)),
            ChannelMsg::Failure => return Some(End::Refused),
            ChannelMsg::Eof => self.complete = true,
            ChannelMsg::Close => {
                self.complete = true;
                return Some(End::Closed);
            }
            _ => {}
        }
        None
    }

    /// The output; when the node never said that it was all, it counts as cut.
    pub(crate) fn into_command_output(self) -> CommandOutput {
        let mut command = self.command;
        command.stdout_truncated |= !self.complete;
        command.stderr_truncated |= !self.complete;
        command
    }
}

/// Appends what still fits. The rest was read, and is dropped.
fn keep(kept: &mut Vec<u8>, truncated: &mut bool, data: &[u8], max: usize) {
    let fits = data.len().min(max.saturating_sub(kept.len()));
    kept.extend_from_slice(&data[..fits]);
    *truncated |= fits < data.len();
}

/// The name of a signal, without `SIG`, as SSH has it (RFC 4254, section 6.10).
fn name(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => name.chars().take(SIGNAL_CHARS).collect(),
        known => format!("{known:?}"),
    }
}
