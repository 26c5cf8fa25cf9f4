//! Events, from every door.

use super::{INSTANCE, now};
use crate::event::imds::{Identity, Item, Member, Standing, announced, standing};
use crate::event::{Delivery, Event, Kind, Message, Transition, parse_message, parse_payload};
use crate::ports::{AccountId, GroupName, HookName, InstanceId, Region};

/// What Lambda hands over, and one message: of EventBridge, of Auto Scaling, of SNS, of a queue.
///
/// Events come out of it, of which each is [`sound`], or an error fit to be printed.
pub fn event(bytes: &[u8]) {
    match parse_payload(bytes) {
        Ok(Delivery::Direct(messages)) => messages.iter().for_each(said),
        Ok(Delivery::Queue(records)) => {
            for record in &records {
                match &record.says {
                    Ok(message) => said(message),
                    Err(error) => printable(&error.to_string()),
                }
            }
        }
        Err(error) => printable(&error.to_string()),
    }
    let region = Region::parse("eu-central-1").expect("a region");
    for region in [None, Some(&region)] {
        match parse_message(bytes, region) {
            Ok(message) => said(&message),
            Err(error) => printable(&error.to_string()),
        }
    }
}

/// What the metadata service answers. The first line of the input is the item's path, or that of the identity document; of
/// `target-lifecycle-state` the rest is a line of that state, one of the group's, and a line for each hook.
pub fn imds(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (path, text) = text.split_once('\n').unwrap_or((&text, ""));
    if path == Identity::PATH
        && let Err(error) = Identity::parse(text)
    {
        printable(&error.to_string());
    }
    let identity = Identity {
        instance: InstanceId::parse(INSTANCE).expect("an instance"),
        account: AccountId::parse("123456789012").expect("an account"),
        region: Region::parse("eu-central-1").expect("a region"),
        availability_zone: "eu-central-1a".to_owned(),
    };
    for item in Item::ALL.into_iter().filter(|item| item.path() == path) {
        match announced(item, text, &identity, now()) {
            Ok(events) => events.iter().for_each(sound),
            Err(error) => printable(&error.to_string()),
        }
    }
    if path == Item::TargetLifecycleState.path() {
        let mut lines = text.lines();
        let (target, state) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let hooks = lines.filter_map(|line| {
            let way = if line.starts_with('-') { Transition::Terminating } else { Transition::Launching };
            Some((HookName::parse(line).ok()?, way))
        });
        let member = Member {
            group: GroupName::parse("web").expect("a group"),
            lifecycle_state: state.to_owned(),
            hooks: hooks.collect(),
        };
        match standing(target, Some(&member), &identity, now()) {
            Ok(Standing::Held(events)) => events.iter().for_each(sound),
            Ok(Standing::Moving | Standing::Arrived) => {}
            Err(error) => printable(&error.to_string()),
        }
    }
}

fn said(message: &Message) {
    if let Message::Events(events) = message {
        assert!(!events.is_empty(), "a message of no events");
        events.iter().for_each(sound);
    }
}

/// What holds of every event: it can be written and read again, by the ledger and by recordings, and does not contradict itself.
fn sound(event: &Event) {
    let written = serde_json::to_string(event).expect("an event can be written");
    assert_eq!(serde_json::from_str::<Event>(&written).ok().as_ref(), Some(event), "written and read");
    let again = parse_message(event.envelope.to_string().as_bytes(), None);
    assert_eq!(again, Ok(Message::Events(vec![event.clone()])), "made again from its envelope");
    assert!(serde_json::from_str::<serde_json::Value>(&event.detail()).is_ok(), "its detail is JSON");
    assert!(event.instance.is_some() || event.kind == Kind::Other, "an event without an instance");
    assert!(!event.work_item().is_empty() && !event.about().is_empty());
    if let Some(action) = &event.lifecycle_action {
        assert_eq!(Some(&action.instance), event.instance.as_ref());
        assert_eq!(Some(&action.group), event.group.as_ref());
    }
}

/// Errors quote what they complain of: nothing in them moves a cursor, and none is as long as what was sent.
fn printable(message: &str) {
    assert!(!message.contains(['\u{1b}', '\n', '\r']), "an error that a terminal would obey: {message:?}");
    assert!(message.len() < 8 << 10, "an error of {} bytes", message.len());
}
