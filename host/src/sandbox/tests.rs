mod answered;
mod handed_over;
mod hostile;
mod made;
#[cfg(target_os = "linux")]
mod side_by_side;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::testing::{guests, handler, silent, terminating};

fn sandbox() -> Sandbox {
    Sandbox::new(Capacity { attempts: 2, memory: 64 << 20 }, Pace::Real).expect("a sandbox")
}

/// Runs a guest once, under a handler with `sections`.
async fn run(guest: &[u8], attempt: u32, sections: &str) -> Report {
    run_in(&sandbox(), guest, attempt, sections).await
}

async fn run_in(sandbox: &Sandbox, guest: &[u8], attempt: u32, sections: &str) -> Report {
    let module = sandbox.compile(guest, "digest".into()).expect("the guest compiles");
    let handler = handler(sections);
    let wall = handler.limits.wall;
    let task = Task { handler, event: Arc::new(terminating()), attempt, state: None, deadline: None, lease: None };
    sandbox.run(sandbox.slot().await, &module, task, silent(), wall).await
}

fn failure_of(report: Report) -> String {
    match report.outcome {
        Outcome::Failed(failure) => failure.to_string(),
        other => panic!("it did not fail: {other:?}"),
    }
}

#[tokio::test]
async fn what_a_handler_returns_is_the_outcome() {
    assert_eq!(run(&guests::done(), 1, "").await.outcome, Outcome::Done);
    assert_eq!(run(&guests::abandon(), 1, "").await.outcome, Outcome::Abandon { why: "because".into() });
    let retry = Retry { after: Duration::from_secs(7), note: "waiting".into(), state: Some("kept".into()) };
    assert_eq!(run(&guests::again(7, 3), 2, "").await.outcome, Outcome::Again(retry));
    assert_eq!(run(&guests::again(7, 3), 3, "").await.outcome, Outcome::Done);
    assert_eq!(failure_of(run(&guests::error(), 1, "").await), "the handler returned an error: broken");
}

#[tokio::test]
async fn a_guest_that_spins_ends_with_its_cpu_budget() {
    let report = run(&guests::spin(), 1, "[handler.limits]\ncpu = \"20ms\"").await;
    assert!(report.cpu >= Duration::from_millis(20), "{report:?}");
    assert_eq!(failure_of(report), "cpu budget of 20ms spent");
}

#[tokio::test]
async fn a_guest_that_is_refused_memory_is_told_apart_from_one_that_panics() {
    let report = run(&guests::hungry(), 1, "[handler.limits]\nmemory = \"8MiB\"").await;
    assert!(report.peak_memory <= 8 << 20 && report.peak_memory > 7 << 20, "{report:?}");
    assert_eq!(failure_of(report), "memory budget of 8.0 MiB spent");
}

#[tokio::test]
async fn a_guest_that_recurses_without_end_is_told_of_its_stack() {
    assert_eq!(failure_of(run(&guests::deep(), 1, "").await), "stack budget of 512.0 KiB spent");
}

#[tokio::test]
async fn host_calls_are_counted() {
    let report = run(&guests::chatty(), 1, "[handler.limits]\nhost-calls = 10").await;
    assert_eq!(report.host_calls, 10);
    assert_eq!(failure_of(report), "host-calls budget of 10 spent during clock.now");
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_computes_for_long_waits_for_its_turn() {
    let sandbox = sandbox();
    let taken = sandbox.turns.take_all().await;
    let limits = "[handler.limits]\ncpu = \"1s\"\nwall = \"30s\"";
    let report = run_in(&sandbox, &guests::spin(), 1, limits).await;
    assert_eq!(failure_of(report), "wall budget of 30s spent");
    // What takes little needs none.
    assert_eq!(run_in(&sandbox, &guests::done(), 1, limits).await.outcome, Outcome::Done);
    drop(taken);
    let report = run_in(&sandbox, &guests::spin(), 1, "[handler.limits]\ncpu = \"20ms\"").await;
    assert_eq!(failure_of(report), "cpu budget of 20ms spent");
}

#[tokio::test(start_paused = true)]
async fn a_host_call_that_hangs_ends_with_the_wall_budget() {
    let sections =
        "[handler.limits]\nwall = \"30s\"\n[handler.grants]\necs = { clusters = [\"c\"], allow = [\"drain\"] }";
    let report = run(&guests::drain_of(crate::testing::INSTANCE), 1, sections).await;
    assert_eq!(report.wall, Duration::from_secs(30));
    assert_eq!(failure_of(report), "wall budget of 30s spent during ecs.drain");
}

#[tokio::test(start_paused = true)]
async fn a_pause_past_the_wall_budget_is_refused_at_once() {
    let report = run(&guests::sleepy(60_000), 1, "[handler.limits]\nwall = \"30s\"").await;
    assert_eq!((report.wall, report.outcome), (Duration::ZERO, Outcome::Done));
    let report = run(&guests::sleepy(20_000), 1, "[handler.limits]\nwall = \"30s\"").await;
    assert_eq!((report.wall, report.outcome), (Duration::from_secs(20), Outcome::Done));
}

#[tokio::test]
async fn a_call_without_a_grant_is_a_value_for_the_guest() {
    let failure = failure_of(run(&guests::drain_of(crate::testing::INSTANCE), 1, "").await);
    assert!(failure.contains("\"under-test\" may not call ecs.drain"), "{failure}");
}

#[tokio::test]
async fn a_text_that_is_no_instance_id_is_invalid() {
    let sections = "[handler.grants]\necs = { clusters = [\"c\"], allow = [\"drain\"] }";
    let failure = failure_of(run(&guests::drain_of("i-12; reboot"), 1, sections).await);
    assert!(failure.contains("is not an EC2 instance id"), "{failure}");
}

#[tokio::test]
async fn a_guest_that_imports_wasi_finds_nothing_in_it() {
    crate::modules::accept::accept(&guests::wasi()).expect("WASI 0.2 is accepted");
    assert_eq!(run(&guests::wasi(), 1, "").await.outcome, Outcome::Done);
}

#[tokio::test]
async fn a_guest_that_hands_over_too_much_in_one_call_is_told_how_much_that_is() {
    // Eight megabytes as the text of a log line.
    let import = r#"(import "hostler:handler/log@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))"#;
    let call = "(drop (memory.grow (i32.const 200)))
        (call $log (i32.const 1) (i32.const 0) (i32.const 8388608) (i32.const 0) (i32.const 0)) i32.const 1024";
    let failure = failure_of(run(&guests::guest_with(import, "", call), 1, "").await);
    assert_eq!(failure, "the plugin handed the host more than 4 MiB in one call");
}

#[tokio::test]
async fn nothing_of_one_attempt_is_left_for_the_next() {
    // Traps if an earlier attempt has left its mark.
    let body =
        "(if (i32.load (i32.const 0)) (then unreachable)) (i32.store (i32.const 0) (i32.const 1)) i32.const 1024";
    let guest = guests::guest_with("", "", body);
    let sandbox = sandbox();
    for _ in 0..3 {
        assert_eq!(run_in(&sandbox, &guest, 1, "").await.outcome, Outcome::Done);
    }
}

#[tokio::test(start_paused = true)]
async fn more_attempts_than_slots_wait_for_one_and_that_is_not_their_time() {
    let sandbox = Arc::new(Sandbox::new(Capacity { attempts: 2, memory: 64 << 20 }, Pace::Virtual).unwrap());
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let sandbox = Arc::clone(&sandbox);
        let limits = "[handler.limits]\nwall = \"10s\"";
        attempts.spawn(async move { run_in(&sandbox, &guests::sleepy(8_000), 1, limits).await });
    }
    let began = Instant::now();
    for report in attempts.join_all().await {
        assert_eq!((report.outcome, report.wall.as_secs()), (Outcome::Done, 8));
    }
    assert_eq!(began.elapsed().as_secs(), 32, "two at a time");
}
