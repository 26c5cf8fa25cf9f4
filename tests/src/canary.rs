//! Secrets that a test plants, to look for them in everything that is written.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// How much is shown of a line in which a secret is.
const BEGINNING: usize = 300;

/// A secret that is planted, in each form in which it might come out.
#[derive(Debug)]
pub struct Canary {
    name: &'static str,
    forms: Vec<Vec<u8>>,
}

impl Canary {
    /// Called `name` where it is found.
    pub fn new(name: &'static str, secret: &[u8]) -> Self {
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let list: Vec<_> = secret.iter().map(u8::to_string).collect();
        let texts = [hex.to_uppercase(), hex, list.join(", "), list.join(",")].into_iter().chain(in_base64(secret));
        let forms = texts.map(String::into_bytes).chain([secret.to_vec()]).collect();
        Self { name, forms }
    }

    /// A private key, in OpenSSH's form: what is in the file, line by line, and what is in the key.
    pub fn of_key(name: &'static str, private: &str, public: &str) -> Vec<Self> {
        let body: Vec<_> = private.lines().filter(|line| !line.starts_with("-----")).collect();
        let decoded = BASE64.decode(body.concat()).expect("a private key is base64");
        let public = BASE64.decode(public.split(' ').nth(1).unwrap_or_default()).expect("a public key is base64");
        let public = &public[public.len() - 32..];
        // The seed stands before the public key, where that stands last.
        let at =
            decoded.windows(32).rposition(|window| window == public).expect("the private key holds the public one");
        // The lines before hold the public key alone.
        let secret = &body[body.len() / 2..];
        let lines = secret.iter().filter(|line| line.len() > 30).map(|line| Self::new(name, line.as_bytes()));
        lines.chain([Self::new(name, &decoded[at - 32..at])]).collect()
    }

    /// Whether it is in there, in any form.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == form))
    }
}

/// What is in base64, of either alphabet, wherever `secret` is in what it encodes, at whatever place.
fn in_base64(secret: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let encoded = BASE64.encode([&vec![0; before], secret].concat());
        let encoded = encoded.trim_end_matches('=');
        // The digits at its ends hold bits of what is beside it.
        let begins = (before * 8).div_ceil(6);
        let ends = (before + secret.len()) * 8 / 6;
        let form = encoded[begins..ends].to_owned();
        forms.extend([form.replace('+', "-").replace('/', "_"), form]);
    }
    forms
}

/// The files below a folder, with what they hold.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("the folder can be read").map(|entry| entry.expect("an entry").path());
    let below = |path: std::path::PathBuf| {
        if path.is_dir() {
            files(&path)
        } else {
            let read = match fs::read(&path) {
                // It has got its name meanwhile, and is read under that.
                Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
                read => read.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            };
            vec![(path.display().to_string(), read)]
        }
    };
    entries.flat_map(below).collect()
}

/// Panics with where a canary is, if it is in any of what was written: each with a name.
pub fn assert_in_none(canaries: &[Canary], written: &[(String, Vec<u8>)]) {
    assert!(!canaries.is_empty() && !written.is_empty(), "there is nothing to look for, or nowhere");
    for canary in canaries {
        if let Some((file, bytes)) = written.iter().find(|(_, bytes)| canary.is_in(bytes)) {
            let line = bytes.split(|byte| *byte == b'\n').find(|line| canary.is_in(line)).unwrap_or(bytes);
            let begins: String = String::from_utf8_lossy(line).chars().take(BEGINNING).collect();
            panic!("{} is in {file}, in the line: {begins}", canary.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE as BASE64_URL;

    use super::*;

    #[test]
    fn a_canary_is_found_in_whatever_form_it_comes() {
        let canary = Canary::new("a secret", b"s3cret");
        for text in
            ["..s3cret..", "[115, 51, 99, 114, 101, 116]", "7333637265 733363726574", "733363726574", "czNjcmV0"]
        {
            assert!(canary.is_in(text.as_bytes()), "{text}");
        }
        assert!(!canary.is_in(b"s3cre"));
        for before in ["", "a", "ab", "abc", "abcd"] {
            for after in ["", "z", "zz", "zzz"] {
                let text = BASE64.encode(format!("{before}s3cret{after}"));
                assert!(canary.is_in(text.as_bytes()), "{before}, {after}: {text}");
            }
        }
        let slashes = Canary::new("a secret", &[0xff; 8]);
        assert!(
            slashes.is_in(BASE64_URL.encode([0xff; 8]).as_bytes())
                && slashes.is_in(BASE64.encode([0xff; 8]).as_bytes())
        );
    }
}
