//! `hostler sign`: says that a plugin is what its author has built, under which name and in which version.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::module_file::ModuleFile;
use super::passphrase;
use super::verify::named;
use crate::files;
use crate::modules::signing::SecretKey;
use crate::modules::{Surface, Version};
use crate::policy::module_name;
use crate::shell::typed;

/// Signs a plugin, so that hosts whose policy trusts the key take it, and says how it is uploaded.
///
/// The signature goes to FILE.wasm.minisig, as minisign would write it. In S3 it is part of the object's metadata: with the plugin it
/// becomes another at once. A host takes nothing older than what it has taken before: by --version, or else by the time of signing.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes:\n  0  the plugin is signed\n  1  it is not, and nothing was written")]
pub struct Arguments {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    pub file: PathBuf,
    /// The secret key, from `hostler keygen` or from minisign
    #[arg(short, long, value_name = "FILE", default_value = "hostler.key")]
    pub secret_key: PathBuf,
    /// What it is signed as: the `module` of a handler, with its folder. Else the file's name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Its version: one to four numbers with dots between them, such as 1.4.2. Else the time in seconds, which is higher than those
    #[arg(long, value_name = "VERSION")]
    pub version: Option<Version>,
    /// A file with the passphrase of the key, instead of being asked for it
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// The largest secret key, in bytes.
const KEY_BYTES: u64 = 4 << 10;

/// The most that S3 takes as metadata of an object is 2 KiB, with the keys; other metadata is to have room too.
const METADATA_BYTES: usize = 1536;

impl Arguments {
    /// Runs the command.
    pub fn run(&self) -> ExitCode {
        super::said(&self.sign())
    }

    fn sign(&self) -> anyhow::Result<String> {
        let file = ModuleFile::read(&self.file)?;
        let name = self.name.as_ref().unwrap_or(&file.module);
        module_name(name).map_err(|why| anyhow!("{why}; give the handler's `module` with --name"))?;
        // Whether a host can serve it is for the host to say, which may be a newer one.
        Surface::read(&file.bytes).map_err(|refusal| anyhow!("{} {refusal}", self.file.display()))?;
        let (key, now) = (self.key()?, Timestamp::now());
        let signature = key.sign(&file.bytes, name, self.version.as_ref(), now)?;
        let metadata = BASE64.encode(&signature);
        ensure!(
            metadata.len() <= METADATA_BYTES,
            "the signature has {} bytes as metadata of an object, and S3 has room for {METADATA_BYTES}: sign it with a shorter --name or --version",
            metadata.len()
        );
        let beside = self.file.with_added_extension("minisig");
        let replaced = if beside.exists() { ", in place of the signature that was there" } else { "" };
        super::write(&beside, signature.as_bytes())?;
        let version = match &self.version {
            Some(version) => version.to_string(),
            None => format!("{}, which is the time", now.as_second()),
        };
        Ok(format!(
            "{}  signed by key {} as {name}, version {version}{replaced}\n\nTo upload both at once, with your bucket and the prefix of the policy's source:\n\n  \
             aws s3 cp {} s3://BUCKET/PREFIX/{} \\\n    --metadata minisig={metadata}\n",
            beside.display(),
            key.id(),
            typed(&self.file.to_string_lossy()),
            typed(name),
        ))
    }

    fn key(&self) -> anyhow::Result<SecretKey> {
        let path = &self.secret_key;
        let shown = || format!("cannot use the secret key in {}", named(path));
        let text = files::read_text(path, KEY_BYTES)
            .with_context(|| format!("cannot read the secret key in {}; `hostler keygen` makes one", named(path)))?;
        let text = Zeroizing::new(text);
        if !SecretKey::is_encrypted(&text).with_context(shown)? {
            return SecretKey::read(&text, None).with_context(shown);
        }
        let passphrase = passphrase::of(path, self.passphrase_file.as_deref())?;
        SecretKey::read(&text, Some(&passphrase)).with_context(shown)
    }
}
