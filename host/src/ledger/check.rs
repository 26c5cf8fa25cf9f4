//! Whether a store can carry a ledger: asked once, at start, where a person still reads the answer.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{CLOCK_SKEW, Store, Version, WriteError, random};
use crate::clock::Clock;
use crate::ports::PortError;

/// How far a clock may be from the store's: two hosts, one ahead and one behind, are no further apart than [`CLOCK_SKEW`] then, but for
/// the [`GRAIN`] that the store leaves out.
const MOST_OFF: SignedDuration = SignedDuration::from_millis(CLOCK_SKEW.as_millis() as i64 / 2);

/// What a store leaves out of the times of objects: S3 tells seconds.
const GRAIN: SignedDuration = SignedDuration::from_secs(1);

/// Why a store cannot carry a ledger. The operator's to mend.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The store does not let us.
    #[error("the ledger in {place} cannot be {what}")]
    Failed {
        /// The store.
        place: String,
        /// What we cannot do with it.
        what: &'static str,
        /// Why, and what would mend it.
        source: PortError,
    },
    /// What is read is not what was written.
    #[error(
        "the ledger in {place} cannot be relied on: what was written to it is not what is read from it a moment later; name an S3 \
         bucket or a folder of this machine as store in [ledger]"
    )]
    Forgets {
        /// The store.
        place: String,
    },
    /// Compare-and-swap does not compare.
    #[error(
        "the ledger in {place} cannot be shared: it ignores the conditions of writes (If-Match, If-None-Match), so that hosts would \
         undo each other's work; name an S3 bucket or a folder of this machine as store in [ledger]"
    )]
    IgnoresConditions {
        /// The store.
        place: String,
    },
    /// Leases are told by the clock.
    #[error(
        "the clock of this machine is {} {} that of {place}: leases are told by it, so that two hosts would work on one instance at \
         once; set it by NTP (chronyc makestep). Hosts stand up to {}",
        said(.off), if .off.is_positive() { "ahead of" } else { "behind" }, said(&MOST_OFF)
    )]
    Clock {
        /// The store.
        place: String,
        /// How far this machine's clock is ahead.
        off: SignedDuration,
    },
}

/// How far a clock is off, in words.
fn said(off: &SignedDuration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_millis(u64::try_from(off.as_millis().unsigned_abs()).unwrap_or(u64::MAX)))
}

/// Does once with a probe all that a ledger does with its objects.
pub async fn check(store: &dyn Store, clock: &dyn Clock) -> Result<(), CheckError> {
    let failed = |what| move |source| CheckError::Failed { place: store.locate(""), what, source };
    store.list("probe/", None).await.map_err(failed("listed"))?;
    let key = format!("probe/{}", random());
    let began = clock.now();
    let first = put(store, &key, "first", None).await?;
    let ended = clock.now();
    let conditions = async {
        let listed = store.list(&key, None).await.map_err(failed("listed"))?;
        if let Some(written) = listed.objects.first() {
            agrees(store, written.modified, (began, ended))?;
        }
        let second = put(store, &key, "second", Some(&first)).await?;
        refuses(store, &key, Some(&first)).await?;
        refuses(store, &key, None).await?;
        Ok(second)
    };
    let checked = conditions.await;
    let last = checked.as_ref().unwrap_or(&first);
    let removed = match store.remove(&key, last).await {
        // Changed, if an earlier try of the removal took effect and its answer was lost.
        Ok(()) | Err(WriteError::Changed) => Ok(()),
        Err(WriteError::Unknown(source) | WriteError::Refused(source)) => Err(failed("removed from")(source)),
    };
    // Of two failures the first says more.
    checked.and(removed)
}

/// Writes the probe, and reads it.
async fn put(store: &dyn Store, key: &str, text: &str, over: Option<&Version>) -> Result<Version, CheckError> {
    let failed = |what| move |source| CheckError::Failed { place: store.locate(""), what, source };
    match store.write(key, text.into(), over).await {
        // Nobody else knows the probe, so a change was an earlier try of this write.
        Ok(_) | Err(WriteError::Changed) => {}
        Err(WriteError::Unknown(source) | WriteError::Refused(source)) => return Err(failed("written")(source)),
    }
    match store.read(key).await.map_err(failed("read"))? {
        Some(stored) if stored.bytes == text.as_bytes() => Ok(stored.version),
        _ => Err(CheckError::Forgets { place: store.locate("") }),
    }
}

/// Makes sure that our clock and the store's are close: by ours the probe was written between `began` and `ended`.
fn agrees(store: &dyn Store, written: Timestamp, (began, ended): (Timestamp, Timestamp)) -> Result<(), CheckError> {
    let (ahead, behind) = (began.duration_since(written), written.duration_since(ended));
    let off = if ahead > MOST_OFF + GRAIN {
        ahead
    } else if behind > MOST_OFF {
        -behind
    } else {
        return Ok(());
    };
    Err(CheckError::Clock { place: store.locate(""), off: SignedDuration::from_secs(off.as_secs_f64().round() as i64) })
}

/// Makes sure that the probe is not written by somebody who has not seen it as it is.
async fn refuses(store: &dyn Store, key: &str, over: Option<&Version>) -> Result<(), CheckError> {
    match store.write(key, b"unseen".to_vec(), over).await {
        Err(WriteError::Changed) => Ok(()),
        Ok(_) => Err(CheckError::IgnoresConditions { place: store.locate("") }),
        Err(WriteError::Unknown(source) | WriteError::Refused(source)) => {
            Err(CheckError::Failed { place: store.locate(""), what: "written", source })
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::clock::SystemClock;
    use crate::ledger::{DirStore, MemoryStore, Page, Stored};
    use crate::ports::PortErrorKind;

    /// What is wrong with a store.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fault {
        NotListed,
        NotRead,
        NotWritten,
        NotRemoved,
        Forgets,
        IgnoresMatch,
        IgnoresNoneMatch,
        LosesAnswers,
    }

    /// A store with something wrong.
    struct Faulty {
        store: MemoryStore,
        fault: Fault,
    }

    impl Faulty {
        fn refuses(&self, fault: Fault, action: &str) -> Result<(), PortError> {
            let message = format!("{action} for s3://ledger/x: not allowed by IAM; allow {action} for the role");
            if self.fault == fault { Err(PortError::new(PortErrorKind::Denied, message)) } else { Ok(()) }
        }
    }

    #[async_trait]
    impl Store for Faulty {
        async fn read(&self, key: &str) -> Result<Option<Stored>, PortError> {
            self.refuses(Fault::NotRead, "s3:GetObject")?;
            if self.fault == Fault::Forgets { Ok(None) } else { self.store.read(key).await }
        }

        async fn write(&self, key: &str, bytes: Vec<u8>, over: Option<&Version>) -> Result<Version, WriteError> {
            self.refuses(Fault::NotWritten, "s3:PutObject").map_err(WriteError::Refused)?;
            let is = self.store.read(key).await.unwrap().map(|stored| stored.version);
            let ignored = if over.is_some() { Fault::IgnoresMatch } else { Fault::IgnoresNoneMatch };
            let over = if self.fault == ignored { is.as_ref() } else { over };
            let written = self.store.write(key, bytes, over).await;
            if self.fault == Fault::LosesAnswers { Err(WriteError::Changed) } else { written }
        }

        async fn remove(&self, key: &str, version: &Version) -> Result<(), WriteError> {
            self.refuses(Fault::NotRemoved, "s3:DeleteObject").map_err(WriteError::Refused)?;
            let removed = self.store.remove(key, version).await;
            if self.fault == Fault::LosesAnswers { Err(WriteError::Changed) } else { removed }
        }

        async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, PortError> {
            self.refuses(Fault::NotListed, "s3:ListBucket")?;
            self.store.list(prefix, after).await
        }

        fn locate(&self, key: &str) -> String {
            format!("s3://ledger/{key}")
        }
    }

    /// What is said of such a store, and whether the probe stays in it.
    async fn told(fault: Fault) -> (String, bool) {
        let faulty = Faulty { store: MemoryStore::default(), fault };
        let told = check(&faulty, &SystemClock).await.map_or_else(|error| whole(&error), |()| "sound".to_owned());
        (told, !faulty.store.list("", None).await.unwrap().objects.is_empty())
    }

    /// An error with what is below it.
    fn whole(error: &CheckError) -> String {
        std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ")
    }

    #[tokio::test]
    async fn a_sound_store_passes_and_is_as_empty_as_before() {
        let root = tempfile::tempdir().unwrap();
        let folder = DirStore::new(root.path().join("ledger"));
        for store in [&MemoryStore::default() as &dyn Store, &folder] {
            assert_eq!(check(store, &SystemClock).await, Ok(()));
            assert_eq!(store.list("", None).await, Ok(Page::default()));
        }
    }

    #[tokio::test]
    async fn answers_that_are_lost_are_no_fault_of_the_store() {
        assert_eq!(told(Fault::LosesAnswers).await, ("sound".to_owned(), false));
    }

    #[tokio::test]
    async fn what_is_not_allowed_is_named() {
        insta::assert_snapshot!(told(Fault::NotListed).await.0, @"the ledger in s3://ledger/ cannot be listed: s3:ListBucket for s3://ledger/x: not allowed by IAM; allow s3:ListBucket for the role");
        insta::assert_snapshot!(told(Fault::NotRead).await.0, @"the ledger in s3://ledger/ cannot be read: s3:GetObject for s3://ledger/x: not allowed by IAM; allow s3:GetObject for the role");
        insta::assert_snapshot!(told(Fault::NotWritten).await.0, @"the ledger in s3://ledger/ cannot be written: s3:PutObject for s3://ledger/x: not allowed by IAM; allow s3:PutObject for the role");
        insta::assert_snapshot!(told(Fault::NotRemoved).await.0, @"the ledger in s3://ledger/ cannot be removed from: s3:DeleteObject for s3://ledger/x: not allowed by IAM; allow s3:DeleteObject for the role");
    }

    #[tokio::test]
    async fn a_store_that_cannot_be_relied_on_carries_no_ledger() {
        insta::assert_snapshot!(told(Fault::Forgets).await.0, @"the ledger in s3://ledger/ cannot be relied on: what was written to it is not what is read from it a moment later; name an S3 bucket or a folder of this machine as store in [ledger]");
        let (of_match, _) = told(Fault::IgnoresMatch).await;
        insta::assert_snapshot!(of_match, @"the ledger in s3://ledger/ cannot be shared: it ignores the conditions of writes (If-Match, If-None-Match), so that hosts would undo each other's work; name an S3 bucket or a folder of this machine as store in [ledger]");
        assert_eq!(told(Fault::IgnoresNoneMatch).await.0, of_match);
    }

    /// A clock that is so many milliseconds ahead.
    struct Ahead(i64);

    impl Clock for Ahead {
        fn now(&self) -> Timestamp {
            SystemClock.now() + SignedDuration::from_millis(self.0)
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_off_is_told_from_one_that_is_close() {
        for close in [-2_300, 2_300] {
            assert_eq!(check(&MemoryStore::default(), &Ahead(close)).await, Ok(()));
        }
        for (off, told) in [(7_200_000, "is 2h ahead of"), (-300_000, "is 5m behind")] {
            let store = MemoryStore::default();
            let error = check(&store, &Ahead(off)).await.unwrap_err();
            assert!(error.to_string().starts_with(&format!("the clock of this machine {told}")), "{error}");
            assert_eq!(store.list("", None).await, Ok(Page::default()), "the probe stays");
        }
        let told = |off| CheckError::Clock { place: "s3://ledger/".to_owned(), off }.to_string();
        insta::assert_snapshot!(told(SignedDuration::from_secs(7)), @"the clock of this machine is 7s ahead of that of s3://ledger/: leases are told by it, so that two hosts would work on one instance at once; set it by NTP (chronyc makestep). Hosts stand up to 2s 500ms");
        insta::assert_snapshot!(told(SignedDuration::from_secs(-90)), @"the clock of this machine is 1m 30s behind that of s3://ledger/: leases are told by it, so that two hosts would work on one instance at once; set it by NTP (chronyc makestep). Hosts stand up to 2s 500ms");
    }

    #[tokio::test]
    async fn a_file_is_no_folder() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("ledger");
        std::fs::write(&file, "").unwrap();
        let error = check(&DirStore::new(&file), &SystemClock).await.unwrap_err();
        let told = whole(&error).replace(&root.path().display().to_string(), "ROOT");
        insta::assert_snapshot!(told, @"the ledger in ROOT/ledger/ cannot be listed: cannot list ROOT/ledger/probe: Not a directory (os error 20); something else is in its place: remove that, or name another folder as store in [ledger]");
    }
}
