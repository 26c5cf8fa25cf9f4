//! A queue of ministack's SQS, with its dead-letter queue.

use serde_json::{Value, json};

use crate::http::Request;
use crate::stack::{ACCOUNT, REGION, Stack, json_of, succeed};

/// A standard queue, as the templates make it.
#[derive(Debug, Clone)]
pub struct Queue<'stack> {
    stack: &'stack Stack,
    name: String,
    /// Its URL, as ministack names it.
    pub url: String,
}

/// How often a message is received before SQS itself moves it away: the most there is.
const MAX_RECEIVES: u32 = 1000;

impl<'stack> Queue<'stack> {
    /// Makes a queue of its own.
    pub fn create(stack: &'stack Stack, name: &str) -> Self {
        Self::with(stack, name, &json!({}))
    }

    /// Makes a queue whose messages go to `dead_letters` in the end.
    pub fn before(stack: &'stack Stack, name: &str, dead_letters: &Queue<'_>) -> Self {
        let redrive = json!({ "deadLetterTargetArn": dead_letters.arn(), "maxReceiveCount": MAX_RECEIVES });
        // A host that dies before it hides a message costs so much.
        Self::with(stack, name, &json!({ "RedrivePolicy": redrive.to_string(), "VisibilityTimeout": "30" }))
    }

    fn with(stack: &'stack Stack, name: &str, attributes: &Value) -> Self {
        let name = stack.unique(name);
        let made = sqs(stack, "CreateQueue", &json!({ "QueueName": name, "Attributes": attributes }));
        let url = made["QueueUrl"].as_str().unwrap_or_else(|| panic!("no queue was made: {made}")).to_owned();
        Self { stack, name, url }
    }

    /// Its ARN.
    pub fn arn(&self) -> String {
        format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}", self.name)
    }

    /// Sends messages, ten in a call.
    pub fn send(&self, bodies: &[String]) {
        for ten in bodies.chunks(10) {
            let entries: Vec<_> = ten
                .iter()
                .enumerate()
                .map(|(index, body)| json!({ "Id": index.to_string(), "MessageBody": body }))
                .collect();
            let sent = self.call("SendMessageBatch", json!({ "Entries": entries }));
            assert!(sent["Failed"].as_array().is_none_or(Vec::is_empty), "{sent}");
        }
    }

    /// How many messages there are, hidden ones included.
    pub fn len(&self) -> usize {
        let (shown, hidden) = self.counts();
        shown + hidden
    }

    /// How many messages there are to be received, and how many are hidden.
    pub fn counts(&self) -> (usize, usize) {
        let asked = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let told = self.call("GetQueueAttributes", json!({ "AttributeNames": asked }));
        let count = |name: &str| told["Attributes"][name].as_str().and_then(|count| count.parse::<usize>().ok());
        let [shown, hidden] = asked.map(|name| count(name).unwrap_or_else(|| panic!("no {name}: {told}")));
        (shown, hidden)
    }

    /// What the messages say that are there to be received. They are hidden then, for longer than a test lasts.
    pub fn bodies(&self) -> Vec<String> {
        let mut bodies = Vec::new();
        loop {
            let told = self.call("ReceiveMessage", json!({ "MaxNumberOfMessages": 10, "VisibilityTimeout": 3600 }));
            let ten = told["Messages"].as_array().into_iter().flatten();
            let before = bodies.len();
            bodies.extend(ten.filter_map(|message| message["Body"].as_str()).map(str::to_owned));
            if bodies.len() == before {
                return bodies;
            }
        }
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn call(&self, operation: &str, mut input: Value) -> Value {
        input["QueueUrl"] = self.url.as_str().into();
        sqs(self.stack, operation, &input)
    }
}

fn sqs(stack: &Stack, operation: &str, input: &Value) -> Value {
    let request = Request::new("POST", "/", input.to_string())
        .header("x-amz-target", &format!("AmazonSQS.{operation}"))
        .header("content-type", "application/x-amz-json-1.0");
    json_of(&succeed(stack.ministack("sqs", request)))
}
