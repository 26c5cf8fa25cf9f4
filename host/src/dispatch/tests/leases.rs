//! Hosts that lose their lease, stand still, or die again and again.

use super::*;
use crate::ledger::LedgerError;
use crate::ledger::tests::scripted::Fate;
use crate::ports::HookName;

/// Attempts take a minute: nobody answers the handler.
const LONG: &str = "[handler.grants]\necs = { clusters = [\"c\"], allow = [\"drain\"] }";

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_when_its_lease_is_another_hosts() {
    let host = host(Some(guests::drain_of(INSTANCE)), LONG);
    let began = Instant::now();
    let key = format!("open/123456789012/eu-central-1/{INSTANCE}.json");
    let thief = async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        let mut open: serde_json::Value = serde_json::from_str(&host.store.text(&key).await.unwrap()).unwrap();
        open["lease"]["id"] = "another".into();
        host.store.put(&key, open.to_string().as_bytes()).await;
    };
    let (stepped, ()) = tokio::join!(async { host.dispatch.step(&terminating(), None).await }, thief);
    assert_eq!(stepped, Err(LedgerError::Lost { subject: INSTANCE.to_owned() }.into()));
    assert_eq!(began.elapsed(), Duration::from_secs(12), "with the next renewal");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_before_a_lease_that_cannot_be_renewed() {
    let host = host(Some(guests::drain_of(INSTANCE)), LONG);
    host.store.next(std::iter::once(Fate::Done).chain(vec![Fate::Refused; 100]));
    let began = Instant::now();
    let error = host.dispatch.step(&terminating(), None).await.unwrap_err();
    assert!(matches!(error, DispatchError::Ledger(LedgerError::Lost { .. })), "{error}");
    assert!((17..=18).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_a_claim_took_is_not_counted_as_lease() {
    let host = host(Some(guests::drain_of(INSTANCE)), LONG);
    // Until the hook's times are given up, five seconds of the lease are gone.
    host.recorder.silent.store(true, Ordering::SeqCst);
    host.store.next(std::iter::once(Fate::Done).chain(vec![Fate::Refused; 100]));
    let began = Instant::now();
    host.dispatch.step(&terminating(), None).await.unwrap_err();
    assert!(began.elapsed() <= Duration::from_secs(18), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stood_still_does_nothing_more_after_its_lease() {
    for guest in [guests::drain_of(INSTANCE), guests::done()] {
        let host = host(Some(guest), LONG);
        host.recorder.deadly.store(true, Ordering::SeqCst);
        let event = terminating();
        let mut step = Box::pin(host.dispatch.step(&event, None));
        assert!(tokio::time::timeout(Duration::from_secs(10), &mut step).await.is_err());
        let (told, tried) = (host.told(), host.store.tried.lock().unwrap().len());
        tokio::time::advance(Duration::from_secs(600)).await;
        assert_eq!(step.await, Err(LedgerError::Lost { subject: INSTANCE.to_owned() }.into()));
        assert_eq!((host.told(), host.store.tried.lock().unwrap().len()), (told, tried));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_its_host_with_it_each_time_comes_to_an_end_too() {
    let host = host(Some(guests::drain_of(INSTANCE)), LONG);
    for attempt in 1..=10 {
        host.killed_during(&terminating()).await;
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(host.open().await[0].attempts, attempt);
    }
    let worked = host.work(terminating()).await;
    let why = "10 attempts in a row ended with their host, or with their door's time".to_owned();
    assert_eq!((worked.decision, worked.attempts), (Decision::GaveUp { why }, 10));
    let ended = host.dispatch.ledger.ended(&InstanceId::parse(INSTANCE).unwrap()).await.unwrap().items.remove(0);
    assert_eq!(ended.told.iter().filter(|told| told.outcome.as_deref() == Some("interrupted")).count(), 10);
    assert_eq!(ended.told.len(), 10, "the attempt that was not made is not told");
}

#[tokio::test(start_paused = true)]
async fn attempts_that_end_forgive_those_that_did_not() {
    let host = host(Some(guests::drain_of(INSTANCE)), &format!("[handler.finish]\nmax-attempts = 100\n{LONG}"));
    for _ in 0..4 {
        for _ in 0..6 {
            host.killed_during(&terminating()).await;
            tokio::time::advance(Duration::from_secs(60)).await;
        }
        let step = host.dispatch.step(&terminating(), None).await;
        assert!(matches!(step, Ok(Step::Later { .. })), "{step:?}");
        assert_eq!(host.open().await[0].interrupted, 0);
        tokio::time::advance(Duration::from_secs(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_deadline_passed_while_nobody_lived_is_tried_once_more() {
    let host = host(Some(guests::again(60, 100)), "[handler.finish]\ndeadline = \"10m\"");
    host.dispatch.step(&terminating(), None).await.unwrap();
    tokio::time::advance(Duration::from_secs(3_600)).await;
    let worked = host.work(terminating()).await;
    assert_eq!((worked.decision.as_str(), worked.attempts), ("gave-up", 2));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_asked_to_end_gives_its_lease_back_and_blames_nobody() {
    let host = host(Some(guests::drain_of(INSTANCE)), LONG);
    let event = terminating();
    let mut step = Box::pin(host.dispatch.step(&event, None));
    assert!(tokio::time::timeout(Duration::from_secs(3), &mut step).await.is_err());
    host.dispatch.closing.begin();
    assert!(tokio::time::timeout(Duration::from_secs(3), &mut step).await.is_err(), "it has time to end by itself");
    host.dispatch.closing.cut();
    let Ok(Step::Later { note, .. }) = step.await else { panic!("it came to an end") };
    assert_eq!(note, "attempt 1 was cut short: the host ended");
    let open = host.dispatch.ledger.open(&InstanceId::parse(INSTANCE).unwrap()).await.unwrap();
    assert_eq!((open.lease.is_none(), open.items[0].interrupted, open.items[0].failures), (true, 1, 0));

    // No other attempt is begun here, and the next process begins one at once.
    let again = host.dispatch.step(&event, None).await;
    assert!(matches!(&again, Ok(Step::Later { note, .. }) if note == "no time is left for an attempt"), "{again:?}");
    let next = host.restarted(guests::done(), "");
    assert_eq!(next.work(event).await.attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_next_attempt_in_a_process_that_ends() {
    let host = host(Some(guests::again(60, 3)), "");
    let began = Instant::now();
    let end = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        host.dispatch.closing.begin();
    };
    let (handled, ()) = tokio::join!(host.handle(terminating()), end);
    assert!(matches!(handled, Err(DispatchError::Waits { .. })), "{handled:?}");
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    assert_eq!(host.told(), ["heartbeat"], "until the next process begins its action has to live");
}

#[tokio::test(start_paused = true)]
async fn whoever_gets_no_room_until_the_door_closes_has_made_no_attempt() {
    let host = host(Some(guests::drain_of(INSTANCE)), LONG);
    let mut others = Vec::new();
    for _ in 0..2 {
        others.push(host.dispatch.sandbox.slot().await);
    }
    for _ in 0..12 {
        let closes = Instant::now() + Duration::from_secs(30);
        let step = host.dispatch.step(&terminating(), Some(closes)).await;
        assert!(matches!(&step, Ok(Step::Later { note, .. }) if note == "there was no room for it yet"), "{step:?}");
        let item = host.open().await.remove(0);
        assert_eq!((item.attempts, item.interrupted, item.failures), (0, 0, 0));
    }
    drop(others);
    // With less time than an attempt takes, none is begun either.
    let step = host.dispatch.step(&terminating(), Some(Instant::now() + Duration::from_secs(14))).await;
    assert!(matches!(step, Ok(Step::Later { .. })) && host.open().await[0].attempts == 0);
}

#[tokio::test(start_paused = true)]
async fn room_that_comes_too_late_for_an_attempt_is_not_used() {
    let host = host(Some(guests::drain_of(INSTANCE)), LONG);
    let (one, _other) = (host.dispatch.sandbox.slot().await, host.dispatch.sandbox.slot().await);
    let event = terminating();
    // Ten of the thirty seconds are for the end.
    let step = host.dispatch.step(&event, Some(Instant::now() + Duration::from_secs(30)));
    let late = async {
        tokio::time::sleep(Duration::from_secs(17)).await;
        drop(one);
    };
    let (step, ()) = tokio::join!(step, late);
    assert!(matches!(&step, Ok(Step::Later { note, .. }) if note == "there was no room for it yet"), "{step:?}");
    assert_eq!(host.open().await[0].attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn an_action_for_which_there_is_no_room_is_kept_alive_until_there_is() {
    let host = host(Some(guests::again(60, 9)), "");
    for number in 0..16 {
        let mut other = terminating();
        other.lifecycle_action.as_mut().unwrap().hook = HookName::parse(&format!("hook-{number}")).unwrap();
        host.dispatch.step(&other, None).await.unwrap();
    }
    assert!(host.told().is_empty());
    let full = host.dispatch.step(&terminating(), None).await;
    assert!(matches!(full, Err(DispatchError::Ledger(LedgerError::Full { .. }))), "{full:?}");
    assert_eq!(host.told(), ["heartbeat"]);
}

#[tokio::test(start_paused = true)]
async fn an_action_is_kept_alive_while_the_ledger_is_not_to_be_had_until_its_deadline() {
    let host = host(Some(guests::done()), "[handler.finish]\ndeadline = \"1h\"");
    let refused = |error| matches!(error, Err(DispatchError::Ledger(LedgerError::Read { .. })));
    for (age, heartbeats) in [(0, 1), (3_599, 2), (3_601, 2)] {
        tokio::time::advance(Duration::from_secs(age)).await;
        host.store.unreadable.lock().unwrap().push_back(true);
        assert!(refused(host.dispatch.step(&terminating(), None).await));
        assert_eq!(host.told().len(), heartbeats, "after {age} s");
    }
}
