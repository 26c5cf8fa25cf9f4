//! `hostler test`: plays the cases of plugins.

mod find;
mod junit;
mod pages;
mod plugins;
mod report;
mod watch;

use std::io::Write;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;

use self::find::Found;
use self::plugins::Built;
use self::report::Report;
use crate::harness::{self, Case, CaseError, Verdict};

/// Plays the cases of plugins in simulated worlds, and says which hold.
///
/// A case is a TOML file in a folder named `cases`: an event, what the world is like, what goes wrong, and what has to come
/// of it. The plugin is built first; the policy is the one production uses. Time is simulated, so that an hour of draining takes
/// milliseconds.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0  every case holds
  1  a case does not hold
  2  a case cannot be read, a plugin cannot be built, or there is no case")]
pub struct Arguments {
    /// Cases, or folders to look for them in
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Play only cases with this text in their name; several mean any of them
    #[arg(long, value_name = "TEXT")]
    filter: Vec<String>,
    /// Go on: build and play again whenever a file is saved
    #[arg(long, conflicts_with_all = ["json", "junit"])]
    watch: bool,
    /// Print one JSON object for each case and one for the whole, instead of text
    #[arg(long)]
    json: bool,
    /// Write the results to this file too, as JUnit does
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a page for each case to this folder, with a picture of what happened when: in the failing run, when exploring
    /// found one
    #[arg(long, value_name = "DIR")]
    html: Option<PathBuf>,
    /// What decides chance: the case's own unless said otherwise. With --seeds, the first of them
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Explore: play each case under so many seeds, each with other faults and deliveries, and reduce the first failure to
    /// the least that has to go wrong
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// How many cases to play at once [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Print the JSON Schema of cases, for editors, and do nothing else
    #[arg(long, exclusive = true)]
    schema: bool,
}

const DO_NOT_HOLD: u8 = 1;
const BAD_INPUT: u8 = 2;

/// What came of one case.
#[derive(Debug)]
struct Outcome {
    found: Found,
    result: Result<Verdict, Trouble>,
    /// How long playing it took, in real time.
    took: Duration,
}

/// Why a case was not played.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// It cannot be read.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// Its plugin cannot be built, or the host would refuse it.
    #[error("{0}")]
    Plugin(String),
}

impl Arguments {
    /// Runs the command.
    pub fn run(&self) -> ExitCode {
        if self.schema {
            // Nobody is left to be told when standard output is closed.
            let _ = writeln!(std::io::stdout(), "{:#}", harness::schema());
            return ExitCode::SUCCESS;
        }
        let tested = if self.watch { watch::forever(self) } else { self.once(&mut Built::new(self.jobs())) };
        tested.map_or_else(
            |error| {
                crate::commands::complain(&error);
                ExitCode::from(BAD_INPUT)
            },
            ExitCode::from,
        )
    }

    /// Finds, builds, plays and reports. `built` are the plugins that need not be built again.
    fn once(&self, built: &mut Built) -> anyhow::Result<u8> {
        let began = Instant::now();
        let seeds = self.seeds()?;
        let found = find::cases(&self.paths, &self.filter)?;
        let read: Vec<_> = found.into_iter().map(|found| (Case::read(&found.path), found)).collect();
        if let Some(file) = &self.junit {
            let cases = read.iter().filter_map(|(case, _)| case.as_ref().ok());
            let of_cases = cases.flat_map(|case| case.inputs.iter().chain(case.plugins.values()));
            super::keep_inputs("--junit", file, read.iter().map(|(_, found)| &found.path).chain(of_cases))?;
        }
        let report = Report::new(self.json, self.seeds, read.len());
        built.bring_up_to_date(read.iter().filter_map(|(case, _)| case.as_ref().ok()), &report)?;
        let outcomes = self.play(read, seeds.as_ref(), built, &report);
        report.finish(&outcomes, began.elapsed());
        if let Some(file) = &self.junit {
            junit::write(file, &outcomes, began.elapsed())?;
        }
        if let Some(folder) = &self.html {
            pages::write(folder, &outcomes)?;
        }
        let troubled = outcomes.iter().any(|outcome| outcome.result.is_err());
        let holds = |outcome: &Outcome| outcome.result.as_ref().is_ok_and(Verdict::holds);
        Ok(match (troubled, outcomes.iter().all(holds)) {
            (true, _) => BAD_INPUT,
            (false, true) => 0,
            (false, false) => DO_NOT_HOLD,
        })
    }

    /// Plays the cases, on as many threads as were asked for, and reports each as it ends. The outcomes are in the order of
    /// the cases.
    fn play(
        &self,
        read: Vec<(Result<Case, CaseError>, Found)>,
        seeds: Option<&RangeInclusive<u64>>,
        built: &Built,
        report: &Report,
    ) -> Vec<Outcome> {
        let threads = (self.jobs() as usize).min(read.len());
        let next = AtomicUsize::new(0);
        let (tell, told) = mpsc::channel();
        let mut outcomes: Vec<_> = std::thread::scope(|scope| {
            for _ in 0..threads {
                let (tell, next, read) = (tell.clone(), &next, &read);
                scope.spawn(move || {
                    let take = || read.get(next.fetch_add(1, Ordering::Relaxed));
                    while let Some((case, found)) = take() {
                        let began = Instant::now();
                        let result = self.play_one(case, seeds, built);
                        let outcome = Outcome { found: found.clone(), result, took: began.elapsed() };
                        // The other side listens until the last of us has gone.
                        let _ = tell.send(outcome);
                    }
                });
            }
            drop(tell);
            told.into_iter().inspect(|outcome| report.case(outcome)).collect()
        });
        outcomes.sort_by(|one, other| one.found.cmp(&other.found));
        outcomes
    }

    /// How many cases are played at once.
    fn jobs(&self) -> u32 {
        let processors = || std::thread::available_parallelism().map_or(1, |processors| processors.get() as u32);
        self.jobs.map_or_else(processors, u32::from)
    }

    /// The seeds to explore, if any.
    fn seeds(&self) -> anyhow::Result<Option<RangeInclusive<u64>>> {
        let Some(seeds) = self.seeds else { return Ok(None) };
        let first = self.seed.unwrap_or(1);
        let last = first.checked_add(seeds - 1).with_context(|| {
            let (end, most) = (u64::MAX, u64::MAX - (seeds - 1));
            format!(
                "--seed {first} --seeds {seeds} goes past {end}, the last seed there is: write --seed {most} at most"
            )
        })?;
        Ok(Some(first..=last))
    }

    fn play_one(
        &self,
        case: &Result<Case, CaseError>,
        seeds: Option<&RangeInclusive<u64>>,
        built: &Built,
    ) -> Result<Verdict, Trouble> {
        let case = case.as_ref().map_err(CaseError::clone)?;
        if let Some(trouble) = built.trouble(case) {
            return Err(Trouble::Plugin(trouble));
        }
        let plugins = built.plugins();
        Ok(match seeds {
            Some(seeds) => harness::explore(case, plugins, seeds.clone()),
            None => harness::test(case, plugins, self.seed),
        })
    }
}
