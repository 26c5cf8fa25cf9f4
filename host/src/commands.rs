//! The subcommands: one file each.
//!
//! Each is a `clap` type with a `run` that writes to the outputs it is given and returns the exit code; only `main` exits.

pub mod policy;
