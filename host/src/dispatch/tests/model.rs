//! The model test: hosts over one ledger, under virtual time, in which anything can go wrong at any of their operations.
//!
//! Several events about the same instances are delivered, some twice at once, by queues that give a message to any host, or give it
//! up. Every minute a host looks for what nobody brings. Each run has a plan of what goes wrong, with which operation, counted over
//! all hosts. At the end of every run the same things must be true, whatever went wrong ([`Run::judge`]).

mod actions;
mod cloud;
mod figures;
mod host;
mod judge;
mod reach;
mod trouble;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::cloud::Cloud;
use self::figures::Figures;
use self::host::{Hosts, MOST_OFF, SWEPT_EVERY, Workshop};
use self::trouble::Trouble;
use crate::event::{Event, Message, parse_message};
use crate::testing::{INSTANCE, START};

/// How many runs with several troubles there are, unless this variable says another number, as `make model` does. With it, every trouble
/// is tried at every operation; without, a kill is, and one other.
const SEEDS: u64 = 2_000;
const SEEDS_VARIABLE: &str = "HOSTLER_MODEL_SEEDS";

/// The instance that is launched while the other goes.
const ANOTHER: &str = "i-0fedcba9876543210";

/// The instance whose event never comes.
const UNHEARD: &str = "i-00000000000000bad";

/// How often the message is received that its queue gives up, unless a seed says otherwise.
const GIVEN_UP_AFTER: u32 = 2;

/// Within how many operations everything goes wrong at once.
const BURST: u32 = 24;

/// How many rounds of the sweep nothing may happen before nothing does any more: nothing can be late by as much.
const QUIET_ROUNDS: u32 = 2;

/// After how many rounds it is time for that: half a day of them.
const MOST_ROUNDS: usize = 720;

/// A delivery of an event, and when.
struct Delivery {
    at: Duration,
    event: Event,
    by: By,
}

/// What brings an event.
enum By {
    /// A message that is received until it is deleted.
    Message,
    /// One that its queue gives up.
    MessageThatDies,
    /// Another delivery's message, which knows less of it.
    Another,
    /// Nothing does.
    Nothing,
}

/// A termination that is delivered twice at once, once without its token, as the instance itself knows of it, and once more much later;
/// a second hook of it, whose message dies, and which, other than with Auto Scaling, an ABANDON of the first does not end; a Spot warning and a rebalance recommendation for the same instance; the launch of another, without
/// its token and a little later with it; a termination of which nobody is told; and a second termination of the first instance, with a
/// token of its own, after the first is long over.
fn deliveries() -> Vec<Delivery> {
    let terminating = || lifecycle(INSTANCE, "drain", Some("first"), 0);
    let launching = |token| lifecycle(ANOTHER, "boot", token, 0);
    let notice = |detail_type, id| event(detail_type, id, 0, serde_json::json!({ "instance-id": INSTANCE }));
    let delivered = [
        (0, By::Message, terminating()),
        (0, By::Message, terminating()),
        (0, By::MessageThatDies, lifecycle(INSTANCE, "archive", Some("archive"), 0)),
        (0, By::Message, notice("EC2 Instance Rebalance Recommendation", "rebalance")),
        (0, By::Another, launching(Some("launch"))),
        (500, By::Message, launching(None)),
        (800, By::Message, lifecycle(INSTANCE, "drain", None, 0)),
        (1_000, By::Message, notice("EC2 Spot Instance Interruption Warning", "spot")),
        (2_500, By::Message, launching(Some("launch"))),
        (10_000, By::Nothing, lifecycle(UNHEARD, "drain", Some("unheard"), 10)),
        (700_000, By::Message, terminating()),
        (1_000_000, By::Message, lifecycle(INSTANCE, "drain", Some("second"), 1_000)),
    ];
    delivered.map(|(at, by, event)| Delivery { at: Duration::from_millis(at), event, by }).into()
}

fn lifecycle(instance: &str, hook: &str, token: Option<&str>, seconds: i64) -> Event {
    let (word, transition) = if hook == "boot" { ("launch", "LAUNCHING") } else { ("terminate", "TERMINATING") };
    let mut detail = serde_json::json!({
        "AutoScalingGroupName": "web", "LifecycleHookName": hook, "EC2InstanceId": instance,
        "LifecycleTransition": format!("autoscaling:EC2_INSTANCE_{transition}"),
    });
    if let Some(token) = token {
        detail["LifecycleActionToken"] = token.into();
    }
    let id = token.map_or_else(|| format!("{instance}/{hook}"), str::to_owned);
    event(&format!("EC2 Instance-{word} Lifecycle Action"), &id, seconds, detail)
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

/// One run: what goes wrong in it, how many milliseconds each host's clock is ahead, and how soon a queue gives a message up.
struct Run {
    troubles: BTreeMap<u32, Trouble>,
    skew: [i64; 2],
    given_up_after: u32,
}

impl Run {
    /// With nothing but these troubles.
    fn with(troubles: BTreeMap<u32, Trouble>) -> Self {
        Self { troubles, skew: [0, 0], given_up_after: GIVEN_UP_AFTER }
    }

    /// Plays the deliveries, on a runtime of its own.
    fn play(&self, workshop: &Arc<Workshop>, tells: bool) -> Arc<Cloud> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime without sockets").block_on(async {
            let (queue, sent) = mpsc::unbounded_channel();
            let cloud = Arc::new(Cloud::new(self.troubles.clone(), queue, tells));
            let hosts = Arc::new(Hosts::new(workshop, &cloud, self.skew));
            let mut messages = JoinSet::new();
            for (number, delivery) in deliveries().into_iter().enumerate() {
                messages.spawn(self.deliver(number, delivery, &hosts, &cloud));
            }
            sweep_until_nothing_happens(&hosts, &cloud, messages, sent).await;
            cloud
        })
    }

    /// Lets what an event tells of happen, and brings it to the hosts.
    fn deliver(
        &self,
        number: usize,
        Delivery { at, mut event, by }: Delivery,
        hosts: &Arc<Hosts>,
        cloud: &Arc<Cloud>,
    ) -> impl Future<Output = ()> + use<> {
        let (hosts, cloud, given_up_after) = (Arc::clone(hosts), Arc::clone(cloud), self.given_up_after);
        async move {
            tokio::time::sleep(at).await;
            // An instance goes a second time when it has gone the first time.
            while event.id == "second" && cloud.holds(&event) {
                tokio::time::sleep(SWEPT_EVERY).await;
                event.time = cloud.now();
            }
            cloud.happens(&event, matches!(by, By::Message | By::Another));
            match by {
                By::Message => hosts.message(number, &event, None).await,
                By::MessageThatDies => hosts.message(number, &event, Some(given_up_after)).await,
                By::Another | By::Nothing => {}
            }
        }
    }

    /// Panics, with the story of the run, unless everything is as it has to be.
    fn judge(&self, workshop: &Arc<Workshop>) -> Figures {
        let events: Vec<_> = deliveries().into_iter().map(|delivery| delivery.event).collect();
        let cloud = self.play(workshop, false);
        let breaches = cloud.breaches(&events);
        if !breaches.is_empty() {
            let Self { troubles, skew, given_up_after } = self;
            let (breaches, story) = (breaches.join("\n"), self.play(workshop, true).story());
            panic!(
                "{troubles:?}, clocks ahead by {skew:?} ms, a message given up after {given_up_after} receives:\n{breaches}\n\n{story}"
            );
        }
        cloud.figures()
    }
}

/// Sweeps every minute, and delivers what is sent for it, until no message is left and nothing waits.
async fn sweep_until_nothing_happens(
    hosts: &Arc<Hosts>,
    cloud: &Cloud,
    mut under_way: JoinSet<()>,
    mut sent: mpsc::UnboundedReceiver<Event>,
) {
    let (mut messages, mut quiet, mut round) = (under_way.len(), 0, 0);
    let mut minutes = tokio::time::interval_at(tokio::time::Instant::now() + SWEPT_EVERY, SWEPT_EVERY);
    while round < MOST_ROUNDS {
        tokio::select! {
            biased;
            Some(ended) = under_way.join_next() => ended.expect("no host panics"),
            Some(event) = sent.recv() => {
                let (hosts, number) = (Arc::clone(hosts), messages);
                under_way.spawn(async move { hosts.message(number, &event, None).await });
                messages += 1;
            }
            _ = minutes.tick() => {
                round += 1;
                quiet = if under_way.is_empty() && cloud.is_at_rest() { quiet + 1 } else { 0 };
                if quiet > QUIET_ROUNDS {
                    return;
                }
                let hosts = Arc::clone(hosts);
                under_way.spawn(async move { hosts.sweep(round).await });
            }
        }
    }
    cloud.breach("it never ends".to_owned());
}

#[test]
fn whatever_goes_wrong_once_every_event_ends_once() {
    let began = std::time::Instant::now();
    let workshop = Arc::new(Workshop::new());
    let judge = |troubles| Run::with(troubles).judge(&workshop);
    let usual = judge(BTreeMap::new());
    let mut all = usual;
    // A trouble makes for operations that the usual run does not have; those after it are for the seeds.
    for operation in 1..=usual.operations {
        // Killed after one operation a host is as good as killed before its next.
        let [kill, other] = [Trouble::KilledAfter, Trouble::ALL[operation as usize % Trouble::ALL.len()]];
        let tried = Trouble::ALL.into_iter().filter(|trouble| more().is_some() || [kill, other].contains(trouble));
        for trouble in tried {
            all += judge(BTreeMap::from([(operation, trouble)]));
        }
    }
    say(&format!("a trouble at each of {} operations: {all}, in {:.1?}", usual.operations, began.elapsed()));
}

#[test]
fn whatever_goes_wrong_at_random_every_event_ends_once() {
    let began = std::time::Instant::now();
    let workshop = Arc::new(Workshop::new());
    let operations = Run::with(BTreeMap::new()).judge(&workshop).operations;
    let seeds = more().unwrap_or(SEEDS);
    let mut all = Figures::default();
    for seed in 0..seeds {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        // All over the run, or all at once.
        let first = chance.random_range(1..=operations);
        let window = if seed % 2 == 0 { 1..=operations + operations / 2 } else { first..=first + BURST };
        let troubles = (0..chance.random_range(1..=8)).map(|_| {
            let operation = chance.random_range(window.clone());
            (operation, Trouble::ALL[chance.random_range(0..Trouble::ALL.len())])
        });
        let troubles = troubles.collect();
        // Never further apart than hosts may be.
        let skew = [(); 2].map(|()| chance.random_range(-MOST_OFF..=MOST_OFF));
        all += Run { troubles, skew, given_up_after: chance.random_range(1..=4) }.judge(&workshop);
    }
    say(&format!("{seeds} seeds: {all}, in {:.1?}", began.elapsed()));
}

/// Says what runs came to, although the test passes: what is printed by the macros is shown only of tests that fail.
fn say(figures: &str) {
    writeln!(std::io::stderr(), "the model: {figures}").expect("somebody listens");
}

/// How many seeds are asked for.
fn more() -> Option<u64> {
    std::env::var(SEEDS_VARIABLE).ok().map(|seeds| seeds.parse().expect("a number of seeds"))
}
