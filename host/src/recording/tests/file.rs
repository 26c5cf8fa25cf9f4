//! Reading, and what is said of what cannot be read.

use super::*;
use crate::event::{Delivery, Message, parse_payload};
use crate::recording::file::Header;
use crate::recording::{Part, RecordingError, Reply};

fn refused(text: &str) -> String {
    match Recording::parse("a.jsonl", text.as_bytes()) {
        Ok(_) => panic!("this is a recording: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_no_recording_is_told_what_it_is() {
    insta::assert_snapshot!(refused(""), @"a.jsonl is not a recording: it is empty, or begins with an empty line; `hostler run --record FILE` makes one");
    insta::assert_snapshot!(refused("[modules]\nsource = \"dir:x\"\n"), @r#"a.jsonl is not a recording: its first line, which begins with "[modules]", is not JSON (expected value); `hostler run --record FILE` makes one"#);
    insta::assert_snapshot!(refused("{\"version\": \"0\"}\n"), @r#"a.jsonl is not a recording: its first line has no "hostler-recording"; `hostler run --record FILE` makes one"#);
    // The first line, torn.
    insta::assert_snapshot!(refused(&text(&[])[..40]), @r#"a.jsonl is not a recording: its first line, which begins with "{\"contract\":\"0.1.0\",\"event\":{\"account\":\"", is not JSON (EOF while parsing a string); `hostler run --record FILE` makes one"#);
}

#[test]
fn other_versions_are_named_with_who_can_read_them() {
    let later = text(&[])
        .replace("\"hostler-recording\":1", "\"hostler-recording\":2")
        .replace("\"host\":\"0.1.0\"", "\"host\":\"0.7.0\"");
    insta::assert_snapshot!(refused(&later), @"a.jsonl is a recording of format 2, and this hostler (0.1.0) reads format 1: replay it with the version that recorded it, 0.7.0");
    let contract = text(&[])
        .replace("\"contract\":\"0.1.0\"", "\"contract\":\"0.2.0\"")
        .replace("\"host\":\"0.1.0\"", "\"host\":\"0.7.0\"");
    insta::assert_snapshot!(refused(&contract), @"a.jsonl was recorded by hostler 0.7.0 with version 0.2.0 of the contract, and this hostler (0.1.0) serves 0.1.0: replay it with hostler 0.7.0");
    assert!(matches!(Recording::parse("a.jsonl", contract.as_bytes()), Err(RecordingError::Contract { .. })));
}

#[test]
fn a_line_that_does_not_belong_is_named() {
    insta::assert_snapshot!(refused(&text(&[json!({ "call": 1 })])), @"a.jsonl:2: invalid type: integer `1`, expected struct Call; the file was changed since it was recorded, or written by a newer hostler");
    let of_another = call(0, "ecs.drain", in_prod(), accepted());
    insta::assert_snapshot!(refused(&text(&[of_another])), @r#"a.jsonl:2: the answer to ecs.drain: invalid type: string "accepted", expected struct ContainerInstance; the file was changed since it was recorded, or written by a newer hostler"#);
    let unknown = call(0, "ecs.reboot", in_prod(), accepted());
    assert!(refused(&text(&[hook(0), unknown])).starts_with("a.jsonl:3: unknown variant `ecs.reboot`"));
    insta::assert_snapshot!(refused(&text(&[end(1, "done"), hook(2)])), @"a.jsonl:3: there is a line after the end; the file was changed since it was recorded, or written by a newer hostler");
    let no_event = text(&[]).replace("\"detail-type\"", "\"detail-typo\"");
    insta::assert_snapshot!(refused(&no_event), @"a.jsonl:1: its event: detail-type is missing; the file was changed since it was recorded, or written by a newer hostler");
}

#[test]
fn a_recording_that_ends_early_says_what_is_missing() {
    let whole = text(&[hook(0), drain(10), end(20, "done")]);
    let gap = |text: &str| Recording::parse("a.jsonl", text.as_bytes()).unwrap().gap;
    assert_eq!(gap(&whole), None);
    insta::assert_snapshot!(gap(&text(&[hook(0)])).unwrap(), @"it stops before the end of the work: the host was stopped, or is still at it");
    // Wherever it is cut behind the header, it is read up to there.
    let header = whole.find('\n').unwrap();
    for cut in header + 1..whole.len() {
        assert!(gap(&whole[..cut]).is_some(), "cut at {cut}, nothing is missing");
    }
    insta::assert_snapshot!(gap(&whole[..whole.len() - 1]).unwrap(), @"line 4, the last, is cut off in the middle: it was copied too early, or the host was stopped");
}

#[test]
fn calls_stand_in_the_order_in_which_they_were_made() {
    let recording = recording(&[drain(50), hook(0), end(60, "done")]);
    assert_eq!(recording.calls.iter().map(|call| call.at_ms).collect::<Vec<_>>(), [0, 50]);
    assert!(matches!(recording.calls[1].reply, Reply::Answer(_)));
}

#[test]
fn every_recorded_event_is_the_same_event_again() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/events");
    let mut events = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let messages = match parse_payload(&std::fs::read(&path).unwrap()) {
            Ok(Delivery::Direct(messages)) => messages,
            Ok(Delivery::Queue(records)) => records.into_iter().filter_map(|record| record.says.ok()).collect(),
            Err(_) => continue,
        };
        let found = messages.into_iter().flat_map(|message| match message {
            Message::Events(events) => events,
            Message::Test => Vec::new(),
        });
        for event in found {
            let header = serde_json::to_string(&Header::new(event.time, None, "h", "p", Part::whole(&event))).unwrap();
            let read = Recording::parse("a.jsonl", header.as_bytes());
            assert_eq!(read.map(|recording| recording.event), Ok(event), "{}", path.display());
            events += 1;
        }
    }
    assert!(events > 20, "only {events} events");
}
