//! The agent as a process: on a node that is told of its end, on a queue, asked to end, and where it cannot serve.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hostler_tests::http::{Request, Response, Server};
use hostler_tests::{ACCOUNT, Agent, Emulator, Metadata, Node, Queue, REGION, Refusal, Stack, guest, plugin, poll};
use serde_json::{Value, json};

/// The hook of every group.
const HOOK: &str = "drain";

/// How long anything may take that happens at once: the host, the emulators and the other tests share a machine.
const SOON: Duration = Duration::from_secs(60);

/// The exit status of an agent that finds at its start that it cannot do its work.
const CANNOT_SERVE: Option<i32> = Some(5);

/// What the agent says of a delivery of what has ended before.
const HAS_ENDED: &str = "a further delivery: it has ended already";

/// What it says of an object of the ledger that cannot be read.
const DAMAGED: &str =
    "an object of the ledger is damaged: it was set aside, and its work items begin anew when their events come again";

/// An instance in a cluster and in a group, for an agent that is on it or elsewhere.
struct Scene {
    stack: &'static Stack,
    bucket: String,
    group: String,
    cluster: String,
    instance: String,
    container_instance: String,
    folder: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let stack = Stack::shared();
        let [bucket, group, cluster] = ["agent", "nuproj-agent", "nuproj-agent"].map(|name| stack.unique(name));
        stack.create_bucket(&bucket);
        for name in ["asg-lifecycle", "spot-interruption"] {
            stack.put_object(&bucket, &format!("plugins/{name}.wasm"), plugin(name));
        }
        stack.put_object(&bucket, "plugins/probe.wasm", guest("probe"));
        let instance = stack.run_instance(Ipv4Addr::LOCALHOST);
        let container_instance = stack.register(&cluster, &instance);
        let folder = stack.folder(&bucket);
        Self { stack, bucket, group, cluster, instance, container_instance, folder }
    }

    /// A policy with a ledger in `store`, and with these sections.
    fn policy(&self, store: &str, sections: &str) -> String {
        format!(
            r#"
[modules]
source = "s3://{}/plugins/"
allow-unsigned = true

[ledger]
store = "{store}"

{sections}
"#,
            self.bucket
        )
    }

    /// That of a node: what is announced to it, and a ledger in a folder.
    fn policy_of_node(&self, handlers: &str) -> String {
        let ledger = format!("dir:{}", self.folder.join("ledger").display());
        self.policy(&ledger, &format!("[imds]\npoll = \"1s\"\n{handlers}"))
    }

    /// That of an agent on a queue.
    fn policy_of_queue(&self, url: &str, handlers: &str) -> String {
        self.policy(&format!("s3://{}/ledger/", self.bucket), &format!("[queue]\nurl = \"{url}\"\n{handlers}"))
    }

    /// A handler of the terminations of the group.
    fn handler(&self, module: &str, sections: &str) -> String {
        format!(
            r#"
[[handler]]
name = "terminating"
module = "{module}.wasm"
[handler.event]
source = ["aws.autoscaling"]
detail-type = ["EC2 Instance-terminate Lifecycle Action"]
detail.AutoScalingGroupName = ["{}"]
detail.LifecycleHookName = ["{HOOK}"]
{sections}
"#,
            self.group
        )
    }

    /// The grant for the cluster.
    fn ecs(&self) -> String {
        format!("ecs = {{ clusters = [\"{}\"], allow = [\"read\", \"drain\", \"stop-task\"] }}", self.cluster)
    }

    /// What leads an agent to the servers, and then to those of the test.
    fn environment(&self, more: impl IntoIterator<Item = (&'static str, String)>) -> Vec<(&'static str, String)> {
        self.stack.environment().into_iter().chain(more).collect()
    }

    fn start(&self, name: &str, policy: &str, more: impl IntoIterator<Item = (&'static str, String)>) -> Agent {
        Agent::start(&self.folder.join(name), policy, &self.environment(more))
    }

    /// Starts an agent that is not to serve: why it does not, in its own words.
    fn refusal(&self, policy: &str, more: impl IntoIterator<Item = (&'static str, String)>) -> String {
        let Refusal { status, why, log } =
            Agent::refuses(&self.folder.join("refused"), policy, &self.environment(more));
        assert_eq!(status, CANNOT_SERVE, "{log}");
        why
    }

    fn status(&self) -> String {
        self.stack.status(&self.cluster, &self.container_instance)
    }

    fn wait_until_draining(&self, agent: &Agent) {
        assert!(poll(SOON, || self.status() == "DRAINING"), "it is not drained: {:#?}", agent.log());
    }

    /// Lets the instance go: the event about it.
    fn termination(&self) -> Value {
        let token = self.stack.autoscaling.hold_back(&self.group, HOOK, &self.instance);
        let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).expect("now is a time");
        json!({
            "version": "0", "id": format!("11111111-1111-4111-8111-{}", &token[24..]),
            "detail-type": "EC2 Instance-terminate Lifecycle Action", "source": "aws.autoscaling", "account": ACCOUNT,
            "time": now.to_string(), "region": REGION, "resources": [],
            "detail": {
                "LifecycleActionToken": token, "AutoScalingGroupName": self.group, "LifecycleHookName": HOOK,
                "EC2InstanceId": self.instance, "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
                "Origin": "AutoScalingGroup", "Destination": "EC2",
            },
        })
    }

    /// What Auto Scaling was told: the result of each completion, and whether it was accepted.
    fn completions(&self) -> Vec<(String, bool)> {
        let calls = self.stack.autoscaling.completions(&self.group).into_iter();
        calls.map(|call| (call.parameter("LifecycleActionResult").to_owned(), call.accepted)).collect()
    }

    fn wait_until_completed(&self, agent: &Agent, result: &str) {
        let completed = poll(SOON, || !self.completions().is_empty());
        assert!(completed, "the lifecycle action was not completed: {:#?}", agent.log());
        assert_eq!(self.completions(), [(result.to_owned(), true)]);
    }
}

/// The handler of Spot notices.
fn spot(scene: &Scene) -> String {
    format!(
        r#"
[[handler]]
name = "spot"
module = "spot-interruption.wasm"
event = {{ source = ["aws.ec2"], detail-type = ["EC2 Spot Instance Interruption Warning"] }}
grants.{}
"#,
        scene.ecs()
    )
}

/// What EC2 tells a Spot instance that it takes back in two minutes.
fn spot_notice() -> String {
    let acts = jiff::Timestamp::now().as_second() + 120;
    let acts = jiff::Timestamp::from_second(acts).expect("it is a time");
    json!({ "action": "terminate", "time": acts.to_string() }).to_string()
}

/// A server in front of ECS that counts how often somebody drains.
fn counting_drains(stack: &Stack) -> (Server, Arc<AtomicUsize>) {
    let drains = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&drains);
    let server = stack.in_front_of(Emulator::Moto, move |request| {
        let target = request.value("x-amz-target").unwrap_or_default();
        counted.fetch_add(usize::from(target.ends_with(".UpdateContainerInstancesState")), Ordering::SeqCst);
        None
    });
    (server, drains)
}

#[test]
fn a_spot_notice_drains_the_node_once_though_it_stands_and_the_agent_starts_anew() {
    let scene = Scene::new();
    let other = scene.stack.register(&scene.cluster, &scene.stack.run_instance(Ipv4Addr::LOCALHOST));
    let metadata = Metadata::of(&scene.instance, ACCOUNT);
    let (ecs, drains) = counting_drains(scene.stack);
    let environment = || metadata.environment().into_iter().chain([("AWS_ENDPOINT_URL_ECS", ecs.url())]);
    let policy = scene.policy_of_node(&spot(&scene));

    let agent = scene.start("first", &policy, environment());
    metadata.wait_for_rounds("spot/instance-action", 2);
    assert_eq!((scene.status().as_str(), drains.load(Ordering::SeqCst)), ("ACTIVE", 0));
    // The service starts anew, and knows no token that it has given.
    metadata.forget_tokens();
    metadata.announce("spot/instance-action", &spot_notice());
    scene.wait_until_draining(&agent);
    let done = agent.hear("done");
    assert_eq!((&done["instance"], &done["kind"]), (&json!(scene.instance), &json!("spot-interruption")));
    assert!(metadata.refused() > 0, "the old token was not shown");
    metadata.wait_for_rounds("spot/instance-action", 2);
    assert_eq!(agent.said("announced by instance metadata").len(), 1);
    let (status, log) = agent.terminate();
    assert_eq!(status, Some(0), "{log:#?}");

    let agent = scene.start("second", &policy, environment());
    assert_eq!(agent.hear(HAS_ENDED)["event"], done["event"]);
    metadata.wait_for_rounds("spot/instance-action", 2);
    assert!(agent.said("attempt").is_empty(), "{:#?}", agent.log());
    assert_eq!(agent.terminate().0, Some(0));
    assert_eq!(drains.load(Ordering::SeqCst), 1);
    assert_eq!(scene.stack.status(&scene.cluster, &other), "ACTIVE");
}

#[test]
fn a_node_that_its_group_takes_out_completes_its_own_lifecycle_action_once() {
    let scene = Scene::new();
    let metadata = Metadata::of(&scene.instance, ACCOUNT);
    metadata.announce("autoscaling/target-lifecycle-state", "InService");
    let handler = scene.handler("asg-lifecycle", &format!("[handler.grants]\n{}", scene.ecs()));
    let policy = scene.policy_of_node(&handler);
    let agent = scene.start("first", &policy, metadata.environment());
    metadata.wait_for_rounds("autoscaling/target-lifecycle-state", 2);
    assert!(scene.completions().is_empty() && scene.status() == "ACTIVE", "{:#?}", agent.log());

    scene.stack.autoscaling.hold_back(&scene.group, HOOK, &scene.instance);
    metadata.announce("autoscaling/target-lifecycle-state", "Terminated");
    scene.wait_until_completed(&agent, "CONTINUE");
    assert_eq!(scene.status(), "DRAINING");
    agent.hear("done");
    metadata.wait_for_rounds("autoscaling/target-lifecycle-state", 2);
    assert_eq!(agent.terminate().0, Some(0));

    let agent = scene.start("second", &policy, metadata.environment());
    metadata.wait_for_rounds("autoscaling/target-lifecycle-state", 3);
    assert!(agent.said("attempt").is_empty(), "{:#?}", agent.log());
    assert_eq!(scene.completions(), [("CONTINUE".to_owned(), true)]);
}

#[test]
fn a_rebalance_recommendation_and_planned_maintenance_are_events_too_once_each() {
    let scene = Scene::new();
    let metadata = Metadata::of(&scene.instance, ACCOUNT);
    let policy = scene.policy_of_node(
        r#"
[[handler]]
name = "told"
module = "probe.wasm"
event = { source = ["aws.ec2", "aws.health"] }
"#,
    );
    let agent = scene.start("agent", &policy, metadata.environment());
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).expect("now is a time");
    metadata.announce("events/recommendations/rebalance", &json!({ "noticeTime": now.to_string() }).to_string());
    let planned = json!([{
        "NotBefore": "21 Jan 2030 09:00:43 GMT", "NotAfter": "21 Jan 2030 09:17:23 GMT", "Code": "system-reboot",
        "Description": "scheduled reboot", "EventId": "instance-event-0d59937288b749b32", "State": "active",
    }]);
    metadata.announce("events/maintenance/scheduled", &planned.to_string());
    let ended = poll(SOON, || agent.said("abandoned").len() == 2);
    assert!(ended, "{:#?}", agent.log());
    ["events/recommendations/rebalance", "events/maintenance/scheduled"]
        .into_iter()
        .for_each(|item| metadata.wait_for_rounds(item, 2));
    let mut kinds: Vec<_> = agent.said("abandoned").iter().map(|line| line["kind"].clone()).collect();
    kinds.sort_by_key(Value::to_string);
    assert_eq!(kinds, ["rebalance-recommendation", "scheduled-maintenance"]);
}

#[test]
fn elsewhere_than_on_ec2_the_agent_says_what_to_do_about_the_metadata_and_ends() {
    let scene = Scene::new();
    let policy = scene.policy_of_node(&spot(&scene));
    // Nobody listens there: the port was free a moment ago.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free loopback port");
    let nowhere = free.local_addr().expect("a listener has an address");
    drop(free);
    let why = scene.refusal(
        &policy,
        [
            ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{nowhere}")),
        ],
    );
    assert!(why.contains("cannot tell which instance this is"), "{why}");
    assert!(why.contains(&format!("there is no instance metadata service at http://{nowhere}")), "{why}");
    assert!(why.contains("elsewhere than on an EC2 instance, leave [imds] out of the policy"), "{why}");

    let why = scene.refusal(&policy, [("AWS_EC2_METADATA_DISABLED", "true".to_owned())]);
    assert!(why.contains("AWS_EC2_METADATA_DISABLED is true"), "{why}");
    assert!(why.contains("unset it, or leave [imds] out"), "{why}");
}

#[test]
fn an_instance_of_another_account_than_the_credentials_is_refused() {
    let scene = Scene::new();
    let metadata = Metadata::of(&scene.instance, "210987654321");
    metadata.announce("spot/instance-action", &spot_notice());
    let why = scene.refusal(&scene.policy_of_node(&spot(&scene)), metadata.environment());
    assert!(why.contains("this instance is of account 210987654321"), "{why}");
    assert!(why.contains(&format!("our credentials are of account {ACCOUNT}")), "{why}");
    assert!(why.contains("give the agent those of the instance's own profile"), "{why}");
    assert_eq!(scene.status(), "ACTIVE");
}

#[test]
fn an_agent_that_is_asked_to_end_in_an_attempt_gives_it_to_the_next_at_once() {
    let scene = Scene::new();
    let node = Node::start(scene.stack, &scene.instance);
    let [begun, go] = ["begun", "go"].map(|name| node.marker(name));
    let wait = format!("touch {}; while ! [ -e {} ]; do sleep 0.1; done", begun.display(), go.display());
    let command = json!(["sh", "-c", wait]).to_string();
    let sections =
        format!("[handler.grants]\n{}\n[handler.config]\ncommand = '{command}'", node.grant(r#"[["sh", "-c", "*"]]"#));
    let queue = Queue::create(scene.stack, "events");
    let policy = scene.policy_of_queue(&queue.url, &scene.handler("probe", &sections));

    let first = scene.start("first", &policy, []);
    queue.send(&[scene.termination().to_string()]);
    assert!(poll(SOON, || begun.exists()), "the command does not begin: {:#?}", first.log());
    let second = scene.start("second", &policy, []);
    let asked = Instant::now();
    let (status, log) = first.terminate();
    let ended = asked.elapsed();
    assert_eq!(status, Some(0), "{log:#?}");
    assert!(ended < Agent::SHUTDOWN + Duration::from_secs(2), "it ended after {ended:?}");

    std::fs::write(&go, "").expect("a file can be made");
    scene.wait_until_completed(&second, "ABANDON");
    let taken_over = asked.elapsed();
    // The lease would hold for 20 s, and the message be hidden for 30.
    assert!(taken_over < Duration::from_secs(15), "it was brought to its end after {taken_over:?}: {log:#?}");
    assert!(poll(SOON, || queue.is_empty()), "the message is still there: {:#?}", second.log());
    assert_eq!(second.said("abandoned").len(), 1);
    assert_eq!(second.terminate().0, Some(0));
}

#[test]
fn without_its_queue_the_agent_does_not_serve() {
    let scene = Scene::new();
    let handler = scene.handler("probe", "");
    let queue = Queue::create(scene.stack, "events");
    let missing = format!("{}-that-is-not-there", queue.url);
    let why = scene.refusal(&scene.policy_of_queue(&missing, &handler), []);
    assert!(why.contains(&missing) && why.contains(&format!("there is no such queue in {REGION}")), "{why}");
    assert!(why.contains("correct url in [queue] of the policy"), "{why}");

    let forbids = scene.stack.in_front_of(Emulator::Ministack, |request| {
        request.value("x-amz-target").filter(|target| target.starts_with("AmazonSQS."))?;
        let message = "User: arn:aws:iam::123456789012:user/test is not authorized to perform: sqs:receivemessage";
        let body = json!({ "__type": "com.amazon.coral.service#AccessDeniedException", "message": message });
        let mut response = Response::new(403, body.to_string());
        response.headers.push(("content-type".into(), "application/x-amz-json-1.0".into()));
        Some(response)
    });
    let why = scene.refusal(&scene.policy_of_queue(&queue.url, &handler), [("AWS_ENDPOINT_URL_SQS", forbids.url())]);
    assert!(why.contains(&queue.url) && why.contains("not allowed by IAM"), "{why}");
    assert!(why.contains("sqs:ReceiveMessage") && why.contains("url in [queue] of the policy"), "{why}");
}

#[test]
fn without_its_ledger_the_agent_does_not_serve_and_takes_no_event() {
    let scene = Scene::new();
    let queue = Queue::create(scene.stack, "events");
    queue.send(&[scene.termination().to_string()]);
    let sections = format!("[queue]\nurl = \"{}\"\n{}", queue.url, scene.handler("probe", ""));
    let why = scene.refusal(&scene.policy("s3://no-such-bucket/ledger/", &sections), []);
    assert!(why.contains("the ledger in s3://no-such-bucket/ledger/"), "{why}");
    assert!(why.contains("there is no bucket \"no-such-bucket\"; create it, or correct store in [ledger]"), "{why}");

    let read_only = scene.stack.in_front_of(Emulator::Ministack, |request| {
        let of_ledger = request.method == "PUT" && request.target.contains("/ledger/");
        let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message><RequestId>0</RequestId></Error>";
        of_ledger.then(|| Response::new(403, denied))
    });
    let policy = scene.policy(&format!("s3://{}/ledger/", scene.bucket), &sections);
    let why = scene.refusal(&policy, [("AWS_ENDPOINT_URL_S3", read_only.url())]);
    assert!(why.contains("cannot be written") && why.contains("s3:PutObject"), "{why}");

    assert_eq!(queue.counts(), (1, 0), "the event was taken");
    assert!(scene.completions().is_empty());
}

#[test]
fn a_clock_that_is_minutes_off_is_refused() {
    let scene = Scene::new();
    let queue = Queue::create(scene.stack, "events");
    let ministack = scene.stack.address(Emulator::Ministack);
    let tells_another_time = Server::start(move |request: Request| {
        let mut response = request.send(ministack).unwrap_or_else(|_| Response::none());
        let earlier = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() - 600).expect("it is a time");
        response.body = modified_at(&response.text(), earlier).unwrap_or(response.body);
        response
    });
    let policy = scene.policy_of_queue(&queue.url, &scene.handler("probe", ""));
    let why = scene.refusal(&policy, [("AWS_ENDPOINT_URL_S3", tells_another_time.url())]);
    assert!(why.contains("the clock of this machine is") && why.contains(" ahead of that of s3://"), "{why}");
    assert!(why.contains("set it by NTP"), "{why}");
    let left = scene.stack.objects(&scene.bucket, "ledger/");
    assert!(left.is_empty(), "the probe stays: {left:?}");
}

/// A listing whose objects were all written at `time`; none if it is no listing.
fn modified_at(listing: &str, time: jiff::Timestamp) -> Option<Vec<u8>> {
    let mut parts = listing.split("<LastModified>");
    let mut changed = parts.next()?.to_owned();
    if !changed.contains("<ListBucketResult") {
        return None;
    }
    for part in parts {
        let (_, rest) = part.split_once("</LastModified>")?;
        changed += &format!("<LastModified>{time}</LastModified>{rest}");
    }
    Some(changed.into_bytes())
}

#[test]
fn a_ledger_object_that_was_damaged_by_hand_is_set_aside_and_its_event_comes_to_its_end() {
    let scene = Scene::new();
    let task = scene.stack.start_task(&scene.cluster, &scene.container_instance);
    let queue = Queue::create(scene.stack, "events");
    let sections = format!("[handler.grants]\n{}\n[handler.config]\nstop-standalone-after = \"8s\"", scene.ecs());
    let policy = scene.policy_of_queue(&queue.url, &scene.handler("asg-lifecycle", &sections));
    let agent = scene.start("agent", &policy, []);
    queue.send(&[scene.termination().to_string()]);
    // It waits for the task now, and nobody writes until it comes again.
    let first = agent.hear("attempt");
    assert_eq!(first["outcome"], "again", "{first}");

    let key = format!("ledger/open/{ACCOUNT}/{REGION}/{}.json", scene.instance);
    let damaged = "{\"format\": 1, \"items\": [by hand";
    let open = poll(SOON, || scene.stack.objects(&scene.bucket, &key) == [key.clone()]);
    assert!(open, "{:?}", scene.stack.objects(&scene.bucket, "ledger/"));
    scene.stack.put_object(&scene.bucket, &key, damaged);

    scene.wait_until_completed(&agent, "CONTINUE");
    assert_eq!(scene.stack.task_status(&scene.cluster, &task), "STOPPED");
    let said = agent.hear(DAMAGED);
    assert_eq!((&said["level"], &said["object"]), (&json!("ERROR"), &json!(format!("s3://{}/{key}", scene.bucket))));
    let aside = scene.stack.objects(&scene.bucket, "ledger/damaged/");
    let [aside] = &aside[..] else { panic!("there is not one object set aside: {aside:?}") };
    assert_eq!(said["aside"], format!("s3://{}/{aside}", scene.bucket));
    assert_eq!(scene.stack.get_object(&scene.bucket, aside), damaged);
    assert!(poll(SOON, || queue.is_empty()), "the message is still there: {:#?}", agent.log());
    assert_eq!(agent.terminate().0, Some(0));
}
