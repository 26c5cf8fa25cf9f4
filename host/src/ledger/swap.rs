//! Compare-and-swap: how several hosts change one object without losing each other's changes, or believing that they have.
//!
//! Every write carries a mark of its own. Where the answer to a write is lost, or says that the object has changed, the object is
//! read back: if our mark is in it, the write was ours after all (S3 answers the retry of a write that took effect with 412).
//! What cannot be read as what it should be is reported, set aside, and no reason to stop.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::{FORMAT, Object};
use super::store::{Store, Stored, Version, WriteError};
use super::{LedgerError, random};
use crate::ports::{PortError, PortErrorKind};

/// How often a write is tried before the door is told to come again. Contention on one instance is two or three deliveries.
const TRIES: u32 = 8;

/// The pause after a try that failed; it grows with each.
const PAUSE: Duration = Duration::from_millis(50);

/// The largest object that is written, in bytes; less than what stores read.
const MAX_BYTES: usize = 4 << 20;

/// The largest object that something new is added to, in bytes: the rest is for the states and the stories of what is in it, so
/// that all of it can be brought to its end.
const MAX_BYTES_TO_ADD: usize = MAX_BYTES / 2;

/// The same for what no flood of other things may keep out.
const MAX_BYTES_TO_ADD_ABOVE_ALL: usize = MAX_BYTES / 4 * 3;

/// What is to be done with an object, having looked at it.
pub(super) enum Change<T> {
    /// Write it as it is now.
    Write(T),
    /// Write it as it is now, if that leaves room for what is still to be written about the rest of it.
    Add(T),
    /// The same, with room of its own.
    AddAboveAll(T),
    /// Leave it.
    Nothing(T),
}

/// An object, and the version that was read.
#[derive(Debug, Clone)]
pub(super) struct Seen<O> {
    pub(super) object: O,
    /// None if there is no such object.
    pub(super) version: Option<Version>,
}

/// An object as it is written.
#[derive(Serialize)]
struct Page<O> {
    format: u32,
    #[serde(flatten)]
    object: O,
}

/// The beginning of every format.
#[derive(Deserialize)]
struct AnyFormat {
    format: u32,
}

/// What stands in the place of an object.
enum Found<O> {
    Sound(Seen<O>),
    Damaged(Stored, String),
}

/// Reads an object. One that is damaged is set aside, and then there is none.
pub(super) async fn read<O: Object>(store: &dyn Store, key: &str) -> Result<Seen<O>, LedgerError> {
    match find(store, key).await? {
        Found::Sound(seen) => Ok(seen),
        Found::Damaged(stored, damage) => {
            set_aside::<O>(store, key, stored, &damage).await?;
            Ok(Seen { object: O::default(), version: None })
        }
    }
}

/// Reads an object for somebody who changes nothing. One that is damaged is an error.
pub(super) async fn look<O: Object>(store: &dyn Store, key: &str) -> Result<Seen<O>, LedgerError> {
    match find(store, key).await? {
        Found::Sound(seen) => Ok(seen),
        Found::Damaged(_, damage) => Err(LedgerError::Unsound { place: store.locate(key), damage }),
    }
}

async fn find<O: Object>(store: &dyn Store, key: &str) -> Result<Found<O>, LedgerError> {
    let place = || store.locate(key);
    let Some(stored) = store.read(key).await.map_err(|source| LedgerError::Read { place: place(), source })? else {
        return Ok(Found::Sound(Seen { object: O::default(), version: None }));
    };
    let damage = match serde_json::from_slice::<AnyFormat>(&stored.bytes) {
        Ok(AnyFormat { format }) if format > FORMAT => return Err(LedgerError::Newer { place: place(), format }),
        Ok(AnyFormat { format: 0 }) => "its format is 0, and the first is 1".to_owned(),
        // Without the page around it, which would be gone through by way of maps and take longer.
        Ok(_) => match serde_json::from_slice::<O>(&stored.bytes) {
            Ok(object) if object.belongs_to(key) => {
                return Ok(Found::Sound(Seen { object, version: Some(stored.version) }));
            }
            Ok(_) => "what it tells is of another instance than its name".to_owned(),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    Ok(Found::Damaged(stored, damage))
}

/// Moves a damaged object out of the way, where a person can look at it.
async fn set_aside<O: Object>(store: &dyn Store, key: &str, damaged: Stored, damage: &str) -> Result<(), LedgerError> {
    let aside = format!("damaged/{key}-{}", random());
    let failed = |source| LedgerError::Damaged { place: store.locate(key), damage: damage.to_owned(), source };
    match store.write(&aside, damaged.bytes, None).await {
        // Nobody else writes under this name: what stands there is ours, and the answer to it was lost.
        Ok(_) | Err(WriteError::Changed) => {}
        Err(WriteError::Unknown(error) | WriteError::Refused(error)) => return Err(failed(error)),
    }
    match store.remove(key, &damaged.version).await {
        // Somebody else was as quick; both copies say the same.
        Ok(()) | Err(WriteError::Changed) => {}
        Err(WriteError::Unknown(error) | WriteError::Refused(error)) => return Err(failed(error)),
    }
    let (object, aside) = (store.locate(key), store.locate(&aside));
    tracing::error!(object, aside, damage, "an object of the ledger is damaged: it was set aside, and {}", O::LOST);
    Ok(())
}

/// Changes an object: `change` is asked what to do with it as it is, again after every change by somebody else. An object that is
/// empty afterwards is removed. Begins with `seen` if it is given; returns the object as it was left.
pub(super) async fn change<O: Object, T>(
    store: &dyn Store,
    key: &str,
    seen: Option<Seen<O>>,
    mut change: impl FnMut(&mut O) -> Change<T>,
) -> Result<(T, Seen<O>), LedgerError> {
    let mut seen = match seen {
        Some(seen) => seen,
        None => read(store, key).await?,
    };
    let mut last = busy();
    // What each try comes to if it is the one that took effect: it need not be the last.
    let mut ours: Vec<(String, T)> = Vec::new();
    for tries in 1..=TRIES {
        let Seen { object, version } = &seen;
        let mut changed = object.clone();
        let (value, most) = match change(&mut changed) {
            Change::Nothing(value) => return Ok((value, seen)),
            Change::Write(value) => (value, MAX_BYTES),
            Change::Add(value) => (value, MAX_BYTES_TO_ADD),
            Change::AddAboveAll(value) => (value, MAX_BYTES_TO_ADD_ABOVE_ALL),
        };
        let nonce = random();
        changed.mark(&nonce);
        let gone = changed.is_empty();
        let result = match (gone, version) {
            (true, None) => return Ok((value, seen)),
            (true, Some(version)) => store.remove(key, version).await.map(|()| None),
            (false, version) => store.write(key, bytes(store, key, &changed, most)?, version.as_ref()).await.map(Some),
        };
        match result {
            Ok(version) => return Ok((value, Seen { object: changed, version })),
            Err(WriteError::Refused(source)) => return Err(LedgerError::Write { place: store.locate(key), source }),
            Err(WriteError::Changed) => {}
            Err(WriteError::Unknown(error)) => last = error,
        }
        tokio::time::sleep(PAUSE * (tries - 1)).await;
        match read::<O>(store, key).await {
            // Nobody but us removes what is empty for us; and if somebody did, it is done.
            Ok(now) if gone && now.version.is_none() => return Ok((value, now)),
            Ok(now) => {
                ours.push((nonce, value));
                let writes = now.object.writes();
                if let Some(place) = ours.iter().rposition(|(mark, _)| writes.contains(mark)) {
                    return Ok((ours.swap_remove(place).1, now));
                }
                seen = now;
            }
            // The same version again: if the write took effect, the next try finds the object changed.
            Err(LedgerError::Read { source, .. }) => {
                ours.push((nonce, value));
                last = source;
            }
            Err(error) => return Err(error),
        }
    }
    Err(LedgerError::Write { place: store.locate(key), source: last })
}

pub(super) fn bytes<O: Object>(store: &dyn Store, key: &str, object: &O, most: usize) -> Result<Vec<u8>, LedgerError> {
    let page = Page { format: FORMAT, object: object.clone() };
    let bytes = serde_json::to_vec(&page).map_err(|error| LedgerError::Write {
        place: store.locate(key),
        source: PortError::new(PortErrorKind::Other, format!("it cannot be put into words: {error}")),
    })?;
    if bytes.len() <= most {
        return Ok(bytes);
    }
    Err(LedgerError::Full { place: store.locate(key) })
}

fn busy() -> PortError {
    PortError::new(PortErrorKind::Conflict, "others kept changing it")
}
