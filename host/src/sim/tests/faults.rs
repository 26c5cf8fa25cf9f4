//! What goes wrong by order: what the caller is told of it and when, and whether it took effect.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::lifecycle::LifecycleResult;
use crate::policy::{AutoScalingCall, EcsCall, Scope};
use crate::ports::PortErrorKind;
use crate::sim::{Fault, FaultKind, Reply, When, told_operations};
use crate::testing::handler;

/// What the handlers of these tests may do: everything.
fn scope() -> Scope {
    let handler = handler(
        r#"
        [handler.grants]
        ecs = { clusters = ["prod"], allow = ["read", "drain", "stop-task"] }
        autoscaling = { groups = ["web"], allow = ["read", "protect"] }
        ec2 = { allow = ["read"] }
        ssh = { user = "ec2-user", key = "instance-connect", host-keys = "console", commands = [["uptime"]] }
        "#,
    );
    Scope::new(handler, Some(id(INSTANCE)))
}

fn task() -> String {
    format!("[[task]]\ninstance = \"{INSTANCE}\"\nfamily = \"report\"\n[[ssh]]\ndelay = \"3s\"\n")
}

/// A world in which one thing goes wrong.
fn faulty(operation: &str, kind: FaultKind, when: When) -> World {
    world(&task()).with_faults(vec![Fault { operation: operation.to_owned(), kind, when }], 0)
}

/// Makes a call of a port; what it returns matters only where it fails.
async fn call(world: &World, operation: &str) -> Result<(), PortError> {
    let (ports, lifecycle, scope, action) = (world.ports(), world.lifecycle(), scope(), action(Some("token")));
    // What a handler has seen before, seen behind the faults.
    let (member, node) = (member_of_prod(world), world.describe(&id(INSTANCE)).unwrap());
    let in_group = world.describe_member(&id(INSTANCE)).unwrap().unwrap();
    let task = list(world).remove(0);
    match operation {
        "autoscaling.describe-instance" => {
            let request = scope.describe_group_instance(AutoScalingCall::DescribeInstance, id(INSTANCE)).unwrap();
            ports.autoscaling.describe_instance(request).await.map(drop)
        }
        "autoscaling.set-instance-protection" => {
            let request = scope.set_instance_protection(in_group, true).unwrap();
            ports.autoscaling.set_instance_protection(request).await
        }
        "ec2.describe-instance" => {
            let request = scope.describe_instance(id(INSTANCE)).unwrap();
            ports.ec2.describe_instance(request).await.map(drop)
        }
        "ecs.drain" => ports.ecs.drain(scope.drain(member).unwrap()).await.map(drop),
        "ecs.find-container-instance" => {
            let request = scope.find_container_instance(EcsCall::FindContainerInstance, id(INSTANCE)).unwrap();
            ports.ecs.find_container_instance(request).await.map(drop)
        }
        "ecs.list-tasks" => ports.ecs.list_tasks(scope.list_tasks(EcsCall::ListTasks, member).unwrap()).await.map(drop),
        "ecs.stop-task" => ports.ecs.stop_task(scope.stop_task(member, &task, "going").unwrap()).await,
        "ssh.exec" => {
            let request = scope.exec(&node, vec!["uptime".to_owned()], None, None).unwrap();
            ports.ssh.exec(request).await.map(drop)
        }
        "lifecycle.complete" => lifecycle.complete(&action, LifecycleResult::Continue).await.map(drop),
        "lifecycle.heartbeat" => lifecycle.heartbeat(&action).await.map(drop),
        "lifecycle.hook" => lifecycle.hook(&action).await.map(drop),
        "sweep.hooks" => world.groups().hooks(&action.group).await.map(drop),
        "sweep.waiting" => world.groups().waiting().await.map(drop),
        other => panic!("no port has {other}"),
    }
}

/// The calls of the journal, as operation, target and fault: the last one.
pub(super) fn last_call(world: &World) -> (&'static str, String, Reply, Option<FaultKind>) {
    let journal = world.journal();
    let mut calls = journal.into_iter().filter_map(|entry| match entry.what {
        What::Call(call) => Some((call.operation, call.target, call.reply, call.fault)),
        _ => None,
    });
    calls.next_back().unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_kind_is_told_as_aws_would_and_takes_effect_or_not() {
    let told = [
        (FaultKind::Throttled, PortErrorKind::Throttled, "was throttled (Rate exceeded)", 0, false),
        (
            FaultKind::ServerError,
            PortErrorKind::Unavailable,
            "failed at the other side (503 Service Unavailable)",
            0,
            false,
        ),
        (FaultKind::Timeout, PortErrorKind::Timeout, "was not answered within 5s; it may have taken effect", 5, false),
        (FaultKind::ConnectionReset, PortErrorKind::Unavailable, "failed: connection reset by peer", 0, false),
        (FaultKind::AccessDenied, PortErrorKind::Denied, "was refused (AccessDenied)", 0, false),
        (
            FaultKind::AnswerLost,
            PortErrorKind::Timeout,
            "was not answered within 5s; it may have taken effect",
            5,
            true,
        ),
    ];
    assert_eq!(told.len(), FaultKind::ALL.len() - 2, "a killed attempt is told nothing, nor is a killed host");
    for (fault, kind, message, after, takes_effect) in told {
        let world = faulty("ecs.drain", fault, When::Always);
        let began = Instant::now();
        let error = call(&world, "ecs.drain").await.unwrap_err();
        assert_eq!(error.message, format!("UpdateContainerInstancesState {message}: a simulated fault"));
        assert_eq!((error.kind, began.elapsed()), (kind, seconds(after)), "{fault}");
        assert_eq!(member_of_prod(&world).status == "DRAINING", takes_effect, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_host_gets_no_answer_and_its_call_takes_effect() {
    let world = faulty("ecs.drain", FaultKind::HostKilled, When::Nth(vec![1]));
    let mut kills = world.kills();
    kills.mark_unchanged();
    let unanswered = tokio::time::timeout(Duration::from_secs(3600), call(&world, "ecs.drain")).await;
    assert!(unanswered.is_err() && kills.has_changed().unwrap());
    assert_eq!(member_of_prod(&world).status, "DRAINING");
    call(&world, "ecs.drain").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_journal_says_what_came_of_the_call_in_the_world_and_what_went_wrong() {
    let mut told = Vec::new();
    for kind in FaultKind::ALL {
        let world = faulty("ecs.drain", kind, When::Always);
        let _ = tokio::time::timeout(seconds(60), call(&world, "ecs.drain")).await;
        let journal = world.journal();
        told.extend(journal.iter().filter(|entry| entry.to_string().contains("ecs.drain")).map(ToString::to_string));
    }
    insta::assert_snapshot!(told.join("\n"), @"
    +0s call  ecs.drain i-0aaaaaaaaaaaaaaa1: error: UpdateContainerInstancesState was throttled (Rate exceeded): a simulated fault (fault: throttled)
    +0s call  ecs.drain i-0aaaaaaaaaaaaaaa1: error: UpdateContainerInstancesState failed at the other side (503 Service Unavailable): a simulated fault (fault: server-error)
    +0s call  ecs.drain i-0aaaaaaaaaaaaaaa1: error: UpdateContainerInstancesState was not answered within 5s; it may have taken effect: a simulated fault (after 5s) (fault: timeout)
    +0s call  ecs.drain i-0aaaaaaaaaaaaaaa1: error: UpdateContainerInstancesState failed: connection reset by peer: a simulated fault (fault: connection-reset)
    +0s call  ecs.drain i-0aaaaaaaaaaaaaaa1: error: UpdateContainerInstancesState was refused (AccessDenied): a simulated fault (fault: access-denied)
    +0s call  ecs.drain i-0aaaaaaaaaaaaaaa1: DRAINING, 1 running (fault: answer-lost)
    +0s call  ecs.drain i-0aaaaaaaaaaaaaaa1: DRAINING, 1 running (fault: attempt-killed)
    +0s call  ecs.drain i-0aaaaaaaaaaaaaaa1: DRAINING, 1 running (fault: host-killed)
    ");
}

#[tokio::test(start_paused = true)]
async fn every_told_operation_can_suffer_and_is_called_the_same_then() {
    for operation in told_operations() {
        let sound = world(&task());
        sound.deliver(&terminating("token")).unwrap();
        // An instance that waits cannot be protected; what is called, and on what, is the same.
        let _ = call(&sound, operation).await;
        let (name, target, _, fault) = last_call(&sound);
        assert_eq!((name, fault), (operation, None));

        let faulty = faulty(operation, FaultKind::Throttled, When::Always);
        let error = call(&faulty, operation).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Throttled, "{operation}");
        let reply = Reply::Error(error.message);
        assert_eq!(last_call(&faulty), (operation, target, reply, Some(FaultKind::Throttled)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_waits_for_the_call_too() {
    let world = faulty("ssh.exec", FaultKind::AnswerLost, When::Always);
    let began = Instant::now();
    call(&world, "ssh.exec").await.unwrap_err();
    assert_eq!(began.elapsed(), seconds(3 + 5), "the command ran, for 3s, before its answer was lost");
}

/// Which of the first ten calls of an operation fail.
async fn failing(world: &World, operation: &str) -> Vec<u32> {
    let mut failing = Vec::new();
    for number in 1..=10 {
        if call(world, operation).await.is_err() {
            failing.push(number);
        }
    }
    failing
}

#[tokio::test(start_paused = true)]
async fn calls_are_counted_from_one() {
    let fault = |when| faulty("ecs.list-tasks", FaultKind::Throttled, when);
    assert_eq!(failing(&fault(When::Nth(vec![2, 5])), "ecs.list-tasks").await, [2, 5]);
    assert_eq!(failing(&fault(When::Always), "ecs.list-tasks").await.len(), 10);
    assert_eq!(failing(&fault(When::Always), "ecs.find-container-instance").await, [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_star_means_the_calls_of_handlers_together() {
    let world = faulty("*", FaultKind::Throttled, When::Nth(vec![2]));
    call(&world, "lifecycle.hook").await.unwrap();
    call(&world, "ecs.list-tasks").await.unwrap();
    call(&world, "lifecycle.hook").await.unwrap();
    assert_eq!(
        call(&world, "ssh.exec").await.unwrap_err().message,
        "the SSH connection was throttled (Rate exceeded): a simulated fault"
    );
}

#[tokio::test(start_paused = true)]
async fn of_several_faults_the_first_strikes_and_all_count() {
    let fault = |kind, nth| Fault { operation: "ecs.list-tasks".to_owned(), kind, when: When::Nth(nth) };
    let faults = vec![fault(FaultKind::Throttled, vec![1]), fault(FaultKind::ServerError, vec![1, 2])];
    let world = world(&task()).with_faults(faults, 0);
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(call(&world, "ecs.list-tasks").await.err().map(|error| error.kind));
    }
    assert_eq!(kinds, [Some(PortErrorKind::Throttled), Some(PortErrorKind::Unavailable), None]);
}

#[tokio::test(start_paused = true)]
async fn chance_is_the_seeds() {
    let run = async |probability, seed| {
        let fault =
            Fault { operation: "*".to_owned(), kind: FaultKind::Throttled, when: When::Probability(probability) };
        failing(&world(&task()).with_faults(vec![fault], seed), "ecs.list-tasks").await
    };
    assert_eq!((run(0.0, 1).await.len(), run(1.0, 1).await.len()), (0, 10));
    assert_eq!(run(0.5, 1).await, run(0.5, 1).await);
    assert_ne!(run(0.5, 1).await, run(0.5, 2).await);
}
