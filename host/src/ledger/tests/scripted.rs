//! A store in memory whose writes go as a test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::ledger::{MemoryStore, Page, Store, Stored, Version, WriteError};
use crate::ports::{PortError, PortErrorKind};
use crate::testing::VirtualClock;

/// How a write or a removal goes.
#[derive(Clone)]
pub(crate) enum Fate {
    /// As it should.
    Done,
    /// It takes effect, and its answer is lost.
    AnswerLost,
    /// It does not take effect, and its answer is lost.
    NeverDone,
    /// It takes effect, and is answered with 412 to the client's own second try of it.
    Repeated,
    /// It takes effect, its answer is lost, and before anybody can look others have written so often.
    ThenOthers(u32),
    /// The host dies before it takes effect.
    DiesBefore,
    /// The host dies after it has taken effect.
    DiesAfter,
    /// IAM refuses it.
    Refused,
}

/// How others write: the bytes of an object in, what they make of it out.
pub(crate) type Others = Arc<dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync>;

/// A store whose next writes and removals have these fates, and go as they should after that.
pub(crate) struct Scripted {
    pub(crate) objects: MemoryStore,
    pub(crate) fates: Mutex<VecDeque<Fate>>,
    /// Whether each of the next reads fails.
    pub(crate) unreadable: Mutex<VecDeque<bool>>,
    pub(crate) others: Mutex<Option<Others>>,
    /// Every write and removal that was tried, by its key.
    pub(crate) tried: Mutex<Vec<String>>,
}

impl Default for Scripted {
    fn default() -> Self {
        Self {
            objects: MemoryStore::new(Arc::new(VirtualClock::new())),
            fates: Mutex::default(),
            unreadable: Mutex::default(),
            others: Mutex::default(),
            tried: Mutex::default(),
        }
    }
}

impl Scripted {
    pub(crate) fn next(&self, fates: impl IntoIterator<Item = Fate>) {
        self.fates.lock().unwrap().extend(fates);
    }

    /// Puts an object there, whatever it is.
    pub(crate) async fn put(&self, key: &str, bytes: &[u8]) {
        let known = self.objects.read(key).await.unwrap().map(|stored| stored.version);
        self.objects.write(key, bytes.to_vec(), known.as_ref()).await.unwrap();
    }

    /// An object's text.
    pub(crate) async fn text(&self, key: &str) -> Option<String> {
        self.objects.read(key).await.unwrap().map(|stored| String::from_utf8(stored.bytes).unwrap())
    }

    /// The keys of all objects.
    pub(crate) async fn keys(&self) -> Vec<String> {
        self.objects.list("", None).await.unwrap().objects.into_iter().map(|listed| listed.key).collect()
    }

    async fn meet<T>(&self, key: &str, effect: impl Future<Output = Result<T, WriteError>>) -> Result<T, WriteError> {
        self.tried.lock().unwrap().push(key.to_owned());
        let fate = self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Done);
        let error = |kind, what: &str| PortError::new(kind, what);
        let lost = || WriteError::Unknown(error(PortErrorKind::Timeout, "no answer"));
        match fate {
            Fate::Done => effect.await,
            Fate::NeverDone => Err(lost()),
            Fate::AnswerLost => effect.await.and_then(|_| Err(lost())),
            Fate::Repeated => effect.await.and_then(|_| Err(WriteError::Changed)),
            Fate::ThenOthers(times) => {
                effect.await?;
                for _ in 0..times {
                    let write = self.others.lock().unwrap().clone().expect("others, who write");
                    let bytes = self.objects.read(key).await.unwrap().map(|stored| stored.bytes).unwrap_or_default();
                    self.put(key, &write(bytes)).await;
                }
                Err(lost())
            }
            Fate::DiesBefore => std::future::pending().await,
            Fate::DiesAfter => {
                effect.await?;
                std::future::pending().await
            }
            Fate::Refused => Err(WriteError::Refused(error(PortErrorKind::Denied, "s3:PutObject is not allowed"))),
        }
    }
}

#[async_trait]
impl Store for Scripted {
    async fn read(&self, key: &str) -> Result<Option<Stored>, PortError> {
        if self.unreadable.lock().unwrap().pop_front() == Some(true) {
            return Err(PortError::new(PortErrorKind::Unavailable, "no answer"));
        }
        self.objects.read(key).await
    }

    async fn write(&self, key: &str, bytes: Vec<u8>, over: Option<&Version>) -> Result<Version, WriteError> {
        self.meet(key, self.objects.write(key, bytes, over)).await
    }

    async fn remove(&self, key: &str, version: &Version) -> Result<(), WriteError> {
        self.meet(key, self.objects.remove(key, version)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, PortError> {
        self.objects.list(prefix, after).await
    }

    fn locate(&self, key: &str) -> String {
        format!("s3://bucket/{key}")
    }
}
