//! A known_hosts file whose host names are instance ids. Pure.
//!
//! The format is that of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT": plain, hashed and wildcard names, `[name]:port`,
//! negations, `@cert-authority` and `@revoked`. A line that does not name the instance is not read any further.

use hmac::{Hmac, KeyInit as _, Mac as _};
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::ssh_key::public::KeyData;
use sha1::Sha1;

use crate::ports::InstanceId;

/// What a file says about one instance.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its host keys.
    pub(crate) keys: Vec<KeyData>,
    /// Authorities whose host certificates it may present.
    pub(crate) authorities: Vec<KeyData>,
    /// Keys, of hosts or of authorities, that are never accepted.
    pub(crate) revoked: Vec<KeyData>,
}

/// Reads what `text` says about `instance` on `port`; an error is a line that names the instance and makes no sense.
pub(crate) fn read(text: &str, instance: &InstanceId, port: u16) -> Result<Known, String> {
    let mut known = Known::default();
    let names = [instance.as_str().to_owned(), format!("[{instance}]:{port}")];
    for (number, line) in (1..).zip(text.lines()) {
        let mut fields = line.split_whitespace();
        let Some(first) = fields.next().filter(|field| !field.starts_with('#')) else { continue };
        let (marker, hosts) = match first.strip_prefix('@') {
            Some(_) => (Some(first), fields.next().unwrap_or_default()),
            None => (None, first),
        };
        let Ok(patterns) = hosts.parse::<HostPatterns>() else { continue };
        if !matches(&patterns, &names) {
            continue;
        }
        let fields: Vec<&str> = marker.into_iter().chain([hosts]).chain(fields.take(2)).collect();
        let entry: Entry = fields.join(" ").parse().map_err(|_| {
            format!("line {number} names {instance} and is not of the form [@MARKER] NAMES KEY-TYPE BASE64-KEY")
        })?;
        let list = match entry.marker() {
            None => &mut known.keys,
            Some(Marker::CertAuthority) => &mut known.authorities,
            Some(Marker::Revoked) => &mut known.revoked,
        };
        list.push(entry.public_key().key_data().clone());
    }
    Ok(known)
}

/// Whether a line is about somebody of these names; a negation of any of them settles it.
fn matches(patterns: &HostPatterns, names: &[String]) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => names.iter().any(|name| {
            Hmac::<Sha1>::new_from_slice(salt)
                .is_ok_and(|hmac| hmac.chain_update(name.as_bytes()).verify_slice(hash).is_ok())
        }),
        HostPatterns::Patterns(patterns) => {
            let named = |pattern: &str| names.iter().any(|name| wildcard(pattern.as_bytes(), name.as_bytes()));
            !patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(named)
                && patterns.iter().any(|pattern| named(pattern))
        }
    }
}

/// Whether `pattern` matches all of `name`, with `*` for any run of characters and `?` for one.
fn wildcard(pattern: &[u8], name: &[u8]) -> bool {
    // Where the last star is, and how much of the name it has swallowed so far.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, swallowed)) => {
                    star = Some((at, swallowed + 1));
                    p = at + 1;
                    n = swallowed + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use russh::keys::PublicKey;

    use super::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGj980ZLPICv9lDxzH8Jo+lI7GNGGDv2U3u4rbUrDLjA";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEQEBzHORxom/9DQ7iLW0M93JX9ak01W/nJE4Z/rKHxx";

    fn key(line: &str) -> KeyData {
        PublicKey::from_openssh(line).unwrap().key_data().clone()
    }

    fn read(text: &str, port: u16) -> Result<Known, String> {
        super::read(text, &InstanceId::parse("i-0123456789abcdef0").unwrap(), port)
    }

    #[test]
    fn a_key_is_found_by_the_instance_id() {
        let text = format!("# ours\n\ni-0aaaaaaaaaaaaaaa0 {B}\n  i-12345678,i-0123456789abcdef0\t{A} root@node\n");
        assert_eq!(read(&text, 22), Ok(Known { keys: vec![key(A)], ..Known::default() }));
    }

    #[test]
    fn a_hashed_name_is_found() {
        // Made with ssh-keygen -H from `i-0123456789abcdef0` and `[i-0123456789abcdef0]:2222`.
        let text = format!(
            "|1|faryw+tbY2BjvjKvQkmLHzhSswo=|SiTdHtaxhY2T6TYUzSQBQs6uL9Q= {A}\n\
             |1|01alZMwa2u/ZEuB+KEjHgzwf4hI=|b1FCQnNR6y+EExF7xhgpeaxMGHg= {B}\n"
        );
        assert_eq!(read(&text, 22).unwrap().keys, [key(A)]);
        assert_eq!(read(&text, 2222).unwrap().keys, [key(A), key(B)]);
        assert_eq!(super::read(&text, &InstanceId::parse("i-12345678").unwrap(), 22), Ok(Known::default()));
    }

    #[test]
    fn wildcards_negations_and_ports_are_honoured() {
        for (hosts, port, found) in [
            ("i-*", 22, true),
            ("i-0123456789abcde??", 22, true),
            ("i-0123456789abcde?", 22, false),
            ("*", 22, true),
            ("i-*,!i-0123456789abcdef0", 22, false),
            ("!i-0123456789abcdef0,*", 22, false),
            ("[i-0123456789abcdef0]:2222", 22, false),
            ("[i-0123456789abcdef0]:2222", 2222, true),
            ("10.0.0.1", 22, false),
        ] {
            assert_eq!(!read(&format!("{hosts} {A}"), port).unwrap().keys.is_empty(), found, "{hosts} on port {port}");
        }
    }

    #[test]
    fn markers_say_what_a_key_is_for() {
        let known = read(&format!("@cert-authority i-* {A}\n@revoked * {B}\n"), 22);
        assert_eq!(known, Ok(Known { keys: vec![], authorities: vec![key(A)], revoked: vec![key(B)] }));
    }

    #[test]
    fn a_line_about_us_that_makes_no_sense_is_an_error_and_others_are_not() {
        for bad in
            ["i-0123456789abcdef0 ssh-ed25519", "i-0123456789abcdef0 ssh-ed25519 %%%", "@unknown i-* ssh-rsa AAAA"]
        {
            let error = read(&format!("i-12345678 rubbish\n\n{bad}"), 22).unwrap_err();
            assert!(error.starts_with("line 3 names i-0123456789abcdef0 and is not of the form"), "{error}");
        }
        assert_eq!(read("i-12345678 rubbish\n@\n|1|x\nalone\n", 22), Ok(Known::default()));
    }
}
