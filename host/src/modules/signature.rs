//! Who has signed a module, for what, and as which version of it.
//!
//! Signatures are minisign's. What the signer says of the module stands in the trusted comment, as `key:value` with tabs between:
//! `file` is the name it is signed for, `version` orders it among the modules of that name, and `timestamp`, which the tool writes
//! by itself, is the version where there is no other. Nothing of a signature is read before it is verified.

use std::fmt;

use minisign_verify::{PublicKey, Signature};

use super::{Refusal, Version};
use crate::policy::Trust;
use crate::telemetry::visible;

/// The largest signature that is looked at, in bytes; an ordinary one has 300.
pub(super) const SIGNATURE_BYTES: u64 = 8 << 10;

/// Who may sign modules.
#[derive(Debug)]
pub struct Signers {
    trusted: Vec<Key>,
    revoked: Vec<Key>,
    unsigned: bool,
}

#[derive(Debug)]
struct Key {
    id: KeyId,
    key: PublicKey,
}

/// What minisign calls a key by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; 8]);

/// What a verified signature says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The key.
    pub by: KeyId,
    /// What it was signed as.
    pub version: Version,
}

impl Signers {
    /// Those of a policy.
    pub fn new(trust: &Trust) -> Self {
        let keys = |texts: &[String]| texts.iter().filter_map(|text| Key::of(text)).collect();
        Self { trusted: keys(&trust.keys), revoked: keys(&trust.revoked), unsigned: trust.unsigned }
    }

    /// What was signed of `module`, whose content is `bytes`; none if it has no signature and needs none.
    pub fn verify(&self, module: &str, bytes: &[u8], signature: Option<&str>) -> Result<Option<Signed>, Refusal> {
        match signature {
            // Where nobody is trusted, no signature says anything.
            _ if self.trusted.is_empty() && self.unsigned => Ok(None),
            None if self.unsigned => Ok(None),
            None => Err(Refusal::because(
                "is not signed, and the policy takes signed modules only: sign it with `hostler sign`, which says how it is uploaded \
                 with its signature",
            )),
            Some(signature) => self.signed(module, bytes, signature).map(Some),
        }
    }

    fn signed(&self, module: &str, bytes: &[u8], text: &str) -> Result<Signed, Refusal> {
        let unreadable = || Refusal::because("has a signature that is none of minisign's: sign it again with `hostler sign`");
        if text.len() as u64 > SIGNATURE_BYTES {
            return Err(unreadable());
        }
        let signature = Signature::decode(text).map_err(|_| unreadable())?;
        let by = KeyId::of_signature(text).ok_or_else(unreadable)?;
        if self.revoked.iter().any(|key| key.id == by) {
            return Err(Refusal::because(format!("is signed by key {by}, which is revoked: sign it with another")));
        }
        let Some(key) = self.trusted.iter().find(|key| key.id == by) else {
            let trusted: Vec<String> = self.trusted.iter().map(|key| key.id.to_string()).collect();
            return Err(Refusal::because(format!(
                "is signed by key {by}, and the policy trusts {}: sign it with one of these, or add that key to trusted-keys",
                trusted.join(", ")
            )));
        };
        key.key.verify(bytes, &signature, false).map_err(|error| match error {
            minisign_verify::Error::UnexpectedAlgorithm => {
                Refusal::because("has a signature of minisign's legacy form: sign it again without -l, or with `hostler sign`")
            }
            _ => Refusal::because(format!(
                "is not what key {by} has signed: module and signature do not belong together, or one of them was changed"
            )),
        })?;
        let version = version_of(module, signature.trusted_comment())?;
        Ok(Signed { by, version })
    }
}

impl Key {
    fn of(text: &str) -> Option<Self> {
        Some(Self { id: KeyId::of_base64(text)?, key: PublicKey::from_base64(text).ok()? })
    }
}

impl KeyId {
    /// It follows the two letters of the algorithm, in keys and signatures alike.
    fn of_base64(text: &str) -> Option<Self> {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim_end()).ok()?;
        Some(Self(bytes.get(2..10)?.try_into().ok()?))
    }

    fn of_signature(text: &str) -> Option<Self> {
        Self::of_base64(text.lines().nth(1)?)
    }
}

/// As minisign writes it.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

/// The version that a trusted comment gives to `module`, if it is about that.
fn version_of(module: &str, comment: &str) -> Result<Version, Refusal> {
    let fields: Vec<(&str, &str)> = if comment.contains('\t') {
        comment.split('\t').filter_map(|field| field.trim().split_once(':')).collect()
    } else {
        comment.split_whitespace().filter_map(|field| field.split_once(':')).collect()
    };
    let field = |name: &str| fields.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let name = module.rsplit('/').next().unwrap_or(module);
    match field("file") {
        None => {
            return Err(Refusal::because(format!(
                "has a signature that names no file, and would be as good for any other module: sign it with `hostler sign`, or with \
                 file:{name} in the trusted comment"
            )));
        }
        // Without a folder it is good for every folder.
        Some(file) if file != module && file != name => {
            return Err(Refusal::because(format!("was signed as {}, and is no {module}", visible(file))));
        }
        Some(_) => {}
    }
    let written = field("version").or_else(|| field("timestamp"));
    let Some(written) = written else {
        return Err(Refusal::because(
            "has a signature without version: or timestamp: in its trusted comment, so that nobody could tell it from an older one: \
             sign it with `hostler sign`",
        ));
    };
    written.parse().map_err(|error| Refusal::because(format!("was signed as version {}: {error}", visible(written))))
}
