//! Writes whose answers are lost, objects that others write meanwhile, and objects that are damaged.

use std::sync::atomic::Ordering;

use super::super::record::Object as _;
use super::super::swap::{Change, change, read};
use super::scripted::Fate;
use super::*;

const KEY: &str = "ended/123456789012/eu-central-1/i-0123456789abcdef0.json";

/// Adds an end called `id`. How many were there before it.
async fn add(store: &Scripted, id: &str) -> Result<usize, LedgerError> {
    let ended = ended(id);
    let (before, _) = change(store, KEY, None, |all: &mut Ended| {
        let before = all.items.len();
        all.add(ended.clone());
        Change::Write(before)
    })
    .await?;
    Ok(before)
}

fn ended(id: &str) -> EndedItem {
    EndedItem {
        id: id.to_owned(),
        event: "event".to_owned(),
        token: None,
        kind: "instance-terminating".to_owned(),
        time: at(0),
        handler: "under-test".to_owned(),
        taken: at(0),
        ended: at(0),
        decision: Decision::Done,
        lifecycle: None,
        retried: None,
        attempts: 1,
        told: Vec::new(),
    }
}

async fn ids(store: &Scripted) -> Vec<String> {
    let all = read::<Ended>(store, KEY).await.unwrap();
    all.object.items.into_iter().map(|item| item.id).collect()
}

/// Another writer, who adds an end of its own.
fn others(store: &Scripted) {
    let number = std::sync::atomic::AtomicU32::new(0);
    let write = move |bytes: Vec<u8>| {
        let mut all: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let number = number.fetch_add(1, Ordering::SeqCst);
        let mut ended: Ended = serde_json::from_value(all.take()).unwrap();
        ended.add(self::ended(&format!("other {number}")));
        ended.mark(&format!("other {number}"));
        let mut page = serde_json::to_value(ended).unwrap();
        page["format"] = FORMAT.into();
        serde_json::to_vec(&page).unwrap()
    };
    *store.others.lock().unwrap() = Some(Arc::new(write));
}

#[tokio::test(start_paused = true)]
async fn a_write_is_done_once_whatever_becomes_of_its_answer() {
    for (fate, tries) in
        [(Fate::Done, 1), (Fate::AnswerLost, 1), (Fate::Repeated, 1), (Fate::NeverDone, 2), (Fate::ThenOthers(3), 1)]
    {
        let store = Scripted::default();
        others(&store);
        add(&store, "first").await.unwrap();
        store.next([fate]);
        assert_eq!(add(&store, "second").await.unwrap(), 1);
        assert_eq!(ids(&store).await[..2], ["first", "second"]);
        assert_eq!(store.tried.lock().unwrap().len(), 1 + tries);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_made_again_of_what_others_have_written() {
    let store = Scripted::default();
    others(&store);
    add(&store, "first").await.unwrap();
    let seen = read::<Ended>(&store, KEY).await.unwrap();
    add(&store, "meanwhile").await.unwrap();
    let (before, now) = change(&store, KEY, Some(seen), |all: &mut Ended| {
        let before = all.items.len();
        all.add(ended("second"));
        Change::Write(before)
    })
    .await
    .unwrap();
    assert_eq!((before, now.object.items.len()), (2, 3));
    assert_eq!(ids(&store).await, ["first", "meanwhile", "second"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_told_is_what_the_write_that_took_effect_made() {
    let store = Scripted::default();
    // The first try takes effect, its answer is lost, and the object cannot be read back: a second try follows.
    store.next([Fate::AnswerLost]);
    let mut tries = 0;
    let (told, _) = change(&store, KEY, None, |all: &mut Ended| {
        tries += 1;
        store.unreadable.lock().unwrap().extend((tries == 1).then_some(true));
        all.add(ended(&format!("try {tries}")));
        Change::Write(format!("try {tries}"))
    })
    .await
    .unwrap();
    assert_eq!((told, ids(&store).await), ("try 1".to_owned(), vec!["try 1".to_owned()]));
    assert_eq!(tries, 2);
}

#[tokio::test(start_paused = true)]
async fn an_empty_object_goes_whatever_becomes_of_the_answer() {
    for fate in [Fate::Done, Fate::AnswerLost, Fate::Repeated, Fate::NeverDone] {
        let store = Scripted::default();
        add(&store, "first").await.unwrap();
        store.next([fate]);
        let empty = |all: &mut Ended| {
            all.items.clear();
            Change::Write(())
        };
        let (_, seen) = change(&store, KEY, None, empty).await.unwrap();
        assert_eq!((seen.version, store.keys().await.len()), (None, 0));
        // And what was never there is not made to be removed.
        let tried = store.tried.lock().unwrap().len();
        change(&store, KEY, None, empty).await.unwrap();
        assert_eq!(store.tried.lock().unwrap().len(), tried);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_says_so() {
    let store = Scripted::default();
    store.next([Fate::Refused]);
    insta::assert_snapshot!(
        add(&store, "first").await.unwrap_err(),
        @"the ledger cannot be written, s3://bucket/ended/123456789012/eu-central-1/i-0123456789abcdef0.json: s3:PutObject is not allowed"
    );
    assert_eq!(store.tried.lock().unwrap().len(), 1, "a refusal is certain");

    store.next(vec![Fate::NeverDone; 8]);
    insta::assert_snapshot!(
        add(&store, "first").await.unwrap_err(),
        @"the ledger cannot be written, s3://bucket/ended/123456789012/eu-central-1/i-0123456789abcdef0.json: no answer"
    );
    store.unreadable.lock().unwrap().push_back(true);
    insta::assert_snapshot!(
        add(&store, "first").await.unwrap_err(),
        @"the ledger cannot be read, s3://bucket/ended/123456789012/eu-central-1/i-0123456789abcdef0.json: no answer"
    );
    assert_eq!(store.keys().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn others_who_never_stop_are_told_of() {
    let store = Scripted::default();
    others(&store);
    add(&store, "first").await.unwrap();
    // Each of them writes more often than an object remembers.
    store.next(vec![Fate::ThenOthers(9); 8]);
    let error = add(&store, "second").await.unwrap_err().to_string();
    assert!(error.ends_with("no answer"), "{error}");
    // Taking it for undone is safe: it is in there once.
    assert!(ids(&store).await.iter().filter(|id| *id == "second").count() <= 1);
}

/// What a person, or half a write, makes of an object.
fn damages() -> Vec<(&'static str, String)> {
    let whole = |items: &str| format!(r#"{{"format":1,"generation":1,"writes":["a"],"items":[{items}]}}"#);
    vec![
        ("not JSON", "items = []".to_owned()),
        ("empty", String::new()),
        ("truncated", whole("")[..30].to_owned()),
        ("without a format", r#"{"generation":1,"writes":[],"items":[]}"#.to_owned()),
        ("of format 0", whole("").replace(r#""format":1"#, r#""format":0"#)),
        ("of a negative format", whole("").replace(r#""format":1"#, r#""format":-1"#)),
        ("with an item that is none", whole(r#"{"id":"first"}"#)),
        ("with a time that is none", {
            let mut item = serde_json::to_value(ended("first")).unwrap();
            item["ended"] = "yesterday".into();
            whole(&item.to_string())
        }),
    ]
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_is_set_aside_and_the_work_goes_on() {
    let mut told = Vec::new();
    for (what, bytes) in damages() {
        let store = Scripted::default();
        store.put(KEY, bytes.as_bytes()).await;
        assert_eq!(add(&store, "second").await.unwrap(), 0, "{what}");
        assert_eq!(ids(&store).await, ["second"], "{what}");
        let keys = store.keys().await;
        let aside = keys.iter().find(|key| key.starts_with(&format!("damaged/{KEY}-"))).expect("a copy of it");
        assert_eq!(store.text(aside).await.unwrap(), bytes, "{what}");
        assert_eq!(keys.len(), 2, "{what}");

        let store = Scripted::default();
        store.put(KEY, bytes.as_bytes()).await;
        store.next([Fate::Refused]);
        told.push(format!("{what}: {}", add(&store, "second").await.unwrap_err()));
        assert_eq!(store.text(KEY).await.unwrap(), bytes, "it stays where it is");
    }
    insta::assert_snapshot!(told.join("\n"), @"
    not JSON: s3://bucket/ended/123456789012/eu-central-1/i-0123456789abcdef0.json is damaged (expected value at line 1 column 1) and cannot be set aside: s3:PutObject is not allowed
    empty: s3://bucket/ended/123456789012/eu-central-1/i-0123456789abcdef0.json is damaged (EOF while parsing a value at line 1 column 0) and cannot be set aside: s3:PutObject is not allowed
    truncated: s3://bucket/ended/123456789012/eu-central-1/i-0123456789abcdef0.json is damaged (EOF while parsing a string at line 1 column 30) and cannot be set aside: s3:PutObject is not allowed
    without a format: s3://bucket/ended/123456789012/eu-central-1/i-0123456789abcdef0.json is damaged (missing field `format` at line 1 column 39) and cannot be set aside: s3:PutObject is not allowed
    of format 0: s3://bucket/ended/123456789012/eu-central-1/i-0123456789abcdef0.json is damaged (its format is 0, and the first is 1) and cannot be set aside: s3:PutObject is not allowed
    of a negative format: s3://bucket/ended/123456789012/eu-central-1/i-0123456789abcdef0.json is damaged (invalid value: integer `-1`, expected u32 at line 1 column 12) and cannot be set aside: s3:PutObject is not allowed
    with an item that is none: s3://bucket/ended/123456789012/eu-central-1/i-0123456789abcdef0.json is damaged (missing field `event` at line 1 column 65) and cannot be set aside: s3:PutObject is not allowed
    with a time that is none: s3://bucket/ended/123456789012/eu-central-1/i-0123456789abcdef0.json is damaged (failed to parse four digit integer as year: invalid digit, expected 0-9 but got y at line 1 column 102) and cannot be set aside: s3:PutObject is not allowed
    ");
}

#[tokio::test(start_paused = true)]
async fn a_copy_whose_answer_was_lost_is_a_copy() {
    let (_, bytes) = damages().remove(0);
    for fate in [Fate::Repeated, Fate::Done] {
        let store = Scripted::default();
        store.put(KEY, bytes.as_bytes()).await;
        store.next([fate]);
        add(&store, "second").await.unwrap();
        assert_eq!(store.keys().await.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_later_version_wrote_is_left_alone() {
    let store = Scripted::default();
    store.put(KEY, br#"{"format":2,"anything":["else"]}"#).await;
    insta::assert_snapshot!(
        add(&store, "second").await.unwrap_err(),
        @"s3://bucket/ended/123456789012/eu-central-1/i-0123456789abcdef0.json is of format 2, and this version of hostler knows formats up to 1: a later version wrote it; upgrade this host"
    );
    assert_eq!(store.tried.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_takes_nothing_new_but_can_be_brought_to_its_end() {
    let (ledger, store) = ledger();
    let large = |number: usize| {
        let mut event = notice(&format!("event {number}"));
        event.envelope["detail"]["large"] = "x".repeat(1 << 20).into();
        event
    };
    let first = large(0);
    let held = ledger.claim(&wanted(&first)).await.unwrap().ours();
    let second = large(1);
    insta::assert_snapshot!(
        ledger.claim(&wanted(&second)).await.unwrap_err(),
        @"s3://bucket/open/123456789012/eu-central-1/i-0123456789abcdef0.json has no room for more: so many events of one instance are open that no further one is taken until some have ended"
    );
    // What is in it can still grow: by what its handler leaves, and by its story.
    ledger.note(&held, |item| item.state = Some("x".repeat(1 << 20))).await.unwrap();
    // And all of it keeps no lifecycle action out.
    assert!(ledger.claim(&wanted(&terminating())).await.unwrap().is_busy());
    ledger.end(&held, &Decision::Done, None).await.unwrap();
    assert!(matches!(ledger.claim(&wanted(&second)).await.unwrap(), Claim::Ours(_)));
    assert_eq!(store.keys().await.len(), 2);
}
