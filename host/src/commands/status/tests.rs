use std::sync::Arc;

use clap::Parser;
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::ledger::{Ended, Finishing, Item, LEASE, Lease, MemoryStore, Open, Order, Retried, Store};
use crate::lifecycle::{Completion, LifecycleResult};
use crate::outcome::Decision;
use crate::ports::{AccountId, Region};
use crate::testing::{
    INSTANCE, START, VirtualClock, ended_item, give_up, open_item, policy, put_ended, put_open, told,
};

fn now() -> Timestamp {
    START.parse().unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

/// An open item of another instance, whose id ends in `digit`.
fn item(digit: u8) -> Item {
    let mut item = open_item();
    let id = InstanceId::parse(&format!("i-0123456789abcde{digit:02}")).unwrap();
    item.event.instance = Some(id.clone());
    if let Some(action) = &mut item.event.lifecycle_action {
        action.instance = id;
    }
    item.id = item.event.work_item();
    let due = now() + SignedDuration::from_secs(12);
    Item { taken: ago(720), due, wake: due, attempts: 3, told: vec![told("again", "2 tasks left: web x2")], ..item }
}

fn open(item: Item) -> Open {
    Open { items: vec![item], ..Open::default() }
}

fn working(item: Item) -> Open {
    let (id, holder, since) = ("1".to_owned(), "worker-1 (process 7)".to_owned(), ago(8));
    let lease = Lease { id, holder, item: item.id.clone(), since, until: since + LEASE };
    Open { lease: Some(lease), ..open(item) }
}

/// One of each that is worth a look.
async fn ledger() -> Arc<dyn Store> {
    let store = MemoryStore::new(Arc::new(VirtualClock::new()));
    let broken = "the handler returned an error: before: systemctl stop cron: exit status 5, and then a text that goes on and on";
    let failing = Item { attempts: 7, failures: 4, told: vec![told("failed", broken)], ..item(2) };
    let decision = Decision::GaveUp { why: "the deadline has passed".into() };
    let finishing = Finishing { decision, result: Some(LifecycleResult::Abandon), sent: true, at: ago(20) };
    let order = Order { result: LifecycleResult::Continue, by: "me@laptop".into(), at: ago(5) };
    let mut spot = item(6);
    (spot.event.kind, spot.event.lifecycle_action) = (crate::event::Kind::SpotInterruption, None);
    (spot.attempts, spot.taken, spot.deadline, spot.due) = (0, now(), now() + SignedDuration::from_secs(110), now());
    spot.told.clear();
    for open in [
        open(item(1)),
        open(failing),
        open(Item { wake: ago(400), due: ago(400), ..item(3) }),
        open(Item { finishing: Some(finishing), deadline: ago(20), ..item(4) }),
        open(Item { order: Some(order), ..item(5) }),
        open(spot),
        working(item(7)),
    ] {
        put_open(&store, &open).await;
    }
    let newer = br#"{ "format": 99 }"#.to_vec();
    store.write("open/123456789012/eu-central-1/i-0123456789abcde99.json", newer, None).await.unwrap();
    Arc::new(store)
}

async fn ledgers(store: &Arc<dyn Store>) -> Vec<crate::ledger::Ledger> {
    desk::ledgers(store, &(Arc::new(VirtualClock::new()) as Arc<dyn Clock>)).await.unwrap()
}

async fn table(store: &Arc<dyn Store>, limit: usize) -> (u8, String) {
    let mut out = Vec::new();
    let code = list::as_table(&mut out, &ledgers(store).await, "memory:", now(), limit).await.unwrap();
    (code, String::from_utf8(out).unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_most_worrying_comes_first_and_what_cannot_be_read_is_a_line() {
    let (code, text) = table(&ledger().await, 100).await;
    assert_eq!(code, PARTLY);
    let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > desk::WIDTH).collect();
    assert_eq!(wide, [""; 0]);
    insta::assert_snapshot!(text, @"
    7 items open: 1 overdue, 1 finishing, 1 ordered, 1 due, 2 waiting, 1 working; 1 failing, 1 past the
      deadline; 1 object cannot be read

    INSTANCE             WHAT               HANDLER     AGE  TRY  NOW            DEADLINE
    cannot be read: memory:open/123456789012/eu-central-1/i-0123456789abcde99.json is of format 99, and
      this version of hostler knows formats up to 1: a later version wrote it; upgrade this host
    i-0123456789abcde03  terminating        under-test  12m  3    overdue by 6m  in 60m
      web/drain, 0123456789ab: 2 tasks left: web x2
    i-0123456789abcde04  terminating        under-test  12m  3    finishing      20s ago
      web/drain, decided gave-up: ABANDON to be told, 0123456789ab: 2 tasks left: web x2
    i-0123456789abcde02  terminating        under-test  12m  7    due in 12s     in 60m
      web/drain, 4 failed in a row, 0123456789ab: before: systemctl stop cron: exit status 5, and then …
    i-0123456789abcde06  spot-interruption  under-test  0s   0    due now        in 1m
    i-0123456789abcde01  terminating        under-test  12m  3    due in 12s     in 60m
      web/drain, 0123456789ab: 2 tasks left: web x2
    i-0123456789abcde05  terminating        under-test  12m  3    ordered        in 60m
      web/drain, CONTINUE ordered by me@laptop, 0123456789ab: 2 tasks left: web x2
    i-0123456789abcde07  terminating        under-test  12m  3    working 8s     in 60m
      web/drain, by worker-1 (process 7), 0123456789ab: 2 tasks left: web x2
    ");
}

#[tokio::test(start_paused = true)]
async fn the_readme_shows_what_is_printed() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let of_ours = |item: Item| Item { handler: "asg-terminate".into(), ..item };
    let denied = "the handler returned an error: handler \"asg-terminate\" may not call ecs.stop-task on i-…: its ecs \
                  grant (line 41) allows only \"read\", \"drain\"; to allow it, add \"stop-task\" to grants.ecs.allow";
    let failing = Item { attempts: 9, failures: 3, told: vec![told("failed", denied)], ..item(1) };
    put_open(&*store, &open(of_ours(failing))).await;
    put_open(&*store, &open(of_ours(Item { attempts: 12, ..item(2) }))).await;
    put_open(&*store, &working(of_ours(Item { attempts: 1, taken: ago(8), told: Vec::new(), ..item(3) }))).await;
    put_open(&*store, &open(of_ours(Item { wake: ago(400), due: ago(400), ..item(4) }))).await;
    let (_, text) = table(&store, 100).await;
    assert!(include_str!("../../../../README.md").contains(&text), "README.md is to show this:\n{text}");
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_there_is_only_a_count() {
    let (_, text) = table(&ledger().await, 3).await;
    insta::assert_snapshot!(text, @"
    7 items open: 1 overdue, 1 finishing, 1 ordered, 1 due, 2 waiting, 1 working; 1 failing, 1 past the
      deadline; 1 object cannot be read

    INSTANCE             WHAT         HANDLER     AGE  TRY  NOW            DEADLINE
    cannot be read: memory:open/123456789012/eu-central-1/i-0123456789abcde99.json is of format 99, and
      this version of hostler knows formats up to 1: a later version wrote it; upgrade this host
    i-0123456789abcde03  terminating  under-test  12m  3    overdue by 6m  in 60m
      web/drain, 0123456789ab: 2 tasks left: web x2
    i-0123456789abcde04  terminating  under-test  12m  3    finishing      20s ago
      web/drain, decided gave-up: ABANDON to be told, 0123456789ab: 2 tasks left: web x2

    and 5 less worrying: --limit 8 shows all
    ");
}

#[tokio::test(start_paused = true)]
async fn an_empty_ledger_says_so() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    assert_eq!(table(&store, 100).await, (READ, "nothing is open in memory:\n".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn every_column_is_cut_to_what_fits_and_nobody_writes_on_the_terminal() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let mut wide = item(1);
    wide.event.kind = crate::event::Kind::CapacityReservationInterruption;
    wide.handler = "a-handler-with-a-long-name\u{1b}[2J".into();
    (wide.taken, wide.wake, wide.attempts) = (ago(47 * 3600), ago(47 * 3600), 12_345);
    wide.deadline = ago(47 * 3600);
    wide.told = vec![told("again", &"\u{1b}[2J wait".repeat(50))];
    put_open(&*store, &open(wide)).await;
    let (_, text) = table(&store, 100).await;
    assert!(text.lines().all(|line| line.chars().count() <= desk::WIDTH), "{text}");
    insta::assert_snapshot!(text, @r"
    1 item open: 1 overdue; 1 past the deadline

    INSTANCE             WHAT                      HANDLER          AGE  TRY   NOW             DEADLINE
    i-0123456789abcde01  capacity-reservation-in…  a-handler-with…  47h  123…  overdue by 47h  47h ago
      web/drain, 0123456789ab: \u{1b}[2J wait\u{1b}[2J wait\u{1b}[2J wait\u{1b}[2J wait\u{1b}[2J wait\u…
    ");
}

#[tokio::test(start_paused = true)]
async fn a_ledger_of_several_places_says_which() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    put_open(&*store, &open(item(1))).await;
    let mut elsewhere = item(2);
    elsewhere.event.account = AccountId::parse("210987654321").unwrap();
    elsewhere.event.region = Region::parse("us-east-1").unwrap();
    put_open(&*store, &open(elsewhere)).await;
    let (code, text) = table(&store, 100).await;
    assert_eq!(code, READ);
    insta::assert_snapshot!(text, @"
    2 items open: 2 waiting

    INSTANCE             WHAT         HANDLER     AGE  TRY  NOW         DEADLINE
    i-0123456789abcde01  terminating  under-test  12m  3    due in 12s  in 60m
      123456789012 eu-central-1, web/drain, 0123456789ab: 2 tasks left: web x2
    i-0123456789abcde02  terminating  under-test  12m  3    due in 12s  in 60m
      210987654321 us-east-1, web/drain, 0123456789ab: 2 tasks left: web x2
    ");
}

#[tokio::test(start_paused = true)]
async fn more_than_a_page_is_read_to_its_end() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    for number in 0..1_001 {
        let mut item = item(1);
        item.event.instance = Some(InstanceId::parse(&format!("i-{number:017x}")).unwrap());
        put_open(&*store, &open(item)).await;
    }
    let (_, text) = table(&store, 1).await;
    assert!(text.starts_with("1001 items open: 1001 waiting\n"), "{text}");
    assert!(text.ends_with("and 1000 less worrying: --limit 1001 shows all\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn json_is_a_line_for_each_item_with_everything_in_it() {
    let mut out = Vec::new();
    let store = ledger().await;
    assert_eq!(list::as_json(&mut out, &ledgers(&store).await, now()).await.unwrap(), PARTLY);
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 8);
    let standings: Vec<_> = lines.iter().map(|line| line["standing"].as_str().unwrap_or("-")).collect();
    assert_eq!(standings, ["waiting", "waiting", "overdue", "finishing", "ordered", "due", "working", "-"]);
    insta::assert_snapshot!(format!("{:#}", lines[3]), @r#"
    {
      "account": "123456789012",
      "age-seconds": 720,
      "attempts": 3,
      "deadline": "2026-01-15T02:59:40Z",
      "digest": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
      "due": "2026-01-15T03:00:12Z",
      "event": "87654321-4321-4321-4321-210987654321",
      "failures": 0,
      "finishing": {
        "at": "2026-01-15T02:59:40Z",
        "decision": "gave-up",
        "sent": true,
        "tell": "ABANDON",
        "why": "the deadline has passed"
      },
      "group": "web",
      "handler": "under-test",
      "hook": "drain",
      "instance": "i-0123456789abcde04",
      "interrupted": 0,
      "item": "123456789012/eu-central-1/web/drain/i-0123456789abcde04/autoscaling:EC2_INSTANCE_TERMINATING",
      "kind": "instance-terminating",
      "lease": null,
      "note": "2 tasks left: web x2",
      "order": null,
      "outcome": "again",
      "overdue": false,
      "region": "eu-central-1",
      "standing": "finishing",
      "taken": "2026-01-15T02:48:00Z",
      "wake": "2026-01-15T03:00:12Z"
    }
    "#);
    insta::assert_snapshot!(lines[6]["lease"].to_string(), @r#"{"holder":"worker-1 (process 7)","item":"123456789012/eu-central-1/web/drain/i-0123456789abcde07/autoscaling:EC2_INSTANCE_TERMINATING","since":"2026-01-15T02:59:52Z","until":"2026-01-15T03:00:12Z"}"#);
    insta::assert_snapshot!(lines[4]["order"].to_string(), @r#"{"at":"2026-01-15T02:59:55Z","by":"me@laptop","result":"CONTINUE"}"#);
    insta::assert_snapshot!(lines[7].to_string(), @r#"{"error":"memory:open/123456789012/eu-central-1/i-0123456789abcde99.json is of format 99, and this version of hostler knows formats up to 1: a later version wrote it; upgrade this host"}"#);
    // The help tells of every key there is.
    for key in lines.iter().flat_map(|line| line.as_object().unwrap().keys()) {
        assert!(HELP.contains(&format!("`{key}`")), "{key}");
    }
}

async fn amiss(store: &Arc<dyn Store>, now: Timestamp) -> (u8, String) {
    let mut out = Vec::new();
    let code = amiss::tell(&mut out, (&**store, &ledgers(store).await), "memory:", now).await.unwrap();
    (code, String::from_utf8(out).unwrap())
}

#[tokio::test(start_paused = true)]
async fn what_is_stuck_damaged_or_left_is_all_that_monitoring_is_told() {
    let store = ledger().await;
    store.write("damaged/open/123456789012/eu-central-1/i-1.json-0a", b"{".to_vec(), None).await.unwrap();
    let gave_up = || Decision::GaveUp { why: "5 attempts in a row failed".into() };
    let ends = vec![ended_item(Decision::Done, Some(Completion::Late)), ended_item(gave_up(), Some(Completion::Left))];
    put_ended(&*store, &Ended { items: ends, ..Ended::default() }).await;
    let (code, text) = amiss(&store, now()).await;
    assert_eq!(code, AMISS);
    insta::assert_snapshot!(text, @"
    overdue: i-0123456789abcde03: its next step is overdue since 2026-01-15T02:53:20Z (6m ago): no host
      has come for it
    cannot be read: memory:open/123456789012/eu-central-1/i-0123456789abcde99.json is of format 99, and
      this version of hostler knows formats up to 1: a later version wrote it; upgrade this host
    damaged: memory:damaged/open/123456789012/eu-central-1/i-1.json-0a was set aside just now: look at
      it, and remove it
    left: i-0123456789abcdef0: 60s ago, gave up after 1 attempt of under-test: 5 attempts in a row
      failed; lifecycle action left to the hook's timeout
    ");
}

#[tokio::test(start_paused = true)]
async fn monitoring_is_at_rest_while_work_waits_and_when_what_was_left_is_over() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(VirtualClock::new())));
    let due = now() + SignedDuration::from_hours(9);
    put_open(&*store, &open(Item { due, wake: due, deadline: due, failures: 3, ..item(1) })).await;
    let left = ended_item(Decision::GaveUp { why: "broken".into() }, Some(Completion::Left));
    put_ended(&*store, &Ended { items: vec![left], ..Ended::default() }).await;
    assert_eq!(amiss(&store, now()).await.0, AMISS);
    let later = now() + SignedDuration::from_hours(2);
    assert_eq!(
        amiss(&store, later).await,
        (READ, "nothing is overdue, late, finishing for long, damaged or left in memory:\n".to_owned())
    );
}

/// What monitoring is told of one open item.
async fn amiss_with(item: Item) -> String {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    put_open(&*store, &open(item)).await;
    amiss(&store, now()).await.1
}

#[tokio::test(start_paused = true)]
async fn what_hosts_come_for_in_vain_is_stuck_too() {
    // Hosts are denied to tell Auto Scaling, and try it every 15 seconds.
    let finishing = |result, seconds| {
        let finishing = Finishing { decision: Decision::Done, result, sent: false, at: ago(seconds) };
        Item { finishing: Some(finishing), ..item(4) }
    };
    let told = Some(LifecycleResult::Continue);
    let nothing = "nothing is overdue, late, finishing for long, damaged or left in memory:\n";
    assert_eq!(amiss_with(finishing(told, 180)).await, nothing);
    insta::assert_snapshot!(amiss_with(finishing(told, 181)).await, @"
    finishing: i-0123456789abcde04: its end was decided 3m ago (done), and Auto Scaling could not be
      told CONTINUE yet; the next try is due in 12s
    ");
    insta::assert_snapshot!(amiss_with(finishing(None, 181)).await, @"finishing: i-0123456789abcde04: its end was decided 3m ago (done), and only has to be written down");
    assert_eq!(amiss_with(Item { deadline: ago(180), ..item(4) }).await, nothing);
    insta::assert_snapshot!(amiss_with(Item { deadline: ago(181), ..item(4) }).await, @"late: i-0123456789abcde04: its deadline passed 3m ago, and it is still open; attempts: 3");
    let overdue = Item { deadline: ago(900), wake: ago(400), ..finishing(told, 900) };
    assert!(amiss_with(overdue).await.starts_with("overdue: "), "a line for each");
}

async fn story(json: bool) -> String {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let failed = Item {
        failures: 1,
        attempts: 2,
        told: vec![told("again", "2 tasks left"), told("failed", "broken")],
        ..open_item()
    };
    let order = Order { result: LifecycleResult::Continue, by: "me@laptop".into(), at: ago(5) };
    let mut spot = Item { id: "spot-1".into(), order: Some(order), ..open_item() };
    (spot.event.kind, spot.event.lifecycle_action) = (crate::event::Kind::SpotInterruption, None);
    put_open(&*store, &Open { items: vec![failed, spot], ..Open::default() }).await;
    let by = "arn:aws:iam::123456789012:user/ops".to_owned();
    let ordered = Decision::Ordered { result: LifecycleResult::Abandon, by };
    let ends = vec![ended_item(Decision::Done, Some(Completion::Late)), ended_item(ordered, Some(Completion::Abandon))];
    put_ended(&*store, &Ended { items: ends, ..Ended::default() }).await;
    let instance = InstanceId::parse(INSTANCE).unwrap();
    let known = desk::known(ledgers(&store).await, &instance).await.unwrap().unwrap();
    let mut out = Vec::new();
    let policy = policy("");
    give_up(&store, &policy).await;
    story::tell(&mut out, &instance, &known, &known.given_up(&policy, &store).await, now(), json).unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_story_of_an_instance_has_what_was_decided_and_by_whom() {
    insta::assert_snapshot!(story(false).await, @"
    i-0123456789abcdef0 in account 123456789012, eu-central-1

    ended: instance-terminating, handler under-test
      item 123456789012/eu-central-1/web/drain/i-0123456789abcdef0/autoscaling:EC2_INSTANCE_TERMINATING
      taken 2026-01-15T02:55:00Z (5m ago)
      2026-01-15T02:58:00Z attempt 1 (0123456789ab, 60s) done
      ended 2026-01-15T02:59:00Z (60s ago): done after 1 attempt of under-test; too late: the lifecycle
        action was over already

    ended: instance-terminating, handler under-test
      item 123456789012/eu-central-1/web/drain/i-0123456789abcdef0/autoscaling:EC2_INSTANCE_TERMINATING
      taken 2026-01-15T02:55:00Z (5m ago)
      2026-01-15T02:58:00Z attempt 1 (0123456789ab, 60s) done
      ended 2026-01-15T02:59:00Z (60s ago): ended by order of arn:aws:iam::123456789012:user/ops, after
        1 attempt of under-test; lifecycle action completed with ABANDON

    open: terminating, hook drain of group web, handler under-test
      item 123456789012/eu-central-1/web/drain/i-0123456789abcdef0/autoscaling:EC2_INSTANCE_TERMINATING
      taken 2026-01-15T03:00:00Z (just now)
      deadline 2026-01-15T04:00:00Z (in 60m)
      2026-01-15T02:58:00Z attempt 1 (0123456789ab, 60s) again: 2 tasks left
      2026-01-15T02:58:00Z attempt 1 (0123456789ab, 60s) failed: broken
      now: the next attempt is due now, after a failure

    open: spot-interruption, group web, handler under-test
      item spot-1
      taken 2026-01-15T03:00:00Z (just now)
      deadline 2026-01-15T04:00:00Z (in 60m)
      ordered 2026-01-15T02:59:55Z by me@laptop: CONTINUE
      now: the next attempt is due now

    plugin 0123456789ab was given up: 3 attempts in a row crashed
    ");
}

#[tokio::test(start_paused = true)]
async fn the_story_of_what_nobody_comes_for_says_no_more_than_is_known() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let retried = Some(Retried { by: "me@laptop".to_owned(), at: ago(410), failures: 3 });
    put_open(&*store, &open(Item { wake: ago(400), due: ago(400), retried, ..open_item() })).await;
    let instance = InstanceId::parse(INSTANCE).unwrap();
    let known = desk::known(ledgers(&store).await, &instance).await.unwrap().unwrap();
    let (mut out, policy) = (Vec::new(), policy(""));
    story::tell(&mut out, &instance, &known, &known.given_up(&policy, &store).await, now(), false).unwrap();
    let retried = "another attempt asked for 2026-01-15T02:53:10Z by me@laptop, failures in a row forgiven: 3";
    assert!(String::from_utf8_lossy(&out).contains(retried));
    insta::assert_snapshot!(String::from_utf8(out).unwrap().lines().last().unwrap_or_default(), @"  now: its next step is overdue since 2026-01-15T02:53:20Z (6m ago): no host has come for it");
}

#[tokio::test(start_paused = true)]
async fn the_story_as_json_has_every_key_that_the_help_tells() {
    let story: serde_json::Value = serde_json::from_str(&story(true).await).unwrap();
    insta::assert_snapshot!(format!("{:#}", story["ended"][1]), @r#"
    {
      "attempts": 1,
      "by": "arn:aws:iam::123456789012:user/ops",
      "decision": "ordered",
      "ended": "2026-01-15T02:59:00Z",
      "event": "87654321-4321-4321-4321-210987654321",
      "handler": "under-test",
      "happened": "2026-01-15T03:00:00Z",
      "item": "123456789012/eu-central-1/web/drain/i-0123456789abcdef0/autoscaling:EC2_INSTANCE_TERMINATING",
      "kind": "instance-terminating",
      "lifecycle": "abandon",
      "result": "ABANDON",
      "taken": "2026-01-15T02:55:00Z",
      "told": [
        {
          "attempt": 1,
          "began": "2026-01-15T02:58:00Z",
          "ended": "2026-01-15T02:59:00Z",
          "module": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
          "note": "",
          "outcome": "done"
        }
      ]
    }
    "#);
    assert_eq!(story["open"][0]["told"].as_array().unwrap().len(), 2);
    let mut objects = vec![&story];
    while let Some(object) = objects.pop() {
        for (key, value) in object.as_object().unwrap() {
            assert!(HELP.contains(&format!("`{key}`")), "{key}");
            if key == "given-up" {
                assert_eq!(value[&told("", "").module], "3 attempts in a row crashed");
                continue;
            }
            objects.extend(value.as_array().into_iter().flatten().filter(|value| value.is_object()));
        }
    }
}

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

#[test]
fn what_is_no_instance_is_refused() {
    let error = Cli::try_parse_from(["status", "i-xyz"]).unwrap_err().to_string();
    insta::assert_snapshot!(error.lines().next().unwrap_or_default(), @r#"error: invalid value 'i-xyz' for '[INSTANCE]': "i-xyz" is not an EC2 instance id (i- and 8 or 17 hexadecimal digits, such as i-0123456789abcdef0)"#);
    assert!(Cli::try_parse_from(["status", INSTANCE, "--json"]).is_ok());
    assert!(Cli::try_parse_from(["status", "--limit", "3", "--json"]).is_err());
    assert!(Cli::try_parse_from(["status", "--check"]).is_ok());
    for other in [INSTANCE, "--json", "--limit=3", "--plugins"] {
        assert!(Cli::try_parse_from(["status", "--check", other]).is_err(), "{other}");
    }
    assert!(Cli::try_parse_from(["status", "--plugins", "--json"]).is_ok());
    assert!(Cli::try_parse_from(["status", "--plugins", INSTANCE]).is_err());
}
