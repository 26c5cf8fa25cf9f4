//! A ledger in a bucket, for hosts wherever they are: an object for each object.
//!
//! Compare-and-swap is S3's conditional write: `If-None-Match: *` to create, `If-Match` to change and to remove.

#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytesize::ByteSize;
use jiff::Timestamp;

use super::{Listed, MAX_BYTES, Page, Store, Stored, Version, WriteError};
use crate::aws::body::{BodyError, read_body};
use crate::aws::error::Call;
use crate::ports::{PortError, PortErrorKind};

/// For the body of one object. They have a few kilobytes.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A bucket of objects.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
    /// What every key begins with; empty, or ends in `/`.
    prefix: String,
}

impl S3Store {
    /// The ledger in `bucket`, under keys that begin with `prefix`.
    pub fn new(client: Client, bucket: &str, prefix: &str) -> Self {
        Self { client, bucket: bucket.to_owned(), prefix: prefix.to_owned() }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// A call of the operation that IAM calls `action`, about an object.
    fn call(&self, action: &'static str, key: &str) -> Call {
        Call::new(action, self.locate(key))
    }

    /// Why S3 did not do it, with the remedy where it is the operator's.
    fn failed<E>(&self, call: &Call, error: &SdkError<E, HttpResponse>) -> PortError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let response = error.raw_response();
        match status(error) {
            _ if error.code() == Some("NoSuchBucket") => {
                let what = format!("there is no bucket {:?}; create it, or correct store in [ledger]", self.bucket);
                call.error(PortErrorKind::NotFound, what)
            }
            Some(301) => {
                let region = response.and_then(|response| response.headers().get("x-amz-bucket-region"));
                let what = format!(
                    "bucket {:?} is in another region ({}); name one in Hostler's own region as store in [ledger]",
                    self.bucket,
                    region.unwrap_or("S3 does not say which")
                );
                call.error(PortErrorKind::Invalid, what)
            }
            _ => call.failed(error),
        }
    }

    /// What a write that did not succeed has come to.
    ///
    /// The SDK tries a call again whose answer is lost. If the write had taken effect, the condition no longer holds for the next
    /// try, and its answer is 412: [`WriteError::Changed`], as if somebody else had been quicker. That is no mistake, since whoever
    /// writes is to read the object then, and finds out by its content whose write it was.
    fn not_written<E>(&self, call: &Call, error: &SdkError<E, HttpResponse>) -> WriteError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let no_bucket = error.code() == Some("NoSuchBucket");
        match status(error) {
            // 409: another write of the same object was under way. 404: it was removed, so that no version of it matches.
            Some(412 | 409) => return WriteError::Changed,
            Some(404) if !no_bucket => return WriteError::Changed,
            _ => {}
        }
        let mut failed = self.failed(call, error);
        if failed.retryable() {
            return WriteError::Unknown(failed);
        }
        if is_denied(error) {
            failed.message += "; its condition, If-Match, needs s3:GetObject too";
        }
        WriteError::Refused(failed)
    }
}

#[async_trait]
impl Store for S3Store {
    async fn read(&self, key: &str) -> Result<Option<Stored>, PortError> {
        let call = self.call("s3:GetObject", key);
        let object = match self.client.get_object().bucket(&self.bucket).key(self.key(key)).send().await {
            Ok(object) => object,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
            Err(error) => {
                let mut failed = self.failed(&call, &error);
                if is_denied(&error) {
                    failed.message += &format!(
                        "; or there is no such object: S3 says so only to those who are also allowed s3:ListBucket on bucket {}",
                        self.bucket
                    );
                }
                return Err(failed);
            }
        };
        let version = version(object.e_tag(), &call)?;
        let read = read_body(object.body, object.content_length, MAX_BYTES, BODY_TIMEOUT).await;
        let bytes = read.map_err(|error| match error {
            BodyError::TooLarge(_) => {
                let what = format!("it has more than {}, and no more is read", ByteSize::b(MAX_BYTES));
                call.error(PortErrorKind::Other, what)
            }
            BodyError::BrokenOff { .. } | BodyError::Slow(_) => {
                call.error(PortErrorKind::Unavailable, format!("the download {error}"))
            }
        })?;
        Ok(Some(Stored { bytes, version }))
    }

    async fn write(&self, key: &str, bytes: Vec<u8>, over: Option<&Version>) -> Result<Version, WriteError> {
        let call = self.call("s3:PutObject", key);
        let put = self.client.put_object().bucket(&self.bucket).key(self.key(key)).content_type("application/json");
        let put = match over {
            Some(version) => put.if_match(&version.0),
            None => put.if_none_match("*"),
        };
        let written = put.body(bytes.into()).send().await.map_err(|error| self.not_written(&call, &error))?;
        version(written.e_tag(), &call).map_err(WriteError::Unknown)
    }

    async fn remove(&self, key: &str, version: &Version) -> Result<(), WriteError> {
        let call = self.call("s3:DeleteObject", key);
        let delete = self.client.delete_object().bucket(&self.bucket).key(self.key(key)).if_match(&version.0);
        delete.send().await.map(drop).map_err(|error| self.not_written(&call, &error))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, PortError> {
        // IAM's name for ListObjectsV2.
        let call = self.call("s3:ListBucket", prefix);
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.key(prefix));
        let list = list.set_start_after(after.map(|after| self.key(after)));
        let page = list.send().await.map_err(|error| self.failed(&call, &error))?;
        let listed = page.contents().iter().filter_map(|object| {
            let key = object.key()?.strip_prefix(&self.prefix)?;
            // The console marks a folder that somebody makes there by an empty object.
            let is_folder = key.is_empty() || key.ends_with('/');
            let modified = object.last_modified().and_then(|at| Timestamp::new(at.secs(), 0).ok())?;
            (!is_folder).then(|| Listed { key: key.to_owned(), modified })
        });
        Ok(Page { objects: listed.collect(), more: page.is_truncated() == Some(true) })
    }

    fn locate(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.bucket, self.prefix)
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// Whether IAM refused, or S3 does not say what it was.
fn is_denied<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata,
{
    status(error) == Some(403) && error.code().is_none_or(|code| code.starts_with("AccessDenied"))
}

/// The version of an object, which S3 calls ETag and always gives; without it nothing can be written after.
fn version(etag: Option<&str>, call: &Call) -> Result<Version, PortError> {
    let etag = etag.filter(|etag| !etag.is_empty());
    etag.map(|etag| Version(etag.to_owned())).ok_or_else(|| {
        call.error(PortErrorKind::Unavailable, "the answer has no ETag, by which S3 tells one version from another")
    })
}
