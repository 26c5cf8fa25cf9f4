//! The keys of a case's file, as serde reads them. The doc comments here are what an editor shows the author, and what the
//! index of keys is made of.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::forms::{Count, OneOrMany, TextOrTable, Wanted};
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
    /// The handler that has to take the events, by its name in the policy.
    #[schemars(required)]
    pub(super) handler: Option<At<String>>,
    /// The plugin of that handler: the folder of a package, which is built, or a .wasm file; a path from this file. The package
    /// that this file is in unless said otherwise.
    pub(super) plugin: Option<At<PathBuf>>,
    /// Plugins of other handlers that may get events, by the name of their module in the policy; paths as for `plugin`.
    #[serde(default)]
    pub(super) plugins: BTreeMap<String, At<PathBuf>>,
    /// Settings of the handler, over those in the policy.
    #[serde(default)]
    pub(super) config: BTreeMap<String, String>,
    /// Decides what chance does, where a fault has a probability. 0 unless said otherwise, here or by --seed.
    pub(super) seed: Option<u64>,
    /// What happens: one event, or several as [[event]].
    #[schemars(required)]
    pub(super) event: Option<At<OneOrMany<EventKeys>>>,
    /// The simulated AWS: the keys of a world, or the path of a world's file. What these keys leave out is made around the events:
    /// their instances, groups and hooks, the first cluster the handler is granted, and on each instance three tasks: service:web (stops
    /// in 20s), service:worker (45s), family:nightly-report (10s). Any command over SSH succeeds unless an ssh answer is given.
    pub(super) world: Option<At<TextOrTable<WorldKeys>>>,
    /// What goes wrong.
    pub(super) fault: Option<Tables<FaultKeys>>,
    /// What has to come of it.
    pub(super) expect: Option<Section<ExpectKeys>>,
    /// What --seeds may do to this case.
    pub(super) explore: Option<Section<ExploreKeys>>,
}

/// An event: by its kind, with defaults for the rest; or as it came, in `json` or `file`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct EventKeys {
    /// What expectations call it: its kind unless said otherwise; `event` for one given as it came.
    pub(super) name: Option<At<String>>,
    /// What happened.
    pub(super) kind: Option<At<Kind>>,
    /// The event as it came, in any form that AWS delivers it in.
    pub(super) json: Option<At<String>>,
    /// The same from a file: a path from this file.
    pub(super) file: Option<At<PathBuf>>,
    /// The instance it is about: i-0123456789abcdef0 unless said otherwise.
    #[schemars(with = "Option<String>")]
    pub(super) instance: Option<At<InstanceId>>,
    /// The Auto Scaling group of a lifecycle event: web unless said otherwise.
    #[schemars(with = "Option<String>")]
    pub(super) group: Option<At<GroupName>>,
    /// The lifecycle hook of a lifecycle event: drain unless said otherwise.
    #[schemars(with = "Option<String>")]
    pub(super) hook: Option<At<HookName>>,
    /// When it happened, such as 2026-01-15T03:00:00Z: when it is delivered first, unless said otherwise.
    #[schemars(with = "Option<String>")]
    pub(super) time: Option<Stamp>,
    /// The id of the event.
    pub(super) id: Option<String>,
    /// The token of a lifecycle action.
    pub(super) token: Option<String>,
    /// Further fields of the event's detail.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub(super) detail: toml::Table,
    /// When it is delivered, counted from the beginning: 0s unless said otherwise. Each time of a list is a delivery, so ["0s", "0s"]
    /// delivers it twice at once.
    pub(super) at: Option<OneOrMany<Time>>,
}

/// Something that goes wrong. Without `nth` and `probability` it goes wrong every time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct FaultKeys {
    /// With which call: the name of an operation, such as ecs.drain, or * for any call of the handler.
    #[schemars(required)]
    pub(super) operation: Option<At<String>>,
    /// What goes wrong.
    #[schemars(required)]
    pub(super) fault: Option<FaultKind>,
    /// With the call of this number, or of these: counted from 1, over the whole case.
    pub(super) nth: Option<At<OneOrMany<u32>>>,
    /// With each call at this chance, from 0 to 1, as the seed decides.
    pub(super) probability: Option<At<f64>>,
}

/// What has to come of a case. What is not said is not looked at.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ExpectKeys {
    /// How each event ends: one word, a list of words any of which will do, or a table with the names of the events.
    pub(super) outcome: Option<At<Wanted<Ending>>>,
    /// What becomes of each event's lifecycle action: in the same forms.
    pub(super) lifecycle: Option<At<Wanted<Fate>>>,
    /// How many attempts are made, over all events: a number, or a table with at-least and at-most.
    pub(super) attempts: Option<Count>,
    /// Calls that are made in this order, with any others between them: an operation, and what it is called on. A * stands for any
    /// characters: "ecs.stop-task family:nightly*". An operation alone means any target.
    #[serde(default)]
    pub(super) calls: Vec<At<String>>,
    /// Calls that are made, in whatever order.
    #[serde(default)]
    pub(super) calls_in_any_order: Vec<At<String>>,
    /// Calls that are never made.
    #[serde(default)]
    pub(super) never: Vec<At<String>>,
    /// Lines that the handler writes, in this order; a * stands for any characters.
    #[serde(default)]
    pub(super) log: Vec<String>,
    /// Lines that the handler never writes.
    #[serde(default)]
    pub(super) never_log: Vec<String>,
    /// Calls that are refused: by the policy, or by IAM.
    #[serde(default)]
    pub(super) refused: Vec<At<String>>,
    /// How many tasks may still run when their instance is taken away: 0 where nothing may be lost.
    pub(super) tasks_lost_at_most: Option<u32>,
    /// How long it takes at most, by the clock of the world.
    pub(super) virtual_time_at_most: Option<Time>,
    /// The most memory an attempt takes, such as 8MiB.
    pub(super) memory_at_most: Option<Size>,
    /// The most CPU time an attempt takes. A hint: it is real time, so more is reported and fails nothing.
    pub(super) cpu_at_most: Option<Time>,
    /// Instances as they are at the end.
    pub(super) instance: Option<Tables<InstanceAtTheEnd>>,
    /// Tasks as they are at the end.
    pub(super) task: Option<Tables<TaskAtTheEnd>>,
}

/// An instance as it is at the end. What is not said is not looked at.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct InstanceAtTheEnd {
    /// Which: the first event's unless said otherwise.
    #[schemars(with = "Option<String>")]
    pub(super) id: Option<At<InstanceId>>,
    /// EC2's state, such as running or shutting-down.
    pub(super) state: Option<String>,
    /// Auto Scaling's lifecycle state, such as Terminating:Proceed; none for a member of no group.
    pub(super) lifecycle_state: Option<String>,
    /// Whether scale-in must leave it alone.
    pub(super) protected_from_scale_in: Option<bool>,
    /// The status of its container instance, such as DRAINING, the last one when ECS has forgotten it; none when it was never one.
    pub(super) container_instance_status: Option<String>,
}

/// Tasks as they are at the end: each that is meant has to be as it says, and there has to be one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct TaskAtTheEnd {
    /// On which instance: the first event's unless said otherwise.
    #[schemars(with = "Option<String>")]
    pub(super) instance: Option<At<InstanceId>>,
    /// Tasks of this service.
    pub(super) service: Option<String>,
    /// Standalone tasks of this family.
    pub(super) family: Option<String>,
    /// Where they are, in ECS's word, such as RUNNING or STOPPED; LOST when they ran until the instance was taken away.
    #[schemars(required)]
    pub(super) last_status: Option<String>,
}

/// What --seeds may do to a case: add faults and deliver again. What it expects then is `outcome`, `lifecycle`, `never`,
/// `never-log`, `tasks-lost-at-most` and the end of the world; how many attempts and in which order rightly changes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ExploreKeys {
    /// The kinds of faults it may add: all but access-denied unless said otherwise.
    pub(super) faults: Option<Vec<FaultKind>>,
    /// How many faults it may add: 3 unless said otherwise.
    pub(super) at_most: Option<u32>,
    /// Whether it may deliver events twice, and later than the case says: true unless said otherwise.
    pub(super) deliveries: Option<bool>,
    /// Other endings that are right once more goes wrong than the case says.
    pub(super) outcome: Option<OneOrMany<Ending>>,
    /// Other fates of the lifecycle action that are right then.
    pub(super) lifecycle: Option<OneOrMany<Fate>>,
    /// How many tasks may be lost then.
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
    /// It was decided, and Auto Scaling could not be told; or the event is of another account or region.
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
            Self::Waiting => "waiting",
            Self::None => "none",
        }
    }
}
