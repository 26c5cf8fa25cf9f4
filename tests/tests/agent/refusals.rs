//! Where the agent finds at its start that it cannot do its work: it says why and what to do, takes no event, and ends.

use std::net::{Ipv4Addr, TcpListener};

use hostler_tests::http::{Request, Response, Server};
use hostler_tests::{ACCOUNT, Emulator, Metadata, Queue, REGION, events, policy};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::scene::{Scene, spot_notice};

#[test]
fn elsewhere_than_on_ec2_the_agent_says_what_to_do_about_the_metadata_and_ends() {
    let scene = Scene::new();
    let policy = scene.policy_of_node(&scene.spot());
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
    let metadata = Metadata::of(&scene.instance.id, "210987654321");
    metadata.announce("spot/instance-action", &spot_notice());
    let why = scene.refusal(&scene.policy_of_node(&scene.spot()), metadata.environment());
    assert!(why.contains("this instance is of account 210987654321"), "{why}");
    assert!(why.contains(&format!("our credentials are of account {ACCOUNT}")), "{why}");
    assert!(why.contains("give the agent those of the instance's own profile"), "{why}");
    assert_eq!(scene.status(), "ACTIVE");
}

#[test]
fn without_its_queue_the_agent_does_not_serve() {
    let scene = Scene::new();
    let handler = scene.handler("probe", "");
    let queue = Queue::create(scene.fleet.stack, "events");
    let missing = format!("{}-that-is-not-there", queue.url);
    let why = scene.refusal(&scene.policy_of_queue(&missing, &handler), []);
    assert!(why.contains(&missing) && why.contains(&format!("there is no such queue in {REGION}")), "{why}");
    assert!(why.contains("correct url in [queue] of the policy"), "{why}");

    let forbids = scene.fleet.stack.in_front_of(Emulator::Ministack, |request| {
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
    let queue = Queue::create(scene.fleet.stack, "events");
    queue.send(&[scene.termination().to_string()]);
    let sections = policy::queue(&queue.url) + &scene.handler("probe", "");
    let why = scene.refusal(&scene.policy("s3://no-such-bucket/ledger/", &sections), []);
    assert!(why.contains("the ledger in s3://no-such-bucket/ledger/"), "{why}");
    assert!(why.contains("there is no bucket \"no-such-bucket\"; create it, or correct store in [ledger]"), "{why}");

    let read_only = scene.fleet.stack.in_front_of(Emulator::Ministack, |request| {
        let of_ledger = request.method == "PUT" && request.target.contains("/ledger/");
        let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message><RequestId>0</RequestId></Error>";
        of_ledger.then(|| Response::new(403, denied))
    });
    let policy = scene.policy(&format!("s3://{}/ledger/", scene.fleet.bucket), &sections);
    let why = scene.refusal(&policy, [("AWS_ENDPOINT_URL_S3", read_only.url())]);
    assert!(why.contains("cannot be written") && why.contains("s3:PutObject"), "{why}");

    assert_eq!(queue.counts(), (1, 0), "the event was taken");
    assert!(scene.completions().is_empty());
}

#[test]
fn a_clock_that_is_minutes_off_is_refused() {
    let scene = Scene::new();
    let queue = Queue::create(scene.fleet.stack, "events");
    let ministack = scene.fleet.stack.address(Emulator::Ministack);
    let tells_another_time = Server::start(move |request: Request| {
        let mut response = request.send(ministack).unwrap_or_else(|_| Response::none());
        let earlier = events::now() - SignedDuration::from_mins(10);
        response.body = modified_at(&response.text(), earlier).unwrap_or(response.body);
        response
    });
    let policy = scene.policy_of_queue(&queue.url, &scene.handler("probe", ""));
    let why = scene.refusal(&policy, [("AWS_ENDPOINT_URL_S3", tells_another_time.url())]);
    assert!(why.contains("the clock of this machine is") && why.contains(" ahead of that of s3://"), "{why}");
    assert!(why.contains("set it by NTP"), "{why}");
    let left = scene.fleet.objects("ledger/");
    assert!(left.is_empty(), "the probe stays: {left:?}");
}

/// A listing whose objects were all written at `time`; none if it is no listing.
fn modified_at(listing: &str, time: Timestamp) -> Option<Vec<u8>> {
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
