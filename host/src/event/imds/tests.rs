//! What AWS documents of instance metadata, and what is no such thing.

use std::time::Duration;

use super::*;
use crate::event::{Kind, LifecycleAction, Message, Transition, parse_message};
use crate::policy::Policy;
use crate::ports::{GroupName, HookName};

/// "Instance identity documents", Amazon EC2 User Guide.
const DOCUMENT: &str = r#"{
    "devpayProductCodes" : null,
    "marketplaceProductCodes" : [ "1abc2defghijklm3nopqrs4tu" ],
    "availabilityZone" : "us-west-2b",
    "privateIp" : "10.158.112.84",
    "version" : "2017-09-30",
    "instanceId" : "i-1234567890abcdef0",
    "billingProducts" : null,
    "instanceType" : "t2.micro",
    "accountId" : "123456789012",
    "imageId" : "ami-5fb8c835",
    "pendingTime" : "2016-11-19T16:32:11Z",
    "architecture" : "x86_64",
    "kernelId" : null,
    "ramdiskId" : null,
    "region" : "us-west-2"
}"#;

/// "Spot Instance interruption notices".
const SPOT_ACTION: &str = r#"{"action": "stop", "time": "2017-09-18T08:22:00Z"}"#;

/// "EC2 instance rebalance recommendations".
const REBALANCE: &str = r#"{"noticeTime": "2020-10-27T08:22:00Z"}"#;

/// "View scheduled events that affect your Amazon EC2 instances", and what the history there looks like.
const SCHEDULED: &str = r#"[
  {
    "NotBefore" : "21 Jan 2019 09:00:43 GMT",
    "Code" : "system-reboot",
    "Description" : "scheduled reboot",
    "EventId" : "instance-event-0d59937288b749b32",
    "NotAfter" : "21 Jan 2019 09:17:23 GMT",
    "State" : "active"
  },
  {
    "NotBefore" : "21 Jan 2019 09:00:43 GMT",
    "Code" : "system-reboot",
    "Description" : "[Canceled] scheduled reboot",
    "EventId" : "instance-event-0d59937288b749b33",
    "NotAfter" : "21 Jan 2019 09:17:23 GMT",
    "State" : "canceled"
  }
]"#;

fn instance() -> Identity {
    Identity::parse(DOCUMENT).unwrap()
}

fn now() -> Timestamp {
    "2019-01-20T12:00:00Z".parse().unwrap()
}

/// The one event that `text` announces.
fn event(item: Item, text: &str) -> Event {
    let mut events = announced(item, text, &instance(), now()).unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    events.remove(0)
}

fn member(state: &str) -> Member {
    let hook = |name, transition| (HookName::parse(name).unwrap(), transition);
    Member {
        group: GroupName::parse("web").unwrap(),
        lifecycle_state: state.to_owned(),
        hooks: vec![
            hook("drain", Transition::Terminating),
            hook("warm", Transition::Launching),
            hook("log", Transition::Terminating),
        ],
    }
}

fn held(state: &str, target: &str) -> Vec<Event> {
    match standing(target, Some(&member(state)), &instance(), now()).unwrap() {
        Standing::Held(events) => events,
        other => panic!("{other:?}"),
    }
}

/// Whether a handler for `pattern` takes the event.
fn taken(event: &Event, pattern: &str) -> bool {
    let policy = format!(
        "[modules]\nsource = \"dir:dist\"\nallow-unsigned = true\n\
         [[handler]]\nname = \"a\"\nmodule = \"a.wasm\"\nevent = {pattern}\n"
    );
    Policy::parse("hostler.toml", &policy).unwrap_or_else(|mistakes| panic!("{mistakes}")).route(event).is_some()
}

#[test]
fn the_identity_document_says_who_the_instance_is() {
    let identity = instance();
    assert_eq!(identity.instance.as_str(), "i-1234567890abcdef0");
    assert_eq!((identity.account.as_str(), identity.region.as_str()), ("123456789012", "us-west-2"));
    assert_eq!(identity.availability_zone, "us-west-2b");
}

#[test]
fn a_spot_interruption_is_that_of_eventbridge_and_its_deadline_is_the_time_of_the_action() {
    let event = event(Item::SpotAction, SPOT_ACTION);
    assert_eq!((event.kind, event.deadline), (Kind::SpotInterruption, "2017-09-18T08:22:00Z".parse().ok()));
    assert_eq!(event.instance, Some(instance().instance));
    insta::assert_json_snapshot!(event.envelope, @r#"
    {
      "account": "123456789012",
      "detail": {
        "instance-action": "stop",
        "instance-id": "i-1234567890abcdef0"
      },
      "detail-type": "EC2 Spot Instance Interruption Warning",
      "id": "imds/spot/instance-action/i-1234567890abcdef0/stop/2017-09-18T08:22:00Z",
      "region": "us-west-2",
      "resources": [
        "arn:aws:ec2:us-west-2b:instance/i-1234567890abcdef0"
      ],
      "source": "aws.ec2",
      "time": "2017-09-18T08:20:00Z",
      "version": "0"
    }
    "#);
}

#[test]
fn a_termination_of_a_spot_instance_is_one_work_item_whoever_announces_it() {
    let noticed = event(Item::SpotAction, r#"{"action": "terminate", "time": "2017-09-18T08:22:00Z"}"#);
    let mut envelope = noticed.envelope.clone();
    envelope["id"] = "12345678-1234-1234-1234-123456789012".into();
    envelope["time"] = "2017-09-18T08:19:58Z".into();
    let announced = Event { id: "12345678-1234-1234-1234-123456789012".to_owned(), envelope, ..noticed.clone() };
    assert_eq!(noticed.work_item(), announced.work_item());
    // What is only stopped is taken back again and again.
    let [morning, evening] = ["08:22:00", "20:22:00"].map(|time| {
        event(Item::SpotAction, &format!(r#"{{"action": "stop", "time": "2017-09-18T{time}Z"}}"#)).work_item()
    });
    assert_ne!(morning, evening);
}

#[test]
fn a_rebalance_recommendation_is_that_of_eventbridge() {
    let event = event(Item::Rebalance, REBALANCE);
    assert_eq!((event.kind, event.deadline), (Kind::RebalanceRecommendation, None));
    insta::assert_json_snapshot!(event.envelope, @r#"
    {
      "account": "123456789012",
      "detail": {
        "instance-id": "i-1234567890abcdef0"
      },
      "detail-type": "EC2 Instance Rebalance Recommendation",
      "id": "imds/events/recommendations/rebalance/i-1234567890abcdef0/2020-10-27T08:22:00Z",
      "region": "us-west-2",
      "resources": [
        "arn:aws:ec2:us-west-2b:instance/i-1234567890abcdef0"
      ],
      "source": "aws.ec2",
      "time": "2020-10-27T08:22:00Z",
      "version": "0"
    }
    "#);
}

#[test]
fn planned_maintenance_is_announced_as_aws_health_does_and_only_while_it_lies_ahead() {
    let event = event(Item::Maintenance, SCHEDULED);
    assert_eq!((event.kind, event.deadline), (Kind::ScheduledMaintenance, "2019-01-21T09:00:43Z".parse().ok()));
    insta::assert_json_snapshot!((&event.id, &event.envelope), @r#"
    [
      "arn:aws:health:us-west-2::event/EC2/AWS_EC2_SYSTEM_REBOOT_MAINTENANCE_SCHEDULED/AWS_EC2_SYSTEM_REBOOT_MAINTENANCE_SCHEDULED_instance-event-0d59937288b749b32_2019-01-21T09:00:43Z#i-1234567890abcdef0@2019-01-21T09:00:43Z",
      {
        "account": "123456789012",
        "detail": {
          "affectedAccount": "123456789012",
          "affectedEntities": [
            {
              "entityValue": "arn:aws:ec2:us-west-2:123456789012:instance/i-1234567890abcdef0",
              "status": "PENDING"
            }
          ],
          "endTime": "Mon, 21 Jan 2019 09:17:23 GMT",
          "eventArn": "arn:aws:health:us-west-2::event/EC2/AWS_EC2_SYSTEM_REBOOT_MAINTENANCE_SCHEDULED/AWS_EC2_SYSTEM_REBOOT_MAINTENANCE_SCHEDULED_instance-event-0d59937288b749b32_2019-01-21T09:00:43Z",
          "eventDescription": [
            {
              "language": "en_US",
              "latestDescription": "scheduled reboot"
            }
          ],
          "eventRegion": "us-west-2",
          "eventScopeCode": "ACCOUNT_SPECIFIC",
          "eventTypeCategory": "scheduledChange",
          "eventTypeCode": "AWS_EC2_SYSTEM_REBOOT_MAINTENANCE_SCHEDULED",
          "service": "EC2",
          "startTime": "Mon, 21 Jan 2019 09:00:43 GMT",
          "statusCode": "upcoming"
        },
        "detail-type": "AWS Health Event",
        "id": "imds/events/maintenance/scheduled/i-1234567890abcdef0/instance-event-0d59937288b749b32/2019-01-21T09:00:43Z",
        "region": "us-west-2",
        "resources": [
          "arn:aws:ec2:us-west-2:123456789012:instance/i-1234567890abcdef0"
        ],
        "source": "aws.health",
        "time": "2019-01-20T12:00:00Z",
        "version": "0"
      }
    ]
    "#);
    assert_eq!(announced(Item::Maintenance, "[]", &instance(), now()), Ok(Vec::new()));
}

#[test]
fn the_types_of_maintenance_have_the_names_of_aws_health() {
    for (code, expected) in [
        ("instance-reboot", "AWS_EC2_INSTANCE_REBOOT_MAINTENANCE_SCHEDULED"),
        ("system-reboot", "AWS_EC2_SYSTEM_REBOOT_MAINTENANCE_SCHEDULED"),
        ("instance-stop", "AWS_EC2_INSTANCE_STOP_SCHEDULED"),
        ("instance-retirement", "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED"),
    ] {
        assert_eq!(type_code(code), expected);
    }
}

#[test]
fn an_instance_that_hooks_hold_back_is_in_a_lifecycle_action_of_each() {
    let events = held("Terminating:Wait", "Terminated");
    let hooks: Vec<_> = events.iter().map(|event| event.lifecycle_action.as_ref().unwrap().hook.as_str()).collect();
    assert_eq!(hooks, ["drain", "log"]);
    let expected = LifecycleAction {
        group: GroupName::parse("web").unwrap(),
        hook: HookName::parse("drain").unwrap(),
        instance: instance().instance,
        token: None,
        transition: Transition::Terminating,
    };
    assert_eq!((events[0].lifecycle_action.as_ref(), events[0].kind), (Some(&expected), Kind::InstanceTerminating));
    insta::assert_json_snapshot!((&events[0].id, &events[0].envelope), @r#"
    [
      "123456789012/us-west-2/web/drain/i-1234567890abcdef0/autoscaling:EC2_INSTANCE_TERMINATING",
      {
        "account": "123456789012",
        "detail": {
          "AutoScalingGroupName": "web",
          "Destination": "EC2",
          "EC2InstanceId": "i-1234567890abcdef0",
          "LifecycleHookName": "drain",
          "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
          "Origin": "AutoScalingGroup"
        },
        "detail-type": "EC2 Instance-terminate Lifecycle Action",
        "id": "imds/autoscaling/target-lifecycle-state/i-1234567890abcdef0/web/drain/autoscaling:EC2_INSTANCE_TERMINATING",
        "region": "us-west-2",
        "resources": [],
        "source": "aws.autoscaling",
        "time": "2019-01-20T12:00:00Z",
        "version": "0"
      }
    ]
    "#);
}

#[test]
fn which_way_an_instance_goes_is_told_by_where_it_waits_and_where_it_is_going() {
    for (state, target, expected) in [
        ("Terminating:Wait", "Terminated", Kind::InstanceTerminating),
        ("Terminating:Wait", "Warmed:Stopped", Kind::InstanceReturningToWarmPool),
        ("Warmed:Terminating:Wait", "Warmed:Terminated", Kind::WarmInstanceTerminating),
        ("Pending:Wait", "InService", Kind::InstanceLaunching),
        ("Warmed:Pending:Wait", "Warmed:Hibernated", Kind::InstanceEnteringWarmPool),
    ] {
        for event in held(state, target) {
            assert_eq!(event.kind, expected, "{state}, going to {target}");
        }
    }
}

#[test]
fn an_instance_waits_for_its_return_to_the_warm_pool_where_no_hook_prepares_instances() {
    let only = |hook: &str, transition| {
        let hooks = vec![(HookName::parse(hook).unwrap(), transition)];
        let member = Member { hooks, ..member("Warmed:Pending:Wait") };
        match standing("Warmed:Stopped", Some(&member), &instance(), now()).unwrap() {
            Standing::Held(events) => events,
            other => panic!("{other:?}"),
        }
    };
    let [returning] = only("drain", Transition::Terminating).try_into().unwrap();
    assert_eq!(returning.kind, Kind::InstanceReturningToWarmPool);
    let detail = &returning.envelope["detail"];
    assert_eq!((&detail["Origin"], &detail["Destination"]), (&json!("AutoScalingGroup"), &json!("WarmPool")));
    let [new] = only("prepare", Transition::Launching).try_into().unwrap();
    assert_eq!(new.kind, Kind::InstanceEnteringWarmPool);
}

#[test]
fn an_instance_on_its_way_may_still_be_held_back_and_one_that_is_there_may_not() {
    let standing = |state, target| standing(target, Some(&member(state)), &instance(), now()).unwrap();
    for (state, target) in [("InService", "Terminated"), ("Terminating", "Terminated"), ("Pending", "InService")] {
        assert_eq!(standing(state, target), Standing::Moving, "{state}, going to {target}");
    }
    for (state, target) in [
        ("InService", "InService"),
        ("Terminating:Proceed", "Terminated"),
        ("Terminating:Retained", "Terminated"),
        ("Standby", "Standby"),
    ] {
        assert_eq!(standing(state, target), Standing::Arrived, "{state}, going to {target}");
    }
    assert_eq!(super::standing("Detached", None, &instance(), now()), Ok(Standing::Arrived));
}

#[test]
fn a_policy_written_for_eventbridge_takes_what_the_instance_is_told() {
    let held = held("Terminating:Wait", "Terminated").remove(0);
    for (event, pattern) in [
        (
            event(Item::SpotAction, SPOT_ACTION),
            "{ source = [\"aws.ec2\"], detail-type = [\"EC2 Spot Instance Interruption Warning\"], \
             detail.instance-action = [\"stop\"] }",
        ),
        (
            event(Item::Maintenance, SCHEDULED),
            "{ source = [\"aws.health\"], detail.service = [\"EC2\"], detail.eventTypeCategory = [\"scheduledChange\"], \
             detail.eventTypeCode = [{ suffix = \"_SCHEDULED\" }] }",
        ),
        (
            held,
            "{ source = [\"aws.autoscaling\"], detail-type = [\"EC2 Instance-terminate Lifecycle Action\"], \
             detail.AutoScalingGroupName = [{ prefix = \"w\" }], detail.LifecycleHookName = [\"drain\"] }",
        ),
    ] {
        assert!(taken(&event, pattern), "{pattern} does not take {}", event.envelope);
        assert!(!taken(&event, "{ source = [\"somewhere.else\"] }"));
    }
}

#[test]
fn an_announcement_asked_for_again_is_the_same_event_and_its_envelope_says_all_of_it() {
    let later = now() + Duration::from_secs(3600);
    for (item, text) in [(Item::SpotAction, SPOT_ACTION), (Item::Rebalance, REBALANCE), (Item::Maintenance, SCHEDULED)]
    {
        let first = event(item, text);
        let again = announced(item, text, &instance(), later).unwrap().remove(0);
        assert_eq!((&first.id, first.work_item()), (&again.id, again.work_item()));
        let parsed = parse_message(first.envelope.to_string().as_bytes(), None);
        assert_eq!(parsed, Ok(Message::Events(vec![first])), "{}", item.path());
    }
    let again = standing("Terminated", Some(&member("Terminating:Wait")), &instance(), later).unwrap();
    let Standing::Held(again) = again else { panic!("{again:?}") };
    assert_eq!(held("Terminating:Wait", "Terminated")[0].id, again[0].id);
}

#[test]
fn an_announcement_that_is_moved_to_another_time_is_another_event() {
    for (item, text, from, to) in [
        (Item::SpotAction, SPOT_ACTION, "08:22", "08:23"),
        (Item::Rebalance, REBALANCE, "08:22", "08:23"),
        (Item::Maintenance, SCHEDULED, "21 Jan 2019 09:00:43", "22 Jan 2019 09:00:43"),
    ] {
        assert_ne!(event(item, text).id, event(item, &text.replace(from, to)).id, "{}", item.path());
    }
}

#[test]
fn arns_begin_with_the_partition_of_the_region() {
    for (region, expected) in
        [("us-west-2", "arn:aws:"), ("cn-north-1", "arn:aws-cn:"), ("us-gov-east-1", "arn:aws-us-gov:")]
    {
        let region = Region::parse(region).unwrap();
        let instance = Identity { region, ..instance() };
        let event = announced(Item::Rebalance, REBALANCE, &instance, now()).unwrap().remove(0);
        assert!(event.envelope["resources"][0].as_str().unwrap().starts_with(expected), "{}", event.envelope);
    }
}

#[test]
fn what_is_no_announcement_is_an_error_that_says_where_and_what() {
    let error = |item, text: &str| announced(item, text, &instance(), now()).unwrap_err().to_string();
    let errors = [
        error(Item::SpotAction, "<html>"),
        error(Item::SpotAction, "[]"),
        error(Item::SpotAction, r#"{"action": "terminate"}"#),
        error(Item::SpotAction, r#"{"action": 5, "time": "2017-09-18T08:22:00Z"}"#),
        error(Item::Rebalance, r#"{"noticeTime": "soon"}"#),
        error(Item::Maintenance, "{}"),
        error(Item::Maintenance, r#"[{"Code": "system-reboot"}]"#),
        Identity::parse(r#"{"instanceId": "none"}"#).unwrap_err().to_string(),
    ];
    insta::assert_snapshot!(errors.join("\n"), @r#"
    spot/instance-action: not JSON: expected value at line 1 column 1, near `<html>`
    spot/instance-action: expected a JSON object, found an array
    spot/instance-action: time is missing
    spot/instance-action: action: expected a string, found the number 5
    events/recommendations/rebalance: noticeTime: expected a time since 1970, such as 2026-08-27T13:19:03Z, found "soon"
    events/maintenance/scheduled: scheduled: expected an array, found an object
    events/maintenance/scheduled: scheduled[0].EventId is missing
    dynamic/instance-identity/document: instanceId: "none" is not an EC2 instance id (i- and 8 or 17 hexadecimal digits, such as i-0123456789abcdef0)
    "#);
}
