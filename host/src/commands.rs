//! The commands: one file each.

pub mod agent;
pub mod build;
pub mod check;
pub mod compile_module;
pub mod decide;
mod desk;
pub mod inspect;
pub mod keygen;
#[cfg(feature = "live")]
pub mod lambda;
mod module_file;
pub mod new;
mod passphrase;
mod pinned;
pub mod policy;
pub mod replay;
pub mod retry;
pub mod run;
pub mod sign;
pub mod status;
pub mod test;
pub mod verify;
mod wait;
pub mod why;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};

use crate::lifecycle::LifecycleResult;
use crate::sandbox;

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
    Agent(agent::Arguments),
    Replay(replay::Arguments),
    Status(status::Arguments),
    Why(why::Arguments),
    /// Ends the work on an instance with CONTINUE, whatever its handler says
    #[command(long_about = decide::ABOUT)]
    Finish(decide::Arguments),
    /// Ends the work on an instance with ABANDON, whatever its handler says
    #[command(long_about = decide::ABOUT)]
    Abandon(decide::Arguments),
    Retry(retry::Arguments),
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    Test(test::Arguments),
    New(new::Arguments),
    Build(build::Arguments),
    Inspect(inspect::Arguments),
    Check(check::Arguments),
    Keygen(keygen::Arguments),
    Sign(sign::Arguments),
    Verify(verify::Arguments),
    #[command(hide = true)]
    CompileModule(compile_module::Arguments),
}

/// Says on standard error what went wrong. What files and others say in it is made visible.
fn complain(error: &anyhow::Error) {
    eprintln!("error: {}", crate::telemetry::visible_lines(&format!("{error:#}")));
}

/// The end of a command that has something to say, or failed: its exit code is 0 or 1.
fn said(done: &anyhow::Result<String>) -> ExitCode {
    match done {
        Ok(said) => {
            print!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(error);
            ExitCode::FAILURE
        }
    }
}

/// Runs the command that the arguments name.
pub fn run_from_arguments() -> ExitCode {
    let out = &mut std::io::stdout();
    let printed = match Arguments::parse().command {
        Command::Run(arguments) => return arguments.run(),
        Command::Agent(arguments) => return arguments.run(),
        Command::Replay(arguments) => return arguments.run(),
        Command::Status(arguments) => return arguments.run(),
        Command::Why(arguments) => return arguments.run(),
        Command::Finish(arguments) => return arguments.run(LifecycleResult::Continue),
        Command::Abandon(arguments) => return arguments.run(LifecycleResult::Abandon),
        Command::Retry(arguments) => return arguments.run(),
        Command::Test(arguments) => return arguments.run(),
        Command::Build(arguments) => return arguments.run(),
        Command::New(arguments) => return arguments.run(),
        Command::Keygen(arguments) => return arguments.run(),
        Command::Sign(arguments) => return arguments.run(),
        Command::CompileModule(arguments) => return arguments.run(),
        Command::Policy(command) => command.run(out),
        Command::Inspect(arguments) => arguments.run(out),
        Command::Check(arguments) => arguments.run(out),
        Command::Verify(arguments) => arguments.run(out),
    };
    // Nobody is left to be told when standard output is closed.
    printed.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The runtime of everything that is not simulated.
fn runtime() -> tokio::runtime::Runtime {
    sandbox::runtime().expect("the system has threads and a poller to give")
}

/// Refuses to write over one of the `inputs`, before anything is done: `option` is what names the `output`.
fn keep_inputs<'p>(option: &str, output: &Path, mut inputs: impl Iterator<Item = &'p PathBuf>) -> anyhow::Result<()> {
    // Where nothing is yet, nothing can be lost.
    let Ok(written) = output.canonicalize() else { return Ok(()) };
    let lost = inputs.any(|input| input.canonicalize().is_ok_and(|input| input == written));
    ensure!(!lost, "{option} would write over {}, which is an input: name another file", output.display());
    Ok(())
}

/// Writes the whole file or nothing: whoever watches the folder never sees half of it. The folder is made where it is missing.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    // Another file takes the place of the old one, and must not do so with a device or a pipe.
    ensure!(!path.exists() || path.is_file(), "cannot write {}: it is there, and is not a file", path.display());
    let part = path.with_added_extension(format!("{}.part", std::process::id()));
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&part, bytes))
        .and_then(|()| fs::rename(&part, path))
        .inspect_err(|_| drop(fs::remove_file(&part)))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder/drain.wasm");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);

        let error = write(&path.join("under-a-file.wasm"), b"x").unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error:#}");
        let error = write(folder.path(), b"x").unwrap_err();
        assert!(error.to_string().ends_with("it is there, and is not a file"), "{error:#}");
    }
}
