//! From `key` in the policy to the private key we log in with.
//!
//! Keys are in no log, no error and no `Debug`. The bytes they are read from are wiped here, and the keys themselves by
//! `ssh-key` when dropped. Beyond our reach are the environment itself, what the AWS SDK has received, and what `russh` copies
//! of keys that are not in the form of OpenSSH.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::keys::key::safe_rng;
use russh::keys::{Algorithm, PrivateKey, decode_secret_key};
use tokio::time::Instant;

use super::cloud::Cloud;
use super::secret::Secret;
use super::{file, unusable};
use crate::policy::{ClientKey, Exec};
use crate::ports::PortError;

/// The largest private key, in bytes: an RSA key of 16384 bits has 13,000.
const LARGEST_KEY: u64 = 64 * 1024;

/// How long a key from Secrets Manager is used before it is fetched again. A rotated key that a node already refuses is
/// fetched at once (see [`ClientKeys::forget`]), so this only bounds how long a withdrawn one lives on.
const SECRET_FRESH_FOR: Duration = Duration::from_secs(5 * 60);

/// Finds the key to log in with.
pub(super) struct ClientKeys {
    cloud: Arc<dyn Cloud>,
    /// Keys from Secrets Manager, with the moment they go stale. As many as the policy names.
    secrets: Mutex<HashMap<String, (Instant, Arc<PrivateKey>)>>,
}

impl ClientKeys {
    pub(super) fn new(cloud: Arc<dyn Cloud>) -> Self {
        Self { cloud, secrets: Mutex::default() }
    }

    /// The key for `request`. With `instance-connect` a fresh one, that [`announce`](Self::announce) makes known.
    pub(super) async fn load(&self, request: &Exec) -> Result<Arc<PrivateKey>, PortError> {
        let source = request.key.to_string();
        match &request.key {
            ClientKey::File(path) => {
                let bytes = file::read(&source, path, LARGEST_KEY).await?;
                decode(&source, &bytes)
            }
            ClientKey::Env(name) => {
                let text = std::env::var_os(name).map(|text| Secret::new(text.into_encoded_bytes()));
                decode(&source, &text.ok_or_else(|| unusable(&source, "the host has no such environment variable"))?)
            }
            ClientKey::SecretsManager(id) => self.secret(&source, id).await,
            ClientKey::InstanceConnect => {
                let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519);
                Ok(Arc::new(key.map_err(|error| unusable(&source, format!("no key could be made: {error}")))?))
            }
        }
    }

    /// Makes a fresh key known to the node for 60 seconds; the others it knows already.
    pub(super) async fn announce(&self, request: &Exec, key: &PrivateKey) -> Result<(), PortError> {
        if request.key != ClientKey::InstanceConnect {
            return Ok(());
        }
        let public = key
            .public_key()
            .to_openssh()
            .map_err(|error| unusable("instance-connect", format!("its public key has no text: {error}")))?;
        self.cloud.push_key(&request.instance, &request.availability_zone, &request.user, &public).await
    }

    /// Fetches the key again next time: a node refused it, so it may have been rotated.
    pub(super) fn forget(&self, key: &ClientKey) {
        if let ClientKey::SecretsManager(id) = key {
            self.secrets.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        }
    }

    async fn secret(&self, source: &str, id: &str) -> Result<Arc<PrivateKey>, PortError> {
        if let Some((stale_at, key)) = self.secrets.lock().unwrap_or_else(PoisonError::into_inner).get(id)
            && Instant::now() < *stale_at
        {
            return Ok(Arc::clone(key));
        }
        let key = decode(source, &self.cloud.secret(id).await?)?;
        let entry = (Instant::now() + SECRET_FRESH_FOR, Arc::clone(&key));
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), entry);
        Ok(key)
    }
}

/// Reads a private key. An error says what it is instead, and quotes nothing of it.
fn decode(source: &str, bytes: &[u8]) -> Result<Arc<PrivateKey>, PortError> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| unusable(source, "it is not text, so not a private key in PEM"))?;
    // Makes no copies, and reads what ssh-keygen writes. The other forms are left to russh.
    if let Ok(key) = PrivateKey::from_openssh(text)
        && !key.is_encrypted()
    {
        return Ok(Arc::new(key));
    }
    if let Ok(key) = decode_secret_key(text, None) {
        return Ok(Arc::new(key));
    }
    let first = text.trim_start();
    let why = if text.contains("ENCRYPTED") || is_encrypted(text) {
        "it is encrypted with a passphrase, which the host does not have; remove it with ssh-keygen -p"
    } else if first.starts_with("ssh-") || first.starts_with("ecdsa-") || text.contains("PUBLIC KEY-----") {
        "it is a public key; name the private one"
    } else if first.is_empty() {
        "it is empty"
    } else if first.starts_with('{') {
        "it is JSON; the secret string must be the private key itself"
    } else if text.contains("PRIVATE KEY-----\\n") {
        "its line breaks are written as \\n; it must have real ones"
    } else if text.contains("PRIVATE KEY-----") {
        "it is damaged, or of a kind that is not served (ed25519, ecdsa and rsa are)"
    } else {
        "it is not a private key (one begins with -----BEGIN OPENSSH PRIVATE KEY-----)"
    };
    Err(unusable(source, why))
}

fn is_encrypted(text: &str) -> bool {
    matches!(decode_secret_key(text, None), Err(russh::keys::Error::KeyIsEncrypted))
}

#[cfg(test)]
mod tests {
    use russh::keys::ssh_key::LineEnding;

    use super::*;
    use crate::ports::PortErrorKind;

    fn fresh() -> PrivateKey {
        PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap()
    }

    #[test]
    fn keys_decode_with_any_line_ending() {
        let key = fresh();
        for ending in [LineEnding::LF, LineEnding::CRLF] {
            let text = key.to_openssh(ending).unwrap();
            assert_eq!(
                decode("env:KEY", text.as_bytes()).unwrap().public_key().key_data(),
                key.public_key().key_data()
            );
        }
    }

    #[test]
    fn what_is_not_a_key_is_named_and_never_quoted() {
        let key = fresh();
        let text = key.to_openssh(LineEnding::LF).unwrap();
        // A throw-away key under a throw-away passphrase.
        let encrypted = "-----BEGIN OPENSSH PRIVATE KEY-----\n\
            b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABDkmsnnJr\n\
            0VRk+zSHc42Ly+AAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIIW7clfJMib/QKg+\n\
            XIOrTAR7UryzSkXfTN/+yX0QfjxPAAAAkE1w0jih079OSPJjzvnQggPZoztgnvjDNKX0nV\n\
            CrPIZ2Lypk2mLzrEaCgVzPG8nT6tJ1kLJ0L9iA9xdvJwCZ89kHu/ijWAHRSkJWMcpi9pBu\n\
            Xo5vSXwrDWywq8a2hFndfpi5P0JQexmpq3H2yKyLWTwAXEvfYletaBV9HF8Eg+A4h+z6fW\n\
            z7zloYS1lXJBbFAw==\n-----END OPENSSH PRIVATE KEY-----\n";
        for (bytes, says) in [
            (encrypted.as_bytes().to_vec(), "it is encrypted with a passphrase"),
            (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGb\n".to_vec(), "it is encrypted with a passphrase"),
            (key.public_key().to_openssh().unwrap().into_bytes(), "it is a public key; name the private one"),
            (b" \n".to_vec(), "it is empty"),
            (b"{\"key\": \"hunter2\"}".to_vec(), "it is JSON"),
            (text.replace('\n', "\\n").into_bytes(), "its line breaks are written as \\n"),
            (text[..text.len() / 2].as_bytes().to_vec(), "it is damaged"),
            (b"hunter2".to_vec(), "it is not a private key"),
            (vec![0xff, 0xfe], "it is not text"),
        ] {
            let error = decode("env:KEY", &bytes).unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Other);
            assert!(error.message.starts_with("env:KEY in the policy cannot be used: "), "{error}");
            assert!(error.message.contains(says), "{error}");
            assert!(!error.message.contains("hunter2") && !error.message.contains("b3Blb"), "{error}");
        }
    }
}
