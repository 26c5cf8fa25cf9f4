//! The whole job.

pub mod lifecycle;

use crate::ports::{AccountId, Region};

/// Where we are: events from elsewhere are refused, since from here every instance there is "not found".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Our account.
    pub account: AccountId,
    /// Our region.
    pub region: Region,
}
