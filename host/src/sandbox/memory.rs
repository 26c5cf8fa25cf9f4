//! The memory budget: one sum over everything an attempt holds, in the guest and in the host.

use bytesize::ByteSize;

/// What one table element is charged: a function reference, and room for what it points to.
pub(super) const TABLE_ELEMENT_BYTES: u64 = 16;

/// Bytes an attempt holds, against one limit.
#[derive(Debug)]
pub(super) struct Memory {
    limit: u64,
    /// All linear memories and tables together.
    guest: u64,
    /// What the guest has handed to the host call under way, and what the outside world has answered to it.
    call: u64,
    /// What the host holds until the attempt ends.
    kept: u64,
    /// The most of the sum.
    peak: u64,
    /// Remembered, because a guest that is refused memory dies of something that looks like a panic.
    refused: bool,
}

/// There is no room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

impl Memory {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, guest: 0, call: 0, kept: 0, peak: 0, refused: false }
    }

    /// The most it has been.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// Whether something was refused.
    pub(super) fn was_refused(&self) -> bool {
        self.refused
    }

    /// Charges a growth of a memory or a table, for good: a growth that fails after it was allowed is one that the machine has no
    /// memory for, and of others a guest could have it said that they failed.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), Refused> {
        self.admit(bytes)?;
        self.guest += bytes;
        Ok(())
    }

    /// Charges what the host holds for the length of a call.
    pub(super) fn hold(&mut self, bytes: u64) -> Result<(), Refused> {
        self.admit(bytes)?;
        self.call += bytes;
        Ok(())
    }

    /// Gives back all that was held for the length of a call.
    pub(super) fn release(&mut self) {
        self.call = 0;
    }

    /// Charges what the host holds until the attempt ends.
    pub(super) fn keep(&mut self, bytes: u64) -> Result<(), Refused> {
        self.admit(bytes)?;
        self.kept += bytes;
        Ok(())
    }

    fn admit(&mut self, bytes: u64) -> Result<(), Refused> {
        let total = (self.guest + self.call + self.kept).saturating_add(bytes);
        if total > self.limit {
            self.refused = true;
            return Err(Refused);
        }
        self.peak = self.peak.max(total);
        Ok(())
    }

    /// The limit, for people.
    pub(super) fn limit(&self) -> String {
        ByteSize::b(self.limit).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_and_host_share_one_limit() {
        let mut memory = Memory::new(100);
        assert_eq!((memory.grow(60), memory.keep(20), memory.hold(20)), (Ok(()), Ok(()), Ok(())));
        assert_eq!((memory.peak(), memory.was_refused()), (100, false));
        assert_eq!((memory.grow(1), memory.was_refused()), (Err(Refused), true));
        memory.release();
        assert_eq!((memory.grow(20), memory.hold(1), memory.keep(1)), (Ok(()), Err(Refused), Err(Refused)));
        assert_eq!((memory.hold(u64::MAX), memory.grow(u64::MAX)), (Err(Refused), Err(Refused)));
        assert_eq!(memory.peak(), 100);
    }
}
