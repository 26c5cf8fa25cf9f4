//! What somebody asks a ledger who keeps watch: which work ended lately, and what is damaged.

use jiff::Timestamp;

use super::record::Ended;
use super::{Ledger, LedgerError, Listed, Store};
use crate::ports::InstanceId;

impl Ledger {
    /// What has ended of each instance of which something was written since a time, in the order of their names. What cannot be read is
    /// reported in its place.
    pub async fn ended_since(
        &self,
        since: Timestamp,
    ) -> Result<Vec<(InstanceId, Result<Ended, LedgerError>)>, LedgerError> {
        let prefix = self.prefix::<Ended>();
        let mut ended = Vec::new();
        for object in all(&*self.store, &prefix).await?.into_iter().filter(|object| object.modified >= since) {
            let name = object.key.strip_prefix(&prefix).and_then(|name| name.strip_suffix(".json"));
            // An event without an instance is not watched, and what is called otherwise was put there by a person.
            if let Some(instance) = name.and_then(|name| InstanceId::parse(name).ok()) {
                let read = self.ended(&instance).await;
                ended.push((instance, read));
            }
        }
        Ok(ended)
    }

    /// The damaged objects that hosts have set aside in `store`, for a person to look at.
    pub async fn damaged(store: &dyn Store) -> Result<Vec<Listed>, LedgerError> {
        all(store, "damaged/").await
    }
}

async fn all(store: &dyn Store, prefix: &str) -> Result<Vec<Listed>, LedgerError> {
    let mut objects: Vec<Listed> = Vec::new();
    loop {
        let after = objects.last().map(|last| last.key.as_str());
        let page = store.list(prefix, after).await;
        let page = page.map_err(|source| LedgerError::Read { place: store.locate(prefix), source })?;
        let more = page.more && !page.objects.is_empty();
        objects.extend(page.objects);
        if !more {
            return Ok(objects);
        }
    }
}
