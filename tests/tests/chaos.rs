//! No event lost, no instance left stuck: hundreds of terminations, Spot warnings and copies of both, through a queue, to a host
//! that is killed again and again while AWS throttles, fails, stalls and loses answers.
//!
//! `HOSTLER_CHAOS_INSTANCES` and `HOSTLER_CHAOS_SEED` make it longer, or another one. It prints its figures with `--nocapture`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use hostler_tests::http::{Request, Response, Server};
use hostler_tests::{ACCOUNT, Ended, Function, Process, Queue, REGION, Rates, Stack, Storm, host, plugin, poll};
use serde_json::{Value, json};

/// The hook of the group, and how long it waits for a sign of life. A killed host costs its message half a minute, so a hook
/// that is to outlive that has to wait for a good deal longer.
const HOOK: &str = "drain";
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(180);

/// How long the whole may take after the storm.
const PATIENCE: Duration = Duration::from_secs(240);

/// What cannot be an event, and belongs into the dead-letter queue.
const POISON: [&str; 3] = ["garbage {", "[1, 2]", "{\"some\": \"thing\"}"];

/// How much goes wrong on the way.
const RATES: Rates = Rates { lost: 0.03, conflict: 0.03, entry: 0.05 };
const RAGE: f64 = 0.08;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A group of instances that are all about to go.
struct Scene {
    stack: &'static Stack,
    bucket: String,
    group: String,
    cluster: String,
    queue: Queue<'static>,
    dead_letters: Queue<'static>,
    storm: Storm,
    instances: Vec<Instance>,
    seed: u64,
}

struct Instance {
    id: String,
    container_instance: String,
    task: String,
    token: String,
}

impl Scene {
    fn new(instances: u64) -> Self {
        let stack = Stack::shared();
        let seed = number("HOSTLER_CHAOS_SEED", 7);
        let [bucket, group, cluster] = ["chaos", "nuproj-chaos", "nuproj-chaos"].map(|name| stack.unique(name));
        stack.create_bucket(&bucket);
        for name in ["asg-lifecycle", "spot-interruption"] {
            stack.put_object(&bucket, &format!("plugins/{name}.wasm"), plugin(name));
        }
        let dead_letters = Queue::create(stack, "dead");
        let queue = Queue::before(stack, "events", &dead_letters);
        stack.autoscaling.hook(&group, HOOK, HEARTBEAT_TIMEOUT);
        let instances = (0..instances)
            .map(|_| {
                let id = stack.run_instance(std::net::Ipv4Addr::LOCALHOST);
                let container_instance = stack.register(&cluster, &id);
                let task = stack.start_task(&cluster, &container_instance);
                Instance { id, container_instance, task, token: String::new() }
            })
            .collect();
        let storm = Storm::start(stack, seed, RATES);
        Self { stack, bucket, group, cluster, queue, dead_letters, storm, instances, seed }
    }

    fn policy(&self, more: &str) -> String {
        let Self { bucket, group, cluster, queue, dead_letters, .. } = self;
        format!(
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
{more}

[[handler]]
name = "terminating"
module = "asg-lifecycle.wasm"
[handler.event]
source = ["aws.autoscaling"]
detail-type = ["EC2 Instance-terminate Lifecycle Action"]
detail.AutoScalingGroupName = ["{group}"]
detail.LifecycleHookName = ["{HOOK}"]
[handler.finish]
deadline = "30m"
max-attempts = 100
[handler.grants]
ecs = {{ clusters = ["{cluster}"], allow = ["read", "drain", "stop-task"] }}
[handler.config]
stop-standalone-after = "5s"

[[handler]]
name = "spot"
module = "spot-interruption.wasm"
[handler.event]
source = ["aws.ec2"]
detail-type = ["EC2 Spot Instance Interruption Warning"]
[handler.finish]
max-attempts = 100
[handler.grants]
ecs = {{ clusters = ["{cluster}"], allow = ["read", "drain", "stop-task"] }}
[handler.config]
stop-standalone-after = "5s"
"#,
            queue.url, dead_letters.url
        )
    }

    /// Lets every instance go: the messages about it, many of them twice or three times, in no order.
    fn begin(&mut self) -> usize {
        let mut chance = Chance(self.seed);
        let mut messages: Vec<String> = POISON.iter().map(|&poison| poison.to_owned()).collect();
        for (index, instance) in self.instances.iter_mut().enumerate() {
            instance.token = self.stack.autoscaling.hold_back(&self.group, HOOK, &instance.id);
            // One in twenty is told of by nobody: the sweep has to find it.
            if index % 20 != 19 {
                let event = termination(&self.group, instance).to_string();
                messages.extend(std::iter::repeat_n(event, 1 + chance.below(3)));
            }
            if index % 3 == 0 {
                messages.extend(std::iter::repeat_n(spot(instance).to_string(), 1 + chance.below(2)));
            }
        }
        for index in (1..messages.len()).rev() {
            messages.swap(index, chance.below(index + 1));
        }
        self.queue.send(&messages);
        messages.len()
    }

    fn is_over(&self) -> bool {
        let over = |story: &hostler_tests::Story| story.end.is_some();
        self.stack.autoscaling.stories(&self.group).iter().all(over) && self.queue.is_empty()
    }

    /// What has to be true at the end, whatever happened on the way.
    fn judge(&self, sent: usize, kills: u32, took: Duration) {
        let stories = self.stack.autoscaling.stories(&self.group);
        let gap = stories.iter().map(|story| story.longest_gap).max().unwrap_or_default();
        let (refused, heartbeats) =
            stories.iter().fold((0, 0), |(refused, beats), story| (refused + story.refused, beats + story.heartbeats));
        println!(
            "{} instances, {sent} messages, seed {}: over after {took:.0?}; the host was killed {kills} times; completions: {} \
             accepted, {refused} that came when it was over; {heartbeats} heartbeats, longest gap {gap:.1?} of {HEARTBEAT_TIMEOUT:?}\n{}",
            self.instances.len(),
            self.seed,
            stories.iter().map(|story| story.accepted.len()).sum::<usize>(),
            self.storm
        );
        for story in &stories {
            assert_eq!(story.accepted, ["CONTINUE"], "{story:?}");
            assert_eq!(story.end, Some(Ended::Completed("CONTINUE".into())), "{story:?}");
        }
        assert_eq!(stories.len(), self.instances.len());
        assert!(gap < HEARTBEAT_TIMEOUT, "an action was without a sign of life for {gap:?}");
        for instance in &self.instances {
            let status = self.stack.status(&self.cluster, &instance.container_instance);
            assert_eq!(status, "DRAINING", "{}", instance.id);
            assert_eq!(self.stack.task_status(&self.cluster, &instance.task), "STOPPED", "{}", instance.id);
        }
        assert_eq!(self.stack.objects(&self.bucket, "ledger/open/"), [""; 0], "something is open in the ledger");
        assert_eq!(self.stack.objects(&self.bucket, "ledger/damaged/"), [""; 0], "the ledger was damaged");
        let ended: BTreeSet<_> = self.stack.objects(&self.bucket, "ledger/ended/").into_iter().collect();
        assert_eq!(ended.len(), self.instances.len());
        assert!(self.dead_letters.len() >= POISON.len(), "poison is missing from the dead-letter queue");
        assert!(self.dead_letters.len() <= POISON.len() * 3, "more than poison is in the dead-letter queue");
        assert!(self.queue.is_empty());
    }
}

fn envelope(source: &str, detail_type: &str, id: &str, detail: &Value) -> Value {
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).expect("now is a time");
    json!({
        "version": "0", "id": id, "detail-type": detail_type, "source": source, "account": ACCOUNT, "time": now.to_string(),
        "region": REGION, "resources": [], "detail": detail,
    })
}

fn termination(group: &str, instance: &Instance) -> Value {
    let id = format!("11111111-1111-4111-8111-{}", &instance.token[24..]);
    let detail = json!({
        "LifecycleActionToken": instance.token, "AutoScalingGroupName": group, "LifecycleHookName": HOOK,
        "EC2InstanceId": instance.id, "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "Origin": "AutoScalingGroup", "Destination": "EC2",
    });
    envelope("aws.autoscaling", "EC2 Instance-terminate Lifecycle Action", &id, &detail)
}

fn spot(instance: &Instance) -> Value {
    let id = format!("22222222-2222-4222-8222-{}", &instance.token[24..]);
    let detail = json!({ "instance-id": instance.id, "instance-action": "terminate" });
    envelope("aws.ec2", "EC2 Spot Instance Interruption Warning", &id, &detail)
}

/// Stands before Auto Scaling and has the host killed in the middle of completing an action: before the call gets through, or
/// after it has taken effect, in one of so many completions.
struct Assassin {
    server: Server,
    struck: mpsc::Receiver<()>,
}

impl Assassin {
    fn before(autoscaling: SocketAddr, seed: u64, one_in: usize) -> Self {
        let (strike, struck) = mpsc::channel();
        let state = Mutex::new((Chance(seed), strike));
        let server = Server::start(move |request: Request| {
            let pass_on = |request: &Request| request.send(autoscaling).unwrap_or_else(|_| Response::none());
            if !String::from_utf8_lossy(&request.body).contains("Action=CompleteLifecycleAction") {
                return pass_on(&request);
            }
            let (strikes, before) = {
                let mut state = state.lock().expect("nothing panics here");
                (state.0.below(one_in) == 0, state.0.below(2) == 0)
            };
            if strikes && before {
                let _ = state.lock().expect("nothing panics here").1.send(());
                return Response::none();
            }
            let response = pass_on(&request);
            if strikes {
                let _ = state.lock().expect("nothing panics here").1.send(());
                return Response::none();
            }
            response
        });
        Self { server, struck }
    }

    /// Waits for a completion to strike at, or for so long.
    fn wait(&self, patience: Duration) {
        let _ = self.struck.recv_timeout(patience);
        while self.struck.try_recv().is_ok() {}
    }
}

/// Chance by a seed (the generator SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^= drawn >> 31;
        (drawn % end as u64) as usize
    }
}

/// The address in a URL of this machine.
fn address(environment: &[(&'static str, String)], name: &str) -> SocketAddr {
    let (_, url) = environment.iter().find(|(known, _)| *known == name).expect("it has an endpoint");
    url.trim_start_matches("http://").parse().expect("the endpoint is an address")
}

/// The host as an agent.
fn agent(scene: &Scene, folder: PathBuf, environment: &[(&'static str, String)]) -> Process {
    let ready = |port: u16| {
        let answer = Request::new("GET", "/livez", "").send((std::net::Ipv4Addr::LOCALHOST, port).into());
        answer.is_ok_and(|answer| answer.status == 200)
    };
    let command = |port: u16| {
        let policy = folder.join("hostler.toml");
        let agent = format!("[agent]\nlisten = \"127.0.0.1:{port}\"\nshutdown = \"5s\"");
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        std::fs::write(&policy, scene.policy(&agent)).expect("the policy can be written");
        let mut command = Command::new(host());
        command.args(["agent", "--policy"]).arg(policy).envs(environment.iter().cloned());
        command.env("AWS_REGION", REGION).env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command
    };
    Process::serve("the agent", &folder, command, ready)
}

#[test]
fn an_agent_that_is_killed_again_and_again_brings_everything_to_its_end_once() {
    let mut scene = Scene::new(number("HOSTLER_CHAOS_INSTANCES", 60));
    let mut environment = scene.stack.environment();
    environment.extend(scene.storm.environment());
    let assassin =
        Assassin::before(address(&scene.storm.environment(), "AWS_ENDPOINT_URL_AUTO_SCALING"), scene.seed, 12);
    environment.push(("AWS_ENDPOINT_URL_AUTO_SCALING", assassin.server.url()));
    scene.storm.rage(RAGE);
    let sent = scene.begin();
    let began = Instant::now();
    let folder = scene.stack.folder("agent");
    let mut kills = 0;
    while !scene.is_over() && began.elapsed() < PATIENCE / 2 {
        let killed = agent(&scene, folder.join(kills.to_string()), &environment);
        assassin.wait(Duration::from_secs(8));
        drop(killed);
        kills += 1;
    }
    scene.storm.calm();
    let last = agent(&scene, folder.join("last"), &environment);
    let over = poll(PATIENCE, || {
        while assassin.struck.try_recv().is_ok() {}
        scene.is_over()
    });
    assert!(over, "it never came to its end; the logs are in {}", folder.display());
    scene.judge(sent, kills, began.elapsed());
    drop(last);
}

#[test]
fn a_lambda_function_that_is_killed_again_and_again_brings_everything_to_its_end_once() {
    let mut scene = Scene::new(number("HOSTLER_CHAOS_INSTANCES", 60) / 2);
    let mut environment = scene.storm.environment();
    let assassin = Assassin::before(address(&environment, "AWS_ENDPOINT_URL_AUTO_SCALING"), scene.seed, 12);
    environment.push(("AWS_ENDPOINT_URL_AUTO_SCALING", assassin.server.url()));
    let function = Function::deploy(scene.stack, &scene.policy(""), &environment);
    let sent = scene.begin();
    scene.storm.rage(RAGE);
    let began = Instant::now();
    function.map(&scene.queue);
    let kills = Arc::new(AtomicU32::new(0));
    while !scene.is_over() && began.elapsed() < PATIENCE / 2 {
        assassin.wait(Duration::from_secs(8));
        kills.fetch_add(function.kill(), Ordering::Relaxed);
        // As its schedule does it: EventBridge's own event.
        function.invoke(&envelope("aws.events", "Scheduled Event", "33333333-3333-4333-8333-333333333333", &json!({})));
    }
    scene.storm.calm();
    let over = poll(PATIENCE, || {
        while assassin.struck.try_recv().is_ok() {}
        function.invoke(&envelope("aws.events", "Scheduled Event", "33333333-3333-4333-8333-333333333333", &json!({})));
        scene.is_over()
    });
    assert!(over, "it never came to its end");
    scene.judge(sent, kills.load(Ordering::Relaxed), began.elapsed());
}
