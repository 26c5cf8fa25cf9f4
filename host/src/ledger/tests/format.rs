//! What is written, to the letter: other versions of Hostler read it, and what they cannot read passes for damage.
//!
//! A change of these snapshots is a change of the format. A field that is added needs a default, so that hosts that are newer read what
//! older ones have written; anything else needs another [`FORMAT`].

use super::super::swap::bytes;
use super::*;
use crate::lifecycle::HookTimes;
use crate::testing::{ended_item, open_item};

fn open_work() -> Open {
    let hook = HookTimes { heartbeat_timeout: Duration::from_secs(300), global_timeout: Duration::from_secs(30_000) };
    let told = Told {
        attempt: 1,
        began: at(0),
        ended: Some(at(1)),
        outcome: Some("again".to_owned()),
        note: "1 task still running: web x1".to_owned(),
        module: "0123456789ab".to_owned(),
    };
    let result = LifecycleResult::Continue;
    let item = Item {
        hook: Some(hook),
        heartbeat: Some(at(150)),
        state: Some("left".to_owned()),
        order: Some(Order { result, by: "me".to_owned(), at: at(160) }),
        finishing: Some(Finishing { decision: Decision::Done, result: Some(result), sent: true, at: at(170) }),
        told: vec![told],
        ..open_item()
    };
    let lease = Lease {
        id: "lease".to_owned(),
        holder: "this host".to_owned(),
        item: item.id.clone(),
        since: at(169),
        until: at(189),
    };
    Open { generation: 7, writes: vec!["0123456789abcdef".to_owned()], lease: Some(lease), items: vec![item] }
}

fn written<O: Object>(object: &O) -> Vec<u8> {
    bytes(&MemoryStore::default(), "key", object, 1 << 20).unwrap()
}

fn shown(written: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(written).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

#[tokio::test]
async fn what_is_written_of_open_work_is_read_again_by_every_version() {
    let (ledger, store) = ledger();
    let key = "open/123456789012/eu-central-1/i-0123456789abcdef0.json";
    let written = written(&open_work());
    insta::assert_snapshot!(shown(&written));
    store.put(key, &written).await;
    assert_eq!(ledger.open(&instance()).await.unwrap(), open_work());
}

#[tokio::test]
async fn what_is_written_of_ended_work_is_read_again_by_every_version() {
    let (ledger, store) = ledger();
    let key = "ended/123456789012/eu-central-1/i-0123456789abcdef0.json";
    let why = "the deadline has passed".to_owned();
    let items = vec![ended_item(Decision::GaveUp { why }, Some(Completion::Abandon))];
    let ended = Ended { generation: 3, writes: vec!["0123456789abcdef".to_owned()], items };
    let written = written(&ended);
    insta::assert_snapshot!(shown(&written));
    store.put(key, &written).await;
    assert_eq!(ledger.ended(&instance()).await.unwrap(), ended);
}
