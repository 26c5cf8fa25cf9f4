//! SSH to one node: who it has to be, whether it is, and what comes of a command there.
//!
//! Calls no AWS: what a node has to prove itself with, and the key to log in with, are brought by [the port](crate::aws::ssh). No
//! pty, no forwarding of any kind, no agent, one connection for each command.

pub(crate) mod console;
mod cut;
pub(crate) mod known_hosts;
mod node;
mod output;
mod peer;
mod quote;
mod trust;

pub(crate) use self::node::Node;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::output::{End, Output};
pub(crate) use self::quote::command_line;
pub(crate) use self::trust::{HostKey, Trust};
