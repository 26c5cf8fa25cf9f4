//! What must not be seen: it is wiped when it is dropped, and shows nothing of itself.

use std::fmt;
use std::ops::Deref;

use zeroize::Zeroizing;

/// The bytes of a secret.
pub(super) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes what nobody else has.
    pub(super) fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }
}

impl From<Zeroizing<Vec<u8>>> for Secret {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// How long it is, and nothing else.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_erased_when_it_is_dropped() {
        fn is_erased(_: &impl zeroize::ZeroizeOnDrop) {}
        is_erased(&Secret::new("hunter2").0);
    }

    #[test]
    fn a_secret_is_not_in_its_debug_output() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(Secret(7 bytes))");
    }
}
