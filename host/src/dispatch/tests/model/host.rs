//! Hosts that can be killed and frozen, and the queues that bring them messages.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use super::cloud::{Cloud, Reach};
use crate::capabilities::Ports;
use crate::clock::Clock;
use crate::dispatch::tests::Only;
use crate::dispatch::{Closing, Dispatch, DispatchError, Hooks, Jitter, Place, Step, time_between};
use crate::event::Event;
use crate::ledger::Ledger;
use crate::modules::Modules;
use crate::policy::Policy;
use crate::ports::{AccountId, Region};
use crate::sandbox::{Capacity, Module, Pace, Sandbox};
use crate::testing::{guests, policy, silent};

/// How long a message is hidden from its receipt on, unless its host says otherwise.
const HIDDEN: Duration = Duration::from_secs(30);

/// How often a message is received at the most, before its queue gives it up.
const RECEIVES: u32 = 400;

/// What all hosts of all runs share: what takes long to make.
pub(super) struct Workshop {
    sandbox: Arc<Sandbox>,
    module: Arc<Module>,
}

impl Workshop {
    pub(super) fn new() -> Self {
        let capacity = Capacity { attempts: 16, memory: 64 << 20 };
        let sandbox = Arc::new(Sandbox::new(capacity, Pace::Virtual).expect("a sandbox"));
        let module = sandbox.compile(&guests::drains_and_looks_again(170, 3), "digest".to_owned());
        Self { module: Arc::new(module.expect("a module")), sandbox }
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
    pub(super) fn new(workshop: &Workshop, cloud: &Arc<Cloud>, skew: [i64; 2]) -> Self {
        let hosts = skew.iter().enumerate().map(|(number, ahead)| {
            let power = Arc::new(Power::new());
            let clock: Arc<dyn Clock> = Arc::new(Skewed { cloud: Arc::clone(cloud), ahead: *ahead });
            let reach = Reach { cloud: Arc::clone(cloud), power, host: number, clock };
            let (sandbox, module, reached) =
                (Arc::clone(&workshop.sandbox), Arc::clone(&workshop.module), reach.clone());
            let start = move || process(&sandbox, &module, &reached);
            Host { reach, process: Mutex::new(start()), start: Box::new(start) }
        });
        Self { hosts: hosts.collect(), cloud: Arc::clone(cloud) }
    }

    /// A message from its first receipt to its deletion. Any host may get it each time.
    pub(super) async fn message(&self, number: usize, event: &Event) {
        for receive in 0..RECEIVES {
            // Who is frozen receives nothing.
            let turn = (number + receive as usize / 3) % self.hosts.len();
            let mut hosts = self.hosts[turn..].iter().chain(&self.hosts[..turn]);
            let Some(host) = hosts.find(|host| host.reach.power.left().is_none()) else {
                tokio::time::sleep(HIDDEN).await;
                continue;
            };
            match host.step(event).await {
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
        self.cloud.breach(format!("message {number} of {} was received {RECEIVES} times", event.id));
    }
}

impl Host {
    /// One step of an event; none if the host is killed meanwhile.
    async fn step(&self, event: &Event) -> Option<Result<Step, DispatchError>> {
        let mut killed = self.reach.power.kills.subscribe();
        killed.mark_unchanged();
        let process = Arc::clone(&self.process.lock().unwrap());
        let step = self.reach.power.running(process.step(event, None));
        let stepped = tokio::select! {
            biased;
            _ = killed.changed() => None,
            stepped = step => Some(stepped),
        };
        if stepped.is_none() {
            *self.process.lock().unwrap() = (self.start)();
        }
        stepped
    }
}

/// A process as it starts.
fn process(sandbox: &Arc<Sandbox>, module: &Arc<Module>, reach: &Reach) -> Arc<Dispatch> {
    let reached = Arc::new(reach.clone());
    let ports = Ports { ecs: reached.clone(), clock: Arc::clone(&reach.clock), ..silent() };
    let known = [("module.wasm".to_owned(), Arc::clone(module))];
    let modules = Modules::holding(known, Arc::new(Only(None)), Arc::clone(sandbox), Arc::clone(&reach.clock));
    let place = Place {
        account: AccountId::parse("123456789012").expect("an account"),
        region: Region::parse("eu-central-1").expect("a region"),
    };
    let holder = format!("host {}", reach.host);
    let ledger = Ledger::new(reached.clone(), Arc::clone(&reach.clock), place.clone(), holder);
    Arc::new(Dispatch {
        policy: Workshop::policy(),
        modules,
        sandbox: Arc::clone(sandbox),
        ports,
        lifecycle: reached,
        place,
        ledger,
        hooks: Hooks::default(),
        jitter: Jitter::Tenth,
        closing: Closing::default(),
        recordings: None,
    })
}

/// A clock that is off.
struct Skewed {
    cloud: Arc<Cloud>,
    ahead: i64,
}

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        self.cloud.now() + SignedDuration::from_millis(self.ahead)
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
    fn left(&self) -> Option<Duration> {
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
