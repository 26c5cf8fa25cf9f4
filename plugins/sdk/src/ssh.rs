//! Commands on the instance itself, over SSH.
//!
//! Grant: `ssh = { user = "...", key = "...", host-keys = "...", commands = [[...]] }`: only commands that a pattern matches,
//! and only on the event's own instance, unless the grant says `instances = "any"`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::bindings::hostler::handler::ssh::Command as HostCommand;
pub use crate::bindings::hostler::handler::ssh::Output;
use crate::host::ssh as host;
use crate::{Error, Result, json};

/// A command that starts `program`, as the remote side finds it: `sudo`, or `/usr/bin/systemctl`.
///
/// ```
/// # use hostler_plugin::{prelude::*, testing::{INSTANCE, World}};
/// # World::new().run(|| -> Result<()> {
/// # let instance = INSTANCE;
/// ssh::command("sudo").args(["systemctl", "stop", "ecs"]).run(instance)?.check()?;
/// # Ok(()) }).unwrap();
/// ```
pub fn command(program: impl Into<String>) -> Command {
    Command { program: program.into(), arguments: Vec::new(), stdin: None, timeout: None }
}

/// A program with its arguments: never a line for a shell. What the arguments contain has no meaning to any shell.
///
/// Read from text, as in a policy's config, it is a JSON array: `["sudo", "systemctl", "stop", "ecs"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    program: String,
    arguments: Vec<String>,
    stdin: Option<Vec<u8>>,
    timeout: Option<Duration>,
}

impl Command {
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// What the program reads on standard input: nothing, unless this says otherwise. Never logged.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// How long it may run; never longer than the grant's `command-timeout`, which is also the default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Runs it on `instance` and waits for its end. An exit status other than zero is not yet an error: see [`Output::check`].
    ///
    /// At least once: a broken connection, or another attempt, may run it a second time. `denied` without the grant, when no
    /// pattern matches, or when node and host do not accept each other's keys; `not-found` when EC2 does not know the instance;
    /// `conflict` when it has no address; `unavailable` when the node refuses or drops the connection; `timeout` when it takes
    /// longer than allowed (and may be running still).
    pub fn run(&self, instance: &str) -> Result<Output> {
        let command = HostCommand {
            program: self.program.clone(),
            arguments: self.arguments.clone(),
            stdin: self.stdin.clone(),
            timeout_milliseconds: self.timeout.map(|timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX)),
        };
        Ok(host::exec(instance, &command)?)
    }
}

/// For people: the words with spaces between them.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {argument}"))
    }
}

impl FromStr for Command {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = json::strings(text)
            .map_err(|error| {
                format!("{error}; a command is a JSON array such as [\"sudo\", \"systemctl\", \"stop\", \"ecs\"]")
            })?
            .into_iter();
        match words.next() {
            Some(program) if !program.is_empty() => Ok(command(program).args(words)),
            _ => Err("the command names no program".to_owned()),
        }
    }
}

/// How much of standard error goes into a message.
const TAIL_CHARS: usize = 300;

impl Output {
    /// Whether the command ended by itself with exit status zero.
    pub fn success(&self) -> bool {
        self.exit_status == Some(0)
    }

    /// The output itself when the command was successful; else an error with its status and the end of its standard error.
    pub fn check(self) -> Result<Self> {
        if self.success() { Ok(self) } else { Err(Error::new(self.verdict())) }
    }

    /// Standard output as text; what is not UTF-8 is replaced.
    pub fn stdout_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// Standard error as text; what is not UTF-8 is replaced.
    pub fn stderr_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }

    /// In one line: `exit status 1: no such unit`.
    fn verdict(&self) -> String {
        let end = match (self.exit_status, &self.signal) {
            (Some(status), _) => format!("exit status {status}"),
            (None, Some(signal)) => format!("ended by signal {signal}"),
            (None, None) => "ended without an exit status".to_owned(),
        };
        let text = self.stderr_text();
        let text = text.trim();
        let cut = text.char_indices().rev().nth(TAIL_CHARS - 1).map_or(0, |(at, _)| at);
        match (text.is_empty(), cut) {
            (true, _) => end,
            (false, 0) => format!("{end}: {text}"),
            (false, cut) => format!("{end}: …{}", &text[cut..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::testing::{INSTANCE, World, output};

    #[test]
    fn a_command_reaches_the_node_word_by_word() {
        let mut world = World::new();
        world.run(|| command("echo").arg("a b").args(["$(c)"]).run(INSTANCE)).unwrap();
        assert_eq!(world.calls, [format!("ssh.exec {INSTANCE} [\"echo\", \"a b\", \"$(c)\"]")]);
    }

    #[test]
    fn a_failed_command_says_how_it_ended() {
        let verdict = |output: Output| output.check().unwrap_err().to_string();
        assert_eq!(verdict(output(1, "", "no such unit\n")), "exit status 1: no such unit");
        assert_eq!(verdict(output(1, "ignored", " ")), "exit status 1");
        assert_eq!(
            verdict(Output { exit_status: None, signal: Some("TERM".to_owned()), ..output(0, "", "") }),
            "ended by signal TERM"
        );
        assert_eq!(verdict(Output { exit_status: None, ..output(0, "", "") }), "ended without an exit status");
        assert_eq!(verdict(output(2, "", &"ä".repeat(400))), format!("exit status 2: …{}", "ä".repeat(300)));
        assert_eq!(verdict(output(2, "", &"ä".repeat(300))), format!("exit status 2: {}", "ä".repeat(300)));
        assert!(output(0, "", "a warning").check().is_ok());
    }

    #[test]
    fn a_command_is_read_from_a_json_array() {
        assert_eq!(
            r#"["sudo", "systemctl", "stop", "ecs"]"#.parse(),
            Ok(command("sudo").args(["systemctl", "stop", "ecs"]))
        );
        assert_eq!("[]".parse::<Command>(), Err("the command names no program".to_owned()));
        assert_eq!(r#"[""]"#.parse::<Command>(), Err("the command names no program".to_owned()));
        assert_eq!(
            "sudo reboot".parse::<Command>(),
            Err("expected '[' at byte 0; a command is a JSON array such as [\"sudo\", \"systemctl\", \"stop\", \"ecs\"]".to_owned())
        );
    }

    #[test]
    fn an_error_of_the_host_is_not_an_output() {
        let mut world = World::new().fail("ssh.exec", ErrorCode::Unavailable, "connection refused");
        let error = world.run(|| command("true").run(INSTANCE)).unwrap_err();
        assert!(error.is_retryable());
        assert_eq!(error.to_string(), "connection refused");
    }
}
