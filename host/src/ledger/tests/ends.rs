//! Ends, and the deliveries that find them.

use super::scripted::Fate;
use super::*;

async fn ends(ledger: &Ledger) -> Vec<EndedItem> {
    ledger.ended(&instance()).await.unwrap().items
}

/// Works on an event, and brings it to its end.
async fn end(ledger: &Ledger, event: &Event, completion: Completion) {
    let held = ledger.claim(&wanted(event)).await.unwrap().ours();
    ledger.end(&held, &Decision::Done, Some(completion)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_further_delivery_finds_the_end_and_leaves_nothing_open() {
    let (ledger, store) = ledger();
    end(&ledger, &terminating(), Completion::Continue).await;
    let ended = ledger.claim(&wanted(&terminating())).await.unwrap().ended();
    assert_eq!((ended.decision, ended.lifecycle, ended.attempts), (Decision::Done, Some(Completion::Continue), 1));
    assert_eq!(store.keys().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn occurrences_are_told_apart_by_token_and_where_there_is_none_by_time() {
    let cases = [
        // What ended after a minute, what comes then, and whether it had ended.
        ((0, Some("a")), (0, Some("a")), true),
        ((0, Some("a")), (500, Some("b")), false),
        // Auto Scaling holds an instance by one action of a hook at a time: what was before it is over.
        ((0, Some("a")), (-500, Some("b")), true),
        ((0, Some("a")), (0, None), true),
        ((0, Some("a")), (500, None), false),
        ((0, None), (0, Some("a")), true),
        ((0, None), (500, Some("a")), false),
        ((0, None), (0, None), true),
        ((0, None), (500, None), false),
    ];
    for (first, second, covered) in cases {
        let (ledger, _) = ledger();
        let held = ledger.claim(&wanted(&terminating_at(first.0, first.1))).await.unwrap().ours();
        tokio::time::advance(Duration::from_secs(10)).await;
        ledger.end(&held, &Decision::Done, Some(Completion::Continue)).await.unwrap();
        tokio::time::advance(Duration::from_secs(600)).await;
        let second_event = terminating_at(second.0, second.1);
        let claimed = ledger.claim(&wanted(&second_event)).await.unwrap();
        assert_eq!(matches!(claimed, Claim::Ended(_)), covered, "{first:?}, then {second:?}: {claimed:?}");
        if !covered {
            ledger.end(&claimed.ours(), &Decision::Done, Some(Completion::Abandon)).await.unwrap();
            assert_eq!(ends(&ledger).await.len(), 2);
            let again = ledger.claim(&wanted(&second_event)).await.unwrap().ended();
            assert_eq!(again.lifecycle, Some(Completion::Abandon));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_delivery_does_not_clear_away_a_newer_occurrence() {
    let (ledger, _) = ledger();
    let (first, second) = (terminating_at(0, Some("first")), terminating_at(500, Some("second")));
    end(&ledger, &first, Completion::Continue).await;
    // The newer is noted while another event is worked on, and the older is delivered before it comes again.
    let spot = notice("spot");
    let held = ledger.claim(&wanted(&spot)).await.unwrap().ours();
    assert!(ledger.claim(&wanted(&second)).await.unwrap().is_busy());
    ledger.end(&held, &Decision::Done, None).await.unwrap();
    let held = ledger.claim(&wanted(&first)).await.unwrap().ours();
    assert_eq!(held.item().await.unwrap().token().unwrap(), "second");
}

#[tokio::test(start_paused = true)]
async fn whoever_dies_before_it_looks_leaves_the_end_to_be_found() {
    let (ledger, store) = ledger();
    end(&ledger, &terminating(), Completion::Continue).await;
    for _ in 0..3 {
        // The item is made anew, and its host dies before it has looked for the end.
        let event = terminating();
        let wanted = wanted(&event);
        let looked = ledger.claim(&wanted);
        store.next([Fate::Done, Fate::DiesBefore]);
        assert!(tokio::time::timeout(Duration::from_secs(1), looked).await.is_err());
        tokio::time::advance(Duration::from_secs(30)).await;
    }
    assert_eq!(ledger.open(&instance()).await.unwrap().items[0].attempts, 3);
    ledger.claim(&wanted(&terminating())).await.unwrap().ended();
    assert_eq!(ends(&ledger).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_dies_between_the_end_and_its_clearing_is_not_repeated() {
    let (ledger, store) = ledger();
    let event = terminating();
    let held = ledger.claim(&wanted(&event)).await.unwrap().ours();
    store.next([Fate::Done, Fate::DiesBefore]);
    let ended = ledger.end(&held, &Decision::Done, Some(Completion::Continue));
    assert!(tokio::time::timeout(Duration::from_secs(1), ended).await.is_err());
    assert!(ledger.claim(&wanted(&event)).await.unwrap().is_busy());
    tokio::time::advance(Duration::from_secs(30)).await;
    ledger.claim(&wanted(&event)).await.unwrap().ended();
    assert_eq!(store.keys().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_looked_for_costs_no_attempt() {
    let (ledger, store) = ledger();
    let event = terminating();
    let held = ledger.claim(&wanted(&event)).await.unwrap().ours();
    ledger.release(&held, |item| item.told[0].outcome = Some("again".to_owned())).await.unwrap();
    // What is open is read, and what has ended cannot be.
    store.unreadable.lock().unwrap().extend([false, true]);
    insta::assert_snapshot!(
        ledger.claim(&wanted(&event)).await.unwrap_err(),
        @"the ledger cannot be read, s3://bucket/ended/123456789012/eu-central-1/i-0123456789abcdef0.json: no answer"
    );
    let open = ledger.open(&instance()).await.unwrap();
    assert_eq!((open.items[0].attempts, open.items[0].told.len(), open.lease), (1, 1, None));
    assert_eq!(ledger.claim(&wanted(&event)).await.unwrap().ours().item().await.unwrap().interrupted, 0);
}

#[tokio::test(start_paused = true)]
async fn the_first_end_stays_and_whoever_comes_late_clears_it_away_all_the_same() {
    let (frozen, store) = ledger();
    let (other, event, spot) = (of(&store), terminating(), notice("spot"));
    let held = frozen.claim(&wanted(&event)).await.unwrap().ours();
    tokio::time::advance(Duration::from_secs(30)).await;
    end(&other, &event, Completion::Continue).await;
    // By now Auto Scaling says that the action is over.
    frozen.end(&held, &Decision::Done, Some(Completion::Late)).await.unwrap();
    assert_eq!(ends(&other).await.iter().map(|end| end.lifecycle).collect::<Vec<_>>(), [Some(Completion::Continue)]);

    // Another works on something else of the instance meanwhile.
    let again = terminating_at(900, Some("again"));
    let held = frozen.claim(&wanted(&again)).await.unwrap().ours();
    tokio::time::advance(Duration::from_secs(30)).await;
    let others = other.claim(&wanted(&spot)).await.unwrap().ours();
    frozen.end(&held, &Decision::Done, Some(Completion::Continue)).await.unwrap();
    let open = other.open(&instance()).await.unwrap();
    assert_eq!(open.items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["spot"]);
    other.end(&others, &Decision::Done, None).await.unwrap();
    assert_eq!((ends(&other).await.len(), store.keys().await.len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn ends_are_kept_for_a_time_and_not_without_number() {
    let (ledger, store) = ledger();
    for number in 0..30 {
        end(&ledger, &notice(&format!("event {number}")), Completion::Left).await;
    }
    let kept = ends(&ledger).await;
    assert_eq!((kept.len(), kept[0].id.as_str(), kept[23].id.as_str()), (24, "event 6", "event 29"));

    let keep = Duration::from_secs(24 * 3600);
    tokio::time::advance(Duration::from_secs(23 * 3600)).await;
    assert_eq!(ledger.sweep_ended(keep).await.unwrap(), 0);
    tokio::time::advance(Duration::from_secs(2 * 3600)).await;
    // An object that this version cannot read keeps nobody from removing the others.
    store.put("ended/123456789012/eu-central-1/i-00000000.json", br#"{"format":9}"#).await;
    tokio::time::advance(Duration::from_secs(25 * 3600)).await;
    assert_eq!(ledger.sweep_ended(keep).await.unwrap(), 1);
    assert_eq!(store.keys().await, ["ended/123456789012/eu-central-1/i-00000000.json"]);
}

#[tokio::test(start_paused = true)]
async fn no_flood_of_other_ends_makes_that_of_an_action_forgotten() {
    let (ledger, _) = ledger();
    end(&ledger, &terminating(), Completion::Continue).await;
    for number in 0..30 {
        let held = ledger.claim(&wanted(&notice(&format!("notice {number}")))).await.unwrap().ours();
        ledger.end(&held, &Decision::Done, None).await.unwrap();
    }
    assert_eq!(ends(&ledger).await.len(), 24);
    assert!(matches!(ledger.claim(&wanted(&terminating())).await.unwrap(), Claim::Ended(_)));
}
