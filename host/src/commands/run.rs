//! `hostler run`: one event, handled to its end, in a simulated world or the real one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::policy::{PolicyFile, read_policy};
use crate::assemble;
#[cfg(feature = "live")]
use crate::aws::Aws;
use crate::dispatch::{Dispatch, DispatchError, End, Worked};
use crate::event::{Delivery, Event, Message, parse_payload};
use crate::files;
use crate::lifecycle::Completion;
use crate::outcome::Decision;
use crate::policy::Policy;
use crate::ports::ClusterName;
use crate::recording::Recordings;
use crate::sim::{Blueprint, World};
use crate::telemetry::{visible, visible_json};
use crate::timeline::{self, Handled, Run};

/// Handles one event from a file, to its end, and shows what happens.
///
/// Without --live everything is simulated: AWS, the nodes, and time, so that an hour of draining takes milliseconds.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0  done: the handler brought the event to its end
  1  gave up: attempts failed, or the deadline passed
  2  bad input: arguments, policy, event or world; or it is done, and the page of --html cannot be written
  3  nothing to do: no handler takes the event, or its hook is left alone
  4  abandoned: the handler said so
  5  not completed: another account or region, an AWS failure, or the lifecycle action was over already")]
pub struct Arguments {
    #[command(flatten)]
    policy: PolicyFile,
    /// The event, in any form that AWS delivers it in; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    /// The simulated world [default: a small one around the event's instance]
    #[arg(long, value_name = "FILE", conflicts_with = "live")]
    world: Option<PathBuf>,
    /// Act on the real AWS account, and on real nodes
    #[arg(long)]
    live: bool,
    /// Take modules from this folder, whatever the policy says
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
    /// Write the event, every call and every answer to this file, for `hostler replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print the result as one JSON object, and the log as JSON lines on standard error
    #[arg(long)]
    json: bool,
    /// Write a page with a picture of what happened when, in the simulated world
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// The largest event or world that is read, in bytes: well above what any door of AWS delivers.
const INPUT_BYTES: u64 = 8 << 20;

const BAD_INPUT: u8 = 2;
const NOTHING_TO_DO: u8 = 3;

/// AWS cannot be reached, or does not know us.
#[cfg(feature = "live")]
const NOT_COMPLETED: u8 = 5;

impl Arguments {
    /// Runs the command.
    pub fn run(&self) -> ExitCode {
        match self.handle() {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                crate::commands::complain(&error);
                ExitCode::from(BAD_INPUT)
            }
        }
    }

    fn handle(&self) -> anyhow::Result<u8> {
        anyhow::ensure!(
            !(self.live && self.html.is_some()),
            "--html draws simulated runs: of the real AWS nobody knows what happened when. Leave out --live or --html"
        );
        if let Some(page) = &self.html {
            let inputs = [Some(&self.policy.path), Some(&self.event), self.world.as_ref()];
            super::keep_inputs("--html", page, inputs.into_iter().flatten())?;
        }
        let policy = read_policy(&self.policy.path)?;
        let events = self.events()?;
        let several = self.record.is_some() && events.len() > 1;
        anyhow::ensure!(!several, "{} events at once, and --record is for one: run them one by one", events.len());
        if self.live { self.in_the_real_world(policy, events) } else { self.in_a_simulated_world(policy, events) }
    }

    #[cfg(feature = "live")]
    fn in_the_real_world(&self, policy: Policy, events: Vec<Event>) -> anyhow::Result<u8> {
        if self.json {
            crate::telemetry::json(std::io::stderr)
        } else {
            crate::telemetry::human()
        }
        super::runtime().block_on(async {
            let aws = match Aws::connect().await {
                Ok(aws) => aws,
                Err(error) => {
                    super::complain(&error.into());
                    return Ok(NOT_COMPLETED);
                }
            };
            let dispatch = assemble::live(&aws, policy, self.modules.as_deref()).await?;
            assemble::has_ledger(&dispatch).await?;
            let dispatch = self.recorded(dispatch)?;
            Ok(self.report(&handle_all(&dispatch, events).await))
        })
    }

    #[cfg(not(feature = "live"))]
    fn in_the_real_world(&self, _: Policy, _: Vec<Event>) -> anyhow::Result<u8> {
        anyhow::bail!("this build has no --live: it was made without the feature `live`")
    }

    fn in_a_simulated_world(&self, policy: Policy, events: Vec<Event>) -> anyhow::Result<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        runtime.block_on(async {
            let Some(first) = events.first() else { return Ok(self.report(&[])) };
            let world = match &self.world {
                Some(path) => World::parse(&name(path), &text(path)?)?,
                None => {
                    let all: Vec<_> = events.iter().collect();
                    Blueprint::around(&all, cluster(&policy, first)).world()
                }
            };
            for event in &events {
                world.deliver(event)?;
            }
            let lines = self.json.then(|| crate::telemetry::json_lines(std::io::stderr));
            tracing_subscriber::registry().with(world.listener()).with(lines).init();
            if self.json {
                crate::telemetry::warn_of_filter();
            }
            if !policy.modules.trust.keys.is_empty() || policy.handlers.iter().any(|handler| handler.pin.is_some()) {
                tracing::info!("signatures and pins are not looked at in a simulated world: `hostler check` does that");
            }
            let dispatch = self.recorded(assemble::simulated(policy, self.modules.as_deref(), &world)?)?;
            let ends = handle_all(&dispatch, events.clone()).await;
            if !self.json {
                let told = timeline::text(&world.journal()).join("\n");
                // Nobody is left to be told when standard output is closed.
                let _ = writeln!(std::io::stdout(), "{told}");
            }
            let code = self.report(&ends);
            Ok(self.page(code, &world, &events, &ends))
        })
    }

    /// The same, recorded to the file that is asked for, if any.
    fn recorded(&self, dispatch: Dispatch) -> anyhow::Result<Dispatch> {
        let Some(path) = &self.record else { return Ok(dispatch) };
        let recordings = Recordings::file(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Dispatch { recordings: Some(recordings), ..dispatch })
    }

    /// Writes the page, if it is wanted, after everything else: what happened is told and keeps its code without it too. Only a
    /// good end does not pass for one without the page.
    fn page(&self, code: u8, world: &World, events: &[Event], ends: &[(String, Result<End, DispatchError>)]) -> u8 {
        let Some(path) = &self.html else { return code };
        let handled = events
            .iter()
            .zip(ends)
            .map(|(event, (_, end))| Handled { event, end: end.as_ref().map_err(ToString::to_string) })
            .collect();
        let page = timeline::html(&Run { start: world.start(), handled, journal: &world.journal() });
        match super::write(path, page.as_bytes()) {
            Ok(()) => code,
            Err(error) => {
                crate::commands::complain(&error);
                if code == 0 { BAD_INPUT } else { code }
            }
        }
    }

    /// Says how each event ended. The code is that of the worst end.
    fn report(&self, ends: &[(String, Result<End, DispatchError>)]) -> u8 {
        if ends.is_empty() {
            eprintln!("a test notification: nothing to do");
            return NOTHING_TO_DO;
        }
        for (event, ended) in ends {
            let line = if self.json {
                visible_json(&result(event, ended))
            } else {
                visible(&format!("{event}: {}", timeline::words(ended)))
            };
            // Nobody is left to be told when standard output is closed; what was done is done, and the code says it.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        let codes: Vec<_> = ends.iter().map(|(_, ended)| exit_code(ended)).collect();
        RANKED.into_iter().rfind(|code| codes.contains(code)).unwrap_or(0)
    }

    fn events(&self) -> anyhow::Result<Vec<Event>> {
        let bytes = read(&self.event)?;
        let delivery = parse_payload(&bytes).with_context(|| name(&self.event))?;
        let messages = match delivery {
            Delivery::Direct(messages) => messages,
            Delivery::Queue(records) => {
                let messages = records.into_iter().map(|record| record.says);
                messages.collect::<Result<_, _>>().with_context(|| name(&self.event))?
            }
        };
        let events = messages.into_iter().flat_map(|message| match message {
            Message::Events(events) => events,
            Message::Test => Vec::new(),
        });
        Ok(events.collect())
    }
}

/// Handles the events one after the other.
async fn handle_all(dispatch: &Dispatch, events: Vec<Event>) -> Vec<(String, Result<End, DispatchError>)> {
    let mut ends = Vec::new();
    for event in events {
        let id = event.id.clone();
        ends.push((id, dispatch.handle(event, None).await));
    }
    ends
}

/// The cluster a simulated world is built with: the first that the handler of `event` is granted.
fn cluster(policy: &Policy, event: &Event) -> Option<ClusterName> {
    let granted = policy.route(event)?.grants.ecs.as_ref()?;
    ClusterName::parse(&granted.clusters.example()?).ok()
}

/// What messages call an input.
fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// Reads a text.
fn text(path: &Path) -> anyhow::Result<String> {
    String::from_utf8(read(path)?).with_context(|| format!("{} is not UTF-8 text", name(path)))
}

/// Reads a file, or standard input for `-`, up to a bound.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = if path == Path::new("-") {
        files::all_of(std::io::stdin(), INPUT_BYTES)
    } else {
        files::read_bounded(path, INPUT_BYTES)
    };
    read.with_context(|| format!("cannot read {}", name(path)))
}

/// The exit codes from best to worst: that of several events is the worst of theirs, and nothing was done only if for none.
const RANKED: [u8; 5] = [3, 0, 4, 1, 5];

fn exit_code(ended: &Result<End, DispatchError>) -> u8 {
    match ended {
        Ok(End::Worked(Worked { lifecycle: Some(Completion::Late), .. })) | Err(_) => 5,
        Ok(End::Worked(Worked { decision: Decision::Done, .. })) => 0,
        Ok(End::Worked(Worked { decision: Decision::GaveUp { .. }, .. })) => 1,
        Ok(End::Worked(Worked { decision: Decision::Abandon { .. }, .. })) => 4,
        Ok(End::Worked(Worked { decision: Decision::Ordered { .. }, .. }) | End::Already(_)) => 0,
        Ok(End::NoHandler | End::LeftAlone { .. }) => 3,
    }
}

fn result(event: &str, ended: &Result<End, DispatchError>) -> serde_json::Value {
    match ended {
        Ok(end) => json!({ "event": event, "result": end }),
        Err(error) => json!({ "event": event, "error": error.to_string() }),
    }
}
