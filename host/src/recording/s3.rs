//! Recordings in a bucket: an object each, put when its event has come to its end.

use async_trait::async_trait;
use aws_sdk_s3::Client;

use super::store::Keep;
use crate::aws::error::Call;
use crate::ports::PortError;

/// A bucket of recordings.
#[derive(Debug, Clone)]
pub struct S3Keep {
    client: Client,
    bucket: String,
    /// What every key begins with; empty, or ends in `/`.
    prefix: String,
}

impl S3Keep {
    /// Puts recordings into `bucket`, under keys that begin with `prefix`.
    pub fn new(client: Client, bucket: &str, prefix: &str) -> Self {
        Self { client, bucket: bucket.to_owned(), prefix: prefix.to_owned() }
    }
}

#[async_trait]
impl Keep for S3Keep {
    async fn keep(&self, name: &str, recording: Vec<u8>) -> Result<(), PortError> {
        let key = format!("{}{name}", self.prefix);
        let call = Call::new("s3:PutObject", format!("s3://{}/{key}", self.bucket));
        let put = self.client.put_object().bucket(&self.bucket).key(key).content_type("application/jsonl");
        put.body(recording.into()).send().await.map(drop).map_err(|error| call.failed(&error))
    }
}
