//! Turns under virtual time, and what the SDK's own tries do to them.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use super::*;
use crate::aws::fake::{Fake, Reply};

const READ: &str = "ecs:DescribeTasks";

/// How many turns were had in each second from the beginning, when `callers` want one at once.
async fn turns(budget: &Budget, operation: &'static str, callers: usize) -> Vec<usize> {
    let start = Instant::now();
    let mut waiting = JoinSet::new();
    for _ in 0..callers {
        let budget = budget.clone();
        waiting.spawn(async move {
            budget.turn(operation).await;
            start.elapsed().as_secs()
        });
    }
    let had = waiting.join_all().await;
    (0..=had.iter().copied().max().unwrap_or_default())
        .map(|second| had.iter().filter(|had| **had == second).count())
        .collect()
}

/// The ECS client that `Aws` has.
fn client(fake: &Fake, budget: &Budget) -> aws_sdk_ecs::Client {
    let config = aws_sdk_ecs::config::Builder::from(&fake.config()).interceptor(budget.clone()).build();
    aws_sdk_ecs::Client::from_conf(config)
}

/// How many calls AWS sees in `seconds`, when twenty callers want as many as they can get.
async fn calls_in(fake: &Fake, budget: &Budget, seconds: u64) -> usize {
    let (client, before) = (client(fake, budget), fake.calls().len());
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let (client, budget) = (client.clone(), budget.clone());
        callers.spawn(async move {
            loop {
                budget.turn(READ).await;
                let _ = client.describe_tasks().tasks("t").send().await;
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    callers.shutdown().await;
    fake.calls().len() - before
}

fn tasks() -> Reply {
    Reply::json(&serde_json::json!({ "tasks": [] }))
}

#[tokio::test(start_paused = true)]
async fn a_full_bucket_is_had_at_once_and_then_what_comes_back() {
    let a_second = turns(&Budget::new(), READ, 200).await;
    assert_eq!(a_second[0], 119, "the bucket, and what came back in the first second");
    assert!(a_second[1..].iter().all(|turns| *turns <= 20), "{a_second:?}");
    assert_eq!(a_second.iter().sum::<usize>(), 200);
}

#[tokio::test(start_paused = true)]
async fn reads_that_wait_hold_back_neither_changes_nor_lifecycle_actions() {
    let budget = Budget::new();
    let reads = tokio::spawn({
        let budget = budget.clone();
        async move { turns(&budget, READ, 1000).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    for operation in [
        "ecs:StopTask",
        "ec2:DescribeInstances",
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:RecordLifecycleActionHeartbeat",
        "autoscaling:CompleteLifecycleAction",
        "s3:PutObject",
    ] {
        budget.turn(operation).await;
    }
    assert!(start.elapsed().is_zero() && !reads.is_finished());
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_takes_no_turn() {
    let budget = Budget::new();
    turns(&budget, READ, 100).await;
    let (first, second) = (budget.turn(READ), budget.turn(READ));
    tokio::pin!(first, second);
    assert!(tokio::time::timeout(Duration::from_millis(10), &mut first).await.is_err());
    assert!(tokio::time::timeout(Duration::from_millis(10), &mut second).await.is_err());
    let start = Instant::now();
    drop(budget.turn(READ));
    first.await;
    second.await;
    assert!(start.elapsed() <= Duration::from_millis(100), "{:?}", start.elapsed());
}

/// An ECS of which the others in the account leave us few calls a second, while they are busy.
fn busy(busy: &Arc<AtomicBool>, calls_a_second: usize) -> Fake {
    let (busy, start, had) = (Arc::clone(busy), Instant::now(), Mutex::new((0, 0)));
    Fake::new(move |_| {
        let second = start.elapsed().as_secs();
        let mut had = had.lock().unwrap();
        *had = if had.0 == second { (second, had.1 + 1) } else { (second, 1) };
        match busy.load(Ordering::Relaxed) && had.1 > calls_a_second {
            true => Reply::json_error(400, "ThrottlingException", "Rate exceeded"),
            false => tasks(),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn when_aws_pushes_back_the_rate_falls_and_comes_back_by_and_by() {
    let others = Arc::new(AtomicBool::new(false));
    let fake = busy(&others, 5);
    let budget = Budget::new();
    calls_in(&fake, &budget, 10).await;
    assert_eq!(calls_in(&fake, &budget, 60).await, 1200, "the full rate");

    others.store(true, Ordering::Relaxed);
    calls_in(&fake, &budget, 10).await;
    let slow = calls_in(&fake, &budget, 60).await;
    assert!((3 * 60..9 * 60).contains(&slow), "{slow} calls in a minute, of which AWS takes 300 at most");

    others.store(false, Ordering::Relaxed);
    let recovering = calls_in(&fake, &budget, 5).await;
    assert!(recovering < 90, "{recovering} of 100 calls at the full rate");
    calls_in(&fake, &budget, 20).await;
    assert_eq!(calls_in(&fake, &budget, 60).await, 1200, "the full rate again");
}

#[tokio::test(start_paused = true)]
async fn one_push_halves_the_rate_once_and_empties_the_bucket() {
    let budget = Budget::new();
    let fake = Fake::always(Reply::json_error(400, "ThrottlingException", "Rate exceeded"));
    let client = client(&fake, &budget);
    let mut refused = JoinSet::new();
    for _ in 0..50 {
        let once = client.describe_tasks().tasks("t").customize();
        let once = once
            .config_override(aws_sdk_ecs::Config::builder().retry_config(aws_config::retry::RetryConfig::disabled()));
        refused.spawn(async move { once.send().await.is_err() });
    }
    assert!(refused.join_all().await.into_iter().all(|refused| refused));
    let a_second = turns(&budget, READ, 30).await;
    assert!(a_second[0] <= 10 && a_second[1] <= 13, "{a_second:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_sdk_tries_again_is_paid_for_by_the_next_call() {
    let budget = Budget::new();
    turns(&budget, READ, 100).await;
    let client = client(&Fake::always(Reply::new(500, "")), &budget);
    assert!(client.describe_tasks().tasks("t").send().await.is_err());
    turns(&budget, READ, 100).await;
    assert_eq!(budget.bucket(READ).unwrap().lock().owed, 0);

    assert!(client.describe_tasks().tasks("t").send().await.is_err());
    assert_eq!(budget.bucket(READ).unwrap().lock().owed, 3, "three tries after the first");
    let start = Instant::now();
    budget.turn(READ).await;
    budget.turn(READ).await;
    assert!(start.elapsed().is_zero(), "the pauses of the SDK have filled the bucket");
    assert_eq!(budget.bucket(READ).unwrap().lock().owed, 0);
}

#[test]
fn the_family_of_an_operation_is_that_of_aws() {
    for (operation, family) in [
        ("ListClusters", Some(Family::EcsClusterReads)),
        ("ListTasks", Some(Family::EcsReads)),
        ("UpdateContainerInstancesState", Some(Family::EcsModifies)),
        ("DescribeInstances", Some(Family::Ec2Reads)),
        ("CompleteLifecycleAction", Some(Family::Lifecycle)),
        ("SetInstanceProtection", Some(Family::AutoScaling)),
        ("PutObject", None),
    ] {
        assert_eq!(Family::of(operation), family, "{operation}");
    }
}
