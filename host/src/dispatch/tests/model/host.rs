//! Hosts that can be killed and frozen, and the queues that bring them messages.

use std::pin::pin;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use super::cloud::Cloud;
use super::reach::Reach;
use crate::capabilities::Ports;
use crate::clock::Clock;
use crate::dispatch::tests::Only;
use crate::dispatch::{Closing, Dispatch, Hooks, Jitter, Step, time_between};
use crate::event::Event;
use crate::ledger::Ledger;
use crate::modules::{Modules, Plugin};
use crate::policy::Policy;
use crate::ports::{AccountId, Place, Region};
use crate::sandbox::{Capacity, Pace, Sandbox};
use crate::sweep::Sweep;
use crate::testing::{guests, policy, silent};

/// How long a message is hidden from its receipt on, unless its host says otherwise.
const HIDDEN: Duration = Duration::from_secs(30);

/// How often a message is received at the most: more often than any that its queue does not give up should be.
const RECEIVES: u32 = 400;

/// How often it is swept.
pub(super) const SWEPT_EVERY: Duration = Duration::from_secs(60);

/// How far the clock of a host can be off, in milliseconds: less than half of what those of two may differ by.
pub(super) const MOST_OFF: i64 = 2_400;

/// What all hosts of all runs share: what takes long to make.
pub(super) struct Workshop {
    sandbox: Arc<Sandbox>,
    plugin: Arc<Plugin>,
    policy: Policy,
}

impl Workshop {
    pub(super) fn new() -> Self {
        let capacity = Capacity { attempts: 16, memory: 64 << 20 };
        let sandbox = Arc::new(Sandbox::new(capacity, Pace::Virtual).expect("a sandbox"));
        let module = sandbox.compile(&guests::drains_and_looks_again(170, 3), "digest".to_owned());
        let plugin = Plugin::built_here(module.expect("a module"));
        Self { plugin: Arc::new(plugin), sandbox, policy: Self::policy() }
    }

    fn policy() -> Policy {
        policy(
            r#"detail-type = [{ prefix = "EC2 Instance-" }]
            [handler.grants]
            ecs = { clusters = ["c"], allow = ["drain"] }
            [[handler]]
            name = "notices"
            module = "module.wasm"
            [handler.event]
            source = ["aws.ec2"]
            [handler.grants]
            ecs = { clusters = ["c"], allow = ["drain"] }"#,
        )
    }
}

/// Several hosts over one ledger.
pub(super) struct Hosts {
    hosts: Vec<Host>,
    cloud: Arc<Cloud>,
}

struct Host {
    reach: Reach,
    /// The process that runs now: what it remembers dies with it.
    process: Mutex<Arc<Dispatch>>,
    start: Box<dyn Fn() -> Arc<Dispatch> + Send + Sync>,
}

impl Hosts {
    /// One host for each clock. They say how many milliseconds it is ahead.
    pub(super) fn new(workshop: &Arc<Workshop>, cloud: &Arc<Cloud>, skew: [i64; 2]) -> Self {
        let hosts = skew.iter().enumerate().map(|(host, ahead)| {
            let clock = Arc::new(OwnClock { cloud: Arc::clone(cloud), ahead: AtomicI64::new(*ahead) });
            let reach = Reach { cloud: Arc::clone(cloud), power: Arc::new(Power::new()), host, clock };
            let (workshop, reached) = (Arc::clone(workshop), reach.clone());
            let start = move || process(&workshop, &reached);
            Host { reach, process: Mutex::new(start()), start: Box::new(start) }
        });
        Self { hosts: hosts.collect(), cloud: Arc::clone(cloud) }
    }

    /// A message from its first receipt to its deletion, or until its queue gives it up after so many receives. Any host may get it
    /// each time.
    pub(super) async fn message(&self, number: usize, event: &Event, given_up_after: Option<u32>) {
        for receive in 0..given_up_after.unwrap_or(RECEIVES) {
            let Some(host) = self.awake(number + receive as usize / 3) else {
                tokio::time::sleep(HIDDEN).await;
                continue;
            };
            match host.run(|process| async move { process.step(event, None).await }).await {
                Some(Ok(Step::Ended(end))) => {
                    self.cloud.tell(|| format!("message {number} of {} is deleted: {end}", event.id));
                    return;
                }
                Some(Ok(Step::Later { at, note, .. })) => {
                    let wait = time_between(host.reach.clock.now(), at);
                    self.cloud.tell(|| format!("message {number} of {} waits {wait:?}: {note}", event.id));
                    tokio::time::sleep(wait).await;
                }
                Some(Err(error)) => {
                    self.cloud.tell(|| format!("message {number} of {} fails: {error}", event.id));
                    tokio::time::sleep(HIDDEN).await;
                }
                None => tokio::time::sleep(HIDDEN).await,
            }
        }
        match given_up_after {
            Some(_) => self.cloud.tell(|| format!("message {number} of {} is given up by its queue", event.id)),
            None => self.cloud.breach(format!("message {number} of {} was received {RECEIVES} times", event.id)),
        }
    }

    /// One round of the sweep, by either host.
    pub(super) async fn sweep(&self, round: usize) {
        let Some(host) = self.awake(round) else { return };
        let reached = Arc::new(host.reach.clone());
        let sweep = |dispatch| Sweep::new(dispatch, reached.clone(), reached);
        let swept = host.run(|process| async move { sweep(process).round().await }).await;
        self.cloud.tell(|| format!("round {round} came to {swept:?}"));
    }

    /// The host whose turn it is. Who is frozen receives nothing, and does not look.
    fn awake(&self, turn: usize) -> Option<&Host> {
        let (before, from_here) = self.hosts.split_at(turn % self.hosts.len());
        from_here.iter().chain(before).find(|host| host.reach.power.left().is_none())
    }
}

impl Host {
    /// What the host's process does; none if it is killed meanwhile.
    async fn run<T, W: Future<Output = T>>(&self, work: impl FnOnce(Arc<Dispatch>) -> W) -> Option<T> {
        let mut killed = self.reach.power.kills.subscribe();
        killed.mark_unchanged();
        let process = Arc::clone(&self.process.lock().unwrap());
        let work = self.reach.power.running(work(process));
        let done = tokio::select! {
            biased;
            _ = killed.changed() => None,
            done = work => Some(done),
        };
        if done.is_none() {
            *self.process.lock().unwrap() = (self.start)();
        }
        done
    }
}

/// A process as it starts.
fn process(workshop: &Workshop, reach: &Reach) -> Arc<Dispatch> {
    let reached = Arc::new(reach.clone());
    let clock: Arc<dyn Clock> = reach.clock.clone();
    let sandbox = Arc::clone(&workshop.sandbox);
    let known = [("module.wasm".to_owned(), Arc::clone(&workshop.plugin))];
    let place = Place {
        account: AccountId::parse("123456789012").expect("an account"),
        region: Region::parse("eu-central-1").expect("a region"),
    };
    Arc::new(Dispatch {
        policy: workshop.policy.clone(),
        modules: Modules::holding(known, Arc::new(Only(None)), Arc::clone(&sandbox), Arc::clone(&clock)),
        sandbox,
        ports: Ports { ecs: reached.clone(), clock: Arc::clone(&clock), ..silent() },
        lifecycle: reached.clone(),
        ledger: Ledger::new(reached, clock, place.clone(), holder(reach.host)),
        place,
        hooks: Hooks::default(),
        jitter: Jitter::Tenth,
        closing: Closing::default(),
        recordings: None,
    })
}

/// What its leases are held by.
pub(super) fn holder(host: usize) -> String {
    format!("host {host}")
}

/// A host's clock, which is off.
pub(super) struct OwnClock {
    cloud: Arc<Cloud>,
    /// By so many milliseconds.
    ahead: AtomicI64,
}

impl OwnClock {
    /// Sets it back, as far as it can be off.
    pub(super) fn step_back(&self) {
        self.ahead.store(-MOST_OFF, Ordering::SeqCst);
    }
}

impl Clock for OwnClock {
    fn now(&self) -> Timestamp {
        self.cloud.now() + SignedDuration::from_millis(self.ahead.load(Ordering::SeqCst))
    }
}

/// What runs a host, and can stop to.
pub(super) struct Power {
    kills: watch::Sender<u32>,
    /// When its processor goes on, in milliseconds of the runtime's clock.
    frozen_until: AtomicU64,
    freezes: AtomicU32,
    began: Instant,
}

impl Power {
    fn new() -> Self {
        Self {
            kills: watch::Sender::new(0),
            frozen_until: AtomicU64::new(0),
            freezes: AtomicU32::new(0),
            began: Instant::now(),
        }
    }

    pub(super) fn kill(&self) {
        self.kills.send_modify(|kills| *kills += 1);
    }

    pub(super) fn freeze(&self, time: Duration) {
        let until = (self.began.elapsed() + time).as_millis();
        self.frozen_until.store(u64::try_from(until).expect("a short time"), Ordering::SeqCst);
        self.freezes.fetch_add(1, Ordering::SeqCst);
    }

    /// How often it has been frozen.
    pub(super) fn freezes(&self) -> u32 {
        self.freezes.load(Ordering::SeqCst)
    }

    /// How long it is frozen from now on.
    pub(super) fn left(&self) -> Option<Duration> {
        let until = self.frozen_until.load(Ordering::SeqCst);
        Duration::from_millis(until).checked_sub(self.began.elapsed()).filter(|left| !left.is_zero())
    }

    /// `work`, which stands still while the host is frozen.
    async fn running<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut thaw = pin!(tokio::time::sleep(Duration::ZERO));
        std::future::poll_fn(|context| {
            loop {
                if let Some(left) = self.left() {
                    thaw.as_mut().reset(Instant::now() + left);
                    if thaw.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    continue;
                }
                let polled = work.as_mut().poll(context);
                // Frozen by what it has just done: only the thaw goes on from there.
                if polled.is_ready() || self.left().is_none() {
                    return polled;
                }
            }
        })
        .await
    }
}
