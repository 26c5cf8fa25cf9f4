//! A source of modules like a bucket: what was uploaded last is the newest, and versions are kept or not.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::digest::sha256;
use crate::modules::{Fetched, Source, SourceError, SourceErrorKind, Upload, Which};

/// One module's versions, the oldest first.
pub(crate) struct Bucket {
    versioned: bool,
    uploads: Mutex<Vec<Upload>>,
    /// Which versions were asked for, other than the newest.
    pub(crate) asked: Mutex<Vec<String>>,
    /// Whether the newest can be read by nobody.
    pub(crate) unreadable: Mutex<bool>,
    /// The versions that nobody can read, if they are asked for by their names.
    pub(crate) hidden: Mutex<Vec<String>>,
    /// Whether the newest was deleted since.
    pub(crate) deleted: Mutex<bool>,
    /// How often the newest was handed out.
    pub(crate) fetched: Mutex<usize>,
}

impl Bucket {
    /// A bucket that keeps versions.
    pub(crate) fn versioned() -> Arc<Self> {
        Self::of(true)
    }

    /// A bucket that has what was uploaded last, and nothing else.
    pub(crate) fn unversioned() -> Arc<Self> {
        Self::of(false)
    }

    fn of(versioned: bool) -> Arc<Self> {
        Arc::new(Self {
            versioned,
            uploads: Mutex::default(),
            asked: Mutex::default(),
            unreadable: Mutex::default(),
            hidden: Mutex::default(),
            deleted: Mutex::default(),
            fetched: Mutex::default(),
        })
    }

    /// Uploads a module; its version is called `v1`, `v2` and so on.
    pub(crate) fn put(&self, bytes: &[u8], signature: Option<&str>) {
        let mut uploads = self.uploads.lock().unwrap();
        let number = uploads.len() + 1;
        let version_id = self.versioned.then(|| format!("v{number}"));
        let signature = signature.map(str::to_owned);
        uploads.push(Upload { bytes: bytes.to_vec(), signature, tag: sha256(bytes), version_id });
    }

    /// Deletes a version for good.
    pub(crate) fn remove(&self, version: &str) {
        self.uploads.lock().unwrap().retain(|upload| upload.version_id.as_deref() != Some(version));
    }
}

#[async_trait]
impl Source for Bucket {
    async fn fetch(&self, module: &str, which: Which<'_>, _: u64) -> Result<Fetched, SourceError> {
        let uploads = self.uploads.lock().unwrap();
        if let Which::Version(id) = which {
            self.asked.lock().unwrap().push(id.to_owned());
        }
        let hidden = match which {
            Which::Newest(_) => *self.unreadable.lock().unwrap(),
            Which::Version(id) => self.hidden.lock().unwrap().iter().any(|hidden| hidden == id),
        };
        if hidden {
            return Err(SourceError { kind: SourceErrorKind::Denied, message: format!("{module} cannot be read") });
        }
        let upload = match which {
            Which::Newest(_) if *self.deleted.lock().unwrap() => None,
            Which::Newest(known) => {
                let newest = uploads.last();
                if newest.zip(known).is_some_and(|(newest, known)| *known == newest.known()) {
                    return Ok(Fetched::Unchanged);
                }
                *self.fetched.lock().unwrap() += 1;
                newest
            }
            Which::Version(id) => uploads.iter().find(|upload| upload.version_id.as_deref() == Some(id)),
        };
        let missing = || SourceError { kind: SourceErrorKind::NotFound, message: format!("{module} is not there") };
        upload.cloned().map(Fetched::New).ok_or_else(missing)
    }

    async fn earlier(&self, _: &str) -> Result<Vec<String>, SourceError> {
        let (uploads, deleted) = (self.uploads.lock().unwrap(), *self.deleted.lock().unwrap());
        Ok(uploads.iter().rev().skip(usize::from(!deleted)).filter_map(|upload| upload.version_id.clone()).collect())
    }

    fn locate(&self, module: &str) -> String {
        format!("s3://bucket/{module}")
    }
}
