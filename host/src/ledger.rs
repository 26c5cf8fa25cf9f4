//! The ledger: the durable record of work items, so that no event is lost and nothing is done twice.
//!
//! Owns what is known of each instance's work items and the rules by which hosts share it. Knows nothing of plugins, of what is
//! decided, or of AWS clients: it writes into a [`Store`], of which there are several.

#[cfg(test)]
pub(crate) mod contract;
mod memory;
mod store;

pub use memory::MemoryStore;
pub use store::{Listed, Page, Store, Stored, Version, WriteError};
