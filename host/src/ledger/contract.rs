//! What every store has to do, as tests that each store puts itself to.

use super::{Page, Store, Version, WriteError};

/// Reads, writes, removals and lists of an empty store answer as the trait says.
pub(crate) async fn holds(store: &dyn Store) {
    creates_once(store).await;
    changes_only_what_was_seen(store).await;
    removes_only_what_was_seen(store).await;
    lists_in_order(store).await;
}

async fn creates_once(store: &dyn Store) {
    assert_eq!(store.read("a").await, Ok(None));
    let first = store.write("a", b"one".to_vec(), None).await.unwrap();
    assert_eq!(store.write("a", b"two".to_vec(), None).await, Err(WriteError::Changed));
    let stored = store.read("a").await.unwrap().unwrap();
    assert_eq!((stored.bytes.as_slice(), &stored.version), (b"one".as_slice(), &first));
}

async fn changes_only_what_was_seen(store: &dyn Store) {
    let first = store.read("a").await.unwrap().unwrap().version;
    let second = store.write("a", b"two".to_vec(), Some(&first)).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(store.write("a", b"three".to_vec(), Some(&first)).await, Err(WriteError::Changed));
    assert_eq!(store.read("a").await.unwrap().unwrap().bytes, b"two");
    // Nobody has seen what is not there.
    assert_eq!(store.write("gone", b"one".to_vec(), Some(&first)).await, Err(WriteError::Changed));
    assert_eq!(store.read("gone").await, Ok(None));
}

async fn removes_only_what_was_seen(store: &dyn Store) {
    let version = store.read("a").await.unwrap().unwrap().version;
    assert_eq!(store.remove("a", &Version("\"other\"".into())).await, Err(WriteError::Changed));
    assert_eq!(store.read("a").await.unwrap().unwrap().version, version);
    store.remove("a", &version).await.unwrap();
    assert_eq!(store.read("a").await, Ok(None));
    assert_eq!(store.remove("a", &version).await, Err(WriteError::Changed));
    store.write("a", b"again".to_vec(), None).await.unwrap();
}

/// As S3 does: by bytes, so that folders are nothing but a `/` in the key.
async fn lists_in_order(store: &dyn Store) {
    for key in ["items/b/c", "items/bb", "items/b.json", "items/a/z", "items-2/a", "other/x"] {
        store.write(key, b"{}".to_vec(), None).await.unwrap();
    }
    let list = async |prefix: &str, after: Option<&str>| keys(&store.list(prefix, after).await.unwrap());
    assert_eq!(list("items/", None).await, ["items/a/z", "items/b.json", "items/b/c", "items/bb"]);
    assert_eq!(list("items/", Some("items/b.json")).await, ["items/b/c", "items/bb"]);
    assert_eq!(list("items/", Some("items/a/zz")).await, ["items/b.json", "items/b/c", "items/bb"]);
    assert_eq!(list("items/b", None).await, ["items/b.json", "items/b/c", "items/bb"]);
    assert_eq!(list("items/b/", None).await, ["items/b/c"]);
    assert_eq!(list("items/", Some("a")).await.len(), 4);
    assert_eq!(list("items/", Some("other")).await, [""; 0]);
    assert_eq!(list("nothing/", None).await, [""; 0]);
    assert_eq!(list("", Some("items/b/")).await, ["items/b/c", "items/bb", "other/x"]);
    let all = list("", None).await;
    assert_eq!(all, ["a", "items-2/a", "items/a/z", "items/b.json", "items/b/c", "items/bb", "other/x"]);
}

/// More than `page` objects are listed page after page, each once.
pub(crate) async fn pages(store: &dyn Store, page: usize) {
    for number in 0..=page {
        store.write(&format!("many/{number:05}"), b"{}".to_vec(), None).await.unwrap();
    }
    let first = store.list("many/", None).await.unwrap();
    assert!(first.more && first.objects.len() == page);
    let rest = store.list("many/", first.objects.last().map(|last| last.key.as_str())).await.unwrap();
    assert_eq!((keys(&rest), rest.more), (vec![format!("many/{page:05}")], false));
}

fn keys(page: &Page) -> Vec<String> {
    page.objects.iter().map(|listed| listed.key.clone()).collect()
}
