use proptest::prelude::*;

use super::*;
use crate::policy::{ArgumentPattern, ClientKey, ModulesSource, OnFailure, schema};

const EXAMPLE: &str = include_str!("../../../../deploy/hostler.toml");
const SCHEMA: &str = include_str!("../../../../deploy/hostler.schema.json");

const MODULES: &str = "[modules]\nsource = \"dir:dist\"\nallow-unsigned = true\n";
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
        ModulesSource::S3 { bucket: "nuproj-ecs-lambda".to_owned(), prefix: "eks/handlers/".to_owned() }
    );
    let handler = &policy.handlers[0];
    assert_eq!((handler.name.as_str(), handler.module.as_str()), ("asg-terminate", "asg-lifecycle.wasm"));
    assert!(handler.names_hook("drain") && !handler.names_hook("nuproj-drain"));
    assert_eq!(handler.finish.on_failure, Some(OnFailure::Abandon));
    assert_eq!(handler.config["cluster"], "nuproj-prod");
    let ssh = handler.grants.ssh.as_ref().unwrap();
    assert_eq!(ssh.key, ClientKey::File("/run/keys/nuproj".into()));
    assert_eq!(ssh.commands[1].to_string(), r#"["docker", "ps", "**"]"#);
    assert!(ArgumentPattern::Rest != ArgumentPattern::One);
    assert_eq!(policy.handlers[1].finish.deadline, Duration::from_secs(120));
    assert_eq!(policy.digest.len(), 64);
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
    insta::assert_debug_snapshot!((&policy.modules, &handler.finish, &handler.limits, &handler.grants.ssh), @"");
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
    insta::assert_snapshot!(found, @"");
}

#[test]
fn what_was_wrong_is_not_reported_missing_too() {
    insta::assert_snapshot!(mistakes(&format!("{MODULES}[[handler]]\nname = 5\nmodul = \"a.wasm\"\nevent = 7\n")), @"");
    insta::assert_snapshot!(mistakes(&with("grants.ecs = { clusters = [5], allow = 7 }")), @"");
    insta::assert_snapshot!(mistakes(&with("grants.ssh = { user = \"u\", key = \"env:K\", host-keys = \"console\", commands = [[5]] }")), @"");
}

#[test]
fn what_is_missing_is_named_with_an_example() {
    insta::assert_snapshot!(mistakes(""), @"");
    insta::assert_snapshot!(mistakes("[modules]\n[[handler]]\n"), @"");
    insta::assert_snapshot!(mistakes(&with("[handler.grants]\necs = {}\nautoscaling = {}\nec2 = {}\nssh = {}")), @"");
}

#[test]
fn unsigned_plugins_have_to_be_accepted_in_writing() {
    let keys = "trusted-keys = [\"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"]";
    insta::assert_snapshot!(mistakes(&format!("[modules]\nsource = \"dir:dist\"\n{keys}\n{HANDLER}")), @"");
    insta::assert_snapshot!(mistakes(&format!("[modules]\nsource = \"dir:dist\"\nallow-unsigned = false\n{HANDLER}")), @"");
    insta::assert_snapshot!(mistakes(&format!("[modules]\nsource = \"dir:dist\"\nallow-unsigned = true\ntrusted-keys = [\"x\"]\n{HANDLER}")), @"");
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
    insta::assert_snapshot!(mistakes(&text), @"");
    insta::assert_snapshot!(mistakes(&with("limits = { cpu = \"3s\", wall = \"2s\" }")), @"");
    insta::assert_snapshot!(mistakes(&with("limits = { cpu = \"61s\" }")), @"");
}

#[test]
fn lists_that_grant_nothing_are_mistakes() {
    insta::assert_snapshot!(mistakes(&with(
        "[handler.grants]\necs = { clusters = [], allow = [] }\nautoscaling = { groups = [\"\"], allow = [] }\nec2 = { allow = [] }\n\
         ssh = { user = \"u\", key = \"env:K\", host-keys = \"console\", commands = [] }"
    )), @"");
}

#[test]
fn tables_and_arrays_are_not_taken_for_each_other() {
    insta::assert_snapshot!(mistakes("[modules]\nsource = \"dir:dist\"\nallow-unsigned = true\n[handler]\nname = \"a\"\n"), @"");
    insta::assert_snapshot!(mistakes(&format!("[[modules]]\nsource = \"dir:dist\"\n{HANDLER}")), @"");
    insta::assert_snapshot!(mistakes(&with("finish = [\"1h\", \"abandon\", 5]\nconfig = [\"a\"]\ngrants = 5")), @"");
    insta::assert_snapshot!(mistakes(&with("[handler.config]\na = true\nb = 1.5\nc = [1]\nd = { x = \"y\" }")), @"");
}

#[test]
fn names_are_unique() {
    insta::assert_snapshot!(mistakes(&format!("{MODULES}{HANDLER}{HANDLER}")), @"");
}

#[test]
fn what_is_not_toml_is_located() {
    insta::assert_snapshot!(mistakes("[modules\nsource = \n[[handler]]\nname = 'a\n"), @"");
    insta::assert_snapshot!(mistakes("[modules]\nsource = \"dir:a\"\nsource = \"dir:b\"\n"), @"");
    assert!(mistakes("\0").contains("not TOML"));
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    insta::assert_snapshot!(warnings(&format!(
        "{MODULES}[ledger]\nstore = \"s3://bucket/ledger/\"\n[[handler]]\nname = \"a\"\nmodule = \"a.wasm\"\n\
         event = {{ source = [\"aws.autoscaling\"] }}\n\
         grants.ec2 = {{ allow = [\"read\"], instances = \"any\" }}\n\
         grants.ssh = {{ user = \"u\", key = \"env:K\", host-keys = \"insecure-accept-any\", commands = [[\"ls\"]] }}\n\
         [[handler]]\nname = \"b\"\nmodule = \"b.wasm\"\nevent = {{ source = [\"aws.autoscaling\"] }}\n"
    )), @"");
    assert_eq!(warnings(&with("")), "");
    let named = format!(
        "{MODULES}[[handler]]\nname = \"a\"\nmodule = \"a.wasm\"\nevent.detail.LifecycleHookName = [\"drain\"]\n"
    );
    assert_eq!(warnings(&named), "");
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
