//! The ledger of the host that works in the world: it outlives the host, and its store fails as S3 does.

use async_trait::async_trait;

use super::faults::Faulty;
use crate::ledger::{Page, Store, Stored, Version, WriteError};
use crate::ports::{PortError, PortErrorKind};

impl Faulty {
    /// Asks the store. Only what suffers a fault is written down.
    async fn ask<T, E: ToString>(
        &self,
        operation: &'static str,
        key: &str,
        call: impl Future<Output = Result<T, E>>,
        tell: impl FnOnce(PortError) -> E,
    ) -> Result<T, E> {
        let Some(fault) = self.strike(operation) else { return call.await };
        let journal = &self.0.journal;
        let told = async {
            let asked = journal.call(journal.now(), operation, key.to_owned());
            let result = call.await;
            journal.answer(asked, journal.now(), result.as_ref().map(|_| String::new()));
            result
        };
        self.suffer(fault, operation, || key.to_owned(), told, tell).await
    }
}

#[async_trait]
impl Store for Faulty {
    async fn read(&self, key: &str) -> Result<Option<Stored>, PortError> {
        self.ask("ledger.read", key, self.0.ledger.read(key), |error| error).await
    }

    async fn write(&self, key: &str, bytes: Vec<u8>, over: Option<&Version>) -> Result<Version, WriteError> {
        self.ask("ledger.write", key, self.0.ledger.write(key, bytes, over), not_written).await
    }

    async fn remove(&self, key: &str, version: &Version) -> Result<(), WriteError> {
        self.ask("ledger.remove", key, self.0.ledger.remove(key, version), not_written).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, PortError> {
        self.ask("ledger.list", prefix, self.0.ledger.list(prefix, after), |error| error).await
    }

    fn locate(&self, key: &str) -> String {
        self.0.ledger.locate(key)
    }
}

/// As the store on S3 tells it: a refusal is certain, and of everything else an earlier try may have taken effect.
fn not_written(error: PortError) -> WriteError {
    if error.kind == PortErrorKind::Denied { WriteError::Refused(error) } else { WriteError::Unknown(error) }
}
