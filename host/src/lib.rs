//! Hostler: runs sandboxed WebAssembly handlers when an EC2 instance is about to go.
//!
//! Read [`dispatch`] first: it is the whole job in one file. The other modules are its steps, most important first.

#[cfg(feature = "live")]
pub mod aws;
mod bindings;
pub mod capabilities;
pub mod clock;
pub mod commands;
pub mod dispatch;
pub mod doors;
pub mod event;
pub mod modules;
pub mod policy;
pub mod ports;
pub mod sandbox;
pub mod sim;
