//! One lease for all that is open of an instance, between hosts that die, freeze and come late.

use super::scripted::Fate;
use super::*;

async fn open(ledger: &Ledger) -> Open {
    ledger.open(&instance()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn of_two_deliveries_at_once_one_works() {
    let (one, store) = ledger();
    let (two, event) = (of(&store), terminating());
    let (first, second) = (wanted(&event), wanted(&event));
    let (a, b) = tokio::join!(one.claim(&first), two.claim(&second));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(a.is_busy() != b.is_busy(), "{a:?} and {b:?}");
    assert_eq!(open(&one).await.items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_lasts_as_long_as_it_is_renewed_and_what_was_lost_is_not_written() {
    let (one, store) = ledger();
    let (two, event) = (of(&store), terminating());
    let held = one.claim(&wanted(&event)).await.unwrap().ours();
    for _ in 0..10 {
        tokio::time::advance(Duration::from_secs(15)).await;
        one.renew(&held).await.unwrap();
        assert!(two.claim(&wanted(&event)).await.unwrap().is_busy());
        let item = &open(&one).await.items[0];
        assert_eq!(item.wake, at(0) + SignedDuration::try_from(held.until().left(at(0))).unwrap() + CLOCK_SKEW);
    }
    tokio::time::advance(Duration::from_secs(25)).await;
    let taken = two.claim(&wanted(&event)).await.unwrap().ours();
    let lost = one.note(&held, |item| item.state = Some("too late".to_owned())).await.unwrap_err();
    insta::assert_snapshot!(
        lost,
        @"the lease on i-0123456789abcdef0 was lost to another host: what this attempt came to is not counted, and its event comes again"
    );
    assert!(held.until().is_past(at(0)), "whoever looks at it finds out");
    assert!(matches!(one.release(&held, |_| {}).await, Err(LedgerError::Lost { .. })));
    let item = taken.item().await.unwrap();
    assert_eq!((item.attempts, item.interrupted, item.state), (2, 1, None));
    two.release(&taken, |item| item.state = Some("in time".to_owned())).await.unwrap();
    assert_eq!(open(&one).await.items[0].state.as_deref(), Some("in time"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_answer_was_lost_is_held() {
    for fate in [Fate::AnswerLost, Fate::Repeated] {
        let (ledger, store) = ledger();
        store.next([fate]);
        let held = ledger.claim(&wanted(&terminating())).await.unwrap().ours();
        assert!(!held.until().is_past(at(1)));
        assert_eq!(held.item().await.unwrap().attempts, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_comes_after_its_lease_is_worth_nothing() {
    let (one, store) = ledger();
    let (two, event) = (of(&store), terminating());
    // It took effect, and was read back only when another had taken over.
    let seen = two.claim(&wanted(&event)).await.unwrap().ours();
    tokio::time::advance(Duration::from_secs(30)).await;
    let bytes = store.text("open/123456789012/eu-central-1/i-0123456789abcdef0.json").await.unwrap();
    drop(seen);
    let stolen = bytes.clone();
    *store.others.lock().unwrap() = Some(Arc::new(move |ours: Vec<u8>| {
        let mut theirs: serde_json::Value = serde_json::from_slice(&ours).unwrap();
        let other: serde_json::Value = serde_json::from_str(&stolen).unwrap();
        theirs["lease"] = other["lease"].clone();
        serde_json::to_vec(&theirs).unwrap()
    }));
    store.next([Fate::ThenOthers(1)]);
    let held = one.claim(&wanted(&event)).await.unwrap().ours();
    assert!(held.until().is_past(at(0)), "the end of another's lease is not ours");
    assert!(matches!(one.renew(&held).await, Err(LedgerError::Lost { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_instance_without_items_leaves_no_object() {
    let (ledger, store) = ledger();
    let (terminating, spot) = (terminating(), notice("spot"));
    let held = ledger.claim(&wanted(&terminating)).await.unwrap().ours();
    ledger.claim(&wanted(&spot)).await.unwrap();
    ledger.end(&held, &Decision::Done, Some(Completion::Continue)).await.unwrap();
    assert_eq!(open(&ledger).await.items.len(), 1, "the other event is still open");
    let held = ledger.claim(&wanted(&spot)).await.unwrap().ours();
    ledger.end(&held, &Decision::Done, None).await.unwrap();
    assert_eq!(store.keys().await, ["ended/123456789012/eu-central-1/i-0123456789abcdef0.json"]);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_instance_begins_anew() {
    let (ledger, store) = ledger();
    let event = terminating();
    let held = ledger.claim(&wanted(&event)).await.unwrap().ours();
    ledger.release(&held, |_| {}).await.unwrap();
    store.put("open/123456789012/eu-central-1/i-0123456789abcdef0.json", b"edited by hand").await;
    let held = ledger.claim(&wanted(&event)).await.unwrap().ours();
    assert_eq!(held.item().await.unwrap().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_orders_and_asks_for_is_kept_whoever_holds_the_lease() {
    let (ledger, _) = ledger();
    let event = terminating();
    let unknown = crate::testing::open_item();
    assert_eq!(ledger.order(&instance(), &unknown, LifecycleResult::Continue, "me").await.unwrap(), None);
    assert_eq!(ledger.retry(&instance(), &unknown, "me").await.unwrap(), None);
    let held = ledger.claim(&wanted(&event)).await.unwrap().ours();
    tokio::time::advance(Duration::from_secs(10)).await;
    let seen = held.item().await.unwrap();
    let ordered = ledger.order(&instance(), &seen, LifecycleResult::Continue, "me").await.unwrap().unwrap();
    let order = Order { result: LifecycleResult::Continue, by: "me".to_owned(), at: at(10) };
    assert_eq!(ordered.order, Some(order.clone()));
    ledger.release(&held, |item| (item.failures, item.due) = (3, at(7_200))).await.unwrap();
    assert_eq!(open(&ledger).await.items[0].order, Some(order));

    tokio::time::advance(Duration::from_secs(10)).await;
    let retried = ledger.retry(&instance(), &seen, "me").await.unwrap().unwrap();
    assert_eq!((retried.failures, retried.interrupted, retried.due, retried.wake), (0, 0, at(20), at(10)));

    // What has begun anew since it was looked at is not what the person meant.
    let before = Item { taken: at(-10), ..seen };
    assert_eq!(ledger.order(&instance(), &before, LifecycleResult::Abandon, "me").await.unwrap(), None);
}
