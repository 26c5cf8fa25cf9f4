//! What is asked of the source, and of what hosts know, and how long they are waited for.

use std::time::Duration;

use super::slot::Slot;
use super::{Fetched, ModuleError, Modules, Origin, Refusal, SourceError, SourceErrorKind, Upload, Which};
use crate::digest::sha256;
use crate::policy::Pin;

/// How long the source, or the compiler, is waited for when there is a good module to go on with. A module of 32 MiB takes about a second
/// inside a region.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// An upload, and where it comes from, if it passes every check that nothing but itself decides.
pub(super) type Judged = (Upload, Result<Origin, Refusal>);

/// What comes of `work`; none if that takes longer than `patience`, which may have no end.
pub(super) async fn within<T>(patience: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match patience {
        None => Some(work.await),
        Some(patience) => tokio::time::timeout(patience, work).await.ok(),
    }
}

impl Modules {
    /// Asks the source for the version that is to be run, and judges it; none if it is still the one that is known.
    pub(super) async fn fetch(
        &self,
        name: &str,
        pin: Option<&Pin>,
        slot: &Slot,
    ) -> Result<Option<Judged>, SourceError> {
        let which = match pin {
            Some(Pin::VersionId(version)) => Which::Version(version),
            _ => Which::Newest(slot.known.as_ref()),
        };
        let fetch = self.source.fetch(name, which, self.max_size);
        match within(slot.patience(), fetch).await.unwrap_or_else(|| Err(self.late(name)))? {
            Fetched::Unchanged => Ok(None),
            Fetched::New(upload) => self.judge(name, pin, upload).await.map(Some),
        }
    }

    /// Looks where an upload comes from, beside the events: to hash 32 MiB takes a while.
    pub(super) async fn judge(&self, name: &str, pin: Option<&Pin>, upload: Upload) -> Result<Judged, SourceError> {
        let (uploads, module, pin) = (self.uploads.clone(), name.to_owned(), pin.cloned());
        let judged = tokio::task::spawn_blocking(move || {
            let origin = match uploads {
                Some(uploads) => uploads.origin(&module, pin.as_ref(), &upload),
                None => Ok(Origin::built_here(&sha256(&upload.bytes))),
            };
            (upload, origin)
        });
        judged.await.map_err(|error| {
            let message =
                format!("looking at {} was broken off: {error}; the next event tries again", self.source.locate(name));
            SourceError { kind: SourceErrorKind::Unavailable, message }
        })
    }

    /// Reads what hosts know of a module.
    pub(super) async fn recall(
        &self,
        name: &str,
        pin: Option<&Pin>,
        patience: Option<Duration>,
    ) -> Result<(), ModuleError> {
        let (None, Some(uploads)) = (pin, &self.uploads) else { return Ok(()) };
        let message = match within(patience, uploads.recall(name)).await {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => error.to_string(),
            None => format!("what hosts know of {} was not answered within {PATIENCE:?}", self.source.locate(name)),
        };
        Err(ModuleError { message, passes: true })
    }

    /// Whether what hosts know by now allows a digest to be run: another may have taken a newer one, or given this one up.
    pub(super) async fn still_allows(
        &self,
        name: &str,
        pin: Option<&Pin>,
        patience: Option<Duration>,
        origin: &Origin,
    ) -> Result<(), Refusal> {
        if let Err(error) = self.recall(name, pin, patience).await {
            tracing::warn!(module = name, %error, "what hosts know of a module cannot be read again: what was known counts");
        }
        self.allows(name, origin)
    }

    pub(super) fn late(&self, name: &str) -> SourceError {
        let message = format!("{} did not answer within {PATIENCE:?}", self.source.locate(name));
        SourceError { kind: SourceErrorKind::Unavailable, message }
    }
}
