//! `hostler test`, as a person or a script meets it: what it prints and writes, and its exit codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

mod explore;
mod folder;
mod formats;
mod watch;

use std::fs;

use crate::folder::{DRAINED, EVENT, Folder, HEAD, POLICY};

#[path = "../../src/testing/guests.rs"]
#[expect(dead_code, reason = "unit tests use the others")]
mod guests;

#[test]
fn cases_that_hold() {
    let folder = Folder::new().case("drained", "drain", DRAINED).case(
        "twice",
        "done",
        "at = [\"0s\", \"90s\"]\n[expect]\noutcome = \"done\"\n",
    );
    insta::assert_snapshot!(folder.test(&["--jobs", "1"]).ends_with(0).shown(), @"
      pass TOOK  00:00.000  drain/drained
      pass TOOK  01:30.000  drain/twice
    2 cases: 2 passed in TOOK, 01:30.000 of simulated time
    ");
}

#[test]
fn a_case_that_does_not_hold_says_why_and_what_happened() {
    let folder = Folder::new().case("drained", "drain", DRAINED).case(
        "left",
        "abandon",
        "[expect]\noutcome = \"done\"\ncalls = [\"ecs.drain\"]\n",
    );
    insta::assert_snapshot!(folder.test(&["--jobs", "1"]).ends_with(1).shown(), @"
      pass TOOK  00:00.000  drain/drained
      FAIL TOOK  00:00.000  drain/left

    FAIL drain/left  cases/left.toml
      outcome:
        - done
        + abandoned: abandoned after 1 attempt of drain: because; lifecycle action completed with ABANDON
      calls:
        - ecs.drain
        + nothing like it
          there were:
            lifecycle.hook drain of web
            lifecycle.complete drain on i-0123456789abcdef0
      what happened:
        00:00.000  ~ event delivered i-0123456789abcdef0: instance-terminating
        00:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Wait
        00:00.000  instance-terminating i-0123456789abcdef0 taken by drain, deadline 2026-01-15T04:00:00Z
        00:00.000  attempt 1: abandon, because
        00:00.000  ~ lifecycle action ended drain on i-0123456789abcdef0: completed with ABANDON
        00:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Proceed
        00:00.000  ~ instance shutting down i-0123456789abcdef0
        00:00.000  ~ container instance deregistered i-0123456789abcdef0: 3 tasks lost
        00:00.000  WARN: abandoned attempts=1 lifecycle=abandon why=because
    2 cases: 1 passed, 1 failed in TOOK, 00:00.000 of simulated time
    ");
}

#[test]
fn what_cannot_be_played_says_so_and_the_others_are_played() {
    let folder = Folder::new()
        .case("drained", "drain", DRAINED)
        .case("left", "abandon", "[expect]\noutcome = \"done\"\n")
        .write("cases/mistaken.toml", format!("{HEAD}plugin = \"../done.wasm\"\n{EVENT}[expct]\n"))
        .write("core.wasm", b"\0asm\x01\0\0\0")
        .case("refused", "core", "");
    insta::assert_snapshot!(folder.test(&["--jobs", "1"]).ends_with(2).shown(), @r#"
      pass TOOK  00:00.000  drain/drained
      FAIL TOOK  00:00.000  drain/left
     ERROR TOOK             drain/mistaken
     ERROR TOOK             drain/refused

    FAIL drain/left  cases/left.toml
      outcome:
        - done
        + abandoned: abandoned after 1 attempt of drain: because; lifecycle action completed with ABANDON
      what happened:
        00:00.000  ~ event delivered i-0123456789abcdef0: instance-terminating
        00:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Wait
        00:00.000  instance-terminating i-0123456789abcdef0 taken by drain, deadline 2026-01-15T04:00:00Z
        00:00.000  attempt 1: abandon, because
        00:00.000  ~ lifecycle action ended drain on i-0123456789abcdef0: completed with ABANDON
        00:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Proceed
        00:00.000  ~ instance shutting down i-0123456789abcdef0
        00:00.000  ~ container instance deregistered i-0123456789abcdef0: 3 tasks lost
        00:00.000  WARN: abandoned attempts=1 lifecycle=abandon why=because

    ERROR drain/mistaken  cases/mistaken.toml
      cases/mistaken.toml:6:2: unknown key "expct", did you mean "expect"? (allowed here: policy, handler, plugin, plugins, config, seed, event, world, fault, expect, explore)
        6 | [expct]
          |  ^

    ERROR drain/refused  cases/refused.toml
      HERE/drain/core.wasm: the host would refuse this plugin: it is a core WebAssembly module, not a component: build it with `hostler build`, or wrap it with `wasm-tools component new`
    4 cases: 1 passed, 1 failed, 2 not played in TOOK, 00:00.000 of simulated time
    "#);
}

#[test]
fn a_plugin_that_does_not_build_is_named_and_the_others_are_played() {
    let folder = Folder::new().case("drained", "drain", DRAINED);
    fs::create_dir_all(folder.path("broken/cases")).unwrap();
    let folder = folder.write("broken/Cargo.toml", "[package\n").write(
        "broken/cases/drained.toml",
        format!("policy = \"../../hostler.toml\"\nhandler = \"drain\"\n{EVENT}{DRAINED}"),
    );
    let ran = folder.test(&["--jobs", "1"]).ends_with(2);
    insta::assert_snapshot!(ran.shown(), @"
        building broken
     ERROR TOOK             broken/drained
      pass TOOK  00:00.000  drain/drained

    ERROR broken/drained  broken/cases/drained.toml
      HERE/drain/broken: cargo cannot read its Cargo.toml, and says why above
    2 cases: 1 passed, 1 not played in TOOK, 00:00.000 of simulated time
    ");
    assert!(ran.err.contains("Cargo.toml"), "{}", ran.err);
}

#[test]
fn a_plugin_that_is_larger_than_the_policy_allows_is_refused_as_in_production() {
    let folder = Folder::new()
        .case("done", "done", "")
        .write("hostler.toml", POLICY.replace("allow-unsigned", "max-size = \"1KiB\"\nallow-unsigned"));
    let size = guests::done().len();
    let padded = [guests::done(), custom_section(1024)].concat();
    assert!(size < 1024 && folder.test(&[]).code == Some(0), "{size} bytes");
    let folder = folder.write("done.wasm", &padded);
    let refused = folder.test(&["--jobs", "1"]).ends_with(2).shown().replace(&padded.len().to_string(), "SIZE");
    insta::assert_snapshot!(refused, @"
     ERROR TOOK             drain/done

    ERROR drain/done  cases/done.toml
      HERE/drain/done.wasm: the host would refuse this plugin: it has SIZE bytes, and max-size allows 1024; make it smaller, or raise max-size in [modules]
    1 case: 0 passed, 1 not played in TOOK, 00:00.000 of simulated time
    ");
}

/// A section of a module that means nothing, with so many bytes of content.
fn custom_section(bytes: usize) -> Vec<u8> {
    // Its number, its size in LEB128, the length of its name, and the name.
    let size = bytes + 2;
    let header = [0, (size % 128) as u8 | 0x80, (size / 128) as u8, 1, b'x'];
    header.into_iter().chain(std::iter::repeat_n(0, bytes)).collect()
}

#[test]
fn cases_are_chosen_by_their_place_and_their_name() {
    let folder = Folder::new().case("drained", "drain", DRAINED).case("left", "abandon", "");
    let played = |arguments: &[&str]| {
        let out = folder.test(arguments).ends_with(0).out;
        let titles = out.lines().filter(|line| line.trim_start().starts_with("pass"));
        let mut titles: Vec<_> = titles.filter_map(|line| Some(line.rsplit_once(' ')?.1.to_owned())).collect();
        titles.sort();
        titles
    };
    assert_eq!(played(&[]), ["drain/drained", "drain/left"]);
    assert_eq!(played(&["cases/left.toml", "./cases/left.toml", "."]), ["drain/drained", "drain/left"]);
    assert_eq!(played(&["--filter", "rain/l", "--filter", "none"]), ["drain/left"]);
    assert_eq!(played(&["cases", "--jobs", "8"]), ["drain/drained", "drain/left"]);
    let none = folder.test(&["--filter", "right"]).ends_with(2);
    assert_eq!((none.err.as_str(), none.out.as_str()), ("error: of 2 cases, none has right in its name\n", ""));
}

#[test]
fn without_cases_there_is_nothing_to_test() {
    let folder = Folder::new();
    let none = folder.test(&[]).ends_with(2);
    insta::assert_snapshot!(none.err, @"error: there are no cases in .: a case is a .toml file in a folder named cases, such as ./cases/drained.toml");
    insta::assert_snapshot!(folder.test(&["absent"]).ends_with(2).err, @"error: cannot read absent: No such file or directory (os error 2)");
    insta::assert_snapshot!(folder.test(&["--seeds", "0"]).ends_with(2).err, @"
    error: invalid value '0' for '--seeds <N>': 0 is not in 1..18446744073709551615

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(folder.test(&["--watch", "--json"]).ends_with(2).err, @"
    error: the argument '--watch' cannot be used with '--json'

    Usage: hostler test --watch [PATH]...

    For more information, try '--help'.
    ");
}
