//! What counts as a difference.

use super::*;
use crate::recording::Comparison;

fn compared(then: &[Value], now: &[Value]) -> Comparison {
    Comparison::of(&recording(then), &recording(now))
}

#[test]
fn how_often_a_handler_looks_is_no_difference() {
    let then = [hook(0), find(1, "ACTIVE"), drain(2), list(3, &[]), find(4, "DRAINING"), list(5, &[]), end(6, "done")];
    let mut now = then.to_vec();
    for at in 0..5 {
        now.insert(6, list(5 + at, &[]));
        now.insert(6, find(5 + at, "DRAINING"));
    }
    let comparison = compared(&then, &now);
    assert!(comparison.same, "{}", comparison.diff);
}

#[test]
fn how_often_something_is_changed_is_one() {
    let then = [find(0, "ACTIVE"), drain(1), list(2, &[]), end(9, "done")];
    let now = [find(0, "ACTIVE"), drain(1), list(2, &[]), find(3, "ACTIVE"), drain(4), list(5, &[]), end(9, "done")];
    let comparison = compared(&then, &now);
    assert!(!comparison.same && comparison.diff.is_empty(), "{}", comparison.diff);
    let count = &comparison.counts[0];
    assert_eq!(
        (count.call.as_str(), count.recorded, count.replayed),
        ("ecs.drain cluster=prod instance=i-0123456789abcdef0", 1, 2)
    );
}

#[test]
fn other_calls_are_shown_among_those_that_stayed() {
    let then = [hook(0), find(1, "ACTIVE"), drain(2), complete(3, "CONTINUE", accepted()), end(4, "done")];
    let now = [
        hook(0),
        exec(1, &["echo", "a b"], error("other")),
        find(1, "ACTIVE"),
        complete(3, "ABANDON", accepted()),
        end(4, "abandon"),
    ];
    let comparison = compared(&then, &now);
    assert!(!comparison.same && comparison.same_end == Some(false));
    insta::assert_snapshot!(comparison.diff, @r#"
    --- recorded
    +++ replayed
    @@ -1,4 +1,4 @@
     lifecycle.hook group=web hook=drain
    +ssh.exec command=["echo","a b"] instance=i-0123456789abcdef0
     ecs.find-container-instance instance=i-0123456789abcdef0
    -ecs.drain cluster=prod instance=i-0123456789abcdef0
    -lifecycle.complete group=web hook=drain instance=i-0123456789abcdef0 result=CONTINUE
    +lifecycle.complete group=web hook=drain instance=i-0123456789abcdef0 result=ABANDON
    "#);
    assert!(comparison.not_recorded.iter().all(|call| call.starts_with("ssh.exec")), "{:?}", comparison.not_recorded);
    assert_eq!(comparison.not_recorded.len(), 1);
}

#[test]
fn the_words_of_an_end_and_heartbeats_are_no_difference() {
    let heartbeat =
        call(5, "lifecycle.heartbeat", json!({ "group": "web", "hook": "drain", "instance": INSTANCE }), accepted());
    let other_words: Value = serde_json::from_str(&end(9, "abandon").to_string().replace("because", "since")).unwrap();
    assert!(compared(&[hook(0), end(6, "abandon")], &[hook(0), heartbeat, other_words]).same);
    assert!(!compared(&[hook(0), end(6, "abandon")], &[hook(0)]).same);
}

#[test]
fn an_end_that_was_not_recorded_is_no_difference() {
    let calls = [find(0, "ACTIVE"), drain(1)];
    let comparison = compared(&calls, &[&calls[..], &[end(9, "done")]].concat());
    assert!(comparison.same && comparison.same_end.is_none(), "{comparison:?}");
    // What comes to no end now, and did then, is one.
    let comparison = compared(&[&calls[..], &[end(9, "done")]].concat(), &calls);
    assert!(!comparison.same && comparison.same_end == Some(false), "{comparison:?}");
}
