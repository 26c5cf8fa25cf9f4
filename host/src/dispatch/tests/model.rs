//! The model test: hosts over one ledger, under virtual time, in which anything can go wrong at any of their operations.
//!
//! Several events about the same instances are delivered, some twice at once, by queues that give a message to any host. Each run
//! has a plan of what goes wrong, with which operation, counted over all hosts. At the end of every run the same things must be
//! true, whatever went wrong ([`Run::judge`]).

mod cloud;
mod host;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use self::cloud::{Cloud, Figures};
use self::host::{Hosts, Workshop};
use self::trouble::Trouble;
use crate::event::{Event, Message, parse_message};
use crate::testing::{INSTANCE, START};

/// How many runs with several troubles there are, unless this variable says another number. With it, every trouble is tried at every
/// operation; without, kills are, and one other.
const SEEDS: u64 = 150;
const SEEDS_VARIABLE: &str = "HOSTLER_MODEL_SEEDS";

/// The instance that is launched while the other goes.
const ANOTHER: &str = "i-0fedcba9876543210";

/// A delivery of an event, and when.
struct Delivery {
    at: Duration,
    event: Event,
}

/// A termination that is delivered twice at once and once more much later, a Spot warning and a rebalance recommendation for the
/// same instance, the launch of another, delivered twice a little apart, and a second termination of the first instance, with a token of
/// its own, after the first is long over.
fn deliveries() -> Vec<Delivery> {
    let terminating = || lifecycle(INSTANCE, "terminate", "TERMINATING", "first", 0);
    let launching = || lifecycle(ANOTHER, "launch", "LAUNCHING", "launch", 0);
    let again = || lifecycle(INSTANCE, "terminate", "TERMINATING", "second", 3_000);
    let notice = |detail_type, id| event(detail_type, id, 0, serde_json::json!({ "instance-id": INSTANCE }));
    let delivered = [
        (0, terminating()),
        (0, terminating()),
        (0, notice("EC2 Instance Rebalance Recommendation", "rebalance")),
        (1_000, notice("EC2 Spot Instance Interruption Warning", "spot")),
        (0, launching()),
        (2_500, launching()),
        (2_000_000, terminating()),
        (3_000_000, again()),
    ];
    delivered.map(|(at, event)| Delivery { at: Duration::from_millis(at), event }).into()
}

fn lifecycle(instance: &str, word: &str, transition: &str, token: &str, seconds: i64) -> Event {
    let detail = serde_json::json!({
        "LifecycleActionToken": token, "AutoScalingGroupName": "web", "LifecycleHookName": "drain", "EC2InstanceId": instance,
        "LifecycleTransition": format!("autoscaling:EC2_INSTANCE_{transition}"),
    });
    event(&format!("EC2 Instance-{word} Lifecycle Action"), token, seconds, detail)
}

fn event(detail_type: &str, id: &str, seconds: i64, detail: serde_json::Value) -> Event {
    let start: Timestamp = START.parse().expect("a timestamp");
    let source = if detail.get("instance-id").is_some() { "aws.ec2" } else { "aws.autoscaling" };
    let event = serde_json::json!({
        "version": "0", "id": id, "detail-type": detail_type, "source": source, "account": "123456789012",
        "time": (start + SignedDuration::from_secs(seconds)).to_string(), "region": "eu-central-1", "resources": [], "detail": detail,
    });
    match parse_message(event.to_string().as_bytes(), None) {
        Ok(Message::Events(mut events)) => events.remove(0),
        other => panic!("not one event: {other:?}"),
    }
}

/// One run: what goes wrong in it, and how many milliseconds each host's clock is ahead.
struct Run {
    troubles: BTreeMap<u32, Trouble>,
    skew: [i64; 2],
}

impl Run {
    /// Plays the deliveries, on a runtime of its own.
    fn play(&self, workshop: &Workshop, tells: bool) -> Arc<Cloud> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime without sockets").block_on(async {
            let cloud = Arc::new(Cloud::new(self.troubles.clone(), tells));
            let hosts = Arc::new(Hosts::new(workshop, &cloud, self.skew));
            let mut messages = tokio::task::JoinSet::new();
            for (number, Delivery { at, event }) in deliveries().into_iter().enumerate() {
                let (hosts, cloud) = (Arc::clone(&hosts), Arc::clone(&cloud));
                messages.spawn(async move {
                    tokio::time::sleep(at).await;
                    cloud.happens(&event);
                    hosts.message(number, &event).await;
                });
            }
            while let Some(ended) = messages.join_next().await {
                ended.expect("no host panics");
            }
            // Longer than anything can be late, and than a sweep waits with what nobody brings.
            tokio::time::sleep(Duration::from_secs(200)).await;
            for event in cloud.left_open() {
                hosts.message(0, &event).await;
            }
            cloud.look_at_the_end(&deliveries().into_iter().map(|delivery| delivery.event).collect::<Vec<_>>());
            cloud
        })
    }

    /// Panics, with the story of the run, unless everything is as it has to be.
    fn judge(&self, workshop: &Workshop) -> Figures {
        let cloud = self.play(workshop, false);
        let breaches = cloud.breaches(self.troubles.len());
        if !breaches.is_empty() {
            let story = self.play(workshop, true).story();
            panic!("{:?}, clocks ahead by {:?} ms:\n{}\n\n{story}", self.troubles, self.skew, breaches.join("\n"));
        }
        cloud.figures()
    }
}

#[test]
fn whatever_goes_wrong_once_every_event_ends_once() {
    let began = std::time::Instant::now();
    let workshop = Workshop::new();
    let judge = |troubles| Run { troubles, skew: [0, 0] }.judge(&workshop);
    let usual = judge(BTreeMap::new());
    let mut all = usual;
    // A trouble makes for operations that the usual run does not have; those after it are for the seeds.
    for operation in 1..=usual.operations {
        let others = Trouble::OTHERS.into_iter().enumerate();
        let mut others =
            others.filter(|(number, _)| more().is_some() || operation as usize % Trouble::OTHERS.len() == *number);
        for trouble in Trouble::KILLS.into_iter().chain(others.by_ref().map(|(_, trouble)| trouble)) {
            all += judge(BTreeMap::from([(operation, trouble)]));
        }
    }
    println!("a trouble at each of {} operations: {all}, in {:.1?}", usual.operations, began.elapsed());
}

#[test]
fn whatever_goes_wrong_at_random_every_event_ends_once() {
    let began = std::time::Instant::now();
    let workshop = Workshop::new();
    let operations = Run { troubles: BTreeMap::new(), skew: [0, 0] }.judge(&workshop).operations;
    let seeds = more().unwrap_or(SEEDS);
    let all_troubles: Vec<_> = Trouble::KILLS.into_iter().chain(Trouble::OTHERS).collect();
    let mut all = Figures::default();
    for seed in 0..seeds {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let troubles = (0..chance.random_range(1..=8)).map(|_| {
            let operation = chance.random_range(1..=operations + operations / 2);
            (operation, all_troubles[chance.random_range(0..all_troubles.len())])
        });
        let troubles = troubles.collect();
        // Never further apart than hosts may be.
        let skew = [chance.random_range(-2_400..=2_400), chance.random_range(-2_400..=2_400)];
        all += Run { troubles, skew }.judge(&workshop);
    }
    println!("{seeds} seeds: {all}, in {:.1?}", began.elapsed());
}

/// How many seeds are asked for.
fn more() -> Option<u64> {
    std::env::var(SEEDS_VARIABLE).ok().map(|seeds| seeds.parse().expect("a number of seeds"))
}
