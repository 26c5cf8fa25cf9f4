//! Answering from a recording.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::capabilities::Ports;
use crate::lifecycle::{Answer, Lifecycle, LifecycleResult};
use crate::policy::{EcsCall, Scope};
use crate::ports::{ContainerInstance, InstanceId, PortError, PortErrorKind};
use crate::recording::Replay;
use crate::testing::handler;

fn scope(clusters: &str) -> Scope {
    let grant = format!("[handler.grants]\necs = {{ clusters = [{clusters}], allow = [\"read\", \"drain\"] }}");
    Scope::new(handler(&grant), Some(InstanceId::parse(INSTANCE).unwrap()))
}

async fn look(ports: &Ports, clusters: &str) -> Result<Option<ContainerInstance>, PortError> {
    let instance = InstanceId::parse(INSTANCE).unwrap();
    let request = scope(clusters).find_container_instance(EcsCall::FindContainerInstance, instance).unwrap();
    ports.ecs.find_container_instance(request).await
}

fn replay(lines: &[Value]) -> Arc<Replay> {
    Arc::new(Replay::of(&recording(lines)))
}

fn search(at_ms: u64, reply: Value) -> Value {
    call(at_ms, "ecs.find-container-instance", json!({ "instance": INSTANCE }), reply)
}

/// What is seen at each of these times, in milliseconds: the status, or the kind of error.
async fn seen(replay: &Arc<Replay>, began: Instant, times: &[u64]) -> Vec<String> {
    let mut seen = Vec::new();
    for at in times {
        tokio::time::sleep_until(began + Duration::from_millis(*at)).await;
        seen.push(match look(&replay.ports(), "\"prod\"").await {
            Ok(found) => found.map_or_else(|| "none".to_owned(), |found| found.status),
            Err(error) => error.kind.as_str().to_owned(),
        });
    }
    seen
}

async fn make_a_drain(ports: &Ports) {
    let member: ContainerInstance = serde_json::from_value(member("ACTIVE")).unwrap();
    ports.ecs.drain(scope("\"prod\"").drain(member).unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_looks_more_seldom_or_more_often_sees_the_same_world_at_the_same_time() {
    // Looked at every 15 s, and drained by somebody after 20 minutes.
    let mut lines: Vec<_> = (0..80).map(|nth| find(nth * 15_000, "ACTIVE")).collect();
    lines.push(find(1_200_000, "DRAINING"));
    let seldom = [0, 300_000, 600_000, 900_000, 1_200_000, 1_500_000];
    let statuses = seen(&replay(&lines), Instant::now(), &seldom).await;
    assert_eq!(statuses, ["ACTIVE", "ACTIVE", "ACTIVE", "ACTIVE", "DRAINING", "DRAINING"]);

    let (replay, began) = (replay(&lines), Instant::now());
    let often: Vec<u64> = (0..1_200).map(|second| second * 1_000).collect();
    assert!(seen(&replay, began, &often).await.iter().all(|status| status == "ACTIVE"));
    assert_eq!(seen(&replay, began, &[1_200_000]).await, ["DRAINING"]);
}

#[tokio::test(start_paused = true)]
async fn before_the_first_answer_it_holds_and_of_one_moment_they_come_in_order() {
    let lines = [find(5_000, "REGISTERING"), find(9_000, "ACTIVE"), find(9_000, "DRAINING"), find(9_000, "INACTIVE")];
    let statuses = seen(&replay(&lines), Instant::now(), &[0, 8_999, 9_050]).await;
    assert_eq!(statuses, ["REGISTERING", "REGISTERING", "INACTIVE"]);
    let without_time = |status| {
        let mut line = find(0, status);
        line["call"]["took-ms"] = 0.into();
        line
    };
    let lines = [without_time("ACTIVE"), without_time("DRAINING")];
    assert_eq!(seen(&replay(&lines), Instant::now(), &[0, 0, 0]).await, ["ACTIVE", "DRAINING", "DRAINING"]);
}

#[tokio::test(start_paused = true)]
async fn an_accident_happens_once_and_a_refusal_holds() {
    let lines = [find(0, "ACTIVE"), search(10_000, error("throttled")), find(60_000, "DRAINING")];
    let statuses = seen(&replay(&lines), Instant::now(), &[0, 10_000, 15_000, 20_000, 60_000]).await;
    assert_eq!(statuses, ["ACTIVE", "throttled", "ACTIVE", "ACTIVE", "DRAINING"]);
    // Who does not look while it matters never meets it.
    assert_eq!(seen(&replay(&lines), Instant::now(), &[0, 60_000, 90_000]).await, ["ACTIVE", "DRAINING", "DRAINING"]);

    let lines = [find(0, "ACTIVE"), search(10_000, error("denied")), search(20_000, error("throttled"))];
    let statuses = seen(&replay(&lines), Instant::now(), &[10_000, 15_000, 20_000, 25_000]).await;
    assert_eq!(statuses, ["denied", "denied", "throttled", "denied"]);
    // Where there is nothing else, it is all that is known.
    assert_eq!(seen(&replay(&lines[2..]), Instant::now(), &[0, 1_000]).await, ["throttled", "throttled"]);
}

#[tokio::test(start_paused = true)]
async fn right_after_a_change_what_was_seen_next_is_seen() {
    // The host took 1.5 s to fetch the plugin, and a little for each attempt; a replay takes no time for either.
    let lines = [find(1_500, "ACTIVE"), drain(1_550), find(16_700, "DRAINING"), find(300_000, "INACTIVE")];
    let (replay, began) = (replay(&lines), Instant::now());
    assert_eq!(seen(&replay, began, &[0]).await, ["ACTIVE"]);
    make_a_drain(&replay.ports()).await;
    assert_eq!(seen(&replay, began, &[15_000, 30_000]).await, ["DRAINING", "DRAINING"]);
    // What is done again does not hurry the world along.
    make_a_drain(&replay.ports()).await;
    assert_eq!(seen(&replay, began, &[298_000, 299_000]).await, ["DRAINING", "INACTIVE"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_comes_earlier_takes_the_world_along() {
    let lines = [find(0, "ACTIVE"), find(600_000, "ACTIVE"), drain(600_100), find(660_000, "DRAINING")];
    let (replay, began) = (replay(&lines), Instant::now());
    assert_eq!(seen(&replay, began, &[0, 5_000]).await, ["ACTIVE", "ACTIVE"]);
    make_a_drain(&replay.ports()).await;
    assert_eq!(seen(&replay, began, &[30_000, 66_000]).await, ["ACTIVE", "DRAINING"]);
}

#[tokio::test(start_paused = true)]
async fn what_changes_something_is_answered_in_order_and_then_with_the_last_again() {
    let drained = |at, status| call(at, "ecs.drain", in_prod(), json!({ "answer": member(status) }));
    let ports = replay(&[drained(0, "ACTIVE"), drained(900_000, "DRAINING")]).ports();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let member: ContainerInstance = serde_json::from_value(member("ACTIVE")).unwrap();
        statuses.push(ports.ecs.drain(scope("\"prod\"").drain(member).unwrap()).await.unwrap().status);
    }
    assert_eq!(statuses, ["ACTIVE", "DRAINING", "DRAINING"]);
}

#[tokio::test(start_paused = true)]
async fn answers_take_as_long_as_they_took_and_the_clock_goes_on_from_then() {
    let replay = replay(&[find(0, "ACTIVE")]);
    let began = Instant::now();
    look(&replay.ports(), "\"prod\"").await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(20));
    assert_eq!(replay.ports().clock.now().to_string(), "2026-01-15T03:00:00.02Z");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_not_recorded_is_an_error_that_says_so() {
    let ports = replay(&[]).ports();
    let error = look(&ports, "\"prod\"").await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Other);
    insta::assert_snapshot!(error, @"not in the recording: ecs.find-container-instance instance=i-0123456789abcdef0; what AWS would have answered is not known");
}

#[tokio::test(start_paused = true)]
async fn what_another_policy_does_not_grant_is_not_found() {
    let ports = replay(&[find(0, "ACTIVE")]).ports();
    assert_eq!(look(&ports, "\"test\"").await, Ok(None));
    assert!(look(&ports, "\"prod\"").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_waited_for_is_silent_again() {
    let search = call(0, "ecs.find-container-instance", json!({ "instance": INSTANCE }), json!("none"));
    let ports = replay(&[search]).ports();
    assert!(tokio::time::timeout(Duration::from_secs(3600), look(&ports, "\"prod\"")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn another_decision_is_seen_to_its_end() {
    let action = terminating().lifecycle_action.unwrap();
    for (reply, answer) in [(accepted(), Answer::Accepted), (json!({ "answer": "over" }), Answer::Over)] {
        let replay = replay(&[complete(0, "CONTINUE", reply)]);
        assert_eq!(replay.complete(&action, LifecycleResult::Abandon).await, Ok(answer));
    }
    let replay = replay(&[]);
    assert_eq!(replay.complete(&action, LifecycleResult::Continue).await, Ok(Answer::Accepted));
    assert_eq!(replay.heartbeat(&action).await, Ok(Answer::Accepted));
}
