//! What is no mistake, and probably not meant.

use super::*;

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    insta::assert_snapshot!(warnings(&format!(
        "{MODULES}[[handler]]\nname = \"a\"\nmodule = \"a.wasm\"\n\
         event = {{ source = [\"aws.autoscaling\"] }}\n\
         grants.ec2 = {{ allow = [\"read\"], instances = \"any\" }}\n\
         grants.ssh = {{ user = \"u\", key = \"env:K\", host-keys = \"insecure-accept-any\", commands = [[\"ls\"]] }}\n\
         [[handler]]\nname = \"b\"\nmodule = \"b.wasm\"\nevent = {{ source = [\"aws.autoscaling\"] }}\n"
    )), @r#"
    7:9: this takes the lifecycle actions of every hook, other people's among them: name yours with detail.LifecycleHookName = ["…"]
    8:46: this grant reaches every instance there is, not only the event's own
    9:55: any machine that answers at the node's address is taken for the node: prefer "ca:PATH"
    13:9: this takes the lifecycle actions of every hook, other people's among them: name yours with detail.LifecycleHookName = ["…"]
    13:9: no event gets here: handler "a" has the same pattern and comes first
    "#);
    assert_eq!(warnings(&with("")), "");
    let named = format!(
        "{MODULES}[[handler]]\nname = \"a\"\nmodule = \"a.wasm\"\nevent.detail.LifecycleHookName = [\"drain\"]\n"
    );
    assert_eq!(warnings(&named), "");
}

#[test]
fn whoever_refuses_what_is_old_has_to_remember_it() {
    let signed = with("").replace("allow-unsigned = true", &format!("trusted-keys = [{KEY}]"));
    insta::assert_snapshot!(warnings(&signed), @r#"1:1: there is no [ledger]: each process has to find out by itself which versions are old and which plugins crash, so that one which has just started takes an old version; name a place for all of them, [ledger] with store = "s3://BUCKET/PREFIX/""#);
    let pinned = signed.replace("module =", &format!("sha256 = {:?}\nmodule =", "a".repeat(64)));
    assert_eq!(warnings(&pinned), "");
    assert_eq!(warnings(&format!("{signed}[ledger]\nstore = \"s3://nuproj-ecs-state/\"\n")), "");
}

/// The warnings of a handler with this pattern, and the kinds of events it takes.
fn taking(pattern: &str) -> String {
    let text = format!("{MODULES}[[handler]]\nname = \"a\"\nmodule = \"a.wasm\"\n[handler.event]\n{pattern}\n");
    let kinds: Vec<_> = sound(&text).handlers[0].kinds().into_iter().map(crate::event::Kind::as_str).collect();
    format!("{}\ntakes {}", warnings(&text), kinds.join(", ")).trim_start().to_owned()
}

#[test]
fn the_kinds_of_events_that_a_handler_takes() {
    let hook = "detail.LifecycleHookName = [\"drain\"]";
    insta::assert_snapshot!(taking(&format!("source = [\"aws.autoscaling\"]\ndetail.Origin = [\"AutoScalingGroup\"]\n{hook}")), @"takes instance-terminating, instance-returning-to-warm-pool, other");
    insta::assert_snapshot!(taking(&format!("detail-type = [\"EC2 Instance-launch Lifecycle Action\"]\n{hook}")), @"takes instance-launching, instance-entering-warm-pool, instance-leaving-warm-pool");
    insta::assert_snapshot!(taking("source = [{ prefix = \"aws.ec2\" }]\ndetail-type = [{ wildcard = \"*Spot*\" }, { wildcard = \"*Fleet*\" }]"), @"takes spot-interruption");
    insta::assert_snapshot!(taking("\"$or\" = [{ source = [\"aws.health\"] }, { detail-type = [\"EC2 Instance Rebalance Recommendation\"] }]\ndetail.service = [\"EC2\"]"), @"takes rebalance-recommendation, scheduled-maintenance, other");
}

#[test]
fn patterns_that_match_no_known_event_are_warned_of() {
    let misspelt = "source = [\"aws.ec2\"]\ndetail-type = [\"EC2 Spot Interruption Warning\"]";
    insta::assert_snapshot!(taking(misspelt), @r#"
    7:1: Hostler knows no detail-type "EC2 Spot Interruption Warning": did you mean "EC2 Spot Instance Interruption Warning"?
    takes other
    "#);
    let one_of_two = "source = [\"aws.ec2\"]\n        detail-type = [\"EC2 Instance Rebalance Recommendation\", \"EC2 Instance State Change Notification\"]";
    insta::assert_snapshot!(taking(one_of_two), @r#"
    7:1: Hostler knows no detail-type "EC2 Instance State Change Notification": did you mean "EC2 Instance State-change Notification"?
    takes rebalance-recommendation
    "#);
    let elsewhere = "source = [\"aws.autoscaling\"]\ndetail-type = [\"EC2 Spot Instance Interruption Warning\"]";
    insta::assert_snapshot!(taking(elsewhere), @r#"
    7:1: "EC2 Spot Instance Interruption Warning" comes from the source "aws.ec2", which this does not take
    takes other
    "#);
    insta::assert_snapshot!(taking("source = [\"example\"]"), @r#"
    7:1: no event that Hostler knows matches this: any other reaches the handler as kind "other", which names no instance to act on
    takes other
    "#);
    let contradictory = "source = [\"aws.health\"]\ndetail-type = [\"AWS Health Event\"]\ndetail.service = [\"RDS\"]";
    insta::assert_snapshot!(taking(contradictory), @r#"
    7:1: no event that Hostler knows matches this: any other reaches the handler as kind "other", which names no instance to act on
    takes other
    "#);
}

#[test]
fn fields_that_no_event_of_the_detail_type_has_are_warned_of() {
    let of_actions = "source = [\"aws.autoscaling\"]\ndetail-type = [\"EC2 Instance-terminate Lifecycle Action\"]\n";
    let hook = "detail.LifecycleHookName = [\"drain\"]\n";
    insta::assert_snapshot!(taking(&format!("{of_actions}detail.LifecycleHook = [\"drain\"]")), @r#"
    7:1: this takes the lifecycle actions of every hook, other people's among them: name yours with detail.LifecycleHookName = ["…"]
    7:1: Hostler knows no field detail.LifecycleHook of "EC2 Instance-terminate Lifecycle Action": did you mean detail.LifecycleHookName? Where it is missing, nothing matches
    takes instance-terminating, instance-returning-to-warm-pool, warm-instance-terminating
    "#);
    insta::assert_snapshot!(taking(&format!("{of_actions}{hook}\"$or\" = [{{ detail.team = [\"a\"] }}, {{ detail.Origin = [\"EC2\"] }}]")), @r#"
    7:1: Hostler knows no field detail.team of "EC2 Instance-terminate Lifecycle Action": where it is missing, nothing matches
    takes instance-terminating, instance-returning-to-warm-pool, warm-instance-terminating
    "#);
    let two = "source = [\"aws.ec2\"]\ndetail-type = [\"EC2 Instance Rebalance Recommendation\", \"EC2 Instance State-change Notification\"]";
    insta::assert_snapshot!(taking(&format!("{two}\ndetail.stat = [\"running\"]")), @"
    7:1: Hostler knows no field detail.stat of any of these events: did you mean detail.state? Where it is missing, nothing matches
    takes rebalance-recommendation, instance-state-change
    ");
    let said = |pattern: &str| {
        taking(pattern).lines().map(str::to_owned).filter(|line| line.contains("Hostler knows no")).count()
    };
    for sound in [
        format!("{two}\ndetail.state = [\"running\"]"),
        // What else there is to hear of, Hostler does not know.
        format!("source = [\"aws.autoscaling\"]\ndetail.StatusCode = [\"InProgress\"]\n{hook}"),
        "source = [\"aws.ec2\"]\ndetail-type = [\"EC2 Instance State-change Notification\", \"EC2 AMI State Change\"]\n\
         detail.ImageId = [\"ami-1\"]"
            .to_owned(),
        "source = [\"aws.ec2spotfleet\"]\ndetail-type = [\"EC2 Spot Fleet State Change\"]\ndetail.sub-type = [\"active\"]".to_owned(),
        // Anybody may send such events of their own.
        "source = [\"example\"]\ndetail-type = [\"EC2 Instance State Change Notification\"]\ndetail.x = [1]".to_owned(),
    ] {
        assert_eq!(said(&sound), 0, "{sound}");
    }
}

#[test]
fn a_detail_type_that_is_nearly_known_is_warned_of() {
    let pattern = "source = [\"aws.autoscaling\"]\ndetail-type = [\"EC2 Instance Termination Lifecycle Action\"]\n\
                   detail.LifecycleHookName = [\"drain\"]";
    insta::assert_snapshot!(taking(pattern), @r#"
    7:1: Hostler knows no detail-type "EC2 Instance Termination Lifecycle Action": did you mean "EC2 Instance-terminate Lifecycle Action"?
    takes other
    "#);
}

#[test]
fn what_a_queue_will_be_without_one_day_is_warned_of() {
    let url = "url = \"https://sqs.eu-central-1.amazonaws.com/123456789012/hostler\"\n";
    let dead = "dead-letter = \"https://sqs.eu-central-1.amazonaws.com/123456789012/dead\"\n";
    let action = "[[handler]]\nname = \"a\"\nmodule = \"a.wasm\"\nevent.source = [\"aws.autoscaling\"]\n\
                  event.detail.LifecycleHookName = [\"drain\"]\n";
    let of = |sections: &str, handler: &str| warnings(&format!("{LEDGER}{MODULES}{sections}{handler}"));
    let folder = format!("[ledger]\nstore = \"dir:ledger\"\n{MODULES}[queue]\n{url}{dead}[sweep]\n{action}");
    insta::assert_snapshot!(warnings(&folder), @r#"6:1: [queue] with a ledger in a folder, which this machine alone can see: only one agent may take messages from this queue, or two work on one instance; for more of them name a bucket, [ledger] with store = "s3://BUCKET/PREFIX/""#);
    insta::assert_snapshot!(of(&format!("[queue]\n{url}"), action), @r#"
    6:1: there is no [sweep]: EventBridge delivers as well as it can, and an instance whose event is lost waits until its hook times out, unless a host sweeps; one that does is enough
    6:1: [queue] has no dead-letter: a message that is no event is only written to the log, and then deleted; name a queue for such with dead-letter = "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
    "#);
    assert_eq!(of(&format!("[queue]\n{url}{dead}[sweep]\n"), action), "");
    // Nothing waits for what happens to an instance by itself.
    assert_eq!(of(&format!("[queue]\n{url}{dead}"), HANDLER), "");
    // An agent on a node hears of its own end from the node.
    assert_eq!(of("[imds]\n", action), "");
}

#[test]
fn commands_and_addresses_that_are_probably_not_meant_are_warned_of() {
    let text = format!(
        "{MODULES}[[handler]]\nname = \"a\"\nmodule = \"a.wasm\"\nevent.source = [\"aws.ec2\"]\n[handler.grants.ssh]\nuser = \"u\"\n\
         key = \"env:K\"\nhost-keys = \"console\"\nloopback = true\n\
         commands = [[\"sudo\", \"systemctl\", \"**\"], [\"ls\", \"/tmp/*\"], [\"docker\", \"ps\", \"**\"]]\n"
    );
    insta::assert_snapshot!(warnings(&text), @r#"
    12:12: where EC2 gives a node an address of the loopback interface, which it never does itself, commands go to the machine that Hostler runs on: leave it out, except in tests against an emulator
    13:12: ["sudo", "systemctl", "**"] runs as root with any options the plugin thinks of: write the arguments, with * for each that varies
    13:12: "/tmp/*" means exactly that: a star stands for an argument only where it is all of it
    "#);
}
