//! Keys and signatures as minisign has them, for those who sign modules. Hosts only verify: see [`super::signature`].

use std::fmt;

use jiff::Timestamp;
use minisign::{KeyPair, PublicKey, SecretKeyBox};
use zeroize::Zeroizing;

use super::Version;
use super::signature::{KeyId, is_public_key};

/// How a secret key is encrypted: the two bytes after those of the algorithm. None of these is not at all.
const PLAIN: [u8; 2] = [0, 0];

/// Why there is no key, or no signature. Says nothing of what is in a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// It was not made by `hostler keygen` or minisign.
    #[error("it is no secret key of minisign's: a first line of comment, and a second that begins with RW")]
    NoKey,
    /// It is the other half of one.
    #[error(
        "it is a public key, with which nobody signs: `hostler keygen` writes the secret one beside it, without the ending .pub"
    )]
    Public,
    /// It is another passphrase, or the key was damaged.
    #[error("the passphrase is not that of the key")]
    WrongPassphrase,
    /// The system, or the machine, is at its end.
    #[error("minisign: {0}")]
    Minisign(String),
}

impl From<minisign::PError> for SigningError {
    fn from(error: minisign::PError) -> Self {
        Self::Minisign(error.to_string())
    }
}

/// A new pair of keys, as the files that minisign would write.
pub struct NewKeys {
    /// The file of the secret one.
    pub secret: Zeroizing<String>,
    /// The file of the public one.
    pub public: String,
    /// The public one as a policy names it.
    pub trusted: String,
    /// What both are called by.
    pub id: KeyId,
}

impl NewKeys {
    /// Makes a pair. The secret one is encrypted with `passphrase`, if there is one: that takes a second and a gigabyte.
    pub fn make(passphrase: Option<&str>) -> Result<Self, SigningError> {
        let KeyPair { pk, sk } = match passphrase {
            Some(passphrase) => KeyPair::generate_encrypted_keypair(Some(passphrase.to_owned()))?,
            None => KeyPair::generate_unencrypted_keypair()?,
        };
        let id = KeyId::of(&pk);
        let secret = Zeroizing::new(sk.to_box(Some(&format!("hostler secret key {id}")))?.into_string());
        Ok(Self { secret, public: pk.to_box()?.into_string(), trusted: pk.to_base64(), id })
    }
}

/// A key to sign with.
pub struct SecretKey {
    key: minisign::SecretKey,
    public: PublicKey,
}

/// Names the key, and says nothing of it.
impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.id())
    }
}

impl SecretKey {
    /// Whether the key in a file is encrypted; none if it is no key.
    pub fn is_encrypted(file: &str) -> Result<bool, SigningError> {
        Ok(decoded(file)?.get(2..4).ok_or(SigningError::NoKey)? != PLAIN)
    }

    /// The key in a file, which is encrypted if there is a `passphrase`.
    pub fn read(file: &str, passphrase: Option<&str>) -> Result<Self, SigningError> {
        let key = match passphrase {
            // Not by way of a box: minisign 0.11 writes no checksum for keys that are not encrypted.
            None => minisign::SecretKey::from_bytes(&decoded(file)?).map_err(|_| SigningError::NoKey)?,
            Some(passphrase) => SecretKeyBox::from_string(file)
                .and_then(|key| key.into_secret_key(Some(passphrase.to_owned())))
                .map_err(|_| SigningError::WrongPassphrase)?,
        };
        let public = PublicKey::from_secret_key(&key).map_err(|_| SigningError::NoKey)?;
        Ok(Self { key, public })
    }

    /// What the key is called by.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.public)
    }

    /// Signs `module` as the one called `file`, in this version if there is one. Returns what minisign would write to a file.
    pub fn sign(
        &self,
        module: &[u8],
        file: &str,
        version: Option<&Version>,
        now: Timestamp,
    ) -> Result<String, SigningError> {
        let version = version.map(|version| format!("\tversion:{version}")).unwrap_or_default();
        let trusted = format!("timestamp:{}\tfile:{file}{version}\thashed", now.as_second());
        let untrusted = format!("signature by key {}", self.id());
        Ok(minisign::sign(Some(&self.public), &self.key, module, Some(&trusted), Some(&untrusted))?.into_string())
    }
}

/// The bytes of the key in a file.
fn decoded(file: &str) -> Result<Zeroizing<Vec<u8>>, SigningError> {
    use base64::Engine as _;
    let line = file.lines().nth(1).ok_or(SigningError::NoKey)?;
    if is_public_key(line.trim_end()) {
        return Err(SigningError::Public);
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(line.trim_end());
    decoded.map(Zeroizing::new).map_err(|_| SigningError::NoKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_encrypted_with_its_passphrase_or_not_at_all() {
        let plain = NewKeys::make(None).unwrap();
        let encrypted = NewKeys::make(Some("correct horse")).unwrap();
        for (keys, passphrase) in [(&plain, None), (&encrypted, Some("correct horse"))] {
            assert_eq!(SecretKey::is_encrypted(&keys.secret), Ok(passphrase.is_some()));
            assert_eq!(SecretKey::read(&keys.secret, passphrase).unwrap().id(), keys.id);
            assert!(keys.public.contains(&keys.trusted) && keys.trusted.starts_with("RW"), "{}", keys.public);
        }
        let error = SecretKey::read(&encrypted.secret, Some("battery staple")).unwrap_err();
        insta::assert_snapshot!(error, @"the passphrase is not that of the key");
    }

    #[test]
    fn what_is_no_key_is_told_as_such_and_not_quoted() {
        for file in ["", "comment", "comment\nRWnotbase64!", "comment\nUlc=", "comment\n\n"] {
            let error = SecretKey::is_encrypted(file).unwrap_err().to_string();
            assert_eq!(
                error,
                "it is no secret key of minisign's: a first line of comment, and a second that begins with RW"
            );
            assert_eq!(SecretKey::read(file, None).unwrap_err(), SigningError::NoKey);
        }
    }

    #[test]
    fn a_public_key_is_told_as_such_before_anybody_is_asked_for_a_passphrase() {
        let keys = NewKeys::make(None).unwrap();
        let error = SecretKey::is_encrypted(&keys.public).unwrap_err();
        insta::assert_snapshot!(error, @"it is a public key, with which nobody signs: `hostler keygen` writes the secret one beside it, without the ending .pub");
    }

    #[test]
    fn a_secret_key_is_not_in_its_debug_output() {
        let keys = NewKeys::make(None).unwrap();
        let key = SecretKey::read(&keys.secret, None).unwrap();
        assert_eq!(format!("{key:?}"), format!("SecretKey({})", keys.id));
    }
}
