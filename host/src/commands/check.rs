//! `hostler check`: would this host run this plugin, under this policy, and with what it asks for?

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::module_file::ModuleFile;
use super::pinned::Pinned;
use super::policy::{PolicyFile, counted, read_policy};
use super::verify;
use crate::digest::sha256;
use crate::modules::signature::Signers;
use crate::modules::{self, Surface};
use crate::policy::{Handler, Lack, Need, Policy, Power};
use crate::sandbox::{Capacity, Pace, Sandbox};

/// Compares a plugin with a policy: is it accepted, which handlers use it, and do they grant what it imports?
///
/// The plugin is checked and compiled as the host does it before the first event; its signature is that in FILE.wasm.minisig. A handler
/// uses it when its `module` is the file's name, or the end of its path, or else ends in the file's name, and when it is not pinned to
/// another. A signature is for one name: where handlers know the file by several, it has to be taken as one of them. What only a call can
/// tell (which clusters, groups, commands and instances) is not judged here.
///
/// A plugin that imports every host function there is, as those of Python and JavaScript do, need not call them all. What it lacks
/// is listed then, and does not fail.
#[derive(Debug, Clone, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    pub file: PathBuf,
    /// Where the policy is
    #[command(flatten)]
    pub policy: PolicyFile,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

const HELP: &str = "\
Exit codes:
  0  everything fits; grants that the plugin has no use for are a note
  1  something does not: the host refuses it, no handler uses it, or one that does lacks a grant
  2  the file or the policy cannot be read, or the policy has mistakes

The JSON object has `file`, `policy`, `module` (the file's name), `fits`, `refused` (why the host refuses it, a list of texts), \
`imports-everything`, `handlers` (those that use it, each with `name`, `module`, `pinned`, `refused`, `missing` and `unused`) and `modules` (all \
that the policy names). A handler's `refused` is why the host does not take the file's signature under its `module`. `pinned` has \
`to` (`sha256` or `version-id`), `digest` (that of the file) and `fits`, which is null where only S3 can tell. Each of `missing` has `call`, `power`, `rule` and `remedy`; each of `unused` has `grant` and `line`. With bad input it has `file`, `policy` \
and `error`.";

/// Everything fits.
pub const FITS: u8 = 0;
/// Something does not.
pub const MISFIT: u8 = 1;
/// There is nothing to compare.
pub const BAD_INPUT: u8 = 2;

/// How a plugin and a policy go together.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Comparison {
    file: String,
    policy: String,
    module: String,
    fits: bool,
    refused: Vec<String>,
    imports_everything: bool,
    handlers: Vec<User>,
    modules: Vec<String>,
}

/// A handler that uses the plugin.
#[derive(Debug, Serialize)]
struct User {
    name: String,
    module: String,
    pinned: Option<Pinned>,
    refused: Vec<String>,
    missing: Vec<Missing>,
    unused: Vec<Unused>,
}

/// A host function that the plugin imports, and the handler may not call.
#[derive(Debug, Serialize)]
struct Missing {
    call: &'static str,
    power: &'static str,
    #[serde(flatten)]
    lack: Lack,
}

/// A grant for host functions that the plugin does not import.
#[derive(Debug, Serialize)]
struct Unused {
    grant: Need,
    line: usize,
}

impl Arguments {
    /// Runs the command and returns its exit code. What it has to say goes to `out`.
    pub fn run(&self, out: &mut dyn Write) -> io::Result<u8> {
        let comparison = match self.compare() {
            Ok(comparison) => comparison,
            Err(error) => {
                let (file, policy) = (self.file.display().to_string(), self.policy.path.display().to_string());
                if self.json {
                    writeln!(out, "{:#}", json!({ "file": file, "policy": policy, "error": format!("{error:#}") }))?;
                } else {
                    writeln!(out, "{error:#}")?;
                }
                return Ok(BAD_INPUT);
            }
        };
        if self.json {
            writeln!(out, "{:#}", json!(comparison))?;
        } else {
            write!(out, "{comparison}")?;
        }
        Ok(if comparison.fits { FITS } else { MISFIT })
    }

    fn compare(&self) -> anyhow::Result<Comparison> {
        let policy = read_policy(&self.policy.path)?;
        let file = ModuleFile::read(&self.file)?;
        let users = file.users(&policy);
        // Of what is no component, nothing can be said but that.
        let surface = Surface::read(&file.bytes).ok();
        let asked: Option<Vec<Power>> =
            surface.map(|surface| surface.calls().filter_map(|call| Power::of(&call)).collect());
        let imports_everything =
            asked.as_ref().is_some_and(|asked| Power::ALL.iter().all(|power| asked.contains(power)));
        let digest = sha256(&file.bytes);
        let (signature, signers) = (verify::beside(&file.path)?, Signers::new(&policy.modules.trust));
        let unsigned = |name: &str| {
            let verdict = signers.verify(name, &file.bytes, signature.as_deref());
            verdict.err().map(|refusal| refusal.reasons).unwrap_or_default()
        };
        let user = |handler: &&Handler| User::of(handler, &digest, asked.as_deref(), unsigned(&handler.module));
        let handlers: Vec<User> = users.iter().map(user).collect();
        let asking: Vec<&User> = handlers.iter().filter(|handler| !handler.excludes()).collect();
        let taking: Vec<&User> = asking.iter().copied().filter(|handler| handler.refused.is_empty()).collect();
        let mut refused = refused(&file, &policy)?;
        if users.is_empty() {
            refused.extend(unsigned(&file.module));
        } else if taking.is_empty() {
            refused.extend(asking.iter().flat_map(|handler| handler.refused.clone()));
            refused.dedup();
        }
        let granted = imports_everything || taking.iter().all(|handler| handler.missing.is_empty());
        let mut modules: Vec<String> = policy.handlers.iter().map(|handler| handler.module.clone()).collect();
        modules.sort();
        modules.dedup();
        Ok(Comparison {
            file: self.file.display().to_string(),
            policy: self.policy.path.display().to_string(),
            module: file.module,
            fits: refused.is_empty() && !taking.is_empty() && granted,
            refused,
            imports_everything,
            handlers,
            modules,
        })
    }
}

/// Why a host with this policy would refuse the file, whoever has signed it: nothing, when it would not.
fn refused(file: &ModuleFile, policy: &Policy) -> anyhow::Result<Vec<String>> {
    let mut reasons: Vec<_> = policy.modules.too_large(file.bytes.len() as u64).into_iter().collect();
    let sandbox = Sandbox::new(Capacity { attempts: 1, memory: policy.most_memory() }, Pace::Virtual)
        .map_err(|error| anyhow::anyhow!("cannot start the sandbox: {error:#}"))?;
    if let Err(refusal) = modules::load(&sandbox, &file.bytes) {
        reasons.extend(refusal.reasons);
    }
    Ok(reasons)
}

impl User {
    /// Whether it is pinned to another.
    fn excludes(&self) -> bool {
        self.pinned.as_ref().is_some_and(Pinned::excludes)
    }

    fn of(handler: &Handler, digest: &str, asked: Option<&[Power]>, refused: Vec<String>) -> Self {
        let (name, module, pinned) = (handler.name.clone(), handler.module.clone(), Pinned::of(handler, digest));
        let Some(asked) = asked else {
            return Self { name, module, pinned, refused, missing: Vec::new(), unused: Vec::new() };
        };
        let missing = asked.iter().filter_map(|power| {
            let lack = handler.grants.lack(*power)?;
            Some(Missing { call: power.call(), power: power.words(), lack })
        });
        let mut unused: Vec<Unused> = Vec::new();
        for power in Power::ALL.into_iter().filter(|power| handler.grants.lack(*power).is_none()) {
            let Some(need) = power.need() else { continue };
            let used = asked.iter().any(|asked| asked.need() == Some(need));
            if let (false, Some(line)) =
                (used || unused.iter().any(|unused| unused.grant == need), handler.grants.line_of(need))
            {
                unused.push(Unused { grant: need, line });
            }
        }
        Self { name, module, pinned, refused, missing: missing.collect(), unused }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = if self.fits { "fits" } else { "does not fit" };
        writeln!(f, "{} {fits} {}", self.file, self.policy)?;
        if !self.refused.is_empty() {
            writeln!(f, "\nthe host refuses it, since it")?;
            self.refused.iter().try_for_each(|reason| writeln!(f, "  {reason}"))?;
        }
        if self.handlers.is_empty() {
            writeln!(f, "\nno handler uses {}", self.module)?;
            let modules = self.modules.join(", ");
            writeln!(
                f,
                "  the policy has {modules}; write module = \"{}\" in a handler, or rename the file",
                self.module
            )?;
        }
        for user in &self.handlers {
            let User { name, module, pinned, refused, missing, unused } = user;
            write!(f, "\nhandler {name:?} ")?;
            match pinned {
                Some(pinned) => write!(f, "{pinned}")?,
                None if *module == self.module => write!(f, "uses it")?,
                None => write!(f, "uses it as {module}")?,
            }
            if user.excludes() {
                writeln!(f)?;
                continue;
            }
            if self.refused.is_empty() && !refused.is_empty() {
                writeln!(f, ", and does not take it so: it {}", refused.join("; it "))?;
                continue;
            }
            match (missing.len(), self.imports_everything) {
                (0, _) if self.refused.is_empty() => writeln!(f, ", and grants all that it imports")?,
                (0, _) => writeln!(f)?,
                (count, false) => writeln!(f, ", and does not grant {}", counted(count, "import"))?,
                (count, true) => writeln!(
                    f,
                    ", and does not grant {}; it imports all there are, so it need not call them",
                    counted(count, "import")
                )?,
            }
            for Missing { call, power, lack } in missing {
                writeln!(f, "  {power} ({call}): {lack}")?;
            }
            for Unused { grant, line } in unused {
                writeln!(f, "  note: it has no use for {grant} (line {line})")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
