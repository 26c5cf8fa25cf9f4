//! The commands: one file each.

pub mod build;
pub mod check;
pub mod inspect;
#[cfg(feature = "live")]
pub mod lambda;
mod module_file;
pub mod new;
pub mod policy;
pub mod replay;
pub mod run;
pub mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Handles EC2 instances that are about to go, with sandboxed plugins.
///
/// A fixed host receives AWS lifecycle events (Auto Scaling hooks, Spot interruptions, maintenance), runs the handler
/// that the policy names, a WebAssembly component from S3 or a folder, and completes the lifecycle action from its outcome.
///
/// As a Lambda function the same binary needs no arguments: it serves invocations when AWS_LAMBDA_RUNTIME_API is set, with
/// the policy that HOSTLER_POLICY names.
#[derive(Debug, Parser)]
#[command(name = "hostler", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Replay(replay::Arguments),
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    Test(test::Arguments),
    New(new::Arguments),
    Build(build::Arguments),
    Inspect(inspect::Arguments),
    Check(check::Arguments),
}

/// Runs the command that the arguments name.
pub fn run_from_arguments() -> ExitCode {
    let out = &mut std::io::stdout();
    let printed = match Arguments::parse().command {
        Command::Run(arguments) => return arguments.run(),
        Command::Replay(arguments) => return arguments.run(),
        Command::Test(arguments) => return arguments.run(),
        Command::Build(arguments) => return arguments.run(),
        Command::New(arguments) => return arguments.run(),
        Command::Policy(command) => command.run(out),
        Command::Inspect(arguments) => arguments.run(out),
        Command::Check(arguments) => arguments.run(out),
    };
    // Nobody is left to be told when standard output is closed.
    printed.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The runtime of everything that is not simulated.
///
/// With tokio's defaults, healthy attempts beside spinning ones wait 300 ms and more; these intervals bring that to
/// under ten.
#[cfg(feature = "live")]
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(1)
        .global_queue_interval(2)
        .build()
        .expect("the system has threads and a poller to give")
}
