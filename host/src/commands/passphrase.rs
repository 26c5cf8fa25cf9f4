//! Passphrases: from a file, or from whoever sits at the terminal. Never from an argument, which every process of the machine can read.

use std::path::Path;

use anyhow::{Context, bail};
use zeroize::Zeroizing;

use crate::files;

/// The longest file of a passphrase, in bytes.
const MOST: u64 = 4 << 10;

/// That of a key that is made now: asked for twice.
pub(super) fn new(file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    let passphrase = match file {
        Some(file) => read(file)?,
        None => {
            let (first, again) = (ask("Passphrase of the new key: ")?, ask("The same again: ")?);
            if first != again {
                bail!("these are two different passphrases: nothing was written");
            }
            first
        }
    };
    if passphrase.is_empty() {
        bail!("an empty passphrase guards nothing: give one, or say --unencrypted");
    }
    Ok(passphrase)
}

/// That of a key that there is.
pub(super) fn of(key: &Path, file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    file.map_or_else(|| ask(&format!("Passphrase of {}: ", key.display())), read)
}

/// The first line of a file.
fn read(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text =
        files::read_text(file, MOST).with_context(|| format!("cannot read the passphrase in {}", file.display()))?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn ask(prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    let asked = rpassword::prompt_password(prompt).map(Zeroizing::new);
    asked.context("there is no terminal to ask for a passphrase: give it with --passphrase-file FILE")
}
