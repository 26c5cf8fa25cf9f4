//! What one node may prove itself with, and the verdict on what it presents. Pure.
//!
//! Trust is always about an instance id: addresses are reused, so nothing here knows one.

use std::borrow::Cow;

use jiff::Timestamp;
use russh::keys::ssh_key::Fingerprint;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PublicKeyOrCertificate};
use russh::{Preferred, mac};

use crate::ports::{InstanceId, PortError, PortErrorKind};

/// The kinds of host key we accept, best first: russh's own order, without RSA signatures over SHA-1.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// The checksums we accept beside a cipher that has none of its own: russh's own order, without SHA-1.
const MACS: [mac::Name; 4] = [mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM, mac::HMAC_SHA512, mac::HMAC_SHA256];

/// How much of a text that the node chose is quoted in a message.
const QUOTED_CHARS: usize = 64;

/// One known host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) fingerprint: Fingerprint,
}

impl From<&KeyData> for HostKey {
    fn from(key: &KeyData) -> Self {
        Self { algorithm: key.algorithm(), fingerprint: key.fingerprint(HashAlg::Sha256) }
    }
}

/// What `instance` may prove itself with.
#[derive(Debug)]
pub(crate) struct Trust {
    /// Whose host key it has to be.
    pub(crate) instance: InstanceId,
    /// What was consulted, as the policy writes it, such as `ca:/etc/hostler/host_ca.pub`.
    pub(crate) source: String,
    /// What to do about a key that is not known, for messages.
    pub(crate) remedy: &'static str,
    /// Its own keys.
    pub(crate) keys: Vec<HostKey>,
    /// The authorities whose certificates for it are good.
    pub(crate) authorities: Vec<KeyData>,
    /// Keys that are never good.
    pub(crate) revoked: Vec<KeyData>,
    /// Whether anything goes: `insecure-accept-any`.
    pub(crate) any: bool,
}

impl Trust {
    /// What to offer in the negotiation: kinds of key that can be judged come first, so that a node with several keys
    /// presents one we know. The others stay on offer: better to refuse a key by its fingerprint than for want of a common algorithm.
    pub(super) fn preferred(&self) -> Preferred {
        let mut key = ALGORITHMS.to_vec();
        key.sort_by_key(|offered| !self.keys.iter().any(|known| same_kind(&known.algorithm, offered)));
        let certificates = if self.authorities.is_empty() { Vec::new() } else { ALGORITHMS.to_vec() };
        let (key, host_key_certificates) = (Cow::Owned(key), Cow::Owned(certificates));
        Preferred { key, host_key_certificates, mac: Cow::Borrowed(&MACS), ..Preferred::DEFAULT }
    }

    /// Judges what the node presented. That it holds the private half is russh's to check, and checked before.
    pub(super) fn verify(&self, presented: &PublicKeyOrCertificate, now: Timestamp) -> Result<(), PortError> {
        let key = presented.public_key().key_data().clone();
        let (instance, source) = (&self.instance, &self.source);
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        if self.any {
            tracing::warn!(
                %instance,
                %fingerprint,
                "the host key is accepted unseen, as host-keys = \"insecure-accept-any\" says: whoever answers at this address is believed"
            );
            return Ok(());
        }
        let refused = |why: String| {
            let message = format!("{instance} presented the host key {fingerprint} ({}), but {why}", key.algorithm());
            Err(PortError::new(PortErrorKind::Denied, message))
        };
        if self.revoked.contains(&key) {
            return refused(format!("{source} revokes that key; give the node a new one"));
        }
        let signed = presented.certificate().filter(|certificate| {
            // A certificate of somebody else's is no worse than the plain key in it, which may be a known one.
            self.authorities.contains(certificate.signature_key())
        });
        if let Some(certificate) = signed {
            return self.verify_certificate(certificate, now).or_else(refused);
        }
        if self.keys.iter().any(|known| known.fingerprint == fingerprint) {
            return Ok(());
        }
        let remedy = self.remedy;
        let why = match presented.certificate() {
            Some(certificate) if !self.authorities.is_empty() => {
                let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
                format!("its certificate is signed by {authority}, which is no authority in {source}")
            }
            _ if self.keys.is_empty() && !self.authorities.is_empty() => {
                format!("it has no certificate, and {source} takes only certificates")
            }
            _ if self.keys.is_empty() => format!("{source} has no key for {instance}"),
            _ => {
                let known = self.keys.iter().map(|known| known.fingerprint.to_string()).collect::<Vec<_>>().join(", ");
                format!("{source} has other keys for {instance} ({known})")
            }
        };
        refused(format!("{why}; {remedy}"))
    }

    /// Judges a certificate whose signer is one of our authorities, or says what is wrong with it.
    fn verify_certificate(&self, certificate: &Certificate, now: Timestamp) -> Result<(), String> {
        let Self { instance, source, .. } = self;
        let authority = certificate.signature_key();
        if self.revoked.contains(authority) {
            return Err(format!("{source} revokes the authority that signed its certificate"));
        }
        let unix = u64::try_from(now.as_second()).unwrap_or_default();
        let trusted = authority.fingerprint(HashAlg::Sha256);
        // A signature over SHA-1 proves nothing any more; OpenSSH has not taken one since 8.2.
        if matches!(certificate.signature().algorithm(), Algorithm::Rsa { hash: None } | Algorithm::Dsa) {
            return Err(
                "its certificate is signed over SHA-1; sign it again with ssh-keygen -t rsa-sha2-512".to_owned()
            );
        }
        if certificate.cert_type() != CertType::Host {
            return Err("its certificate is one for users; sign its key with ssh-keygen -h".to_owned());
        }
        if !(certificate.valid_after()..certificate.valid_before()).contains(&unix) {
            let (from, to) = (date(certificate.valid_after()), date(certificate.valid_before()));
            return Err(format!("its certificate is good from {from} to {to} and it is {now:.0}; sign its key again"));
        }
        if !certificate.valid_principals().iter().any(|principal| principal == instance.as_str()) {
            let principals = quoted(certificate.valid_principals());
            return Err(format!("its certificate is for {principals}; sign its key again with -n {instance}"));
        }
        if let Some((option, _)) = certificate.critical_options().iter().next() {
            let option = quoted(std::slice::from_ref(option));
            return Err(format!("its certificate has the critical option {option}, which means nothing for a host"));
        }
        // Says the same of the dates once more, and the one thing left: that the signature is the authority's.
        certificate
            .validate_at(unix, [&trusted])
            .map_err(|_| format!("the signature on its certificate is not that of the authority in {source}"))
    }
}

/// Whether a key of the kind `known` can be presented under the algorithm `offered`: RSA keys go by several names.
fn same_kind(known: &Algorithm, offered: &Algorithm) -> bool {
    known == offered || matches!((known, offered), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}

fn date(unix: u64) -> String {
    let moment = i64::try_from(unix).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    moment.map_or_else(|| "forever".to_owned(), |moment| moment.to_string())
}

/// A few words the node chose, cut and escaped.
fn quoted(words: &[String]) -> String {
    if words.is_empty() {
        return "nobody in particular".to_owned();
    }
    let shown = words.iter().take(3).map(|word| format!("{:?}", word.chars().take(QUOTED_CHARS).collect::<String>()));
    let more = if words.len() > 3 { format!(" and {} more", words.len() - 3) } else { String::new() };
    shown.collect::<Vec<_>>().join(", ") + &more
}

#[cfg(test)]
mod tests {
    use russh::keys::PublicKey;

    use super::*;

    /// Made for these tests: the key that it certifies, and the authority's, are nobody's.
    const AUTHORITY: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDYPvZq01T6czHgjIg5REDTmnQpHm5mQwpVRU8jLkw7p4M9P4cCPHKo1QPDpCfIz2G+hOSg\
    eW6vAwWc6GUdBw7s/W2ZJTzEnAHKnjNwzgoZbwtbgN+zNaewYEEAp9c4Fue5w8MR0svgslhPxVLBTQLa7oz9kZ4Nv4iplzrIXwoe\
    9w==";
    /// `ssh-keygen -s ca -t ssh-rsa -h -n i-0123456789abcdef0`
    const OVER_SHA_1: &str = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIGtdjWfv7SMr3sBxNHjBIzDEGVDCGJvmzBxbZ3ZzP3ZwAAAA\
    IBU//c9GqTKdAoWsKRBWiDv/CXjBfcqfHZ8fX17vMuJ7AAAAAAAAAAAAAAACAAAABG5vZGUAAAAXAAAAE2ktMDEyMzQ1Njc4OWFi\
    Y2RlZjAAAAAAAAAAAP//////////AAAAAAAAAAAAAAAAAAAAlwAAAAdzc2gtcnNhAAAAAwEAAQAAAIEA2D72atNU+nMx4IyIOURA\
    05p0KR5uZkMKVUVPIy5MO6eDPT+HAjxyqNUDw6QnyM9hvoTkoHlurwMFnOhlHQcO7P1tmSU8xJwByp4zcM4KGW8LW4DfszWnsGBB\
    AKfXOBbnucPDEdLL4LJYT8VSwU0C2u6M/ZGeDb+IqZc6yF8KHvcAAACPAAAAB3NzaC1yc2EAAACAzOGztsSy0WLvAWZqy9JP6Kzf\
    uRw0TXmWZnT9gHTwcgJUW+R163fhTN5RNd64tWPiPKcBI7zyeubvObOl8fF/rbT+Rui7uIH/QVWHaEL5GNmUMiAfo51kcHF3B3GH\
    r2lXw2zUacCuTfNeHuKwD3wNe/JeAIe94iVNJMgba6OoNUU=";

    fn trust() -> Trust {
        let authority = PublicKey::from_openssh(AUTHORITY).unwrap();
        Trust {
            instance: InstanceId::parse("i-0123456789abcdef0").unwrap(),
            source: "ca:ca.pub".to_owned(),
            remedy: "sign it",
            keys: Vec::new(),
            authorities: vec![authority.key_data().clone()],
            revoked: Vec::new(),
            any: false,
        }
    }

    #[test]
    fn a_certificate_that_is_signed_over_sha_1_proves_nothing() {
        let certificate = Certificate::from_openssh(OVER_SHA_1).unwrap();
        let error = trust().verify(&certificate.into(), Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Denied);
        assert!(
            error
                .message
                .ends_with("but its certificate is signed over SHA-1; sign it again with ssh-keygen -t rsa-sha2-512"),
            "{error}"
        );
    }

    #[test]
    fn nothing_that_rests_on_sha_1_is_offered() {
        let Preferred { key, host_key_certificates, kex, mac, .. } = trust().preferred();
        let keys = key.iter().chain(&*host_key_certificates).map(|algorithm| algorithm.as_str().to_owned());
        let names = keys
            .chain(kex.iter().map(|kex| kex.as_ref().to_owned()))
            .chain(mac.iter().map(|mac| mac.as_ref().to_owned()));
        let names: Vec<_> = names.collect();
        assert!(names.len() > 20, "{names:?}");
        for name in names {
            assert!(!name.contains("sha1") && !["ssh-rsa", "ssh-dss"].contains(&&*name), "{name}");
        }
    }
}
