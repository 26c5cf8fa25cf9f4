use clap::Parser;

use super::*;
use crate::testing::guests;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

/// Runs `hostler inspect` on a file `drain.wasm`; its folder reads as `DIR`.
fn inspect(bytes: &[u8], flags: &[&str]) -> (u8, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("drain.wasm"), bytes).unwrap();
    run(&folder, "drain.wasm", flags)
}

fn run(folder: &tempfile::TempDir, name: &str, flags: &[&str]) -> (u8, String) {
    let path = folder.path().join(name).display().to_string();
    let arguments = ["inspect", &path].into_iter().chain(flags.iter().copied());
    let mut out = Vec::new();
    let code = Cli::try_parse_from(arguments).unwrap().arguments.run(&mut out).unwrap();
    (code, String::from_utf8(out).unwrap().replace(&*folder.path().to_string_lossy(), "DIR"))
}

/// Digests and versions of tools change with what the tests are built with.
fn redacted() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter("[0-9a-f]{64}", "DIGEST");
    settings.add_filter(r"wit-component [0-9.]+", "wit-component VERSION");
    settings.add_filter(r#"(size: |"size": )[0-9.]+( KiB)?"#, "${1}SIZE");
    settings
}

#[test]
fn a_plugin_is_told_in_words() {
    redacted().bind(|| {
        let (code, text) = inspect(&guests::drain_of("i-0123456789abcdef0"), &[]);
        assert_eq!(code, SERVED);
        insta::assert_snapshot!(text, @r#"
        DIR/drain.wasm
          module: drain.wasm
          size: SIZE
          SHA-256: DIGEST
          contract: 0.1.0
          processed-by: wit-component VERSION

        where the policy grants it, it can:
          set the event's container instance to DRAINING (ecs.drain): needs grants.ecs allow "drain"
        "#);
        let (code, text) = inspect(&guests::wasi(), &[]);
        assert_eq!(code, SERVED);
        insta::assert_snapshot!(text, @"
        DIR/drain.wasm
          module: drain.wasm
          size: SIZE
          SHA-256: DIGEST
          contract: 0.1.0
          processed-by: wit-component VERSION

        of WASI 0.2, it gets:
          wasi:cli: no arguments and no environment; standard output and error become log lines
          wasi:random: random numbers
        ");
        let (code, text) = inspect(&guests::chatty(), &[]);
        assert_eq!(code, SERVED);
        insta::assert_snapshot!(text, @"
        DIR/drain.wasm
          module: drain.wasm
          size: SIZE
          SHA-256: DIGEST
          contract: 0.1.0
          processed-by: wit-component VERSION

        without a grant, it can:
          read the time (clock.now)
        ");
    });
}

#[test]
fn json_says_the_same() {
    redacted().bind(|| {
        let (code, text) = inspect(&guests::drain_of("i-0123456789abcdef0"), &["--json"]);
        assert_eq!(code, SERVED);
        insta::assert_snapshot!(text, @r#"
        {
          "contract": "0.1.0",
          "file": "DIR/drain.wasm",
          "module": "drain.wasm",
          "powers": [
            {
              "call": "ecs.drain",
              "needs": "grants.ecs allow \"drain\"",
              "power": "set the event's container instance to DRAINING"
            }
          ],
          "producers": {
            "processed-by": [
              "wit-component VERSION"
            ]
          },
          "refused": [],
          "sha256": "DIGEST",
          "size": SIZE,
          "wasi": {}
        }
        "#);
    });
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = run(&folder, "absent.wasm", &["--json"]);
    assert_eq!(code, UNREADABLE);
    let error: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(error["error"].as_str().unwrap().contains("absent.wasm"), "{text}");
}

#[test]
fn what_is_no_plugin_is_told_why() {
    let why = |bytes: &[u8]| {
        let (code, text) = inspect(bytes, &[]);
        assert_eq!(code, REFUSED, "{text}");
        text.split("this host refuses it:\n").nth(1).unwrap().to_owned()
    };
    insta::assert_snapshot!(why(b"#!/bin/sh\nreboot\n"), @"  is not WebAssembly: it does not begin with the bytes of a component");
    insta::assert_snapshot!(why(b"\0asm\x01\0\0\0"), @"  is a core WebAssembly module, not a component: build it with `hostler build`, or wrap it with `wasm-tools component new`");
    insta::assert_snapshot!(why(b""), @"  is empty: the upload was cut off, or the build wrote nothing");
    let whole = guests::done();
    assert!(why(&whole[..whole.len() / 2]).contains("is broken at byte"));
    let world = |text: &str| wat::parse_str(text).unwrap();
    insta::assert_snapshot!(why(&world(
        r#"(component (import "hostler:handler/ecs@0.2.0" (instance (export "drain" (func)))) (import "f" (func)))"#
    )), @r#"
      imports hostler:handler/ecs@0.2.0: it is built for version 0.2.0 of the contract, and this host serves 0.1.0
      imports the function f, which this host does not have
      exports nothing, but not the function `handle` of hostler:handler@0.1.0: it is a component of another world

    where the policy grants it, it can:
      set the event's container instance to DRAINING (ecs.drain): needs grants.ecs allow "drain"
    "#);
    insta::assert_snapshot!(why(&world(r#"(component (import "f" (func $f)) (export "run" (func $f)))"#)), @"
    imports the function f, which this host does not have
    exports run, but not the function `handle` of hostler:handler@0.1.0: it is a component of another world
    ");
}

#[test]
fn what_cannot_be_read_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let why = |name: &str| {
        let (code, text) = run(&folder, name, &[]);
        assert_eq!(code, UNREADABLE, "{text}");
        text
    };
    insta::assert_snapshot!(why("absent.wasm"), @"cannot read DIR/absent.wasm: No such file or directory (os error 2); `hostler build` prints where it puts a plugin");
    insta::assert_snapshot!(why(""), @"DIR/ is not a file: give the .wasm file itself");
    // Without content: the file has a size, and takes no space.
    let huge = std::fs::File::create(folder.path().join("huge.wasm")).unwrap();
    huge.set_len(crate::policy::LARGEST_MODULE + 1).unwrap();
    insta::assert_snapshot!(why("huge.wasm"), @"DIR/huge.wasm has more than 512.0 MiB, which no policy takes: a plugin of Rust has some 100 KiB");
}
