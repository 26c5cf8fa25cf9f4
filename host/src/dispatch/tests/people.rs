//! What a person orders and asks for while the work goes on.

use super::*;
use crate::ledger::Order;

/// An attempt takes a minute and fails, and there is one.
const ONE_LONG_ATTEMPT: &str = "[handler.finish]\nmax-attempts = 1\non-failure = \"abandon\"
    [handler.grants]\necs = { clusters = [\"c\"], allow = [\"drain\"] }";

fn instance() -> InstanceId {
    InstanceId::parse(INSTANCE).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_order_goes_before_what_the_attempt_under_way_comes_to() {
    let host = host(Some(guests::drain_of(INSTANCE)), ONE_LONG_ATTEMPT);
    let order = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        host.dispatch.ledger.order(&instance(), &host.open().await[0], LifecycleResult::Continue, "me").await
    };
    let (worked, ordered) = tokio::join!(host.work(terminating()), order);
    assert!(ordered.unwrap().is_some());
    let by_me = Decision::Ordered { result: LifecycleResult::Continue, by: "me".to_owned() };
    assert_eq!((worked.decision, worked.attempts, worked.lifecycle), (by_me, 1, Some(Completion::Continue)));
    assert_eq!(host.told(), [format!("{INSTANCE} CONTINUE")]);
}

#[tokio::test(start_paused = true)]
async fn an_order_ends_an_item_that_waits_and_its_door_brings_it_at_once() {
    let sections = "[handler.grants]\necs = { clusters = [\"c\"], allow = [\"drain\"] }";
    let host = host(Some(guests::drain_of(INSTANCE)), sections);
    let event = terminating();
    let order = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        host.dispatch.ledger.order(&instance(), &host.open().await[0], LifecycleResult::Abandon, "me").await
    };
    let (step, _) = tokio::join!(host.dispatch.step(&event, None), order);
    let now = host.dispatch.ports.clock.now();
    assert!(matches!(step, Ok(Step::Later { at, .. }) if at == now), "{step:?}");
    let Ok(Step::Ended(End::Worked(worked))) = host.dispatch.step(&event, None).await else { panic!("not ended") };
    assert_eq!((worked.decision.as_str(), worked.attempts), ("ordered", 1));
}

#[tokio::test(start_paused = true)]
async fn an_order_for_an_item_that_is_hidden_for_long_lets_the_sweep_bring_it() {
    let host = host(Some(guests::again(250, 9)), "");
    let event = terminating();
    host.dispatch.step(&event, None).await.unwrap();
    tokio::time::advance(Duration::from_secs(10)).await;
    host.dispatch.ledger.order(&instance(), &host.open().await[0], LifecycleResult::Continue, "me").await.unwrap();
    let item = host.open().await.remove(0);
    let now = host.dispatch.ports.clock.now();
    assert_eq!((item.wake, item.order.map(|Order { at, .. }| at)), (now, Some(now)));
}

#[tokio::test(start_paused = true)]
async fn a_further_attempt_that_was_asked_for_goes_before_giving_up() {
    let host = host(Some(guests::drain_of(INSTANCE)), ONE_LONG_ATTEMPT);
    let retry = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        host.dispatch.ledger.retry(&instance(), &host.open().await[0], "me").await
    };
    let (worked, _) = tokio::join!(host.work(terminating()), retry);
    assert_eq!((worked.decision.as_str(), worked.attempts), ("gave-up", 2));
    assert_eq!(host.told(), [format!("{INSTANCE} ABANDON")]);
}

#[tokio::test(start_paused = true)]
async fn a_further_attempt_that_was_asked_for_does_not_wait_and_the_failures_are_forgiven() {
    let sections = "[handler.finish]\nmax-attempts = 5
        [handler.grants]\necs = { clusters = [\"c\"], allow = [\"drain\"] }";
    let host = host(Some(guests::drain_of(INSTANCE)), sections);
    let event = terminating();
    host.dispatch.step(&event, None).await.unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;
    let retry = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        host.dispatch.ledger.retry(&instance(), &host.open().await[0], "me").await
    };
    let (step, _) = tokio::join!(host.dispatch.step(&event, None), retry);
    let item = host.open().await.remove(0);
    assert_eq!((item.attempts, item.failures, item.told[1].outcome.as_deref()), (2, 0, Some("failed")));
    let now = host.dispatch.ports.clock.now();
    assert!(matches!(step, Ok(Step::Later { at, due, .. }) if at <= now && due <= now), "{step:?}");
}
