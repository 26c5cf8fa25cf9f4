//! A group of instances that are all about to go, and what is said about each of them.

use std::net::Ipv4Addr;
use std::time::Duration;

use hostler_tests::{Chance, Fleet, Queue, Rates, Storm, events, guest, plugin, policy};

/// A hook of the group, and how its actions are to end.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) name: &'static str,
    /// How long it waits for a sign of life, for as many instances as one agent gets through here in good time.
    timeout: Duration,
    pub(crate) result: &'static str,
}

/// The instance is drained. A killed host costs its message half a minute, so a hook that is to outlive that has to wait for a good
/// deal longer.
pub(crate) static DRAIN: Hook = Hook { name: "drain", timeout: Duration::from_secs(180), result: "CONTINUE" };

/// Its handler waits for longer than the hook does, so without heartbeats its actions time out, every one of them. It has the
/// shortest timeout that the documents allow.
pub(crate) static LINGER: Hook = Hook { name: "linger", timeout: Duration::from_secs(90), result: "ABANDON" };
const LINGERS: Duration = Duration::from_secs(100);

/// With more instances than this the emulators, which share a machine with the host, are the slower for it, and everything that waits
/// has to wait for longer.
const IN_GOOD_TIME: usize = 60;

/// Its handler abandons at once.
pub(crate) static REFUSE: Hook = Hook { name: "refuse", timeout: Duration::from_secs(180), result: "ABANDON" };

/// What cannot be an event, and belongs into the dead-letter queue.
pub(crate) const POISON: [&str; 3] = ["garbage {", "[1, 2]", "{\"some\": \"thing\"}"];

/// How much goes wrong on the way.
const RATES: Rates = Rates { lost: 0.03, conflict: 0.03, entry: 0.05 };

pub(crate) struct Scene {
    pub(crate) fleet: Fleet,
    pub(crate) queue: Queue<'static>,
    pub(crate) dead_letters: Queue<'static>,
    pub(crate) storm: Storm,
    pub(crate) instances: Vec<Instance>,
    pub(crate) seed: u64,
    /// How many times as long as usual everything may take.
    pub(crate) scale: u32,
}

pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) container_instance: String,
    pub(crate) task: String,
    pub(crate) token: String,
    /// What holds it back.
    pub(crate) hook: &'static Hook,
    /// Whether EC2 says something about it too.
    pub(crate) spot: bool,
    pub(crate) rebalance: bool,
    /// Whether nobody tells of its lifecycle action: the sweep has to find it.
    pub(crate) unheard: bool,
}

impl Instance {
    /// What becomes of the one with this number: every hook with and without the rest, and found by the sweep.
    fn launch(fleet: &Fleet, index: usize) -> Self {
        let instance = fleet.launch(Ipv4Addr::LOCALHOST);
        let task = fleet.start_task(&instance);
        let hostler_tests::Instance { id, container_instance } = instance;
        let unheard = index % 20 == 19;
        let hook = match index % 10 {
            3 => &LINGER,
            7 => &REFUSE,
            // Not of the hook with the shortest timeout: a host that is killed every few seconds seldom gets to sweep.
            9 if unheard => [&DRAIN, &REFUSE][index / 20 % 2],
            _ => &DRAIN,
        };
        let (spot, rebalance) = (index.is_multiple_of(3), index % 4 == 1);
        Self { id, container_instance, task, token: String::new(), hook, spot, rebalance, unheard }
    }

    /// What ends the ids of everything that is said about it.
    pub(crate) fn mark(&self) -> &str {
        events::mark(&self.token)
    }

    /// The messages about it, many of them twice or three times.
    fn messages(&self, group: &str, chance: &mut Chance) -> Vec<String> {
        let mut events = Vec::new();
        if !self.unheard {
            let termination = events::termination(group, self.hook.name, &self.id, &self.token);
            events.extend(std::iter::repeat_n(termination, 1 + chance.below(3)));
        }
        if self.spot {
            let warning = events::spot_warning(&self.id, self.mark());
            events.extend(std::iter::repeat_n(warning, 1 + chance.below(2)));
        }
        if self.rebalance {
            let recommendation = events::rebalance_recommendation(&self.id, self.mark());
            events.extend(std::iter::repeat_n(recommendation, 1 + chance.below(2)));
        }
        events.iter().map(ToString::to_string).collect()
    }
}

impl Scene {
    pub(crate) fn new(instances: usize, seed: u64) -> Self {
        let fleet = Fleet::new("chaos");
        let stack = fleet.stack;
        for name in ["asg-lifecycle", "spot-interruption"] {
            fleet.upload(name, plugin(name));
        }
        fleet.upload("patient", guest("patient"));
        let dead_letters = Queue::create(stack, "dead");
        let queue = Queue::before(stack, "events", &dead_letters);
        let scale = u32::try_from(instances.div_ceil(IN_GOOD_TIME)).unwrap_or(u32::MAX).max(1);
        for hook in [&DRAIN, &LINGER, &REFUSE] {
            stack.autoscaling.hook(&fleet.group, hook.name, hook.timeout * scale);
        }
        let instances = (0..instances).map(|index| Instance::launch(&fleet, index)).collect();
        let storm = Storm::start(stack, seed, RATES);
        Self { fleet, queue, dead_letters, storm, instances, seed, scale }
    }

    /// How long a hook waits for a sign of life.
    pub(crate) fn timeout(&self, hook: &Hook) -> Duration {
        hook.timeout * self.scale
    }

    pub(crate) fn policy(&self) -> String {
        let Self { fleet: Fleet { bucket, cluster, .. }, queue, dead_letters, .. } = self;
        let drains = policy::grants(cluster) + "[handler.config]\nstop-standalone-after = \"5s\"\n";
        let waits = |time: Duration| {
            let time = time.as_secs();
            format!(
                "[handler.grants]\nec2 = {{ allow = [\"read\"] }}\n[handler.config]\nlook = \"yes\"\nfor = \"{time}s\"\n"
            )
        };
        [
            policy::modules(bucket),
            policy::ledger(&format!("s3://{bucket}/ledger/")),
            policy::queue(&queue.url),
            format!("dead-letter = \"{}\"\nconcurrency = 40\n", dead_letters.url),
            "[sweep]\nevery = \"10s\"\n".to_owned(),
            self.terminations(&DRAIN, "asg-lifecycle", &drains),
            self.terminations(&LINGER, "patient", &waits(LINGERS * self.scale)),
            self.terminations(&REFUSE, "patient", &waits(Duration::ZERO)),
            told_by_ec2("spot", "EC2 Spot Instance Interruption Warning", &drains),
            told_by_ec2("rebalance", "EC2 Instance Rebalance Recommendation", &drains),
        ]
        .concat()
    }

    /// The handler of the actions of a hook.
    fn terminations(&self, hook: &Hook, module: &str, sections: &str) -> String {
        let finish = "[handler.finish]\ndeadline = \"30m\"\nmax-attempts = 100\n";
        let events = policy::terminations(&self.fleet.group, hook.name);
        [&policy::handler(hook.name, module), &events, finish, sections].concat()
    }

    /// Lets every instance go: the messages about them, in no order.
    pub(crate) fn begin(&mut self) -> usize {
        let mut chance = Chance::new(self.seed);
        let mut messages: Vec<String> = POISON.iter().map(|&poison| poison.to_owned()).collect();
        for instance in &mut self.instances {
            instance.token = self.fleet.hold_back(instance.hook.name, &instance.id);
            messages.extend(instance.messages(&self.fleet.group, &mut chance));
        }
        for index in (1..messages.len()).rev() {
            messages.swap(index, chance.below(index + 1));
        }
        self.queue.send(&messages);
        messages.len()
    }

    pub(crate) fn is_over(&self) -> bool {
        let over = |story: &hostler_tests::Story| story.end.is_some();
        self.fleet.stack.autoscaling.stories(&self.fleet.group).iter().all(over) && self.queue.is_empty()
    }
}

/// The handler of what EC2 says about Spot instances.
fn told_by_ec2(name: &str, detail_type: &str, sections: &str) -> String {
    let finish = "[handler.finish]\nmax-attempts = 100\n";
    [&policy::handler(name, "spot-interruption"), &policy::told_by_ec2(detail_type), finish, sections].concat()
}
