//! `[[ssh]]`.

use std::time::Duration;

use super::{Builder, place_of};
use crate::ports::CommandOutput;
use crate::reading::{At, Section};
use crate::sim::keys::SshKeys;
use crate::sim::ssh::{Behaviour, Script};

impl Builder<'_, '_> {
    pub(super) fn ssh(&mut self, At { value, .. }: Section<SshKeys>) {
        let mut keys = value.0;
        if let Some(At { at, value: instance }) = &keys.instance
            && self.state.find(instance).is_none()
        {
            let known: Vec<_> = self.state.nodes.iter().map(|node| node.id.to_string()).collect();
            self.missing(*at, "an ssh answer", "instance", instance.as_str(), &known);
        }
        if let Some(At { at, value: command }) = &keys.command
            && !self.reading.lost_part(*at)
        {
            match &**command {
                [] => self.mistake(*at, "a command without a program; leave `command` out to mean any"),
                [fixed @ .., _] if fixed.iter().any(|argument| argument == "**") => {
                    self.mistake(*at, "`**` stands for the last arguments, so it can only come last");
                }
                _ => {}
            }
        }
        let instance = keys.instance.take().map(|instance| instance.value);
        let command = keys.command.take().map(|command| command.value);
        let behaviour = self.failure(&keys).unwrap_or_else(|| self.answer(keys));
        self.state.scripts.push(Script { instance, command, behaviour, met: false });
    }

    /// The failure that is asked for, and nothing else beside it.
    fn failure(&mut self, keys: &SshKeys) -> Option<Behaviour> {
        let failures = [
            (keys.hang, "hang", Behaviour::Hangs),
            (keys.refused, "refused", Behaviour::Refuses),
            (keys.wrong_host_key, "wrong-host-key", Behaviour::WrongHostKey),
        ];
        let mut chosen = failures
            .into_iter()
            .filter_map(|(key, name, behaviour)| key.filter(|key| key.value).map(|key| (key.at, name, behaviour)));
        let (_, name, behaviour) = chosen.next()?;
        let answers = [
            (place_of(keys.exit_status.as_ref()), "exit-status"),
            (place_of(keys.signal.as_ref()), "signal"),
            (place_of(keys.stdout.as_ref()), "stdout"),
            (place_of(keys.stderr.as_ref()), "stderr"),
            (place_of(keys.delay.as_ref()), "delay"),
        ];
        let answers = answers.into_iter().filter_map(|(at, other)| Some((at?, other)));
        for (at, other) in chosen.map(|(at, other, _)| (at, other)).chain(answers) {
            self.mistake(at, format!("{name} and {other} at once: a node gives one answer"));
        }
        Some(behaviour)
    }

    /// The end of the command.
    fn answer(&mut self, keys: SshKeys) -> Behaviour {
        let delay = self.time("delay", keys.delay, Duration::ZERO);
        let status = self.reading.count("exit-status", keys.exit_status, 0, 0..=255);
        if let (Some(status), Some(signal)) = (keys.exit_status, &keys.signal) {
            let (status, signal, at) = (status.value, &signal.value, signal.at);
            self.mistake(at, format!("a command ended by the signal {signal} has no exit status ({status})"));
        }
        let bytes = |text: Option<At<String>>| text.map(|text| text.value.into_bytes()).unwrap_or_default();
        let output = CommandOutput {
            exit_status: keys.signal.is_none().then_some(status),
            signal: keys.signal.map(|signal| signal.value),
            stdout: bytes(keys.stdout),
            stderr: bytes(keys.stderr),
            ..CommandOutput::default()
        };
        Behaviour::Answers { output, delay }
    }
}
