//! `microburst`: a proxy that answers as AWS does when it throttles, fails or stalls.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

use crate::http::Request;
use crate::process::Process;
use crate::stack::{Stack, json_of, python, succeed};

/// It has no seed of its own, so its interpreter gets one. What is drawn for which request still depends on their order.
const SEEDED: &str =
    "import random, sys; random.seed(int(sys.argv.pop(1))); from microburst.cli import main; sys.exit(main())";

/// A proxy in front of one server. Nothing goes wrong until it is told to.
#[derive(Debug)]
pub struct Microburst {
    process: Process,
}

impl Microburst {
    /// Starts one in front of `upstream`.
    pub fn start(stack: &Stack, upstream: SocketAddr, seed: u64) -> Self {
        let process = Process::serve(
            "microburst",
            &stack.folder(&stack.unique("microburst")),
            |port| {
                let mut command = python("microburst");
                command.args(["-c", SEEDED]).arg(seed.to_string());
                command.arg("--upstream").arg(format!("http://{upstream}")).arg("--port").arg(port.to_string());
                command
            },
            |port| {
                let health = Request::new("GET", "/_microburst/health", "").send((Ipv4Addr::LOCALHOST, port).into());
                health.is_ok_and(|answer| answer.status == 200)
            },
        );
        Self { process }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.process.port).into()
    }

    /// Lets go wrong what `rules` say, in microburst's own form, and nothing else.
    pub fn rules(&self, rules: &Value) {
        self.control("POST", "rules", rules);
    }

    /// Lets every call go wrong with this probability, in one of the usual ways.
    pub fn storm(&self, probability: f64) {
        self.rules(&weather(probability));
    }

    /// Lets nothing go wrong any more.
    pub fn calm(&self) {
        self.rules(&json!([]));
    }

    /// How many calls it has seen, and how many of them went wrong.
    pub fn figures(&self) -> (u64, u64) {
        let requests = &self.control("GET", "stats", &Value::Null)["requests"];
        let count = |name: &str| requests[name].as_u64().unwrap_or_else(|| panic!("no {name} in {requests}"));
        (count("total"), count("faulted"))
    }

    fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = Request::new(method, &format!("/_microburst/{path}"), body.to_string());
        let request = request.header("content-type", "application/json");
        json_of(&succeed(request.send(self.address()).expect("microburst answers")))
    }
}

/// A bad day: calls go wrong with about this probability, and more of them are slow.
///
/// Rules are tried in their order, each with the probability that is left to it.
fn weather(probability: f64) -> Value {
    let throttled = [
        ("autoscaling", "Throttling", 400, "Rate exceeded"),
        ("ec2", "RequestLimitExceeded", 503, "Request limit exceeded."),
        ("ecs", "ThrottlingException", 400, "Rate exceeded"),
        ("s3", "SlowDown", 503, "Please reduce your request rate."),
        ("sqs", "RequestThrottled", 400, "Rate exceeded"),
    ];
    let throttled = throttled.map(|(service, code, status, message)| {
        json!({
            "service": service, "probability": probability / 2.0,
            "error": { "code": code, "status": status, "message": message },
        })
    });
    let rest = [
        json!({ "service": "*", "probability": probability / 6.0, "error": { "code": "InternalError", "status": 500 } }),
        json!({ "service": "*", "probability": probability / 6.0, "error": { "code": "ServiceUnavailable", "status": 503 } }),
        json!({ "service": "*", "probability": probability / 6.0, "reset": true }),
        json!({ "service": "*", "probability": probability, "latency": { "min": 50, "max": 1500 } }),
    ];
    throttled.into_iter().chain(rest).collect()
}
