//! Who may work on what now.

use super::super::claim::{Adoption, Verdict, adopt, claim, renew};
use super::*;
use crate::lifecycle::HookTimes;

const HOOK: HookTimes =
    HookTimes { heartbeat_timeout: Duration::from_secs(300), global_timeout: Duration::from_secs(30_000) };

/// A claim by the host `host`, `seconds` after the beginning.
fn claimed(open: &mut Open, event: &Event, host: &str, seconds: i64) -> (Verdict, bool) {
    claim(open, &wanted(event), (host, host), at(seconds))
}

/// The lease is given back, and the item is due then.
fn given_back(open: &mut Open, due: i64) {
    let lease = open.lease.take().unwrap();
    let item = open.item_mut(&lease.item).unwrap();
    item.told.last_mut().unwrap().outcome = Some("again".to_owned());
    (item.due, item.wake) = (at(due), at(due));
}

#[test]
fn an_event_is_noted_and_its_instance_is_held_for_it() {
    let (mut open, event) = (Open::default(), terminating());
    assert_eq!(claimed(&mut open, &event, "one", 0), (Verdict::Ours, true));
    let item = &open.items[0];
    assert_eq!((item.attempts, item.taken, item.told.len()), (1, at(0), 1));
    assert_eq!((item.wake, open.lease.as_ref().unwrap().until), (at(25), at(20)));

    // Another event of the instance is noted, and waits.
    let (verdict, changed) = claimed(&mut open, &notice("spot"), "two", 1);
    assert!(matches!(verdict, Verdict::Busy(lease) if lease.holder == "one") && changed);
    assert_eq!((open.items.len(), open.items[1].attempts), (2, 0));
}

#[test]
fn a_lease_is_taken_over_when_it_has_ended_by_any_clock() {
    let (mut open, event) = (Open::default(), terminating());
    claimed(&mut open, &event, "one", 0);
    // It lasts twenty seconds, and clocks may be five apart.
    assert!(matches!(claimed(&mut open.clone(), &event, "two", 24).0, Verdict::Busy(_)));
    assert_eq!(claimed(&mut open, &event, "two", 25).0, Verdict::Ours);
    let item = &open.items[0];
    assert_eq!((item.attempts, item.interrupted), (2, 1));
    assert_eq!(item.told[0].outcome.as_deref(), Some("interrupted"));
}

#[test]
fn an_attempt_that_died_counts_for_its_own_item_whoever_comes() {
    let (mut open, spot) = (Open::default(), notice("spot"));
    claimed(&mut open, &terminating(), "one", 0);
    assert_eq!(claimed(&mut open, &spot, "two", 30).0, Verdict::Ours);
    assert_eq!(open.items.iter().map(|item| (item.attempts, item.interrupted)).collect::<Vec<_>>(), [(1, 1), (1, 0)]);

    // And once: it is not interrupted again when its next attempt begins.
    given_back(&mut open, 60);
    claimed(&mut open, &terminating(), "three", 61);
    assert_eq!((open.items[0].attempts, open.items[0].interrupted), (2, 1));
}

#[test]
fn what_is_not_due_waits_unless_its_end_is_decided_or_ordered() {
    let (mut open, event) = (Open::default(), terminating());
    claimed(&mut open, &event, "one", 0);
    given_back(&mut open, 100);
    assert_eq!(claimed(&mut open, &event, "one", 99), (Verdict::NotDue, false));

    let mut ordered = open.clone();
    let result = LifecycleResult::Abandon;
    ordered.items[0].order = Some(Order { result, by: "me".to_owned(), at: at(50) });
    let mut decided = open.clone();
    decided.items[0].finishing = Some(Finishing { decision: Decision::Done, result: None, sent: false, at: at(50) });
    for open in [&mut ordered, &mut decided] {
        assert_eq!(claimed(open, &event, "one", 60).0, Verdict::Ours);
        assert_eq!(open.items[0].attempts, 1, "no attempt is made for it");
    }
    assert_eq!(claimed(&mut open, &event, "one", 100).0, Verdict::Ours);
    assert_eq!(open.items[0].attempts, 2);
}

#[test]
fn whatever_somebody_waits_for_or_works_on_never_looks_forsaken() {
    let (mut open, spot) = (Open::default(), notice("spot"));
    claimed(&mut open, &terminating(), "one", 0);
    let mut writes = 0;
    // Ten minutes in which one host renews its lease and another comes every few seconds.
    for seconds in 1..600 {
        if seconds % 6 == 0 {
            renew(&mut open, at(seconds));
        }
        if seconds % 7 == 0 {
            writes += i32::from(claimed(&mut open, &spot, "two", seconds).1);
        }
        let forsaken = open.items.iter().find(|item| item.wake < at(seconds));
        assert_eq!(forsaken.map(|item| &item.id), None, "after {seconds} s");
    }
    assert!(writes < 12, "{writes} writes to say that it waits");
}

#[test]
fn times_that_cannot_be_hold_nobody_back() {
    let (mut open, event) = (Open::default(), terminating());
    claimed(&mut open, &event, "one", 0);
    // A clock that is minutes ahead is believed.
    open.lease.as_mut().unwrap().until = at(600);
    assert!(matches!(claimed(&mut open.clone(), &event, "two", 30).0, Verdict::Busy(_)));
    for until in [at(3_600), Timestamp::MAX, Timestamp::MIN] {
        let mut edited = open.clone();
        edited.lease.as_mut().unwrap().until = until;
        edited.items[0].attempts = u32::MAX;
        edited.items[0].interrupted = u32::MAX;
        assert!(!matches!(claimed(&mut edited, &event, "two", 30).0, Verdict::Busy(_)), "{until}");
        assert_eq!(claimed(&mut edited, &event, "two", 111).0, Verdict::Ours, "{until}");
    }
}

#[test]
fn an_instance_has_room_for_so_many_events() {
    let mut open = Open::default();
    for number in 0..16 {
        claimed(&mut open, &notice(&format!("event {number}")), "one", 0);
    }
    assert_eq!(claimed(&mut open, &notice("one more"), "one", 30), (Verdict::Full, false));
    assert_eq!(open.items.len(), 16);
    assert_eq!(claimed(&mut open, &notice("event 7"), "one", 30).0, Verdict::Ours);
    assert_eq!(adopt(&mut open, &wanted(&notice("one more")), (at(0), at(60)), at(30)), Adoption::Full);
    // No flood of others keeps a lifecycle action out.
    assert_ne!(claimed(&mut open, &terminating(), "two", 30).0, Verdict::Full);
}

#[test]
fn a_newer_token_is_another_action_which_comes_after_what_is_under_way() {
    let (mut open, first, second) =
        (Open::default(), terminating_at(0, Some("first")), terminating_at(9, Some("second")));
    claimed(&mut open, &first, "one", 0);
    // It is worked on: the newer waits, and overwrites nothing.
    assert!(matches!(claimed(&mut open, &second, "two", 10).0, Verdict::Busy(_)));
    assert_eq!(open.items[0].token().unwrap(), "first");

    // Its end is on the way: that comes first, too.
    let mut decided = open.clone();
    decided.items[0].finishing = Some(Finishing { decision: Decision::Done, result: None, sent: true, at: at(12) });
    assert_eq!(claimed(&mut decided, &second, "two", 60).0, Verdict::Ours);
    assert_eq!(decided.items[0].token().unwrap(), "first");

    // Nobody works on it: the older action is over, and nothing that was done for it counts.
    assert_eq!(claimed(&mut open, &second, "two", 60).0, Verdict::Ours);
    let item = &open.items[0];
    assert_eq!((item.token().unwrap().as_str(), item.attempts, item.interrupted, item.taken), ("second", 1, 0, at(60)));

    // What comes of the older now is an old delivery.
    given_back(&mut open, 300);
    assert_eq!(claimed(&mut open, &first, "one", 100), (Verdict::NotDue, false));
    assert_eq!(open.items[0].token().unwrap(), "second");
}

#[test]
fn a_token_that_was_not_known_is_taken_over_with_its_event() {
    let (mut open, swept) = (Open::default(), terminating_at(500, None));
    claimed(&mut open, &swept, "one", 500);
    open.items[0].over = true;
    let heard = terminating_at(0, Some("token"));
    assert!(claimed(&mut open, &heard, "two", 501).1);
    assert_eq!((&open.items[0].event, open.items[0].over, open.items[0].attempts), (&heard, false, 1));
    // And not given up again.
    assert!(!claimed(&mut open, &swept, "two", 502).1);
}

#[test]
fn what_is_known_better_is_taken_over_and_what_is_known_worse_is_not() {
    let (mut open, event) = (Open::default(), terminating());
    claimed(&mut open, &event, "one", 0);
    given_back(&mut open, 100);
    let better = Wanted { deadline: at(1_000), hook: Some(HOOK), ..wanted(&event) };
    assert!(claim(&mut open, &better, ("one", "one"), at(1)).1);
    assert_eq!((open.items[0].deadline, open.items[0].hook), (at(1_000), Some(HOOK)));
    // A host that has just begun does not know the hook.
    assert!(!claim(&mut open, &wanted(&event), ("two", "two"), at(2)).1);
    assert_eq!((open.items[0].deadline, open.items[0].hook), (at(1_000), Some(HOOK)));

    let renamed = Wanted { handler: "another", ..better };
    assert!(claim(&mut open, &renamed, ("two", "two"), at(3)).1);
    assert_eq!(open.items[0].handler, "another");
}

#[test]
fn only_what_nobody_brings_is_adopted() {
    let (mut open, event) = (Open::default(), terminating());
    let adopted = |open: &mut Open, seconds: i64| {
        adopt(open, &wanted(&event), (at(seconds - 180), at(seconds + 600)), at(seconds))
    };
    assert_eq!(adopted(&mut open, 0), Adoption::Noted, "it is new");
    assert_eq!((open.items[0].wake, open.items[0].attempts), (at(600), 0));
    assert_eq!(adopted(&mut open, 700), Adoption::Brought, "it may still come");
    assert_eq!(adopted(&mut open, 800), Adoption::Noted, "it never came");
    claimed(&mut open, &event, "one", 800);
    assert_eq!(adopted(&mut open.clone(), 810), Adoption::Brought, "it is worked on");
    assert_eq!(adopted(&mut open, 1_100), Adoption::Noted, "its host died, and its message with it");
}

#[test]
fn nothing_has_happened_later_than_it_is_heard_of() {
    let mut open = Open::default();
    let ahead = Event { deadline: Some(at(7_320)), ..terminating_at(7_200, Some("ahead")) };
    claimed(&mut open, &ahead, "one", 0);
    assert_eq!((open.items[0].event.time, open.items[0].event.deadline), (at(0), Some(at(120))));

    // And each delivery dates it as the first did.
    let ahead = terminating_at(7_200, Some("ahead"));
    let later = Wanted { deadline: at(10_800), ..wanted(&ahead) };
    assert!(matches!(claim(&mut open, &later, ("two", "two"), at(1)), (Verdict::Busy(_), _)));
    assert_eq!(open.items[0].deadline, at(3_600));

    let mut noticed = Open::default();
    claimed(&mut noticed, &terminating_at(0, None), "one", 0);
    claimed(&mut noticed, &ahead, "two", 1);
    assert_eq!((noticed.items[0].token(), noticed.items[0].event.time), (Some(&"ahead".to_owned()), at(1)));
}

#[test]
fn times_that_were_edited_are_corrected_in_what_is_kept() {
    let (mut open, event) = (Open::default(), terminating());
    claimed(&mut open, &event, "one", 0);
    given_back(&mut open, 100);
    let item = &mut open.items[0];
    (item.taken, item.heartbeat, item.due) = (at(90_000), Some(at(90_000)), Timestamp::MAX);
    assert_eq!(claimed(&mut open, &event, "one", 50), (Verdict::NotDue, true));
    let item = &open.items[0];
    assert_eq!((item.taken, item.heartbeat, item.due), (at(50), None, at(3_600)));

    // Clocks that differ a little are left alone: by this time a person names what is meant.
    open.items[0].taken = at(62);
    assert_eq!(claimed(&mut open, &event, "two", 60), (Verdict::NotDue, false));
}

#[test]
fn another_handler_takes_an_item_over_whatever_is_known_of_its_hook() {
    let (mut open, event) = (Open::default(), terminating());
    claim(&mut open, &Wanted { hook: Some(HOOK), ..wanted(&event) }, ("one", "one"), at(0));
    let another = Wanted { handler: "another", deadline: at(600), ..wanted(&event) };
    assert!(claim(&mut open, &another, ("two", "two"), at(1)).1);
    let item = &open.items[0];
    assert_eq!((item.handler.as_str(), item.hook, item.deadline), ("another", Some(HOOK), at(3_600)));
}

#[test]
fn an_event_that_calls_itself_as_a_lifecycle_action_is_called_is_another() {
    let mut posing = notice(&terminating().work_item());
    posing.id = terminating().work_item();
    assert_ne!(posing.work_item(), terminating().work_item());
}

#[test]
fn a_heartbeat_that_a_clock_dates_ahead_since_it_was_set_back_puts_off_no_other() {
    let (mut open, event) = (Open::default(), terminating());
    claim(&mut open, &Wanted { hook: Some(HOOK), ..wanted(&event) }, ("one", "one"), at(600));
    given_back(&mut open, 900);
    open.items[0].heartbeat = Some(at(600));
    // The clock was ten minutes ahead, and is set.
    claimed(&mut open, &event, "one", 10);
    assert_eq!(open.items[0].heartbeat, None);

    // A few seconds are another host's clock.
    open.items[0].heartbeat = Some(at(15));
    claimed(&mut open, &event, "one", 11);
    assert_eq!(open.items[0].heartbeat, Some(at(15)));
}
