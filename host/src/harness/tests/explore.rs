//! What exploring does to a case, what it lets pass, and how little it leaves of what it finds.

use std::time::Duration;

use super::{EVENT, Folder, HEAD, INSTANCE, case, plugins};
use crate::harness::explore::shrink;
use crate::harness::play::{Played, Variation, play};
use crate::harness::{self, Case, Verdict};
use crate::sim::{Fault, FaultKind, When};
use crate::testing::guests;

/// What seed after seed does to a case, for as many.
fn variations(case: &Case, seeds: u64) -> Vec<Variation> {
    let usual = usual(case);
    (0..seeds).map(|seed| case.explore.variation(case, &usual, seed)).collect()
}

fn usual(case: &Case) -> Played {
    play(case, &plugins(case, &guests::drain_of(INSTANCE)), &Variation::default())
}

fn fault(operation: &str, nth: u32) -> Fault {
    Fault { operation: operation.to_owned(), kind: FaultKind::Throttled, when: When::Nth(vec![nth]) }
}

/// A case of [`HEAD`], [`EVENT`] and `rest`, explored under the first `seeds`.
fn explored(guest: &[u8], rest: &str, seeds: u64) -> Verdict {
    let case = case(rest);
    harness::explore(&case, &plugins(&case, guest), 1..=seeds)
}

#[test]
fn a_seed_always_does_the_same() {
    let case = case("");
    assert_eq!(variations(&case, 50), variations(&case, 50));
    let variations = variations(&case, 50);
    assert!(variations.iter().all(|variation| variations.iter().filter(|other| *other == variation).count() == 1));
}

#[test]
fn what_a_seed_may_do_is_what_the_case_says() {
    let usually = variations(&case(""), 200);
    let faults = || usually.iter().flat_map(|variation| &variation.faults);
    assert!(faults().all(|fault| fault.kind != FaultKind::AccessDenied), "a handler need not stand what it may not do");
    let not_stood = [FaultKind::AccessDenied, FaultKind::AttemptKilled];
    for kind in FaultKind::ALL.into_iter().filter(|kind| !not_stood.contains(kind)) {
        assert!(faults().any(|fault| fault.kind == kind), "{kind} never comes");
    }
    // Only what the handler calls, the host's own calls among it.
    for operation in ["ecs.find-container-instance", "ecs.drain", "lifecycle.hook", "lifecycle.complete"] {
        assert!(faults().any(|fault| fault.operation == operation), "{operation} never suffers");
    }
    assert!(faults().all(|fault| fault.operation != "ssh.exec"));
    assert_eq!(usually.iter().map(|variation| variation.faults.len()).max(), Some(3));
    assert!(usually.iter().any(|variation| variation.faults.is_empty()));
    assert!(usually.iter().any(|variation| !variation.deliveries.is_empty()));
    assert!(usually.iter().any(|variation| !variation.delays.is_empty()));

    let limited = variations(&case("[explore]\nfaults = [\"timeout\"]\nat-most = 1\ndeliveries = false"), 50);
    assert!(limited.iter().all(|variation| variation.faults.len() <= 1 && variation.deliveries.is_empty()));
    assert!(limited.iter().flat_map(|variation| &variation.faults).all(|fault| fault.kind == FaultKind::Timeout));
    let nothing = variations(&case("[explore]\nfaults = []\ndeliveries = false"), 10);
    assert!(nothing.iter().all(|variation| *variation == Variation { seed: variation.seed, ..Variation::default() }));
}

#[test]
fn what_is_left_of_a_failure_is_the_least() {
    let deliveries = vec![(0, Duration::from_secs(1)), (0, Duration::from_secs(2))];
    let all = (1..=5).map(|nth| fault("ecs.drain", nth)).collect();
    let delays = vec![(0, Duration::from_secs(3))];
    let variation = Variation { seed: 7, faults: all, delays, deliveries };
    let two = |variation: &Variation| {
        variation.faults.contains(&fault("ecs.drain", 2)) && variation.faults.contains(&fault("ecs.drain", 4))
    };
    let least = shrink(variation.clone(), two);
    assert_eq!(least.faults, [fault("ecs.drain", 2), fault("ecs.drain", 4)]);
    assert_eq!((least.deliveries.len(), least.delays.len(), least.seed), (0, 0, 7));
    let late = shrink(variation.clone(), |variation| variation.deliveries.contains(&(0, Duration::from_secs(2))));
    assert_eq!((late.faults.len(), late.deliveries), (0, vec![(0, Duration::from_secs(2))]));
    // What fails only as a whole stays whole; what always fails needs nothing.
    let whole = shrink(variation.clone(), |fewer| {
        (fewer.faults.len(), fewer.delays.len(), fewer.deliveries.len()) == (5, 1, 2)
    });
    assert_eq!(whole, variation);
    assert_eq!(shrink(variation, |_| true), Variation { seed: 7, ..Variation::default() });
}

#[test]
fn what_is_left_can_be_written_into_a_case() {
    let kinds = FaultKind::ALL.into_iter().enumerate();
    let mut faults: Vec<_> = kinds.map(|(nth, kind)| Fault { kind, ..fault("ecs.drain", nth as u32 + 1) }).collect();
    faults.push(Fault { when: When::Nth(vec![1, 3]), ..fault("*", 1) });
    faults.push(Fault { when: When::Always, ..fault("lifecycle.hook", 1) });
    faults.push(Fault { when: When::Probability(0.25), ..fault("ssh.exec", 1) });
    let (delays, deliveries) = (vec![(0, Duration::from_secs(2))], vec![(0, Duration::from_millis(61_500))]);
    let variation = Variation { seed: 3, faults: faults.clone(), delays, deliveries };
    let written = variation.as_toml(&case(""));
    let (at, faulty) = written.split_once("[[fault]]").unwrap();
    assert_eq!(at, "# of the event \"instance-terminating\":\nat = [\"2s\", \"1m 1s 500ms\"]\n");
    let case = Folder::new().read(&format!("{HEAD}{EVENT}{at}[[fault]]{faulty}")).unwrap();
    assert_eq!(case.faults, faults);
    assert_eq!(case.events[0].at, [Duration::from_secs(2), Duration::from_millis(61_500)]);
}

/// Drained, whatever goes wrong on the way.
const DRAINED: &str = "[[expect.instance]]\ncontainer-instance-status = \"DRAINING\"\n";

#[test]
fn a_handler_that_stands_it_all_holds() {
    let verdict = explored(&guests::drain_of(INSTANCE), DRAINED, 40);
    assert!(verdict.holds(), "{:?}", verdict.deviations);
    let explored = verdict.explored.unwrap();
    assert_eq!((explored.seeds, explored.failed.is_none()), (40, true));
}

#[test]
fn a_handler_that_does_not_look_is_found_out_and_the_seed_finds_it_again() {
    let guest = guests::drain_blindly(INSTANCE);
    let found = explored(&guest, DRAINED, 100);
    let explored = found.explored.unwrap();
    let failed = explored.failed.unwrap();
    assert_eq!(explored.seeds, failed.seed, "it stops at the first");
    assert_eq!(failed.least.matches("[[fault]]").count(), 1, "{}", failed.least);
    assert_eq!(found.deviations[0].what, "instance i-0123456789abcdef0: container-instance-status");

    let case = case(DRAINED);
    let again = harness::explore(&case, &plugins(&case, &guest), failed.seed..=failed.seed);
    assert_eq!((again.deviations, again.journal.len()), (found.deviations, found.journal.len()));
    assert_eq!(again.explored.unwrap().failed.unwrap().least, failed.least);

    // Written into the case, it fails as it is written.
    let case = Folder::new().read(&format!("{HEAD}{EVENT}{DRAINED}{}", failed.least)).unwrap();
    assert!(!harness::test(&case, &plugins(&case, &guest), None).holds());
}

#[test]
fn a_trap_that_ended_well_fails_when_more_goes_wrong() {
    let throttled = "[expect]\noutcome = \"done\"\n[explore]\nfaults = [\"throttled\"]\ndeliveries = false\n";
    let found = explored(&guests::drain_or_trap(INSTANCE), throttled, 20);
    // The next attempt drains, so that nothing but the trap is there to be seen.
    assert_eq!(found.deviations.len(), 1);
    insta::assert_snapshot!(found.deviations[0], @"
    run:
      - no attempt that traps
      + the plugin trapped: wasm trap: wasm `unreachable` instruction executed
    ");
    insta::assert_snapshot!(found.explored.unwrap().failed.unwrap().least, @r#"
    [[fault]]
    operation = "ecs.find-container-instance"
    fault = "throttled"
    nth = 1
    "#);
    assert!(explored(&guests::drain_of(INSTANCE), throttled, 20).holds(), "an error that is handed on is no trap");
}

#[test]
fn a_case_that_does_not_hold_as_it_is_written_is_not_explored() {
    let verdict = explored(&guests::abandon(), "[expect]\noutcome = \"done\"", 10);
    assert!(!verdict.holds() && verdict.explored.is_none());
}

#[test]
fn what_rightly_changes_is_not_looked_at_when_more_goes_wrong() {
    let as_written = "[expect]\nattempts = 1\nvirtual-time-at-most = \"0s\"\n\
                      calls = [\"lifecycle.hook\", \"ecs.find-container-instance\", \"ecs.drain\", \"lifecycle.complete\"]";
    assert!(explored(&guests::drain_of(INSTANCE), as_written, 40).holds());
}

#[test]
fn a_case_says_what_else_is_right_when_more_goes_wrong() {
    let expected = "[expect]\noutcome = \"done\"\nlifecycle = \"CONTINUE\"\ntasks-lost-at-most = 3\n";
    let impatient = super::POLICY.replace("max-attempts = 3", "max-attempts = 1");
    let explored = |explore: &str| {
        let case = Folder::new()
            .write("hostler.toml", &impatient)
            .read(&format!("{HEAD}{EVENT}{expected}[explore]\ndeliveries = false\n{explore}"))
            .unwrap();
        harness::explore(&case, &plugins(&case, &guests::drain_of(INSTANCE)), 1..=60)
    };
    let told: Vec<_> = explored("").deviations.into_iter().map(|deviation| deviation.what).collect();
    assert_eq!(told, ["outcome", "lifecycle"]);
    let wider = "outcome = [\"gave-up\", \"not-completed\"]\nlifecycle = [\"ABANDON\"]\n";
    let verdict = explored(wider);
    assert!(verdict.holds(), "{:?}", verdict.deviations);
}

#[test]
fn chance_within_the_case_is_explored_too() {
    let chance = "[[fault]]\noperation = \"ecs.drain\"\nfault = \"throttled\"\nprobability = 0.3\n\
                  [explore]\nfaults = []\ndeliveries = false\n";
    let verdict = explored(&guests::drain_blindly(INSTANCE), &format!("{DRAINED}{chance}"), 100);
    let failed = verdict.explored.unwrap().failed.unwrap();
    assert_eq!(failed.least, format!("seed = {}\n", failed.seed));
    // As it says, the same case under that seed does not hold.
    let case = case(&format!("{DRAINED}{chance}"));
    let plugins = plugins(&case, &guests::drain_blindly(INSTANCE));
    assert!(harness::test(&case, &plugins, None).holds());
    assert!(!harness::test(&case, &plugins, Some(failed.seed)).holds());
}
