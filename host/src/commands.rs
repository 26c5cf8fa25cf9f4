//! The commands: one file each.

pub mod build;
#[cfg(feature = "live")]
pub mod lambda;
pub mod policy;
pub mod replay;
pub mod run;

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
    Build(build::Arguments),
}

/// Runs the command that the arguments name.
pub fn run_from_arguments() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => arguments.run(),
        Command::Replay(arguments) => arguments.run(),
        // Nobody is left to be told when standard output is closed.
        Command::Policy(command) => command.run(&mut std::io::stdout()).map_or(ExitCode::FAILURE, ExitCode::from),
        Command::Build(arguments) => arguments.run(),
    }
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
