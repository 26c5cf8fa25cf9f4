//! `hostler replay`: a recording, run again with no AWS; or turned into a case.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::json;

use super::policy::{PolicyFile, read_policy};
use crate::assemble;
use crate::dispatch::{End, Jitter, Step};
use crate::files;
use crate::policy::Policy;
use crate::recording::{Comparison, Kept, MAX_BYTES, Outcome, Recording, Recordings, Replay, to_case};
use crate::telemetry::{self, visible};

/// Handles the event of a recording again, and shows what is different.
///
/// No AWS and no node is reached, and time is virtual: a call that is in the recording is answered as it was then, found by
/// its operation and arguments and not by its place. Who looks sees what was seen at that time, however often it looks; what
/// changes something, commands among it, is answered in order. So a new plugin, or a new policy, can be tried on what has
/// happened.
/// `hostler run --record FILE` makes recordings, and so does `[recordings]` in a policy.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0  the same calls and the same end, if one was recorded; or, with --to-case, a case was written
  1  differences
  2  bad input: arguments, recording, policy or plugin")]
pub struct Arguments {
    /// The recording
    #[arg(value_name = "FILE")]
    recording: PathBuf,
    #[command(flatten)]
    policy: PolicyFile,
    /// Run this plugin, whatever the policy says
    #[arg(long, value_name = "FILE.wasm", conflicts_with = "modules")]
    plugin: Option<PathBuf>,
    /// Take modules from this folder, whatever the policy says
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
    /// Go on with a recording that ends early
    #[arg(long)]
    partial: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// Write a case for the test harness instead: the event, a world as the recording shows it, and how it ended
    #[arg(long, conflicts_with_all = ["plugin", "modules", "json"])]
    to_case: bool,
    /// Where the case goes [default: standard output]
    #[arg(long, value_name = "FILE", requires = "to_case")]
    out: Option<PathBuf>,
}

const SAME: u8 = 0;
const DIFFERENT: u8 = 1;
const BAD_INPUT: u8 = 2;

impl Arguments {
    /// Runs the command.
    pub fn run(&self) -> ExitCode {
        match self.replay() {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                crate::commands::complain(&error);
                ExitCode::from(BAD_INPUT)
            }
        }
    }

    fn replay(&self) -> anyhow::Result<u8> {
        if let Some(out) = &self.out {
            super::keep_inputs("--out", out, [&self.recording, &self.policy.path].into_iter())?;
        }
        let name = self.recording.display().to_string();
        let bytes = files::read_bounded(&self.recording, MAX_BYTES as u64);
        let recorded = Recording::parse(&name, &bytes.with_context(|| format!("cannot read {name}"))?)?;
        if let Some(gap) = &recorded.gap {
            let found = recorded.calls.len();
            ensure!(self.partial, "{name} is not whole: {gap}; to use what there is, {found} calls, add --partial");
        }
        if self.to_case {
            return self.write_case(&to_case(&recorded)).map(|()| SAME);
        }
        if std::env::var_os(telemetry::FILTER_VARIABLE).is_some() {
            telemetry::human();
        }
        let policy = read_policy(&self.policy.path)?;
        let replayed = self.run_again(policy, &recorded)?;
        let comparison = Comparison::of(&recorded, &replayed);
        let text = if self.json {
            as_json(&recorded, &replayed, &comparison)
        } else {
            as_text(&recorded, &replayed, &comparison)
        };
        // Nobody is left to be told when standard output is closed; the code says it too.
        let _ = write!(std::io::stdout(), "{text}");
        Ok(if comparison.same { SAME } else { DIFFERENT })
    }

    /// Handles the event in the world of the recording, and records that too.
    fn run_again(&self, policy: Policy, recorded: &Recording) -> anyhow::Result<Recording> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        runtime.block_on(async {
            let Some(handler) = policy.route(&recorded.event).map(Arc::clone) else {
                let handlers: Vec<_> = policy.handlers.iter().map(|handler| handler.name.as_str()).collect();
                bail!(
                    "no handler of {} takes the recorded event, which {} took: its handlers are {}; give the policy with --policy",
                    self.policy.path.display(),
                    recorded.header.handler,
                    handlers.join(", ")
                );
            };
            let (replay, kept) = (Arc::new(Replay::of(recorded)), Arc::new(Kept::default()));
            let recordings = Recordings::whole(kept.clone(), MAX_BYTES);
            let (plugin, modules) = (self.plugin.as_deref(), self.modules.as_deref());
            let mut dispatch = assemble::replayed(policy, plugin, modules, &replay, recordings)?;
            if recorded.header.spread {
                dispatch.jitter = Jitter::Tenth;
            }
            // Without it every attempt would fail, which says nothing of the recording.
            dispatch.modules.current(&handler.module, handler.pin.as_ref()).await.context("no plugin to replay with")?;
            if let Some(item) = &recorded.header.resumed {
                dispatch.ledger.restore(item).await?;
            }
            let (event, closes) = (recorded.event.clone(), replay.door_closes());
            let ended = if recorded.header.one_step {
                dispatch.step(&event, closes).await
            } else {
                dispatch.handle(event, closes).await.map(Step::Ended)
            };
            if let Ok(Step::Ended(end @ (End::NoHandler | End::LeftAlone { .. }))) = ended {
                bail!("{}: {}", self.policy.path.display(), end);
            }
            Ok(Recording::parse("the replay", &kept.take())?)
        })
    }

    fn write_case(&self, case: &str) -> anyhow::Result<()> {
        match &self.out {
            Some(path) => super::write(path, case.as_bytes()),
            None => std::io::stdout().write_all(case.as_bytes()).context("cannot write to standard output"),
        }
    }
}

/// What a recording says of its end, for people.
fn end(recording: &Recording) -> String {
    match recording.end.as_ref().map(|end| &end.outcome) {
        Some(Outcome::Result(end)) => end.to_string(),
        Some(Outcome::Error { message, .. }) => format!("not completed: {message}"),
        None => "none was recorded".to_owned(),
    }
}

fn as_text(recorded: &Recording, replayed: &Recording, comparison: &Comparison) -> String {
    let mut lines = Vec::new();
    if !comparison.same_handler {
        let (then, now) = (&recorded.header.handler, &replayed.header.handler);
        lines.push(format!("another handler: {then} then, {now} now"));
    }
    if !comparison.same_module {
        let (then, now) = (modules(recorded), modules(replayed));
        lines.push(format!("another plugin: {then} then, {now} now"));
    }
    if !comparison.same_policy {
        let (then, now) = (short(&recorded.header.policy), short(&replayed.header.policy));
        lines.push(format!("another policy: {then} then, {now} now"));
    }
    lines.extend(comparison.diff.lines().map(str::to_owned));
    for count in &comparison.counts {
        lines.push(format!("made {} times then, {} times now: {}", count.recorded, count.replayed, count.call));
    }
    for call in &comparison.not_recorded {
        lines.push(format!("not in the recording, so nothing is known of its answer: {call}"));
    }
    let (then, now) = (end(recorded), end(replayed));
    match comparison.same_end {
        Some(true) => lines.push(format!("the same end: {now}")),
        Some(false) => lines.extend([format!("the end then: {then}"), format!("the end now:  {now}")]),
        None => lines.push(format!("the end now, with none recorded to compare it with: {now}")),
    }
    let calls = recorded.calls.len();
    lines.push(match comparison.same {
        true => format!("no difference in {calls} recorded calls"),
        false => format!("different from {calls} recorded calls"),
    });
    lines.into_iter().map(|line| visible(&line) + "\n").collect()
}

fn as_json(recorded: &Recording, replayed: &Recording, comparison: &Comparison) -> String {
    let side = |recording: &Recording| {
        json!({
            "handler": recording.header.handler,
            "policy": recording.header.policy,
            "modules": recording.modules(),
            "calls": recording.calls.len(),
            "attempts": recording.attempts.len(),
            "end": recording.end,
        })
    };
    let result = json!({
        "event": recorded.event.id,
        "comparison": comparison,
        "recorded": side(recorded),
        "replayed": side(replayed),
    });
    format!("{result}\n")
}

/// The plugins of a recording, each by the beginning of its digest.
fn modules(recording: &Recording) -> String {
    let modules: Vec<_> = recording.modules().into_iter().map(short).collect();
    if modules.is_empty() { "none".to_owned() } else { modules.join(", ") }
}

/// As much of a digest as is compared by eye.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
