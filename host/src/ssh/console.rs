//! The host keys that cloud-init prints to the console of an instance at its first boot. Pure.
//!
//! Two blocks (cloud-init's "Keys to Console" module): fingerprints as `ssh-keygen -l` prints them, and whole public keys.
//! Lines may carry a prefix of the logger's, and lines of the kernel may stand between them.

use russh::keys::ssh_key::Fingerprint;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};

use super::trust::HostKey;

/// The host keys in a console output; none when it holds no complete block.
///
/// Of several blocks of a kind the last counts: it is what the instance said last.
pub(crate) fn host_keys(output: &str) -> Vec<HostKey> {
    let mut keys = block(output, "SSH HOST KEY KEYS", whole_key);
    for print in block(output, "SSH HOST KEY FINGERPRINTS", fingerprint) {
        if !keys.contains(&print) {
            keys.push(print);
        }
    }
    keys
}

/// What `read` makes of the lines of the last complete block of this name.
fn block(output: &str, name: &str, read: fn(&str) -> Option<HostKey>) -> Vec<HostKey> {
    let (begin, end) = (format!("-----BEGIN {name}-----"), format!("-----END {name}-----"));
    let Some(until) = output.rfind(&end) else { return Vec::new() };
    let Some(from) = output[..until].rfind(&begin) else { return Vec::new() };
    output[from + begin.len()..until].lines().filter_map(read).collect()
}

/// `… ssh-ed25519 AAAA… root@node`, with anything before it.
fn whole_key(line: &str) -> Option<HostKey> {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(2).find_map(|pair| {
        let key = PublicKey::from_openssh(&pair.join(" ")).ok()?;
        Some(HostKey { algorithm: key.algorithm(), fingerprint: key.fingerprint(HashAlg::Sha256) })
    })
}

/// `… 256 SHA256:… root@node (ED25519)`, with anything before it.
fn fingerprint(line: &str) -> Option<HostKey> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| word.starts_with("SHA256:"))?;
    let fingerprint: Fingerprint = words[at].parse().ok()?;
    let bits = at.checked_sub(1).and_then(|before| words.get(before)).copied().unwrap_or_default();
    let algorithm = match (*words.last()?, bits) {
        ("(ED25519)", _) => Algorithm::Ed25519,
        ("(ECDSA)", "384") => Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        ("(ECDSA)", "521") => Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
        ("(ECDSA)", _) => Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        ("(RSA)", _) => Algorithm::Rsa { hash: None },
        _ => return None,
    };
    Some(HostKey { algorithm, fingerprint })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINT: &str = "SHA256:0HnS5x1OC7NUVW7yXPUKMGsEqChi2e7280fACr53NQM";
    const WHOLE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGj980ZLPICv9lDxzH8Jo+lI7GNGGDv2U3u4rbUrDLjA";

    fn shown(keys: &[HostKey]) -> Vec<String> {
        keys.iter().map(|key| format!("{} {}", key.algorithm, key.fingerprint)).collect()
    }

    #[test]
    fn both_blocks_are_read_through_prefixes_and_noise() {
        let output = format!(
            "[    1.0] Linux version\r\n\
             <14>Mar 27 00:47:41 ec2: #############\r\n\
             <14>Mar 27 00:47:41 ec2: -----BEGIN SSH HOST KEY FINGERPRINTS-----\r\n\
             <14>Mar 27 00:47:41 ec2: 521 SHA256:R4RMZ6Kk2Bh0cNDWKMdB9KRyKRkDmkQ6LZ9VFdRrCoo root@ip-10-0-0-1 (ECDSA)\r\n\
             [    9.3] random: crng init done\r\n\
             <14>Mar 27 00:47:41 ec2: 256 {PRINT} no comment (ED25519)\r\n\
             <14>Mar 27 00:47:41 ec2: -----END SSH HOST KEY FINGERPRINTS-----\r\n\
             -----BEGIN SSH HOST KEY KEYS-----\r\n{WHOLE} root@ip\r\n-----END SSH HOST KEY KEYS-----\r\nlogin:"
        );
        assert_eq!(
            shown(&host_keys(&output)),
            [
                format!("ssh-ed25519 {PRINT}"),
                "ecdsa-sha2-nistp521 SHA256:R4RMZ6Kk2Bh0cNDWKMdB9KRyKRkDmkQ6LZ9VFdRrCoo".to_owned()
            ]
        );
    }

    #[test]
    fn an_unfinished_block_is_none_yet() {
        assert!(host_keys("").is_empty());
        assert!(host_keys(&format!("-----BEGIN SSH HOST KEY KEYS-----\n{WHOLE}\n")).is_empty());
        assert!(host_keys(&format!("{WHOLE}\n-----END SSH HOST KEY KEYS-----\n")).is_empty());
        assert!(host_keys(&format!("256 {PRINT} x (ED25519)\n")).is_empty(), "a print outside a block is only text");
    }

    #[test]
    fn the_last_block_counts_and_rubbish_in_it_does_not() {
        let first = "-----BEGIN SSH HOST KEY FINGERPRINTS-----\n256 SHA256:R4RMZ6Kk2Bh0cNDWKMdB9KRyKRkDmkQ6LZ9VFdRrCoo a (RSA)\n-----END SSH HOST KEY FINGERPRINTS-----\n";
        let last = format!(
            "-----BEGIN SSH HOST KEY FINGERPRINTS-----\n256 SHA256:short x (RSA)\nSHA256:\n2048 MD5:00 x (RSA)\n{PRINT} (RSA)\n-----END SSH HOST KEY FINGERPRINTS-----"
        );
        assert_eq!(shown(&host_keys(&format!("{first}{last}"))), [format!("ssh-rsa {PRINT}")]);
    }
}
