//! A person who only looks: nothing is changed by it.

use super::*;

const KEY: &str = "open/123456789012/eu-central-1/i-0123456789abcdef0.json";

#[tokio::test]
async fn what_is_damaged_is_told_and_stays_where_it_is() {
    let (ledger, store) = ledger();
    let ledger = ledger.only_looking();
    store.put(KEY, b"{\"format\": 1, \"gen").await;
    let error = ledger.open(&instance()).await.unwrap_err();
    insta::assert_snapshot!(error, @"s3://bucket/open/123456789012/eu-central-1/i-0123456789abcdef0.json is damaged (EOF while parsing a string at line 1 column 18): the next host that comes to it sets it aside, below damaged/, and its work begins anew when its events come again");
    let (all, _) = ledger.all_open(None).await.unwrap();
    assert_eq!(all, [Err(error)]);
    assert_eq!(store.keys().await, [KEY]);
}

#[tokio::test]
async fn what_was_copied_by_hand_is_damage_and_what_is_called_otherwise_is_nothing() {
    let (ledger, store) = ledger();
    drop(ledger.claim(&wanted(&terminating())).await.unwrap().ours());
    let object = store.text(KEY).await.unwrap();
    let copy = "open/123456789012/eu-central-1/i-0aaaaaaaaaaaaaaa0.json";
    for key in [copy, &format!("{KEY}.bak"), "open/123456789012/eu-central-1/notes.txt"] {
        store.put(key, object.as_bytes()).await;
    }
    let (all, _) = ledger.only_looking().all_open(None).await.unwrap();
    let told: Vec<_> = all.into_iter().map(|open| open.map(|open| open.items.len())).collect();
    assert!(
        matches!(told.as_slice(), [Ok(1), Err(LedgerError::Unsound { place, damage })]
        if place.ends_with(copy) && damage == "what it tells is of another instance than its name"),
        "{told:?}"
    );
}

#[tokio::test]
async fn what_was_copied_beside_its_place_or_into_another_is_damage_too() {
    let (ledger, store) = ledger();
    drop(ledger.claim(&wanted(&terminating())).await.unwrap().ours());
    let object = store.text(KEY).await.unwrap();
    for copy in
        [KEY.replace("/i-", "/backup/i-"), KEY.replace("eu-central-1", "eu-west-1"), KEY.replace("open/", "ended/")]
    {
        store.put(&copy, object.as_bytes()).await;
        let looked = super::super::swap::look::<Open>(&*store, &copy).await;
        assert!(matches!(looked, Err(LedgerError::Unsound { .. })), "{copy}: {looked:?}");
    }
}
