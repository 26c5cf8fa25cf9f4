//! Events that wait: for another that is worked on, for their time, and to be kept alive meanwhile.

use super::super::free_at;
use super::*;
use crate::ledger::{CLOCK_SKEW, Wanted};

fn notice() -> Event {
    Event { id: "spot".to_owned(), lifecycle_action: None, ..terminating() }
}

/// Another host's work on another event of the instance, which keeps its lease for so long.
async fn busy_for(host: &Host, time: Duration) {
    let event = notice();
    let wanted = Wanted { event: &event, handler: "notices", deadline: Timestamp::MAX, hook: None };
    let Ok(Claim::Ours(held)) = host.dispatch.ledger.claim(&wanted).await else { panic!("not ours") };
    let until = Instant::now() + time;
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_secs(5)).await;
        host.dispatch.ledger.renew(&held).await.unwrap();
    }
    host.dispatch.ledger.end(&held, &Decision::Done, None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_action_is_kept_alive_while_another_event_of_its_instance_is_worked_on() {
    // With a hook of five minutes every 150 s; with one that nobody knows, as for the shortest there are.
    for (unknown, heartbeats) in [(false, 2), (true, 26)] {
        let host = host(Some(guests::done()), "");
        host.recorder.unknown.store(unknown, Ordering::SeqCst);
        if !unknown {
            let action = terminating().lifecycle_action.unwrap();
            host.dispatch.hooks.remember(&action, host.recorder.hook(&action).await.unwrap().unwrap());
        }
        let ((), worked) = tokio::join!(busy_for(&host, Duration::from_secs(400)), host.work(terminating()));
        assert_eq!(worked.attempts, 1);
        let told = host.told().iter().filter(|told| *told == "heartbeat").count();
        assert!(told.abs_diff(heartbeats) <= 1, "{told} heartbeats");
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_over_is_not_kept_alive_any_more() {
    // Between attempts, and during one.
    for guest in [guests::again(200, 5), guests::drain_of(INSTANCE)] {
        let sections = "[handler.grants]\necs = { clusters = [\"c\"], allow = [\"drain\"] }";
        let host = host(Some(guest), &format!("[handler.finish]\nmax-attempts = 20\n{sections}"));
        host.recorder.over.store(true, Ordering::SeqCst);
        host.work(terminating()).await;
        assert_eq!(host.told().iter().filter(|told| *told == "heartbeat").count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_failed_is_followed_soon_and_the_item_is_not_forsaken() {
    let host = host(Some(guests::again(250, 9)), "");
    let event = terminating();
    host.recorder.deaf.store(1, Ordering::SeqCst);
    host.dispatch.step(&event, None).await.unwrap();
    tokio::time::advance(Duration::from_secs(150)).await;
    let now = host.dispatch.ports.clock.now();
    let Ok(Step::Later { at, due, .. }) = host.dispatch.step(&event, None).await else { panic!("not later") };
    assert_eq!(
        (time_between(now, at), time_between(now, due)),
        (Duration::from_millis(37_500), Duration::from_secs(100))
    );
    assert_eq!(host.open().await[0].wake, at);
}

#[tokio::test(start_paused = true)]
async fn a_second_action_of_a_hook_waits_for_the_end_of_the_first_and_is_worked_on_itself() {
    let host = host(Some(guests::done()), "");
    let first = terminating();
    let mut second = terminating();
    second.id = "second".to_owned();
    second.time += SignedDuration::from_secs(60);
    second.lifecycle_action.as_mut().unwrap().token = Some("second".to_owned());
    // The first is decided, and Auto Scaling could not be told.
    host.recorder.answers.lock().unwrap().push(Err(PortError::new(PortErrorKind::Denied, "no permission")));
    host.dispatch.step(&first, None).await.unwrap_err();
    let Ok(Step::Later { at, note, .. }) = host.dispatch.step(&second, None).await else { panic!("it is not the end") };
    assert_eq!(at, host.dispatch.ports.clock.now());
    assert_eq!(note, "an earlier lifecycle action of the same hook had to be brought to its end first");
    let Ok(Step::Ended(End::Worked(worked))) = host.dispatch.step(&second, None).await else { panic!("not worked on") };
    assert_eq!((worked.attempts, worked.lifecycle), (1, Some(Completion::Continue)));
    assert_eq!(host.told().len(), 3);
    assert!(matches!(host.handle(first).await, Ok(End::Already(_))));
}

#[test]
fn how_long_another_is_waited_for_grows_with_its_work_and_ends_with_its_lease() {
    let start: Timestamp = crate::testing::START.parse().unwrap();
    let (id, holder, item) = (String::new(), String::new(), String::new());
    let lease = Lease { id, holder, item, since: start, until: after(start, Duration::from_secs(100)) };
    let wait = |seconds: u64| {
        time_between(
            after(start, Duration::from_secs(seconds)),
            free_at(&lease, after(start, Duration::from_secs(seconds))),
        )
    };
    assert_eq!([0, 10, 60, 100].map(|seconds| wait(seconds).as_secs()), [1, 5, 30, 5]);
    // A holder whose clock is ahead seems not to have begun.
    let early = start - SignedDuration::from_secs(300);
    assert_eq!(time_between(early, free_at(&lease, early)), Duration::try_from(LEASE).unwrap());
    let never = Lease { until: Timestamp::MAX, ..lease };
    assert!(free_at(&never, start) < after(start, Duration::from_secs(2)));
    assert_eq!(never.free_at(), Timestamp::MAX);
    assert_eq!(CLOCK_SKEW, SignedDuration::from_secs(5));
}
