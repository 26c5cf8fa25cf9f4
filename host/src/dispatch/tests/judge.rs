//! What follows from an attempt.

use jiff::Timestamp;

use super::super::judge::{Verdict, backoff, judge};
use super::*;
use crate::outcome::{Failure, Outcome, Retry};
use crate::testing::START;

fn item(failures: u32) -> Item {
    let (event, start) = (terminating(), START.parse::<Timestamp>().unwrap());
    Item {
        id: event.work_item(),
        event,
        handler: "under-test".to_owned(),
        taken: start,
        deadline: start,
        hook: None,
        heartbeat: None,
        over: false,
        attempts: 7,
        failures,
        interrupted: 0,
        state: Some("kept".to_owned()),
        due: start,
        wake: start,
        order: None,
        retried: None,
        finishing: None,
        told: Vec::new(),
    }
}

fn again(seconds: u64) -> Outcome {
    Outcome::Again(Retry { after: Duration::from_secs(seconds), note: "waiting".to_owned(), state: None })
}

fn failed() -> Outcome {
    Outcome::Failed(Failure::Handler("broken".to_owned()))
}

/// The verdict an hour before the last attempt is made.
fn verdict(item: &Item, outcome: Outcome, last: bool, jitter: Jitter) -> Verdict {
    let now: Timestamp = START.parse().unwrap();
    let handler = crate::testing::handler("[handler.finish]\nmax-attempts = 3");
    judge(item, outcome, &handler.finish, (now, after(now, Duration::from_secs(3_600)), now), last, jitter)
}

fn wait(item: &Item, outcome: Outcome, jitter: Jitter) -> Duration {
    match verdict(item, outcome, false, jitter) {
        Verdict::Again { wait, .. } => wait,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_source_of_modules_that_is_away_is_nobodys_failure_until_the_deadline() {
    let away = || Outcome::Failed(Failure::NoSource("S3 does not answer".to_owned()));
    let Verdict::Again { wait, note, state, failures } = verdict(&item(2), away(), false, Jitter::None) else {
        panic!("it gave up");
    };
    assert_eq!((wait, state.as_deref(), failures), (Duration::from_secs(10), Some("kept"), 2));
    assert_eq!(note, "no module to run: S3 does not answer");
    assert!(matches!(verdict(&item(0), away(), true, Jitter::None), Verdict::Decided(Decision::GaveUp { .. })));
}

#[test]
fn waits_are_kept_within_bounds_and_before_the_deadline() {
    let waits =
        [0, 1, 90, 3_600, 4_000, u64::MAX].map(|seconds| wait(&item(0), again(seconds), Jitter::None).as_secs());
    assert_eq!(waits, [1, 1, 90, 3_600, 3_600, 3_600]);
}

#[test]
fn failures_are_waited_for_longer_and_longer() {
    let waits: Vec<_> = (1..=8).chain([u32::MAX]).map(|failures| backoff(failures).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(wait(&item(1), failed(), Jitter::None), Duration::from_secs(2));
}

#[test]
fn again_ends_a_row_of_failures_and_a_failure_keeps_the_state() {
    let Verdict::Again { failures, state, .. } = verdict(&item(2), again(60), false, Jitter::None) else { panic!() };
    assert_eq!((failures, state), (0, None));
    let Verdict::Again { failures, state, .. } = verdict(&item(1), failed(), false, Jitter::None) else { panic!() };
    assert_eq!((failures, state.as_deref()), (2, Some("kept")));
}

#[test]
fn the_last_of_a_row_and_the_last_before_the_deadline_give_up() {
    let why = |item: &Item, outcome, last| match verdict(item, outcome, last, Jitter::None) {
        Verdict::Decided(Decision::GaveUp { why }) => why,
        other => panic!("{other:?}"),
    };
    let third = "3 attempts in a row failed; the last: the handler returned an error: broken";
    assert_eq!(why(&item(2), failed(), false), third);
    assert_eq!(why(&item(2), failed(), true), third);
    assert_eq!(why(&item(0), again(1), true), format!("the deadline, {START}, has passed: waiting"));
    assert!(why(&item(u32::MAX), failed(), false).contains("in a row failed"));
    assert_eq!(verdict(&item(2), Outcome::Done, true, Jitter::None), Verdict::Decided(Decision::Done));
}

#[test]
fn waits_are_spread_by_up_to_a_tenth_and_the_same_for_all_who_ask() {
    let spread: Vec<_> =
        (0..50).map(|attempts| wait(&Item { attempts, ..item(0) }, again(1_000), Jitter::Tenth)).collect();
    assert!(spread.iter().all(|wait| (1_000..=1_100).contains(&wait.as_secs())), "{spread:?}");
    assert!(spread.iter().max().unwrap().as_secs() > 1_080 && spread.iter().min().unwrap().as_secs() < 1_020);
    assert_eq!(wait(&item(0), again(1_000), Jitter::Tenth), wait(&item(0), again(1_000), Jitter::Tenth));
}
