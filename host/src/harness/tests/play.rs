//! How a case is played: deliveries in time, hosts that are killed, and hosts that fail.

use std::time::Duration;

use super::{EVENT, Folder, HEAD, INSTANCE, case, deviations, plugins, verdict};
use crate::dispatch::{End, Worked};
use crate::harness::play::{Ended, Played, Variation, panicked, play};
use crate::outcome::Decision;
use crate::sim::{Fault, FaultKind, What, When};
use crate::testing::guests;
use crate::timeline;

/// The run of a case of [`HEAD`], [`EVENT`] and `rest`.
fn played(guest: &[u8], rest: &str) -> Played {
    let case = case(rest);
    play(&case, &plugins(&case, guest), &Variation::default())
}

/// What it came to: the decision of each delivery with its event, or why there is none.
fn ends(played: &Played) -> Vec<(usize, String)> {
    let word = |ended: &Ended| match ended {
        Ended::Handled(End::Worked(Worked { decision: Decision::Done, .. })) => "done".to_owned(),
        Ended::Handled(End::Already(_)) => "ended before".to_owned(),
        Ended::Handled(end) => end.to_string(),
        Ended::Failed(error) => error.name().to_owned(),
        Ended::Killed => "killed".to_owned(),
        Ended::Broken(why) => why.clone(),
    };
    played.ends.iter().map(|(event, ended)| (*event, word(ended))).collect()
}

/// The lines of its timeline with one of `words` in them.
fn lines(played: &Played, words: &[&str]) -> String {
    let lines = timeline::text(&played.journal);
    lines.into_iter().filter(|line| words.iter().any(|word| line.contains(word))).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_delivery_is_made_at_its_time() {
    let played = played(&guests::done(), "at = [\"0s\", \"90s\"]");
    assert_eq!(ends(&played), [(0, "done".to_owned()), (0, "ended before".to_owned())]);
    insta::assert_snapshot!(lines(&played, &["delivered", "taken", "done", "late"]), @"
    00:00.000  ~ event delivered i-0123456789abcdef0: instance-terminating
    00:00.000  instance-terminating i-0123456789abcdef0 taken by drain, deadline 2026-01-15T04:00:00Z
    00:00.000  attempt 1: done
    00:00.000  done attempts=1 lifecycle=continue
    01:30.000  ~ event delivered i-0123456789abcdef0: instance-terminating
    ");
    assert_eq!(played.virtual_time, Duration::from_secs(90));
}

#[test]
fn a_case_is_played_the_same_every_time() {
    let case = case("at = [\"0s\", \"0s\"]\n[[fault]]\noperation = \"*\"\nfault = \"throttled\"\nprobability = 0.5");
    let plugins = plugins(&case, &guests::drain_of(INSTANCE));
    let run = |seed| timeline::text(&play(&case, &plugins, &Variation { seed, ..Variation::default() }).journal);
    assert_eq!(run(1), run(1));
    assert!((2..20).any(|seed| run(seed) != run(1)), "chance makes no difference");
}

#[test]
fn a_killed_host_comes_back_to_an_effect_that_stays() {
    let fault = "[[fault]]\noperation = \"ecs.drain\"\nfault = \"host-killed\"\nnth = 1";
    let played = played(&guests::drain_of(INSTANCE), fault);
    assert_eq!(ends(&played), [(0, "done".to_owned())]);
    insta::assert_snapshot!(lines(&played, &["killed", "taken", "ecs.drain", "attempt", "lifecycle"]), @"
    00:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Wait
    00:00.000  instance-terminating i-0123456789abcdef0 taken by drain, deadline 2026-01-15T04:00:00Z
    00:00.000  ! fault host-killed: ecs.drain i-0123456789abcdef0
    00:00.000    ecs.drain i-0123456789abcdef0 -> cut off the attempt ended during the call, which may have taken effect
    00:00.000  WARN: the host was killed: the event is delivered again, to a new one
    00:30.000  instance-terminating i-0123456789abcdef0 taken by drain, deadline 2026-01-15T04:00:00Z
    00:30.000    ecs.drain i-0123456789abcdef0 -> ok
    00:30.000  attempt 2: done
    00:30.000  ~ lifecycle action ended drain on i-0123456789abcdef0: completed with CONTINUE
    00:30.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Proceed
    00:30.000  done attempts=2 lifecycle=continue
    ");
}

#[test]
fn a_kill_ends_everything_in_flight() {
    let events = "plugins = { \"spot.wasm\" = \"plugin.wasm\" }\n[[event]]\nkind = \"instance-terminating\"\n[[event]]\nname = \"spot\"\n\
                  kind = \"spot-interruption\"\n[[fault]]\noperation = \"lifecycle.heartbeat\"\nfault = \"host-killed\"\nnth = 1\n\
                  [[world.group]]\nname = \"web\"\n[[world.group.hook]]\nname = \"drain\"\ntransition = \"terminating\"\nheartbeat-timeout = \"1m\"\n\
                  [[world.instance]]\nid = \"i-0123456789abcdef0\"\ngroup = \"web\"\nlifecycle = \"spot\"";
    let case = Folder::new().read(&format!("{HEAD}{events}")).unwrap();
    let played = play(&case, &plugins(&case, &guests::again(40, 2)), &Variation::default());
    insta::assert_snapshot!(lines(&played, &["killed", "taken", "attempt"]), @"
    00:00.000  instance-terminating i-0123456789abcdef0 taken by drain, deadline 2026-01-15T04:00:00Z
    00:00.000  attempt 1: again, waiting
    00:00.000  spot-interruption i-0123456789abcdef0 taken by spot, deadline 2026-01-15T03:02:00Z
    00:00.000  attempt 1: again, waiting
    00:30.000  ! fault host-killed: lifecycle.heartbeat drain on i-0123456789abcdef0
    00:30.000  WARN: the host was killed: the event is delivered again, to a new one
    00:30.000  WARN: the host was killed: the event is delivered again, to a new one
    01:00.000  attempt 2: done
    01:00.000  done attempts=2
    01:00.000  attempt 2: done
    01:00.000  done attempts=2 lifecycle=continue
    ");
}

#[test]
fn a_host_that_is_killed_every_time_gives_up_like_a_queue() {
    let fault = "[[fault]]\noperation = \"ecs.drain\"\nfault = \"host-killed\"\n";
    let played = played(&guests::drain_of(INSTANCE), fault);
    // Half a minute later each time, and a little more once it is no chance any more.
    assert_eq!((ends(&played), played.virtual_time), (vec![(0, "killed".to_owned())], Duration::from_secs(298)));
    let expected =
        |outcome: &str| deviations(&guests::drain_of(INSTANCE), &format!("{fault}[expect]\noutcome = {outcome:?}"));
    assert_eq!(expected("not-completed"), "");
    let shown: Vec<_> =
        verdict(&guests::drain_of(INSTANCE), fault).deliveries.into_iter().map(|(_, end)| end).collect();
    assert_eq!(shown, [Err("the host was killed in every delivery".to_owned())]);
    insta::assert_snapshot!(expected("done"), @"
    outcome:
      - done
      + not-completed: the host was killed in every delivery
    ");
}

#[test]
fn what_could_not_be_completed_is_delivered_again() {
    let fault = |nth: &str| format!("[[fault]]\noperation = \"lifecycle.complete\"\nfault = \"throttled\"\n{nth}");
    let after_one = played(&guests::done(), &fault("nth = [1, 2, 3]"));
    insta::assert_snapshot!(lines(&after_one, &["taken", "fault", "again", "attempt", "ended"]), @"
    00:00.000  instance-terminating i-0123456789abcdef0 taken by drain, deadline 2026-01-15T04:00:00Z
    00:00.000  attempt 1: done
    00:00.000  ! fault throttled: lifecycle.complete drain on i-0123456789abcdef0
    00:00.000  WARN: completing the lifecycle action failed; trying again error=CompleteLifecycleAction was throttled (Rate exceeded): a simulated fault tries=1
    00:01.000  ! fault throttled: lifecycle.complete drain on i-0123456789abcdef0
    00:01.000  WARN: completing the lifecycle action failed; trying again error=CompleteLifecycleAction was throttled (Rate exceeded): a simulated fault tries=2
    00:03.000  ! fault throttled: lifecycle.complete drain on i-0123456789abcdef0
    00:03.000  ERROR: not brought to its end error=event token-of-drain-i-0123456789abcdef0: the lifecycle action on i-0123456789abcdef0 could not be completed with CONTINUE: CompleteLifecycleAction was throttled (Rate exceeded): a simulated fault
    00:03.000  WARN: not brought to its end: delivered again error=event token-of-drain-i-0123456789abcdef0: the lifecycle action on i-0123456789abcdef0 could not be completed with CONTINUE: CompleteLifecycleAction was throttled (Rate exceeded): a simulated fault
    00:33.000  ~ lifecycle action ended drain on i-0123456789abcdef0: completed with CONTINUE
    00:33.000  done attempts=1 lifecycle=continue
    ");
    let never = played(&guests::done(), &fault(""));
    assert_eq!(ends(&never), [(0, "NotCompleted".to_owned())]);
    assert_eq!(
        never
            .journal
            .iter()
            .filter(|entry| matches!(&entry.what, What::Call(call) if call.operation == "lifecycle.complete"))
            .count(),
        30
    );
}

#[test]
fn an_event_of_another_account_is_not_delivered_again() {
    let played = played(&guests::done(), "[world]\naccount = \"210987654321\"");
    assert_eq!((ends(&played), played.virtual_time), (vec![(0, "Elsewhere".to_owned())], Duration::ZERO));
}

#[test]
fn a_variation_comes_on_top_of_the_case() {
    let case = case("[[fault]]\noperation = \"ecs.drain\"\nfault = \"throttled\"\nnth = 1");
    let second = Fault { operation: "ecs.drain".to_owned(), kind: FaultKind::Throttled, when: When::Nth(vec![2]) };
    let variation =
        Variation { faults: vec![second], deliveries: vec![(0, Duration::from_secs(60))], ..Variation::default() };
    let played = play(&case, &plugins(&case, &guests::drain_of(INSTANCE)), &variation);
    assert_eq!(played.ends.len(), 2);
    insta::assert_snapshot!(lines(&played, &["fault", "taken", "attempt"]), @"
    00:00.000  instance-terminating i-0123456789abcdef0 taken by drain, deadline 2026-01-15T04:00:00Z
    00:00.000  ! fault throttled: ecs.drain i-0123456789abcdef0
    00:00.000    ecs.drain i-0123456789abcdef0 -> throttled UpdateContainerInstancesState was throttled (Rate exceeded): a simulated fault
    00:00.000  attempt 1: failed, the handler returned an error: UpdateContainerInstancesState was throttled (Rate exceeded): a simulated fault
    00:01.000  ! fault throttled: ecs.drain i-0123456789abcdef0
    00:01.000    ecs.drain i-0123456789abcdef0 -> throttled UpdateContainerInstancesState was throttled (Rate exceeded): a simulated fault
    00:01.000  attempt 2: failed, the handler returned an error: UpdateContainerInstancesState was throttled (Rate exceeded): a simulated fault
    00:03.000  attempt 3: done
    00:03.000  done attempts=3 lifecycle=continue
    ");
}

#[test]
fn a_panic_of_the_host_is_told_in_its_own_words() {
    let told = |payload: &(dyn std::any::Any + Send)| match panicked(payload) {
        Ended::Broken(why) => why,
        other => panic!("{other:?}"),
    };
    let begin = "the host panicked, which is a defect of hostler: ";
    assert_eq!(told(&"a literal"), format!("{begin}a literal"));
    assert_eq!(told(&"a text".to_owned()), format!("{begin}a text"));
    assert_eq!(told(&1), format!("{begin}it said nothing"));
}

#[test]
fn the_event_of_a_case_is_delivered_before_a_handler_sees_it() {
    let case = Folder::new().read(&format!("{HEAD}{EVENT}")).unwrap();
    let played = play(&case, &plugins(&case, &guests::done()), &Variation::default());
    insta::assert_snapshot!(lines(&played, &[""]), @"
    00:00.000  ~ event delivered i-0123456789abcdef0: instance-terminating
    00:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Wait
    00:00.000  instance-terminating i-0123456789abcdef0 taken by drain, deadline 2026-01-15T04:00:00Z
    00:00.000  attempt 1: done
    00:00.000  ~ lifecycle action ended drain on i-0123456789abcdef0: completed with CONTINUE
    00:00.000  ~ lifecycle state i-0123456789abcdef0: Terminating:Proceed
    00:00.000  ~ instance shutting down i-0123456789abcdef0
    00:00.000  ~ container instance deregistered i-0123456789abcdef0: 3 tasks lost
    00:00.000  done attempts=1 lifecycle=continue
    ");
}
