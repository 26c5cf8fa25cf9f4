//! Digests, as the log and the policy write them.

use sha2::{Digest, Sha256};

/// SHA-256, in hexadecimal.
pub(crate) fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
