use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::axis::{Axis, brief};
use super::layout::{Layout, Mark, Row};
use super::sign::Sign;
use super::told::{Lane, Told, told};
use super::{Handled, Run, html};
use crate::dispatch::{End, Worked};
use crate::event::{Delivery, Event, Message, parse_payload};
use crate::lifecycle::Completion;
use crate::outcome::Decision;
use crate::sim::{Call, Entry, FaultKind, Line, MAX_ENTRIES, Reply, What};

const INSTANCE: &str = "i-0aaaaaaaaaaaaaaa1";

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn call(at: u64, operation: &'static str, target: &str, reply: Reply) -> Entry {
    suffering(at, operation, target, reply, 0, None)
}

fn suffering(
    at: u64,
    operation: &'static str,
    target: &str,
    reply: Reply,
    took: u64,
    fault: Option<FaultKind>,
) -> Entry {
    let call = Call { operation, target: target.to_owned(), reply, took: milliseconds(took), fault };
    Entry { elapsed: milliseconds(at), what: What::Call(call) }
}

fn change(at: u64, name: &str, target: &str, became: &str) -> Entry {
    let what = What::Change { name: name.to_owned(), target: target.to_owned(), became: became.to_owned() };
    Entry { elapsed: milliseconds(at), what }
}

fn line(level: &'static str, message: &str, fields: &[(&'static str, &str)]) -> Line {
    let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Line { level, message: message.to_owned(), fields }
}

fn host(at: u64, level: &'static str, message: &str, fields: &[(&'static str, &str)]) -> Entry {
    Entry { elapsed: milliseconds(at), what: What::Host(line(level, message, fields)) }
}

fn guest(at: u64, message: &str) -> Entry {
    Entry { elapsed: milliseconds(at), what: What::Guest(line("INFO", message, &[])) }
}

fn attempt(at: u64, number: &str, outcome: &str, note: &str, wall_ms: &str) -> Entry {
    host(at, "INFO", "attempt", &[("attempt", number), ("outcome", outcome), ("note", note), ("wall_ms", wall_ms)])
}

fn ok(text: &str) -> Reply {
    Reply::Ok(text.to_owned())
}

/// The table of a journal, as text.
fn table(journal: &[Entry]) -> String {
    let lines = told(journal, Some(INSTANCE)).into_iter().map(|told| {
        let Told { what, result, label, sign, .. } = &told;
        format!(
            "{} {} | {} | {what} | {result} | {sign:?} {label:?}",
            brief(told.at),
            brief(told.took),
            super::who(&told)
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn everything_is_told_once_and_an_attempt_stands_before_what_it_did() {
    let denied = [
        ("call", "ecs.stop-task"),
        ("target", "task/1"),
        ("result", "denied"),
        ("error", "the grant allows only \"read\""),
        ("milliseconds", "0.0"),
    ];
    // A task is looked for before it is stopped: that is another call than the one that was refused.
    let unlisted = [("call", "ecs.list-tasks"), ("target", INSTANCE), ("result", "denied"), ("error", "no grant")];
    let exec = [("call", "ssh.exec"), ("target", "…"), ("result", "ok"), ("milliseconds", "1000.0")];
    let journal = [
        change(0, "lifecycle state", INSTANCE, "Terminating:Wait"),
        host(0, "INFO", "event taken", &[("handler", "drain"), ("deadline", "2026-01-15T04:00:00Z")]),
        call(0, "ec2.describe-instance", INSTANCE, ok("running")),
        suffering(0, "ssh.exec", &format!("{INSTANCE} [\"uptime\"]"), ok("exit status 0"), 1_000, None),
        host(1_000, "INFO", "host call", &exec),
        guest(1_000, "it is up"),
        host(1_000, "WARN", "host call", &denied),
        call(1_000, "ecs.list-tasks", INSTANCE, ok("no tasks")),
        host(1_000, "WARN", "host call", &unlisted),
        attempt(1_000, "1", "again", "one task left", "1000.0"),
        call(1_500, "lifecycle.heartbeat", &format!("drain on {INSTANCE}"), ok("accepted")),
        host(1_500, "DEBUG", "heartbeat", &[]),
        host(1_500, "DEBUG", "setting read", &[("key", "cluster")]),
        change(2_000, "task stopped", &format!("service:web 1 on {INSTANCE}"), ""),
        attempt(3_000, "2", "done", "", "0.0"),
    ];
    insta::assert_snapshot!(table(&journal), @r#"
    0 0 | Auto Scaling | lifecycle state i-0aaaaaaaaaaaaaaa1 | Terminating:Wait | Change "Terminating:Wait"
    0 0 | Host | event taken by drain | deadline 2026-01-15T04:00:00Z | Says "event taken by drain"
    0 1s | Handler | attempt 1 | again: one task left | Again "1"
    0 0 | Handler → EC2 | ec2.describe-instance i-0aaaaaaaaaaaaaaa1 | running | Look ""
    0 1s | Handler → SSH | ssh.exec i-0aaaaaaaaaaaaaaa1 ["uptime"] | exit status 0 | Act "uptime"
    1s 0 | Handler | it is up |  | Says "it is up"
    1s 0 | Handler → ECS | ecs.stop-task task/1 | denied: the grant allows only "read" | Error "stop-task: denied"
    1s 0 | Handler → ECS | ecs.list-tasks i-0aaaaaaaaaaaaaaa1 | no tasks | Look ""
    1s 0 | Handler → ECS | ecs.list-tasks i-0aaaaaaaaaaaaaaa1 | denied: no grant | Error "list-tasks: denied"
    1s 500ms 0 | Host → Auto Scaling | lifecycle.heartbeat drain on i-0aaaaaaaaaaaaaaa1 | accepted | Beat ""
    2s 0 | World | task stopped service:web 1 on i-0aaaaaaaaaaaaaaa1 |  | Change "task stopped service:web 1"
    3s 0 | Handler | attempt 2 | done | Done "2 done"
    "#);
}

#[test]
fn what_goes_wrong_is_told_by_order_and_as_the_handler_heard_it() {
    let lost = [
        ("call", "ecs.drain"),
        ("target", INSTANCE),
        ("result", "timeout"),
        ("error", "not answered within 5s"),
        ("milliseconds", "5000.0"),
    ];
    let journal = [
        suffering(0, "ecs.drain", INSTANCE, ok("DRAINING, 2 running"), 0, Some(FaultKind::AnswerLost)),
        host(5_000, "WARN", "host call", &lost),
        suffering(6_000, "ecs.list-tasks", INSTANCE, Reply::Error("503".into()), 0, Some(FaultKind::ServerError)),
        call(7_000, "ssh.exec", &format!("{INSTANCE} [\"true\"]"), Reply::None),
        suffering(8_000, "lifecycle.complete", "drain", ok("CONTINUE"), 0, Some(FaultKind::HostKilled)),
    ];
    insta::assert_snapshot!(table(&journal), @r#"
    0 5s | Handler → ECS | ecs.drain i-0aaaaaaaaaaaaaaa1 | fault answer-lost: it took effect (DRAINING, 2 running), and nobody heard of it; the handler was told: timeout: not answered within 5s | Fault "drain: answer-lost"
    6s 0 | Handler → ECS | ecs.list-tasks i-0aaaaaaaaaaaaaaa1 | fault server-error: 503 | Fault "list-tasks: server-error"
    7s 0 | Handler → SSH | ssh.exec i-0aaaaaaaaaaaaaaa1 ["true"] | no answer | Error "exec: no answer"
    8s 0 | Host → Auto Scaling | lifecycle.complete drain | fault host-killed: it took effect (CONTINUE), and the host was killed | Fault "complete: host-killed"
    "#);
}

#[test]
fn ticks_are_easy_numbers_and_end_with_the_end() {
    let ticks = |end| {
        let axis = Axis::new(end, 1046.0);
        axis.ticks().map(brief).collect::<Vec<_>>().join(", ")
    };
    let hour = 3_600_000;
    let all = [0, 200, 1_000, 195_000, 48 * hour, 100 * 24 * hour].map(|end| ticks(milliseconds(end))).join("\n");
    insta::assert_snapshot!(all, @r#"
    0, 1ms
    0, 20ms, 40ms, 60ms, 80ms, 100ms, 120ms, 140ms, 160ms, 180ms, 200ms
    0, 100ms, 200ms, 300ms, 400ms, 500ms, 600ms, 700ms, 800ms, 900ms, 1s
    0, 30s, 1m, 1m 30s, 2m, 2m 30s, 3m 15s
    0, 6h, 12h, 18h, 24h, 30h, 36h, 42h, 48h
    0, 240h, 480h, 720h, 960h, 1200h, 1440h, 1680h, 1920h, 2160h, 2400h
    "#);
}

#[test]
fn durations_are_told_in_the_units_they_have() {
    let told = [0, 5, 1_500, 195_000, 3_600_000, 172_800_001].map(|at| brief(milliseconds(at)));
    assert_eq!(told, ["0", "5ms", "1s 500ms", "3m 15s", "1h", "48h 1ms"]);
}

fn thing(at: u64, took: u64, sign: Sign, label: String) -> Told {
    let (at, took, lane) = (milliseconds(at), milliseconds(took), Lane::Ecs);
    Told { at, took, lane, by: None, sign, what: String::new(), result: String::new(), label }
}

#[test]
fn what_happens_at_one_instant_is_stacked_and_what_matters_comes_first() {
    let mut all: Vec<_> = (0..30).map(|_| thing(0, 0, Sign::Look, String::new())).collect();
    all.push(thing(0, 0, Sign::Fault, "drain: throttled".to_owned()));
    let layout = Layout::new(&all);
    let [lane] = layout.lanes.as_slice() else { panic!("other lanes are empty, and left out") };
    let [Row::Marks(first), .., Row::Counts(counts)] = lane.rows.as_slice() else { panic!("{lane:?}") };
    assert_eq!((first[0].index, first[0].text.is_some()), (30, true), "{lane:?}");
    let marks = lane.rows.iter().filter(|row| matches!(row, Row::Marks(marks) if marks.len() == 1)).count();
    assert_eq!(marks + counts[0].count, all.len(), "{lane:?}");
}

#[test]
fn a_run_with_more_to_show_than_fits_the_page_gets_a_wider_picture() {
    let things = |count: u64| (0..count).map(|at| thing(at, 0, Sign::Look, String::new())).collect::<Vec<_>>();
    let widths = [100, 300, 3_000].map(|count| Layout::new(&things(count)).axis.width());
    assert_eq!(widths, [1046.0, 2092.0, 1046.0]);
}

fn any_thing() -> impl Strategy<Value = Told> {
    let signs = [Sign::Again, Sign::Failed, Sign::Look, Sign::Act, Sign::Fault, Sign::Change, Sign::Says];
    let times = (0..40u64, 0..3u64, prop::sample::select(signs.to_vec()));
    (times, "[a-z漢]{0,36}").prop_map(|((at, took, sign), label)| thing(at * 500, took * 4_000, sign, label))
}

proptest! {
    #[test]
    fn nothing_hides_another_or_leaves_the_picture(things in prop::collection::vec(any_thing(), 1..120)) {
        let layout = Layout::new(&things);
        let mut placed = 0;
        for row in layout.lanes.iter().flat_map(|lane| &lane.rows) {
            let rooms: Vec<(f64, f64)> = match row {
                Row::Marks(marks) => marks.iter().map(Mark::room).collect(),
                Row::Counts(counts) => counts.iter().map(|count| (count.x - 20.0, count.x + 20.0)).collect(),
            };
            placed += match row {
                Row::Marks(marks) => marks.len(),
                Row::Counts(counts) => counts.iter().map(|count| count.count).sum(),
            };
            prop_assert!(rooms.iter().all(|(left, right)| *left >= 0.0 && *right <= layout.axis.width()), "{row:?}");
            prop_assert!(rooms.is_sorted_by(|(_, right), (left, _)| right <= left), "{row:?}");
        }
        prop_assert_eq!(placed, things.len());
    }
}

fn event() -> Event {
    let text = include_bytes!("../../../demo/terminate.json");
    let Ok(Delivery::Direct(mut messages)) = parse_payload(text) else { panic!("the demo's event is one") };
    let Some(Message::Events(mut events)) = messages.pop() else { panic!("the demo's event is one") };
    events.pop().unwrap()
}

fn page(end: Result<End, String>, journal: &[Entry]) -> String {
    let (event, start) = (event(), Timestamp::UNIX_EPOCH);
    let handled = vec![Handled { event: &event, end: end.as_ref().map_err(Clone::clone) }];
    html(&Run { start, handled, journal })
}

fn ended(decision: Decision) -> Result<End, String> {
    let lifecycle = Some(Completion::Continue);
    Ok(End::Worked(Worked { handler: "drain".to_owned(), decision, attempts: 2, lifecycle }))
}

#[test]
fn hostile_text_is_inert_visible_and_cut() {
    let hostile = format!(
        "</title><script>alert(1)</script><img src=x onerror=alert(2)>\u{1b}[2J\u{202e}\"'&{}",
        "x".repeat(100_000)
    );
    let journal = [
        guest(0, &hostile),
        host(0, "WARN", &hostile, &[("why", &hostile)]),
        change(0, &hostile, &hostile, &hostile),
        call(0, "ssh.exec", &hostile, ok(&hostile)),
        attempt(0, &hostile, &hostile, &hostile, &hostile),
    ];
    let page = page(ended(Decision::Abandon { why: hostile.clone() }), &journal);
    for wrong in ["<script", "<img", "onerror=alert(2)>", "\u{1b}", "\u{202e}"] {
        assert!(!page.contains(wrong), "{wrong:?} is in the page");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains(r"\u{1b}[2J\u{202e}"));
    assert!(page.len() < 60_000, "{} bytes", page.len());
}

#[test]
fn the_page_stands_alone_and_says_what_came_of_the_run() {
    let journal = [change(0, "task stopped", "service:web", ""), attempt(30_000, "1", "done", "", "1000")];
    let page = page(ended(Decision::Done), &journal);
    for said in [
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">",
        "content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\"",
        "<title>instance-terminating of i-0a1b2c3d4e5f60718: done</title>",
        "<dt>Lifecycle action</dt><dd>completed with CONTINUE</dd>",
        "<dt>Took</dt><dd>30s of virtual time</dd>",
        "<dt>Began</dt><dd>1970-01-01 00:00:00 UTC</dd>",
        ">World</text>",
        ">Handler</text>",
    ] {
        assert!(page.contains(said), "{said} is not in the page");
    }
    for fetched in ["://", "<script", "<link", "<img", "url(", "@import", ">ECS</text>"] {
        assert!(!page.contains(fetched), "{fetched} is in the page");
    }
    assert!(!page.contains("Not all of it"));
}

#[test]
fn a_journal_that_was_full_says_so() {
    let journal: Vec<_> = (0..MAX_ENTRIES).map(|_| guest(0, "again and again")).collect();
    let page = page(ended(Decision::Done), &journal);
    assert!(page.contains("Not all of it"));
    assert!(page.contains("<dd>more than 0 of virtual time</dd>"));
}

#[test]
fn an_event_that_came_to_no_end_says_why() {
    let page = page(Err("the host was killed in every delivery".to_owned()), &[]);
    assert!(page.contains("<title>instance-terminating of i-0a1b2c3d4e5f60718: not completed</title>"));
    assert!(
        page.contains(
            "<strong class=\"is-not-completed\">not completed</strong> the host was killed in every delivery"
        )
    );
}
