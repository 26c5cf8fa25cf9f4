//! `hostler policy`: check a policy, or print the JSON Schema of the format.
//!
//! Also the one place that reads a policy from disk, for every command and door that needs one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::event::Kind;
use crate::files::{self, ReadError};
use crate::modules::signature::{KeyId, key_id};
use crate::policy::{Grants, Handler, Instances, Mistake, Mistakes, Policy, Trust, schema};

/// A larger file is no policy.
const MAX_POLICY_BYTES: u64 = 1 << 20;

/// The policy is sound.
pub const SOUND: u8 = 0;
/// There are mistakes in the policy.
pub const MISTAKEN: u8 = 1;
/// The policy cannot be read.
pub const UNREADABLE: u8 = 2;

/// Where the policy is: an argument that several commands take.
#[derive(Debug, Clone, clap::Args)]
pub struct PolicyFile {
    /// The policy
    #[arg(long = "policy", value_name = "FILE", env = "HOSTLER_POLICY", default_value = "hostler.toml")]
    pub path: PathBuf,
}

impl PolicyFile {
    /// Where the policy is when there are no arguments: in Lambda.
    pub fn of_environment() -> Self {
        Self { path: std::env::var_os("HOSTLER_POLICY").map_or_else(|| "hostler.toml".into(), PathBuf::from) }
    }
}

/// Checks a policy, or prints the JSON Schema of the format
#[derive(Debug, Clone, clap::Subcommand)]
pub enum PolicyCommand {
    /// Reads a policy and explains every mistake in it, or says what it allows
    ///
    /// Exit code: 0 when it is sound, 1 when there are mistakes in it, 2 when it cannot be read.
    Check {
        /// Where the policy is
        #[command(flatten)]
        file: PolicyFile,
        /// Print one JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Prints the JSON Schema of the format, for editors
    Schema,
}

impl PolicyCommand {
    /// Runs the command and returns its exit code. What it has to say goes to `out`, also when it is about mistakes.
    pub fn run(&self, out: &mut dyn Write) -> io::Result<u8> {
        match self {
            Self::Schema => {
                writeln!(out, "{:#}", schema())?;
                Ok(SOUND)
            }
            Self::Check { file, json } => {
                let read = read_policy(&file.path);
                let code = match &read {
                    Ok(_) => SOUND,
                    Err(PolicyError::Mistaken(_)) => MISTAKEN,
                    Err(
                        PolicyError::Unreadable { .. } | PolicyError::TooLarge { .. } | PolicyError::NotText { .. },
                    ) => UNREADABLE,
                };
                let name = file.path.display().to_string();
                if *json {
                    writeln!(out, "{:#}", as_json(&name, &read))?;
                } else {
                    write!(out, "{}", as_text(&name, &read))?;
                }
                Ok(code)
            }
        }
    }
}

/// Why there is no policy to work with. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("cannot read the policy {}: {reason}; say where it is with --policy FILE or HOSTLER_POLICY", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// The file is larger than a policy can be.
    #[error("{} is larger than 1 MiB, which no policy is; say where the policy is with --policy FILE or HOSTLER_POLICY", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not text.
    #[error("{} is not UTF-8 text, which a policy is; say where the policy is with --policy FILE or HOSTLER_POLICY", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The file is a policy with mistakes in it.
    #[error("the policy has mistakes\n{0}")]
    Mistaken(Mistakes),
}

/// Reads the policy at `path`.
pub fn read_policy(path: &Path) -> Result<Policy, PolicyError> {
    let text = files::read_text(path, MAX_POLICY_BYTES).map_err(|error| {
        let path = path.to_owned();
        match error {
            ReadError::System(reason) => PolicyError::Unreadable { path, reason },
            ReadError::TooLarge { .. } => PolicyError::TooLarge { path },
            ReadError::NotText => PolicyError::NotText { path },
        }
    })?;
    Policy::parse(&path.display().to_string(), &text).map_err(PolicyError::Mistaken)
}

fn as_text(name: &str, read: &Result<Policy, PolicyError>) -> String {
    let mut text = String::new();
    match read {
        Ok(policy) => {
            let handlers = counted(policy.handlers.len(), "handler");
            text += &format!("{name}: sound, {handlers}, {}\n", counted(policy.warnings.len(), "warning"));
            text += &format!("\nplugins from {}: {}", policy.modules.source, signers(&policy.modules.trust));
            for (index, handler) in policy.handlers.iter().enumerate() {
                text += &format!("\n{}. {}: {}\n", index + 1, handler.name, handler.module);
                if let Some(pin) = &handler.pin {
                    text += &format!("   runs {pin} alone, whatever is uploaded\n");
                }
                let own = policy.modules.trust.of_modules.get(&handler.module).into_iter().flatten();
                for (index, (id, key)) in named(own).enumerate() {
                    let whose = if index == 0 { "runs only what is signed by" } else { "or by" };
                    text += &format!("   {whose} key {id}  {key}\n");
                }
                text += &format!("   takes {}\n", kinds(handler).join(", "));
                for line in powers(handler) {
                    text += &format!("   {line}\n");
                }
            }
            if !policy.warnings.is_empty() {
                text.push('\n');
            }
            for warning in &policy.warnings {
                // Writing to a string cannot fail.
                let _ = warning.render(&mut text, name, "warning: ");
            }
        }
        Err(PolicyError::Mistaken(mistakes)) => {
            text += &format!("{mistakes}\n{name}: {}\n", counted(mistakes.mistakes.len(), "mistake"));
        }
        Err(error) => text += &format!("{error}\n"),
    }
    text
}

fn as_json(name: &str, read: &Result<Policy, PolicyError>) -> Value {
    let none: &[Mistake] = &[];
    match read {
        Ok(policy) => json!({
            "file": name,
            "sound": true,
            "digest": policy.digest,
            "modules": {
                "source": policy.modules.source.to_string(),
                "trusted-keys": keys(&policy.modules.trust.keys),
                "revoked-keys": keys(&policy.modules.trust.revoked),
                "allow-unsigned": policy.modules.trust.unsigned,
            },
            "handlers": policy.handlers.iter().map(|handler| json!({
                "name": handler.name,
                "module": handler.module,
                "pin": handler.pin,
                "trusted-keys": policy.modules.trust.of_modules.get(&handler.module).map(|of_its_own| keys(of_its_own)),
                "takes": kinds(handler),
                "may": powers(handler),
            })).collect::<Vec<_>>(),
            "mistakes": none,
            "warnings": policy.warnings,
        }),
        Err(PolicyError::Mistaken(mistakes)) => {
            json!({ "file": name, "sound": false, "mistakes": mistakes.mistakes, "warnings": none })
        }
        Err(error) => json!({ "file": name, "sound": false, "error": error.to_string() }),
    }
}

/// A count and what is counted: `2 mistakes`, `no mistakes`.
pub(super) fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// Whose plugins are taken, in words and lines. Keys are called as log lines and `hostler keygen` call them.
fn signers(Trust { keys, of_modules, revoked, unsigned }: &Trust) -> String {
    let mut lines = match (keys.is_empty(), unsigned) {
        // Where nobody is trusted, no signature is looked at.
        (true, true) if of_modules.is_empty() => "anybody's, signed or not\n",
        (true, true) => "anybody's, signed or not, where a handler names no keys\n",
        (true, false) => "signed, as each handler says\n",
        (false, true) => "not signed, or signed by\n",
        (false, false) => "signed by\n",
    }
    .to_owned();
    for (id, key) in named(keys) {
        lines += &format!("   key {id}  {key}\n");
    }
    for (id, key) in named(revoked) {
        lines += &format!("   but not by {id}  {key}, which is revoked\n");
    }
    lines
}

/// Public keys, and what they are called by.
fn named<'k>(keys: impl IntoIterator<Item = &'k String>) -> impl Iterator<Item = (KeyId, &'k String)> {
    keys.into_iter().filter_map(|key| Some((key_id(key)?, key)))
}

/// Public keys, with what they are called by.
fn keys(keys: &[String]) -> Vec<Value> {
    keys.iter().map(|key| json!({ "id": key_id(key).map(|id| id.to_string()), "key": key })).collect()
}

/// The kinds of events that a handler takes, in the words of the contract.
fn kinds(handler: &Handler) -> Vec<&'static str> {
    handler.kinds().into_iter().map(Kind::as_str).collect()
}

/// What a handler may do, in words.
fn powers(handler: &Handler) -> Vec<String> {
    let Grants { ecs, autoscaling, ec2, ssh, .. } = &handler.grants;
    let mut powers = Vec::new();
    if let Some(grant) = ecs {
        let verbs = [(grant.read, "read"), (grant.drain, "drain"), (grant.stop_task, "stop tasks of")];
        powers.push(format!("ecs: may {} {} in clusters {}", list(&verbs), whom(grant.instances), grant.clusters));
    }
    if let Some(grant) = autoscaling {
        let verbs = [(grant.read, "read"), (grant.protect, "protect from scale-in")];
        powers.push(format!("autoscaling: may {} {} in groups {}", list(&verbs), whom(grant.instances), grant.groups));
    }
    if let Some(grant) = ec2 {
        powers.push(format!("ec2: may {} {}", list(&[(grant.read, "read")]), whom(grant.instances)));
    }
    if let Some(grant) = ssh {
        powers.push(format!("ssh: may run, as {}, on {}:", grant.user, whom(grant.instances)));
        powers.extend(grant.commands.iter().map(|command| format!("  {command}")));
    }
    if powers.is_empty() {
        powers.push("may do nothing but log, wait and read its settings".to_owned());
    }
    powers
}

fn list(verbs: &[(bool, &'static str)]) -> String {
    verbs.iter().filter(|(granted, _)| *granted).map(|(_, verb)| *verb).collect::<Vec<_>>().join(", ")
}

fn whom(instances: Instances) -> &'static str {
    match instances {
        Instances::Event => "the event's own instance",
        Instances::Any => "ANY instance",
    }
}

#[cfg(test)]
mod tests;
