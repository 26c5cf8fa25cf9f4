//! Whether there are modules to run, asked when a host starts: while a person still reads the answer.

use std::collections::HashSet;
use std::sync::Arc;

use super::ask::PATIENCE;
use super::{Modules, SourceError, SourceErrorKind, Which};
use crate::policy::Pin;
use crate::side_by_side::side_by_side;

impl Modules {
    /// Whether the source has modules to give, asked about those that `handlers` name and are pinned to.
    ///
    /// An error if there is no such source, or if none of them may be read, nor an earlier version of one. One that is not there yet, and
    /// what may pass by itself, is said and not waited for. A SHA-256 may be that of an earlier version, which is looked for with an event.
    pub async fn check<'h>(
        &self,
        handlers: impl IntoIterator<Item = (&'h str, Option<&'h Pin>)>,
    ) -> Result<(), SourceError> {
        let mut seen = HashSet::new();
        let asked = handlers.into_iter().filter(|handler| seen.insert(*handler)).map(|(name, pin)| {
            let pin = pin.filter(|_| self.uploads.is_some());
            let (name, pin, source) = (name.to_owned(), pin.cloned(), Arc::clone(&self.source));
            async move {
                let which = match &pin {
                    Some(Pin::VersionId(version)) => Which::Version(version),
                    _ => Which::Newest(None),
                };
                // Nothing is so small as to be read for this.
                let fetched = tokio::time::timeout(PATIENCE, source.fetch(&name, which, 0)).await;
                (name, pin, fetched)
            }
        });
        let (mut forbidden, mut others) = (Vec::new(), false);
        for (name, pin, fetched) in side_by_side(asked).await {
            match fetched.unwrap_or_else(|_| Err(self.late(&name))) {
                Err(error) if error.kind == SourceErrorKind::SourceMissing => return Err(error),
                Err(error) if error.kind == SourceErrorKind::Denied => forbidden.push((name, pin, error)),
                Err(error) if error.kind == SourceErrorKind::NotFound && matches!(pin, Some(Pin::Sha256(_))) => {
                    others = true;
                }
                Err(error) if error.kind != SourceErrorKind::TooLarge => {
                    others = true;
                    tracing::warn!(module = name, %error, "a module cannot be had yet: it is asked for again with each event");
                }
                _ => others = true,
            }
        }
        for (name, pin, error) in &forbidden {
            others =
                others || (!matches!(pin, Some(Pin::VersionId(_))) && self.reads_earlier(name, pin.as_ref()).await);
            tracing::warn!(module = name, %error, "a module cannot be had: it is asked for again with each event");
        }
        match forbidden.into_iter().next() {
            Some((.., error)) if !others => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether the source hands out any earlier version of a module, those that hosts know first: then it is the newest alone that nobody
    /// can read.
    async fn reads_earlier(&self, name: &str, pin: Option<&Pin>) -> bool {
        let looks = async {
            let mut versions = Vec::new();
            if let Some(uploads) = &self.uploads
                && uploads.recall(name).await.is_ok()
            {
                versions = uploads.known(name, pin);
            }
            versions.extend(self.source.earlier(name).await.unwrap_or_default());
            for version in versions {
                // As at the start: none is so small as to be read for this.
                match self.source.fetch(name, Which::Version(&version), 0).await {
                    Ok(_) => return true,
                    Err(error) if error.kind == SourceErrorKind::TooLarge => return true,
                    Err(_) => {}
                }
            }
            false
        };
        tokio::time::timeout(PATIENCE, looks).await.unwrap_or_default()
    }
}
