use proptest::prelude::*;

use super::*;
use crate::policy::{
    AgentPolicy, ClientKey, ImdsPolicy, LedgerPolicy, Location, OnFailure, QueuePolicy, SweepPolicy, schema,
};

const EXAMPLE: &str = include_str!("../../../../deploy/hostler.toml");
const SCHEMA: &str = include_str!("../../../../deploy/hostler.schema.json");
const AGENT: &str = include_str!("../../../../deploy/agent.toml");
const SERVICE: &str = include_str!("../../../../deploy/systemd/hostler-agent.service");

const MODULES: &str = "[modules]\nsource = \"dir:dist\"\nallow-unsigned = true\n";
const LEDGER: &str = "[ledger]\nstore = \"s3://bucket/hostler/\"\n";
const HANDLER: &str = "[[handler]]\nname = \"a\"\nmodule = \"a.wasm\"\nevent.source = [\"aws.ec2\"]\n\
                       event.detail-type = [\"EC2 Instance State-change Notification\"]\n";

fn sound(text: &str) -> Policy {
    Policy::parse("hostler.toml", text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// The mistakes, one a line, without the source.
fn mistakes(text: &str) -> String {
    let found = Policy::parse("hostler.toml", text).expect_err("mistakes");
    let line = |m: &crate::policy::Mistake| format!("{}:{}: {}", m.line, m.column, m.message);
    found.mistakes.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn warnings(text: &str) -> String {
    let line = |m: &crate::policy::Mistake| format!("{}:{}: {}", m.line, m.column, m.message);
    sound(text).warnings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A policy that has `rest` in its only handler.
fn with(rest: &str) -> String {
    format!("{MODULES}{HANDLER}{rest}")
}

#[test]
fn the_example_is_sound_and_says_what_it_shows() {
    let policy = sound(EXAMPLE);
    assert_eq!(policy.warnings, []);
    assert_eq!(
        policy.modules.source,
        Location::S3 { bucket: "nuproj-ecs-lambda".to_owned(), prefix: "eks/handlers/".to_owned() }
    );
    let handler = &policy.handlers[0];
    assert_eq!((handler.name.as_str(), handler.module.as_str()), ("asg-terminate", "asg-lifecycle.wasm"));
    assert!(handler.names_hook("drain") && !handler.names_hook("nuproj-drain"));
    assert_eq!(handler.finish.on_failure, Some(OnFailure::Abandon));
    assert_eq!(handler.config["cluster"], "nuproj-prod");
    let ssh = handler.grants.ssh.as_ref().unwrap();
    assert_eq!(ssh.key, ClientKey::File("/run/keys/nuproj".into()));
    assert_eq!(ssh.commands[1].to_string(), r#"["docker", "ps", "**"]"#);
    assert_eq!(policy.handlers[1].finish.deadline, Duration::from_secs(120));
    assert_eq!(policy.digest.len(), 64);
}

#[test]
fn the_example_of_an_agent_is_sound_and_fits_its_service() {
    let policy = sound(AGENT);
    assert_eq!(policy.warnings, []);
    assert_eq!(policy.imds, Some(ImdsPolicy { poll: Duration::from_secs(2) }));
    let setting = |name| SERVICE.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    let folder = format!("/var/lib/{}", setting("StateDirectory="));
    assert_eq!(policy.ledger.map(|ledger| ledger.store), Some(Location::Dir(folder.into())));
    let stop = humantime::parse_duration(setting("TimeoutStopSec=")).unwrap();
    assert!(stop > policy.agent.shutdown, "systemd kills after {stop:?} what may take {:?}", policy.agent.shutdown);
}

#[test]
fn the_schema_knows_no_null_as_toml_does_not() {
    assert!(!SCHEMA.contains("\"null\"") && SCHEMA.contains("\"required\""));
}

#[test]
fn the_schema_in_deploy_is_current() {
    let current = format!("{:#}\n", schema());
    assert!(SCHEMA == current, "write the output of `hostler policy schema` to deploy/hostler.schema.json:\n{current}");
}

#[test]
fn what_is_not_written_has_its_default() {
    let policy =
        sound(&with("grants.ssh = { user = \"u\", key = \"env:K\", host-keys = \"console\", commands = [[\"ls\"]] }"));
    let handler = &policy.handlers[0];
    insta::assert_debug_snapshot!((&policy.modules, &handler.finish, &handler.limits, &handler.grants.ssh), @r#"
    (
        ModulesPolicy {
            source: Dir(
                "dist",
            ),
            refresh: 10s,
            max_size: 33554432,
            allow_unsigned: true,
        },
        Finish {
            deadline: 3600s,
            on_failure: None,
            max_attempts: 5,
        },
        Limits {
            cpu: 2s,
            wall: 60s,
            memory: 67108864,
            host_calls: 500,
            log: 262144,
        },
        Some(
            SshGrant {
                user: "u",
                key: Env(
                    "K",
                ),
                host_keys: Console,
                commands: [
                    CommandPattern {
                        arguments: [
                            Literal(
                                "ls",
                            ),
                        ],
                    },
                ],
                port: 22,
                connect_timeout: 10s,
                command_timeout: 60s,
                max_output: 65536,
                instances: Event,
                line: 9,
            },
        ),
    )
    "#);
    assert!(handler.grants.ecs.is_none() && handler.grants.ec2.is_none() && handler.grants.autoscaling.is_none());
    assert_eq!(sound(&with("limits.wall = \"1s\"")).handlers[0].limits.cpu, Duration::from_secs(1));
}

#[test]
fn every_mistake_is_reported_at_once_in_the_order_of_the_file() {
    let text = "\
[modules]
sauce = \"dir:dist\"
refresh = 10
allow-unsigned = \"yes\"

[[handler]]
name = \"drain node\"
module = \"/drain.wasm\"
colour = \"red\"
[handler.event]
sources = [\"aws.ec2\"]
detail.state = \"running\"
[handler.limits]
cpu = \"2\"
memory = \"64\"
host_calls = 5
[handler.finish]
on-failure = \"abort\"
max-attempts = 0
[handler.grants]
ecs = { clusters = [\"a b\", 5], allow = [\"read\", \"drian\"], instances = \"all\" }
ssh = { user = \"ec2-user\", key = \"/key\", commands = [\"docker ps\", [\"*\"], []] }
[handler.config]
retries = 5

[[handler]]
module = \"other.wasm\"
";
    let found = Policy::parse("hostler.toml", text).unwrap_err();
    insta::assert_snapshot!(found, @r#"
    hostler.toml:2:1: unknown key "sauce", did you mean "source"? (allowed here: source, refresh, max-size, trusted-keys, allow-unsigned)
      2 | sauce = "dir:dist"
        | ^
    hostler.toml:3:11: the bare number 10 is not a time: give it a unit, such as "10s"
      3 | refresh = 10
        |           ^
    hostler.toml:4:18: expected true or false, without quotes, found string "yes"
      4 | allow-unsigned = "yes"
        |                  ^
    hostler.toml:7:8: "drain node" is not a handler's name: use 1 to 64 letters, digits, - and _
      7 | name = "drain node"
        |        ^
    hostler.toml:8:10: "/drain.wasm" is not the name of a module: it is looked up below modules.source, so it must not begin with /
      8 | module = "/drain.wasm"
        |          ^
    hostler.toml:9:1: unknown key "colour" (allowed here: name, module, event, finish, limits, grants, config)
      9 | colour = "red"
        | ^
    hostler.toml:11:1: no event has a field "sources": did you mean "source"?
      11 | sources = ["aws.ec2"]
         | ^
    hostler.toml:12:16: a pattern lists what a field may be: write state = ["running"]
      12 | detail.state = "running"
         |                ^
    hostler.toml:14:7: "2" is not a time: write a number with its unit, such as "60s", "500ms" or "1h"
      14 | cpu = "2"
         |       ^
    hostler.toml:15:10: "64" is not a size: write a number with its unit, such as "64MiB" or "500kB"
      15 | memory = "64"
         |          ^
    hostler.toml:16:1: unknown key "host_calls", did you mean "host-calls"? (allowed here: cpu, wall, memory, host-calls, log)
      16 | host_calls = 5
         | ^
    hostler.toml:18:14: unknown value "abort" (allowed here: continue, abandon, leave)
      18 | on-failure = "abort"
         |              ^
    hostler.toml:19:16: max-attempts is 0, but has to be from 1 to 100
      19 | max-attempts = 0
         |                ^
    hostler.toml:21:21: "a b" is not the name of a cluster: use letters, digits, - and _, and * for any run of them
      21 | ecs = { clusters = ["a b", 5], allow = ["read", "drian"], instances = "all" }
         |                     ^
    hostler.toml:21:28: expected a text in quotes, found integer 5
      21 | ecs = { clusters = ["a b", 5], allow = ["read", "drian"], instances = "all" }
         |                            ^
    hostler.toml:21:49: unknown value "drian", did you mean "drain"? (allowed here: read, drain, stop-task)
      21 | ecs = { clusters = ["a b", 5], allow = ["read", "drian"], instances = "all" }
         |                                                 ^
    hostler.toml:21:71: unknown value "all" (allowed here: event, any)
      21 | ecs = { clusters = ["a b", 5], allow = ["read", "drian"], instances = "all" }
         |                                                                       ^
    hostler.toml:22:7: host-keys is missing: write host-keys = "ca:PATH", "known-hosts:PATH" or "console"
      22 | ssh = { user = "ec2-user", key = "/key", commands = ["docker ps", ["*"], []] }
         |       ^
    hostler.toml:22:34: "/key" is not a place for a key: write "file:PATH", "env:NAME", "secretsmanager:NAME-OR-ARN" or "instance-connect"
      22 | ssh = { user = "ec2-user", key = "/key", commands = ["docker ps", ["*"], []] }
         |                                  ^
    hostler.toml:22:54: a command is a list of arguments, not a line for a shell: write ["docker", "ps"]
      22 | ssh = { user = "ec2-user", key = "/key", commands = ["docker ps", ["*"], []] }
         |                                                      ^
    hostler.toml:22:67: "*" as the program would allow any: name the program
      22 | ssh = { user = "ec2-user", key = "/key", commands = ["docker ps", ["*"], []] }
         |                                                                   ^
    hostler.toml:22:74: an empty command: name the program first, as in ["uptime"]
      22 | ssh = { user = "ec2-user", key = "/key", commands = ["docker ps", ["*"], []] }
         |                                                                          ^
    hostler.toml:24:11: settings are texts: put it in quotes, "5"
      24 | retries = 5
         |           ^
    hostler.toml:26:1: name is missing: write name = "…", unique in the file
      26 | [[handler]]
         | ^
    hostler.toml:26:1: event is missing: write [handler.event] with source = ["aws.autoscaling"] below it
      26 | [[handler]]
         | ^
    "#);
}

#[test]
fn what_was_wrong_is_not_reported_missing_too() {
    insta::assert_snapshot!(mistakes(&format!("{MODULES}[[handler]]\nname = 5\nmodul = \"a.wasm\"\nevent = 7\n")), @r#"
    5:8: expected a text in quotes, found integer 5
    6:1: unknown key "modul", did you mean "module"? (allowed here: name, module, event, finish, limits, grants, config)
    7:9: a pattern is a table, such as [handler.event] with source = ["aws.ec2"] below it
    "#);
    insta::assert_snapshot!(mistakes(&with("grants.ecs = { clusters = [5], allow = 7 }")), @r#"
    9:28: expected a text in quotes, found integer 5
    9:40: expected an array, found integer 7
    "#);
    insta::assert_snapshot!(mistakes(&with("grants.ssh = { user = \"u\", key = \"env:K\", host-keys = \"console\", commands = [[5]] }")), @"9:79: expected a string, found integer 5");
}

#[test]
fn what_is_missing_is_named_with_an_example() {
    insta::assert_snapshot!(mistakes(""), @r#"
    1:1: modules is missing: write [modules] with source = "s3://BUCKET/PREFIX/" or "dir:PATH" below it
    1:1: handler is missing: write at least one [[handler]]
    "#);
    insta::assert_snapshot!(mistakes("[modules]\n[[handler]]\n"), @r#"
    1:1: source is missing: write source = "s3://BUCKET/PREFIX/" or "dir:PATH"
    1:1: allow-unsigned is missing: write allow-unsigned = true, since this version verifies no signatures, so it takes plugins from whoever can write to the source
    2:1: name is missing: write name = "…", unique in the file
    2:1: module is missing: write module = "….wasm"
    2:1: event is missing: write [handler.event] with source = ["aws.autoscaling"] below it
    "#);
    insta::assert_snapshot!(mistakes(&with("[handler.grants]\necs = {}\nautoscaling = {}\nec2 = {}\nssh = {}")), @r#"
    10:7: clusters is missing: write clusters = ["…"], by name, with * for any run
    10:7: allow is missing: write allow = ["read"], with "drain" and "stop-task" where needed
    11:15: groups is missing: write groups = ["…"], by name, with * for any run
    11:15: allow is missing: write allow = ["read"], with "protect" where needed
    12:7: allow is missing: write allow = ["read"]
    13:7: user is missing: write user = "ec2-user"
    13:7: key is missing: write key = "file:PATH", "env:NAME", "secretsmanager:NAME" or "instance-connect"
    13:7: host-keys is missing: write host-keys = "ca:PATH", "known-hosts:PATH" or "console"
    13:7: commands is missing: write commands = [["program", "argument"]]
    "#);
}

#[test]
fn unsigned_plugins_have_to_be_accepted_in_writing() {
    let keys = "trusted-keys = [\"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"]";
    insta::assert_snapshot!(mistakes(&format!("[modules]\nsource = \"dir:dist\"\n{keys}\n{HANDLER}")), @"1:1: allow-unsigned is missing: write allow-unsigned = true, since this version verifies no signatures, so it takes plugins from whoever can write to the source");
    insta::assert_snapshot!(mistakes(&format!("[modules]\nsource = \"dir:dist\"\nallow-unsigned = false\n{HANDLER}")), @"3:18: this version verifies no signatures, so it takes plugins from whoever can write to the source: write allow-unsigned = true to accept that");
    insta::assert_snapshot!(mistakes(&format!("[modules]\nsource = \"dir:dist\"\nallow-unsigned = true\ntrusted-keys = [\"x\"]\n{HANDLER}")), @"4:17: not a minisign public key: write the second line of the .pub file, 56 characters that begin with RW");
}

#[test]
fn bounds_are_kept_and_named() {
    let text = format!(
        "[modules]\nsource = \"dir:dist\"\nallow-unsigned = true\nrefresh = \"2d\"\nmax-size = \"1GiB\"\n{HANDLER}\
         [handler.limits]\ncpu = \"0s\"\nwall = \"16m\"\nmemory = \"2GiB\"\nhost-calls = 100001\nlog = \"17MiB\"\n\
         [handler.finish]\ndeadline = \"49h\"\nmax-attempts = -1\n\
         [handler.grants.ssh]\nuser = \"u\"\nkey = \"env:K\"\nhost-keys = \"console\"\ncommands = [[\"ls\"]]\n\
         port = 0\nconnect-timeout = \"0s\"\ncommand-timeout = \"1h\"\nmax-output = \"2MiB\"\n"
    );
    insta::assert_snapshot!(mistakes(&text), @r#"
    4:11: refresh is 2days, but has to be from 0s to 1day
    5:12: max-size is 1GiB, but has to be from 1KiB to 512MiB
    12:7: cpu is 0s, but has to be from 1ms to 15m
    13:8: wall is 16m, but has to be from 1s to 15m
    14:10: memory is 2GiB, but has to be from 1MiB to 1GiB
    15:14: host-calls is 100001, but has to be from 1 to 100000
    16:7: log is 17MiB, but has to be from 0B to 16MiB
    18:12: deadline is 2days 1h, but has to be from 1s to 2days
    19:16: max-attempts is -1, but has to be from 1 to 100
    25:8: port is 0, but has to be from 1 to 65535
    26:19: connect-timeout is 0s, but has to be from 1s to 5m
    27:19: command-timeout is 1h, but has to be from 1s to 15m
    28:14: max-output is 2MiB, but has to be from 1B to 1MiB
    "#);
    insta::assert_snapshot!(mistakes(&with("limits = { cpu = \"3s\", wall = \"2s\" }")), @r#"9:18: cpu is 3s, which an attempt cut short after 2s (wall) can never use: write at most "2s""#);
    insta::assert_snapshot!(mistakes(&with("limits = { cpu = \"61s\" }")), @r#"9:18: cpu is 1m 1s, which an attempt cut short after 1m (wall) can never use: write at most "1m""#);
}

#[test]
fn lists_that_grant_nothing_are_mistakes() {
    insta::assert_snapshot!(mistakes(&with(
        "[handler.grants]\necs = { clusters = [], allow = [] }\nautoscaling = { groups = [\"\"], allow = [] }\nec2 = { allow = [] }\n\
         ssh = { user = \"u\", key = \"env:K\", host-keys = \"console\", commands = [] }"
    )), @r#"
    10:20: an empty list matches nothing: name at least one, or write "*" for all
    10:32: allow is empty, so the grant allows nothing: name "read", "drain" or "stop-task", or leave the grant out
    11:27: "" is not the name of an Auto Scaling group: use 1 to 255 characters
    11:40: allow is empty, so the grant allows nothing: name "read" or "protect", or leave the grant out
    12:17: allow is empty, so the grant allows nothing: name "read", or leave the grant out
    13:70: commands is empty, so the grant allows nothing: name ["program", "argument"], or leave the grant out
    "#);
}

#[test]
fn tables_and_arrays_are_not_taken_for_each_other() {
    insta::assert_snapshot!(mistakes("[modules]\nsource = \"dir:dist\"\nallow-unsigned = true\n[handler]\nname = \"a\"\n"), @"4:1: expected double brackets, [[…]], since there can be several of these, found a table");
    insta::assert_snapshot!(mistakes(&format!("[[modules]]\nsource = \"dir:dist\"\n{HANDLER}")), @"1:1: expected a table, found an array");
    insta::assert_snapshot!(mistakes(&with("finish = [\"1h\", \"abandon\", 5]\nconfig = [\"a\"]\ngrants = 5")), @r#"
    9:10: expected a table, found an array
    10:10: expected a table, found an array
    11:10: expected a table, found integer 5
    "#);
    insta::assert_snapshot!(mistakes(&with("[handler.config]\na = true\nb = 1.5\nc = [1]\nd = { x = \"y\" }")), @r#"
    10:5: settings are texts: put it in quotes, "true"
    11:5: settings are texts: put it in quotes, "1.5"
    12:5: expected a text in quotes, since settings are texts, found an array
    13:5: expected a text in quotes, since settings are texts, found a table
    "#);
}

#[test]
fn names_are_unique() {
    insta::assert_snapshot!(mistakes(&format!("{MODULES}{HANDLER}{HANDLER}")), @"10:8: the handler on line 5 has this name too: names are unique");
}

#[test]
fn what_is_not_toml_is_located() {
    insta::assert_snapshot!(mistakes("[modules\nsource = \n[[handler]]\nname = 'a\n"), @r#"
    1:9: not TOML: unclosed table, expected `]`
    4:10: not TOML: invalid literal string, expected `'`
    "#);
    insta::assert_snapshot!(mistakes("[modules]\nsource = \"dir:a\"\nsource = \"dir:b\"\n"), @"3:1: not TOML: duplicate key");
    assert!(mistakes("\0").contains("not TOML"));
}

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
fn a_text_of_nothing_but_mistakes_is_read_in_bounded_time() {
    let keys: String = (0..20_000).map(|index| format!("key-{index} = {index}\n")).collect();
    let found = Policy::parse("hostler.toml", &keys).unwrap_err();
    assert_eq!(found.mistakes.len(), 101);
    assert!(found.mistakes[100].message.contains("mend these first"), "{:?}", found.mistakes[100]);
}

#[test]
fn the_first_handler_that_matches_takes_the_event() {
    use crate::event::{Event, Kind};
    use crate::ports::{AccountId, Region};
    let event = |detail_type: &str| Event {
        id: "1".to_owned(),
        kind: Kind::Other,
        source: "aws.ec2".to_owned(),
        detail_type: detail_type.to_owned(),
        account: AccountId::parse("123456789012").unwrap(),
        region: Region::parse("eu-central-1").unwrap(),
        time: jiff::Timestamp::UNIX_EPOCH,
        instance: None,
        group: None,
        deadline: None,
        lifecycle_action: None,
        envelope: serde_json::json!({ "source": "aws.ec2", "detail-type": detail_type }),
    };
    let policy = sound(&format!(
        "{MODULES}[[handler]]\nname = \"x\"\nmodule = \"a.wasm\"\nevent.detail-type = [\"x\"]\n\
         [[handler]]\nname = \"rest\"\nmodule = \"a.wasm\"\nevent.detail-type = [\"x\", \"y\"]\n"
    ));
    let route = |detail_type| policy.route(&event(detail_type)).map(|handler| handler.name.as_str());
    assert_eq!((route("x"), route("y"), route("z")), (Some("x"), Some("rest"), None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Cut or bent anywhere, the example is either sound or explained; never a panic, never a mistake without a message.
    #[test]
    fn a_damaged_policy_is_explained(at in 0..EXAMPLE.len(), cut in 0_usize..40, put in "[\\[\\]{}\"'=.,#0-9a-z \n]{0,6}") {
        let end = (at + cut).min(EXAMPLE.len());
        let damaged = format!("{}{put}{}", &EXAMPLE[..at], &EXAMPLE[end..]);
        if let Err(found) = Policy::parse("hostler.toml", &damaged) {
            prop_assert!(!found.mistakes.is_empty());
            prop_assert!(found.mistakes.iter().all(|mistake| !mistake.message.is_empty() && mistake.line > 0));
        }
    }
}

#[test]
fn recordings_have_a_place_as_modules_do() {
    assert_eq!(sound(&with("")).recordings, None);
    let section = "[recordings]\nstore = \"dir:/var/lib/hostler/recordings\"\n";
    let folder = Location::Dir("/var/lib/hostler/recordings".into());
    assert_eq!(sound(&format!("{section}{MODULES}{HANDLER}")).recordings, Some(folder));
    insta::assert_snapshot!(mistakes(&format!("[recordings]\n{MODULES}{HANDLER}")), @r#"1:1: store is missing: write store = "s3://BUCKET/PREFIX/" or "dir:PATH""#);
    insta::assert_snapshot!(mistakes(&format!("[recordings]\nstore = \"/x\"\nkeep = \"7d\"\n{MODULES}{HANDLER}")), @r#"
    2:9: "/x" is not a place: write "s3://BUCKET/PREFIX/" or "dir:PATH"
    3:1: unknown key "keep" (allowed here: store)
    "#);
}

#[test]
fn a_ledger_has_a_place_and_a_memory() {
    let of = |ledger: &str| format!("[ledger]\n{ledger}{MODULES}{HANDLER}");
    assert_eq!(sound(&with("")).ledger, None);
    let store = Location::S3 { bucket: "bucket".to_owned(), prefix: "hostler/".to_owned() };
    let ledger = sound(&of("store = \"s3://bucket/hostler/\"\n")).ledger;
    assert_eq!(ledger, Some(LedgerPolicy { store, keep: Duration::from_secs(7 * 86_400) }));
    assert_eq!(warnings(&of("store = \"dir:ledger\"\n")), "");
    let ledger = sound(&of("store = \"dir:ledger\"\nkeep = \"1h\"\n")).ledger.unwrap();
    assert_eq!((ledger.store, ledger.keep), (Location::Dir("ledger".into()), Duration::from_secs(3600)));
    insta::assert_snapshot!(mistakes(&of("keep = \"59m\"\n")), @r#"
    1:1: store is missing: write store = "s3://BUCKET/PREFIX/" or "dir:PATH"
    2:8: keep is 59m, but has to be from 1h to 365days
    "#);
    insta::assert_snapshot!(mistakes(&of("store = \"/var/lib\"\nkeep = \"366d\"\n")), @r#"
    2:9: "/var/lib" is not a place: write "s3://BUCKET/PREFIX/" or "dir:PATH"
    3:8: keep is 366days, but has to be from 1h to 365days
    "#);
}

#[test]
fn a_queue_is_named_by_its_url() {
    let of = |queue: &str| format!("[queue]\n{queue}\n{LEDGER}{MODULES}{HANDLER}");
    let url = "https://sqs.eu-central-1.amazonaws.com/123456789012/hostler";
    assert_eq!(sound(&with("")).queue, None);
    let queue = sound(&of(&format!("url = \"{url}\""))).queue;
    assert_eq!(queue, Some(QueuePolicy { url: url.to_owned(), dead_letter: None, concurrency: 16 }));
    let local = "http://127.0.0.1:4566/000000000000/hostler";
    let queue = sound(&of(&format!("url = \"{local}\"\ndead-letter = \"{local}-dead\"\nconcurrency = 1000"))).queue;
    let dead_letter = Some(format!("{local}-dead"));
    assert_eq!(queue, Some(QueuePolicy { url: local.to_owned(), dead_letter, concurrency: 1_000 }));

    insta::assert_snapshot!(mistakes(&of("concurrency = 0")), @r#"
    1:1: url is missing: write url = "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
    2:15: concurrency is 0, but has to be from 1 to 1000
    "#);
    insta::assert_snapshot!(mistakes(&of("url = \"hostler\"")), @r#"2:7: "hostler" is not the URL of a queue: write "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME", which is what SQS calls QueueUrl"#);
    insta::assert_snapshot!(mistakes(&of(&format!("url = \"{url}.fifo\""))), @r#"2:7: "https://sqs.eu-central-1.amazonaws.com/123456789012/hostler.fifo" is not the URL of a queue: it is a FIFO queue, in which one instance that waits holds up all behind it; use a standard queue"#);
    insta::assert_snapshot!(mistakes(&of("url = \"http://127.0.0.1.example.com/123456789012/hostler\"")), @r#"2:7: "http://127.0.0.1.example.com/123456789012/hostler" is not the URL of a queue: messages go over https, or over http to 127.0.0.1"#);
    insta::assert_snapshot!(mistakes(&of(&format!("url = \"{url}\"\ndead-letter = \"{url}\""))), @"3:15: dead-letter is the queue itself, so that what nobody can work on comes back: name another queue");
    for bad in [
        "https:///123456789012/q",
        "https://sqs/12345678901/q",
        "https://sqs/123456789012/",
        "https://sqs/123456789012/a/b",
        "https://user@sqs/123456789012/q",
        "arn:aws:sqs:eu-central-1:123456789012:q",
        "https://sqs/123456789012/q?x",
    ] {
        assert!(mistakes(&of(&format!("url = \"{bad}\""))).contains("is not the URL of a queue"), "{bad}");
    }
}

#[test]
fn an_agent_shuts_down_in_time_and_answers_nobody_from_elsewhere() {
    let of = |agent: &str| format!("[agent]\n{agent}\n{MODULES}{HANDLER}");
    let listen = |address: &str| address.parse::<std::net::SocketAddr>().unwrap();
    let usual = AgentPolicy { shutdown: Duration::from_secs(20), listen: listen("127.0.0.1:9808") };
    assert_eq!(sound(&with("")).agent, usual);
    assert_eq!(sound(&of("")).agent, usual);
    let agent = sound(&of("shutdown = \"15m\"\nlisten = \"[::1]:0\"")).agent;
    assert_eq!(agent, AgentPolicy { shutdown: Duration::from_secs(900), listen: listen("[::1]:0") });
    insta::assert_snapshot!(mistakes(&of("shutdown = \"0s\"\nlisten = \"0.0.0.0:9808\"")), @r#"
    2:12: shutdown is 0s, but has to be from 1s to 15m
    3:10: "0.0.0.0:9808" can be reached from elsewhere, and the agent answers whoever asks: write "127.0.0.1:9808", and put a proxy in front of it that knows who may ask
    "#);
    insta::assert_snapshot!(mistakes(&of("listen = \"localhost:9808\"")), @r#"2:10: "localhost:9808" is not an address with a port: write "127.0.0.1:PORT" or "[::1]:PORT""#);
    insta::assert_snapshot!(mistakes(&of("listen = 9808")), @"2:10: expected a string, found integer 9808");
}

#[test]
fn metadata_is_asked_every_few_seconds() {
    let of = |imds: &str| format!("[imds]\n{imds}\n{LEDGER}{MODULES}{HANDLER}");
    assert_eq!(sound(&with("")).imds, None);
    assert_eq!(sound(&of("")).imds, Some(ImdsPolicy { poll: Duration::from_secs(2) }));
    assert_eq!(sound(&of("poll = \"1m\"")).imds, Some(ImdsPolicy { poll: Duration::from_secs(60) }));
    insta::assert_snapshot!(mistakes(&of("poll = \"500ms\"")), @"2:8: poll is 500ms, but has to be from 1s to 1m");
}

#[test]
fn a_sweep_asks_a_ledger() {
    let of = |sections: &str| format!("{sections}\n{MODULES}{HANDLER}");
    let ledger = "[ledger]\nstore = \"dir:ledger\"";
    assert_eq!(sound(&of(ledger)).sweep, None);
    assert_eq!(sound(&of(&format!("[sweep]\n{ledger}"))).sweep, Some(SweepPolicy { every: Duration::from_secs(60) }));
    let often = sound(&of(&format!("[sweep]\nevery = \"10s\"\n{ledger}"))).sweep;
    assert_eq!(often, Some(SweepPolicy { every: Duration::from_secs(10) }));
    insta::assert_snapshot!(mistakes(&of("[sweep]\nevery = \"2h\"")), @r#"
    1:1: ledger is missing: write [ledger] with store = "s3://BUCKET/PREFIX/" or "dir:PATH" below it, since a sweep asks the ledger which instances are being worked on
    2:9: every is 2h, but has to be from 10s to 1h
    "#);
    // A ledger that is there and wrong is not also missing.
    insta::assert_snapshot!(mistakes(&of("ledger = \"dir:ledger\"\n[sweep]")), @r#"1:10: expected a table, found string "dir:ledger""#);
}

#[test]
fn what_outlives_a_host_needs_a_ledger() {
    let queue = "[queue]\nurl = \"https://sqs.eu-central-1.amazonaws.com/123456789012/hostler\"\n";
    insta::assert_snapshot!(mistakes(&format!("{queue}{MODULES}{HANDLER}")), @r#"1:1: ledger is missing: write [ledger] with store = "s3://BUCKET/PREFIX/" or "dir:PATH" below it, since a message that comes again finds in the ledger what was done for it"#);
    insta::assert_snapshot!(mistakes(&format!("[imds]\n{MODULES}{HANDLER}")), @r#"1:1: ledger is missing: write [ledger] with store = "s3://BUCKET/PREFIX/" or "dir:PATH" below it, since an agent that starts again finds in the ledger what was under way on its instance"#);
    // Whatever needs it, it is missing once.
    let all = format!("{queue}[imds]\n[sweep]\n{MODULES}{HANDLER}");
    insta::assert_snapshot!(mistakes(&all), @r#"1:1: ledger is missing: write [ledger] with store = "s3://BUCKET/PREFIX/" or "dir:PATH" below it, since a sweep asks the ledger which instances are being worked on"#);
}

#[test]
fn nodes_with_ledgers_of_their_own_do_not_sweep_for_all() {
    let of = |sections: &str, store: &str| format!("{sections}[ledger]\nstore = \"{store}\"\n{MODULES}{HANDLER}");
    insta::assert_snapshot!(mistakes(&of("[imds]\n[sweep]\n", "dir:ledger")), @r#"2:1: [sweep] beside [imds], with a ledger in a folder: each node would take every instance that waits into a ledger of its own; write store = "s3://BUCKET/PREFIX/" in [ledger], or sweep from one host that has no [imds]"#);
    assert!(sound(&of("[imds]\n[sweep]\n", "s3://bucket/hostler/")).sweep.is_some());
    assert!(sound(&of("[sweep]\n", "dir:ledger")).sweep.is_some());
    assert!(sound(&of("[imds]\n", "dir:ledger")).imds.is_some());
}
