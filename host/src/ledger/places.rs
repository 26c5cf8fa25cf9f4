//! Which accounts and regions a ledger has something of: who reads it may be somewhere else, or nowhere in AWS.

use super::record::{Ended, Object, Open};
use super::{Ledger, LedgerError, Store};
use crate::ports::{AccountId, Place, Region};

impl Ledger {
    /// The places that `store` has open or ended items of, in the order of their names.
    pub async fn places(store: &dyn Store) -> Result<Vec<Place>, LedgerError> {
        let mut places = Vec::new();
        for folder in [Open::FOLDER, Ended::FOLDER] {
            let prefix = format!("{folder}/");
            let mut after = None::<String>;
            loop {
                let page = store.list(&prefix, after.as_deref()).await;
                let page = page.map_err(|source| LedgerError::Read { place: store.locate(&prefix), source })?;
                let found = page.objects.iter().find_map(|object| place(object.key.strip_prefix(&prefix)?));
                let last = page.objects.last().filter(|_| page.more || found.is_some());
                after = match (found, last) {
                    (_, None) => break,
                    (None, Some(last)) => Some(last.key.clone()),
                    (Some(found), Some(_)) => {
                        // Past everything of this place: 0 is what follows / in the order of keys.
                        let next = format!("{prefix}{}/{}0", found.account, found.region);
                        if !places.contains(&found) {
                            places.push(found);
                        }
                        Some(next)
                    }
                };
            }
        }
        places.sort_by(|a, b| (&a.account, &a.region).cmp(&(&b.account, &b.region)));
        Ok(places)
    }

    /// The account and region whose work this is about.
    pub fn place(&self) -> &Place {
        &self.place
    }
}

/// The place that a key, without its folder, begins with.
fn place(key: &str) -> Option<Place> {
    let mut parts = key.split('/');
    let account = AccountId::parse(parts.next()?).ok()?;
    let region = Region::parse(parts.next()?).ok()?;
    parts.next().map(|_| Place { account, region })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::MemoryStore;

    async fn places(keys: impl IntoIterator<Item = String>) -> Vec<String> {
        let store = MemoryStore::default();
        for key in keys {
            store.write(&key, b"{}".to_vec(), None).await.unwrap();
        }
        let places = Ledger::places(&store).await.unwrap();
        places.iter().map(|place| format!("{} {}", place.account, place.region)).collect()
    }

    #[tokio::test]
    async fn every_place_is_found_once_whatever_lies_between() {
        assert_eq!(places([]).await, [""; 0]);
        let keys = [
            "damaged/open/123456789012/us-west-1/x",
            "ended/210987654321/eu-central-1/i-1.json",
            "ended/123456789012/eu-central-1/i-1.json",
            "open/123456789012/eu-central-1/i-1.json",
            "open/123456789012/eu-central-1/i-2.json",
            "open/123456789012/eu-central-10/i-1.json",
            "open/123456789012/eu-central-1-beta/i-1.json",
            "open/123456789012/eu-west-1",
            "open/readme.txt",
        ];
        assert_eq!(
            places(keys.map(str::to_owned)).await,
            [
                "123456789012 eu-central-1",
                "123456789012 eu-central-1-beta",
                "123456789012 eu-central-10",
                "210987654321 eu-central-1"
            ]
        );
    }

    #[tokio::test]
    async fn a_page_without_a_place_is_not_the_end() {
        let strange = (0..1_500).map(|number| format!("open/0-{number:04}"));
        let keys = strange.chain(["open/123456789012/eu-central-1/i-1.json".to_owned()]);
        assert_eq!(places(keys).await, ["123456789012 eu-central-1"]);
    }
}
