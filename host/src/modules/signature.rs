//! Who has signed a module, for what, and as which version of it.
//!
//! Signatures are minisign's. What the signer says of the module stands in the trusted comment, as `key:value` with tabs between:
//! `file` is the name it is signed for, `version` orders it among the modules of that name, and `timestamp`, which the tool writes
//! by itself, is the version where there is no other. Nothing of a signature is read before it is verified.

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use minisign_verify::{PublicKey, Signature};

use super::{Refusal, Version};
use crate::policy::Trust;
use crate::telemetry::visible;

/// The largest signature that is looked at, in bytes; an ordinary one has 300.
pub(crate) const SIGNATURE_BYTES: u64 = 8 << 10;

/// Who may sign modules.
#[derive(Debug)]
pub struct Signers {
    trusted: Vec<Key>,
    /// For the modules that have their own.
    of_modules: HashMap<String, Vec<Key>>,
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

#[cfg(test)]
impl KeyId {
    /// That of some key, told from those of other numbers.
    pub(super) const fn numbered(number: u64) -> Self {
        Self(number.to_be_bytes())
    }
}

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
        let of_modules = trust.of_modules.iter().map(|(module, texts)| (module.clone(), keys(texts)));
        let (trusted, of_modules) = (keys(&trust.keys), of_modules.collect());
        Self { trusted, of_modules, revoked: keys(&trust.revoked), unsigned: trust.unsigned }
    }

    /// Whether a key is one of theirs for `module`, by what minisign calls it.
    pub fn trusts(&self, module: &str, key: &str) -> bool {
        let is = |known: &Key| known.id.to_string() == key;
        self.trusted_for(module).iter().any(is) && !self.revoked.iter().any(is)
    }

    /// Whether what was accepted as `module` under these keys would be so now; without any, it was not signed.
    pub fn take<'k>(&self, module: &str, keys: impl IntoIterator<Item = &'k str>) -> bool {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_none() { self.unsigned_for(module) } else { keys.any(|key| self.trusts(module, key)) }
    }

    fn unsigned_for(&self, module: &str) -> bool {
        self.unsigned && !self.of_modules.contains_key(module)
    }

    fn trusted_for(&self, module: &str) -> &[Key] {
        self.of_modules.get(module).unwrap_or(&self.trusted)
    }

    /// What was signed of `module`, whose content is `bytes`; none if it has no signature and needs none.
    pub fn verify(&self, module: &str, bytes: &[u8], signature: Option<&str>) -> Result<Option<Signed>, Refusal> {
        let unsigned = self.unsigned_for(module);
        match signature {
            // Where nobody is trusted, no signature says anything.
            _ if self.trusted.is_empty() && unsigned => Ok(None),
            None if unsigned => Ok(None),
            None => Err(Refusal::because(format!(
                "is not signed, and only signed modules are taken: sign it with `hostler sign`, which says how it is uploaded with its \
                 signature; in a folder that is {module}.minisig beside it"
            ))),
            Some(signature) => self.signed(module, bytes, signature).map(Some),
        }
    }

    fn signed(&self, module: &str, bytes: &[u8], text: &str) -> Result<Signed, Refusal> {
        let unreadable =
            || Refusal::because("has a signature that is none of minisign's: sign it again with `hostler sign`");
        if text.len() as u64 > SIGNATURE_BYTES {
            return Err(unreadable());
        }
        let signature = Signature::decode(text).map_err(|_| unreadable())?;
        let by = KeyId::of_signature(text).ok_or_else(unreadable)?;
        if self.revoked.iter().any(|key| key.id == by) {
            return Err(Refusal::because(format!("is signed by key {by}, which is revoked: sign it with another")));
        }
        let keys = self.trusted_for(module);
        let Some(key) = keys.iter().find(|key| key.id == by) else {
            let trusted: Vec<String> = keys.iter().map(|key| key.id.to_string()).collect();
            let (what, whose) = if self.of_modules.contains_key(module) {
                (format!(" for {module}"), " of its handlers")
            } else {
                Default::default()
            };
            return Err(Refusal::because(format!(
                "is signed by key {by}, which is not trusted{what}: sign it with {}, or trust {by} too, with the second line of its .pub in \
                 trusted-keys{whose}",
                trusted.join(" or ")
            )));
        };
        key.key.verify(bytes, &signature, false).map_err(|error| match error {
            minisign_verify::Error::UnexpectedAlgorithm => {
                Refusal::because("has a signature of minisign's legacy form: sign it again without -l, or with `hostler sign`")
            }
            _ => Refusal::because(format!(
                "is not what key {by} has signed: module and signature do not belong together, or one of them was changed, or the key is \
                 not written in trusted-keys as it is in its .pub"
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

/// The signature in an object's metadata, where it is in base64. What is no text in base64 is none of ours, and is told as such.
#[cfg(any(test, feature = "live", feature = "fuzzing"))]
pub(crate) fn of_metadata(metadata: &str) -> String {
    let decoded = BASE64.decode(metadata).ok();
    decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| metadata.to_owned())
}

/// Whether a text is a public key of minisign's, in base64.
pub(crate) fn is_public_key(text: &str) -> bool {
    key_id(text).is_some()
}

/// What a public key in base64 is called by, if it is one.
pub(crate) fn key_id(text: &str) -> Option<KeyId> {
    Key::of(text).map(|key| key.id)
}

impl KeyId {
    /// That of a public key.
    pub(super) fn of(key: &minisign::PublicKey) -> Self {
        let mut id = Self([0; 8]);
        id.0.iter_mut().zip(key.keynum()).for_each(|(to, from)| *to = *from);
        id
    }

    /// It follows the two letters of the algorithm, in keys and signatures alike.
    fn of_base64(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text.trim_end()).ok()?;
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
    match field("file") {
        None => {
            return Err(Refusal::because(format!(
                "has a signature that names no file, and would be as good for any other module: sign it with `hostler sign`, or with \
                 file:{module} in the trusted comment"
            )));
        }
        Some(file) if file != module => {
            return Err(Refusal::because(format!(
                "was signed as {file}, and is here as {module}: sign it with --name {module}, or put it where {file} belongs",
                file = visible(file)
            )));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::signing::{NewKeys, SecretKey};

    const MODULE: &[u8] = b"a module";

    struct Signer {
        keys: NewKeys,
        key: SecretKey,
    }

    impl Signer {
        fn new() -> Self {
            let keys = NewKeys::make(None).unwrap();
            let key = SecretKey::read(&keys.secret, None).unwrap();
            Self { keys, key }
        }

        fn sign(&self, file: &str, version: Option<&str>) -> String {
            let version = version.map(|version| version.parse().unwrap());
            self.key.sign(MODULE, file, version.as_ref(), "2026-01-15T03:00:00Z".parse().unwrap()).unwrap()
        }

        /// The signature with this trusted comment, as an ordinary minisign might write it.
        fn comment(&self, trusted: &str) -> String {
            let key =
                minisign::SecretKeyBox::from_string(&self.keys.secret).unwrap().into_unencrypted_secret_key().unwrap();
            minisign::sign(None, &key, MODULE, Some(trusted), None).unwrap().into_string()
        }
    }

    fn signers(trusted: &[&Signer], revoked: &[&Signer]) -> Signers {
        let keys = |signers: &[&Signer]| signers.iter().map(|signer| signer.keys.trusted.clone()).collect();
        Signers::new(&Trust { keys: keys(trusted), revoked: keys(revoked), ..Trust::default() })
    }

    /// Why it is refused, with the ids of `signers` as A, B and so on.
    fn refused(by: &Signers, module: &str, bytes: &[u8], signature: Option<&str>, named: &[&Signer]) -> String {
        let refusal = by.verify(module, bytes, signature).unwrap_err().to_string();
        named
            .iter()
            .zip('A'..)
            .fold(refusal, |text, (signer, name)| text.replace(&signer.keys.id.to_string(), &name.to_string()))
    }

    #[test]
    fn whoever_is_trusted_may_sign() {
        let (one, other) = (Signer::new(), Signer::new());
        let trusted = signers(&[&one, &other], &[]);
        for signer in [&one, &other] {
            let signed = trusted.verify("a.wasm", MODULE, Some(&signer.sign("a.wasm", Some("1.4")))).unwrap().unwrap();
            assert_eq!((signed.by, signed.version.to_string()), (signer.keys.id, "1.4".to_owned()));
        }
    }

    #[test]
    fn whoever_is_not_trusted_or_no_more_is_refused() {
        let (one, other) = (Signer::new(), Signer::new());
        let text =
            refused(&signers(&[&one], &[]), "a.wasm", MODULE, Some(&other.sign("a.wasm", None)), &[&one, &other]);
        insta::assert_snapshot!(text, @"is signed by key B, which is not trusted: sign it with A, or trust B too, with the second line of its .pub in trusted-keys");
        // Revoked is revoked, though somebody has forgotten to trust it no more.
        for trusted in [signers(&[&one], &[&other]), signers(&[&one, &other], &[&other])] {
            let text = refused(&trusted, "a.wasm", MODULE, Some(&other.sign("a.wasm", None)), &[&one, &other]);
            assert_eq!(text, "is signed by key B, which is revoked: sign it with another");
        }
    }

    #[test]
    fn who_is_trusted_for_a_module_signs_that_and_nobody_else_does() {
        let [team, other, house] = [(); 3].map(|()| Signer::new());
        let keys = |signer: &Signer| vec![signer.keys.trusted.clone()];
        let own = [("team/a.wasm".to_owned(), keys(&team)), ("other/a.wasm".to_owned(), keys(&other))];
        let trust =
            |unsigned| Trust { keys: keys(&house), of_modules: own.clone().into(), unsigned, ..Trust::default() };
        for unsigned in [false, true] {
            let signers = Signers::new(&trust(unsigned));
            let verified = |signer: &Signer, module: &str| {
                let verified = signers.verify(module, MODULE, Some(&signer.sign(module, None))).is_ok();
                assert_eq!(signers.trusts(module, &signer.keys.id.to_string()), verified, "{module}");
                verified
            };
            assert!(verified(&team, "team/a.wasm") && verified(&other, "other/a.wasm") && verified(&house, "a.wasm"));
            for (signer, module) in [(&other, "team/a.wasm"), (&house, "team/a.wasm"), (&team, "a.wasm")] {
                assert!(!verified(signer, module), "{module}");
            }
            assert!(signers.verify("team/a.wasm", MODULE, None).is_err(), "it has to be signed, whatever others need");
            assert_eq!(signers.verify("a.wasm", MODULE, None).is_ok(), unsigned);
        }
        let signers = Signers::new(&trust(false));
        let text = refused(&signers, "team/a.wasm", MODULE, Some(&house.sign("team/a.wasm", None)), &[&team, &house]);
        insta::assert_snapshot!(text, @"is signed by key B, which is not trusted for team/a.wasm: sign it with A, or trust B too, with the second line of its .pub in trusted-keys of its handlers");
        let revoked = Signers::new(&Trust { revoked: keys(&team), ..trust(false) });
        assert!(revoked.verify("team/a.wasm", MODULE, Some(&team.sign("team/a.wasm", None))).is_err());
        assert!(!revoked.trusts("team/a.wasm", &team.keys.id.to_string()));
    }

    #[test]
    fn what_is_no_signature_is_refused_and_says_what_to_do() {
        let one = Signer::new();
        let trusted = signers(&[&one], &[]);
        let none = refused(&trusted, "a.wasm", MODULE, None, &[]);
        insta::assert_snapshot!(none, @"is not signed, and only signed modules are taken: sign it with `hostler sign`, which says how it is uploaded with its signature; in a folder that is a.wasm.minisig beside it");
        let good = one.sign("a.wasm", None);
        let cut = &good[..good.len() / 2];
        let long = format!("{good}{}", "\n".repeat(usize::try_from(SIGNATURE_BYTES).unwrap()));
        for text in ["", "text", "\u{fffd}\n\u{fffd}\n\u{fffd}\n\u{fffd}", cut, &long] {
            let refusal = refused(&trusted, "a.wasm", MODULE, Some(text), &[]);
            assert_eq!(
                refusal, "has a signature that is none of minisign's: sign it again with `hostler sign`",
                "{text:?}"
            );
        }
        for (changed, signature) in
            [(&b"a Module"[..], good.clone()), (MODULE, good.replace("file:a.wasm", "file:b.wasm"))]
        {
            let text = refused(&trusted, "b.wasm", changed, Some(&signature), &[&one]);
            assert_eq!(
                text,
                "is not what key A has signed: module and signature do not belong together, or one of them was changed, or the key is \
                 not written in trusted-keys as it is in its .pub"
            );
        }
    }

    #[test]
    fn a_signature_is_good_for_its_file_alone() {
        let one = Signer::new();
        let trusted = signers(&[&one], &[]);
        let refused = |module: &str, signature: String| refused(&trusted, module, MODULE, Some(&signature), &[&one]);
        insta::assert_snapshot!(refused("b.wasm", one.sign("a.wasm", None)), @"was signed as a.wasm, and is here as b.wasm: sign it with --name b.wasm, or put it where a.wasm belongs");
        assert!(trusted.verify("team/a.wasm", MODULE, Some(&one.sign("team/a.wasm", None))).is_ok());
        insta::assert_snapshot!(refused("other/a.wasm", one.sign("team/a.wasm", None)), @"was signed as team/a.wasm, and is here as other/a.wasm: sign it with --name other/a.wasm, or put it where team/a.wasm belongs");
        // Without a folder it would be good for every folder.
        insta::assert_snapshot!(refused("team/a.wasm", one.sign("a.wasm", None)), @"was signed as a.wasm, and is here as team/a.wasm: sign it with --name team/a.wasm, or put it where a.wasm belongs");
        insta::assert_snapshot!(refused("a.wasm", one.comment("timestamp:1")), @"has a signature that names no file, and would be as good for any other module: sign it with `hostler sign`, or with file:a.wasm in the trusted comment");
    }

    #[test]
    fn a_signature_says_which_version_it_is_of() {
        let one = Signer::new();
        let trusted = signers(&[&one], &[]);
        let version = |comment: &str| trusted.verify("a.wasm", MODULE, Some(&one.comment(comment)));
        for (comment, expected) in [
            ("timestamp:1768446000\tfile:a.wasm\thashed", "1768446000"),
            ("timestamp:1768446000\tfile:a.wasm\tversion:1.4.2\thashed", "1.4.2"),
            ("version:7 file:a.wasm", "7"),
        ] {
            assert_eq!(version(comment).unwrap().unwrap().version.to_string(), expected, "{comment:?}");
        }
        insta::assert_snapshot!(version("file:a.wasm").unwrap_err(), @"has a signature without version: or timestamp: in its trusted comment, so that nobody could tell it from an older one: sign it with `hostler sign`");
        insta::assert_snapshot!(version("file:a.wasm\tversion:1.x").unwrap_err(), @"was signed as version 1.x: a version is one to four whole numbers with dots between them, such as 7 or 1.4.2");
    }

    #[test]
    fn where_nobody_is_trusted_no_signature_says_anything() {
        let anybody = Signers::new(&Trust { unsigned: true, ..Trust::default() });
        assert_eq!(anybody.verify("a.wasm", MODULE, Some("text")), Ok(None));
        let one = Signer::new();
        let both = Signers::new(&Trust { keys: vec![one.keys.trusted.clone()], unsigned: true, ..Trust::default() });
        assert_eq!(both.verify("a.wasm", MODULE, None), Ok(None));
        // What is signed has to be signed well.
        assert!(both.verify("a.wasm", b"changed", Some(&one.sign("a.wasm", None))).is_err());
    }
}
