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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::fake::{Fake, Reply};

    fn keep(fake: &Fake) -> S3Keep {
        S3Keep::new(Client::new(&fake.config()), "recordings", "hostler/")
    }

    #[tokio::test(start_paused = true)]
    async fn a_recording_is_an_object_below_the_prefix() {
        let fake = Fake::always(Reply::new(200, ""));
        keep(&fake).keep("a.jsonl", b"{}\n".to_vec()).await.unwrap();
        let call = &fake.calls()[0];
        assert!(call.uri.contains("recordings") && call.uri.contains("/hostler/a.jsonl"), "{}", call.uri);
        assert!(call.body.contains("{}\n"), "{}", call.body);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_names_the_permission_and_the_object() {
        let refusal = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        let fake = Fake::always(Reply::xml(403, refusal));
        let error = keep(&fake).keep("a.jsonl", Vec::new()).await.unwrap_err();
        assert!(
            error.message.contains("s3:PutObject for s3://recordings/hostler/a.jsonl: not allowed by IAM"),
            "{error}"
        );
    }
}
