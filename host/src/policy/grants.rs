//! `[handler.grants]`: what a handler may do, as the policy writes it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::CommandPattern;
use super::wildcard::Wildcard;

/// What one handler is granted. A missing section grants nothing.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// The line of the policy where `[handler.grants]` stands, or else the handler itself, for denials.
    pub line: usize,
    /// `ecs`.
    pub ecs: Option<EcsGrant>,
    /// `autoscaling`.
    pub autoscaling: Option<AutoScalingGrant>,
    /// `ec2`.
    pub ec2: Option<Ec2Grant>,
    /// `ssh`.
    pub ssh: Option<SshGrant>,
}

/// Which instances a grant reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Instances {
    /// The event's own instance, and nothing else.
    #[default]
    Event,
    /// `instances = "any"`.
    Any,
}

/// `ecs = { clusters, allow, instances }`.
#[derive(Debug, Clone)]
pub struct EcsGrant {
    /// `clusters`: the clusters that exist for this handler.
    pub clusters: Arc<NamePatterns>,
    /// `allow = ["read"]`.
    pub read: bool,
    /// `allow = ["drain"]`.
    pub drain: bool,
    /// `allow = ["stop-task"]`.
    pub stop_task: bool,
    /// `instances`.
    pub instances: Instances,
    /// The line of the policy that grants it, for denials.
    pub line: usize,
}

/// `autoscaling = { groups, allow, instances }`.
#[derive(Debug, Clone)]
pub struct AutoScalingGrant {
    /// `groups`.
    pub groups: NamePatterns,
    /// `allow = ["read"]`.
    pub read: bool,
    /// `allow = ["protect"]`.
    pub protect: bool,
    /// `instances`.
    pub instances: Instances,
    /// The line of the policy that grants it, for denials.
    pub line: usize,
}

/// `ec2 = { allow, instances }`.
#[derive(Debug, Clone)]
pub struct Ec2Grant {
    /// `allow = ["read"]`.
    pub read: bool,
    /// `instances`.
    pub instances: Instances,
    /// The line of the policy that grants it, for denials.
    pub line: usize,
}

/// `ssh = { user, key, host-keys, commands, port, connect-timeout, command-timeout, max-output, loopback, instances }`.
#[derive(Debug, Clone)]
pub struct SshGrant {
    /// `user`: who to log in as.
    pub user: String,
    /// `key`: where our key comes from.
    pub key: ClientKey,
    /// `host-keys`: how the node proves itself.
    pub host_keys: HostKeys,
    /// `commands`: what may run.
    pub commands: Vec<CommandPattern>,
    /// `port`: 22 unless said otherwise.
    pub port: u16,
    /// `connect-timeout`: for connecting and authenticating.
    pub connect_timeout: Duration,
    /// `command-timeout`: the longest a command may run.
    pub command_timeout: Duration,
    /// `max-output`: how much of each stream is kept, in bytes.
    pub max_output: usize,
    /// `loopback`: whether the machine that Hostler runs on passes for a node.
    pub loopback: bool,
    /// `instances`.
    pub instances: Instances,
    /// The line of the policy that grants it, for denials.
    pub line: usize,
}

/// Where the client's private key comes from: `file:PATH`, `env:NAME`, `secretsmanager:NAME-OR-ARN` or `instance-connect`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^(file:.+|env:[A-Za-z_][A-Za-z0-9_]*|secretsmanager:.+|instance-connect)$"))]
pub enum ClientKey {
    /// `file:PATH`, read at each use so that a rotated key is taken.
    File(PathBuf),
    /// `env:NAME`.
    Env(String),
    /// `secretsmanager:NAME-OR-ARN`, the secret string being the key.
    SecretsManager(String),
    /// `instance-connect`: a fresh key, pushed for the moment through EC2 Instance Connect.
    InstanceConnect,
}

impl TryFrom<String> for ClientKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let env_name = |name: &str| {
            !name.starts_with(|char: char| char.is_ascii_digit())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        match form(&text) {
            ("file", Some(path)) => Ok(Self::File(path.into())),
            ("env", Some(name)) if env_name(name) => Ok(Self::Env(name.to_owned())),
            ("secretsmanager", Some(secret)) => Ok(Self::SecretsManager(secret.to_owned())),
            ("instance-connect", None) => Ok(Self::InstanceConnect),
            _ if text.contains("PRIVATE KEY") => {
                Err("a private key does not belong in the policy: write where it is, such as \"file:/run/keys/node\""
                    .to_owned())
            }
            _ => Err(format!(
                "{text:?} is not a place for a key: write \"file:PATH\", \"env:NAME\", \"secretsmanager:NAME-OR-ARN\" or \"instance-connect\""
            )),
        }
    }
}

impl fmt::Display for ClientKey {
    /// As the policy writes it: where the key comes from, never what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
            Self::SecretsManager(id) => write!(f, "secretsmanager:{id}"),
            Self::InstanceConnect => f.write_str("instance-connect"),
        }
    }
}

/// How a node proves that it is the instance it should be: `ca:PATH`, `known-hosts:PATH`, `console` or `insecure-accept-any`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^(ca:.+|known-hosts:.+|console|insecure-accept-any)$"))]
pub enum HostKeys {
    /// `ca:PATH`: host certificates signed by a CA whose public key is in the file.
    Ca(PathBuf),
    /// `known-hosts:PATH`: a known_hosts file whose host names are instance ids.
    KnownHosts(PathBuf),
    /// `console`: the fingerprints that cloud-init prints to the instance's console.
    Console,
    /// `insecure-accept-any`: no proof at all; warned about each time.
    InsecureAcceptAny,
}

impl TryFrom<String> for HostKeys {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match form(&text) {
            ("ca", Some(path)) => Ok(Self::Ca(path.into())),
            ("known-hosts", Some(path)) => Ok(Self::KnownHosts(path.into())),
            ("console", None) => Ok(Self::Console),
            ("insecure-accept-any", None) => Ok(Self::InsecureAcceptAny),
            _ => Err(format!(
                "{text:?} is no way to know a host: write \"ca:PATH\" (recommended), \"known-hosts:PATH\", \"console\" or \"insecure-accept-any\""
            )),
        }
    }
}

/// `WORD:REST` or `WORD`; an empty rest, or one with control characters in it, is no form at all.
fn form(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((_, rest)) if rest.is_empty() || rest.contains(char::is_control) => ("", None),
        Some((word, rest)) => (word, Some(rest)),
        None => (text, None),
    }
}

/// A list of names, each literal or with `*` for any run of characters.
#[derive(Debug, Clone)]
pub struct NamePatterns {
    /// As the policy writes them, in order.
    written: Vec<String>,
    wildcards: Vec<Wildcard>,
}

impl NamePatterns {
    /// Reads the patterns, or says which is not one.
    pub fn new(written: Vec<String>) -> Result<Self, String> {
        if written.is_empty() {
            return Err("an empty list matches nothing: name at least one, or write \"*\" for all".to_owned());
        }
        if written.iter().any(String::is_empty) {
            return Err("an empty name matches nothing: write \"*\" for all".to_owned());
        }
        let wildcards = written.iter().map(|pattern| Wildcard::name(pattern)).collect();
        Ok(Self { written, wildcards })
    }

    /// Whether one of the patterns matches all of `name`.
    pub fn matches(&self, name: &str) -> bool {
        self.wildcards.iter().any(|wildcard| wildcard.matches(name))
    }

    /// The patterns that are plain names, in order.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(String::as_str).filter(|pattern| !pattern.contains('*'))
    }

    /// A name that the first pattern matches, with `sim` in place of each `*`: for a world made up around a policy.
    pub fn example(&self) -> Option<String> {
        self.written.first().map(|pattern| pattern.replace('*', "sim"))
    }

    /// Whether every pattern is a plain name, so that nothing has to be listed to find the matching ones.
    pub fn all_literal(&self) -> bool {
        self.written.iter().all(|pattern| !pattern.contains('*'))
    }
}

impl fmt::Display for NamePatterns {
    /// As the policy writes them: `"nuproj-*", "batch"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, &self.written)
    }
}

/// Writes quoted texts with commas between them, as TOML does.
pub(super) fn write_list(f: &mut dyn fmt::Write, items: impl IntoIterator<Item = impl AsRef<str>>) -> fmt::Result {
    items.into_iter().enumerate().try_for_each(|(index, item)| {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{:?}", item.as_ref())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn names_match_whole_and_only_the_star_is_special() {
        let patterns = NamePatterns::new(words("nuproj-* batch a?[b]{c}")).unwrap();
        for name in ["nuproj-", "nuproj-prod", "batch", "a?[b]{c}"] {
            assert!(patterns.matches(name), "{name}");
        }
        for name in ["", "nuproj", "my-nuproj-prod", "batch2", "axb"] {
            assert!(!patterns.matches(name), "{name}");
        }
        assert_eq!(patterns.literals().collect::<Vec<_>>(), ["batch", "a?[b]{c}"]);
        assert!(!patterns.all_literal());
        assert!(NamePatterns::new(vec![]).is_err() && NamePatterns::new(vec![String::new()]).is_err());
    }

    #[test]
    fn keys_have_the_forms_the_policy_names() {
        let key = |text: &str| ClientKey::try_from(text.to_owned());
        assert_eq!(key("file:/run/keys/node"), Ok(ClientKey::File("/run/keys/node".into())));
        assert_eq!(key("env:SSH_KEY"), Ok(ClientKey::Env("SSH_KEY".to_owned())));
        let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:node";
        assert_eq!(key(&format!("secretsmanager:{arn}")), Ok(ClientKey::SecretsManager(arn.to_owned())));
        assert_eq!(key("instance-connect"), Ok(ClientKey::InstanceConnect));
        for bad in ["", "file:", "env:1X", "env:A B", "instance-connect:x", "/run/keys/node", "file:a\nb"] {
            assert!(key(bad).is_err(), "{bad:?} passed for a key");
        }
        insta::assert_snapshot!(key("/run/keys/node").unwrap_err(), @r#""/run/keys/node" is not a place for a key: write "file:PATH", "env:NAME", "secretsmanager:NAME-OR-ARN" or "instance-connect""#);
        let pasted = key("-----BEGIN OPENSSH PRIVATE KEY-----\nsecret").unwrap_err();
        assert!(!pasted.contains("secret"), "{pasted}");
    }

    #[test]
    fn host_keys_have_the_forms_the_policy_names() {
        let host_keys = |text: &str| HostKeys::try_from(text.to_owned());
        assert_eq!(host_keys("ca:/etc/ca.pub"), Ok(HostKeys::Ca("/etc/ca.pub".into())));
        assert_eq!(host_keys("known-hosts:hosts"), Ok(HostKeys::KnownHosts("hosts".into())));
        assert_eq!(host_keys("console"), Ok(HostKeys::Console));
        assert_eq!(host_keys("insecure-accept-any"), Ok(HostKeys::InsecureAcceptAny));
        insta::assert_snapshot!(host_keys("accept").unwrap_err(), @r#""accept" is no way to know a host: write "ca:PATH" (recommended), "known-hosts:PATH", "console" or "insecure-accept-any""#);
    }
}
