//! What is said of instances that are stuck, in the simulated world.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::ledger::{Ended, Finishing, Item, LEASE, Lease, Open, Order};
use crate::lifecycle::{Completion, LifecycleResult};
use crate::outcome::Decision;
use crate::policy::Policy;
use crate::ports::InstanceId;
use crate::sim::{Fault, FaultKind, When, World};
use crate::testing::{INSTANCE, START, ended_item, open_item, policy, terminating, told};

/// What the handler is granted in these tests, unless they say otherwise.
const GRANTS: &str = "[handler.grants]\necs = { clusters = [\"prod\"], allow = [\"read\", \"drain\", \"stop-task\"] }\nautoscaling = { groups = [\"web\"], allow = [\"read\"] }";

fn now() -> Timestamp {
    START.parse().unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

/// A minute after its only attempt, with another due in twelve seconds.
fn waiting(outcome: &str, note: &str) -> Item {
    let due = now() + SignedDuration::from_secs(12);
    Item { taken: ago(300), attempts: 1, due, wake: due, told: vec![told(outcome, note)], ..open_item() }
}

/// Our instance with what the test adds, its action under way.
fn world(rest: &str) -> World {
    let head = format!(
        "start = \"{START}\"\naccount = \"123456789012\"\nregion = \"eu-central-1\"\n[[cluster]]\nname = \"prod\"\n\
         [[group]]\nname = \"web\"\n[[group.hook]]\nname = \"drain\"\ntransition = \"terminating\"\n\
         [[instance]]\nid = \"{INSTANCE}\"\ngroup = \"web\"\ncluster = \"prod\"\n"
    );
    let world = World::parse("world.toml", &format!("{head}{rest}")).unwrap_or_else(|error| panic!("{error}"));
    world.deliver(&terminating()).unwrap();
    world
}

async fn look(world: &World, policy: &Policy) -> Sight {
    let instance = InstanceId::parse(INSTANCE).unwrap();
    let clusters = policy.handlers[0].grants.ecs.as_ref().map(|grant| grant.clusters.clone());
    Sight::of(&instance, clusters, &world.ports(), world).await
}

/// Sets the container instance to DRAINING, and lets time pass.
async fn drain(world: &World, seconds: u64) {
    let scope = crate::policy::Scope::new(policy(GRANTS).handlers[0].clone(), InstanceId::parse(INSTANCE).ok());
    let ports = world.ports();
    let id = InstanceId::parse(INSTANCE).unwrap();
    let find = scope.find_container_instance(crate::policy::EcsCall::Drain, id).unwrap();
    let seen = ports.ecs.find_container_instance(find).await.unwrap().unwrap();
    ports.ecs.drain(scope.drain(seen).unwrap()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
}

fn diagnosis(open: &Open, ended: &Ended, policy: &Policy, sight: Option<&Sight>) -> Diagnosis {
    let instance = InstanceId::parse(INSTANCE).unwrap();
    diagnose(&Book { instance: &instance, open, ended, given_up: &BTreeMap::new(), policy, now: now() }, sight)
}

fn one(item: Item) -> Open {
    Open { items: vec![item], ..Open::default() }
}

fn words(diagnosis: &Diagnosis) -> String {
    let Finding { conclusion, remedy, command } = &diagnosis.finding;
    let command = command.as_ref().map(|command| format!("\n$ {command}")).unwrap_or_default();
    format!("{conclusion}\n-> {}{command}", remedy.as_deref().unwrap_or("nothing"))
}

/// What is said of an item by the ledger alone.
fn by_the_ledger(open: &Open) -> String {
    words(&diagnosis(open, &Ended::default(), &policy(GRANTS), None))
}

/// What is said of an item that waits for its tasks, in a world that is draining for so long.
async fn in_a_world(rest: &str, drained_for: u64) -> String {
    let world = world(rest);
    drain(&world, drained_for).await;
    let policy = policy(GRANTS);
    let sight = look(&world, &policy).await;
    words(&diagnosis(&one(waiting("again", "1 task left")), &Ended::default(), &policy, Some(&sight)))
}

fn task(rest: &str) -> String {
    format!("[[task]]\ninstance = \"{INSTANCE}\"\n{rest}\n")
}

fn service(limits: &str, tasks: usize) -> String {
    let tasks = task("service = \"web\"\nstops-in = \"10s\"").repeat(tasks);
    format!("[[service]]\nname = \"web\"\ncluster = \"prod\"\n{limits}\n{tasks}")
}

const SECOND: &str = "[[instance]]\nid = \"i-0aaaaaaaaaaaaaaa2\"\ncluster = \"prod\"\n";

#[tokio::test(start_paused = true)]
async fn limits_that_let_nothing_move_are_named_with_what_would() {
    let rest = format!("{SECOND}{}", service("maximum-percent = 100", 2));
    insta::assert_snapshot!(in_a_world(&rest, 60).await, @"
    ECS cannot move 2 tasks of service web: 2 of 2 run, its minimum healthy percent keeps 2 running, and its maximum percent allows 2, so that it may neither stop one nor start another first
    -> let it start another before it stops one, by raising the maximum, or stop one first, by lowering the minimum
    $ aws ecs update-service --cluster prod --service web --deployment-configuration maximumPercent=200,minimumHealthyPercent=100
    ");
}

#[tokio::test(start_paused = true)]
async fn a_service_without_room_elsewhere_says_so_itself() {
    insta::assert_snapshot!(in_a_world(&service("", 1), 60).await, @"
    ECS cannot replace 1 task of service web, and stops none before its replacement runs; it says: (service web) was unable to place a task because no container instance met all of its requirements
    -> make room for web in the cluster (more container instances, or fewer tasks), or lower its minimum healthy percent
    ");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_moves_is_waited_for() {
    let rest = format!("{SECOND}{}", service("", 2));
    insta::assert_snapshot!(in_a_world(&rest, 5).await, @"
    ECS is replacing 2 tasks of service web: 2 replacements are on the way, and it stops these once they run
    -> nothing
    ");
    insta::assert_snapshot!(in_a_world(&rest, 21).await, @"
    ECS is taking them out of their load balancers: 2 tasks (web x2), last seen DEACTIVATING
    -> that lasts as long as the deregistration delay of their target groups, 5 minutes unless it was changed
    ");
}

#[tokio::test(start_paused = true)]
async fn tasks_that_do_not_stop_are_told_from_those_that_are_not_asked_to() {
    insta::assert_snapshot!(in_a_world(&task("service = \"web\"\nstuck = true"), 60).await, @"
    ECS has told them to stop, and they are not through: 1 task (web x1), last seen STOPPING
    -> they are killed after the stopTimeout of their containers, or the agent's ECS_CONTAINER_STOP_TIMEOUT (30s); if it is long past, look at Docker on the node
    ");
    insta::assert_snapshot!(in_a_world(&task("service = \"web\"\nstops-in = \"2m\""), 10).await, @"
    ECS is taking them out of their load balancers: 1 task (web x1), last seen DEACTIVATING
    -> that lasts as long as the deregistration delay of their target groups, 5 minutes unless it was changed
    ");
    insta::assert_snapshot!(without_ids(&in_a_world(&task("family = \"nightly\""), 60).await), @"
    it runs 1 task (nightly x1) of no service, which draining leaves alone: they end by themselves, or when somebody stops them
    -> its handler may stop them, and may be giving them time. By hand
    $ aws ecs stop-task --cluster prod --task ID
    ");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_not_connected_is_the_first_thing_to_know() {
    let world = world(&task("service = \"web\"").replace("[[task]]", "agent-disconnects-after = \"1s\"\n[[task]]"));
    drain(&world, 60).await;
    let policy = policy(GRANTS);
    let sight = look(&world, &policy).await;
    insta::assert_snapshot!(words(&diagnosis(&one(waiting("again", "1 task left")), &Ended::default(), &policy, Some(&sight))), @"
    its ECS agent is not connected, so 1 task (web x1) may never be reported as stopped
    -> look at the agent on the node (systemctl status ecs); if the node is dead, there is nothing to drain any more: hostler finish
    ");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_nobody_drains_says_what_the_policy_lacks() {
    let world = world(&task("service = \"web\""));
    let policy = policy("[handler.grants]\necs = { clusters = [\"prod\"], allow = [\"read\"] }");
    let sight = look(&world, &policy).await;
    insta::assert_snapshot!(words(&diagnosis(&one(waiting("again", "waiting")), &Ended::default(), &policy, Some(&sight))), @r#"
    its container instance is still ACTIVE in cluster prod, so that nothing moves 1 task (web x1) away: nobody has set it to DRAINING
    -> its handler cannot: its ecs grant (line 12) allows only "read"; to allow it, add "drain" to grants.ecs.allow
    "#);
}

#[tokio::test(start_paused = true)]
async fn what_the_world_no_longer_waits_for_is_said_first() {
    let (over, policy) = (world(""), policy(GRANTS));
    // An hour is the default of a hook, and EC2 takes its time after that.
    tokio::time::sleep(std::time::Duration::from_secs(3601)).await;
    let open = one(Item { failures: 3, ..waiting("failed", "broken") });
    let mut sight = look(&over, &policy).await;
    sight.machine = look(&world(""), &policy).await.machine;
    insta::assert_snapshot!(words(&diagnosis(&open, &Ended::default(), &policy, Some(&sight))), @"
    Auto Scaling waits no longer: the instance is Terminating:Proceed, so that hook drain has timed out, or was completed by another hand
    -> its work can still be brought to its end, and nothing depends on it: hostler finish
    ");

    let mut kept = look(&world(""), &policy).await;
    kept.machine = Ok(crate::ports::Instance { state: "terminated".into(), ..kept.machine.unwrap() });
    insta::assert_snapshot!(words(&diagnosis(&open, &Ended::default(), &policy, Some(&kept))), @"
    the instance is gone (EC2 says: terminated), so that nothing is left to be done on it
    -> its handler should see that with its next attempt, and say done; to end it at once: hostler finish
    ");

    insta::assert_snapshot!(by_the_ledger(&one(Item { over: true, ..waiting("again", "waiting") })), @"
    Auto Scaling waits no longer: it has said so to a heartbeat, so that the hook has timed out, or was completed by another hand
    -> its work can still be brought to its end, and nothing depends on it: hostler finish
    ");
}

#[tokio::test(start_paused = true)]
async fn the_evidence_is_what_was_read_and_seen() {
    let world = world(&format!("{SECOND}{}{}", service("maximum-percent = 100", 2), task("family = \"nightly\"")));
    drain(&world, 60).await;
    let policy = policy(GRANTS);
    let sight = look(&world, &policy).await;
    let order =
        Order { result: LifecycleResult::Continue, by: "arn:aws:iam::123456789012:user/ops".into(), at: ago(5) };
    let item = Item { failures: 2, interrupted: 1, order: Some(order), ..waiting("failed", "broken") };
    let ended = Ended { items: vec![ended_item(Decision::Done, Some(Completion::Continue))], ..Ended::default() };
    let Diagnosis { ledger, world, unknown, .. } = diagnosis(&one(item), &ended, &policy, Some(&sight));
    assert_eq!(unknown, [""; 0]);
    insta::assert_snapshot!(ledger.join("\n"), @"
    terminating, hook drain of group web: handler under-test, taken 5m ago, deadline in 60m
      its next attempt is due in 12s
      attempt 1 ended 60s ago: failed: broken
      failures in a row: 2
      attempts in a row that ended with their host, or with their door's time: 1
      ordered 5s ago by arn:aws:iam::123456789012:user/ops: CONTINUE
    instance-terminating, ended 60s ago: done after 1 attempt of under-test; lifecycle action completed with CONTINUE
    ");
    insta::assert_snapshot!(without_ids(&world.join("\n")), @"
    EC2: running, on-demand, m7g.large, 10.0.0.10
    Auto Scaling: Terminating:Wait in group web
    ECS: DRAINING in cluster prod, agent connected
      task ID of service web: RUNNING, to be RUNNING
      task ID of service web: RUNNING, to be RUNNING
      task ID of no service, nightly: RUNNING, to be RUNNING
      service web: desired 2, running 2, pending 0; minimum 100%, maximum 100%
        it says: (service web) was unable to stop or start tasks during a deployment because of the service deployment configuration
    ");
}

/// Ids of tasks are long, and made of names.
fn without_ids(text: &str) -> String {
    let is_id = |word: &str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split(' ').map(|word| if is_id(word) { "ID" } else { word }).collect::<Vec<_>>().join(" ")
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_seen_is_named_and_does_not_keep_the_rest_from_being_seen() {
    let fault = |operation: &str| Fault {
        operation: operation.to_owned(),
        kind: FaultKind::AccessDenied,
        when: When::Nth(vec![1]),
    };
    let world = world(&task("service = \"web\""))
        .with_faults(vec![fault("autoscaling.describe-instance"), fault("ecs.list-tasks")], 0);
    let policy = policy(GRANTS);
    let sight = look(&world, &policy).await;
    let diagnosis = diagnosis(&one(waiting("again", "1 task left")), &Ended::default(), &policy, Some(&sight));
    insta::assert_snapshot!(words(&diagnosis), @"
    it waits, as its handler has asked: 1 task left; the next attempt is due in 12s
    -> nothing
    ");
    insta::assert_snapshot!(diagnosis.unknown.join("\n"), @"
    its state in its group: DescribeAutoScalingInstances was refused (AccessDenied): a simulated fault
    its tasks: DescribeTasks was refused (AccessDenied): a simulated fault
    ");
    insta::assert_snapshot!(diagnosis.world.join("\n"), @"
    EC2: running, on-demand, m7g.large, 10.0.0.10
    ECS: ACTIVE in cluster prod, agent connected
    ");
}

#[test]
fn notes_tell_of_denials_permissions_and_hosts_that_are_not_reached() {
    let said = |note: &str| by_the_ledger(&one(Item { failures: 2, ..waiting("failed", note) }));
    // As it was denied under another policy: what the one at hand lacks is said.
    insta::assert_snapshot!(said("the handler returned an error: handler \"under-test\" may not call ec2.describe-instance on i-0123456789abcdef0: it has no ec2 grant; to allow it…"), @r#"
    its handler may not call ec2.describe-instance: it has no ec2 grant
    -> to allow it, add ec2 = { allow = ["read"] } to its [handler.grants] (line 11), and give the policy to the hosts
    "#);
    insta::assert_snapshot!(said("handler \"under-test\" may not call ecs.drain on i-0123456789abcdef0: its ecs grant (line 9) is for clusters \"prod\", and the instance is in \"test\"; to allow it, add \"test\" to grants.ecs.clusters"), @r#"
    its handler was denied a call by the policy: it may not call ecs.drain on i-0123456789abcdef0: its ecs grant (line 9) is for clusters "prod", and the instance is in "test"; to allow it, add "test" to grants.ecs.clusters
    -> nothing
    "#);
    insta::assert_snapshot!(said("ecs:StopTask for task t: not allowed by IAM (AccessDeniedException: no, HTTP 400, request req-1); allow ecs:StopTask for the role Hostler runs as"), @"
    the role that its host runs as lacks a permission of IAM: ecs:StopTask
    -> allow ecs:StopTask for that role
    ");
    insta::assert_snapshot!(said("ecs:StopTask for task t: not allowed by IAM (AccessDeniedException: it was c…"), @"
    the role that its host runs as lacks a permission of IAM: ecs:StopTask
    -> allow ecs:StopTask for that role
    ");
    insta::assert_snapshot!(said("before: uptime: i-0123456789abcdef0 cannot be reached at 10.0.0.1:22: Connection refused (os error 111); nothing listens there"), @"
    its host does not reach the node over SSH: before: uptime: i-0123456789abcdef0 cannot be reached at 10.0.0.1:22: Connection refused (os error 111); nothing listens there
    -> look at its security group, its routes and its sshd; if the node is dead, nothing more can be done on it: hostler finish
    ");
    insta::assert_snapshot!(said("i-0123456789abcdef0 at 10.0.0.1 shows a host key that is not the one expected; nothing was sent to it"), @"
    over SSH, the node does not prove that it is this instance: i-0123456789abcdef0 at 10.0.0.1 shows a host key that is not the one expected; nothing was sent to it
    -> see host-keys in the grant ssh of its handler, and never accept a host key only to get on
    ");
}

#[test]
fn without_any_of_these_the_ledger_says_where_the_work_stands() {
    insta::assert_snapshot!(by_the_ledger(&one(Item { failures: 1, ..waiting("failed", "broken") })), @"
    its last attempt failed: broken. The next is due in 12s; after 5 in a row the host gives up, with ABANDON where the instance leaves
    -> mend the plugin and upload it: the next attempt runs the newest one
    ");
    insta::assert_snapshot!(by_the_ledger(&one(Item { failures: 4, ..waiting("failed", "") })), @"
    its last 4 attempts failed: it does not say why. The next is due in 12s; after 5 in a row the host gives up, with ABANDON where the instance leaves
    -> mend the plugin and upload it: the next attempt runs the newest one
    ");
    insta::assert_snapshot!(by_the_ledger(&one(Item { interrupted: 3, ..waiting("again", "") })), @"
    its last 3 attempts ended with their host, or with the time that its door had
    -> see whether hosts are killed (memory, deployments), and whether the function's timeout is longer than the handler's wall limit
    ");
    insta::assert_snapshot!(by_the_ledger(&one(waiting("again", "2 tasks left"))), @"
    it waits, as its handler has asked: 2 tasks left; the next attempt is due in 12s
    -> nothing
    ");
    insta::assert_snapshot!(by_the_ledger(&one(open_item())), @"
    nothing: its first attempt is due now
    -> nothing
    ");
    let order = Order { result: LifecycleResult::Abandon, by: "me@laptop".into(), at: ago(5) };
    insta::assert_snapshot!(by_the_ledger(&one(Item { order: Some(order), ..waiting("again", "") })), @"
    me@laptop has ordered ABANDON for it 5s ago; the next host that takes it up carries that out, in 12s or sooner
    -> to carry it out at once, give the order again
    ");
}

#[tokio::test(start_paused = true)]
async fn the_order_of_a_person_that_waits_comes_first() {
    let order = || Some(Order { result: LifecycleResult::Continue, by: "me@laptop".into(), at: ago(600) });
    let ordered = Item { order: order(), ..waiting("failed", "broken") };
    let late = Item { wake: ago(600), ..ordered.clone() };
    insta::assert_snapshot!(by_the_ledger(&one(late)), @"
    me@laptop has ordered CONTINUE for it 10m ago; its next step is overdue since 2026-01-15T02:50:00Z (10m ago): no host has come for it
    -> to carry it out at once, give the order again
    ");
    let worse = Item { id: "another".into(), wake: ago(900), ..waiting("again", "") };
    insta::assert_snapshot!(by_the_ledger(&Open { items: vec![worse, ordered.clone()], ..Open::default() }), @"
    me@laptop has ordered CONTINUE for it 10m ago; the next host that takes it up carries that out, in 12s or sooner
    -> to carry it out at once, give the order again
    ");
    let holder = "worker-1 (process 7)".to_owned();
    let lease = Lease { id: "1".into(), holder, item: ordered.id.clone(), since: ago(8), until: ago(8) + LEASE };
    insta::assert_snapshot!(by_the_ledger(&Open { lease: Some(lease), ..one(ordered.clone()) }), @"
    me@laptop has ordered CONTINUE for it 10m ago; worker-1 (process 7) is at work on the instance, and it is carried out after that
    -> to carry it out at once, give the order again
    ");
    let policy = policy(GRANTS);
    let mut gone = look(&world(""), &policy).await;
    gone.machine = Ok(crate::ports::Instance { state: "terminated".into(), ..gone.machine.unwrap() });
    insta::assert_snapshot!(words(&diagnosis(&one(ordered), &Ended::default(), &policy, Some(&gone))), @"
    me@laptop has ordered CONTINUE for it 10m ago; the next host that takes it up carries that out, in 12s or sooner
    -> to carry it out at once, give the order again
    ");
}

#[test]
fn an_end_is_told_in_the_same_words_everywhere() {
    let finishing = |decision| {
        let result = Some(LifecycleResult::Abandon);
        let item =
            Item { finishing: Some(Finishing { decision, result, sent: false, at: ago(60) }), ..waiting("again", "") };
        let diagnosis = diagnosis(&one(item), &Ended::default(), &policy(GRANTS), None);
        format!("{}\n{}", diagnosis.finding.conclusion, diagnosis.ledger.last().unwrap())
    };
    let by = "me@laptop".to_owned();
    insta::assert_snapshot!(finishing(Decision::Ordered { result: LifecycleResult::Abandon, by }), @"
    its end was decided 60s ago (ended by order of me@laptop), and Auto Scaling could not be told ABANDON yet; the next try is due in 12s
      decided 60s ago, ended by order of me@laptop: ABANDON
    ");
    insta::assert_snapshot!(finishing(Decision::Abandon { why: String::new() }), @"
    its end was decided 60s ago (abandoned: no reason given), and Auto Scaling could not be told ABANDON yet; the next try is due in 12s
      decided 60s ago, abandoned: no reason given: ABANDON
    ");
}

#[test]
fn an_end_that_is_decided_only_has_to_be_told() {
    let why = "5 attempts in a row failed; the last: broken".to_owned();
    let finishing = Finishing {
        decision: Decision::GaveUp { why },
        result: Some(LifecycleResult::Abandon),
        sent: true,
        at: ago(60),
    };
    let left = Finishing { result: None, ..finishing.clone() };
    insta::assert_snapshot!(by_the_ledger(&one(Item { finishing: Some(finishing), ..waiting("failed", "broken") })), @"
    its end was decided 60s ago (gave up: 5 attempts in a row failed; the last: broken), and Auto Scaling could not be told ABANDON yet; the next try is due in 12s
    -> the host's log says what Auto Scaling answers; hostler finish tells it with your own credentials
    ");
    insta::assert_snapshot!(by_the_ledger(&one(Item { finishing: Some(left), ..waiting("failed", "broken") })), @"
    its end was decided 60s ago (gave up: 5 attempts in a row failed; the last: broken), and only has to be written down
    -> nothing
    ");
}

#[test]
fn work_that_is_being_done_or_comes_after_other_work_says_by_whom() {
    let item = Item { attempts: 2, ..waiting("again", "2 tasks left") };
    let lease = |item: &str| Lease {
        id: "1".into(),
        holder: "worker-1 (process 7)".into(),
        item: item.to_owned(),
        since: ago(8),
        until: ago(8) + LEASE,
    };
    insta::assert_snapshot!(by_the_ledger(&Open { lease: Some(lease(&item.id)), ..one(item.clone()) }), @"
    worker-1 (process 7) works on it, for 8s: attempt 2
    -> nothing
    ");
    insta::assert_snapshot!(by_the_ledger(&Open { lease: Some(lease("another")), ..one(item) }), @"
    worker-1 (process 7) works on other work for the same instance, for 8s: one thing at a time, this comes after it
    -> nothing
    ");
}

#[test]
fn work_that_nobody_comes_for_says_what_is_known_what_is_likely_and_what_to_do() {
    let open = one(Item { wake: ago(600), ..waiting("again", "2 tasks left") });
    insta::assert_snapshot!(by_the_ledger(&open), @"
    its next step is overdue since 2026-01-15T02:50:00Z (10m ago): no host has come for it
    -> it goes on when its event is delivered again, or once a host has [sweep]; meanwhile hostler finish or hostler abandon ends it
    ");
    let mut swept = policy(GRANTS);
    swept.sweep = Some(crate::policy::SweepPolicy { every: std::time::Duration::from_secs(60) });
    insta::assert_snapshot!(words(&diagnosis(&open, &Ended::default(), &swept, None)), @"
    its next step is overdue since 2026-01-15T02:50:00Z (10m ago): no host has come for it
    -> see whether a host with [sweep] runs: it takes such work up, every 1 minute; meanwhile hostler finish or hostler abandon ends it
    ");
    let by = |sections: &str| words(&diagnosis(&open, &Ended::default(), &policy(sections), None));
    let ledger = "[ledger]\nstore = \"dir:ledger\"\n";
    let queue = "[queue]\nurl = \"https://sqs.eu-central-1.amazonaws.com/123456789012/events\"\n";
    insta::assert_snapshot!(by(&format!("{ledger}{queue}")), @"
    its next step is overdue since 2026-01-15T02:50:00Z (10m ago): no host has come for it
    -> see whether a host runs and receives from the queue. If one does, the message is probably lost: add [sweep] to the policy, which takes such work up; meanwhile hostler finish or hostler abandon ends it
    ");
    insta::assert_snapshot!(by(&format!("{ledger}[imds]")), @"
    its next step is overdue since 2026-01-15T02:50:00Z (10m ago): no host has come for it
    -> see whether the agent on the instance runs: it takes its work up when it starts; if it cannot, hostler finish or hostler abandon ends it
    ");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_open_it_says_what_became_of_it_and_who_waits_all_the_same() {
    let policy = policy(GRANTS);
    let nothing = Open::default();
    let ended = |decision, lifecycle| Ended { items: vec![ended_item(decision, lifecycle)], ..Ended::default() };
    let kept = self::policy("[ledger]\nstore = \"dir:ledger\"");
    insta::assert_snapshot!(words(&diagnosis(&nothing, &Ended::default(), &kept, None)), @"
    nothing that the ledger knows: no event about it has come here, or it ended more than 7 days ago
    -> nothing
    ");
    insta::assert_snapshot!(words(&diagnosis(&nothing, &Ended::default(), &policy, None)), @"
    nothing that the ledger knows: no event about it has come here
    -> nothing
    ");
    let done = ended(Decision::Done, Some(Completion::Continue));
    insta::assert_snapshot!(words(&diagnosis(&nothing, &done, &policy, None)), @"
    nothing: no work is open for it; its last ended 60s ago: done after 1 attempt of under-test; lifecycle action completed with CONTINUE
    -> nothing
    ");
    let held = look(&world(""), &policy).await;
    insta::assert_snapshot!(words(&diagnosis(&nothing, &Ended::default(), &policy, Some(&held))), @"
    its group web holds it in Terminating:Wait, and no host works on it: its event has not come here
    -> see the rule that sends events, and add [sweep] to the policy. To let it go on at once
    $ aws autoscaling complete-lifecycle-action --auto-scaling-group-name web --lifecycle-hook-name HOOK --instance-id i-0123456789abcdef0 --lifecycle-action-result CONTINUE
    ");
    let left = ended(Decision::GaveUp { why: "the attempt failed: broken".into() }, Some(Completion::Left));
    insta::assert_snapshot!(words(&diagnosis(&nothing, &left, &policy, Some(&held))), @"
    its group web holds it in Terminating:Wait, and will until the hook times out: its last ended 60s ago: gave up after 1 attempt of under-test: the attempt failed: broken; lifecycle action left to the hook's timeout
    -> to let it go on at once
    $ aws autoscaling complete-lifecycle-action --auto-scaling-group-name web --lifecycle-hook-name HOOK --instance-id i-0123456789abcdef0 --lifecycle-action-result CONTINUE
    ");
    // Days later it waits again. No hook waits for so long, so that it is not for what was left then.
    let then = |hours| {
        let mut left = left.clone();
        left.items[0].ended = now() - SignedDuration::from_hours(hours);
        words(&diagnosis(&nothing, &left, &policy, Some(&held)))
    };
    assert!(then(1).contains("and will until the hook times out"), "{}", then(1));
    insta::assert_snapshot!(then(2), @"
    its group web holds it in Terminating:Wait, and no host works on it: its event has not come here
    -> see the rule that sends events, and add [sweep] to the policy. To let it go on at once
    $ aws autoscaling complete-lifecycle-action --auto-scaling-group-name web --lifecycle-hook-name HOOK --instance-id i-0123456789abcdef0 --lifecycle-action-result CONTINUE
    ");
    // What has ended since, and was left to nobody, does not hide it.
    let mut two = left.clone();
    two.items.push(ended_item(Decision::Done, None));
    assert!(words(&diagnosis(&nothing, &two, &policy, Some(&held))).contains("and will until the hook times out"));
}
