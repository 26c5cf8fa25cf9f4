//! Answering from a recording.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::capabilities::Ports;
use crate::dispatch::lifecycle::{Answer, Lifecycle, LifecycleResult};
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

#[tokio::test(start_paused = true)]
async fn the_same_call_gets_its_answers_in_order_and_then_the_last_again() {
    let search = |reply| call(0, "ecs.find-container-instance", json!({ "instance": INSTANCE }), reply);
    let ports = replay(&[search(error("throttled")), find(1, "ACTIVE"), drain(2), find(3, "DRAINING")]).ports();
    let throttled = PortError::new(PortErrorKind::Throttled, "as AWS put it");
    assert_eq!(look(&ports, "\"prod\"").await, Err(throttled));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(look(&ports, "\"prod\"").await.unwrap().unwrap().status);
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
