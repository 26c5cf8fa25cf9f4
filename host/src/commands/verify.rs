//! `hostler verify`: who has signed a plugin, as what, and would a host take it for that?

mod uploaded;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{ArgGroup, Args};

use self::uploaded::Object;
use super::module_file::ModuleFile;
use super::pinned::Pinned;
use super::policy::read_policy;
use crate::assemble;
use crate::digest::sha256;
use crate::files::{self, ReadError};
use crate::modules::signature::{SIGNATURE_BYTES, Signers, is_public_key};
use crate::policy::{Policy, Trust};

/// Looks at the signature of a plugin, as a host does before it takes it.
///
/// It is that in FILE.wasm.minisig, made by `hostler sign` or by minisign; of an object in S3 that in its metadata, read with the
/// credentials at hand (s3:GetObject). What is trusted is what a policy trusts, or one key. Whether hosts have taken it is told by `hostler status --plugins`.
#[derive(Debug, Args)]
#[command(after_help = HELP, group(ArgGroup::new("trust").required(true).args(["policy", "key"])))]
pub struct Arguments {
    /// The component, or where it was uploaded: s3://BUCKET/KEY
    #[arg(value_name = "FILE.wasm")]
    pub file: PathBuf,
    /// Look at this version of the object, which need not be the newest
    #[arg(long, value_name = "ID")]
    pub version_id: Option<String>,
    /// The policy that says who is trusted
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The public key that is trusted: RW…, or the file that it is in
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// What it has to be signed as. Else the `module` of the policy's handler that uses it, or the file's name; of an object what is
    /// behind the policy's source
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

const HELP: &str = "\
Exit codes:
  0  it is signed by somebody who is trusted, as what it is; or it need not be signed
  1  it is not
  2  the file or the object cannot be read, or the policy has mistakes";

/// What is looked at.
struct Subject {
    /// Where it is, for people.
    shown: String,
    /// What it has to be signed as.
    name: String,
    bytes: Vec<u8>,
    signature: Option<String>,
}

/// The largest file of a public key, in bytes.
const KEY_BYTES: u64 = 4 << 10;

impl Arguments {
    /// Runs the command and returns its exit code. What it has to say goes to `out`.
    pub fn run(&self, out: &mut dyn Write) -> io::Result<u8> {
        match self.look(out) {
            Ok(code) => Ok(code),
            Err(error) => {
                writeln!(out, "{}", crate::telemetry::visible_lines(&format!("{error:#}")))?;
                Ok(super::check::BAD_INPUT)
            }
        }
    }

    fn look(&self, out: &mut dyn Write) -> anyhow::Result<u8> {
        let policy = self.policy.as_deref().map(read_policy).transpose()?;
        let subject = self.subject(policy.as_ref())?;
        let trust = match &policy {
            Some(policy) => policy.modules.trust.clone(),
            None => Trust { keys: vec![self.trusted()?], ..Trust::default() },
        };
        let Subject { shown, name, bytes, signature } = &subject;
        match Signers::new(&trust).verify(name, bytes, signature.as_deref()) {
            Ok(Some(signed)) => {
                writeln!(out, "{shown} is signed by key {} as {name}, version {}", signed.by, signed.version)?
            }
            Ok(None) => writeln!(out, "{shown} need not be signed: the policy says allow-unsigned = true")?,
            Err(refusal) => {
                writeln!(out, "{shown} {refusal}")?;
                return Ok(super::check::MISFIT);
            }
        }
        if let Some(policy) = &policy {
            let named = policy.handlers.iter().filter(|handler| handler.module == *name).collect::<Vec<_>>();
            if named.is_empty() {
                writeln!(out, "note: no handler of the policy uses {name}")?;
            }
            let digest = sha256(bytes);
            for handler in named {
                if let Some(pinned) = Pinned::of(handler, &digest) {
                    writeln!(out, "note: handler {:?} {pinned}", handler.name)?;
                }
            }
        }
        Ok(super::check::FITS)
    }

    fn subject(&self, policy: Option<&Policy>) -> anyhow::Result<Subject> {
        if let Some(object) = Object::named(&self.file)? {
            crate::telemetry::human();
            return super::runtime().block_on(async {
                let source = assemble::modules_alone(&object.folder).await?;
                object.read(&*source, self.version_id.as_deref(), policy, self.name.as_deref()).await
            });
        }
        ensure!(
            self.version_id.is_none(),
            "--version-id is for an object, and files have no versions: give s3://BUCKET/KEY"
        );
        let file = ModuleFile::read(&self.file)?;
        let users = policy.map(|policy| file.users(policy)).unwrap_or_default();
        let name = self.name.clone().unwrap_or_else(|| file.name(&users).to_owned());
        let signature = beside(&self.file)?;
        Ok(Subject { shown: self.file.display().to_string(), name, bytes: file.bytes, signature })
    }

    /// The key that `--key` names, as a policy would.
    fn trusted(&self) -> anyhow::Result<String> {
        let Some(key) = &self.key else { bail!("say who is trusted: --policy FILE or --key KEY") };
        if is_public_key(key) {
            return Ok(key.clone());
        }
        let key = Path::new(key);
        let text = files::read_text(key, KEY_BYTES);
        let text = text.with_context(|| {
            format!("{} is neither a public key, which begins with RW, nor a file that can be read", named(key))
        })?;
        let line = text.lines().nth(1).map(str::trim_end).filter(|line| is_public_key(line));
        line.map(str::to_owned).with_context(|| {
            format!("there is no public key of minisign's in {}: `hostler keygen` writes it to NAME.pub", named(key))
        })
    }
}

/// How many characters of base64 in a row are no part of a path: as many as a public key has.
const KEY_CHARS: usize = 56;

/// What an argument that names the file of a key is called in an error: by its name, unless somebody has given the key itself, which may be
/// the secret one.
pub(super) fn named(file: &Path) -> String {
    let text = file.to_string_lossy();
    let of_a_key = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    if text.split(|c| !of_a_key(c)).any(|run| run.len() >= KEY_CHARS) {
        "what is given for a file (not shown: it may be a secret key)".to_owned()
    } else {
        text.into_owned()
    }
}

/// The signature beside a module; none if there is none.
pub(super) fn beside(module: &Path) -> anyhow::Result<Option<String>> {
    let path = module.with_added_extension("minisig");
    match files::read_text(&path, SIGNATURE_BYTES) {
        Ok(text) => Ok(Some(text)),
        Err(ReadError::System(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read the signature in {}", path.display())),
    }
}
