//! `hostler compile-module`: the child that compiles for a host. Not for people.

use std::io::{stdin, stdout};
use std::process::ExitCode;

use clap::Args;

use crate::modules::compile;

/// Compiles the module on standard input for the host that has started this process
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// The address space behind a linear memory, in bytes
    reserved: u64,
    /// The most memory to take, in bytes
    memory: u64,
    /// The most CPU time to take, in seconds
    cpu: u64,
}

impl Arguments {
    /// Runs the command.
    pub fn run(&self) -> ExitCode {
        match compile::serve(stdin().lock(), stdout().lock(), self.reserved, self.memory, self.cpu) {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!("its compiler cannot work here: {error}");
                ExitCode::from(compile::UNABLE)
            }
        }
    }
}
