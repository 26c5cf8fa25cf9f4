//! Recorded payloads, each with what it must come to, and bytes that are no payload at all.
//!
//! `tests/events/NAME.json` is what a door receives, `tests/events/NAME.expected.json` what it says: `direct` with its
//! messages, `queue` with each record's, or `error`. An envelope that is the payload itself is written `"as it came"`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    Delivery, Event, KNOWN, Kind, Known, MAX_MESSAGE, MAX_PAYLOAD, Message, ParseError, QueueRecord, parse_message,
    parse_payload,
};
use crate::ports::Region;

/// Every file of the folder, by name.
static FILES: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/events"));
    let entries = std::fs::read_dir(&folder).expect("the folder of recorded payloads");
    let paths = entries.map(|entry| entry.expect("a file").path());
    let files = paths.map(|path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read(&path).expect("a readable file"))
    });
    files.collect()
});

fn payloads() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    let name = |file: &'static String| file.strip_suffix(".json").filter(|name| !name.ends_with(".expected"));
    FILES.iter().filter_map(move |(file, bytes)| Some((name(file)?, bytes.as_slice())))
}

#[test]
fn every_recorded_payload_says_what_is_expected() {
    let mut differences = Vec::new();
    let mut names = BTreeSet::new();
    for (name, payload) in payloads() {
        names.insert(name);
        let found = said(payload);
        match FILES.get(&format!("{name}.expected.json")).map(|text| serde_json::from_slice::<Value>(text)) {
            Some(Ok(expected)) => compare(&expected, &found, name, &mut differences),
            Some(Err(error)) => differences.push(format!("{name}.expected.json is not JSON: {error}")),
            None => differences.push(format!("{name}.expected.json is missing; it would be\n{found:#}")),
        }
    }
    for file in FILES.keys() {
        let name = file.strip_suffix(".expected.json").or(file.strip_suffix(".json")).unwrap_or(file);
        if !names.contains(name) {
            differences.push(format!("{file} belongs to no payload"));
        }
    }
    assert!(names.len() >= 30, "only {} recorded payloads", names.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_kind_is_among_the_known_ones_and_shows_what_they_say() {
    let mut met = vec![false; KNOWN.len()];
    for (name, payload) in payloads() {
        let events = match parse_payload(payload) {
            Ok(Delivery::Direct(messages)) => messages,
            Ok(Delivery::Queue(records)) => records.into_iter().filter_map(|record| record.says.ok()).collect(),
            Err(_) => continue,
        };
        let events = events.into_iter().flat_map(|message| match message {
            Message::Events(events) => events,
            Message::Test => Vec::new(),
        });
        for event in events {
            let of_its_kind = KNOWN.iter().position(|known| known.kind == event.kind && shows(known, &event));
            assert_eq!(of_its_kind.is_none(), event.kind == Kind::Other, "{name}: {event:?}");
            let Some(known) = of_its_kind else { continue };
            met[known] = true;
            for field in event.envelope["detail"].as_object().into_iter().flat_map(|detail| detail.keys()) {
                assert!(KNOWN[known].fields.contains(&&**field), "{name}: {field} is not among the fields of its kind");
            }
        }
    }
    let recorded: Vec<_> = KNOWN.iter().zip(met).filter(|(_, met)| !met).map(|(known, _)| known).collect();
    assert!(recorded.is_empty(), "no recorded payload is like these: {recorded:#?}");
}

/// Whether the event says nothing else than what is known. Auto Scaling has not always said where an instance comes from.
fn shows(known: &Known, event: &Event) -> bool {
    let (known, envelope) = (known.envelope(), &event.envelope);
    let detail = known["detail"].as_object().into_iter().flatten();
    let mut detail = detail.map(|(field, value)| envelope["detail"].get(field).is_none_or(|said| said == value));
    known["source"] == envelope["source"] && known["detail-type"] == envelope["detail-type"] && detail.all(|same| same)
}

/// What a payload comes to, in the form of the expectations.
fn said(payload: &[u8]) -> Value {
    let as_it_came = serde_json::from_slice(payload).unwrap_or(Value::Null);
    let message = |message: Message| match message {
        Message::Test => json!("test"),
        Message::Events(events) => events
            .into_iter()
            .map(|event| {
                let mut said = serde_json::to_value(&event).expect("events are plain data");
                if event.envelope == as_it_came {
                    said["envelope"] = json!("as it came");
                }
                said
            })
            .collect(),
    };
    match parse_payload(payload) {
        Err(error) => json!({ "error": error.to_string() }),
        Ok(Delivery::Direct(messages)) => json!({ "direct": Vec::from_iter(messages.into_iter().map(message)) }),
        Ok(Delivery::Queue(records)) => {
            let record = |QueueRecord { id, says, .. }| match says {
                Ok(said) => json!({ "messageId": id, "says": message(said) }),
                Err(error) => json!({ "messageId": id, "error": error.to_string() }),
            };
            json!({ "queue": Vec::from_iter(records.into_iter().map(record)) })
        }
    }
}

/// Adds a line for each place where the two differ.
fn compare(expected: &Value, found: &Value, path: &str, differences: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for key in expected.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
                let [expected, found] = [expected, found].map(|map| map.get(key).cloned().unwrap_or(json!("(absent)")));
                compare(&expected, &found, &format!("{path}.{key}"), differences);
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (position, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(expected, found, &format!("{path}[{position}]"), differences);
            }
        }
        _ if expected == found => {}
        _ => differences.push(format!("{path}: expected {expected}, found {found}")),
    }
}

fn recorded(name: &str) -> Value {
    serde_json::from_slice(&FILES[&format!("{name}.json")]).expect("recorded payloads are JSON")
}

/// The events of a recorded payload after a change.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Result<Vec<Event>, String> {
    let mut payload = recorded(name);
    change(&mut payload);
    match parse_message(payload.to_string().as_bytes(), None).map_err(|error| error.to_string())? {
        Message::Events(events) => Ok(events),
        Message::Test => panic!("{name} is a test notification"),
    }
}

#[test]
fn an_error_names_the_field_what_was_expected_and_what_was_found() {
    let error = |path: &str, value: Value| {
        changed("instance-terminate", |payload| *payload.pointer_mut(path).expect("a field") = value).unwrap_err()
    };
    let errors = [
        error("/detail/EC2InstanceId", json!(5)),
        error("/detail/EC2InstanceId", json!("i-none")),
        error("/detail/EC2InstanceId", Value::Null),
        error("/detail/LifecycleHookName", json!({})),
        error("/detail/AutoScalingGroupName", json!("")),
        error("/detail/LifecycleActionToken", json!([])),
        error("/detail/LifecycleActionToken", json!("")),
        error("/detail/LifecycleTransition", json!("autoscaling:EC2_INSTANCE_LAUNCHING")),
        error("/detail/Destination", json!(true)),
        error("/detail", json!("x".repeat(100))),
        error("/account", json!("12")),
        error("/region", json!("Frankfurt!")),
        error("/time", json!("yesterday")),
        error("/time", json!("1969-12-31T23:59:59Z")),
        error("/id", json!("a\nb")),
    ];
    insta::assert_snapshot!(errors.join("\n"), @r#"
    detail.EC2InstanceId: expected a string, found the number 5
    detail.EC2InstanceId: "i-none" is not an EC2 instance id (i- and 8 or 17 hexadecimal digits, such as i-0123456789abcdef0)
    detail.EC2InstanceId is missing
    detail.LifecycleHookName: expected a string, found an object
    detail.AutoScalingGroupName: "" is not the name of an Auto Scaling group (1 to 255 characters)
    detail.LifecycleActionToken: expected a string, found an array
    detail.LifecycleActionToken: expected 1 to 2048 characters, none of them a control character, found ""
    detail.LifecycleTransition: expected autoscaling:EC2_INSTANCE_TERMINATING with this detail-type, found "autoscaling:EC2_INSTANCE_LAUNCHING"
    detail.Destination: expected a string, found the boolean true
    detail: expected an object, found a string that begins "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    account: "12" is not an AWS account id (twelve digits)
    region: "Frankfurt!" is not the name of an AWS region (such as eu-central-1)
    time: expected a time since 1970, such as 2026-08-27T13:19:03Z, found "yesterday"
    time: expected a time since 1970, such as 2026-08-27T13:19:03Z, found "1969-12-31T23:59:59Z"
    id: expected 1 to 2048 characters, none of them a control character, found "a\nb"
    "#);
}

#[test]
fn an_error_of_a_notification_names_the_field_where_the_notification_has_it() {
    let error = |field: &str, value: Value| {
        let mut notification: Value = recorded("asg-lifecycle-with-group-arn");
        notification[field] = value;
        parse_message(notification.to_string().as_bytes(), None).unwrap_err().to_string()
    };
    let errors = [
        error("EC2InstanceId", json!(5)),
        error("AccountId", Value::Null),
        error("RequestId", Value::Null),
        error("Time", json!("soon")),
        error("LifecycleTransition", json!("autoscaling:EC2_INSTANCE_RESTING")),
        error("AutoScalingGroupARN", Value::Null),
    ];
    insta::assert_snapshot!(errors.join("\n"), @r#"
    EC2InstanceId: expected a string, found the number 5
    AccountId is missing
    RequestId is missing
    Time: expected a time since 1970, such as 2026-08-27T13:19:03Z, found "soon"
    LifecycleTransition: expected autoscaling:EC2_INSTANCE_LAUNCHING or autoscaling:EC2_INSTANCE_TERMINATING, found "autoscaling:EC2_INSTANCE_RESTING"
    an Auto Scaling notification does not say its region, and this one came through no topic or queue whose ARN does: send it through SNS or SQS, or add AutoScalingGroupARN
    "#);
}

#[test]
fn what_is_no_event_is_quoted_only_around_the_place_where_parsing_stopped() {
    let mut garbage = b"{\n  \"detail-type\": \"EC2 Inst\", \n  \"detail\": nonsense, \"more\": \"".to_vec();
    garbage.resize(300 << 10, b'x');
    let errors = [
        parse_payload(&garbage),
        parse_payload("lorem ipsum ".repeat(25_600).as_bytes()),
        parse_payload(b""),
        parse_payload(b"\xff\xfe\x00"),
        parse_payload(br#"{"detail": {"#),
        parse_payload(br#"["an", "array"]"#),
        parse_payload(&b"[".repeat(10_000)),
        parse_payload(br#"{"Records": {}}"#),
        parse_payload(br#"{"Records": []}"#),
        parse_payload(br#"{"Records": [5]}"#),
        parse_payload(br#"{"hello": "world"}"#),
    ];
    let errors = errors.map(|payload| payload.unwrap_err().to_string());
    for error in &errors {
        assert!(error.len() < 300, "{error}");
    }
    insta::assert_snapshot!(errors.join("\n"), @r#"
    not JSON: expected ident at line 3 column 14, near `st",    "detail": nonsense, "more": "xxx`
    not JSON: expected value at line 1 column 1, near `lorem ipsum lorem ips`
    empty, where a JSON object is expected
    not JSON: expected value at line 1 column 1, near `�� `
    not JSON: EOF while parsing an object at line 1 column 12, near `{"detail": {`
    not an event: expected a JSON object, found an array
    not JSON: recursion limit exceeded at line 1 column 128, near `[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[`
    Records: expected an array, found an object
    Records is empty: expected records of SNS or of SQS
    Records[0]: expected an object, found the number 5
    not an event: neither EventBridge's (there is no `detail-type`), nor a notification of Auto Scaling (no `LifecycleTransition`), nor either in a message of SNS (no `TopicArn` and `Message`)
    "#);
}

#[test]
fn what_is_too_large_is_an_error_that_says_how_large_it_may_be() {
    let errors = [
        parse_payload(&vec![b' '; MAX_PAYLOAD + 1]).unwrap_err(),
        parse_message(&vec![b' '; MAX_MESSAGE + 1], None).unwrap_err(),
        parse_payload(json!({ "detail": "x".repeat(MAX_MESSAGE) }).to_string().as_bytes()).unwrap_err(),
    ];
    insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n"), @r#"
    the payload has 6291457 bytes, more than the 6291456 that are read
    the message has 1048577 bytes, more than the 1048576 that are read
    the message has 1048589 bytes, more than the 1048576 that are read
    "#);

    let body = "x".repeat(MAX_MESSAGE + 1);
    let batch =
        json!({ "Records": [{ "messageId": "1", "body": body }, { "messageId": "2", "body": TEST_NOTIFICATION }] });
    let Ok(Delivery::Queue(records)) = parse_payload(batch.to_string().as_bytes()) else { panic!("not a batch") };
    assert!(records[0].says.is_err(), "a message of more than 1 MiB was read");
    assert_eq!(records[1].says, Ok(Message::Test), "the neighbour of a message that is too large");
}

#[test]
fn a_record_of_a_queue_says_how_to_hide_it_and_how_often_it_came() {
    let queue = "arn:aws:sqs:eu-central-1:123456789012:nuproj-lifecycle";
    let mut batch = recorded("queue-batch");
    batch["Records"][1]["attributes"]["ApproximateReceiveCount"] = json!("17");
    batch["Records"][2] = json!({ "messageId": "bare" });
    let Ok(Delivery::Queue(records)) = parse_payload(batch.to_string().as_bytes()) else { panic!("not a batch") };
    let QueueRecord { receipt, queue: from, receives, body, .. } = &records[1];
    assert_eq!((receipt.as_deref(), from.as_deref()), (Some("AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a"), Some(queue)));
    assert_eq!((*receives, body.as_str()), (17, "not JSON at all"));
    let bare = &records[2];
    assert_eq!((&bare.receipt, &bare.queue, bare.receives, bare.body.as_str()), (&None, &None, 1, ""));
    assert_eq!(bare.says.as_ref().unwrap_err().to_string(), "Records[2].body is missing");
}

const TEST_NOTIFICATION: &str = r#"{"Service": "AWS Auto Scaling", "Event": "autoscaling:TEST_NOTIFICATION"}"#;

#[test]
fn a_batch_without_a_message_id_cannot_be_answered() {
    let mut batch = recorded("queue-batch");
    batch["Records"][1]["messageId"] = json!(7);
    let error = parse_payload(batch.to_string().as_bytes()).unwrap_err().to_string();
    assert_eq!(error, "Records[1].messageId: expected a string, found the number 7");
}

#[test]
fn a_notification_takes_its_region_from_its_group_then_its_topic_then_its_queue() {
    let queue = Region::parse("ap-south-1").unwrap();
    let region = |notification: &Value, hint| match parse_message(notification.to_string().as_bytes(), hint) {
        Ok(Message::Events(events)) => events[0].region.to_string(),
        other => panic!("{other:?}"),
    };
    let mut notification = recorded("asg-lifecycle-with-group-arn");
    assert_eq!(region(&notification, Some(&queue)), "eu-central-1");
    notification["AutoScalingGroupARN"] = Value::Null;
    assert_eq!(region(&notification, Some(&queue)), "ap-south-1");
    let topic = "arn:aws:sns:us-west-2:123456789012:hooks";
    let wrapped = json!({ "Type": "Notification", "TopicArn": topic, "Message": notification.to_string() });
    assert_eq!(region(&wrapped, Some(&queue)), "us-west-2");
}

#[test]
fn a_notification_and_its_event_are_the_same_to_patterns_and_to_the_ledger() {
    let direct = changed("asg-lifecycle-with-group-arn", |_| {}).unwrap().remove(0);
    let ruled = changed("instance-terminate", |_| {}).unwrap().remove(0);
    assert_eq!(direct.id, ruled.id);
    assert_eq!(direct.work_item(), ruled.work_item());
    for field in ["source", "detail-type", "account", "region", "resources", "detail"] {
        assert_eq!(direct.envelope[field], ruled.envelope[field], "{field}");
    }
}

#[test]
fn without_a_token_the_id_is_the_work_item() {
    let with = changed("instance-terminate", |_| {}).unwrap().remove(0);
    let without = changed("instance-terminate", |payload| payload["detail"]["LifecycleActionToken"] = Value::Null);
    let without = without.unwrap().remove(0);
    assert_eq!(without.lifecycle_action.as_ref().and_then(|action| action.token.as_deref()), None);
    assert_eq!(without.id, with.work_item());
    assert_ne!(without.id, with.id);
}

#[test]
fn maintenance_of_too_many_instances_with_too_much_text_is_refused() {
    let announce = |instances: u64, text: usize| {
        changed("health-two-instances", |payload| {
            payload["detail"]["eventDescription"][0]["latestDescription"] = json!("x".repeat(text));
            let entity = |n| json!({ "entityValue": format!("i-{n:017x}"), "status": "PENDING" });
            payload["detail"]["affectedEntities"] = (0..instances).map(entity).collect();
        })
    };
    let events = announce(3000, 5_000).unwrap();
    assert_eq!(events.len(), 3000);
    assert_eq!(events[2999].envelope["detail"]["affectedEntities"].as_array().map(Vec::len), Some(1));
    let error = announce(3000, 50_000).unwrap_err();
    insta::assert_snapshot!(error, @"detail.affectedEntities: 3000 instances with 51804 bytes each come to more than 33554432 bytes");
}

/// What holds of every event, whatever it was made of.
fn sound(event: &Event) {
    assert_eq!(event.instance.is_none(), event.kind == Kind::Other, "{event:?}");
    assert!(!event.id.is_empty() && !event.detail_type.is_empty() && !event.source.is_empty(), "{event:?}");
    assert!(event.time.as_millisecond() >= 0, "{event:?}");
    assert!(event.envelope["detail"].is_object(), "{event:?}");
    if let Some(action) = &event.lifecycle_action {
        assert_eq!((Some(&action.instance), Some(&action.group)), (event.instance.as_ref(), event.group.as_ref()));
    }
}

fn sound_or_brief(bytes: &[u8]) {
    let message = |message: Result<Message, ParseError>| match message {
        Ok(Message::Test) => {}
        Ok(Message::Events(events)) => {
            assert!(!events.is_empty());
            events.iter().for_each(sound);
        }
        Err(error) => assert!(error.to_string().len() < 1000, "{error}"),
    };
    message(parse_message(bytes, None));
    match parse_payload(bytes) {
        Ok(Delivery::Direct(messages)) => messages.into_iter().for_each(|said| message(Ok(said))),
        Ok(Delivery::Queue(records)) => records.into_iter().for_each(|record| message(record.says)),
        Err(error) => message(Err(error)),
    }
}

/// The value at `position`, counting from the top and depth first.
fn nth_value<'a>(value: &'a mut Value, position: &mut usize) -> Option<&'a mut Value> {
    if *position == 0 {
        return Some(value);
    }
    *position -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth_value(item, position)),
        Value::Object(fields) => fields.values_mut().find_map(|item| nth_value(item, position)),
        _ => None,
    }
}

fn some_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![".*", "i-[0-9a-f]{0,20}", "arn:[a-z:0-9/]*", "[0-9]{4}-[0-9]{2}-[0-9]{2}T00:00:00Z"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".*", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn some_payload() -> impl Strategy<Value = &'static [u8]> {
    proptest::sample::select(payloads().map(|(_, bytes)| bytes).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_an_error_in_few_words(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        sound_or_brief(&bytes);
    }

    #[test]
    fn a_damaged_payload_is_sound_or_an_error_in_few_words(
        payload in some_payload(), at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut bytes = payload.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        sound_or_brief(&bytes);
    }

    #[test]
    fn a_payload_with_another_value_somewhere_is_sound_or_an_error_in_few_words(
        payload in some_payload(), at in 0_usize..60, value in some_value(),
    ) {
        let mut payload: Value = serde_json::from_slice(payload).unwrap_or_default();
        let mut position = at;
        if let Some(place) = nth_value(&mut payload, &mut position) {
            *place = value;
        }
        sound_or_brief(payload.to_string().as_bytes());
    }
}

#[test]
fn what_nests_too_deep_or_grows_when_it_is_written_again_is_refused() {
    let event = |detail: &str| {
        format!(
            r#"{{"version":"0","id":"1","detail-type":"x","source":"my.app","account":"123456789012","time":"2026-01-15T03:00:00Z","region":"eu-central-1","resources":[],"detail":{{"x":{detail}}}}}"#
        )
    };
    let told = |detail: &str| parse_message(event(detail).as_bytes(), None).map_err(|error| error.to_string());
    assert!(told(&format!("{}{}", "[".repeat(60), "]".repeat(60))).is_ok());
    let deep = told(&format!("{}{}", "[".repeat(100), "]".repeat(100))).unwrap_err();
    assert_eq!(deep, "it nests deeper than the 64 levels that are read");
    let numbers = told(&format!("[{}]", vec!["1e15"; 150_000].join(","))).unwrap_err();
    assert!(numbers.contains("bytes when it is written again, more than the 1048576 that are kept"), "{numbers}");
    // By whichever way it comes.
    let grows = event(&format!("[{}]", vec!["1e15"; 150_000].join(",")));
    let sns = json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Message": grows } }] });
    for payload in [grows.clone(), sns.to_string()] {
        let told = parse_payload(payload.as_bytes()).unwrap_err().to_string();
        assert!(told.contains("bytes when it is written again"), "{told}");
    }
}

#[test]
fn what_is_small_as_text_and_large_in_memory_is_not_made_for_each_instance() {
    let entities: Vec<_> = (0..32).map(|number| json!({ "entityValue": format!("i-{number:017x}") })).collect();
    let announcement = json!({
        "id": "1", "source": "aws.health", "detail-type": "AWS Health Event", "account": "123456789012",
        "region": "eu-central-1", "time": "2026-01-15T03:00:00Z", "resources": [],
        "detail": {
            "service": "EC2", "eventTypeCategory": "scheduledChange", "eventArn": "arn:aws:health:1",
            "affectedEntities": entities, "zeros": vec![0; 500_000],
        },
    });
    let error = parse_message(announcement.to_string().as_bytes(), None).unwrap_err();
    assert!(error.to_string().contains("32 instances with 160"), "{error}");
}
