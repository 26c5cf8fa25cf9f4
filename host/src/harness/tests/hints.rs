//! What is no failure, and is said all the same.

use super::{EVENT, Folder, HEAD, INSTANCE, case, plugins, verdict};
use crate::harness;
use crate::testing::guests;

/// The hints about a case that holds.
fn hints(guest: &[u8], rest: &str) -> String {
    let verdict = verdict(guest, rest);
    assert!(verdict.holds(), "{:?}", verdict.deviations);
    verdict.hints.join("\n")
}

#[test]
fn cpu_is_a_hint() {
    assert!(verdict(&guests::done(), "[expect]\noutcome = \"done\"\ncpu-at-most = \"10s\"").hints.is_empty());
    let verdict = verdict(&guests::done(), "[expect]\noutcome = \"done\"\ncpu-at-most = \"1ns\"");
    assert!(verdict.holds());
    let [hint] = &verdict.hints[..] else { panic!("{:?}", verdict.hints) };
    assert!(
        hint.starts_with("cpu-at-most: an attempt took ") && hint.ends_with(" of CPU time, which is more than 1ns"),
        "{hint}"
    );
}

#[test]
fn a_trap_is_a_hint() {
    let hints = |guest: &[u8], policy: &str| {
        let case = Folder::new().write("hostler.toml", policy).read(&format!("{HEAD}{EVENT}")).unwrap();
        let verdict = harness::test(&case, &plugins(&case, guest), None);
        assert!(verdict.holds(), "{:?}", verdict.deviations);
        verdict.hints.join("\n")
    };
    let limited = |limit: &str| super::POLICY.replace("finish = {", &format!("limits = {{ {limit} }}\nfinish = {{"));
    insta::assert_snapshot!(hints(&guests::traps_once(), super::POLICY), @"an attempt failed: the plugin trapped: wasm trap: wasm `unreachable` instruction executed");
    insta::assert_snapshot!(hints(&guests::deep(), super::POLICY), @"an attempt failed: stack budget of 512.0 KiB spent");
    insta::assert_snapshot!(hints(&guests::hungry(), &limited("memory = \"8MiB\"")), @"an attempt failed: memory budget of 8.0 MiB spent");
    insta::assert_snapshot!(hints(&guests::chatty(), &limited("host-calls = 10")), @"an attempt failed: host-calls budget of 10 spent during clock.now");
    // How much CPU time an attempt takes is not the plugin's doing alone, and an error that is returned is no trap.
    assert_eq!(hints(&guests::spin(), &limited("cpu = \"20ms\"")), "");
    assert_eq!(hints(&guests::error(), super::POLICY), "");
}

#[test]
fn a_fault_that_befell_nothing_is_a_hint() {
    let fault = |operation: &str, when: &str| {
        let fault = format!("[[fault]]\noperation = \"{operation}\"\nfault = \"throttled\"\n{when}\n");
        hints(&guests::drain_of(INSTANCE), &fault)
    };
    assert_eq!(fault("ecs.drain", ""), "");
    assert_eq!(fault("ecs.drain", "nth = [1, 2]"), "");
    // Whether chance strikes is up to chance.
    assert_eq!(fault("ecs.drain", "probability = 0.0"), "");
    insta::assert_snapshot!(fault("ssh.exec", ""), @"the fault throttled of ssh.exec befell nothing: there was no such call");
    insta::assert_snapshot!(fault("ssh.exec", "probability = 1.0"), @"the fault throttled of ssh.exec befell nothing: there was no such call");
    insta::assert_snapshot!(fault("ecs.drain", "nth = [7, 3]"), @"the fault throttled of ecs.drain did not befall call 3: there was only 1");
    insta::assert_snapshot!(fault("ecs.drain", "nth = [1, 4]"), @"the fault throttled of ecs.drain did not befall call 4: there were only 2");
    let same_call = "[[fault]]\noperation = \"ecs.drain\"\nfault = \"timeout\"\nnth = 1\n\
                     [[fault]]\noperation = \"ecs.drain\"\nfault = \"throttled\"\nnth = 1\n";
    insta::assert_snapshot!(hints(&guests::drain_of(INSTANCE), same_call), @"the fault throttled of ecs.drain befell nothing: another fault of these calls comes first");
}

#[test]
fn what_the_world_of_a_case_has_for_nothing_is_a_hint() {
    let world = |rest: &str| hints(&guests::drain_of(INSTANCE), rest);
    insta::assert_snapshot!(world("[[world.ssh]]\ncommand = [\"docker\", \"ps\", \"**\"]\n"), @r#"no command met the ssh answer to ["docker", "ps", "**"]"#);
    // There for whatever comes, as in a world that is made around the event.
    assert_eq!(world("[[world.ssh]]\nexit-status = 1\n"), "");
    let service = "[[world.task]]\nservice = \"web\"\n[[world.service]]\nname = \"web\"\nminimum-healthy-percent = 0\n";
    assert_eq!(world(service), "");
    insta::assert_snapshot!(hints(&guests::done(), service), @"no task of the service web had to move");

    // A file may be shared with cases in which it is of use.
    let shared = format!(
        "[[group]]\nname = \"web\"\n[[group.hook]]\nname = \"drain\"\ntransition = \"terminating\"\n\
         [[instance]]\nid = \"{INSTANCE}\"\ngroup = \"web\"\n[[ssh]]\ncommand = [\"docker\"]\n"
    );
    let case =
        Folder::new().write("world.toml", shared).read(&format!("{HEAD}world = \"world.toml\"\n{EVENT}")).unwrap();
    let verdict = harness::test(&case, &plugins(&case, &guests::done()), None);
    assert_eq!((verdict.holds(), verdict.hints), (true, Vec::new()));
}

#[test]
fn a_setting_of_the_case_that_the_handler_did_not_read_is_a_hint() {
    let with_settings = |guest: &[u8]| {
        let settings = "config = { cluster = \"prod\" }\n";
        let case = Folder::new().read(&format!("{HEAD}{settings}{EVENT}")).unwrap();
        harness::test(&case, &plugins(&case, guest), None).hints.join("\n")
    };
    assert_eq!(with_settings(&guests::reads("cluster")), "");
    insta::assert_snapshot!(with_settings(&guests::reads("clutser")), @"drain did not read its setting cluster");
}

#[test]
fn hints_are_about_a_case_as_it_is_written() {
    let case = case("[[fault]]\noperation = \"ssh.exec\"\nfault = \"throttled\"\n");
    let verdict = harness::explore(&case, &plugins(&case, &guests::drain_of(INSTANCE)), 1..=3);
    assert_eq!(verdict.hints.len(), 1, "{:?}", verdict.hints);
}
