use jiff::SignedDuration;

use super::*;
use crate::dispatch::Step;
use crate::dispatch::tests::host;
use crate::ledger::{Finishing, LEASE, Lease, MemoryStore, Open, Retried, Store};
use crate::lifecycle::LifecycleResult;
use crate::outcome::Decision;
use crate::testing::{INSTANCE, START, VirtualClock, guests, open_item, policy, put_open};

fn now() -> Timestamp {
    START.parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

/// What is said, and the item afterwards.
async fn retried(open: Open, policy: &Policy) -> (String, Item) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    put_open(&*store, &open).await;
    let instance = InstanceId::parse(INSTANCE).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
    let known = desk::known(desk::ledgers(&store, &clock).await.unwrap(), &instance).await.unwrap().unwrap();
    let mut out = Vec::new();
    let item = &known.open.items[0];
    retry(&mut out, (&instance, "ops@laptop"), &known, item, policy, now()).await.unwrap();
    let after = known.ledger.open(&instance).await.unwrap().items.remove(0);
    (String::from_utf8(out).unwrap(), after)
}

fn one(item: Item) -> Open {
    Open { items: vec![item], ..Open::default() }
}

#[tokio::test(start_paused = true)]
async fn failures_are_forgiven_and_it_is_said_when_a_host_comes() {
    let failing = Item { failures: 4, interrupted: 2, due: at(60), wake: at(40), ..open_item() };
    let (text, after) = retried(one(failing), &policy("")).await;
    assert_eq!((after.failures, after.interrupted, after.due), (0, 0, now()));
    assert_eq!(after.retried, Some(Retried { by: "ops@laptop".to_owned(), at: now(), failures: 4 }));
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: terminating, hook drain of group web: the next attempt is due now, and its 4
      failures in a row are forgiven. A host comes for it in 40s or sooner
    ");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_comes_for_is_left_to_the_sweep_if_there_is_one() {
    let overdue = || one(Item { due: at(-600), wake: at(-600), ..open_item() });
    insta::assert_snapshot!(retried(overdue(), &policy("")).await.0, @"
    i-0123456789abcdef0: terminating, hook drain of group web: the next attempt is due now. But no host
      has come for it since 2026-01-15T02:50:00Z: it goes on when its event is delivered again, or once
      a host has [sweep]; meanwhile hostler finish or hostler abandon ends it
    ");
    let mut swept = policy("");
    swept.sweep = Some(crate::policy::SweepPolicy { every: std::time::Duration::from_secs(60) });
    insta::assert_snapshot!(retried(overdue(), &swept).await.0, @"
    i-0123456789abcdef0: terminating, hook drain of group web: the next attempt is due now. But no host
      has come for it since 2026-01-15T02:50:00Z: see whether a host with [sweep] runs: it takes such
      work up, every 1 minute; meanwhile hostler finish or hostler abandon ends it
    ");
}

/// An item that a host works on, for 8 seconds.
fn worked_on(item: Item) -> Open {
    let (id, holder) = ("1".to_owned(), "worker-1 (process 7)".to_owned());
    let lease = Lease { id, holder, item: item.id.clone(), since: at(-8), until: at(-8) + LEASE };
    Open { lease: Some(lease), ..one(item) }
}

#[tokio::test(start_paused = true)]
async fn what_is_being_worked_on_is_tried_again_right_after() {
    let (text, after) = retried(worked_on(Item { failures: 4, due: at(-8), ..open_item() }), &policy("")).await;
    assert_eq!((after.failures, after.due), (0, now()));
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: terminating, hook drain of group web: worker-1 (process 7) works on it, for 8s;
      unless that brings it to its end, the next attempt is due right after it, and its 4 failures in a
      row are forgiven
    ");
    let decision = Decision::Done;
    let finishing = Finishing { decision, result: Some(LifecycleResult::Continue), sent: true, at: at(-60) };
    let finishing = || Item { finishing: Some(finishing.clone()), ..open_item() };
    insta::assert_snapshot!(retried(worked_on(finishing()), &policy("")).await.0, @"
    i-0123456789abcdef0: terminating, hook drain of group web: worker-1 (process 7) works on it, for 8s;
      its end is decided, and unless that brings it to its end, the next try to tell Auto Scaling is due
      right after it
    ");
    insta::assert_snapshot!(retried(one(finishing()), &policy("")).await.0, @"
    i-0123456789abcdef0: terminating, hook drain of group web: its end is decided, and the next try to
      tell Auto Scaling is due now. A host comes for it at any moment
    ");
}

#[tokio::test(start_paused = true)]
async fn the_host_at_work_makes_the_further_attempt_and_forgives_what_failed_before() {
    let sections = "[handler.finish]\nmax-attempts = 1\non-failure = \"abandon\"
        [handler.grants]\necs = { clusters = [\"c\"], allow = [\"drain\"] }";
    let host = host(Some(guests::drain_of(INSTANCE)), sections);
    let (store, clock): (Arc<dyn Store>, _) = (host.store.clone(), host.dispatch.ports.clock.clone());
    let event = crate::testing::terminating();
    let person = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        let instance = InstanceId::parse(INSTANCE).unwrap();
        let known = desk::known(desk::ledgers(&store, &clock).await.unwrap(), &instance).await.unwrap().unwrap();
        let item = &known.open.items[0];
        retry(&mut Vec::new(), (&instance, "ops@laptop"), &known, item, &policy(""), clock.now()).await.unwrap()
    };
    // Its only attempt takes a minute and fails: without the person the host would give up.
    let (step, ()) = tokio::join!(host.dispatch.step(&event, None), person);
    let now = clock.now();
    assert!(matches!(step, Ok(Step::Later { due, .. }) if due <= now), "{step:?}");
}

/// What is said to somebody who waits for a minute, while `meanwhile` happens to the item after ten seconds.
async fn waited_for(meanwhile: impl Fn(&mut Item)) -> (u8, String) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let item = Item { attempts: 4, failures: 4, due: at(60), wake: at(60), ..open_item() };
    put_open(&*store, &one(item.clone())).await;
    let instance = InstanceId::parse(INSTANCE).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
    let known = desk::known(desk::ledgers(&store, &clock).await.unwrap(), &instance).await.unwrap().unwrap();
    let mut out = Vec::new();
    let waits = see_through(&mut out, &instance, &known, &item, Duration::from_secs(60));
    let host = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        known.ledger.remark(&item.event, meanwhile).await.unwrap();
    };
    let (code, ()) = tokio::join!(waits, host);
    (code.unwrap(), String::from_utf8(out).unwrap())
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_what_the_attempt_came_to() {
    let (code, text) = waited_for(|item| {
        item.attempts = 5;
        item.told = vec![Told { attempt: 5, ..crate::testing::told("again", "2 tasks left") }];
    })
    .await;
    assert_eq!(code, DUE);
    insta::assert_snapshot!(text, @"i-0123456789abcdef0: attempt 5 ended: again: 2 tasks left");
    let (code, text) = waited_for(|item| item.attempts = 5).await;
    assert_eq!(code, NOT_IN_TIME);
    insta::assert_snapshot!(text, @"i-0123456789abcdef0: no attempt has ended within 1 minute");
}
