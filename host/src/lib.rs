//! Hostler: runs sandboxed WebAssembly handlers when an EC2 instance is about to go.
//!
//! Read [`dispatch`] first: it is the whole job in one file. The other modules are its steps, most important first.

pub mod dispatch;

pub mod event;
pub mod ledger;
pub mod policy;

pub mod modules;
pub mod outcome;
pub mod recording;
pub mod sandbox;
pub mod sweep;

pub mod capabilities;
pub mod clock;
pub mod lifecycle;
pub mod ports;

#[cfg(feature = "live")]
pub mod aws;
pub mod sim;
#[cfg(any(feature = "live", feature = "fuzzing"))]
#[cfg_attr(
    not(feature = "live"),
    expect(dead_code, unused_imports, reason = "fuzzers play what nodes say, and log in nowhere")
)]
mod ssh;

pub mod assemble;
pub mod commands;
pub mod diagnosis;
pub mod doors;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod harness;
pub mod reference;
pub mod telemetry;
pub mod timeline;

mod bindings;
mod digest;
mod files;
mod reading;
mod shell;
mod side_by_side;
#[cfg(test)]
mod testing;
