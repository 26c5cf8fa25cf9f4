//! `[handler.grants]`: what a handler may do, as the policy writes it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What one handler is granted. A missing section grants nothing.
#[derive(Debug, Clone, Default)]
pub struct Grants {
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

/// `ssh = { user, key, host-keys, commands, port, connect-timeout, command-timeout, max-output, instances }`.
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
    /// `instances`.
    pub instances: Instances,
    /// The line of the policy that grants it, for denials.
    pub line: usize,
}

/// Where the client's private key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// How a node proves that it is the instance it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// A list of names, each literal or with `*` for any run of characters.
#[derive(Debug, Clone)]
pub struct NamePatterns {
    /// As the policy writes them, in order.
    written: Vec<String>,
}

impl NamePatterns {
    /// Reads the patterns, or says which is not one.
    pub fn new(written: Vec<String>) -> Result<Self, String> {
        Ok(Self { written })
    }

    /// Whether one of the patterns matches all of `name`.
    pub fn matches(&self, name: &str) -> bool {
        let _ = name;
        unimplemented!()
    }

    /// The patterns that are plain names, in order.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(String::as_str).filter(|pattern| !pattern.contains('*'))
    }

    /// Whether every pattern is a plain name, so that nothing has to be listed to find the matching ones.
    pub fn all_literal(&self) -> bool {
        self.written.iter().all(|pattern| !pattern.contains('*'))
    }
}

/// One allowed command: a pattern for each argument, the program first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandPattern {
    arguments: Vec<ArgumentPattern>,
}

/// What one place of a command may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgumentPattern {
    /// Exactly this argument.
    Literal(String),
    /// `*`: exactly one argument, whatever it is.
    One,
    /// `**`, in the last place only: any further arguments, or none.
    Rest,
}
