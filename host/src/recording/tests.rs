//! Recordings: written, read, answered from, compared, and turned into cases.

mod case;
mod compare;
mod file;
mod record;
mod replay;

use serde_json::{Value, json};

use super::Recording;
use crate::event::Event;
use crate::testing::{INSTANCE, START, terminating};

/// A recording of [`terminating`] with these lines after the header.
fn recording(lines: &[Value]) -> Recording {
    Recording::parse("a.jsonl", text(lines).as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// The text of such a recording.
fn text(lines: &[Value]) -> String {
    text_of(&terminating(), lines)
}

/// The text of a recording of `event`.
fn text_of(event: &Event, lines: &[Value]) -> String {
    let header = json!({
        "hostler-recording": 1, "contract": "0.1.0", "host": "0.1.0", "recorded-at": START, "handler": "under-test",
        "policy": "0123456789abcdef", "event": event.envelope,
    });
    std::iter::once(&header).chain(lines).map(|line| format!("{line}\n")).collect()
}

/// A call of the first attempt.
fn call(at_ms: u64, operation: &str, arguments: Value, reply: Value) -> Value {
    let attempt = if operation.starts_with("lifecycle") { Value::Null } else { 1.into() };
    json!({ "call": {
        "at-ms": at_ms, "attempt": attempt, "operation": operation, "arguments": arguments, "reply": reply, "took-ms": 20,
    } })
}

fn find(at_ms: u64, status: &str) -> Value {
    call(at_ms, "ecs.find-container-instance", json!({ "instance": INSTANCE }), json!({ "answer": member(status) }))
}

fn drain(at_ms: u64) -> Value {
    call(at_ms, "ecs.drain", in_prod(), json!({ "answer": member("DRAINING") }))
}

fn list(at_ms: u64, tasks: &[Value]) -> Value {
    call(at_ms, "ecs.list-tasks", in_prod(), json!({ "answer": tasks }))
}

fn stop(at_ms: u64, task: &str) -> Value {
    let arguments = json!({ "cluster": "prod", "instance": INSTANCE, "task": arn(task) });
    call(at_ms, "ecs.stop-task", arguments, json!({ "answer": null }))
}

fn exec(at_ms: u64, command: &[&str], reply: Value) -> Value {
    call(at_ms, "ssh.exec", json!({ "command": command, "instance": INSTANCE }), reply)
}

fn hook(at_ms: u64) -> Value {
    let times = json!({ "heartbeat-timeout": "5m", "global-timeout": "8h 20m" });
    call(at_ms, "lifecycle.hook", json!({ "group": "web", "hook": "drain" }), json!({ "answer": times }))
}

fn complete(at_ms: u64, result: &str, reply: Value) -> Value {
    let arguments = json!({ "group": "web", "hook": "drain", "instance": INSTANCE, "result": result });
    call(at_ms, "lifecycle.complete", arguments, reply)
}

fn accepted() -> Value {
    json!({ "answer": "accepted" })
}

fn error(kind: &str) -> Value {
    json!({ "error": { "kind": kind, "message": "as AWS put it" } })
}

fn end(at_ms: u64, decision: &str) -> Value {
    let lifecycle = if decision == "done" { "continue" } else { "abandon" };
    json!({ "end": { "at-ms": at_ms, "result": {
        "end": "worked", "handler": "under-test", "decision": decision, "why": "because", "attempts": 2, "lifecycle": lifecycle,
    } } })
}

fn in_prod() -> Value {
    json!({ "cluster": "prod", "instance": INSTANCE })
}

fn member(status: &str) -> Value {
    json!({
        "arn": "arn:aws:ecs:eu-central-1:123456789012:container-instance/prod/1", "cluster": "prod", "instance": INSTANCE,
        "status": status, "agent-connected": true, "running-tasks": 1, "pending-tasks": 0,
    })
}

fn task(group: &str, desired: &str, last: &str) -> Value {
    json!({
        "arn": arn(group), "on": INSTANCE, "group": group, "definition": "web:1", "desired-status": desired,
        "last-status": last, "started-at": null,
    })
}

fn arn(task: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:task/prod/{task}")
}
