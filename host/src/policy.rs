//! The policy, `hostler.toml`: which events go to which handler, what each handler may do, and within which limits.
//!
//! Owns the file format, EventBridge's pattern language, and every decision about what is granted. Pure: text in, a
//! [`Policy`] or all its mistakes out. Knows nothing of plugins' contents, of the sandbox, or of AWS clients.

mod address;
mod check;
mod command;
mod file;
mod grants;
mod kinds;
mod pattern;
mod power;
mod scope;
mod texts;
mod wildcard;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use command::{ArgumentPattern, CommandPattern};
pub use file::{AutoScalingAction, Ec2Action, EcsAction, schema};
pub use grants::{
    AutoScalingGrant, ClientKey, Ec2Grant, EcsGrant, Grants, HostKeys, Instances, NamePatterns, SshGrant,
};
pub use pattern::Pattern;
pub use power::{AutoScalingCall, EcsCall, Lack, Need, Power};
pub use scope::{
    Denial, DescribeGroupInstance, DescribeInstance, Drain, Exec, FindContainerInstance, Granted, ListTasks, Onlooker,
    Scope, SetInstanceProtection, StopTask,
};

pub(crate) use texts::module_name;
pub(crate) use wildcard::Wildcard;

use serde::Serialize;

use crate::event::{Event, Kind};
pub use crate::reading::{Mistake, Mistakes};

/// A policy that has been read and found sound.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Where plugins come from.
    pub modules: ModulesPolicy,
    /// `recordings.store`: where it is recorded what events come to; none if it is not.
    pub recordings: Option<Location>,
    /// `[ledger]`: where work items are kept; none if they live no longer than their host.
    pub ledger: Option<LedgerPolicy>,
    /// `[queue]`: where the agent takes messages from, if it does.
    pub queue: Option<QueuePolicy>,
    /// `[imds]`: how the agent watches the instance it runs on, if it does.
    pub imds: Option<ImdsPolicy>,
    /// `[agent]`, or what holds without it.
    pub agent: AgentPolicy,
    /// `[sweep]`: how often instances are looked for whose event never came, if they are. There is a ledger then.
    pub sweep: Option<SweepPolicy>,
    /// The handlers, in the order of the file: the first that matches takes the event.
    pub handlers: Vec<Arc<Handler>>,
    /// SHA-256 of the text, in hexadecimal: says in the log which policy was in force.
    pub digest: String,
    /// What is allowed but probably not meant, for the operator to read at start and in `hostler policy check`.
    pub warnings: Vec<Mistake>,
}

impl Policy {
    /// Reads a policy, or explains every mistake in it. `name` is the file's, for messages.
    pub fn parse(name: &str, text: &str) -> Result<Self, Mistakes> {
        check::parse(name, text)
    }

    /// The most memory that any handler may have, in bytes.
    pub fn most_memory(&self) -> u64 {
        self.handlers.iter().map(|handler| handler.limits.memory).max().unwrap_or_default()
    }

    /// The handler that takes `event`: the first, in file order, whose pattern matches.
    pub fn route(&self, event: &Event) -> Option<&Arc<Handler>> {
        self.handlers.iter().find(|handler| handler.event.matches(&event.envelope))
    }
}

/// The largest module that `max-size` can allow, in bytes.
pub const LARGEST_MODULE: u64 = 512 << 20;

/// `[modules]`: where plugins come from and how they are accepted.
#[derive(Debug, Clone)]
pub struct ModulesPolicy {
    /// `source`.
    pub source: Location,
    /// `refresh`: how stale a module may be. Zero asks before every event.
    pub refresh: Duration,
    /// `max-size`: the largest module that is downloaded, in bytes.
    pub max_size: u64,
    /// Whose modules are accepted.
    pub trust: Trust,
    /// `rollback-after`: how many attempts in a row a new module may crash before the one before it takes its place; none if never.
    pub rollback_after: Option<u32>,
}

/// Whose modules are accepted. Keys are those of minisign, in base64.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// `trusted-keys` of `[modules]`: those whom handlers trust that name none themselves.
    pub keys: Vec<String>,
    /// `trusted-keys` of handlers, by the module that they run: nothing else is taken as that.
    pub of_modules: BTreeMap<String, Vec<String>>,
    /// `revoked-keys`.
    pub revoked: Vec<String>,
    /// `allow-unsigned`: whether a module without a signature is accepted.
    pub unsigned: bool,
}

/// `sha256` or `version-id`: the one module that a handler runs, whatever is uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pin {
    /// The SHA-256 of the module, in hexadecimal.
    Sha256(String),
    /// The id that S3 has given to a version of the object.
    VersionId(String),
}

impl std::fmt::Display for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sha256(digest) => write!(f, "sha256 {digest}"),
            Self::VersionId(id) => write!(f, "version-id {id}"),
        }
    }
}

impl ModulesPolicy {
    /// Why a module of `size` bytes is refused, if it is: a sentence whose subject is the module.
    pub fn too_large(&self, size: u64) -> Option<String> {
        let max_size = self.max_size;
        (size > max_size).then(|| {
            format!("has {size} bytes, and max-size allows {max_size}; make it smaller, or raise max-size in [modules]")
        })
    }
}

/// Where plugins come from, and where recordings and the ledger are kept: `s3://BUCKET/PREFIX/` or `dir:PATH`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^(s3://[a-z0-9.-]{3,63}(/|/[^/]+(/[^/]+)*/)?|dir:.+)$"))]
pub enum Location {
    /// `s3://BUCKET/PREFIX/`; the prefix is empty or ends in `/`.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix of every key.
        prefix: String,
    },
    /// `dir:PATH`, relative to the working directory.
    Dir(PathBuf),
}

impl Location {
    /// Where the object or the file of that name is, for people.
    pub fn locate(&self, name: &str) -> String {
        match self {
            Self::S3 { bucket, prefix } => format!("s3://{bucket}/{prefix}{name}"),
            Self::Dir(folder) => folder.join(name).display().to_string(),
        }
    }
}

/// As the policy writes it.
impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
        }
    }
}

/// `[ledger]`: the durable record of work items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerPolicy {
    /// `store`.
    pub store: Location,
    /// `keep`: how long ended items are kept.
    pub keep: Duration,
}

/// `[queue]`: the SQS queue that the agent polls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuePolicy {
    /// `url`: the URL of the queue.
    pub url: String,
    /// `dead-letter`: the URL of the queue for messages that nobody can work on.
    pub dead_letter: Option<String>,
    /// `concurrency`: how many messages are worked on at once.
    pub concurrency: u32,
}

/// `[imds]`: the notices of the instance that the agent runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImdsPolicy {
    /// `poll`: how often the metadata service is asked.
    pub poll: Duration,
}

/// `[agent]`: the agent as a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPolicy {
    /// `shutdown`: how long attempts may go on after SIGTERM.
    pub shutdown: Duration,
    /// `listen`: where it answers whether it is alive and ready; always an address of the loopback interface.
    pub listen: SocketAddr,
}

/// `[sweep]`: the search for instances that wait and have no work item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepPolicy {
    /// `every`: the time from one sweep to the next.
    pub every: Duration,
}

/// `[[handler]]`: a plugin bound to events, grants and limits.
#[derive(Debug)]
pub struct Handler {
    /// `name`: unique in the policy; what the log and the metrics call it.
    pub name: String,
    /// `module`: the object's name below the source.
    pub module: String,
    /// `sha256` or `version-id`; none if it runs what was uploaded last.
    pub pin: Option<Pin>,
    /// `[handler.event]`.
    pub event: Pattern,
    /// `[handler.finish]`.
    pub finish: Finish,
    /// `[handler.limits]`.
    pub limits: Limits,
    /// `[handler.grants]`.
    pub grants: Grants,
    /// `[handler.config]`.
    pub config: BTreeMap<String, String>,
}

impl Handler {
    /// The one that the policy had before: it only ends what it has begun.
    pub(crate) fn gone(name: &str) -> Self {
        let finish = Finish { deadline: Duration::ZERO, on_failure: None, max_attempts: 1 };
        Self {
            name: name.to_owned(),
            module: String::new(),
            pin: None,
            event: Pattern::default(),
            finish,
            limits: Limits::default(),
            grants: Grants::default(),
            config: BTreeMap::new(),
        }
    }

    /// Whether it is one that the policy had before.
    pub(crate) fn is_gone(&self) -> bool {
        self.module.is_empty()
    }

    /// The kinds of events that its pattern could match, whatever earlier handlers take.
    pub fn kinds(&self) -> Vec<Kind> {
        kinds::kinds(&self.event)
    }

    /// Whether the pattern names `hook` literally in `detail.LifecycleHookName`: what it takes to be given a hook that
    /// another service installed for itself.
    pub fn names_hook(&self, hook: &str) -> bool {
        self.event.names_literally(&["detail", "LifecycleHookName"], hook)
    }
}

/// `[handler.finish]`: how a work item ends when the handler does not end it.
#[derive(Debug, Clone)]
pub struct Finish {
    /// `deadline`: for the whole work item, from the time of the event.
    pub deadline: Duration,
    /// `on-failure`; when absent, `abandon` for an instance that is leaving and `leave` for one that is launching.
    pub on_failure: Option<OnFailure>,
    /// `max-attempts`: failures in a row, not `again`s.
    pub max_attempts: u32,
}

/// What becomes of the lifecycle action when the handler has failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Complete it with CONTINUE.
    Continue,
    /// Complete it with ABANDON.
    Abandon,
    /// Do not complete it: the hook's own timeout and default result decide.
    Leave,
}

/// `[handler.limits]`: ceilings on one attempt. By default nothing is allowed.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// `cpu`: CPU time of the guest and of host code run for it.
    pub cpu: Duration,
    /// `wall`: from start to end, host calls included.
    pub wall: Duration,
    /// `memory`: all linear memories, tables and what the host holds for them together, in bytes.
    pub memory: u64,
    /// `host-calls`: how many.
    pub host_calls: u32,
    /// `log`: what the guest may write to the log, in bytes.
    pub log: u64,
    /// `log-lines`: in how many lines.
    pub log_lines: u32,
    /// `ssh`: what commands may be given and may answer, together, in bytes.
    pub ssh: u64,
}
