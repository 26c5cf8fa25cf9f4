//! Recording beside the work.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::*;
use crate::capabilities::ssh::Ssh;
use crate::dispatch::tests::host;
use crate::dispatch::{End, Step, Worked};
use crate::outcome::Decision;
use crate::policy::{Exec, Granted, Scope};
use crate::ports::{CommandOutput, Instance, InstanceId, PortError};
use crate::recording::Part;
use crate::recording::{Keep, Kept, Recorder, Recordings, Reply};
use crate::testing::{VirtualClock, guests, handler, silent};

/// A node that says what it was given.
struct Echo;

#[async_trait]
impl Ssh for Echo {
    async fn exec(&self, request: Granted<Exec>) -> Result<CommandOutput, PortError> {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let words = request.into_request().command.join(" ");
        Ok(CommandOutput { exit_status: Some(0), stdout: words.into_bytes(), ..CommandOutput::default() })
    }
}

/// What a recorder writes, in memory.
fn in_memory(max_bytes: usize) -> (Arc<Kept>, Recordings) {
    let kept = Arc::new(Kept::default());
    (kept.clone(), Recordings::whole(kept, max_bytes))
}

fn begin(recordings: &Recordings) -> Recorder {
    Recorder::begin(recordings, Part::whole(&terminating()), ("under-test", "digest"), &VirtualClock::new(), None)
}

/// The end of a recorder, with `done`.
async fn finish(recorder: Recorder) {
    let worked = Worked { handler: "under-test".into(), decision: Decision::Done, attempts: 1, lifecycle: None };
    recorder.end(&Ok(End::Worked(worked))).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_is_recorded_from_its_arrival_to_its_end() {
    let mut host = host(Some(guests::again(200, 2)), "");
    let (kept, recordings) = in_memory(1 << 20);
    host.dispatch.recordings = Some(recordings);
    host.dispatch.handle(terminating(), Some(Instant::now() + Duration::from_secs(900))).await.unwrap();
    let digest = crate::digest::sha256(guests::again(200, 2));
    let text = String::from_utf8(kept.take())
        .unwrap()
        .replace(&digest, "PLUGIN")
        .replace(&host.dispatch.policy.digest, "POLICY");
    let recording = Recording::parse("a.jsonl", text.as_bytes()).unwrap();
    assert_eq!((recording.event, recording.gap), (terminating(), None));
    let (header, rest) = text.split_once('\n').unwrap();
    let header: Value = serde_json::from_str(header).unwrap();
    assert_eq!(header["door-closes-after-ms"], 900_000);
    insta::assert_snapshot!(rest, @r#"
    {"call":{"at-ms":0,"operation":"lifecycle.hook","arguments":{"group":"web","hook":"drain"},"reply":{"answer":{"global-timeout":"8h 20m","heartbeat-timeout":"5m"}},"took-ms":0}}
    {"attempt":{"at-ms":0,"attempt":1,"module":"PLUGIN","outcome":"again","note":"waiting","state":"kept"}}
    {"call":{"at-ms":150000,"operation":"lifecycle.heartbeat","arguments":{"group":"web","hook":"drain","instance":"i-0123456789abcdef0"},"reply":{"answer":"accepted"},"took-ms":0}}
    {"attempt":{"at-ms":200000,"attempt":2,"module":"PLUGIN","outcome":"done","note":""}}
    {"call":{"at-ms":200000,"operation":"lifecycle.complete","arguments":{"group":"web","hook":"drain","instance":"i-0123456789abcdef0","result":"CONTINUE"},"reply":{"answer":"accepted"},"took-ms":0}}
    {"end":{"at-ms":200000,"result":{"end":"worked","handler":"under-test","decision":"done","attempts":2,"lifecycle":"continue"}}}
    "#);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_nobody_takes_is_not_recorded() {
    let mut host = host(Some(guests::done()), "");
    let (kept, recordings) = in_memory(1 << 20);
    host.dispatch.recordings = Some(recordings);
    let mut event = terminating();
    event.envelope["source"] = "aws.ec2".into();
    assert_eq!(host.dispatch.handle(event, None).await, Ok(End::NoHandler));
    assert!(kept.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn secrets_are_in_no_line() {
    let handler = handler(
        "[handler.grants]\nssh = { user = \"u\", key = \"file:/run/CANARY-key\", host-keys = \"ca:/etc/CANARY-ca\", \
         commands = [[\"tee\", \"*\"]] }\n[handler.config]\npassword = \"CANARY-setting\"",
    );
    let (kept, recordings) = in_memory(1 << 20);
    let recorder = begin(&recordings);
    let ports = recorder.ports(&crate::capabilities::Ports { ssh: Arc::new(Echo), ..silent() }, 1);
    let scope = Scope::new(handler, Some(InstanceId::parse(INSTANCE).unwrap()));
    let node: Instance = serde_json::from_value(node()).unwrap();
    let (command, stdin) = (vec!["tee".to_owned(), "/etc/x".to_owned()], b"CANARY-stdin".to_vec());
    let request = scope.exec(&node, command, Some(stdin), None).unwrap();
    ports.ssh.exec(request).await.unwrap();
    finish(recorder).await;
    let text = String::from_utf8(kept.take()).unwrap();
    assert!(!text.contains("CANARY"), "{text}");
    let call = text.lines().nth(1).unwrap();
    insta::assert_snapshot!(call, @r#"{"call":{"at-ms":0,"attempt":1,"operation":"ssh.exec","arguments":{"command":["tee","/etc/x"],"instance":"i-0123456789abcdef0","stdin-bytes":12},"reply":{"answer":{"exit-status":0,"signal":null,"stderr":"","stderr-truncated":false,"stdout":"tee /etc/x","stdout-truncated":false}},"took-ms":2000}}"#);
}

fn node() -> Value {
    json!({
        "instance": INSTANCE, "state": "running", "lifecycle": "on-demand", "instance-type": "m7g.large",
        "availability-zone": "eu-central-1a", "private-address": "10.0.0.10", "launched-at": null, "tags": [],
    })
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_waits_for_is_recorded_without_an_answer() {
    let (kept, recordings) = in_memory(1 << 20);
    let mut host = host(
        Some(guests::drain_of(INSTANCE)),
        "[handler.limits]\nwall = \"5s\"\n[handler.finish]\nmax-attempts = 1\n\
         [handler.grants]\necs = { clusters = [\"c\"], allow = [\"drain\"] }",
    );
    host.dispatch.recordings = Some(recordings);
    host.dispatch.handle(terminating(), None).await.unwrap();
    let recording = Recording::parse("a.jsonl", &kept.take()).unwrap();
    let call = &recording.calls[1];
    assert_eq!(
        (call.asked.operation.as_str(), call.took_ms, &call.reply),
        ("ecs.find-container-instance", 5000, &Reply::None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_recording_is_cut_and_still_has_its_end() {
    let mut host = host(Some(guests::again(1, 2000)), "");
    let (kept, recordings) = in_memory(100_000);
    host.dispatch.recordings = Some(recordings);
    host.dispatch.handle(terminating(), None).await.unwrap();
    let bytes = kept.take();
    assert!(bytes.len() <= 100_000, "{} bytes", bytes.len());
    let recording = Recording::parse("a.jsonl", &bytes).unwrap();
    assert_eq!(recording.gap.as_deref(), Some("it reached 100000 bytes, and was not continued"));
    assert!(recording.end.is_some() && recording.attempts.len() > 10);
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_cannot_be_written_does_not_stop_the_work() {
    let folder = tempfile::TempDir::new().unwrap();
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "").unwrap();
    let mut places = vec![Recordings::folder(&taken)];
    // A disk that is always full.
    places.extend(Recordings::file(std::path::Path::new("/dev/full")));
    for place in places {
        let mut host = host(Some(guests::done()), "");
        host.dispatch.recordings = Some(place);
        assert!(matches!(host.dispatch.handle(terminating(), None).await, Ok(End::Worked(_))));
    }
}

#[cfg(unix)]
#[test]
fn a_recording_goes_where_a_link_leads_unless_that_holds_something() {
    let folder = tempfile::TempDir::new().unwrap();
    let (link, target) = (folder.path().join("link"), folder.path().join("target"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(Recordings::file(&link).is_ok());
    std::fs::write(&target, "an incident").unwrap();
    assert!(Recordings::file(&link).is_err());
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "an incident");
}

/// Takes nothing, ever.
struct Silence;

#[async_trait]
impl Keep for Silence {
    async fn keep(&self, _: &str, _: Vec<u8>) -> Result<(), PortError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_nobody_takes_does_not_hold_the_door() {
    // How long the door is open, and how long the handling then takes.
    for (open, took) in
        [(None, 4_000), (Some(60_000), 4_000), (Some(16_000), 4_000), (Some(2_000), 1_500), (Some(100), 0)]
    {
        let recorder = {
            let closes = open.map(|open| Instant::now() + Duration::from_millis(open));
            let recordings = Recordings::whole(Arc::new(Silence), 1 << 20);
            Recorder::begin(
                &recordings,
                Part::whole(&terminating()),
                ("under-test", "digest"),
                &VirtualClock::new(),
                closes,
            )
        };
        let began = Instant::now();
        finish(recorder).await;
        assert_eq!(began.elapsed(), Duration::from_millis(took), "with {open:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_has_a_file_for_each_event_that_only_its_owner_reads() {
    let folder = tempfile::TempDir::new().unwrap();
    let below = folder.path().join("a/b");
    let mut host = host(Some(guests::done()), "");
    host.dispatch.recordings = Some(Recordings::folder(&below));
    let mut event = terminating();
    event.id = "../../x\n".to_owned();
    for token in ["first", "second"] {
        // Two occurrences of it: a further delivery of one is found to have ended.
        event.lifecycle_action.as_mut().unwrap().token = Some(token.to_owned());
        host.dispatch.handle(event.clone(), None).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut names: Vec<_> =
        std::fs::read_dir(&below).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    insta::assert_debug_snapshot!(names, @r#"
    [
        "20260115T030000.000Z-i-0123456789abcdef0-5acf6a15e7e8.jsonl",
        "20260115T030000.001Z-i-0123456789abcdef0-5acf6a15e7e8.jsonl",
    ]
    "#);
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(below.join(&names[0])).unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test(start_paused = true)]
async fn a_recording_of_one_step_begins_where_the_work_stood() {
    let mut host = host(Some(guests::again(200, 2)), "");
    let event = terminating();
    assert!(matches!(host.dispatch.step(&event, None).await, Ok(Step::Later { .. })));
    tokio::time::sleep(Duration::from_secs(200)).await;
    let (kept, recordings) = in_memory(1 << 20);
    host.dispatch.recordings = Some(recordings);
    assert!(matches!(host.dispatch.step(&event, None).await, Ok(Step::Ended(_))));
    let recording = Recording::parse("a.jsonl", &kept.take()).unwrap();
    assert!(recording.header.one_step);
    let resumed = recording.header.resumed.unwrap();
    assert_eq!((resumed.attempts, resumed.told.len()), (1, 1));
    assert_eq!(recording.attempts.iter().map(|attempt| attempt.attempt).collect::<Vec<_>>(), [2]);

    // Put back into another ledger, it is the second attempt again.
    let again = self::host(Some(guests::again(200, 2)), "");
    again.dispatch.ledger.restore(&resumed).await.unwrap();
    let Ok(Step::Ended(End::Worked(worked))) = again.dispatch.step(&event, None).await else {
        panic!("it did not end")
    };
    assert_eq!(worked.attempts, 2);
}
