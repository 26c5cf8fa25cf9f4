use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::aws::fake::{Fake, Reply};

const URL: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/events";
const ARN: &str = "arn:aws:sqs:eu-central-1:123456789012:events";

fn queue(fake: &Fake) -> SqsQueue {
    SqsQueue::at(Client::new(&fake.config()), URL)
}

fn queue_of_arn(fake: &Fake) -> SqsQueue {
    SqsQueue::of_arn(Client::new(&fake.config()), ARN)
}

fn receipts(count: usize) -> Vec<Receipt> {
    (0..count).map(|number| Receipt(format!("r{number}"))).collect()
}

fn no_such_queue() -> Reply {
    let message = "The specified queue does not exist.";
    Reply::json_error(400, "com.amazonaws.sqs#QueueDoesNotExist", message)
        .header("x-amzn-query-error", "AWS.SimpleQueueService.NonExistentQueue;Sender")
}

fn forbidden(action: &str) -> Reply {
    let user = "arn:aws:sts::123456789012:assumed-role/hostler/f";
    let message = format!("User: {user} is not authorized to perform: {action}");
    Reply::json_error(403, "com.amazon.coral.service#AccessDeniedException", &message)
}

async fn receive(fake: &Fake) -> Result<Vec<Received>, PortError> {
    queue(fake).receive(7, Duration::from_secs(20), Duration::from_secs(30)).await
}

#[tokio::test(start_paused = true)]
async fn messages_are_hidden_as_they_are_received_and_say_how_often_they_were() {
    let fake = Fake::always(Reply::json(&json!({ "Messages": [
        { "MessageId": "m1", "ReceiptHandle": "r1", "Body": "{}", "Attributes": { "ApproximateReceiveCount": "3" } },
        { "MessageId": "m2", "ReceiptHandle": "r2", "Body": "x" },
    ] })));
    let received = receive(&fake).await.unwrap();
    let received: Vec<_> = received.iter().map(|one| (one.id.as_str(), one.receipt.0.as_str(), one.receives)).collect();
    assert_eq!(received, [("m1", "r1", 3), ("m2", "r2", 1)]);
    let call = &fake.calls()[0];
    assert_eq!(call.operation, "ReceiveMessage");
    let expected = json!({
        "QueueUrl": URL, "MaxNumberOfMessages": 7, "WaitTimeSeconds": 20, "VisibilityTimeout": 30,
        "MessageSystemAttributeNames": ["ApproximateReceiveCount"],
    });
    assert_eq!(call.json(), expected);
    assert_eq!(receive(&Fake::always(Reply::json(&json!({})))).await, Ok(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn receiving_has_more_time_than_it_waits_and_is_tried_once() {
    let start = Instant::now();
    let fake = Fake::always(Reply::Silence);
    let error = receive(&fake).await.unwrap_err();
    assert_eq!((start.elapsed().as_secs(), fake.calls().len(), error.kind), (30, 1, PortErrorKind::Timeout));
    insta::assert_snapshot!(error, @"sqs:ReceiveMessage for queue https://sqs.eu-central-1.amazonaws.com/123456789012/events: no answer within 30s; it may have taken effect");
    let fake = Fake::always(Reply::new(503, ""));
    assert_eq!(receive(&fake).await.unwrap_err().kind, PortErrorKind::Unavailable);
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_missing_or_forbidden_is_named_with_what_names_it() {
    let missing = receive(&Fake::always(no_such_queue())).await.unwrap_err();
    assert_eq!(missing.kind, PortErrorKind::NotFound);
    insta::assert_snapshot!(missing, @"sqs:ReceiveMessage for queue https://sqs.eu-central-1.amazonaws.com/123456789012/events: AWS.SimpleQueueService.NonExistentQueue: The specified queue does not exist., HTTP 400, request req-1; there is no such queue in eu-central-1, where Hostler is: correct url in [queue] of the policy");
    let refused = receive(&Fake::always(forbidden("sqs:receivemessage"))).await.unwrap_err();
    assert_eq!(refused.kind, PortErrorKind::Denied);
    insta::assert_snapshot!(refused, @"sqs:ReceiveMessage for queue https://sqs.eu-central-1.amazonaws.com/123456789012/events: not allowed by IAM (AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/hostler/f is not authorized to perform: sqs:receivemessage, HTTP 403, request req-1); allow sqs:ReceiveMessage for the role Hostler runs as; the queue is the one of url in [queue] of the policy");

    let fake = Fake::always(no_such_queue());
    let dead = SqsSender::at(Client::new(&fake.config()), URL);
    let message = received(Message::builder().message_id("m").receipt_handle("r").body("garbage").build()).unwrap();
    insta::assert_snapshot!(dead.send(&message, "why").await.unwrap_err(), @"sqs:SendMessage for queue https://sqs.eu-central-1.amazonaws.com/123456789012/events: AWS.SimpleQueueService.NonExistentQueue: The specified queue does not exist., HTTP 400, request req-1; there is no such queue in eu-central-1, where Hostler is: correct dead-letter in [queue] of the policy");

    let fake = Fake::always(forbidden("sqs:GetQueueUrl"));
    let hidden = queue_of_arn(&fake).hide(&[(Receipt("r".into()), Duration::from_secs(30))]).await;
    insta::assert_snapshot!(hidden[0].as_ref().unwrap_err(), @"sqs:GetQueueUrl for queue arn:aws:sqs:eu-central-1:123456789012:events: not allowed by IAM (AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/hostler/f is not authorized to perform: sqs:GetQueueUrl, HTTP 403, request req-1); allow sqs:GetQueueUrl for the role Hostler runs as; the queue is the one of an event source mapping of this function");
}

#[tokio::test(start_paused = true)]
async fn an_encrypted_queue_needs_its_key() {
    let reply = Reply::json_error(400, "com.amazonaws.sqs#KmsAccessDenied", "not authorized to perform: kms:Decrypt")
        .header("x-amzn-query-error", "KMS.AccessDeniedException;Sender");
    let error = receive(&Fake::always(reply)).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Denied);
    assert!(error.message.contains("allow kms:Decrypt and kms:GenerateDataKey with its key"), "{error}");
}

/// A batch call that fails for the entries that `fails` picks, by their receipts.
fn batches(fails: fn(&str) -> bool) -> Fake {
    Fake::new(move |call| {
        let entries = call.json()["Entries"].as_array().unwrap().clone();
        assert!(entries.len() <= 10, "{entries:?}");
        let id = |entry: &Value| entry["Id"].clone();
        let (failed, done): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| fails(entry["ReceiptHandle"].as_str().unwrap()));
        let failed = failed.into_iter().map(|entry| {
            json!({ "Id": id(entry), "SenderFault": true, "Code": "ReceiptHandleIsInvalid", "Message": "no such receipt" })
        });
        let done = done.into_iter().map(|entry| json!({ "Id": id(entry) }));
        Reply::json(&json!({ "Successful": Vec::from_iter(done), "Failed": Vec::from_iter(failed) }))
    })
}

#[tokio::test(start_paused = true)]
async fn many_are_hidden_ten_at_a_time_and_each_has_its_answer() {
    let fake = batches(|receipt| receipt == "r3" || receipt == "r23");
    let messages: Vec<_> = receipts(25).into_iter().map(|receipt| (receipt, Duration::from_millis(4_100))).collect();
    let answers = queue(&fake).hide(&messages).await;
    assert_eq!((answers.len(), fake.calls().len()), (25, 3));
    let failed: Vec<_> = (0..25).filter(|place| answers[*place].is_err()).collect();
    assert_eq!(failed, [3, 23]);
    insta::assert_snapshot!(answers[3].as_ref().unwrap_err(), @"sqs:ChangeMessageVisibility for queue https://sqs.eu-central-1.amazonaws.com/123456789012/events: ReceiptHandleIsInvalid: no such receipt");
    let call = &fake.calls()[0];
    assert_eq!(call.operation, "ChangeMessageVisibilityBatch");
    assert_eq!(call.json()["Entries"][1]["VisibilityTimeout"], 5, "never before it is due");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_as_a_whole_is_that_tens_failure_alone() {
    let calls = AtomicUsize::new(0);
    let fake = Fake::new(move |call| {
        let first = call.json()["Entries"][0]["ReceiptHandle"] == "r0";
        calls.fetch_add(1, Ordering::Relaxed);
        if first { forbidden("sqs:deletemessage") } else { Reply::json(&json!({ "Successful": [{ "Id": "0" }] })) }
    });
    let answers = queue(&fake).delete(&receipts(12)).await;
    assert!(answers[..10].iter().all(|answer| answer.as_ref().is_err_and(|error| error.kind == PortErrorKind::Denied)));
    assert_eq!(answers[10], Ok(()));
    assert!(answers[11].as_ref().unwrap_err().message.contains("the answer says nothing about this message"));
    insta::assert_snapshot!(answers[0].as_ref().unwrap_err(), @"sqs:DeleteMessage for queue https://sqs.eu-central-1.amazonaws.com/123456789012/events: not allowed by IAM (AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/hostler/f is not authorized to perform: sqs:deletemessage, HTTP 403, request req-1); allow sqs:DeleteMessage for the role Hostler runs as; the queue is the one of url in [queue] of the policy");
}

#[tokio::test(start_paused = true)]
async fn hiding_and_deleting_are_over_well_before_a_message_shows_again() {
    let fake = Fake::always(Reply::Silence);
    let start = Instant::now();
    let answers = queue(&fake).delete(&receipts(25)).await;
    assert_eq!(start.elapsed().as_secs(), 10, "all of them at once");
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|error| error.kind == PortErrorKind::Timeout)));
}

fn attributes(redrive: &Value) -> Fake {
    let mut said = json!({ "VisibilityTimeout": "720" });
    if !redrive.is_null() {
        said["RedrivePolicy"] = redrive.to_string().into();
    }
    Fake::always(Reply::json(&json!({ "Attributes": said })))
}

#[tokio::test(start_paused = true)]
async fn attributes_are_read_once_in_a_while() {
    let target = "arn:aws:sqs:eu-central-1:123456789012:dead";
    for (redrive, max_receives) in [
        (json!({ "deadLetterTargetArn": target, "maxReceiveCount": "1000" }), Some(1000)),
        (json!({ "deadLetterTargetArn": target, "maxReceiveCount": 5 }), Some(5)),
        (Value::Null, None),
    ] {
        let fake = attributes(&redrive);
        let expected = Attributes { visibility_timeout: Duration::from_secs(720), max_receives };
        let queue = queue(&fake);
        for _ in 0..3 {
            assert_eq!(queue.attributes().await, Ok(expected));
        }
        assert_eq!(fake.calls().len(), 1);
        tokio::time::advance(REMEMBERED).await;
        assert_eq!(queue.attributes().await, Ok(expected));
        assert_eq!(fake.calls().len(), 2);
    }
    let error = queue(&attributes(&json!({ "maxReceiveCount": "many" }))).attributes().await.unwrap_err();
    assert!(error.message.contains("its RedrivePolicy names no maxReceiveCount"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn attributes_that_cannot_be_read_are_not_asked_for_all_the_time() {
    let fake = Fake::always(forbidden("sqs:getqueueattributes"));
    let queue = queue(&fake);
    for _ in 0..3 {
        assert_eq!(queue.attributes().await.unwrap_err().kind, PortErrorKind::Denied);
    }
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_url_of_an_arn_is_asked_for_once() {
    let fake = Fake::new(|call| match call.operation.as_str() {
        "GetQueueUrl" => Reply::json(&json!({ "QueueUrl": URL })),
        _ => Reply::json(&json!({ "Successful": [{ "Id": "0" }] })),
    });
    let queue = queue_of_arn(&fake);
    for _ in 0..2 {
        assert_eq!(queue.delete(&receipts(1)).await, [Ok(())]);
    }
    let calls = fake.calls();
    let operations: Vec<_> = calls.iter().map(|call| call.operation.as_str()).collect();
    assert_eq!(operations, ["GetQueueUrl", "DeleteMessageBatch", "DeleteMessageBatch"]);
    assert_eq!(calls[0].json(), json!({ "QueueName": "events", "QueueOwnerAWSAccountId": "123456789012" }));
    assert_eq!(calls[1].json()["QueueUrl"], URL);

    let none = SqsQueue::of_arn(Client::new(&fake.config()), "arn:aws:sns:eu-central-1:123456789012:a:b");
    assert!(none.delete(&receipts(1)).await[0].as_ref().unwrap_err().message.contains("not the ARN of a queue"));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_the_message_itself_with_the_reason_beside_it() {
    let fake = Fake::always(Reply::json(&json!({ "MessageId": "d1" })));
    let dead = SqsSender::at(Client::new(&fake.config()), URL);
    let message = received(Message::builder().message_id("m").receipt_handle("r").body("garbage {").build()).unwrap();
    dead.send(&message, &format!("not JSON\u{1b}: {}", "x".repeat(1000))).await.unwrap();
    let sent = fake.calls()[0].json();
    assert_eq!(sent["MessageBody"], "garbage {");
    let reason = sent["MessageAttributes"]["HostlerReason"]["StringValue"].as_str().unwrap();
    assert!(reason.starts_with("not JSON: xxx") && reason.len() == REASON_CHARS, "{reason}");
    assert_eq!(sent["MessageAttributes"]["HostlerMessageId"], json!({ "DataType": "String", "StringValue": "m" }));
}

#[tokio::test(start_paused = true)]
async fn a_queue_with_many_messages_that_nobody_has_received_is_behind() {
    let answer = |attributes: Value| Fake::always(Reply::json(&json!({ "Attributes": attributes })));
    let is_behind = async |fake: &Fake| SqsSender::at(Client::new(&fake.config()), URL).is_behind().await;
    for (messages, behind) in [("0", false), ("100", false), ("101", true)] {
        let fake = answer(json!({ "ApproximateNumberOfMessages": messages }));
        assert_eq!(is_behind(&fake).await, Ok(behind), "{messages}");
        let expected = json!({ "QueueUrl": URL, "AttributeNames": ["ApproximateNumberOfMessages"] });
        assert_eq!(fake.calls()[0].json(), expected);
    }
    insta::assert_snapshot!(is_behind(&answer(json!({}))).await.unwrap_err(), @"sqs:GetQueueAttributes for queue https://sqs.eu-central-1.amazonaws.com/123456789012/events: the answer does not say how many messages there are");
    let refused = is_behind(&Fake::always(forbidden("sqs:GetQueueAttributes"))).await.unwrap_err();
    assert!(refused.message.ends_with("the queue is the one of url in [queue] of the policy"), "{refused}");
}
