use std::time::Duration;

use clap::Parser;
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::dispatch::tests::{Host, host};
use crate::event::{Event, Kind};
use crate::ledger::{Claim, Ended, Finishing, Ledger, LedgerError, MemoryStore, Open, Store, Wanted};
use crate::lifecycle::Answer;
use crate::outcome::Decision;
use crate::ports::{PortError, PortErrorKind, Region};
use crate::testing::{INSTANCE, START, ended_item, guests, lifecycle, open_item, put_ended, put_open, told};

/// A person, a ledger, and a host of theirs that tells a recorder.
struct Person {
    store: Arc<dyn Store>,
    host: Host,
}

const ARN: &str = "arn:aws:iam::123456789012:user/ops";

impl Person {
    async fn with(open: Open) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        if !open.items.is_empty() {
            put_open(&*store, &open).await;
        }
        let mut host = host(Some(guests::error()), "");
        let (clock, place) = (host.dispatch.ports.clock.clone(), host.dispatch.place.clone());
        host.dispatch.ledger = Ledger::new(store.clone(), clock, place, "laptop (process 1)");
        Self { store, host }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.host.dispatch.ports.clock.clone()
    }

    async fn known(&self) -> Known {
        let ledgers = desk::ledgers(&self.store, &self.clock()).await.unwrap();
        desk::known(ledgers, &id()).await.unwrap().unwrap()
    }

    /// Gives the order; the host is there if `at_hand`.
    async fn order(self, result: LifecycleResult, at_hand: Result<(), &str>) -> (u8, String, Ended) {
        self.order_and_wait(result, at_hand, None).await
    }

    async fn order_and_wait(
        self,
        result: LifecycleResult,
        at_hand: Result<(), &str>,
        wait: Option<Duration>,
    ) -> (u8, String, Ended) {
        let (known, clock, store) = (self.known().await, self.clock(), self.store.clone());
        let policy = crate::testing::policy("");
        let item = known.choose(&id(), None, clock.now()).unwrap();
        let order = Order { instance: &id(), item, result, known: &known, policy: &policy, wait };
        let hand = Hand { dispatch: self.host.dispatch, caller: ARN.to_owned() };
        let mut out = Vec::new();
        let hand = at_hand.map(|()| hand).map_err(str::to_owned);
        let code = order.carry_out(&mut out, hand, &*clock).await.unwrap();
        let ended = desk::known(desk::ledgers(&store, &clock).await.unwrap(), &id()).await.unwrap().unwrap().ended;
        (code, String::from_utf8(out).unwrap(), ended)
    }
}

fn id() -> InstanceId {
    InstanceId::parse(INSTANCE).unwrap()
}

fn now() -> Timestamp {
    START.parse().unwrap()
}

/// Work that has failed three times, and would wait.
fn stuck() -> Item {
    let due = now() + SignedDuration::from_secs(40);
    Item { attempts: 3, failures: 3, due, wake: due, told: vec![told("failed", "broken")], ..open_item() }
}

fn one(item: Item) -> Open {
    Open { items: vec![item], ..Open::default() }
}

#[tokio::test(start_paused = true)]
async fn an_order_ends_the_work_without_running_the_handler_and_says_who_gave_it() {
    let person = Person::with(one(stuck())).await;
    let recorder = person.host.recorder.clone();
    let (code, text, ended) = person.order(LifecycleResult::Continue, Ok(())).await;
    assert_eq!(code, ENDED);
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: ended by order of arn:aws:iam::123456789012:user/ops, after 3 attempts of
      under-test; lifecycle action completed with CONTINUE
    ");
    assert_eq!(*recorder.told.lock().unwrap(), [format!("{INSTANCE} CONTINUE")]);
    let by = ARN.to_owned();
    assert_eq!(ended.items[0].decision, Decision::Ordered { result: LifecycleResult::Continue, by });
    assert_eq!(ended.items[0].attempts, 3);

    let (code, text, _) = Person::with(one(stuck())).await.order(LifecycleResult::Abandon, Ok(())).await;
    assert_eq!(code, ENDED);
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: ended by order of arn:aws:iam::123456789012:user/ops, after 3 attempts of
      under-test; lifecycle action completed with ABANDON
    ");
}

#[tokio::test(start_paused = true)]
async fn work_without_a_lifecycle_action_ends_and_nobody_is_told() {
    let mut item = stuck();
    item.event.lifecycle_action = None;
    item.id = item.event.work_item();
    let person = Person::with(one(item)).await;
    let recorder = person.host.recorder.clone();
    let (code, text, _) = person.order(LifecycleResult::Continue, Ok(())).await;
    assert_eq!((code, recorder.told.lock().unwrap().len()), (ENDED, 0));
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: ended by order of arn:aws:iam::123456789012:user/ops, after 3 attempts of
      under-test; no lifecycle action to complete
    ");
}

#[tokio::test(start_paused = true)]
async fn while_another_host_works_on_it_the_order_waits_and_says_for_how_long() {
    let person = Person::with(Open::default()).await;
    let dispatch = &person.host.dispatch;
    let event = crate::testing::terminating();
    let other = Ledger::new(person.store.clone(), person.clock(), dispatch.place.clone(), "worker-1 (process 7)");
    let hook = crate::lifecycle::HookTimes {
        heartbeat_timeout: std::time::Duration::from_secs(300),
        global_timeout: std::time::Duration::from_secs(30_000),
    };
    let wanted = Wanted { event: &event, handler: "under-test", deadline: now(), hook: Some(hook) };
    assert!(matches!(other.claim(&wanted).await, Ok(Claim::Ours(_))));
    let (code, text, ended) = person.order(LifecycleResult::Continue, Ok(())).await;
    assert_eq!((code, ended.items.len()), (NOT_YET, 0));
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: the order CONTINUE is written down, and worker-1 (process 7) is at work: it
      takes effect with the next step after this attempt, which ends by 2026-01-15T03:01:00Z, at the
      latest at 2026-01-15T03:03:30Z. To have it then at once, give the order again
    ");
}

/// How long the order is waited for in these tests.
const WAIT: Option<Duration> = Some(Duration::from_secs(60));

#[tokio::test(start_paused = true)]
async fn who_waits_ends_the_work_as_soon_as_no_other_host_is_at_it() {
    let person = Person::with(Open::default()).await;
    let (event, began) = (crate::testing::terminating(), tokio::time::Instant::now());
    let place = person.host.dispatch.place.clone();
    let other = Ledger::new(person.store.clone(), person.clock(), place, "worker-1 (process 7)");
    let wanted = Wanted { event: &event, handler: "under-test", deadline: now(), hook: None };
    // Its host is killed, and its lease ends by itself.
    assert!(matches!(other.claim(&wanted).await, Ok(Claim::Ours(_))));
    let (code, text, ended) = person.order_and_wait(LifecycleResult::Continue, Ok(()), WAIT).await;
    assert_eq!((code, ended.items.len()), (ENDED, 1));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: the order CONTINUE is written down, and worker-1 (process 7) is at work: it
      takes effect with the next step after this attempt, which ends by 2026-01-15T03:01:00Z
    i-0123456789abcdef0: ended by order of arn:aws:iam::123456789012:user/ops, after 1 attempt of
      under-test; lifecycle action completed with CONTINUE
    ");
}

#[tokio::test(start_paused = true)]
async fn who_waits_without_aws_sees_a_host_carry_the_order_out_or_says_that_none_has() {
    let (code, text, _) =
        Person::with(one(stuck())).await.order_and_wait(LifecycleResult::Continue, Err("no AWS"), WAIT).await;
    assert_eq!(code, NOT_YET);
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: the order CONTINUE is written down, and the next host that comes for the work
      carries it out, in 40s or sooner. It was not done from here: no AWS
    i-0123456789abcdef0: it has not been carried out within 1 minute: no host has done it, and it cannot
      be done from here: no AWS
    ");

    let person = Person::with(one(stuck())).await;
    let host = host(Some(guests::error()), "").dispatch;
    let ledger = Ledger::new(person.store.clone(), person.clock(), host.place.clone(), "worker-1 (process 7)");
    let host = crate::dispatch::Dispatch { ledger, ..host };
    let carries_out = async {
        tokio::time::sleep(Duration::from_secs(41)).await;
        host.step(&stuck().event, None).await.unwrap();
    };
    let ordered = person.order_and_wait(LifecycleResult::Continue, Err("no AWS"), WAIT);
    let ((code, text, _), ()) = tokio::join!(ordered, carries_out);
    assert_eq!(code, ENDED);
    let said = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let order = format!("ended by order of {}, after 3 attempts of under-test", desk::user_at_host());
    assert!(said.ends_with(&format!("{order}; lifecycle action completed with CONTINUE")), "{said}");
}

/// What is said to who waits, how often Auto Scaling was told, and what was logged, where it answers like this each time.
async fn waited_where_it_answers(kind: PortErrorKind, message: &str) -> (String, usize, String) {
    let person = Person::with(one(stuck())).await;
    let recorder = person.host.recorder.clone();
    recorder.answers.lock().unwrap().extend(vec![Err(PortError::new(kind, message)); 100]);
    let (log, _guard) = crate::testing::log();
    let (code, text, ended) = person.order_and_wait(LifecycleResult::Continue, Ok(()), WAIT).await;
    assert_eq!((code, ended.items.len()), (NOT_YET, 0));
    (text, recorder.told.lock().unwrap().iter().filter(|told| told.ends_with("CONTINUE")).count(), log.told())
}

#[tokio::test(start_paused = true)]
async fn who_waits_tries_again_when_it_is_time_and_reads_at_last_why_it_failed() {
    let (text, tries, log) = waited_where_it_answers(PortErrorKind::Other, "something is wrong at their end").await;
    assert_eq!((tries, log.matches("not brought to its end").count()), (4, 4), "{log}");
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: the order CONTINUE is written down, and hosts try again to carry it out. From
      here that failed: event 87654321-4321-4321-4321-210987654321: the lifecycle action on
      i-0123456789abcdef0 could not be completed with CONTINUE: something is wrong at their end
    i-0123456789abcdef0: it has not been carried out within 1 minute: the last try from here failed:
      event 87654321-4321-4321-4321-210987654321: the lifecycle action on i-0123456789abcdef0 could not
      be completed with CONTINUE: something is wrong at their end
    ");
}

#[tokio::test(start_paused = true)]
async fn who_is_denied_does_not_wait_and_reads_what_to_do() {
    let began = tokio::time::Instant::now();
    let (text, tries, _) =
        waited_where_it_answers(PortErrorKind::Denied, "not allowed by IAM; allow autoscaling:CompleteLifecycleAction")
            .await;
    assert_eq!((tries, began.elapsed()), (1, Duration::ZERO));
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: the order CONTINUE is written down, and hosts try again to carry it out. From
      here that failed: event 87654321-4321-4321-4321-210987654321: the lifecycle action on
      i-0123456789abcdef0 could not be completed with CONTINUE: not allowed by IAM; allow
      autoscaling:CompleteLifecycleAction
    i-0123456789abcdef0: it is waited for no longer, since what fails here does not pass by itself:
      event 87654321-4321-4321-4321-210987654321: the lifecycle action on i-0123456789abcdef0 could not
      be completed with CONTINUE: not allowed by IAM; allow autoscaling:CompleteLifecycleAction. Mend
      that, or set AWS_PROFILE to credentials that are allowed it, and give the order again; hosts try
      with rights of their own meanwhile
    ");
    let (text, ..) = waited_where_it_answers(PortErrorKind::NotFound, "there is no group web").await;
    insta::assert_snapshot!(text.lines().skip(3).collect::<Vec<_>>().join("\n"), @"
    i-0123456789abcdef0: it is waited for no longer, since what fails here does not pass by itself:
      event 87654321-4321-4321-4321-210987654321: the lifecycle action on i-0123456789abcdef0 could not
      be completed with CONTINUE: there is no group web. Mend that, and give the order again; hosts try
      with rights of their own meanwhile
    ");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_host_that_works_on_reads_at_last_which() {
    let person = Person::with(Open::default()).await;
    let event = crate::testing::terminating();
    let other =
        Ledger::new(person.store.clone(), person.clock(), person.host.dispatch.place.clone(), "worker-1 (process 7)");
    let wanted = Wanted { event: &event, handler: "under-test", deadline: now(), hook: None };
    let Ok(Claim::Ours(held)) = other.claim(&wanted).await else { panic!("not ours") };
    let works = async {
        loop {
            tokio::time::sleep(Duration::from_secs(6)).await;
            other.renew(&held).await.unwrap();
        }
    };
    let (_, text, _) = tokio::select! {
        never = works => never,
        ordered = person.order_and_wait(LifecycleResult::Continue, Ok(()), WAIT) => ordered,
    };
    insta::assert_snapshot!(text.lines().skip(2).collect::<Vec<_>>().join("\n"), @"
    i-0123456789abcdef0: it has not been carried out within 1 minute: worker-1 (process 7) is at work on
      the instance, for 60s
    ");
}

#[tokio::test(start_paused = true)]
async fn where_nobody_here_can_act_the_order_stands_for_the_hosts() {
    let person = Person::with(one(stuck())).await;
    let (store, clock) = (person.store.clone(), person.clock());
    let (code, text, _) = person.order(LifecycleResult::Abandon, Err("no AWS region is configured")).await;
    assert_eq!(code, NOT_YET);
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: the order ABANDON is written down, and the next host that comes for the work
      carries it out, in 40s or sooner. It was not done from here: no AWS region is configured
    ");
    let known = desk::known(desk::ledgers(&store, &clock).await.unwrap(), &id()).await.unwrap().unwrap();
    let order = known.open.items[0].order.clone().unwrap();
    assert_eq!((order.result, order.by), (LifecycleResult::Abandon, desk::user_at_host()));
}

#[tokio::test(start_paused = true)]
async fn from_another_region_the_order_is_left_to_the_hosts_there() {
    let mut person = Person::with(one(stuck())).await;
    person.host.dispatch.place.region = Region::parse("us-east-1").unwrap();
    let (code, text, _) = person.order(LifecycleResult::Continue, Ok(())).await;
    assert_eq!(code, NOT_YET);
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: the order CONTINUE is written down, and the next host that comes for the work
      carries it out, in 40s or sooner. It was not done from here: these credentials are of account
      123456789012 in us-east-1, and the instance is in account 123456789012 in eu-central-1; set
      AWS_PROFILE and AWS_REGION to those
    ");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_does_not_take_the_event_any_more_is_no_reason_to_leave_it() {
    let mut item = stuck();
    item.event.envelope["source"] = "aws.ec2".into();
    let (code, text, _) = Person::with(one(item)).await.order(LifecycleResult::Continue, Ok(())).await;
    assert_eq!(code, ENDED);
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: ended by order of arn:aws:iam::123456789012:user/ops, after 3 attempts of
      under-test; lifecycle action completed with CONTINUE
    ");
}

#[tokio::test(start_paused = true)]
async fn what_auto_scaling_does_not_take_is_told_and_tried_again_by_hosts() {
    let person = Person::with(one(stuck())).await;
    let denied = PortError::new(PortErrorKind::Denied, "not allowed by IAM; allow autoscaling:CompleteLifecycleAction");
    person.host.recorder.answers.lock().unwrap().push(Err(denied));
    let (code, text, _) = person.order(LifecycleResult::Continue, Ok(())).await;
    assert_eq!(code, NOT_YET);
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: the order CONTINUE is written down, and hosts try again to carry it out. From
      here that failed: event 87654321-4321-4321-4321-210987654321: the lifecycle action on
      i-0123456789abcdef0 could not be completed with CONTINUE: not allowed by IAM; allow
      autoscaling:CompleteLifecycleAction
    ");
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_over_is_not_completed() {
    let person = Person::with(one(stuck())).await;
    person.host.recorder.answers.lock().unwrap().push(Ok(Answer::Over));
    let (code, text, _) = person.order(LifecycleResult::Continue, Ok(())).await;
    assert_eq!(code, NOT_COMPLETED);
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: ended by order of arn:aws:iam::123456789012:user/ops, after 3 attempts of
      under-test; too late: the lifecycle action was over already
    ");
}

fn decided() -> Item {
    let decision = Decision::GaveUp { why: "5 attempts in a row failed".into() };
    let at = now() - SignedDuration::from_secs(60);
    let finishing = Finishing { decision, result: Some(LifecycleResult::Abandon), sent: false, at };
    Item { finishing: Some(finishing), ..stuck() }
}

#[tokio::test(start_paused = true)]
async fn a_decided_end_is_brought_there_and_not_changed() {
    // It is told once, also to who would have waited.
    let person = Person::with(one(decided())).await;
    let (code, text, ended) = person.order_and_wait(LifecycleResult::Continue, Ok(()), WAIT).await;
    assert_eq!(code, NOT_YET);
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: gave up after 3 attempts of under-test: 5 attempts in a row failed; lifecycle
      action completed with ABANDON
    ");
    assert_eq!(ended.items[0].decision.as_str(), "gave-up");
    let (code, text, _) = Person::with(one(decided())).await.order(LifecycleResult::Abandon, Err("no AWS")).await;
    assert_eq!(code, NOT_YET);
    insta::assert_snapshot!(text, @"
    i-0123456789abcdef0: its end is decided (gave up: 5 attempts in a row failed), and the next host
      that comes for the work carries it out, in 40s or sooner. It was not done from here: no AWS
    ");
}

/// What is said before the order.
async fn announced(item: Item, result: LifecycleResult) -> String {
    let person = Person::with(one(item)).await;
    let known = person.known().await;
    let (policy, item) = (crate::testing::policy(""), &known.open.items[0]);
    Order { instance: &id(), item, result, known: &known, policy: &policy, wait: None }.announced(now()).join("\n")
}

#[tokio::test(start_paused = true)]
async fn before_it_happens_it_is_said_what_will() {
    use LifecycleResult::{Abandon, Continue};
    let coming = || -> Event {
        lifecycle("EC2 Instance-launch Lifecycle Action", "autoscaling:EC2_INSTANCE_LAUNCHING", "prepare")
    };
    let launching = || Item { event: coming(), ..stuck() };
    let pooled = || {
        let mut item = stuck();
        item.event.kind = Kind::InstanceReturningToWarmPool;
        item
    };
    let mut spot = stuck();
    (spot.event.kind, spot.event.lifecycle_action) = (Kind::SpotInterruption, None);
    let by = "me@laptop".to_owned();
    let order = crate::ledger::Order { result: Continue, by, at: now() - SignedDuration::from_secs(5) };
    let ordered = Item { order: Some(order), ..stuck() };
    let mut told = Vec::new();
    for (item, result) in [
        (stuck(), Continue),
        (ordered, Abandon),
        (launching(), Continue),
        (launching(), Abandon),
        (pooled(), Continue),
        (spot, Abandon),
        (decided(), Continue),
    ] {
        told.push(announced(item, result).await);
    }
    insta::assert_snapshot!(told.join("\n\n"), @"
    i-0123456789abcdef0: terminating, hook drain of group web; handler under-test, taken just now, attempts: 3
    finish ends this work with CONTINUE: Auto Scaling goes on to terminate the instance

    i-0123456789abcdef0: terminating, hook drain of group web; handler under-test, taken just now, attempts: 3
    abandon ends this work with ABANDON: Auto Scaling waits for no other hook and terminates the instance, unless its group retains such instances
    it takes the place of an order by me@laptop, 5s ago: CONTINUE

    i-0123456789abcdef0: launching, hook prepare of group web; handler under-test, taken just now, attempts: 3
    finish ends this work with CONTINUE: Auto Scaling puts the instance into service

    i-0123456789abcdef0: launching, hook prepare of group web; handler under-test, taken just now, attempts: 3
    abandon ends this work with ABANDON: Auto Scaling terminates the instance and launches another in its place

    i-0123456789abcdef0: returning-to-warm-pool, hook drain of group web; handler under-test, taken just now, attempts: 3
    finish ends this work with CONTINUE: Auto Scaling puts the instance into the warm pool

    i-0123456789abcdef0: spot-interruption, group web; handler under-test, taken just now, attempts: 3
    abandon ends this work with ABANDON: it has no lifecycle action, so that nobody is told

    i-0123456789abcdef0: terminating, hook drain of group web; handler under-test, taken just now, attempts: 3
    its end was decided 60s ago and is not changed any more: gave up: 5 attempts in a row failed; Auto Scaling is to be told: ABANDON. This only brings it there
    ");
}

/// What is said where it is not clear which work is meant.
async fn refused(open: Open, ended: Ended, named: Option<&str>) -> String {
    let person = Person::with(open).await;
    if !ended.items.is_empty() {
        put_ended(&*person.store, &ended).await;
    }
    let known = person.known().await;
    let refusal = known.choose(&id(), named, now()).unwrap_err();
    format!("{}: {:#}", refusal.code, refusal.error)
}

#[tokio::test(start_paused = true)]
async fn which_work_is_meant_has_to_be_clear() {
    let mut spot = Item { id: "spot-1".into(), ..stuck() };
    (spot.event.kind, spot.event.lifecycle_action) = (Kind::SpotInterruption, None);
    let two = Open { items: vec![stuck(), spot], ..Open::default() };
    insta::assert_snapshot!(refused(two.clone(), Ended::default(), None).await, @r#"
    2: i-0123456789abcdef0 has 2 open items; say which is meant:
      --item "123456789012/eu-central-1/web/drain/i-0123456789abcdef0/autoscaling:EC2_INSTANCE_TERMINATING": terminating, hook drain of group web
      --item "spot-1": spot-interruption, group web
    "#);
    insta::assert_snapshot!(refused(two, Ended::default(), Some("spot-2")).await, @r#"
    2: i-0123456789abcdef0 has no open item "spot-2"; there is:
      --item "123456789012/eu-central-1/web/drain/i-0123456789abcdef0/autoscaling:EC2_INSTANCE_TERMINATING": terminating, hook drain of group web
      --item "spot-1": spot-interruption, group web
    "#);
    let ended = Ended { items: vec![ended_item(Decision::Done, Some(Completion::Continue))], ..Ended::default() };
    insta::assert_snapshot!(refused(Open::default(), ended, None).await, @"3: no work is open for i-0123456789abcdef0; the last, instance-terminating taken by under-test, ended 60s ago: done after 1 attempt of under-test; lifecycle action completed with CONTINUE");
}

#[tokio::test(start_paused = true)]
async fn work_that_has_ended_meanwhile_is_not_ordered() -> Result<(), LedgerError> {
    let person = Person::with(one(stuck())).await;
    let known = person.known().await;
    person.host.dispatch.ledger.order(&id(), &stuck(), LifecycleResult::Continue, "another").await?;
    person.host.dispatch.step(&stuck().event, None).await.unwrap();
    let policy = crate::testing::policy("");
    let item = &known.open.items[0];
    let order =
        Order { instance: &id(), item, result: LifecycleResult::Abandon, known: &known, policy: &policy, wait: None };
    let refusal = order.carry_out(&mut Vec::new(), Err("no AWS".into()), &*person.clock()).await.unwrap_err();
    insta::assert_snapshot!(format!("{}: {:#}", refusal.code, refusal.error), @"3: i-0123456789abcdef0: the work has ended meanwhile; nothing was ordered");
    Ok(())
}

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

#[test]
fn an_instance_has_to_be_named() {
    let error = Cli::try_parse_from(["finish"]).unwrap_err().to_string();
    insta::assert_snapshot!(error.lines().take(2).collect::<Vec<_>>().join("\n"), @"
    error: the following required arguments were not provided:
      <INSTANCE>
    ");
}

#[tokio::test(start_paused = true)]
async fn who_decides_over_what_is_open_need_not_know_what_has_ended() {
    let person = Person::with(one(stuck())).await;
    let key = person.store.list("open/", None).await.unwrap().objects.remove(0).key.replacen("open/", "ended/", 1);
    person.store.write(&key, b"garbage".to_vec(), None).await.unwrap();
    let (code, text, _) = person.order(LifecycleResult::Continue, Ok(())).await;
    assert_eq!(code, ENDED, "{text}");
}
