//! The keys of a case's file, as serde reads them. The doc comments here are what an editor shows the author, and what the
//! index of keys is made of.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::forms::{Count, OneOrMany, OneOrTables, TextOrTable, Wanted};
use crate::event::Kind;
use crate::ports::{GroupName, HookName, InstanceId};
use crate::reading::units::{Size, Time};
use crate::reading::{At, Section, Tables};
use crate::sim::FaultKind;
use crate::sim::keys::{File as WorldKeys, Stamp};

/// A case: one scenario for a handler, played in a simulated world, and what is expected of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(title = "Hostler case")]
pub(super) struct File {
    /// The policy that the handler works under, normally the one production uses: a path from this file.
    #[schemars(required)]
    pub(super) policy: Option<At<PathBuf>>,
    /// The handler under test, by its name in the policy. It has to take an event, or the case fails.
    #[schemars(required)]
    pub(super) handler: Option<At<String>>,
    /// The plugin of that handler: the folder of a package, which is built, or a `.wasm` file; a path from this file. When left
    /// out: the package that this file is in.
    pub(super) plugin: Option<At<PathBuf>>,
    /// The plugins of other handlers that may get events, by the name of their module in the policy. Paths as for `plugin`.
    #[serde(default)]
    pub(super) plugins: BTreeMap<String, At<PathBuf>>,
    /// Settings of the handler, in place of those of the same name in the policy.
    #[serde(default)]
    pub(super) config: BTreeMap<String, String>,
    /// Decides what chance does, where a fault has a `probability`. `--seed` goes before it.
    #[schemars(extend("default" = 0))]
    pub(super) seed: Option<u64>,
    /// What happens: one `[event]`, or several as `[[event]]`.
    #[schemars(required)]
    pub(super) event: Option<OneOrTables<EventKeys>>,
    /// The simulated AWS: the keys of a world, or the path of a world's file. What the keys do not list is made around the events:
    /// their groups with their hooks, the first cluster that the handler is granted, and their instances in both, each with the
    /// tasks `service:web` (stops in 20s), `service:worker` (45s) and `family:nightly-report` (10s); over SSH, any command
    /// succeeds. Where instances are listed, only the tasks that are listed run. A file has to hold all there is.
    pub(super) world: Option<At<TextOrTable<WorldKeys>>>,
    /// What goes wrong with the calls that are made.
    pub(super) fault: Option<Tables<FaultKeys>>,
    /// What has to come of it. What is not said is not looked at.
    pub(super) expect: Option<Section<ExpectKeys>>,
    /// What `--seeds` may do to this case, and what is right then.
    pub(super) explore: Option<Section<ExploreKeys>>,
}

/// An event: by its kind, with defaults for the rest; or as it came, in `json` or `file`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct EventKeys {
    /// What expectations call it. When left out: its kind, or `event` for one given as it came.
    pub(super) name: Option<At<String>>,
    /// What happened. What the other keys leave out is as AWS would send it. An event without a kind has `json` or `file`.
    pub(super) kind: Option<At<Kind>>,
    /// The event as it came, in any form that AWS delivers it in: from EventBridge, or through SNS or SQS.
    pub(super) json: Option<At<String>>,
    /// A file with the event as it came: a path from this file.
    pub(super) file: Option<At<PathBuf>>,
    /// The instance it is about.
    #[schemars(extend("default" = "i-0123456789abcdef0"))]
    pub(super) instance: Option<At<InstanceId>>,
    /// The Auto Scaling group of a lifecycle event.
    #[schemars(extend("default" = "web"))]
    pub(super) group: Option<At<GroupName>>,
    /// The lifecycle hook of a lifecycle event.
    #[schemars(extend("default" = "drain"))]
    pub(super) hook: Option<At<HookName>>,
    /// When it happened, such as `2026-01-15T03:00:00Z`. When left out: when it is delivered first.
    pub(super) time: Option<Stamp>,
    /// The id of the event. When left out: made of its kind and instance.
    pub(super) id: Option<String>,
    /// The token of the lifecycle action. When left out: made of hook and instance.
    pub(super) token: Option<String>,
    /// Further fields of the event's `detail`, over those that are made.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub(super) detail: toml::Table,
    /// When it is delivered, counted from the beginning. Each time of a list is a delivery: `["0s", "0s"]` delivers it twice at
    /// once.
    #[schemars(extend("default" = "0s"))]
    pub(super) at: Option<OneOrMany<Time>>,
}

/// Something that goes wrong. Without `nth` and `probability` it goes wrong every time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct FaultKeys {
    /// With which calls: the name of an operation, such as `ecs.drain`; `*` for any of the handler's, but none of the host's
    /// own `lifecycle.` ones.
    #[schemars(required)]
    pub(super) operation: Option<At<String>>,
    /// What goes wrong with them.
    #[schemars(required)]
    pub(super) fault: Option<FaultKind>,
    /// Only with the call of this number, or of these: the calls that `operation` means, counted from 1 over the whole case.
    pub(super) nth: Option<At<OneOrMany<u32>>>,
    /// With each of the calls by chance, from 0 (never) to 1 (always), as the seed decides.
    pub(super) probability: Option<At<f64>>,
}

/// What has to come of a case. What is not said is not looked at.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ExpectKeys {
    /// How each event ends: a word, a list of words of which any will do, or a table with either for each event by its name.
    pub(super) outcome: Option<At<Wanted<Ending>>>,
    /// What becomes of each event's lifecycle action, in the same three forms.
    pub(super) lifecycle: Option<At<Wanted<Fate>>>,
    /// How many attempts are made, over all events: a number, or a table with `at-least` and `at-most`.
    pub(super) attempts: Option<Count>,
    /// Calls that are made, in this order, with any others between them: an operation, and what it is called on. A `*` stands
    /// for any characters, as in `"ecs.stop-task family:nightly*"`. An operation alone means it on any target.
    #[serde(default)]
    pub(super) calls: Vec<At<String>>,
    /// Calls that are made, in whatever order. Written as in `calls`.
    #[serde(default)]
    pub(super) calls_in_any_order: Vec<At<String>>,
    /// Calls that are never made, written as in `calls`. One that the policy refuses is not made.
    #[serde(default)]
    pub(super) never: Vec<At<String>>,
    /// Lines that the handler logs, in this order, with any others between them. A `*` stands for any characters.
    #[serde(default)]
    pub(super) log: Vec<String>,
    /// Lines that the handler never logs.
    #[serde(default)]
    pub(super) never_log: Vec<String>,
    /// Calls that are refused, written as in `calls`: by the policy, by IAM, or by a node.
    #[serde(default)]
    pub(super) refused: Vec<At<String>>,
    /// How many tasks may still run when their instance is taken away. 0 where nothing may be lost.
    pub(super) tasks_lost_at_most: Option<u32>,
    /// How long it takes until every event has ended, by the clock of the world.
    pub(super) virtual_time_at_most: Option<Time>,
    /// The most memory that an attempt takes, such as `8MiB`.
    pub(super) memory_at_most: Option<Size>,
    /// The most CPU time that an attempt takes. It is real time, which no two runs share: more is a hint, and fails nothing.
    pub(super) cpu_at_most: Option<Time>,
    /// How an instance is at the end.
    pub(super) instance: Option<Tables<InstanceAtTheEnd>>,
    /// How tasks are at the end.
    pub(super) task: Option<Tables<TaskAtTheEnd>>,
}

/// An instance as it is at the end. What is not said is not looked at.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct InstanceAtTheEnd {
    /// Which instance. When left out: the first event's.
    pub(super) id: Option<At<InstanceId>>,
    /// EC2's state of it, such as `running` or `shutting-down`.
    pub(super) state: Option<String>,
    /// Auto Scaling's state of it, such as `Terminating:Proceed`; `none` where it is in no group.
    pub(super) lifecycle_state: Option<String>,
    /// Whether scale-in must leave it alone.
    pub(super) protected_from_scale_in: Option<bool>,
    /// ECS's status of it, such as `DRAINING`: the last one where ECS has forgotten it, `none` where it never was a container
    /// instance.
    pub(super) container_instance_status: Option<String>,
}

/// Tasks as they are at the end: each that is meant has to be as it says, and there has to be one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct TaskAtTheEnd {
    /// On which instance. When left out: on the first event's.
    pub(super) instance: Option<At<InstanceId>>,
    /// The service they are of.
    pub(super) service: Option<String>,
    /// The family they are of, for standalone tasks. Write this or `service`.
    pub(super) family: Option<String>,
    /// ECS's status of them, such as `RUNNING` or `STOPPED`; `LOST` where they ran until their instance was taken away.
    #[schemars(required)]
    pub(super) last_status: Option<String>,
}

/// What `--seeds` may do to a case: add faults, and deliver an event once more. What it expects then is `outcome`, `lifecycle`,
/// `never`, `never-log`, `tasks-lost-at-most`, `memory-at-most` and the end of the world. How many attempts there are, in which
/// order, and for how long, rightly changes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ExploreKeys {
    /// The kinds of faults it may add. When left out: all but `access-denied` and `attempt-killed`.
    pub(super) faults: Option<Vec<FaultKind>>,
    /// How many faults it may add.
    #[schemars(extend("default" = 3))]
    pub(super) at_most: Option<At<i64>>,
    /// Whether it may deliver events up to 10s later than the case says, and one of them once more, up to a minute after everything
    /// has ended.
    #[schemars(extend("default" = true))]
    pub(super) deliveries: Option<bool>,
    /// Other endings that are right then, beside those in `expect`.
    pub(super) outcome: Option<OneOrMany<Ending>>,
    /// Other fates of a lifecycle action that are right then, beside those in `expect`.
    pub(super) lifecycle: Option<OneOrMany<Fate>>,
    /// How many tasks may be lost then, in place of the number in `expect`.
    pub(super) tasks_lost_at_most: Option<u32>,
}

/// How an event ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ending {
    /// The handler said done.
    Done,
    /// The handler said abandon.
    Abandoned,
    /// The patience of the policy ended: too many failures in a row, or the deadline.
    GaveUp,
    /// No handler of the policy takes the event.
    NoHandler,
    /// The hook belongs to ECS, and no handler names it.
    LeftAlone,
    /// It was not brought to its end, however often it was delivered: Auto Scaling could not be told what was decided, or the host
    /// was killed every time. Or the event is of another account or region.
    NotCompleted,
}

/// What becomes of a lifecycle action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(super) enum Fate {
    /// The host completed it with CONTINUE.
    #[serde(rename = "CONTINUE")]
    Continue,
    /// The host completed it with ABANDON.
    #[serde(rename = "ABANDON")]
    Abandon,
    /// The hook's timeout ended it.
    #[serde(rename = "timed-out")]
    TimedOut,
    /// It ended with another action of its instance that was abandoned.
    #[serde(rename = "with-another")]
    WithAnother,
    /// It still waits.
    #[serde(rename = "waiting")]
    Waiting,
    /// There is none.
    #[serde(rename = "none")]
    None,
}

impl Ending {
    /// The word of a case.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Abandoned => "abandoned",
            Self::GaveUp => "gave-up",
            Self::NoHandler => "no-handler",
            Self::LeftAlone => "left-alone",
            Self::NotCompleted => "not-completed",
        }
    }
}

impl Fate {
    /// The word of a case.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Abandon => "ABANDON",
            Self::TimedOut => "timed-out",
            Self::WithAnother => "with-another",
            Self::Waiting => "waiting",
            Self::None => "none",
        }
    }
}
