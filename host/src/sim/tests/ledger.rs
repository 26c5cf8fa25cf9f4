//! The ledger of a world: a store like another, which suffers what is ordered.

use tokio::time::Instant;

use super::faults::last_call;
use super::*;
use crate::ledger::{WriteError, contract};
use crate::ports::PortErrorKind;
use crate::sim::{Fault, FaultKind, Reply, When, operations, told_operations};

fn faulty(operation: &str, kind: FaultKind) -> World {
    let fault = Fault { operation: operation.to_owned(), kind, when: When::Nth(vec![1]) };
    world("").with_faults(vec![fault], 0)
}

async fn write(world: &World, bytes: &[u8]) -> Result<(), WriteError> {
    world.ledger().write("items/a.json", bytes.to_vec(), None).await.map(drop)
}

async fn written(world: &World) -> bool {
    world.ledger().read("items/a.json").await.unwrap().is_some()
}

#[tokio::test(start_paused = true)]
async fn a_ledger_keeps_the_contract_of_stores_and_is_not_told_of() {
    let world = world("");
    contract::holds(&*world.ledger()).await;
    assert_eq!(world.journal(), []);
}

#[tokio::test(start_paused = true)]
async fn it_tells_the_time_of_the_world_and_is_one_for_all_its_hosts() {
    let world = world("");
    world.age();
    tokio::time::sleep(seconds(90)).await;
    write(&world.clone(), b"{}").await.unwrap();
    let page = world.ledger().list("items/", None).await.unwrap();
    assert_eq!(page.objects[0].modified, "2026-01-15T03:01:30Z".parse().unwrap());
    let another = Blueprint::parse("world.toml", HEAD).unwrap();
    write(&another.world(), b"{}").await.unwrap();
    assert!(!written(&another.world()).await, "two worlds of a blueprint share a ledger");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_leaves_it_open_unless_it_was_refused() {
    let mut told = Vec::new();
    for kind in
        FaultKind::ALL.into_iter().filter(|kind| !matches!(kind, FaultKind::AttemptKilled | FaultKind::HostKilled))
    {
        let world = faulty("ledger.write", kind);
        let began = Instant::now();
        let answer = match write(&world, b"{}").await.unwrap_err() {
            WriteError::Changed => "changed".to_owned(),
            WriteError::Unknown(error) => format!("unknown: {error}"),
            WriteError::Refused(error) => format!("refused: {error}"),
        };
        let done = if written(&world).await { "written" } else { "not written" };
        told.push(format!("{kind}, {done} after {:?}, {answer}", began.elapsed()));
        assert_eq!(last_call(&world).3, Some(kind));
    }
    insta::assert_snapshot!(told.join("\n"), @"
    throttled, not written after 0ns, unknown: PutObject was throttled (Rate exceeded): a simulated fault
    server-error, not written after 0ns, unknown: PutObject failed at the other side (503 Service Unavailable): a simulated fault
    timeout, not written after 5s, unknown: PutObject was not answered within 5s; it may have taken effect: a simulated fault
    connection-reset, not written after 0ns, unknown: PutObject failed: connection reset by peer: a simulated fault
    access-denied, not written after 0ns, refused: PutObject was refused (AccessDenied): a simulated fault
    answer-lost, written after 5s, unknown: PutObject was not answered within 5s; it may have taken effect: a simulated fault
    ");
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_stands_in_its_own_way() {
    let world = faulty("ledger.write", FaultKind::AnswerLost);
    assert!(matches!(write(&world, b"{}").await, Err(WriteError::Unknown(_))));
    assert_eq!(write(&world, b"{}").await, Err(WriteError::Changed));
    let (operation, target, reply, _) = last_call(&world);
    assert_eq!((operation, target.as_str(), reply), ("ledger.write", "items/a.json", Reply::Ok(String::new())));
    assert_eq!(world.journal().len(), 1, "only the call that suffered is told");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_killed_by_a_write_has_written() {
    let world = faulty("ledger.write", FaultKind::HostKilled);
    let mut kills = world.kills();
    kills.mark_unchanged();
    let unanswered = tokio::time::timeout(seconds(3600), write(&world, b"{}")).await;
    assert!(unanswered.is_err() && kills.has_changed().unwrap());
    assert!(written(&world).await);
}

#[tokio::test(start_paused = true)]
async fn every_operation_of_it_can_suffer() {
    for operation in operations().filter(|operation| !told_operations().any(|told| told == *operation)) {
        let world = faulty(operation, FaultKind::Throttled);
        let ledger = world.ledger();
        let version = ledger.write("items/a.json", b"{}".to_vec(), None).await;
        let read = ledger.read("items/a.json").await.map_err(WriteError::Unknown);
        let listed = ledger.list("items/", None).await.map_err(WriteError::Unknown);
        let removed = match &version {
            Ok(version) => ledger.remove("items/a.json", version).await,
            Err(_) => Ok(()),
        };
        let failures: Vec<_> = [version.err(), read.err(), listed.err(), removed.err()].into_iter().flatten().collect();
        assert!(
            matches!(&failures[..], [WriteError::Unknown(error)] if error.kind == PortErrorKind::Throttled),
            "{operation}: {failures:?}"
        );
        assert_eq!(last_call(&world).0, operation);
    }
}
