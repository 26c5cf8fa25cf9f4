mod host;
mod trust;
mod warnings;

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
            trust: Trust {
                keys: [],
                of_modules: {},
                revoked: [],
                unsigned: true,
            },
            rollback_after: Some(
                3,
            ),
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
            log_lines: 1000,
            ssh: 16777216,
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
                loopback: false,
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
    hostler.toml:1:1: no plugin can be accepted: name who may sign them, trusted-keys = ["RW…"] (`hostler keygen` makes a key), or write allow-unsigned = true to take them from whoever can write to the source
      1 | [modules]
        | ^
    hostler.toml:2:1: unknown key "sauce", did you mean "source"? (allowed here: source, refresh, max-size, trusted-keys, revoked-keys, allow-unsigned, rollback-after)
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
    hostler.toml:9:1: unknown key "colour" (allowed here: name, module, sha256, version-id, trusted-keys, event, finish, limits, grants, config)
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
    hostler.toml:16:1: unknown key "host_calls", did you mean "host-calls"? (allowed here: cpu, wall, memory, host-calls, log, log-lines, ssh)
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
    6:1: unknown key "modul", did you mean "module"? (allowed here: name, module, sha256, version-id, trusted-keys, event, finish, limits, grants, config)
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
    1:1: no plugin can be accepted: name who may sign them, trusted-keys = ["RW…"] (`hostler keygen` makes a key), or write allow-unsigned = true to take them from whoever can write to the source
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

/// A public key of minisign's.
const KEY: &str = "\"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"";

#[test]
fn a_handler_is_pinned_once_and_to_what_its_source_has() {
    let digest = "a".repeat(64);
    let pinned = |pin: &str| with(pin);
    assert_eq!(sound(&pinned(&format!("sha256 = \"{digest}\""))).handlers[0].pin, Some(Pin::Sha256(digest.clone())));
    insta::assert_snapshot!(mistakes(&pinned("sha256 = \"A0\"")), @"9:10: not a SHA-256: write the 64 digits 0-9 and a-f that sha256sum prints, and the log has as `module`");
    insta::assert_snapshot!(mistakes(&pinned("version-id = \"v1\"")), @r#"9:14: modules come from a folder, which has no versions: pin the handler with sha256 = "…""#);
    let in_bucket =
        pinned(&format!("sha256 = \"{digest}\"\nversion-id = \"v1\"")).replace("dir:dist", "s3://nuproj-modules/");
    insta::assert_snapshot!(mistakes(&in_bucket), @"10:14: the handler is pinned already, with sha256 on line 9: leave one of them out");
    insta::assert_snapshot!(mistakes(&pinned("version-id = \"\"")), @"9:14: not the id of a version: write what `aws s3api list-object-versions` gives as VersionId");
}

#[test]
fn a_new_plugin_is_given_up_before_its_events_are() {
    let modules = |keys: &str| format!("[modules]\nsource = \"dir:dist\"\nallow-unsigned = true\n{keys}\n{HANDLER}");
    let after = |keys: &str| sound(&modules(keys)).modules.rollback_after;
    assert_eq!([after(""), after("rollback-after = 7"), after("rollback-after = 0")], [Some(3), Some(7), None]);
    insta::assert_snapshot!(mistakes(&modules("rollback-after = 101")), @"4:18: rollback-after is 101, but has to be from 0 to 100");
    let seldom = modules("rollback-after = 3") + "[handler.finish]\nmax-attempts = 2\n";
    insta::assert_snapshot!(sound(&seldom).warnings[0].message, @"an event is given up after 2 attempts that fail, before a broken plugin is given up for the one before it, which takes 3: raise max-attempts in [handler.finish], or lower rollback-after in [modules]");
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
