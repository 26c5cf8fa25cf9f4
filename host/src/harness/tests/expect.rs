//! Each expectation, as it holds and as it does not: the deviation is what an author reads.

use super::{EVENT, Folder, HEAD, INSTANCE, case, deviations, plugins};
use crate::harness;
use crate::harness::expect::few;
use crate::harness::play::{Variation, play};
use crate::sim::MAX_ENTRIES;
use crate::testing::guests;

/// A case of two events: a termination, and a Spot interruption that another handler takes.
const TWO_EVENTS: &str = "plugins = { \"spot.wasm\" = \"plugin.wasm\" }\n[[event]]\nname = \"terminate\"\nkind = \"instance-terminating\"\n\
                          [[event]]\nname = \"spot\"\nkind = \"spot-interruption\"\n";

/// How `guest` deviates from a case of [`HEAD`] and `rest`.
fn deviations_of(guest: &[u8], rest: &str) -> String {
    let case = Folder::new().read(&format!("{HEAD}{rest}")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let verdict = harness::test(&case, &plugins(&case, guest), None);
    verdict.deviations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Asserts that each of these expectations holds.
#[track_caller]
fn hold(guest: &[u8], expectations: &[&str]) {
    for expected in expectations {
        assert_eq!(deviations(guest, &format!("[expect]\n{expected}")), "", "{expected}");
    }
}

/// How `guest` deviates from an expectation.
fn expecting(guest: &[u8], expected: &str) -> String {
    deviations(guest, &format!("[expect]\n{expected}"))
}

#[test]
fn outcome() {
    hold(
        &guests::done(),
        &["outcome = \"done\"", "outcome = [\"gave-up\", \"done\"]", "outcome = { instance-terminating = \"done\" }"],
    );
    hold(&guests::abandon(), &["outcome = \"abandoned\""]);
    hold(&guests::error(), &["outcome = \"gave-up\""]);
    insta::assert_snapshot!(expecting(&guests::abandon(), "outcome = \"done\""), @"
    outcome:
      - done
      + abandoned: abandoned after 1 attempt of drain: because; lifecycle action completed with ABANDON
    ");
    insta::assert_snapshot!(expecting(&guests::error(), "outcome = [\"done\", \"abandoned\"]"), @"
    outcome:
      - done or abandoned
      + gave-up: gave up after 3 attempts of drain: 3 attempts in a row failed; the last: the handler returned an error: broken; lifecycle action completed with ABANDON
    ");
    insta::assert_snapshot!(expecting(&guests::done(), "outcome = { instance-terminating = \"gave-up\" }"), @"
    outcome:
      - gave-up
      + done: done after 1 attempt of drain; lifecycle action completed with CONTINUE
    ");
}

#[test]
fn outcome_of_several_events() {
    assert_eq!(
        deviations_of(
            &guests::done(),
            &format!("{TWO_EVENTS}[expect]\noutcome = \"done\"\nlifecycle = {{ terminate = \"CONTINUE\" }}")
        ),
        ""
    );
    insta::assert_snapshot!(deviations_of(&guests::abandon(), &format!("{TWO_EVENTS}[expect]\noutcome = {{ spot = \"done\" }}\nlifecycle = \"none\"")), @"
    lifecycle of terminate:
      - none
      + ABANDON
    outcome of spot:
      - done
      + abandoned: abandoned after 1 attempt of spot: because; no lifecycle action to complete
    ");
}

#[test]
fn a_further_delivery_is_found_to_have_ended() {
    // The instance is gone by then, and the handler would fail.
    let twice = "at = [\"0s\", \"90s\"]\n[expect]\noutcome = \"done\"\nlifecycle = \"CONTINUE\"\nattempts = 1";
    assert_eq!(deviations(&guests::drain_of(INSTANCE), twice), "");
}

#[test]
fn no_handler_and_left_alone() {
    let launching = "[event]\nkind = \"instance-launching\"\n[expect]\n";
    assert_eq!(deviations_of(&guests::done(), &format!("{launching}outcome = \"no-handler\"")), "");
    assert_eq!(
        deviations_of(&guests::done(), &format!("{launching}outcome = {{ instance-launching = \"no-handler\" }}")),
        ""
    );
    insta::assert_snapshot!(deviations_of(&guests::done(), &format!("{launching}outcome = \"done\"")), @r#"
    handler:
      - drain
      + no handler's pattern matches the event
        the event: {"account":"123456789012","detail":{"AutoScalingGroupName":"web","Destination":"AutoScalingGroup","EC2InstanceId":"i-0123456789abcdef0","LifecycleActionToken":"token-of-drain-i-0123456789abcdef0","LifecycleHookName":"drain","LifecycleTransition":"autoscaling:EC2_INSTANCE_LAUNCHING","Origin":"EC2"},"detail-type":"EC2 Instance-launch Lifecycle Action","id":"instance-launching-i-0123456789abcdef0","region":"eu-central-1","resources":["arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0"],"source":"aws.autoscaling","time":"2026-01-15T03:00:00Z","version":"0"}
    outcome:
      - done
      + no-handler: no handler of the policy takes this event
    "#);
    insta::assert_snapshot!(deviations_of(&guests::done(), &format!("{launching}attempts = 0")), @r#"
    handler:
      - drain
      + no handler's pattern matches the event
        the event: {"account":"123456789012","detail":{"AutoScalingGroupName":"web","Destination":"AutoScalingGroup","EC2InstanceId":"i-0123456789abcdef0","LifecycleActionToken":"token-of-drain-i-0123456789abcdef0","LifecycleHookName":"drain","LifecycleTransition":"autoscaling:EC2_INSTANCE_LAUNCHING","Origin":"EC2"},"detail-type":"EC2 Instance-launch Lifecycle Action","id":"instance-launching-i-0123456789abcdef0","region":"eu-central-1","resources":["arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0"],"source":"aws.autoscaling","time":"2026-01-15T03:00:00Z","version":"0"}
    "#);

    let managed = format!("{EVENT}hook = \"ecs-managed-draining-termination-hook\"\n[expect]\n");
    assert_eq!(
        deviations_of(&guests::done(), &format!("{managed}outcome = \"left-alone\"\nlifecycle = \"waiting\"")),
        ""
    );
    insta::assert_snapshot!(deviations_of(&guests::done(), &format!("{managed}attempts = 0")), @r#"
    handler:
      - drain
      + left alone: hook "ecs-managed-draining-termination-hook" belongs to ECS, and no handler's pattern names it
        the event: {"account":"123456789012","detail":{"AutoScalingGroupName":"web","Destination":"EC2","EC2InstanceId":"i-0123456789abcdef0","LifecycleActionToken":"token-of-ecs-managed-draining-termination-hook-i-0123456789abcdef0","LifecycleHookName":"ecs-managed-draining-termination-hook","LifecycleTransition":"autoscaling:EC2_INSTANCE_TERMINATING","Origin":"AutoScalingGroup"},"detail-type":"EC2 Instance-terminate Lifecycle Action","id":"instance-terminating-i-0123456789abcdef0","region":"eu-central-1","resources":["arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0"],"source":"aws.autoscaling","time":"2026-01-15T03:00:00Z","version":"0"}
    "#);
}

#[test]
fn another_handler_of_the_policy_took_the_event() {
    let spot = "plugins = { \"spot.wasm\" = \"plugin.wasm\" }\n[event]\nkind = \"spot-interruption\"";
    insta::assert_snapshot!(deviations_of(&guests::done(), spot), @r#"
    handler:
      - drain
      + handler "spot" took the event: the first that matches, in the order of the policy
        the event: {"account":"123456789012","detail":{"instance-action":"terminate","instance-id":"i-0123456789abcdef0"},"detail-type":"EC2 Spot Instance Interruption Warning","id":"spot-interruption-i-0123456789abcdef0","region":"eu-central-1","resources":["arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0"],"source":"aws.ec2","time":"2026-01-15T03:00:00Z","version":"0"}
    "#);
}

#[test]
fn a_plugin_that_the_case_does_not_name() {
    insta::assert_snapshot!(deviations_of(&guests::done(), &format!("{}[expect]\noutcome = \"done\"", TWO_EVENTS.split_once('\n').unwrap().1)), @r#"
    outcome of spot:
      - done
      + gave-up: gave up after 5 attempts of spot: 5 attempts in a row failed; the last: no module to run: the case does not say which plugin spot.wasm is; write plugins = { "spot.wasm" = "…" }, the folder of its package; no lifecycle action to complete
    "#);
}

#[test]
fn an_event_of_another_account() {
    let elsewhere = "[world]\naccount = \"210987654321\"\n[expect]\n";
    assert_eq!(deviations(&guests::done(), &format!("{elsewhere}outcome = \"not-completed\"")), "");
    insta::assert_snapshot!(deviations(&guests::done(), &format!("{elsewhere}attempts = 0")), @r#"
    handler:
      - drain
      + event token-of-drain-i-0123456789abcdef0 is of account 123456789012 in eu-central-1, and this host serves account 210987654321 in eu-central-1: nothing was done; send it to a host there
        the event: {"account":"123456789012","detail":{"AutoScalingGroupName":"web","Destination":"EC2","EC2InstanceId":"i-0123456789abcdef0","LifecycleActionToken":"token-of-drain-i-0123456789abcdef0","LifecycleHookName":"drain","LifecycleTransition":"autoscaling:EC2_INSTANCE_TERMINATING","Origin":"AutoScalingGroup"},"detail-type":"EC2 Instance-terminate Lifecycle Action","id":"instance-terminating-i-0123456789abcdef0","region":"eu-central-1","resources":["arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0"],"source":"aws.autoscaling","time":"2026-01-15T03:00:00Z","version":"0"}
    "#);
}

#[test]
fn lifecycle() {
    hold(&guests::done(), &["lifecycle = \"CONTINUE\"", "lifecycle = [\"ABANDON\", \"CONTINUE\"]"]);
    hold(&guests::abandon(), &["lifecycle = \"ABANDON\""]);
    insta::assert_snapshot!(expecting(&guests::done(), "lifecycle = [\"ABANDON\", \"waiting\"]"), @"
    lifecycle:
      - ABANDON or waiting
      + CONTINUE
    ");
    let policy = super::POLICY.replace("max-attempts = 3", "max-attempts = 3, on-failure = \"leave\"");
    let left = Folder::new().write("hostler.toml", policy);
    let case = left.read(&format!("{HEAD}{EVENT}[expect]\nlifecycle = \"CONTINUE\"")).unwrap();
    let verdict = harness::test(&case, &plugins(&case, &guests::error()), None);
    insta::assert_snapshot!(verdict.deviations[0], @"
    lifecycle:
      - CONTINUE
      + waiting
    ");
    let times_out = "[[fault]]\noperation = \"lifecycle.heartbeat\"\nfault = \"throttled\"\n[expect]\nlifecycle = \"timed-out\"\n\
                     [[world.group]]\nname = \"web\"\n[[world.group.hook]]\nname = \"drain\"\ntransition = \"terminating\"\nheartbeat-timeout = \"1m\"";
    assert_eq!(deviations(&guests::again(120, 2), times_out), "");
}

#[test]
fn attempts() {
    hold(&guests::again(30, 3), &["attempts = 3", "attempts = { at-least = 2 }", "attempts = { at-most = 3 }"]);
    insta::assert_snapshot!(expecting(&guests::again(30, 3), "attempts = 2"), @"
    attempts:
      - 2
      + 3
        attempt 1: again, waiting
        attempt 2: again, waiting
        attempt 3: done
    ");
    insta::assert_snapshot!(expecting(&guests::error(), "attempts = { at-least = 4 }"), @"
    attempts:
      - at least 4
      + 3
        attempt 1: failed, the handler returned an error: broken
        attempt 2: failed, the handler returned an error: broken
        attempt 3: failed, the handler returned an error: broken
    ");
}

#[test]
fn calls_in_order() {
    let drain = guests::drain_of(INSTANCE);
    hold(
        &drain,
        &[
            "calls = [\"ecs.find-container-instance\", \"ecs.drain\", \"lifecycle.complete\"]",
            "calls = [\"ecs.* i-0123456789abcdef0\", \"ecs.drain *\"]",
            "calls = [\"*\", \"*\", \"*\", \"*\"]",
        ],
    );
    insta::assert_snapshot!(expecting(&drain, "calls = [\"lifecycle.complete\", \"ecs.drain\"]"), @"
    calls:
      - ecs.drain
      + nothing like it after lifecycle.complete
        there were:
          lifecycle.hook drain of web
          ecs.find-container-instance i-0123456789abcdef0
          ecs.drain i-0123456789abcdef0
          lifecycle.complete drain on i-0123456789abcdef0
    ");
    insta::assert_snapshot!(expecting(&drain, "calls = [\"ecs.drain i-0bbb*\"]"), @"
    calls:
      - ecs.drain i-0bbb*
      + nothing like it
        there were:
          lifecycle.hook drain of web
          ecs.find-container-instance i-0123456789abcdef0
          ecs.drain i-0123456789abcdef0
          lifecycle.complete drain on i-0123456789abcdef0
    ");
    insta::assert_snapshot!(expecting(&drain, "calls = [\"ecs.drain\", \"ecs.drain\"]"), @"
    calls:
      - ecs.drain
      + nothing like it after ecs.drain
        there were:
          lifecycle.hook drain of web
          ecs.find-container-instance i-0123456789abcdef0
          ecs.drain i-0123456789abcdef0
          lifecycle.complete drain on i-0123456789abcdef0
    ");
    insta::assert_snapshot!(deviations_of(&guests::done(), "[event]\nkind = \"instance-launching\"\n[expect]\noutcome = \"no-handler\"\ncalls = [\"ecs.drain\"]"), @"
    calls:
      - ecs.drain
      + nothing like it
        there were none
    ");
}

#[test]
fn calls_in_any_order() {
    let drain = guests::drain_of(INSTANCE);
    hold(&drain, &["calls-in-any-order = [\"lifecycle.complete\", \"ecs.drain\"]"]);
    insta::assert_snapshot!(expecting(&drain, "calls-in-any-order = [\"ssh.exec\", \"ecs.drain\", \"ec2.*\"]"), @"
    calls-in-any-order:
      - ssh.exec
      + never made
        there were:
          lifecycle.hook drain of web
          ecs.find-container-instance i-0123456789abcdef0
          ecs.drain i-0123456789abcdef0
          lifecycle.complete drain on i-0123456789abcdef0
    calls-in-any-order:
      - ec2.*
      + never made
        there were:
          lifecycle.hook drain of web
          ecs.find-container-instance i-0123456789abcdef0
          ecs.drain i-0123456789abcdef0
          lifecycle.complete drain on i-0123456789abcdef0
    ");
}

#[test]
fn never() {
    hold(&guests::drain_of(INSTANCE), &["never = [\"ssh.exec\", \"ecs.drain i-0bbb*\"]"]);
    insta::assert_snapshot!(expecting(&guests::drain_of(INSTANCE), "never = [\"ssh.exec\", \"ecs.drain\", \"* i-0123*\"]"), @"
    never:
      - never ecs.drain
      + ecs.drain i-0123456789abcdef0
    never:
      - never * i-0123*
      + ecs.find-container-instance i-0123456789abcdef0
    ");
}

#[test]
fn refused() {
    let other = guests::drain_of("i-0bbbbbbbbbbbbbbb2");
    hold(&other, &["refused = [\"ecs.drain i-0bbbbbbbbbbbbbbb2\"]\nnever = [\"ecs.drain\"]"]);
    insta::assert_snapshot!(expecting(&other, "refused = [\"ecs.stop-task\"]"), @"
    refused:
      - ecs.stop-task
      + never refused
        there were:
          ecs.drain i-0bbbbbbbbbbbbbbb2 (3 times)
    ");
    let drain = guests::drain_of(INSTANCE);
    insta::assert_snapshot!(expecting(&drain, "refused = [\"ecs.drain\"]"), @"
    refused:
      - ecs.drain
      + never refused
        there were none
    ");
    let by_iam = "[[fault]]\noperation = \"ecs.drain\"\nfault = \"access-denied\"\n[expect]\nrefused = [\"ecs.drain\"]";
    assert_eq!(deviations(&drain, by_iam), "");
}

#[test]
fn log() {
    hold(
        &guests::says("left running: web x1"),
        &["log = [\"left running: *\"]", "log = [\"*web*\"]\nnever-log = [\"left\"]"],
    );
    insta::assert_snapshot!(expecting(&guests::says("left running: web x1"), "log = [\"left*\", \"right*\"]"), @"
    log:
      - right*
      + nothing like it after left*
        there were:
          left running: web x1
    ");
    insta::assert_snapshot!(expecting(&guests::done(), "log = [\"left*\"]"), @"
    log:
      - left*
      + nothing like it
        there were none
    ");
    insta::assert_snapshot!(expecting(&guests::says("left running: web x1"), "never-log = [\"*web*\"]"), @"
    never-log:
      - never *web*
      + left running: web x1
    ");
}

#[test]
fn tasks_lost() {
    insta::assert_snapshot!(expecting(&guests::done(), "tasks-lost-at-most = 1"), @"
    tasks-lost-at-most:
      - 1
      + 3
        lost: service:web on i-0123456789abcdef0, service:worker on i-0123456789abcdef0, family:nightly-report on i-0123456789abcdef0
    ");
    hold(&guests::done(), &["tasks-lost-at-most = 3"]);
}

#[test]
fn virtual_time() {
    hold(&guests::again(30, 3), &["virtual-time-at-most = \"60s\""]);
    insta::assert_snapshot!(expecting(&guests::again(30, 3), "virtual-time-at-most = \"59s\""), @"
    virtual-time-at-most:
      - 59s
      + 1m
    ");
}

#[test]
fn memory() {
    hold(&guests::done(), &["memory-at-most = \"1MiB\""]);
    insta::assert_snapshot!(expecting(&guests::done(), "memory-at-most = \"1KiB\""), @"
    memory-at-most:
      - 1.0 KiB
      + 64.3 KiB
    ");
}

#[test]
fn instances_at_the_end() {
    let instance = |keys: &str| expecting(&guests::drain_of(INSTANCE), &format!("[[expect.instance]]\n{keys}"));
    assert_eq!(
        instance(
            "container-instance-status = \"DRAINING\"\nlifecycle-state = \"Terminating:Proceed\"\nprotected-from-scale-in = false\nstate = \"shutting-down\""
        ),
        ""
    );
    insta::assert_snapshot!(instance("container-instance-status = \"ACTIVE\"\nlifecycle-state = \"InService\"\nprotected-from-scale-in = true\nstate = \"running\""), @"
    instance i-0123456789abcdef0: state:
      - running
      + shutting-down
    instance i-0123456789abcdef0: lifecycle-state:
      - InService
      + Terminating:Proceed
    instance i-0123456789abcdef0: container-instance-status:
      - ACTIVE
      + DRAINING
    instance i-0123456789abcdef0: protected-from-scale-in:
      - true
      + false
    ");
    insta::assert_snapshot!(instance("id = \"i-0bbbbbbbbbbbbbbb2\"\nstate = \"running\""), @"
    instance i-0bbbbbbbbbbbbbbb2:
      - in the world
      + no such instance
    ");
    let nowhere = "[[world.instance]]\nid = \"i-0123456789abcdef0\"\ngroup = \"web\"\n[[expect.instance]]\n";
    assert_eq!(deviations(&guests::done(), &format!("{nowhere}container-instance-status = \"none\"")), "");
    insta::assert_snapshot!(deviations(&guests::done(), &format!("{nowhere}container-instance-status = \"DRAINING\"")), @"
    instance i-0123456789abcdef0: container-instance-status:
      - DRAINING
      + none
    ");
}

#[test]
fn tasks_at_the_end() {
    let waits = guests::again(60, 2);
    let task = |keys: &str| expecting(&waits, &format!("[[expect.task]]\n{keys}"));
    assert_eq!(task("service = \"web\"\nlast-status = \"LOST\""), "");
    assert_eq!(task("family = \"nightly-report\"\nlast-status = \"LOST\""), "");
    insta::assert_snapshot!(task("service = \"web\"\nlast-status = \"STOPPED\""), @"
    task service:web on i-0123456789abcdef0: last-status:
      - STOPPED
      + LOST
    ");
    insta::assert_snapshot!(task("service = \"api\"\nlast-status = \"STOPPED\""), @"
    task service:api on i-0123456789abcdef0: last-status:
      - STOPPED
      + no such task; there are: service:web, service:worker, family:nightly-report
    ");
    insta::assert_snapshot!(task("instance = \"i-0bbbbbbbbbbbbbbb2\"\nfamily = \"nightly-report\"\nlast-status = \"STOPPED\""), @"
    task family:nightly-report on i-0bbbbbbbbbbbbbbb2: last-status:
      - STOPPED
      + no such task; there are: none
    ");
}

#[test]
fn a_long_list_is_cut_and_repetitions_are_counted() {
    let deviation = expecting(&guests::again(1, 20), "attempts = 1");
    insta::assert_snapshot!(deviation, @"
    attempts:
      - 1
      + 20
        attempt 1: again, waiting
        attempt 2: again, waiting
        attempt 3: again, waiting
        attempt 4: again, waiting
        attempt 5: again, waiting
        attempt 6: again, waiting
        attempt 7: again, waiting
        attempt 8: again, waiting
        attempt 9: again, waiting
        attempt 10: again, waiting
        attempt 11: again, waiting
        attempt 12: again, waiting
        and 8 more
    ");
    let lines = (0..20).map(|line| format!("line {}", line / 2));
    insta::assert_snapshot!(few(lines.chain((0..5).map(|line| format!("last {line}")))).join("\n"), @"
    line 0 (2 times)
    line 1 (2 times)
    line 2 (2 times)
    line 3 (2 times)
    line 4 (2 times)
    line 5 (2 times)
    line 6 (2 times)
    line 7 (2 times)
    line 8 (2 times)
    line 9 (2 times)
    last 0
    last 1
    and 3 more
    ");
}

#[test]
fn a_run_that_the_journal_has_no_room_for_is_not_judged_by_its_beginning() {
    let case = case("");
    let mut played = play(&case, &plugins(&case, &guests::done()), &Variation::default());
    played.journal = vec![played.journal[0].clone(); MAX_ENTRIES];
    insta::assert_snapshot!(case.expectation.judge(&case, &played, None).deviations[0], @"
    run:
      - an end that can be judged
      + more than 100000 things happened: does the handler come back too soon?
    ");
}
