use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::modules::signing::{NewKeys, SecretKey};
use crate::testing::guests;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

/// A policy with one handler for `drain.wasm`; `grants` are the lines of its grants.
fn policy(grants: &str) -> String {
    format!(
        "[modules]\nsource = \"dir:dist\"\nallow-unsigned = true\nmax-size = \"1MiB\"\n[[handler]]\nname = \"drain\"\n\
         module = \"drain.wasm\"\nevent.source = [\"aws.ec2\"]\n[handler.grants]\n{grants}\n"
    )
}

const GRANTED: &str = "ecs = { clusters = [\"*\"], allow = [\"drain\"] }";

/// Runs `hostler check` on a file of that name and a policy; their folder reads as `DIR`.
fn check(name: &str, bytes: &[u8], policy: &str, flags: &[&str]) -> (u8, String) {
    check_in(&tempfile::tempdir().unwrap(), name, bytes, policy, flags)
}

fn check_in(folder: &TempDir, name: &str, bytes: &[u8], policy: &str, flags: &[&str]) -> (u8, String) {
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
    std::fs::write(path(name), bytes).unwrap();
    std::fs::write(path("hostler.toml"), policy).unwrap();
    let (file, policy) = (path(name).display().to_string(), path("hostler.toml").display().to_string());
    let arguments = ["check", &file, "--policy", &policy].into_iter().chain(flags.iter().copied());
    let mut out = Vec::new();
    let code = Cli::try_parse_from(arguments).unwrap().arguments.run(&mut out).unwrap();
    (code, String::from_utf8(out).unwrap().replace(&*folder.path().to_string_lossy(), "DIR"))
}

fn drain() -> Vec<u8> {
    guests::drain_of("i-0123456789abcdef0")
}

/// A component that imports all of the contract, used or not.
fn everything() -> Vec<u8> {
    use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).unwrap();
    let world = resolve.select_world(&[package], Some("handler")).unwrap();
    let mut core = dummy_module(&resolve, world, wit_parser::ManglingAndAbi::Standard32);
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&core).unwrap().encode().unwrap()
}

#[test]
fn what_fits_says_so_and_superfluous_grants_are_a_note() {
    let (code, text) = check("drain.wasm", &drain(), &policy(GRANTED), &[]);
    assert_eq!(code, FITS);
    insta::assert_snapshot!(text, @r#"
    DIR/drain.wasm fits DIR/hostler.toml

    handler "drain" uses it, and grants all that it imports
    "#);
    let wide = "ecs = { clusters = [\"*\"], allow = [\"read\", \"drain\"] }\nec2 = { allow = [\"read\"] }\n\
                ssh = { user = \"a\", key = \"env:K\", host-keys = \"console\", commands = [[\"id\"]] }";
    let (code, text) = check("drain.wasm", &drain(), &policy(wide), &[]);
    assert_eq!(code, FITS);
    insta::assert_snapshot!(text, @r#"
    DIR/drain.wasm fits DIR/hostler.toml

    handler "drain" uses it, and grants all that it imports
      note: it has no use for grants.ecs allow "read" (line 10)
      note: it has no use for grants.ec2 allow "read" (line 11)
      note: it has no use for grants.ssh (line 12)
    "#);
}

#[test]
fn imports_that_nothing_grants_are_named_with_the_remedy() {
    let (code, text) = check("drain.wasm", &drain(), &policy(""), &[]);
    assert_eq!(code, MISFIT);
    insta::assert_snapshot!(text, @r#"
    DIR/drain.wasm does not fit DIR/hostler.toml

    handler "drain" uses it, and does not grant 1 import
      set the event's container instance to DRAINING (ecs.drain): it has no ecs grant; to allow it, add ecs = { clusters = ["…"], allow = ["drain"] } to its [handler.grants] (line 9)
    "#);
    let (code, text) = check("drain.wasm", &drain(), &policy(&GRANTED.replace("drain", "read")), &[]);
    assert_eq!(code, MISFIT);
    insta::assert_snapshot!(text, @r#"
    DIR/drain.wasm does not fit DIR/hostler.toml

    handler "drain" uses it, and does not grant 1 import
      set the event's container instance to DRAINING (ecs.drain): its ecs grant (line 10) allows only "read"; to allow it, add "drain" to grants.ecs.allow
      note: it has no use for grants.ecs allow "read" (line 10)
    "#);
}

#[test]
fn a_handler_uses_it_by_the_end_of_its_path_or_its_file_name() {
    let (code, text) = check("other.wasm", &drain(), &policy(GRANTED), &[]);
    assert_eq!(code, MISFIT);
    insta::assert_snapshot!(text, @r#"
    DIR/other.wasm does not fit DIR/hostler.toml

    no handler uses other.wasm
      the policy has drain.wasm; write module = "other.wasm" in a handler, or rename the file
    "#);
    let below = policy(GRANTED).replace("drain.wasm", "v2/drain.wasm");
    assert_eq!(check("v2/drain.wasm", &drain(), &below, &[]).0, FITS);
    // Where it is built is not where it is uploaded.
    let (code, text) = check("drain.wasm", &drain(), &below, &[]);
    assert_eq!(code, FITS);
    assert!(text.contains("handler \"drain\" uses it as v2/drain.wasm, and grants all that it imports"), "{text}");
    let both =
        format!("{below}[[handler]]\nname = \"b\"\nmodule = \"v1/drain.wasm\"\nevent.source = [\"aws.health\"]\n");
    let (_, text) = check("v2/drain.wasm", &drain(), &both, &[]);
    assert!(!text.contains("handler \"b\""), "{text}");
}

#[test]
fn a_plugin_that_imports_everything_may_lack_grants() {
    let (code, text) = check("drain.wasm", &everything(), &policy(GRANTED), &[]);
    assert_eq!(code, FITS);
    insta::assert_snapshot!(text, @r#"
    DIR/drain.wasm fits DIR/hostler.toml

    handler "drain" uses it, and does not grant 7 imports; it imports all there are, so it need not call them
      read the state of the event's instance in its Auto Scaling group (autoscaling.describe-instance): it has no autoscaling grant; to allow it, add autoscaling = { groups = ["…"], allow = ["read"] } to its [handler.grants] (line 9)
      protect the event's instance from scale-in, or stop protecting it (autoscaling.set-instance-protection): it has no autoscaling grant; to allow it, add autoscaling = { groups = ["…"], allow = ["protect"] } to its [handler.grants] (line 9)
      read the state, address and tags of the event's instance (ec2.describe-instance): it has no ec2 grant; to allow it, add ec2 = { allow = ["read"] } to its [handler.grants] (line 9)
      find the event's instance in an ECS cluster (ecs.find-container-instance): its ecs grant (line 10) allows only "drain"; to allow it, add "read" to grants.ecs.allow
      list the tasks on the event's container instance (ecs.list-tasks): its ecs grant (line 10) allows only "drain"; to allow it, add "read" to grants.ecs.allow
      stop a task on the event's container instance (ecs.stop-task): its ecs grant (line 10) allows only "drain"; to allow it, add "stop-task" to grants.ecs.allow
      run a command on the event's instance over SSH (ssh.exec): it has no ssh grant; to allow it, add ssh = { user = "…", key = "…", host-keys = "…", commands = [["…"]] } to its [handler.grants] (line 9)
    "#);
}

#[test]
fn what_the_host_would_refuse_does_not_fit() {
    let (code, text) = check("drain.wasm", b"\0asm\x01\0\0\0", &policy(GRANTED), &[]);
    assert_eq!(code, MISFIT);
    insta::assert_snapshot!(text, @r#"
    DIR/drain.wasm does not fit DIR/hostler.toml

    the host refuses it, since it
      is a core WebAssembly module, not a component: build it with `hostler build`, or wrap it with `wasm-tools component new`

    handler "drain" uses it
    "#);
    let large = [drain(), vec![0; 1 << 20]].concat();
    let (code, text) = check("drain.wasm", &large, &policy(GRANTED), &[]);
    assert_eq!(code, MISFIT);
    assert!(text.contains("and max-size allows 1048576; make it smaller"), "{text}");
    // Its imports have the names of ours, and other types: only linking tells.
    let other_types = wat::parse_str(
        r#"(component (import "hostler:handler/clock@0.1.0" (instance (export "now" (func (result string)))))
            (import "hostler:handler/ecs@0.1.0" (instance))
            (component $c (core module $m (func (export "f"))) (core instance $i (instantiate $m))
                (func (export "handle") (canon lift (core func $i "f"))))
            (instance $i (instantiate $c)) (alias export $i "handle" (func $f)) (export "handle" (func $f)))"#,
    );
    let (code, text) = check("drain.wasm", &other_types.unwrap(), &policy(GRANTED), &[]);
    assert_eq!(code, MISFIT);
    assert!(text.contains("does not fit this host: "), "{text}");
}

#[test]
fn json_says_the_same() {
    let (code, text) = check("drain.wasm", &drain(), &policy("ec2 = { allow = [\"read\"] }"), &["--json"]);
    assert_eq!(code, MISFIT);
    insta::assert_snapshot!(text, @r#"
    {
      "file": "DIR/drain.wasm",
      "fits": false,
      "handlers": [
        {
          "missing": [
            {
              "call": "ecs.drain",
              "power": "set the event's container instance to DRAINING",
              "remedy": "to allow it, add ecs = { clusters = [\"…\"], allow = [\"drain\"] } to its [handler.grants] (line 9)",
              "rule": "it has no ecs grant"
            }
          ],
          "module": "drain.wasm",
          "name": "drain",
          "pinned": null,
          "refused": [],
          "unused": [
            {
              "grant": "grants.ec2 allow \"read\"",
              "line": 10
            }
          ]
        }
      ],
      "imports-everything": false,
      "module": "drain.wasm",
      "modules": [
        "drain.wasm"
      ],
      "policy": "DIR/hostler.toml",
      "refused": []
    }
    "#);
}

#[test]
fn bad_input_is_told_apart() {
    let (code, text) = check("drain.wasm", &drain(), "[modules]\nsource = 1\n", &[]);
    assert_eq!(code, BAD_INPUT);
    assert!(text.starts_with("the policy has mistakes\nDIR/hostler.toml:"), "{text}");
    let (code, text) = check("drain.wasm", &drain(), "[modules]\nsource = 1\n", &["--json"]);
    assert_eq!(code, BAD_INPUT);
    let error: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(error["error"].as_str().unwrap().starts_with("the policy has mistakes"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("hostler.toml"), policy(GRANTED)).unwrap();
    for (file, policy, named) in
        [("a.wasm", "hostler.toml", "a.wasm: No such file"), ("a.wasm", "b.toml", "b.toml: No such file")]
    {
        let arguments = Arguments { file: at(file), policy: PolicyFile { path: at(policy) }, json: false };
        let mut out = Vec::new();
        assert_eq!(arguments.run(&mut out).unwrap(), BAD_INPUT);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("cannot read ") && text.contains(named), "{text}");
    }
}

#[test]
fn a_handler_that_is_pinned_to_another_asks_nothing_of_this_one() {
    let digest = crate::digest::sha256(drain());
    let pinned = |pin: &str| {
        let handler = "[[handler]]\nname = \"other\"\nmodule = \"drain.wasm\"\nevent.source = [\"aws.health\"]\n";
        let (_, text) = check("drain.wasm", &drain(), &format!("{}{handler}sha256 = {pin:?}\n", policy(GRANTED)), &[]);
        text.replace(&digest, "DIGEST")
    };
    insta::assert_snapshot!(pinned(&"a".repeat(64)), @r#"
    DIR/drain.wasm fits DIR/hostler.toml

    handler "drain" uses it, and grants all that it imports

    handler "other" is pinned to sha256 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, and does not run this one, which has DIGEST
    "#);
    let text = pinned(&digest);
    assert!(text.starts_with("DIR/drain.wasm does not fit"), "{text}");
    assert!(text.contains("handler \"other\" is pinned to it, and does not grant 1 import\n"), "{text}");
    let alone =
        policy(GRANTED).replace("name = \"drain\"", &format!("name = \"drain\"\nsha256 = {:?}", "a".repeat(64)));
    let (code, text) = check("drain.wasm", &drain(), &alone, &["--json"]);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, MISFIT);
    assert_eq!(
        told["handlers"][0]["pinned"],
        json!({ "to": { "sha256": "a".repeat(64) }, "digest": digest, "fits": false })
    );
}

#[test]
fn what_handlers_know_by_several_names_is_taken_by_the_one_that_it_is_signed_for() {
    let keys = NewKeys::make(None).unwrap();
    let key = SecretKey::read(&keys.secret, None).unwrap();
    let trusted = policy(GRANTED)
        .replace("allow-unsigned = true", &format!("trusted-keys = [{:?}]", keys.trusted))
        .replace("drain.wasm", "team/drain.wasm");
    let both = format!(
        "{trusted}[[handler]]\nname = \"other\"\nmodule = \"other/drain.wasm\"\nevent.source = [\"aws.health\"]\n"
    );
    let signed_as = |name: &str| {
        let folder = tempfile::tempdir().unwrap();
        let signature = key.sign(&drain(), name, None, jiff::Timestamp::UNIX_EPOCH).unwrap();
        std::fs::write(folder.path().join("drain.wasm.minisig"), signature).unwrap();
        check_in(&folder, "drain.wasm", &drain(), &both, &[])
    };
    let (code, text) = signed_as("team/drain.wasm");
    assert_eq!(code, FITS, "{text}");
    insta::assert_snapshot!(text, @r#"
    DIR/drain.wasm fits DIR/hostler.toml

    handler "drain" uses it as team/drain.wasm, and grants all that it imports

    handler "other" uses it as other/drain.wasm, and does not take it so: it was signed as team/drain.wasm, and is here as other/drain.wasm: sign it with --name other/drain.wasm, or put it where team/drain.wasm belongs
    "#);
    let (code, text) = signed_as("third/drain.wasm");
    assert_eq!(code, MISFIT, "{text}");
    insta::assert_snapshot!(text, @r#"
    DIR/drain.wasm does not fit DIR/hostler.toml

    the host refuses it, since it
      was signed as third/drain.wasm, and is here as team/drain.wasm: sign it with --name team/drain.wasm, or put it where third/drain.wasm belongs
      was signed as third/drain.wasm, and is here as other/drain.wasm: sign it with --name other/drain.wasm, or put it where third/drain.wasm belongs

    handler "drain" uses it as team/drain.wasm

    handler "other" uses it as other/drain.wasm, and does not grant 1 import
      set the event's container instance to DRAINING (ecs.drain): it has no ecs grant; to allow it, add ecs = { clusters = ["…"], allow = ["drain"] } to its [handler.grants] (line 11)
    "#);
}
