use super::*;
use crate::modules::signature::KeyId;

const KEY: KeyId = KeyId::numbered(1);
const OTHER: KeyId = KeyId::numbered(2);

/// A module that `KEY` has signed.
fn origin(digest: &str, version: &str) -> Origin {
    signed(digest, KEY, version)
}

fn signed(digest: &str, by: KeyId, version: &str) -> Origin {
    let signed = Some(Signed { by, version: version.parse().unwrap() });
    Origin { signed, accepted: true, ..Origin::built_here(digest) }
}

fn newest(record: &Record) -> Option<String> {
    record.newest(|_| true).map(|(version, _)| version.to_string())
}

fn crash() -> Sign {
    Sign::Crashed("unreachable".into())
}

/// A record in which `old` has worked, and `new` was accepted.
fn record() -> Record {
    let mut record = Record::default();
    record.note(&origin("old", "1"), "h", &Sign::Ended, Some(3));
    record.accept(&origin("new", "2"));
    record
}

#[test]
fn crashes_in_a_row_are_the_end_of_a_new_digest() {
    let mut record = record();
    for crashes in 1..=3 {
        assert_eq!(record.given_up("new"), None, "after {crashes}");
        record.note(&origin("new", "2"), "h", &crash(), Some(3));
    }
    assert_eq!(record.given_up("new"), Some("3 attempts of handler \"h\" in a row crashed; the last: unreachable"));
    assert_eq!(record.good().map(|told| told.digest.as_str()).collect::<Vec<_>>(), ["old"]);
    assert_eq!(newest(&record).as_deref(), Some("1"), "else the one before would be too old to be run");
}

#[test]
fn what_was_accepted_counts_though_it_has_ended_nothing_and_what_a_handler_is_pinned_to_does_not() {
    let mut record = record();
    record.note(&Origin { accepted: false, ..origin("pinned", "9") }, "h", &Sign::Ended, Some(3));
    assert_eq!(newest(&record).as_deref(), Some("2"));
    for _ in 0..3 {
        record.note(&origin("newer", "3"), "h", &crash(), Some(3));
    }
    assert!(record.given_up("newer").is_some());
    assert_eq!(newest(&record).as_deref(), Some("2"), "a version that was a mend is not undone");
    // However many follow.
    for number in 0..DIGESTS * 2 {
        record.note(&Origin { accepted: false, ..origin(&format!("old {number}"), "1") }, "h", &crash(), Some(3));
    }
    assert_eq!(newest(&record).as_deref(), Some("2"));
}

#[test]
fn a_version_counts_only_while_its_key_is_trusted() {
    let mut record = record();
    record.accept(&signed("bad", OTHER, "18446744073709551615"));
    record.accept(&signed("new", OTHER, "18446744073709551614"));
    for number in 0..DIGESTS * 2 {
        record.note(&Origin { accepted: false, ..origin(&format!("old {number}"), "1") }, "h", &crash(), Some(3));
    }
    assert_eq!(record.newest(|by| by != OTHER.to_string()), Some((&"2".parse().unwrap(), "new")));
    assert_eq!(newest(&record).as_deref(), Some("18446744073709551615"));
}

#[test]
fn a_version_is_that_of_the_digest_which_had_it_first() {
    let mut record = record();
    // Two hosts accept them at the same time.
    let other = Origin { version_id: Some("id".into()), ..origin("other", "2.0") };
    record.accept(&other);
    assert_eq!(record.newest(|_| true), Some((&"2".parse().unwrap(), "new")));
    assert!(record.usable(|_| true).is_empty(), "nobody begins with the other");
    let mut without = record.clone();
    for _ in 0..3 {
        without.note(&origin("new", "2"), "h", &crash(), Some(3));
    }
    assert_eq!(without.newest(|_| true).map(|(_, digest)| digest), Some("other"));
    for number in 0..DIGESTS * 2 {
        record.accept(&origin(&format!("old {number}"), "1"));
    }
    assert_eq!(record.newest(|_| true).map(|(_, digest)| digest), Some("new"), "it is not forgotten");
}

#[test]
fn what_is_learned_of_a_digest_later_is_noted() {
    let mut record = Record::default();
    let unnamed = Origin { accepted: false, ..origin("a", "1") };
    assert!(record.note(&unnamed, "h", &Sign::Ended, None));
    assert!(!record.note(&unnamed, "h", &Sign::Ended, None));
    assert!(record.note(&Origin { version_id: Some("v1".into()), ..unnamed.clone() }, "h", &Sign::Ended, None));
    assert!(record.accept(&origin("a", "1")) && !record.accept(&origin("a", "1")));
    assert_eq!(record.of("a").and_then(|told| told.version_id.as_deref()), Some("v1"));
    // The same module, signed again; and the same signature, uploaded again.
    let uploaded = |id: &str, version| Origin { version_id: Some(id.into()), ..origin("a", version) };
    assert!(record.accept(&uploaded("v3", "3")) && !record.accept(&uploaded("v2", "2")));
    assert_eq!((newest(&record).as_deref(), record.usable(|_| true)), (Some("3"), vec!["v3"]));
    assert!(record.accept(&uploaded("v4", "3")) && !record.accept(&origin("a", "3")));
    // A host that runs what was uploaded before says nothing of where it is.
    assert!(!record.note(&uploaded("v3", "3"), "h", &Sign::Ended, None));
    assert_eq!(record.usable(|_| true), ["v4"]);
    assert!(record.usable(|_| false).is_empty());
}

#[test]
fn what_another_has_told_of_a_digest_is_learned_once() {
    let told = Told {
        digest: "new".to_owned(),
        version_id: Some("id".to_owned()),
        accepted: [(KEY.to_string(), Accepted { version: "3".parse().unwrap(), version_id: None })].into(),
        pinned: true,
        worked: ["h".to_owned()].into(),
        crashes: [("other".to_owned(), 2)].into(),
        given_up: Some("it crashes".to_owned()),
    };
    for mut record in [Record::default(), record()] {
        assert!(record.learn(&told));
        assert_eq!(record.of("new"), Some(&told));
        assert!(!record.learn(&told));
    }
    let mut record = record();
    record.note(&origin("new", "4"), "other", &Sign::Ended, Some(3));
    let before = record.clone();
    record.learn(&Told { worked: [].into(), given_up: None, version_id: None, pinned: false, ..told });
    assert_eq!(record, before, "it is all older, or no trial any more");
}

#[test]
fn what_is_learned_takes_no_version_from_the_digest_that_has_it() {
    let mut late = Record::default();
    late.accept(&origin("late", "2.0"));
    let mut record = Record::default();
    record.accept(&Origin { accepted: false, ..origin("late", "2.0") });
    record.accept(&origin("new", "2"));
    assert!(!record.learn(late.of("late").unwrap()));
    assert_eq!(record.newest(|_| true).map(|(_, digest)| digest), Some("new"));
    // Nor is it worth a place then.
    let mut record = Record::default();
    record.accept(&origin("new", "2"));
    let before = record.clone();
    assert!(!record.learn(late.of("late").unwrap()));
    assert_eq!(record, before);
}

#[test]
fn what_works_between_begins_the_row_anew_and_an_end_ends_the_trial() {
    let mut record = record();
    for sign in [crash(), crash(), Sign::Worked, crash(), crash(), Sign::Ended, crash(), crash(), crash(), crash()] {
        record.note(&origin("new", "2"), "h", &sign, Some(3));
    }
    assert_eq!(record.given_up("new"), None);
    for _ in 0..3 {
        record.note(&origin("new", "2"), "another", &crash(), Some(3));
    }
    assert!(record.given_up("new").is_some(), "for another handler it is still on trial");
}

#[test]
fn with_nothing_to_go_back_to_it_stays_and_so_it_never_flaps() {
    let crashes = |record: &mut Record, digest: &str, version: &str, handler: &str| {
        let after = record.goes_back(digest, |_| true).then_some(3);
        record.note(&origin(digest, version), handler, &crash(), after);
    };
    let mut record = Record::default();
    for _ in 0..4 {
        crashes(&mut record, "first", "1", "h");
    }
    assert_eq!(record.given_up("first"), None);
    let mut record = self::record();
    assert!(!record.goes_back("new", |told| told.digest != "old"), "which may not be run");
    for _ in 0..10 {
        crashes(&mut record, "new", "2", "h");
        crashes(&mut record, "old", "1", "other");
    }
    assert!(record.given_up("new").is_some() && record.given_up("old").is_none());
}

#[test]
fn the_one_to_go_back_to_is_never_forgotten() {
    let mut record = record();
    for number in 0..DIGESTS * 2 {
        record.note(&origin(&format!("new {number}"), "2"), "h", &crash(), Some(3));
    }
    assert_eq!((record.digests.len(), record.good().next().map(|good| good.digest.as_str())), (DIGESTS, Some("old")));
}

#[test]
fn what_was_given_up_or_pinned_is_not_forgotten_for_what_is_uploaded_after_it() {
    let mut record = record();
    for _ in 0..3 {
        record.note(&origin("bad", "14"), "h", &crash(), Some(3));
    }
    record.accept(&Origin { accepted: false, version_id: Some("id".into()), ..Origin::built_here("pinned") });
    for number in 0..DIGESTS * 2 {
        record.accept(&origin(&format!("new {number}"), &format!("3.{number}")));
    }
    assert!(record.given_up("bad").is_some());
    assert_eq!(record.of("pinned").map(Told::version_ids), Some(vec!["id".to_owned()]));
    assert_eq!(record.digests.len(), DIGESTS);
    // Neither fills the record.
    for number in 0..DIGESTS * 2 {
        record.accept(&Origin { accepted: false, ..Origin::built_here(&format!("pinned {number}")) });
        for _ in 0..3 {
            record.note(&origin(&format!("bad {number}"), "14"), "h", &crash(), Some(3));
        }
    }
    assert_eq!((record.digests.len(), newest(&record).as_deref()), (DIGESTS, Some("3.39")));
    assert!(record.good().any(|good| good.digest == "old"));
}

#[test]
fn what_is_known_already_need_not_be_written_again() {
    let mut record = Record::default();
    let mut new = |sign: &Sign| record.note(&origin("first", "1"), "h", sign, Some(2));
    assert_eq!([new(&crash()), new(&crash()), new(&crash())], [true, true, false]);
    assert_eq!([new(&Sign::Worked), new(&Sign::Worked)], [true, false]);
    assert_eq!([new(&Sign::Ended), new(&Sign::Ended), new(&crash())], [true, false, false]);
}

#[test]
fn what_says_more_of_the_world_than_of_the_module_is_no_sign() {
    let waiting = |during| Outcome::Failed(Failure::Budget(BudgetSpent { budget: "wall", limit: "5m".into(), during }));
    assert_eq!(Sign::of(&waiting(Some("ecs.describe")), false), None);
    for of_its_own in [Some(SLEEP), Some(WASI), None] {
        assert!(matches!(Sign::of(&waiting(of_its_own), false), Some(Sign::Crashed(_))), "{of_its_own:?}");
    }
    assert_eq!(Sign::of(&waiting(Some(SLEEP)), true), None, "a minute was too little for it");
    assert_eq!(Sign::of(&Outcome::Failed(Failure::LeaseEnded), false), None);
    assert!(matches!(Sign::of(&Outcome::Failed(Failure::Trap("unreachable".into())), false), Some(Sign::Crashed(_))));
    assert_eq!(Sign::of(&Outcome::Failed(Failure::NoModule("gone".into())), false), None);
    assert_eq!(Sign::of(&Outcome::Done, false), Some(Sign::Ended));
}

#[test]
fn never_means_never() {
    let mut record = record();
    for _ in 0..100 {
        record.note(&origin("new", "2"), "h", &crash(), None);
    }
    assert_eq!(record.given_up("new"), None);
}

#[test]
fn what_other_hosts_have_written_can_be_read_whichever_their_version() {
    let mut record = Record::default();
    let signed = Origin { version_id: Some("id".into()), ..origin("ab12", "1.4") };
    record.accept(&signed);
    record.note(&signed, "drain", &Sign::Ended, Some(3));
    record.note(&signed, "stop", &crash(), Some(3));
    let written = serde_json::to_string(&record).unwrap();
    insta::assert_snapshot!(written, @r#"{"digests":[{"digest":"ab12","version-id":"id","accepted":{"0100000000000000":{"version":"1.4","version-id":"id"}},"pinned":false,"worked":["drain"],"crashes":{"stop":1},"given-up":null}]}"#);
    assert_eq!(serde_json::from_str::<Record>(&written).unwrap(), record);
    let other = r#"{"digests": [{"digest": "ab12", "more": 1}], "more": 2}"#;
    assert_eq!(serde_json::from_str::<Record>(other).unwrap().digests[0].digest, "ab12");
}
