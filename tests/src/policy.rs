//! Pieces of a policy, for a test to put its own beside. Each is whole lines, and a key that follows one belongs to its last table.

/// Modules come from `plugins/` of a bucket.
pub fn modules(bucket: &str) -> String {
    format!("[modules]\nsource = \"s3://{bucket}/plugins/\"\nallow-unsigned = true\n")
}

/// The ledger is in `store`, such as `s3://bucket/ledger/`.
pub fn ledger(store: &str) -> String {
    format!("[ledger]\nstore = \"{store}\"\n")
}

/// Events come from the queue at `url`.
pub fn queue(url: &str) -> String {
    format!("[queue]\nurl = \"{url}\"\n")
}

/// A handler that runs `plugins/{module}.wasm`. The events that it handles follow.
pub fn handler(name: &str, module: &str) -> String {
    format!("[[handler]]\nname = \"{name}\"\nmodule = \"{module}.wasm\"\n")
}

/// A handler's events: the terminations which `hook` of `group` holds back.
pub fn terminations(group: &str, hook: &str) -> String {
    format!(
        r#"[handler.event]
source = ["aws.autoscaling"]
detail-type = ["EC2 Instance-terminate Lifecycle Action"]
detail.AutoScalingGroupName = ["{group}"]
detail.LifecycleHookName = ["{hook}"]
"#
    )
}

/// A handler's events: what EC2 itself tells, such as `EC2 Spot Instance Interruption Warning`.
pub fn told_by_ec2(detail_type: &str) -> String {
    format!("[handler.event]\nsource = [\"aws.ec2\"]\ndetail-type = [\"{detail_type}\"]\n")
}

/// A handler's grants, with all that draining takes in a cluster. Other grants may follow.
pub fn grants(cluster: &str) -> String {
    format!("[handler.grants]\necs = {{ clusters = [\"{cluster}\"], allow = [\"read\", \"drain\", \"stop-task\"] }}\n")
}
