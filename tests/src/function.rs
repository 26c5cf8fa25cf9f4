//! The host as a Lambda function: its binary, as `bootstrap` of runtime `provided.al2023`.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::http::Request;
use crate::process::poll;
use crate::queue::Queue;
use crate::stack::{ACCOUNT, Stack, json_of, run_python, succeed};

/// Where the deployment package is.
const BUCKET: &str = "deployment";

/// The function's timeout. The host keeps a few seconds of it for itself.
const TIMEOUT: u32 = 60;

/// How long a line of the log may take from the function to CloudWatch.
const LOG_DELAY: std::time::Duration = std::time::Duration::from_secs(20);

/// What Auto Scaling sends when a notification is set up: acknowledged, and otherwise nothing.
const TEST_NOTIFICATION: &str = r#"{"Service":"AWS Auto Scaling","Time":"2026-01-15T03:00:00.000Z","RequestId":"1",
    "LifecycleTransition":"autoscaling:TEST_NOTIFICATION","AccountId":"123456789012","Event":"autoscaling:TEST_NOTIFICATION",
    "AutoScalingGroupName":"group","AutoScalingGroupARN":"arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:1:autoScalingGroupName/group"}"#;

/// A deployed function.
#[derive(Debug)]
pub struct Function<'stack> {
    stack: &'stack Stack,
    name: String,
}

/// What an invocation was answered.
#[derive(Debug)]
pub struct Invocation {
    /// What the function returned, or its error as Lambda words it.
    pub payload: Value,
    /// Whether it is an error.
    pub failed: bool,
}

impl<'stack> Function<'stack> {
    /// Deploys the host with a policy, and with more environment where a test needs other endpoints.
    pub fn deploy(stack: &'stack Stack, policy: &str, environment: &[(&str, String)]) -> Self {
        let name = stack.unique("hostler");
        let path = stack.folder(&name).join("hostler.toml");
        std::fs::write(&path, policy).expect("the policy can be written");
        let mut variables: serde_json::Map<String, Value> =
            stack.environment().into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        variables.insert("HOSTLER_POLICY".into(), path.display().to_string().into());
        variables.extend(environment.iter().map(|(name, value)| ((*name).into(), value.clone().into())));

        let input = json!({
            "FunctionName": name,
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "Role": format!("arn:aws:iam::{ACCOUNT}:role/hostler"),
            "Timeout": TIMEOUT,
            "MemorySize": 512,
            "Code": { "S3Bucket": BUCKET, "S3Key": package(stack) },
            "Environment": { "Variables": variables },
        });
        let request = Request::new("POST", "/2015-03-31/functions", input.to_string());
        succeed(stack.ministack("lambda", request.header("content-type", "application/json")));
        Self { stack, name }
    }

    /// Invokes it and waits.
    pub fn invoke(&self, payload: &Value) -> Invocation {
        let target = format!("/2015-03-31/functions/{}/invocations", self.name);
        let response = succeed(self.stack.ministack("lambda", Request::new("POST", &target, payload.to_string())));
        let failed = response.header("x-amz-function-error").is_some();
        Invocation { payload: json_of(&response), failed }
    }

    /// Lets it be invoked with what comes from a queue, in batches of ten, and lets it answer for each message.
    pub fn map(&self, queue: &Queue<'_>) {
        self.map_with(queue, &["ReportBatchItemFailures"]);
    }

    /// The same, but what it answers is not read: a batch is deleted as a whole unless the invocation fails.
    pub fn map_as_a_whole(&self, queue: &Queue<'_>) {
        self.map_with(queue, &[]);
    }

    fn map_with(&self, queue: &Queue<'_>, response_types: &[&str]) {
        let input = json!({
            "EventSourceArn": queue.arn(), "FunctionName": self.name, "BatchSize": 10,
            "FunctionResponseTypes": response_types,
        });
        let request = Request::new("POST", "/2015-03-31/event-source-mappings", input.to_string());
        succeed(self.stack.ministack("lambda", request.header("content-type", "application/json")));
    }

    /// Kills every instance of it, as nothing kills those of Lambda: in the middle of whatever they do. How many there were.
    pub fn kill(&self) -> u32 {
        let mine = format!("HOSTLER_POLICY={}", self.stack.folder(&self.name).join("hostler.toml").display());
        let mut killed = 0;
        for process in std::fs::read_dir("/proc").expect("Linux tells of its processes").flatten() {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            let runs_it = environment.split(|byte| *byte == 0).any(|variable| variable == mine.as_bytes());
            if runs_it && let Ok(id) = process.file_name().to_string_lossy().parse::<u32>() {
                let signalled = Command::new("kill").args(["-KILL", &id.to_string()]).status();
                killed += u32::from(signalled.is_ok_and(|status| status.success()));
            }
        }
        killed
    }

    /// Its lines in CloudWatch Logs that are JSON objects, in order: what the host logs.
    pub fn log(&self) -> Vec<Value> {
        let lines = self.written().into_iter();
        lines.filter_map(|line| serde_json::from_str(&line).ok()).filter(Value::is_object).collect()
    }

    /// Everything that it wrote and that came to CloudWatch Logs, in order.
    pub fn written(&self) -> Vec<String> {
        let input = json!({ "logGroupName": format!("/aws/lambda/{}", self.name) });
        let request = Request::new("POST", "/", input.to_string())
            .header("x-amz-target", "Logs_20140328.FilterLogEvents")
            .header("content-type", "application/x-amz-json-1.1");
        let response = json_of(&succeed(self.stack.ministack("logs", request)));
        let events = response["events"].as_array().into_iter().flatten();
        events.filter_map(|event| event["message"].as_str().map(str::to_owned)).collect()
    }

    /// The lines that are so, once there is one; panics with the whole log when there never is.
    pub fn lines(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut found = Vec::new();
        let found_one = poll(LOG_DELAY, || {
            found = self.log().into_iter().filter(|line| is_so(line)).collect();
            if found.is_empty() {
                // ministack passes a late line on with the next invocation.
                let test = serde_json::from_str(TEST_NOTIFICATION).expect("the notification is JSON");
                self.invoke(&test);
            }
            !found.is_empty()
        });
        let log = || self.log().iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
        assert!(found_one, "no line of the log is {what}:\n{}", log());
        found
    }
}

/// Packs the host, once for all functions of a stack: the key of the package.
fn package(stack: &Stack) -> &'static str {
    static PACKED: OnceLock<String> = OnceLock::new();
    PACKED.get_or_init(|| {
        let package = stack.folder("package").join("hostler.zip");
        let pack = "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[2], 'w') as package: package.write(sys.argv[1], 'bootstrap')";
        let host = crate::host();
        let arguments: [&Path; 2] = [&host, &package];
        run_python(pack, &arguments);
        stack.create_bucket(BUCKET);
        stack.put_object(BUCKET, "hostler.zip", std::fs::read(&package).expect("the package was made"));
        "hostler.zip".to_owned()
    })
}
