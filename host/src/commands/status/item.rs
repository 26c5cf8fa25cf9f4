//! Open and ended items as JSON: the form that scripts rely on.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::ledger::{EndedItem, Finishing, Item, Lease, Open, Order, Retried, Standing, Told};
use crate::lifecycle::Completion;
use crate::outcome::Decision;
use crate::ports::{AccountId, GroupName, HookName, InstanceId, Place, Region};

/// An open item.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct OpenItem<'a> {
    instance: Option<&'a InstanceId>,
    account: &'a AccountId,
    region: &'a Region,
    item: &'a str,
    event: &'a str,
    kind: &'static str,
    group: Option<&'a GroupName>,
    hook: Option<&'a HookName>,
    handler: &'a str,
    standing: Standing,
    overdue: bool,
    taken: Timestamp,
    age_seconds: i64,
    deadline: Timestamp,
    due: Timestamp,
    wake: Timestamp,
    attempts: u32,
    failures: u32,
    interrupted: u32,
    outcome: Option<&'a str>,
    note: Option<&'a str>,
    digest: Option<&'a str>,
    lease: Option<Value>,
    order: Option<&'a Order>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retried: Option<&'a Retried>,
    finishing: Option<&'a Finishing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<&'a [Told]>,
}

impl<'a> OpenItem<'a> {
    pub(super) fn of(open: &'a Open, item: &'a Item, place: &'a Place, now: Timestamp) -> Self {
        let (event, standing) = (&item.event, open.standing(item, now));
        let action = event.lifecycle_action.as_ref();
        let last = item.last_ended();
        Self {
            instance: event.instance.as_ref(),
            account: &place.account,
            region: &place.region,
            item: &item.id,
            event: &event.id,
            kind: event.kind.as_str(),
            group: action.map(|action| &action.group).or(event.group.as_ref()),
            hook: action.map(|action| &action.hook),
            handler: &item.handler,
            standing,
            overdue: standing == Standing::Overdue,
            taken: item.taken,
            age_seconds: now.duration_since(item.taken).as_secs(),
            deadline: item.deadline,
            due: item.due,
            wake: item.wake,
            attempts: item.attempts,
            failures: item.failures,
            interrupted: item.interrupted,
            outcome: last.and_then(|last| last.outcome.as_deref()),
            note: last.map(|last| last.note.as_str()),
            digest: last.map(|last| last.module.as_str()),
            lease: open.held(now).map(lease),
            order: item.order.as_ref(),
            retried: item.retried.as_ref(),
            finishing: item.finishing.as_ref(),
            told: None,
        }
    }

    /// The same with every attempt.
    pub(super) fn with_attempts(self, item: &'a Item) -> Self {
        Self { told: Some(&item.told), ..self }
    }
}

fn lease(Lease { holder, item, since, until, .. }: &Lease) -> Value {
    json!({ "holder": holder, "item": item, "since": since, "until": until })
}

/// An item that has ended.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Past<'a> {
    item: &'a str,
    event: &'a str,
    kind: &'a str,
    handler: &'a str,
    happened: Timestamp,
    taken: Timestamp,
    ended: Timestamp,
    #[serde(flatten)]
    decision: &'a Decision,
    lifecycle: Option<Completion>,
    attempts: u32,
    told: &'a [Told],
}

impl<'a> From<&'a EndedItem> for Past<'a> {
    fn from(ended: &'a EndedItem) -> Self {
        Self {
            item: &ended.id,
            event: &ended.event,
            kind: &ended.kind,
            handler: &ended.handler,
            happened: ended.time,
            taken: ended.taken,
            ended: ended.ended,
            decision: &ended.decision,
            lifecycle: ended.lifecycle,
            attempts: ended.attempts,
            told: &ended.told,
        }
    }
}
