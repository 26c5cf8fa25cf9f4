//! Write handler plugins for Hostler.
//!
//! A handler is one function. It is called when something happens to an EC2 instance, does what is missing, and says
//! whether that is all:
//!
//! ```
//! use hostler_plugin::prelude::*;
//!
//! fn handle(event: &Event) -> Result<Outcome> {
//!     let instance = event.instance()?;
//!     if ecs::find_container_instance(instance)?.is_none() {
//!         return Ok(Outcome::Done);
//!     }
//!     ecs::drain(instance)?;
//!     let tasks = ecs::list_tasks(instance)?;
//!     if tasks.is_empty() {
//!         ssh::command("sudo").args(["systemctl", "stop", "ecs"]).run(instance)?.check()?;
//!         return Ok(Outcome::Done);
//!     }
//!     Ok(Outcome::again(Duration::from_secs(30), format!("{} tasks still running", tasks.len())))
//! }
//!
//! hostler_plugin::export!(handle);
//! # fn main() {}
//! ```
//!
//! # A handler is a step, not a loop
//!
//! It is called again after [`Outcome::again`], after an error, and after a crash, hours later and on another machine. So it
//! reads the state of the world and does what is missing, instead of remembering what it did. What cannot be seen from
//! outside goes into [`Outcome::with_state`] and comes back as [`Event::state`].
//!
//! The lifecycle action is the host's business: it keeps the action alive while the handler says `again`, and completes it
//! from the outcome: [`Outcome::Done`] is CONTINUE, [`Outcome::Abandon`] is ABANDON.
//!
//! # What a handler can do
//!
//! | module | what for | grant in the policy |
//! | --- | --- | --- |
//! | [`ecs`] | container instances and their tasks | `ecs` |
//! | [`autoscaling`] | the instance as a member of its group | `autoscaling` |
//! | [`ec2`] | address, state and tags of the instance | `ec2` |
//! | [`ssh`] | commands on the instance | `ssh` |
//! | [`config`] | settings from `[handler.config]` | |
//! | [`log`] | lines in the host's log | |
//! | [`clock`] | the time, and short pauses | |
//!
//! And nothing else: no files, no network, no environment, no `std::time`. A plugin imports only the functions it uses, so
//! its imports are the complete list of its powers. What the policy does not grant is an [`Error`] with the code `denied`,
//! whose message holds the line of policy that would grant it.
//!
//! [`drain`] is made of these: one step of emptying a node, which is what most handlers begin with.
//!
//! # Failing
//!
//! An error from the handler is a failed attempt, and `?` on a host function makes it one. The policy says how many are
//! made, and what becomes of the instance then. The error type is free, as long as it can be printed: [`Error`],
//! `anyhow::Error` or `Box<dyn std::error::Error>`. Where only patience is needed ([`Error::is_retryable`]), `again` is better:
//! it does not count as a failure. A panic is a failed attempt too; its text and place go to the log.
//!
//! # Testing
//!
//! Natively, with `cargo test`: host functions then act on a [`testing::World`].
//!
//! # Building
//!
//! `Cargo.toml` needs `crate-type = ["cdylib", "rlib"]` under `[lib]`. `hostler build` makes the component `dist/NAME.wasm`.

pub mod autoscaling;
pub mod clock;
pub mod config;
pub mod drain;
pub mod ec2;
pub mod ecs;
mod error;
mod event;
mod json;
pub mod log;
mod outcome;
pub mod ssh;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod time;

#[expect(unreachable_pub, clippy::allow_attributes, clippy::allow_attributes_without_reason, clippy::unwrap_used, reason = "generated; the documentation is in wit/")]
#[doc(hidden)]
#[rustfmt::skip]
pub mod bindings;
#[doc(hidden)]
pub mod runtime;

/// Where host functions come from: the host, or natively the world of a test.
#[cfg(target_arch = "wasm32")]
use bindings::hostler::handler as host;
#[cfg(not(target_arch = "wasm32"))]
use testing::host;

pub use error::{Error, ErrorCode, Result};
pub use event::{Event, Kind};
pub use outcome::Outcome;
pub use time::Time;

/// What a handler usually needs: `use hostler_plugin::prelude::*;`
pub mod prelude {
    pub use std::time::Duration;

    pub use crate::{
        Error, ErrorCode, Event, Kind, Outcome, Result, Time, autoscaling, clock, config, ec2, ecs, log, ssh,
    };
}

/// Makes a function the plugin's handler: `fn(&Event) -> Result<Outcome, E>`, where `E` can be printed.
///
/// Natively it only checks the type, so that a plugin can be tested, and linked into other programs.
#[macro_export]
macro_rules! export {
    ($handle:path) => {
        const _: () = $crate::runtime::accepts($handle);

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Handler;

            impl $crate::bindings::Guest for Handler {
                fn handle(
                    event: $crate::runtime::HostEvent,
                ) -> ::std::result::Result<$crate::runtime::HostOutcome, ::std::string::String> {
                    $crate::runtime::run($handle, event)
                }
            }

    $crate::bindings::export_handler!(Handler with_types_in $crate::bindings);
        };
    };
}
