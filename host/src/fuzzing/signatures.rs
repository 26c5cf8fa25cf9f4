//! What is said to be the signature of a module: a file beside it, or metadata of an object.

use super::parts;
use crate::modules::signature::{Signers, of_metadata};
use crate::policy::Trust;
use crate::telemetry::is_obeyed;

/// The key that is trusted, made for this.
const KEY: &str = "RWQLXmOj9Jv5Dj3Vgn9FzN/kUlPi1qI5pav9xHzhLDN2Fme+cz33QZKJ";

/// What it has signed once, as `m.wasm` and version 1.4.2.
const MODULE: &[u8] = b"a module";

/// The name of a module, and behind `---` its signature.
///
/// It is refused with a reason in words, or it is the one that there is: of that file, and of that version.
pub fn signature(bytes: &[u8]) {
    let (name, signature) = parts(bytes);
    let (name, signature) = (String::from_utf8_lossy(name), String::from_utf8_lossy(signature));
    // A policy names modules in plain letters.
    if name.chars().any(|c| !c.is_ascii_graphic()) {
        return;
    }
    let signers = Signers::new(&Trust { keys: vec![KEY.to_owned()], ..Trust::default() });
    for text in [signature.clone().into_owned(), of_metadata(&signature)] {
        match signers.verify(&name, MODULE, Some(&text)) {
            Ok(signed) => {
                let signed = signed.expect("an unsigned one is refused");
                assert_eq!(signed.by.to_string(), "0EF99BF4A3635E0B");
                assert_eq!((name.as_ref(), signed.version.to_string().as_str()), ("m.wasm", "1.4.2"));
            }
            Err(refusal) => {
                let said = refusal.to_string();
                assert!(!said.is_empty() && !said.contains(is_obeyed), "a terminal would obey it: {said:?}");
            }
        }
        assert!(signers.verify(&name, b"another module", Some(&text)).is_err(), "signed is another module");
    }
}
