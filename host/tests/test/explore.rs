//! What chance finds: cases under many seeds, and how what was found is found again.

use std::process::Command;

use serde_json::Value;

use crate::folder::{DRAINED, EVENT, Folder, HEAD};

#[test]
fn exploring_finds_what_breaks_a_handler_and_the_command_it_prints_finds_it_again() {
    let folder = Folder::new().case("blind", "blind", DRAINED);
    folder.test(&[]).ends_with(0);
    let found = folder.test(&["--seeds", "100"]).ends_with(1).shown();
    insta::assert_snapshot!(found, @r#"
    1 case under 100 seeds
      FAIL TOOK  09:32.398  drain/blind

    FAIL drain/blind  cases/blind.toml
      holds as it is written, and not under seed 22: replay it with
        hostler test cases/blind.toml --seeds 1 --seed 22
      the least that has to go wrong:
        [[fault]]
        operation = "ecs.drain"
        fault = "server-error"
        nth = 1
      instance i-0123456789abcdef0: container-instance-status:
        - DRAINING
        + ACTIVE
      what happened:
        00:00.000  ~ event delivered i-0123456789abcdef0: instance-terminating
        00:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Wait
        00:00.000  instance-terminating i-0123456789abcdef0 taken by drain, deadline 2026-01-15T04:00:00Z
        00:00.000  ! fault server-error: ecs.drain i-0123456789abcdef0
        00:00.000    ecs.drain i-0123456789abcdef0 -> unavailable UpdateContainerInstancesState failed at the other side (503 Service Unavailable): a simulated fault
        00:00.000  attempt 1: done
        00:00.000  ~ lifecycle action ended drain on i-0123456789abcdef0: completed with CONTINUE
        00:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Proceed
        00:00.000  ~ instance shutting down i-0123456789abcdef0
        00:00.000  ~ container instance deregistered i-0123456789abcdef0: 3 tasks lost
        00:00.000  done attempts=1 lifecycle=continue
    1 case: 0 passed, 1 failed in TOOK, 09:32.398 of simulated time
    "#);
    let command = found.lines().map(str::trim).find(|line| line.starts_with("hostler test ")).unwrap();
    let arguments: Vec<_> = command.split(' ').skip(2).collect();
    let again = folder.test(&arguments).ends_with(1).shown();
    // All but the last line, which counts the cases and the time.
    let failure = |out: &str| {
        let lines: Vec<_> = out.lines().skip_while(|line| !line.starts_with("FAIL")).map(str::to_owned).collect();
        lines[..lines.len() - 1].to_vec()
    };
    assert_eq!(failure(&again), failure(&found));

    let json: Value =
        serde_json::from_str(folder.test(&["--seeds", "100", "--json"]).out.lines().next().unwrap()).unwrap();
    assert!(json["failed-seed"]["least"].as_str().unwrap().starts_with("[[fault]]\n"), "{json}");
    assert_eq!(json["failed-seed"]["seed"], json["seeds"]);
}

#[test]
fn the_command_that_replays_a_seed_can_be_typed_as_it_is() {
    let folder = Folder::new().case("it's blind; really", "blind", DRAINED);
    let found = folder.test(&["--seeds", "100"]).ends_with(1).out;
    let command = found.lines().map(str::trim).find(|line| line.starts_with("hostler test ")).unwrap();
    assert!(command.starts_with(r"hostler test 'cases/it'\''s blind; really.toml' --seeds 1 --seed "), "{command}");
    let mut shell = Command::new("sh");
    // `hostler` is the one under test, wherever it was built.
    let function = format!("hostler() {{ '{}' \"$@\"; }}; {command}", env!("CARGO_BIN_EXE_hostler"));
    let output = shell.current_dir(folder.path("")).args(["-c", &function]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn exploring_what_stands_it_all_passes() {
    let folder = Folder::new().case("drained", "drain", DRAINED);
    let out = folder.test(&["--seeds", "30", "--seed", "1000"]).ends_with(0).shown();
    assert!(out.starts_with("1 case under 30 seeds\n") && out.contains("1 case: 1 passed in "), "{out}");
}

#[test]
fn a_seed_decides_what_chance_does() {
    let chance = "[[fault]]\noperation = \"ecs.drain\"\nfault = \"throttled\"\nprobability = 0.5\n";
    let folder = Folder::new().case("blind", "blind", &format!("{DRAINED}{chance}"));
    let codes: Vec<_> = (0..10).map(|seed| folder.test(&["--seed", &seed.to_string()]).code).collect();
    assert!(codes.contains(&Some(0)) && codes.contains(&Some(1)), "{codes:?}");
    let own: Vec<_> = (0..10u8).filter(|seed| codes[usize::from(*seed)] == Some(1)).collect();
    let text = format!("{HEAD}plugin = \"../blind.wasm\"\nseed = {}\n{EVENT}{DRAINED}{chance}", own[0]);
    folder.write("cases/blind.toml", text).test(&[]).ends_with(1);
}

#[test]
fn seeds_past_the_last_are_refused_and_the_last_is_played() {
    let folder = Folder::new().case("drained", "drain", DRAINED);
    let last = u64::MAX.to_string();
    let refused = folder.test(&["--seed", &last, "--seeds", "10"]).ends_with(2);
    assert_eq!(refused.out, "");
    insta::assert_snapshot!(refused.err, @"error: --seed 18446744073709551615 --seeds 10 goes past 18446744073709551615, the last seed there is: write --seed 18446744073709551606 at most");
    folder.test(&["--seed", &last, "--seeds", "1"]).ends_with(0);
}
