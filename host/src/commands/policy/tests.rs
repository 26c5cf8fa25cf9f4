use clap::Parser;

use super::*;

const EXAMPLE: &str = include_str!("../../../../deploy/hostler.toml");

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: PolicyCommand,
}

/// Runs `hostler policy …` on a file with `content`; its folder reads as `DIR`.
fn run(content: Option<&[u8]>, arguments: &[&str]) -> (u8, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostler.toml");
    if let Some(content) = content {
        std::fs::write(&path, content).unwrap();
    }
    let mut out = Vec::new();
    let command = ["policy"].iter().chain(arguments).map(|argument| argument.replace("FILE", &path.to_string_lossy()));
    let code = Cli::try_parse_from(command).unwrap().command.run(&mut out).unwrap();
    (code, String::from_utf8(out).unwrap().replace(&*folder.path().to_string_lossy(), "DIR"))
}

const CHECK: [&str; 3] = ["check", "--policy", "FILE"];

#[test]
fn a_sound_policy_is_told_in_words() {
    let (code, text) = run(Some(EXAMPLE.as_bytes()), &CHECK);
    assert_eq!(code, SOUND);
    insta::assert_snapshot!(text, @r#"
    DIR/hostler.toml: sound, 2 handlers, no warnings

    plugins from s3://nuproj-ecs-lambda/eks/handlers/: anybody's, signed or not

    1. asg-terminate: asg-lifecycle.wasm
       takes instance-terminating, instance-returning-to-warm-pool, warm-instance-terminating
       ecs: may read, drain, stop tasks of the event's own instance in clusters "nuproj-*"
       autoscaling: may read the event's own instance in groups "nuproj-*"
       ec2: may read the event's own instance
       ssh: may run, as ec2-user, on the event's own instance:
         ["sudo", "systemctl", "stop", "ecs"]
         ["docker", "ps", "**"]

    2. spot-interruption: spot-interruption.wasm
       takes spot-interruption
       ecs: may read, drain, stop tasks of the event's own instance in clusters "nuproj-*"
    "#);
}

#[test]
fn warnings_are_shown_and_do_not_fail() {
    let policy = "[modules]\nsource = \"dir:dist\"\nallow-unsigned = true\n[[handler]]\nname = \"a\"\nmodule = \"a.wasm\"\n\
                  event.source = [\"aws.autoscaling\"]\n";
    let (code, text) = run(Some(policy.as_bytes()), &CHECK);
    assert_eq!(code, SOUND);
    insta::assert_snapshot!(text, @r#"
    DIR/hostler.toml: sound, 1 handler, 1 warning

    plugins from dir:dist: anybody's, signed or not

    1. a: a.wasm
       takes instance-terminating, instance-launching, instance-returning-to-warm-pool, instance-entering-warm-pool, warm-instance-terminating, instance-leaving-warm-pool, other
       may do nothing but log, wait and read its settings

    DIR/hostler.toml:7:1: warning: this takes the lifecycle actions of every hook, other people's among them: name yours with detail.LifecycleHookName = ["…"]
      7 | event.source = ["aws.autoscaling"]
        | ^
    "#);
}

#[test]
fn whose_plugins_are_taken_is_told_by_what_keys_are_called() {
    let policy = |signers: &str| {
        let text = format!(
            "[modules]\nsource = \"dir:dist\"\n{signers}\n[ledger]\nstore = \"dir:ledger\"\n[[handler]]\nname = \"a\"\n\
             module = \"a.wasm\"\nsha256 = \"{}\"\nevent.detail.LifecycleHookName = [\"drain\"]\n",
            "a".repeat(64)
        );
        run(Some(text.as_bytes()), &CHECK).1
    };
    let (trusted, revoked) = (
        "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3",
        "RWQLXmOj9Jv5Dj3Vgn9FzN/kUlPi1qI5pav9xHzhLDN2Fme+cz33QZKJ",
    );
    let told = policy(&format!("trusted-keys = [{trusted:?}]\nrevoked-keys = [{revoked:?}]"));
    insta::assert_snapshot!(told, @"
    DIR/hostler.toml: sound, 1 handler, no warnings

    plugins from dir:dist: signed by
       key E7620F1842B4E81F  RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3
       but not by 0EF99BF4A3635E0B  RWQLXmOj9Jv5Dj3Vgn9FzN/kUlPi1qI5pav9xHzhLDN2Fme+cz33QZKJ, which is revoked

    1. a: a.wasm
       runs sha256 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa alone, whatever is uploaded
       takes instance-terminating, instance-launching, instance-returning-to-warm-pool, instance-entering-warm-pool, warm-instance-terminating, instance-leaving-warm-pool, spot-interruption, rebalance-recommendation, instance-state-change, capacity-reservation-interruption, scheduled-maintenance, other
       may do nothing but log, wait and read its settings
    ");
    let told = policy(&format!("trusted-keys = [{trusted:?}]\nallow-unsigned = true"));
    assert!(told.contains("plugins from dir:dist: not signed, or signed by\n   key E7620F1842B4E81F  RW"), "{told}");
    let own = |modules: &str, keys: &str| {
        let handler = "[[handler]]\nname = \"a\"\nmodule = \"a.wasm\"\nevent.source = [\"aws.health\"]\n";
        let text = format!(
            "[modules]\nsource = \"dir:dist\"\n{modules}\n[ledger]\nstore = \"dir:ledger\"\n{handler}trusted-keys = {keys}\n"
        );
        (run(Some(text.as_bytes()), &CHECK).1, run(Some(text.as_bytes()), &["check", "--policy", "FILE", "--json"]).1)
    };
    let (told, json) = own("", &format!("[{trusted:?}, {revoked:?}]"));
    insta::assert_snapshot!(told, @"
    DIR/hostler.toml: sound, 1 handler, no warnings

    plugins from dir:dist: signed, as each handler says

    1. a: a.wasm
       runs only what is signed by key E7620F1842B4E81F  RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3
       or by key 0EF99BF4A3635E0B  RWQLXmOj9Jv5Dj3Vgn9FzN/kUlPi1qI5pav9xHzhLDN2Fme+cz33QZKJ
       takes scheduled-maintenance, other
       may do nothing but log, wait and read its settings
    ");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["handlers"][0]["trusted-keys"][1], json!({ "id": "0EF99BF4A3635E0B", "key": revoked }));
    let (told, _) = own("allow-unsigned = true", &format!("[{trusted:?}]"));
    assert!(
        told.contains("plugins from dir:dist: anybody's, signed or not, where a handler names no keys\n"),
        "{told}"
    );
    let told = policy(&format!("allow-unsigned = true\nrevoked-keys = [{revoked:?}]"));
    assert!(told.contains("plugins from dir:dist: anybody's, signed or not\n"), "{told}");
}

#[test]
fn mistakes_are_shown_and_fail_with_1() {
    let (code, text) = run(Some(b"[modules]\nsource = \"dist\"\n"), &CHECK);
    assert_eq!(code, MISTAKEN);
    insta::assert_snapshot!(text, @r#"
    DIR/hostler.toml:1:1: no plugin can be accepted: name who may sign them, trusted-keys = ["RW…"] (`hostler keygen` makes a key), or write allow-unsigned = true to take them from whoever can write to the source
      1 | [modules]
        | ^
    DIR/hostler.toml:1:1: handler is missing: write at least one [[handler]]
      1 | [modules]
        | ^
    DIR/hostler.toml:2:10: "dist" is not a place: write "s3://BUCKET/PREFIX/" or "dir:PATH"
      2 | source = "dist"
        |          ^

    DIR/hostler.toml: 3 mistakes
    "#);
}

#[test]
fn what_cannot_be_read_fails_with_2_and_says_where_to_look() {
    let (code, text) = run(None, &CHECK);
    assert_eq!(code, UNREADABLE);
    insta::assert_snapshot!(text, @"cannot read the policy DIR/hostler.toml: No such file or directory (os error 2); say where it is with --policy FILE or HOSTLER_POLICY");
    let (code, text) = run(Some(&vec![b'#'; (1 << 20) + 1]), &CHECK);
    assert_eq!(code, UNREADABLE);
    insta::assert_snapshot!(text, @"DIR/hostler.toml is larger than 1 MiB, which no policy is; say where the policy is with --policy FILE or HOSTLER_POLICY");
    let (code, text) = run(Some(b"\xff\xfe"), &CHECK);
    assert_eq!(code, UNREADABLE);
    insta::assert_snapshot!(text, @"DIR/hostler.toml is not UTF-8 text, which a policy is; say where the policy is with --policy FILE or HOSTLER_POLICY");
}

#[test]
fn json_says_the_same() {
    let check = ["check", "--json", "--policy", "FILE"];
    let (code, text) = run(Some(b"[modules]\nsource = \"dist\"\n"), &check);
    assert_eq!(code, MISTAKEN);
    insta::assert_snapshot!(text, @r#"
    {
      "file": "DIR/hostler.toml",
      "mistakes": [
        {
          "column": 1,
          "line": 1,
          "message": "no plugin can be accepted: name who may sign them, trusted-keys = [\"RW…\"] (`hostler keygen` makes a key), or write allow-unsigned = true to take them from whoever can write to the source",
          "source": "[modules]"
        },
        {
          "column": 1,
          "line": 1,
          "message": "handler is missing: write at least one [[handler]]",
          "source": "[modules]"
        },
        {
          "column": 10,
          "line": 2,
          "message": "\"dist\" is not a place: write \"s3://BUCKET/PREFIX/\" or \"dir:PATH\"",
          "source": "source = \"dist\""
        }
      ],
      "sound": false,
      "warnings": []
    }
    "#);
    let (_, text) = run(Some(EXAMPLE.as_bytes()), &check);
    let sound: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&sound["sound"], &sound["handlers"][0]["name"]), (&json!(true), &json!("asg-terminate")));
    let (_, text) = run(None, &check);
    assert!(serde_json::from_str::<Value>(&text).unwrap()["error"].as_str().unwrap().contains("--policy FILE"));
}

#[test]
fn the_schema_is_json() {
    let (code, text) = run(None, &["schema"]);
    assert_eq!(code, SOUND);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), schema());
}
