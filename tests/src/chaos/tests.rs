//! The proxy in front of a server that takes whatever comes.

use serde_json::{Value, json};

use super::*;

/// A server that remembers what it is sent, and answers 200.
fn server(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> (Server, Arc<Mutex<Vec<Request>>>) {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&sent);
    let server = Server::start(move |request| {
        let answer = answer(&request);
        lock(&heard).push(request);
        answer
    });
    (server, sent)
}

fn chaos(server: &Server, rates: Rates) -> Chaos {
    Chaos::start(server.address, server.address, 7, rates)
}

/// An S3 with one object.
fn s3() -> (Server, Arc<Mutex<Vec<Request>>>) {
    server(|request| match (request.method.as_str(), request.target.as_str()) {
        ("HEAD", "/bucket/there") => {
            let mut response = Response::new(200, "");
            response.headers.push(("etag".into(), "\"v1\"".into()));
            response
        }
        ("HEAD", _) => Response::new(404, ""),
        ("DELETE", _) => Response::new(204, ""),
        _ => Response::new(200, ""),
    })
}

#[test]
fn a_deletion_under_a_condition_is_carried_out_only_while_it_holds() {
    let (s3, sent) = s3();
    let chaos = chaos(&s3, Rates::default());
    let delete = |key: &str, expected: &str| {
        let request = Request::new("DELETE", &format!("/bucket/{key}?x-id=DeleteObject"), "");
        let response = request.header("if-match", expected).send(chaos.server.address).expect("an answer");
        (response.status, response.text().split("</Code>").next().unwrap_or_default().replace("<Error><Code>", ""))
    };
    assert_eq!(delete("there", "\"v1\""), (204, String::new()));
    assert_eq!(delete("there", "\"v0\""), (412, "PreconditionFailed".to_owned()));
    assert_eq!(delete("gone", "\"v1\""), (404, "NoSuchKey".to_owned()));
    let deletions = lock(&sent).iter().filter(|request| request.method == "DELETE").count();
    assert_eq!(deletions, 1);
}

#[test]
fn a_conflict_writes_nothing_and_is_only_of_writes_under_a_condition() {
    let (s3, sent) = s3();
    let chaos = chaos(&s3, Rates { conflict: 1.0, ..Rates::default() });
    let put = Request::new("PUT", "/bucket/there", "x");
    let response = put.clone().header("if-none-match", "*").send(chaos.server.address).expect("an answer");
    assert!(
        response.status == 409 && response.text().contains("<Code>ConditionalRequestConflict</Code>"),
        "{response:?}"
    );
    assert!(lock(&sent).is_empty());
    assert_eq!(put.send(chaos.server.address).expect("an answer").status, 200);
    assert_eq!(chaos.figures(), Figures { calls: 2, conflicts: 1, ..Figures::default() });
}

#[test]
fn a_lost_answer_is_of_a_call_that_took_effect() {
    let (s3, sent) = s3();
    let chaos = chaos(&s3, Rates { lost: 1.0, ..Rates::default() });
    let put = Request::new("PUT", "/bucket/there", "x");
    assert!(put.send(chaos.server.address).is_err());
    assert_eq!(lock(&sent).len(), 1);
    chaos.calm();
    assert!(put.send(chaos.server.address).is_ok());
    assert_eq!(chaos.figures(), Figures { calls: 2, lost: 1, ..Figures::default() });
}

#[test]
fn entries_of_a_batch_fail_on_their_own() {
    let (sqs, sent) = server(|request| {
        let body: Value = serde_json::from_slice(&request.body).expect("the call is JSON");
        let entries = body["Entries"].as_array().expect("it has entries").iter();
        let ids: Vec<_> = entries.map(|entry| json!({ "Id": entry["Id"] })).collect();
        Response::new(200, json!({ "Successful": ids }).to_string())
    });
    let chaos = chaos(&sqs, Rates { entry: 0.5, ..Rates::default() });
    let entries: Vec<_> = (0..10).map(|n| json!({ "Id": n.to_string(), "ReceiptHandle": "r" })).collect();
    let call = Request::new("POST", "/", json!({ "QueueUrl": "q", "Entries": entries }).to_string())
        .header("x-amz-target", "AmazonSQS.DeleteMessageBatch");
    let answer = call.send(chaos.server.address).expect("an answer");
    let told: Value = serde_json::from_slice(&answer.body).expect("the answer is JSON");
    let ids = |field: &str| -> Vec<String> {
        let entries = told[field].as_array().expect("a list").iter();
        entries.map(|entry| entry["Id"].as_str().expect("an id").to_owned()).collect()
    };
    let (successful, failed) = (ids("Successful"), ids("Failed"));
    assert!(!successful.is_empty() && !failed.is_empty(), "{told}");
    let mut all: Vec<_> = successful.iter().chain(&failed).cloned().collect();
    all.sort();
    assert_eq!(all, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
    let passed_on: Value = serde_json::from_slice(&lock(&sent)[0].body).expect("the call is JSON");
    assert_eq!(passed_on["Entries"].as_array().map(Vec::len), Some(successful.len()), "a failed entry takes no effect");
    assert_eq!(passed_on["QueueUrl"], "q");
    assert_eq!(chaos.figures().entries, failed.len() as u64);
}

#[test]
fn a_seed_decides() {
    let drawn = |seed| {
        let mut chance = Chance::new(seed);
        (0..1000).map(|_| chance.strikes(0.3)).collect::<Vec<_>>()
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    let strikes = drawn(1).into_iter().filter(|strikes| *strikes).count();
    assert!((250..350).contains(&strikes), "{strikes} of 1000");
}
