//! Batch calls of SQS, in which each entry has a fate of its own.

use serde_json::{Value, json};

use crate::http::{Request, Response};

/// Whether it is a batch call in SQS's JSON protocol.
pub(super) fn is_batch(request: &Request) -> bool {
    let operation = request.value("x-amz-target").and_then(|target| target.strip_prefix("AmazonSQS."));
    operation.is_some_and(|operation| operation.ends_with("Batch"))
}

/// Passes a batch on without the entries of which `fails` says so (by their ids), and adds these to the answer's `Failed`.
pub(super) fn batch(
    mut request: Request,
    mut fails: impl FnMut(&str) -> bool,
    pass_on: impl FnOnce(&Request) -> Response,
) -> Response {
    let Ok(mut body) = serde_json::from_slice::<Value>(&request.body) else { return pass_on(&request) };
    let Some(entries) = body["Entries"].as_array_mut() else { return pass_on(&request) };
    let mut failed = Vec::new();
    entries.retain(|entry| {
        let id = entry["Id"].as_str().unwrap_or_default();
        let fails = fails(id);
        if fails {
            let message = "The service cannot complete the entry at the moment";
            failed.push(json!({ "Id": id, "Code": "InternalError", "SenderFault": false, "Message": message }));
        }
        !fails
    });
    if failed.is_empty() {
        return pass_on(&request);
    }
    let mut answer = if entries.is_empty() {
        let mut response = Response::new(200, "{}");
        response.headers.push(("content-type".into(), "application/x-amz-json-1.0".into()));
        response
    } else {
        request.body = body.to_string().into_bytes();
        pass_on(&request)
    };
    // An error of the whole call stays one.
    if let (200, Ok(Value::Object(mut told))) = (answer.status, serde_json::from_slice(&answer.body)) {
        told.entry("Successful").or_insert_with(|| json!([]));
        let all = told.entry("Failed").or_insert_with(|| json!([]));
        if let Some(all) = all.as_array_mut() {
            all.extend(failed);
        }
        answer.body = Value::Object(told).to_string().into_bytes();
    }
    answer
}
