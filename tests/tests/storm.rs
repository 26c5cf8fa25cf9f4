//! The storm itself: that it fails calls as AWS does, and that what passes it is what the servers say.

use std::net::SocketAddr;

use hostler_tests::http::{Request, form};
use hostler_tests::{Chaos, Emulator, Rates, Stack, Storm, signed};
use serde_json::json;

/// What is asked of each service, by the name of its endpoint.
fn calls(bucket: &str) -> [(&'static str, &'static str, Request); 5] {
    let query = |action: &str, version: &str| {
        let form = form(&[("Action", action), ("Version", version)]);
        Request::new("POST", "/", form).header("content-type", "application/x-www-form-urlencoded")
    };
    let json = |target: &str, version: &str| {
        let request = Request::new("POST", "/", "{}").header("x-amz-target", target);
        request.header("content-type", &format!("application/x-amz-json-{version}"))
    };
    [
        ("S3", "s3", Request::new("GET", &format!("/{bucket}?list-type=2"), "")),
        ("SQS", "sqs", json("AmazonSQS.ListQueues", "1.0")),
        ("ECS", "ecs", json("AmazonEC2ContainerServiceV20141113.ListClusters", "1.1")),
        ("EC2", "ec2", query("DescribeInstances", "2016-11-15")),
        ("AUTO_SCALING", "autoscaling", query("DescribeAutoScalingInstances", "2011-01-01")),
    ]
}

/// Where the host would find a service.
fn endpoint(storm: &Storm, service: &str) -> SocketAddr {
    let name = format!("AWS_ENDPOINT_URL_{service}");
    let (_, url) = storm.environment().into_iter().find(|(known, _)| *known == name).expect("it has an endpoint");
    url.trim_start_matches("http://").parse().expect("the endpoint is an address")
}

/// Our own proxy, right in front of ministack.
fn chaos(stack: &Stack, rates: Rates) -> Chaos {
    let ministack = stack.address(Emulator::Ministack);
    Chaos::start(ministack, ministack, 1, rates)
}

#[test]
fn each_service_is_throttled_in_its_own_words_and_works_again_when_it_is_calm() {
    let stack = Stack::shared();
    let bucket = stack.unique("storm");
    stack.create_bucket(&bucket);
    let storm = Storm::start(stack, 1, Rates::default());
    let answers = || {
        calls(&bucket).map(|(endpoint_of, service, request)| {
            signed(service, request).send(endpoint(&storm, endpoint_of)).expect("an answer")
        })
    };
    assert_eq!(answers().map(|answer| answer.status), [200; 5]);

    storm.rage(2.0);
    let told = answers();
    let words = ["SlowDown", "RequestThrottled", "ThrottlingException", "RequestLimitExceeded", "Throttling"];
    for (answer, words) in told.iter().zip(words) {
        assert!(answer.text().contains(words), "{words}: {answer:?} {}", answer.text());
    }
    assert_eq!(told.map(|answer| answer.status), [503, 400, 400, 503, 400]);

    storm.calm();
    assert_eq!(answers().map(|answer| answer.status), [200; 5]);
    let figures = storm.to_string();
    assert!(figures.starts_with("S3 and SQS: 6 calls; 2 throttled"), "{figures}");
}

#[test]
fn conditions_of_s3_hold_on_the_way_through() {
    let stack = Stack::shared();
    let bucket = stack.unique("storm");
    stack.create_bucket(&bucket);
    let chaos = chaos(stack, Rates::default());
    let send = |request: Request| signed("s3", request).send(chaos.server.address).expect("an answer");
    let put = |body: &str| Request::new("PUT", &format!("/{bucket}/item"), body);
    let first = send(put("one").header("if-none-match", "*"));
    assert_eq!(first.status, 200);
    assert_eq!(send(put("two").header("if-none-match", "*")).status, 412);
    let etag = first.header("etag").expect("S3 names the version").to_owned();
    let second = send(put("two").header("if-match", &etag));
    assert_eq!(second.status, 200, "{}", second.text());

    let delete = |etag: &str| send(Request::new("DELETE", &format!("/{bucket}/item"), "").header("if-match", etag));
    assert_eq!(delete(&etag).status, 412, "the version is not the last one");
    assert_eq!(stack.get_object(&bucket, "item"), "two");
    assert_eq!(delete(second.header("etag").unwrap_or_default()).status, 204);
    assert!(stack.objects(&bucket, "").is_empty());
    assert_eq!(delete(&etag).status, 404);
}

#[test]
fn a_batch_of_sqs_fails_in_parts() {
    let stack = Stack::shared();
    let chaos = chaos(stack, Rates { entry: 0.5, ..Rates::default() });
    let call = |operation: &str, input: serde_json::Value| {
        let request = Request::new("POST", "/", input.to_string())
            .header("x-amz-target", &format!("AmazonSQS.{operation}"))
            .header("content-type", "application/x-amz-json-1.0");
        let answer = signed("sqs", request).send(chaos.server.address).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice::<serde_json::Value>(&answer.body).expect("the answer is JSON")
    };
    let queue = call("CreateQueue", json!({ "QueueName": stack.unique("storm") }))["QueueUrl"].clone();
    let entries: Vec<_> = (0..10).map(|n| json!({ "Id": n.to_string(), "MessageBody": "m" })).collect();
    let answer = call("SendMessageBatch", json!({ "QueueUrl": queue, "Entries": entries }));
    let [sent, failed] = ["Successful", "Failed"].map(|field| answer[field].as_array().map_or(0, Vec::len));
    assert!(sent > 0 && failed > 0 && sent + failed == 10, "{answer}");
    let attributes = json!({ "QueueUrl": queue, "AttributeNames": ["ApproximateNumberOfMessages"] });
    let there = call("GetQueueAttributes", attributes)["Attributes"]["ApproximateNumberOfMessages"].clone();
    assert_eq!(there, sent.to_string());
}
