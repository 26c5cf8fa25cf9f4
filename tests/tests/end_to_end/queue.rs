//! The function on a queue whose mapping is not set up as it should be.

use std::time::Duration;

use hostler_tests::{Queue, guest, policy, poll};

use crate::scene::Scene;

/// For an event to be brought to its end. After an invocation that has failed the emulator takes a rest.
const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn nothing_that_waits_is_lost_by_a_mapping_that_reads_no_answers() {
    let scene = Scene::new();
    scene.upload(guest("patient"));
    let ledger = policy::ledger(&format!("s3://{}/ledger/", scene.fleet.bucket));
    let function = scene.deploy(&format!("[handler.config]\nfor = \"3s\"\n{ledger}"));
    let queue = Queue::create(scene.fleet.stack, "unread");
    queue.send(&[scene.event().to_string()]);

    function.map_as_a_whole(&queue);

    let ended = poll(PATIENCE, || !scene.completions().is_empty() && queue.is_empty());
    assert!(ended, "{} messages are left, and the log says {:?}", queue.len(), function.log());
    assert_eq!(scene.completions(), [scene.completion("ABANDON")]);
    function.lines("about the mapping", |line| {
        line["message"] == "the event source mapping has no ReportBatchItemFailures"
    });
}
