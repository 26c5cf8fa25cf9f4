//! What somebody is told who keeps watch, however much there is.

use std::sync::Mutex;

use async_trait::async_trait;

use super::*;

/// A store that takes a second for each read, and tells what it is asked.
struct Slow {
    objects: MemoryStore,
    asked: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Store for Slow {
    async fn read(&self, key: &str) -> Result<Option<Stored>, PortError> {
        self.asked.lock().unwrap().push("read".to_owned());
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.objects.read(key).await
    }

    async fn write(&self, key: &str, bytes: Vec<u8>, over: Option<&Version>) -> Result<Version, WriteError> {
        self.objects.write(key, bytes, over).await
    }

    async fn remove(&self, key: &str, version: &Version) -> Result<(), WriteError> {
        self.objects.remove(key, version).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, PortError> {
        self.asked.lock().unwrap().push("list".to_owned());
        self.objects.list(prefix, after).await
    }

    fn locate(&self, key: &str) -> String {
        self.objects.locate(key)
    }
}

#[tokio::test(start_paused = true)]
async fn ends_are_handed_on_page_by_page_read_side_by_side_and_the_old_ones_not_at_all() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let store = Arc::new(Slow { objects: MemoryStore::new(Arc::new(VirtualClock::new())), asked: asked.clone() });
    let end = async |number: u32| {
        let key = format!("ended/123456789012/eu-central-1/i-{number:017x}.json");
        store.write(&key, br#"{"format":1,"generation":1,"writes":[],"items":[]}"#.to_vec(), None).await.unwrap();
    };
    for old in 0..1_990 {
        end(old).await;
    }
    tokio::time::advance(Duration::from_secs(3_600)).await;
    let since = at(0) + SignedDuration::from_secs(3_600);
    for new in 1_990..2_022 {
        end(new).await;
    }
    let place = ledger().0.place().clone();
    let ledger = Ledger::new(store.clone(), Arc::new(VirtualClock::new()), place, "a person").only_looking();
    let (began, mut handed) = (tokio::time::Instant::now(), 0);
    let told = ledger.ended_since(since, |_, ended| {
        handed += 1;
        asked.lock().unwrap().push("handed".to_owned());
        ended.map(drop)
    });
    told.await.unwrap();
    assert_eq!(handed, 32);
    let mut asked = asked.lock().unwrap().clone();
    asked.dedup();
    // The first page holds old ones only; of the second some are read and handed on before there is a third.
    assert_eq!(asked, ["list", "read", "handed", "list", "read", "handed"]);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn whoever_has_heard_enough_ends_it() {
    let (_, store) = ledger();
    for number in 0..3 {
        store.put(&format!("damaged/open/123456789012/eu-central-1/i-{number}.json-0a"), b"{").await;
    }
    let mut told = Vec::new();
    let enough = Ledger::damaged(&*store, |object| {
        told.push(object.key);
        Err(LedgerError::Lost { subject: "enough".to_owned() })
    });
    assert!(matches!(enough.await, Err(LedgerError::Lost { .. })));
    assert_eq!(told, ["damaged/open/123456789012/eu-central-1/i-0.json-0a"]);
}
