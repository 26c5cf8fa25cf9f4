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
    insta::assert_snapshot!(text, @"");
}

#[test]
fn warnings_are_shown_and_do_not_fail() {
    let policy = "[modules]\nsource = \"dir:dist\"\nallow-unsigned = true\n[[handler]]\nname = \"a\"\nmodule = \"a.wasm\"\n\
                  event.source = [\"aws.autoscaling\"]\n";
    let (code, text) = run(Some(policy.as_bytes()), &CHECK);
    assert_eq!(code, SOUND);
    insta::assert_snapshot!(text, @"");
}

#[test]
fn mistakes_are_shown_and_fail_with_1() {
    let (code, text) = run(Some(b"[modules]\nsource = \"dist\"\n"), &CHECK);
    assert_eq!(code, MISTAKEN);
    insta::assert_snapshot!(text, @"");
}

#[test]
fn what_cannot_be_read_fails_with_2_and_says_where_to_look() {
    let (code, text) = run(None, &CHECK);
    assert_eq!(code, UNREADABLE);
    insta::assert_snapshot!(text, @"");
    let (code, text) = run(Some(&vec![b'#'; (1 << 20) + 1]), &CHECK);
    assert_eq!(code, UNREADABLE);
    insta::assert_snapshot!(text, @"");
    let (code, text) = run(Some(b"\xff\xfe"), &CHECK);
    assert_eq!(code, UNREADABLE);
    insta::assert_snapshot!(text, @"");
}

#[test]
fn json_says_the_same() {
    let check = ["check", "--json", "--policy", "FILE"];
    let (code, text) = run(Some(b"[modules]\nsource = \"dist\"\n"), &check);
    assert_eq!(code, MISTAKEN);
    insta::assert_snapshot!(text, @"");
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
