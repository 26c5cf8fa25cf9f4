//! A store that tells somebody what its calls come to.

use std::sync::Arc;

use async_trait::async_trait;

use super::store::{Page, Store, Stored, Version, WriteError};
use crate::ports::PortError;

/// Told after each write that the store has answered it, and after each call that has failed, why. That something can be read does not
/// say that it could be written.
pub(super) type Tell = dyn Fn(Result<(), &PortError>) + Send + Sync;

/// The store, and who is told.
pub(super) struct Telling {
    pub(super) store: Arc<dyn Store>,
    pub(super) tell: Box<Tell>,
}

impl Telling {
    fn asked<T>(&self, answer: Result<T, PortError>) -> Result<T, PortError> {
        if let Err(error) = &answer {
            (self.tell)(Err(error));
        }
        answer
    }

    fn written<T>(&self, answer: Result<T, WriteError>) -> Result<T, WriteError> {
        (self.tell)(match &answer {
            Ok(_) | Err(WriteError::Changed) => Ok(()),
            Err(WriteError::Unknown(error) | WriteError::Refused(error)) => Err(error),
        });
        answer
    }
}

#[async_trait]
impl Store for Telling {
    async fn read(&self, key: &str) -> Result<Option<Stored>, PortError> {
        self.asked(self.store.read(key).await)
    }

    async fn write(&self, key: &str, bytes: Vec<u8>, over: Option<&Version>) -> Result<Version, WriteError> {
        self.written(self.store.write(key, bytes, over).await)
    }

    async fn remove(&self, key: &str, version: &Version) -> Result<(), WriteError> {
        self.written(self.store.remove(key, version).await)
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, PortError> {
        self.asked(self.store.list(prefix, after).await)
    }

    fn locate(&self, key: &str) -> String {
        self.store.locate(key)
    }
}
