//! Modules from S3.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use bytesize::ByteSize;
use tokio::time::timeout;

use super::{Fetched, Source, SourceError, SourceErrorKind};
use crate::aws::error::Call;
use crate::ports::PortErrorKind;

/// For the body of one object. The largest plugins (Python, JavaScript) have 20 MB, which is 3 Mbit/s; meanwhile the module in use works on.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// A bucket of modules.
#[derive(Debug, Clone)]
pub struct S3Source {
    client: Client,
    bucket: String,
    /// What every key begins with; empty, or ends in `/`.
    prefix: String,
}

impl S3Source {
    /// The modules in `bucket` whose keys begin with `prefix`.
    pub fn new(client: Client, bucket: &str, prefix: &str) -> Self {
        Self { client, bucket: bucket.to_owned(), prefix: prefix.to_owned() }
    }

    /// Why S3 did not hand out `module`, with the remedy.
    fn refused(&self, module: &str, error: &SdkError<GetObjectError, HttpResponse>) -> SourceError {
        let place = self.locate(module);
        let failed = Call::new("s3:GetObject", place.clone()).failed(error);
        let response = error.raw_response();
        match response.map(|response| response.status().as_u16()) {
            _ if error.code() == Some("NoSuchBucket") => {
                let what = format!("there is no bucket {}, so no {place}; correct source in [modules]", self.bucket);
                SourceError { kind: SourceErrorKind::NotFound, message: what }
            }
            Some(404) => {
                let what = format!("{place} does not exist; upload it, or correct module in the policy");
                SourceError { kind: SourceErrorKind::NotFound, message: what }
            }
            Some(301) => {
                let region = response.and_then(|response| response.headers().get("x-amz-bucket-region"));
                let what = format!(
                    "{place} is in another region ({}); Hostler reads modules from its own region only",
                    region.unwrap_or("S3 does not say which")
                );
                SourceError { kind: SourceErrorKind::Unavailable, message: what }
            }
            Some(403) => SourceError {
                kind: SourceErrorKind::Denied,
                message: format!(
                    "{}; or there is no such object: S3 says so only to those who are also allowed s3:ListBucket on bucket {}",
                    failed.message, self.bucket
                ),
            },
            _ => SourceError {
                kind: if failed.kind == PortErrorKind::Denied {
                    SourceErrorKind::Denied
                } else {
                    SourceErrorKind::Unavailable
                },
                message: failed.message,
            },
        }
    }

    fn too_large(&self, module: &str, has: Option<u64>, max_size: u64) -> SourceError {
        let place = self.locate(module);
        let has = has.map_or_else(|| "more".to_owned(), |has| format!("{} ({has} bytes)", ByteSize::b(has)));
        SourceError {
            kind: SourceErrorKind::TooLarge,
            message: format!(
                "{place} has {has}, and max-size in [modules] is {} ({max_size} bytes)",
                ByteSize::b(max_size)
            ),
        }
    }

    /// Reads the body, never more than `max_size` bytes of it, whatever its announced length.
    async fn read(&self, module: &str, object: GetObjectOutput, max_size: u64) -> Result<Vec<u8>, SourceError> {
        let announced = object.content_length().and_then(|length| u64::try_from(length).ok());
        if let Some(length) = announced.filter(|length| *length > max_size) {
            return Err(self.too_large(module, Some(length), max_size));
        }
        let mut bytes =
            Vec::with_capacity(announced.and_then(|length| usize::try_from(length).ok()).unwrap_or_default());
        let mut body = object.body;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| self.broken_off(module, bytes.len(), &error))?;
            if (bytes.len() + chunk.len()) as u64 > max_size {
                return Err(self.too_large(module, None, max_size));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn broken_off(&self, module: &str, after: usize, error: &dyn std::error::Error) -> SourceError {
        let place = self.locate(module);
        let why = std::iter::successors(Some(error), |&error| error.source()).last().unwrap_or(error);
        SourceError {
            kind: SourceErrorKind::Unavailable,
            message: format!("the download of {place} broke off after {after} bytes: {why}"),
        }
    }
}

#[async_trait]
impl Source for S3Source {
    async fn fetch(&self, module: &str, known: Option<&str>, max_size: u64) -> Result<Fetched, SourceError> {
        let result = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(format!("{}{module}", self.prefix))
            .set_if_none_match(known.filter(|etag| !etag.is_empty()).map(str::to_owned))
            .send()
            .await;
        let object = match result {
            Ok(object) => object,
            Err(error) if error.raw_response().is_some_and(|response| response.status().as_u16() == 304) => {
                return Ok(Fetched::Unchanged);
            }
            Err(error) => return Err(self.refused(module, &error)),
        };
        let version = object.e_tag().unwrap_or_default().to_owned();
        match timeout(DOWNLOAD_TIMEOUT, self.read(module, object, max_size)).await {
            Ok(read) => Ok(Fetched::New { bytes: read?, version }),
            Err(_) => Err(SourceError {
                kind: SourceErrorKind::Unavailable,
                message: format!("the download of {} took longer than {DOWNLOAD_TIMEOUT:?}", self.locate(module)),
            }),
        }
    }

    fn locate(&self, module: &str) -> String {
        format!("s3://{}/{}{module}", self.bucket, self.prefix)
    }
}
