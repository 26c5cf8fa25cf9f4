//! What was written down, and is read again: by another version, after a person has edited it, or after somebody else could write there.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::{INSTANCE, in_virtual_time, now, parts, terminating};
use crate::clock::VirtualClock;
use crate::event::Event;
use crate::ledger::{Claim, Held, Ledger, MemoryStore, Store, Wanted};
use crate::lifecycle::{Completion, LifecycleResult};
use crate::outcome::Decision;
use crate::ports::{InstanceId, Place};
use crate::recording::{Recording, to_case};

/// The open work of an instance, and behind `---` what has ended of it.
///
/// Whatever stands there, hosts can work over it: two never at once, and what one has ended stays ended. What is sound is written as
/// it was read, and what is written can be read again.
pub fn ledger(bytes: &[u8]) {
    let (open, ended) = parts(bytes);
    in_virtual_time(async {
        let event = terminating();
        let place = Place { account: event.account.clone(), region: event.region.clone() };
        let clock = Arc::new(VirtualClock::at(now()));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        for (folder, bytes) in [("open", open), ("ended", ended)] {
            let key = format!("{folder}/{}/{}/{INSTANCE}.json", place.account, place.region);
            store.write(&key, bytes.to_vec(), None).await.expect("nothing is there yet");
        }
        let host = |name: &str| Ledger::new(store.clone(), clock.clone(), place.clone(), name);
        looked_at(&host("onlooker").only_looking()).await;
        worked_over(&host("one"), &host("other"), &event).await;
        looked_at(&host("onlooker").only_looking()).await;
    });
}

/// What people are shown.
async fn looked_at(ledger: &Ledger) {
    let instance = InstanceId::parse(INSTANCE).expect("an instance");
    if let Ok(open) = ledger.open(&instance).await {
        let written = serde_json::to_vec(&open).expect("it can be written");
        assert_eq!(serde_json::from_slice(&written).ok(), Some(open.clone()), "written and read");
        for item in &open.items {
            let _ = (open.standing(item, now()), open.worry(item, now()), open.held(now()), item.last_ended());
        }
    }
    if let Ok(ended) = ledger.ended(&instance).await {
        let written = serde_json::to_vec(&ended).expect("it can be written");
        assert_eq!(serde_json::from_slice(&written).ok(), Some(ended.clone()), "written and read");
        for item in &ended.items {
            let _ = (item.is_left_to_its_hook(Duration::MAX, now()), item.decision.told());
        }
    }
    let _ = ledger.all_open(None).await;
}

/// Two hosts, a person, and the sweep.
async fn worked_over(one: &Ledger, other: &Ledger, event: &Event) {
    let wanted = Wanted { event, handler: "fuzzed", deadline: now() + SignedDuration::from_hours(1), hook: None };
    let instance = InstanceId::parse(INSTANCE).expect("an instance");
    let _ = one.adopt(&wanted, (now(), now())).await;
    if let Ok(Some(item)) = other.open_of(event).await {
        let _ = other.retry(&instance, &item, "a person").await;
        let _ = other.order(&instance, &item, LifecycleResult::Continue, "a person").await;
    }
    for _ in 0..3 {
        let Ok(claim) = one.claim(&wanted).await else { break };
        match claim {
            Claim::Ended(_) => break,
            // Longer than anything can be held, or wait for its time.
            Claim::Busy(..) | Claim::NotDue(_) => tokio::time::sleep(Duration::from_secs(2 * 60 * 60)).await,
            Claim::Ours(held) => return ended_by(one, &held, other, &wanted).await,
        }
    }
}

/// What one holds no other gets, and what it has ended has ended for the other.
async fn ended_by(one: &Ledger, held: &Held, other: &Ledger, wanted: &Wanted<'_>) {
    let claimed = other.claim(wanted).await;
    assert!(!matches!(claimed, Ok(Claim::Ours(_))), "two hosts at once: {claimed:?}");
    one.renew(held).await.expect("it is ours");
    one.note(held, |item| item.state = Some("noted".to_owned())).await.expect("it is ours");
    let item = held.item().await.expect("what is worked on is there");
    assert_eq!(item.state.as_deref(), Some("noted"));
    // Whoever wrote the ends may have given this very occurrence one, of any token: the first end stays.
    let instance = InstanceId::parse(INSTANCE).expect("an instance");
    let has_an_end = one.ended(&instance).await.is_ok_and(|ended| ended.end_of(&item).is_some());
    one.end(held, &Decision::Done, Some(Completion::Continue)).await.expect("it is ours");
    let claimed = other.claim(wanted).await;
    // Of another token it was another action of the same hook, and the one that is wanted begins after it.
    let token = wanted.event.lifecycle_action.as_ref().and_then(|action| action.token.as_ref());
    let same = item.token() == token && !has_an_end;
    assert!(matches!(claimed, Ok(Claim::Ended(_))) || !same, "ended, and then {claimed:?}");
    let _ = one.sweep_ended(Duration::ZERO).await;
}

/// A recording.
///
/// It is refused with a reason, or read and made a case of: a page that is TOML, whatever the recorded texts are.
pub fn recording(bytes: &[u8]) {
    match Recording::parse("fuzzed.jsonl", bytes) {
        Ok(recording) => {
            let case = to_case(&recording);
            assert!(case.parse::<toml::Table>().is_ok(), "a case that is no TOML:\n{case}");
            let _ = recording.modules();
        }
        Err(error) => assert!(error.to_string().starts_with("fuzzed.jsonl"), "{error}"),
    }
}
