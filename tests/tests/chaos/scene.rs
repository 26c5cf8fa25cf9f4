//! A group of instances that are all about to go, and what is said about each of them.

use std::time::Duration;

use hostler_tests::{ACCOUNT, Queue, REGION, Rates, Stack, Storm, guest, plugin};
use serde_json::{Value, json};

use crate::chance::Chance;

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
    pub(crate) stack: &'static Stack,
    pub(crate) bucket: String,
    pub(crate) group: String,
    pub(crate) cluster: String,
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
    fn launch(stack: &Stack, cluster: &str, index: usize) -> Self {
        let id = stack.run_instance(std::net::Ipv4Addr::LOCALHOST);
        let container_instance = stack.register(cluster, &id);
        let task = stack.start_task(cluster, &container_instance);
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
        &self.token[24..]
    }

    /// The messages about it, many of them twice or three times.
    fn messages(&self, group: &str, chance: &mut Chance) -> Vec<String> {
        let mut messages = Vec::new();
        if !self.unheard {
            messages.extend(std::iter::repeat_n(self.termination(group), 1 + chance.below(3)));
        }
        if self.spot {
            messages.extend(std::iter::repeat_n(self.spot_warning(), 1 + chance.below(2)));
        }
        if self.rebalance {
            messages.extend(std::iter::repeat_n(self.rebalance_recommendation(), 1 + chance.below(2)));
        }
        messages.iter().map(Value::to_string).collect()
    }

    fn termination(&self, group: &str) -> Value {
        let detail = json!({
            "LifecycleActionToken": self.token, "AutoScalingGroupName": group, "LifecycleHookName": self.hook.name,
            "EC2InstanceId": self.id, "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
            "Origin": "AutoScalingGroup", "Destination": "EC2",
        });
        let id = format!("11111111-1111-4111-8111-{}", self.mark());
        envelope("aws.autoscaling", "EC2 Instance-terminate Lifecycle Action", &id, &detail)
    }

    fn spot_warning(&self) -> Value {
        let id = format!("22222222-2222-4222-8222-{}", self.mark());
        let detail = json!({ "instance-id": self.id, "instance-action": "terminate" });
        envelope("aws.ec2", "EC2 Spot Instance Interruption Warning", &id, &detail)
    }

    fn rebalance_recommendation(&self) -> Value {
        let id = format!("44444444-4444-4444-8444-{}", self.mark());
        envelope("aws.ec2", "EC2 Instance Rebalance Recommendation", &id, &json!({ "instance-id": self.id }))
    }
}

impl Scene {
    pub(crate) fn new(instances: usize, seed: u64) -> Self {
        let stack = Stack::shared();
        let [bucket, group, cluster] = ["chaos", "nuproj-chaos", "nuproj-chaos"].map(|name| stack.unique(name));
        stack.create_bucket(&bucket);
        for name in ["asg-lifecycle", "spot-interruption"] {
            stack.put_object(&bucket, &format!("plugins/{name}.wasm"), plugin(name));
        }
        stack.put_object(&bucket, "plugins/patient.wasm", guest("patient"));
        let dead_letters = Queue::create(stack, "dead");
        let queue = Queue::before(stack, "events", &dead_letters);
        let scale = u32::try_from(instances.div_ceil(IN_GOOD_TIME)).unwrap_or(u32::MAX).max(1);
        for hook in [&DRAIN, &LINGER, &REFUSE] {
            stack.autoscaling.hook(&group, hook.name, hook.timeout * scale);
        }
        let instances = (0..instances).map(|index| Instance::launch(stack, &cluster, index)).collect();
        let storm = Storm::start(stack, seed, RATES);
        Self { stack, bucket, group, cluster, queue, dead_letters, storm, instances, seed, scale }
    }

    /// How long a hook waits for a sign of life.
    pub(crate) fn timeout(&self, hook: &Hook) -> Duration {
        hook.timeout * self.scale
    }

    pub(crate) fn policy(&self) -> String {
        let Self { bucket, cluster, queue, dead_letters, .. } = self;
        let head = format!(
            r#"
[modules]
source = "s3://{bucket}/plugins/"
allow-unsigned = true

[ledger]
store = "s3://{bucket}/ledger/"

[queue]
url = "{}"
dead-letter = "{}"
concurrency = 40

[sweep]
every = "10s"
"#,
            queue.url, dead_letters.url
        );
        let drains = format!(
            r#"
[handler.grants]
ecs = {{ clusters = ["{cluster}"], allow = ["read", "drain", "stop-task"] }}
[handler.config]
stop-standalone-after = "5s"
"#
        );
        let waits = |time: Duration| format!("[handler.config]\nfor = \"{}s\"\n", time.as_secs());
        [
            head,
            self.terminations(&DRAIN, "asg-lifecycle", &drains),
            self.terminations(&LINGER, "patient", &waits(LINGERS * self.scale)),
            self.terminations(&REFUSE, "patient", &waits(Duration::ZERO)),
            of_ec2("spot", "EC2 Spot Instance Interruption Warning", &drains),
            of_ec2("rebalance", "EC2 Instance Rebalance Recommendation", &drains),
        ]
        .concat()
    }

    /// The handler of the actions of a hook.
    fn terminations(&self, hook: &Hook, module: &str, sections: &str) -> String {
        format!(
            r#"
[[handler]]
name = "{hook}"
module = "{module}.wasm"
[handler.event]
source = ["aws.autoscaling"]
detail-type = ["EC2 Instance-terminate Lifecycle Action"]
detail.AutoScalingGroupName = ["{group}"]
detail.LifecycleHookName = ["{hook}"]
[handler.finish]
deadline = "30m"
max-attempts = 100
{sections}"#,
            hook = hook.name,
            group = self.group
        )
    }

    /// Lets every instance go: the messages about them, in no order.
    pub(crate) fn begin(&mut self) -> usize {
        let mut chance = Chance(self.seed);
        let mut messages: Vec<String> = POISON.iter().map(|&poison| poison.to_owned()).collect();
        for instance in &mut self.instances {
            instance.token = self.stack.autoscaling.hold_back(&self.group, instance.hook.name, &instance.id);
            messages.extend(instance.messages(&self.group, &mut chance));
        }
        for index in (1..messages.len()).rev() {
            messages.swap(index, chance.below(index + 1));
        }
        self.queue.send(&messages);
        messages.len()
    }

    pub(crate) fn is_over(&self) -> bool {
        let over = |story: &hostler_tests::Story| story.end.is_some();
        self.stack.autoscaling.stories(&self.group).iter().all(over) && self.queue.is_empty()
    }
}

/// The handler of what EC2 says about Spot instances.
fn of_ec2(name: &str, detail_type: &str, sections: &str) -> String {
    format!(
        r#"
[[handler]]
name = "{name}"
module = "spot-interruption.wasm"
[handler.event]
source = ["aws.ec2"]
detail-type = ["{detail_type}"]
[handler.finish]
max-attempts = 100
{sections}"#
    )
}

pub(crate) fn envelope(source: &str, detail_type: &str, id: &str, detail: &Value) -> Value {
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).expect("now is a time");
    json!({
        "version": "0", "id": id, "detail-type": detail_type, "source": source, "account": ACCOUNT, "time": now.to_string(),
        "region": REGION, "resources": [], "detail": detail,
    })
}
