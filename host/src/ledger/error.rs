//! Why the ledger could not be read or written.

use super::FORMAT;
use crate::ports::PortError;

/// Why the ledger could not be read or written. No event is lost by it: its delivery fails, and comes again.
///
/// The cause is in each message, since most of them are logged without their chain; written `r#source`, it is not in that too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// An object cannot be read.
    #[error("the ledger cannot be read, {place}: {source}")]
    Read {
        /// The object.
        place: String,
        /// Why.
        r#source: PortError,
    },
    /// An object cannot be written.
    #[error("the ledger cannot be written, {place}: {source}")]
    Write {
        /// The object.
        place: String,
        /// Why.
        r#source: PortError,
    },
    /// A later version of Hostler wrote an object.
    #[error(
        "{place} is of format {format}, and this version of hostler knows formats up to {FORMAT}: a later version wrote it; upgrade this host"
    )]
    Newer {
        /// The object.
        place: String,
        /// Its format.
        format: u32,
    },
    /// An object is damaged, and cannot be set aside.
    #[error("{place} is damaged ({damage}) and cannot be set aside: {source}")]
    Damaged {
        /// The object.
        place: String,
        /// What is wrong with it.
        damage: String,
        /// Why it stays where it is.
        r#source: PortError,
    },
    /// An object is damaged, and whoever reads it changes nothing.
    #[error(
        "{place} is damaged ({damage}): the next host that comes to it sets it aside, below damaged/, and its work begins anew when its \
         events come again"
    )]
    Unsound {
        /// The object.
        place: String,
        /// What is wrong with it.
        damage: String,
    },
    /// There is no room for more work on an instance.
    #[error(
        "{place} has no room for more: so many events of one instance are open that no further one is taken until some have ended"
    )]
    Full {
        /// The object.
        place: String,
    },
    /// Our lease has ended, and another host works on the instance.
    #[error(
        "the lease on {subject} was lost to another host: what this attempt came to is not counted, and its event comes again"
    )]
    Lost {
        /// The instance.
        subject: String,
    },
}

impl LedgerError {
    /// Whether it may be over later without anybody doing something about it.
    pub fn passes(&self) -> bool {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } | Self::Damaged { source, .. } => source.passes(),
            Self::Newer { .. } => false,
            Self::Unsound { .. } | Self::Full { .. } | Self::Lost { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::PortErrorKind;

    #[test]
    fn the_cause_is_said_once_with_the_chain_and_without() {
        let source = PortError::new(PortErrorKind::Denied, "s3:GetObject is not allowed");
        let error = LedgerError::Read { place: "s3://bucket/open/".into(), source };
        let said = error.to_string();
        insta::assert_snapshot!(said, @"the ledger cannot be read, s3://bucket/open/: s3:GetObject is not allowed");
        assert_eq!(format!("{:#}", anyhow::Error::from(error)), said);
    }
}
