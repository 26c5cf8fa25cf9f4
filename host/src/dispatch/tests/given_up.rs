//! A new plugin that crashes, and the one before it.

use super::*;
use crate::digest::sha256;
use crate::ledger::{Notes, Page, Store, Stored, Version, WriteError};
use crate::modules::{Compiler, NOTES, Record};
use crate::ports::PortError;
use crate::testing::bucket::Bucket;

const PATIENT: &str = "[handler.finish]\nmax-attempts = 9";

/// A host whose plugins others upload to `bucket`.
fn host_of(bucket: &Arc<Bucket>, sections: &str) -> Host {
    uploaded(host(None, sections), bucket)
}

/// The same host, or the next process of it, with plugins from `bucket`.
fn uploaded(host: Host, bucket: &Arc<Bucket>) -> Host {
    let notes = host.dispatch.ledger.notes(NOTES);
    noted(host, bucket, notes)
}

fn noted(host: Host, bucket: &Arc<Bucket>, notes: Notes<Record>) -> Host {
    let Host { dispatch, recorder, store } = host;
    let compiler = (Arc::clone(&dispatch.sandbox), Compiler::Here);
    let clock = Arc::clone(&dispatch.ports.clock);
    let modules = Modules::new(bucket.clone(), compiler, clock, &dispatch.policy.modules, notes);
    Host { dispatch: Dispatch { modules, ..dispatch }, recorder, store }
}

/// A termination of the same instance, the `number`th.
fn another(number: u32) -> Event {
    let mut event = terminating();
    event.id = format!("event-{number}");
    event.lifecycle_action.as_mut().unwrap().token = Some(format!("token-{number}"));
    event
}

/// Lets the host see what was uploaded.
async fn refresh_is_due() {
    tokio::time::advance(Duration::from_secs(11)).await;
}

async fn crashes_after_it_worked(bucket: &Arc<Bucket>, crashing: &[u8], sections: &str) -> (Host, Worked) {
    bucket.put(&guests::done(), None);
    let host = host_of(bucket, sections);
    assert_eq!(host.work(another(1)).await.attempts, 1);
    bucket.put(crashing, None);
    refresh_is_due().await;
    let worked = host.work(another(2)).await;
    (host, worked)
}

#[tokio::test(start_paused = true)]
async fn a_new_plugin_that_crashes_is_given_up_for_the_one_before_it_and_never_taken_again() {
    for crashing in [guests::drain_or_trap(INSTANCE), guests::spin(), guests::deep()] {
        let bucket = Bucket::unversioned();
        let (host, worked) = crashes_after_it_worked(&bucket, &crashing, PATIENT).await;
        assert_eq!((worked.attempts, worked.decision), (4, Decision::Done), "three, and the one before it");
        for number in 3..6 {
            refresh_is_due().await;
            assert_eq!(host.work(another(number)).await.attempts, 1, "it flaps");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_failures_of_a_plugin_that_is_given_up_do_not_count() {
    // The plugin before fails too, in its first two attempts: with the others a third failure, which would be the last.
    let bucket = Bucket::unversioned();
    bucket.put(&guests::error_in(4, 6), None);
    let host = host_of(&bucket, "[handler.finish]\nmax-attempts = 3");
    assert_eq!(host.work(another(1)).await.attempts, 1);
    bucket.put(&guests::spin(), None);
    refresh_is_due().await;
    let worked = host.work(another(2)).await;
    assert_eq!((worked.attempts, worked.decision), (6, Decision::Done));
}

#[tokio::test(start_paused = true)]
async fn the_attempt_that_is_the_end_of_a_plugin_is_not_the_last_of_its_event() {
    let (host, worked) =
        crashes_after_it_worked(&Bucket::unversioned(), &guests::spin(), "[handler.finish]\nmax-attempts = 1").await;
    assert!(matches!(worked.decision, Decision::GaveUp { .. }), "{:?}", worked.decision);
    assert!(matches!(host.work(another(3)).await.decision, Decision::GaveUp { .. }));
    let worked = host.work(another(4)).await;
    assert_eq!((worked.attempts, worked.decision), (2, Decision::Done));
}

#[tokio::test(start_paused = true)]
async fn the_failures_before_another_host_gave_it_up_do_not_count_either() {
    let bucket = Bucket::unversioned();
    // The plugin before fails once too: with the others a third failure, which would be the last.
    bucket.put(&guests::error_in(3, 4), None);
    let sections = "[handler.finish]\nmax-attempts = 3";
    let host = host_of(&bucket, sections);
    host.work(another(1)).await;
    bucket.put(&guests::spin(), None);
    refresh_is_due().await;
    // Two failures here, and the third in the work on another instance's event.
    let event = another(2);
    for _ in 0..2 {
        assert!(matches!(host.dispatch.step(&event, None).await, Ok(Step::Later { .. })));
        refresh_is_due().await;
    }
    let elsewhere = InstanceId::parse("i-0123456789abcdef1").unwrap();
    let mut other = Event { instance: Some(elsewhere.clone()), ..another(3) };
    other.lifecycle_action.as_mut().unwrap().instance = elsewhere;
    assert!(matches!(host.dispatch.step(&other, None).await, Ok(Step::Later { .. })));
    assert_eq!(host.work(event).await.decision, Decision::Done);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_starts_after_it_goes_back_too_where_versions_are_kept() {
    let bucket = Bucket::versioned();
    let (host, _) = crashes_after_it_worked(&bucket, &guests::spin(), PATIENT).await;
    let next = uploaded(host.restarted(guests::done(), PATIENT), &bucket);
    assert_eq!(next.work(another(3)).await.attempts, 1);
    assert_eq!(*bucket.asked.lock().unwrap(), ["v1"]);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_starts_after_it_says_what_to_do_where_none_are_kept() {
    let bucket = Bucket::unversioned();
    let (host, _) = crashes_after_it_worked(&bucket, &guests::spin(), "[handler.finish]\nmax-attempts = 3").await;
    let next = uploaded(host.restarted(guests::done(), "[handler.finish]\nmax-attempts = 3"), &bucket);
    let Decision::GaveUp { why } = next.work(another(3)).await.decision else { panic!("it did not give up") };
    assert!(why.contains("was given up before: 3 attempts of handler \"under-test\" in a row crashed"), "{why}");
    assert!(why.contains("upload a better one, or pin the handler to sha256 = "), "{why}");
}

#[tokio::test(start_paused = true)]
async fn with_nothing_to_go_back_to_a_plugin_that_crashes_stays() {
    let bucket = Bucket::versioned();
    bucket.put(&guests::spin(), None);
    let host = host_of(&bucket, "[handler.finish]\nmax-attempts = 5");
    let Decision::GaveUp { why } = host.work(another(1)).await.decision else { panic!("it did not give up") };
    assert!(why.starts_with("5 attempts in a row failed"), "{why}");
    // And a better one is taken.
    bucket.put(&guests::done(), None);
    refresh_is_due().await;
    assert_eq!(host.work(another(2)).await.attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn what_works_is_not_given_up_for_what_it_does_once_later() {
    let bucket = Bucket::unversioned();
    let (host, worked) = crashes_after_it_worked(&bucket, &guests::traps_once(), PATIENT).await;
    assert_eq!((worked.attempts, worked.decision), (2, Decision::Done));
    for number in 3..8 {
        assert_eq!(host.work(another(number)).await.attempts, 2, "it is still the new one");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_had_less_time_than_it_may_take_is_not_given_up_for_it() {
    let bucket = Bucket::versioned();
    bucket.put(&guests::done(), None);
    let host = host_of(&bucket, PATIENT);
    host.work(another(1)).await;
    let sleeps = guests::hostile(include_str!("../../../../tests/guests/hostile/wasi-sleep.wat"));
    bucket.put(&sleeps, None);
    let event = another(2);
    for given_up in [false, true] {
        for _ in 0..3 {
            refresh_is_due().await;
            // Ten seconds before that are for the end.
            let closes = (!given_up).then(|| Instant::now() + Duration::from_secs(40));
            let step = host.dispatch.step(&event, closes).await;
            assert!(matches!(step, Ok(Step::Later { .. })), "{step:?}");
        }
        assert_eq!(host.dispatch.modules.has_given_up("module.wasm", &sha256(&sleeps)), given_up);
    }
}

/// A store that never answers who writes to it.
struct Silent;

#[async_trait]
impl Store for Silent {
    async fn read(&self, _: &str) -> Result<Option<Stored>, PortError> {
        Ok(None)
    }

    async fn write(&self, _: &str, _: Vec<u8>, _: Option<&Version>) -> Result<Version, WriteError> {
        std::future::pending().await
    }

    async fn remove(&self, _: &str, _: &Version) -> Result<(), WriteError> {
        std::future::pending().await
    }

    async fn list(&self, _: &str, _: Option<&str>) -> Result<Page, PortError> {
        Ok(Page::default())
    }

    fn locate(&self, key: &str) -> String {
        key.to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_has_ended_waits_for_no_note_beyond_its_door() {
    let bucket = Bucket::unversioned();
    bucket.put(&guests::done(), None);
    let host = noted(host(None, ""), &bucket, Notes::new(Arc::new(Silent), NOTES));
    // Ten of the thirty seconds are for the end.
    let closes = Instant::now() + Duration::from_secs(30);
    let event = terminating();
    let step = tokio::time::timeout_at(closes, host.dispatch.step(&event, Some(closes))).await;
    assert!(matches!(step, Ok(Ok(Step::Ended(_)))), "{step:?}");
}
