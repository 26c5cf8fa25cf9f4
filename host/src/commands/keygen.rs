//! `hostler keygen`: a pair of keys to sign plugins with.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::passphrase;
use crate::modules::signing::NewKeys;

/// Makes a pair of keys to sign plugins with, as minisign has them.
///
/// The secret one stays with whoever signs, and is encrypted with a passphrase that is asked for. The public one goes into the policy
/// of every host that is to take the plugins.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes:\n  0  the keys are made\n  1  they are not, and nothing was written")]
pub struct Arguments {
    /// Where the secret key goes; the public one goes beside it, as FILE with the ending .pub
    #[arg(value_name = "FILE", default_value = "hostler.key")]
    pub secret_key: PathBuf,
    /// A file with the passphrase, instead of being asked for it
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Do not encrypt the secret key: for one that something better guards, such as a build system's secrets
    #[arg(long, conflicts_with = "passphrase_file")]
    pub unencrypted: bool,
}

impl Arguments {
    /// Runs the command.
    pub fn run(&self) -> ExitCode {
        super::said(&self.make())
    }

    fn make(&self) -> anyhow::Result<String> {
        let (secret, public) = (&self.secret_key, self.secret_key.with_extension("pub"));
        if *secret == public {
            bail!(
                "the secret key cannot go to {}: that is where the public one goes; choose another name",
                secret.display()
            );
        }
        for path in [secret, &public] {
            if path.exists() {
                bail!(
                    "{} is there already, and no key is written over: choose another name, or move it away",
                    path.display()
                );
            }
        }
        let passphrase = if self.unencrypted { None } else { Some(passphrase::new(self.passphrase_file.as_deref())?) };
        let keys = NewKeys::make(passphrase.as_ref().map(|passphrase| passphrase.as_str()))?;
        create(secret, &keys.secret, true)?;
        create(&public, &keys.public, false).inspect_err(|_| drop(std::fs::remove_file(secret)))?;
        Ok(format!(
            "{}  the secret key {}: keep it, and show it to nobody\n{}  the public key\n\nIn the policy of the hosts that are to take \
             what it signs:\n\n  [modules]\n  trusted-keys = [\"{}\"]\n",
            secret.display(),
            keys.id,
            public.display(),
            keys.trusted
        ))
    }
}

/// Writes a file that is not there yet; one for nobody else's eyes if it is `secret`.
fn create(path: &Path, text: &str, secret: bool) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if secret { 0o600 } else { 0o644 });
    let written = options.open(path).and_then(|mut file| {
        let whole = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        whole.inspect_err(|_: &io::Error| drop(std::fs::remove_file(path)))
    });
    written.with_context(|| format!("cannot write {}", path.display()))
}
