//! The file format: one set of types, from which the reading, its mistakes and the JSON Schema all come.
//!
//! Every key is optional to serde; see `read` for why. The doc comments here are what an editor shows the operator.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::Value;

use super::pattern::EventPattern;
use super::texts::{
    ClusterPattern, GroupPattern, HandlerName, Loopback, ModuleName, PublicKey, QueueUrl, Sha256, User, VersionId,
};
use super::{ClientKey, CommandPattern, HostKeys, Instances, Location, OnFailure};
use crate::reading::units::{Size, Time};
use crate::reading::{At, Section, Tables};
use crate::reference;

/// The JSON Schema of the file.
pub fn schema() -> Value {
    reference::schema_of::<File>()
}

/// A Hostler policy: which events go to which handler, what each handler may do, and within which limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "Hostler policy")]
pub(super) struct File {
    /// Where plugins come from and how they are accepted.
    #[schemars(required)]
    pub(super) modules: Option<Section<ModulesSection>>,
    /// The durable record of work items. Without it they are forgotten when the host ends.
    pub(super) ledger: Option<Section<LedgerSection>>,
    /// The SQS queue that `hostler agent` polls. It polls none without it.
    pub(super) queue: Option<Section<QueueSection>>,
    /// The notices of the instance that `hostler agent` runs on. It looks for none without it.
    pub(super) imds: Option<Section<ImdsSection>>,
    /// `hostler agent` as a process.
    pub(super) agent: Option<Section<AgentSection>>,
    /// The search for instances that wait for a lifecycle action and have no work item. Nothing is searched for without it.
    pub(super) sweep: Option<Section<SweepSection>>,
    /// Where it is recorded what events come to, for `hostler replay`. Nothing is recorded without it.
    pub(super) recordings: Option<Section<RecordingsSection>>,
    /// The handlers. The first that matches, in the order of the file, takes the event.
    #[schemars(required, extend("minItems" = 1))]
    pub(super) handler: Option<Tables<HandlerSection>>,
}

/// Where plugins come from and how they are accepted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ModulesSection {
    /// The place: s3://BUCKET/PREFIX/ or dir:PATH. A relative PATH begins in the folder that Hostler is started in, not in that of
    /// the policy.
    #[schemars(required)]
    pub(super) source: Option<Location>,
    /// How stale a module may be: 10s unless said otherwise, 0s to ask before every event, at most 1 day.
    pub(super) refresh: Option<At<Time>>,
    /// The largest module that is accepted: 32MiB unless said otherwise, at most 512MiB.
    pub(super) max_size: Option<At<Size>>,
    /// Minisign public keys of those who may sign plugins. A plugin that none of them has signed is refused. They count for the handlers
    /// that have no trusted-keys of their own.
    pub(super) trusted_keys: Option<At<Vec<At<PublicKey>>>>,
    /// Minisign public keys that were trusted once: what they have signed is refused, and the log says why.
    pub(super) revoked_keys: Option<At<Vec<At<PublicKey>>>>,
    /// Accept plugins without a signature, from whoever can write to the source: false unless said otherwise.
    pub(super) allow_unsigned: Option<At<bool>>,
    /// After how many attempts in a row that trap, or spend a budget of their own, a new plugin is given up for the one before it: 3
    /// unless said otherwise, at most 100; 0 for never.
    pub(super) rollback_after: Option<At<i64>>,
}

/// The durable record of work items.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct LedgerSection {
    /// The place, for all hosts that share the work: s3://BUCKET/PREFIX/ or, on one machine, dir:PATH.
    #[schemars(required)]
    pub(super) store: Option<Location>,
    /// How long ended items are kept: 7d unless said otherwise, 1h to 365d.
    pub(super) keep: Option<At<Time>>,
}

/// The SQS queue that `hostler agent` polls. It needs a ledger.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct QueueSection {
    /// The URL of a standard queue: https://sqs.REGION.amazonaws.com/ACCOUNT/NAME.
    #[schemars(required)]
    pub(super) url: Option<At<QueueUrl>>,
    /// The URL of the queue for messages that nobody can work on, the Lambda function's among them. Without it, what is no event is logged and deleted.
    pub(super) dead_letter: Option<At<QueueUrl>>,
    /// Messages worked on at once: 16 unless said otherwise, 1 to 1000.
    pub(super) concurrency: Option<At<i64>>,
}

/// The notices of the instance that `hostler agent` runs on. They need a ledger.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ImdsSection {
    /// How often the metadata service is asked: 2s unless said otherwise, 1s to 60s.
    pub(super) poll: Option<At<Time>>,
}

/// `hostler agent` as a process.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AgentSection {
    /// How long attempts may go on after SIGTERM: 20s unless said otherwise, 1s to 15m.
    pub(super) shutdown: Option<At<Time>>,
    /// Where it answers over HTTP whether it is alive and ready: 127.0.0.1:9808 unless said otherwise, on loopback only.
    pub(super) listen: Option<Loopback>,
}

/// The search for instances that wait for a lifecycle action and have no work item. It needs a ledger.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SweepSection {
    /// The time from one sweep to the next: 1m unless said otherwise, 10s to 1h.
    pub(super) every: Option<At<Time>>,
}

/// Where it is recorded what events come to, for `hostler replay`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RecordingsSection {
    /// The place, with an object or a file for each event: s3://BUCKET/PREFIX/ or dir:PATH, as in modules.source.
    #[schemars(required)]
    pub(super) store: Option<Location>,
}

/// A plugin bound to events, grants and limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct HandlerSection {
    /// What the log and the metrics call it; unique in the file.
    #[schemars(required)]
    pub(super) name: Option<At<HandlerName>>,
    /// The module below modules.source.
    #[schemars(required)]
    pub(super) module: Option<ModuleName>,
    /// Runs nothing but the module with this SHA-256, however old it is.
    pub(super) sha256: Option<At<Sha256>>,
    /// Runs nothing but this version of the object, in a bucket with versions, however old it is.
    pub(super) version_id: Option<At<VersionId>>,
    /// Minisign public keys of those who alone may sign its module, instead of those of [modules]: a plugin that none of them has signed is
    /// refused, also with allow-unsigned. All handlers of a module have to name the same.
    pub(super) trusted_keys: Option<At<Vec<At<PublicKey>>>>,
    /// Which events it takes.
    #[schemars(required)]
    pub(super) event: Option<At<EventPattern>>,
    /// How a work item ends when the handler does not end it.
    pub(super) finish: Option<Section<FinishSection>>,
    /// Ceilings on one attempt.
    pub(super) limits: Option<Section<LimitsSection>>,
    /// What the plugin may do. What is not granted is denied.
    pub(super) grants: Option<Section<GrantsSection>>,
    /// Settings that the plugin reads. Values are texts.
    pub(super) config: Option<BTreeMap<String, Setting>>,
}

/// How a work item ends when the handler does not end it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct FinishSection {
    /// For the whole work item, from the time of the event: 1h unless said otherwise, 1s to 48h.
    pub(super) deadline: Option<At<Time>>,
    /// After max-attempts, or past the deadline. Unless said otherwise: abandon for an instance that is leaving, leave for one that is launching.
    pub(super) on_failure: Option<OnFailure>,
    /// Failures in a row, not `again`s: 5 unless said otherwise, 1 to 100.
    pub(super) max_attempts: Option<At<i64>>,
}

/// Ceilings on one attempt.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct LimitsSection {
    /// CPU time: 2s unless said otherwise, at most wall.
    pub(super) cpu: Option<At<Time>>,
    /// From start to end, host calls included: 60s unless said otherwise, 1s to 15m.
    pub(super) wall: Option<At<Time>>,
    /// All memories, tables and what the host holds for the attempt together: 64MiB unless said otherwise, 1MiB to 1GiB.
    pub(super) memory: Option<At<Size>>,
    /// How many: 500 unless said otherwise, 1 to 100000.
    pub(super) host_calls: Option<At<i64>>,
    /// What the plugin may write to the log: 256KiB unless said otherwise, at most 16MiB.
    pub(super) log: Option<At<Size>>,
    /// In how many lines: 1000 unless said otherwise, 0 to 100000.
    pub(super) log_lines: Option<At<i64>>,
    /// What commands on the node may be given and may answer, together: 16MiB unless said otherwise, at most 1GiB.
    pub(super) ssh: Option<At<Size>>,
}

/// What the plugin may do. What is not granted is denied.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct GrantsSection {
    /// Amazon ECS.
    pub(super) ecs: Option<Section<EcsSection>>,
    /// EC2 Auto Scaling.
    pub(super) autoscaling: Option<Section<AutoScalingSection>>,
    /// Amazon EC2.
    pub(super) ec2: Option<Section<Ec2Section>>,
    /// Commands on the node.
    pub(super) ssh: Option<Section<SshSection>>,
}

/// What the plugin may do in Amazon ECS.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct EcsSection {
    /// The clusters that exist for the plugin, by name; * stands for any run of characters.
    #[schemars(required)]
    pub(super) clusters: Option<At<Vec<ClusterPattern>>>,
    /// What it may do there.
    #[schemars(required)]
    pub(super) allow: Option<At<Vec<EcsAction>>>,
    /// "event": the event's own instance only, which is the default. "any": every instance.
    pub(super) instances: Option<At<Instances>>,
}

/// What can be allowed in Amazon ECS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EcsAction {
    /// Find container instances and list tasks.
    Read,
    /// Set container instances to DRAINING.
    Drain,
    /// Stop tasks.
    StopTask,
}

/// What the plugin may do in EC2 Auto Scaling.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AutoScalingSection {
    /// The groups that exist for the plugin, by name; * stands for any run of characters.
    #[schemars(required)]
    pub(super) groups: Option<At<Vec<GroupPattern>>>,
    /// What it may do there.
    #[schemars(required)]
    pub(super) allow: Option<At<Vec<AutoScalingAction>>>,
    /// "event": the event's own instance only, which is the default. "any": every instance.
    pub(super) instances: Option<At<Instances>>,
}

/// What can be allowed in EC2 Auto Scaling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AutoScalingAction {
    /// Describe instances as members of their group.
    Read,
    /// Set and remove the protection from scale-in.
    Protect,
}

/// What the plugin may do in Amazon EC2.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Ec2Section {
    /// What it may do there.
    #[schemars(required)]
    pub(super) allow: Option<At<Vec<Ec2Action>>>,
    /// "event": the event's own instance only, which is the default. "any": every instance.
    pub(super) instances: Option<At<Instances>>,
}

/// What can be allowed in Amazon EC2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ec2Action {
    /// Describe instances.
    Read,
}

/// What the plugin may run on the node, and how the host gets there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SshSection {
    /// Who to log in as.
    #[schemars(required)]
    pub(super) user: Option<User>,
    /// Where our private key comes from: file:PATH, env:NAME, secretsmanager:NAME-OR-ARN or instance-connect.
    #[schemars(required)]
    pub(super) key: Option<ClientKey>,
    /// How the node proves itself: ca:PATH (recommended), known-hosts:PATH, console or insecure-accept-any.
    #[schemars(required)]
    pub(super) host_keys: Option<At<HostKeys>>,
    /// The commands that may run, each a list of arguments. "*" is exactly one argument that does not begin with -, since what
    /// does is an option to most programs; "-*" is exactly one that does. A last "**" is any further arguments, options among them.
    #[schemars(required)]
    pub(super) commands: Option<At<Vec<CommandPattern>>>,
    /// The port to connect to: 22 unless said otherwise.
    pub(super) port: Option<At<i64>>,
    /// For connecting and authenticating: 10s unless said otherwise, 1s to 5m.
    pub(super) connect_timeout: Option<At<Time>>,
    /// The longest a command may run: 60s unless said otherwise, 1s to 15m.
    pub(super) command_timeout: Option<At<Time>>,
    /// How much of each output stream is kept: 64KiB unless said otherwise, at most 1MiB.
    pub(super) max_output: Option<At<Size>>,
    /// Whether commands may go to the loopback interface, where EC2 (an emulator of it, in fact) says that the node is there: no
    /// unless said otherwise. For tests.
    pub(super) loopback: Option<At<bool>>,
    /// "event": the event's own instance only, which is the default. "any": every instance.
    pub(super) instances: Option<At<Instances>>,
}

/// A value of `[handler.config]`: a text.
#[derive(Debug, JsonSchema)]
pub(super) struct Setting(pub(super) String);

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        fn quote<E: de::Error>(value: impl fmt::Display) -> E {
            E::custom(format!("settings are texts: put it in quotes, \"{value}\""))
        }

        impl Visitor<'_> for Text {
            type Value = Setting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes, since settings are texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Setting, E> {
                Ok(Setting(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Setting, E> {
                Err(quote(number))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Setting, E> {
                Err(quote(number))
            }

            fn visit_bool<E: de::Error>(self, bool: bool) -> Result<Setting, E> {
                Err(quote(bool))
            }
        }

        deserializer.deserialize_any(Text)
    }
}
