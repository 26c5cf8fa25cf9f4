//! What somebody asks a ledger who keeps watch: which work ended lately, and what is damaged. A ledger may hold the ends of days and of
//! a whole fleet, so that it is handed on a page at a time, and nothing is kept.

use jiff::Timestamp;

use super::record::Ended;
use super::{Ledger, LedgerError, Listed, Store};
use crate::ports::InstanceId;

impl Ledger {
    /// Hands to `what` the ends of each instance of which something was written since a time, in the order of their names, or why they
    /// cannot be read.
    pub async fn ended_since<E: From<LedgerError>>(
        &self,
        since: Timestamp,
        mut what: impl FnMut(InstanceId, Result<Ended, LedgerError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let prefix = self.prefix::<Ended>();
        each_page(&*self.store, &prefix, async |page| {
            let lately = page.into_iter().filter(|object| object.modified >= since);
            let (instances, keys): (Vec<_>, Vec<_>) = lately
                .filter_map(|object| {
                    let name = object.key.strip_prefix(&prefix)?.strip_suffix(".json")?;
                    // An event without an instance is not watched, and what is called otherwise was put there by a person.
                    Some((InstanceId::parse(name).ok()?, object.key))
                })
                .unzip();
            let read = self.look_at(keys.into_iter()).await;
            instances.into_iter().zip(read).try_for_each(|(instance, ended)| what(instance, ended))
        })
        .await
    }

    /// Hands to `what` each damaged object that hosts have set aside in `store`, for a person to look at.
    pub async fn damaged<E: From<LedgerError>>(
        store: &dyn Store,
        mut what: impl FnMut(Listed) -> Result<(), E>,
    ) -> Result<(), E> {
        each_page(store, "damaged/", async |page| page.into_iter().try_for_each(&mut what)).await
    }
}

/// Hands on what there is below `prefix`, as it is listed.
async fn each_page<E: From<LedgerError>>(
    store: &dyn Store,
    prefix: &str,
    mut what: impl AsyncFnMut(Vec<Listed>) -> Result<(), E>,
) -> Result<(), E> {
    let mut after: Option<String> = None;
    loop {
        let page = store.list(prefix, after.as_deref()).await;
        let page = page.map_err(|source| LedgerError::Read { place: store.locate(prefix), source })?;
        after = page.objects.last().filter(|_| page.more).map(|last| last.key.clone());
        what(page.objects).await?;
        if after.is_none() {
            return Ok(());
        }
    }
}
