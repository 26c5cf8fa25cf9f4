//! Modules from S3.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use bytesize::ByteSize;

use super::signature::of_metadata;
use super::{Fetched, Known, Source, SourceError, SourceErrorKind, Upload, Which};
use crate::aws::body::{BodyError, read_body};
use crate::aws::error::Call;
use crate::ports::PortErrorKind;
use crate::shell::typed;

/// For the body of one object. The largest plugins (Python, JavaScript) have 20 MB, which is 3 Mbit/s; meanwhile the module in use works on.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// The key of an object's metadata that holds its signature: `x-amz-meta-minisig`, what minisign writes to a file, in base64.
const SIGNATURE: &str = "minisig";

/// How many versions of an object are listed. Each is fetched until one passes.
const EARLIER: i32 = 100;

/// What S3 calls the version of an object that was written while its bucket kept none.
const UNVERSIONED: &str = "null";

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

    fn key(&self, module: &str) -> String {
        format!("{}{module}", self.prefix)
    }

    /// An object, or one version of it.
    async fn get(&self, module: &str, version: Option<&str>, max_size: u64) -> Result<Upload, SourceError> {
        let object = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(self.key(module))
            .set_version_id(version.map(str::to_owned))
            .send()
            .await;
        let object = object.map_err(|error| self.refused(module, version, &error))?;
        let tag = object.e_tag().unwrap_or_default().to_owned();
        let version_id = object.version_id().filter(|id| *id != UNVERSIONED).map(str::to_owned);
        let signature = signature(object.metadata());
        let read = read_body(object.body, object.content_length, max_size, DOWNLOAD_TIMEOUT).await;
        let bytes = read.map_err(|error| self.unread(module, max_size, error))?;
        Ok(Upload { bytes, signature, tag, version_id })
    }

    /// Whether the newest version is still the one that is known: by its signature too, which is no part of what ETags compare.
    async fn is_still(&self, module: &str, known: &Known) -> Result<bool, SourceError> {
        match self.client.head_object().bucket(&self.bucket).key(self.key(module)).send().await {
            Ok(head) => {
                let signature = signature(head.metadata());
                Ok(head.e_tag().is_some_and(|tag| *known == Known { tag: tag.to_owned(), signature }))
            }
            // Such an answer has no words: those come when the object is asked for.
            Err(error) if error.raw_response().is_some_and(|response| is_final(response.status().as_u16())) => {
                Ok(false)
            }
            Err(error) => Err(SourceError {
                kind: SourceErrorKind::Unavailable,
                message: Call::new("s3:GetObject", self.locate(module)).failed(&error).message,
            }),
        }
    }

    /// Why S3 did not hand out `module`, with the remedy.
    fn refused(
        &self,
        module: &str,
        version: Option<&str>,
        error: &SdkError<GetObjectError, HttpResponse>,
    ) -> SourceError {
        let place = self.locate(module);
        let failed = Call::new("s3:GetObject", place.clone()).failed(error);
        let response = error.raw_response();
        let header = |name| response.and_then(|response| response.headers().get(name));
        let status = response.map(|response| response.status().as_u16());
        if let Some(version) = version
            && no_such_version(status, error.code(), error.message())
        {
            let message = format!(
                "{place} has no version {version:?}: where a handler is pinned to it, correct its version-id (`aws s3api \
                 list-object-versions --bucket {} --prefix {}` lists those that there are)",
                typed(&self.bucket),
                typed(&self.key(module))
            );
            return SourceError { kind: SourceErrorKind::NotFound, message };
        }
        match status {
            _ if error.code() == Some("NoSuchBucket") => {
                let what = format!("there is no bucket {:?}, so no {place}; correct source in [modules]", self.bucket);
                SourceError { kind: SourceErrorKind::SourceMissing, message: what }
            }
            Some(404) if header("x-amz-delete-marker") == Some("true") => {
                let what = format!("{place} was deleted; upload it again, or take away its delete marker");
                SourceError { kind: SourceErrorKind::NotFound, message: what }
            }
            Some(404) => {
                let what = format!("{place} does not exist; upload it, or correct module in the policy");
                SourceError { kind: SourceErrorKind::NotFound, message: what }
            }
            Some(301) => {
                let region = header("x-amz-bucket-region");
                let what = format!(
                    "{place} is in another region ({}); Hostler reads modules from its own region only",
                    region.unwrap_or("S3 does not say which")
                );
                SourceError { kind: SourceErrorKind::Unavailable, message: what }
            }
            Some(403) if error.code().is_none_or(|code| code.starts_with("AccessDenied")) => SourceError {
                kind: SourceErrorKind::Denied,
                message: format!(
                    "{}; or there is no such object: S3 says so only to those who are also allowed s3:ListBucket on bucket {}",
                    failed.message, self.bucket
                ),
            },
            _ => SourceError {
                kind: match failed.kind {
                    PortErrorKind::Denied | PortErrorKind::Invalid => SourceErrorKind::Denied,
                    _ if error.code().is_some_and(is_of_the_object) => SourceErrorKind::Denied,
                    _ => SourceErrorKind::Unavailable,
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

    /// Why the body of `module` was not read.
    fn unread(&self, module: &str, max_size: u64, error: BodyError) -> SourceError {
        match error {
            BodyError::TooLarge(has) => self.too_large(module, has, max_size),
            BodyError::BrokenOff { .. } | BodyError::Slow(_) => SourceError {
                kind: SourceErrorKind::Unavailable,
                message: format!("the download of {} {error}", self.locate(module)),
            },
        }
    }
}

#[async_trait]
impl Source for S3Source {
    async fn fetch(&self, module: &str, which: Which<'_>, max_size: u64) -> Result<Fetched, SourceError> {
        let (known, version) = match which {
            Which::Newest(known) => (known, None),
            Which::Version(version) => (None, Some(version)),
        };
        if let Some(known) = known
            && self.is_still(module, known).await?
        {
            return Ok(Fetched::Unchanged);
        }
        let upload = self.get(module, version, max_size).await?;
        Ok(if known == Some(&upload.known()) { Fetched::Unchanged } else { Fetched::New(upload) })
    }

    async fn earlier(&self, module: &str) -> Result<Vec<String>, SourceError> {
        let key = self.key(module);
        let listed =
            self.client.list_object_versions().bucket(&self.bucket).prefix(&key).max_keys(EARLIER).send().await;
        let listed = listed.map_err(|error| {
            let failed = Call::new("s3:ListBucketVersions", format!("s3://{}", self.bucket)).failed(&error);
            let denied = failed.kind == PortErrorKind::Denied;
            let kind = if denied { SourceErrorKind::Denied } else { SourceErrorKind::Unavailable };
            SourceError { kind, message: failed.message }
        })?;
        // The keys that begin with this one come after it, and within a key the newest comes first.
        let versions = listed.versions().iter().filter(|version| version.key() == Some(&key));
        let earlier = versions.filter(|version| version.is_latest() != Some(true));
        let named = earlier.filter_map(|version| version.version_id()).filter(|id| *id != UNVERSIONED);
        Ok(named.map(str::to_owned).collect())
    }

    fn locate(&self, module: &str) -> String {
        format!("s3://{}/{}", self.bucket, self.key(module))
    }
}

/// The signature in the metadata of an object.
fn signature(metadata: Option<&HashMap<String, String>>) -> Option<String> {
    metadata?.get(SIGNATURE).map(|text| of_metadata(text))
}

/// Whether an answer of S3 is about the object, and not about S3 itself.
fn is_final(status: u16) -> bool {
    !matches!(status, 408 | 429 | 500..)
}

/// Whether S3 says that an object has no such version, or that it is where the object was deleted.
fn no_such_version(status: Option<u16>, code: Option<&str>, message: Option<&str>) -> bool {
    match code {
        Some("NoSuchVersion" | "MethodNotAllowed") => true,
        Some("InvalidArgument") => message.is_some_and(|message| message.to_lowercase().contains("version id")),
        _ => status == Some(405),
    }
}

/// Whether S3 says with this code that the object is such that nobody reads it: put into an archive, or encrypted with a key that we are
/// not given (SSE-C), or with one of KMS that is gone.
fn is_of_the_object(code: &str) -> bool {
    matches!(
        code,
        "InvalidArgument"
            | "InvalidObjectState"
            | "InvalidRequest"
            | "KMS.DisabledException"
            | "KMS.InvalidStateException"
            | "KMS.KMSInvalidStateException"
            | "KMS.NotFoundException"
    )
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use aws_smithy_types::body::SdkBody;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use bytes::Bytes;
    use http_body::{Body, Frame};

    use super::*;
    use crate::aws::fake::{Fake, Reply};
    use crate::policy::Location;

    const MAX_SIZE: u64 = 32 * 1024 * 1024;

    fn source(fake: &Fake) -> S3Source {
        S3Source::new(Client::new(&fake.config()), "modules", "plugins/")
    }

    #[test]
    fn it_is_where_the_policy_says() {
        let policy = Location::S3 { bucket: "modules".into(), prefix: "plugins/".into() };
        assert_eq!(source(&Fake::always(Reply::new(200, ""))).locate("a.wasm"), policy.locate("a.wasm"));
    }

    async fn fetch(fake: &Fake, known: Option<&str>, max_size: u64) -> Result<Fetched, SourceError> {
        let known = known.map(|tag| Known { tag: tag.to_owned(), signature: None });
        source(fake).fetch("a.wasm", Which::Newest(known.as_ref()), max_size).await
    }

    fn s3_error(status: u16, code: &str, message: &str) -> Reply {
        Reply::xml(status, &format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
    }

    /// A body of 1 KiB pieces without end, which counts them; after `pieces` it stays silent.
    struct Endless {
        served: Arc<AtomicUsize>,
        pieces: usize,
    }

    impl Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.served.fetch_add(1, Ordering::Relaxed) >= self.pieces {
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 1024])))))
        }
    }

    /// A server of one such body, and the count of its pieces.
    fn endless(pieces: usize, announced: Option<u64>) -> (Fake, Arc<AtomicUsize>) {
        let served = Arc::new(AtomicUsize::new(0));
        let counter = served.clone();
        let fake = Fake::new(move |_| {
            let reply = Reply::new(200, SdkBody::from_body_1_x(Endless { served: counter.clone(), pieces }));
            match announced {
                Some(length) => reply.header("content-length", length.to_string()),
                None => reply,
            }
        });
        (fake, served)
    }

    #[tokio::test(start_paused = true)]
    async fn a_module_comes_with_its_etag() {
        let fake = Fake::always(Reply::new(200, "bytes").header("etag", "\"v1\"").header("content-length", "5"));
        let expected = Upload { bytes: b"bytes".to_vec(), signature: None, tag: "\"v1\"".into(), version_id: None };
        assert_eq!(fetch(&fake, None, MAX_SIZE).await, Ok(Fetched::New(expected)));
        let call = &fake.calls()[0];
        assert!(call.uri.contains("modules") && call.uri.contains("/plugins/a.wasm"), "{}", call.uri);
        assert_eq!(call.method, "GET");
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_module_is_not_sent_again() {
        let fake = Fake::always(Reply::new(200, "").header("etag", "\"v1\""));
        assert_eq!(fetch(&fake, Some("\"v1\""), MAX_SIZE).await, Ok(Fetched::Unchanged));
        assert_eq!(fake.calls().iter().map(|call| call.method.as_str()).collect::<Vec<_>>(), ["HEAD"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_module_with_another_signature_is_another_version() {
        let signature = BASE64.encode("signature");
        let reply = Reply::new(200, "").header("etag", "\"v1\"").header("x-amz-meta-minisig", signature);
        let fetched = fetch(&Fake::always(reply), Some("\"v1\""), MAX_SIZE).await;
        let Ok(Fetched::New(upload)) = fetched else { panic!("{fetched:?}") };
        assert_eq!(upload.signature.as_deref(), Some("signature"));
        let changed = Fake::always(Reply::new(200, "").header("etag", "\"v2\""));
        let fetched = fetch(&changed, Some("\"v1\""), MAX_SIZE).await;
        assert!(matches!(&fetched, Ok(Fetched::New(upload)) if upload.tag == "\"v2\""), "{fetched:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn why_a_known_module_cannot_be_had_any_more_is_told() {
        let fake = Fake::new(|call| match call.method.as_str() {
            "HEAD" => Reply::new(403, ""),
            _ => s3_error(403, "AccessDenied", "Access Denied"),
        });
        let error = fetch(&fake, Some("\"v1\""), MAX_SIZE).await.unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::Denied);
        assert!(error.message.contains("AccessDenied"), "{error}");
        // Nothing is downloaded where S3 itself is in trouble.
        for reply in [Reply::Refused, Reply::new(503, "")] {
            let fake = Fake::always(reply);
            let error = fetch(&fake, Some("\"v1\""), MAX_SIZE).await.unwrap_err();
            assert_eq!(error.kind, SourceErrorKind::Unavailable);
            assert!(error.message.contains("s3://modules/plugins/a.wasm"), "{error}");
            assert!(fake.calls().iter().all(|call| call.method == "HEAD"));
        }
        // What HEAD is not answered, and is still the same.
        let fake = Fake::new(|call| match call.method.as_str() {
            "HEAD" => Reply::new(403, ""),
            _ => Reply::new(200, "").header("etag", "\"v1\""),
        });
        assert_eq!(fetch(&fake, Some("\"v1\""), MAX_SIZE).await, Ok(Fetched::Unchanged));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_deleted_is_told_from_what_never_was() {
        let deleted = s3_error(404, "NoSuchKey", "The specified key does not exist.");
        let error = fetch(&Fake::always(deleted.header("x-amz-delete-marker", "true")), None, MAX_SIZE).await;
        insta::assert_snapshot!(error.unwrap_err(), @"s3://modules/plugins/a.wasm was deleted; upload it again, or take away its delete marker");
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_that_is_not_there_is_named_with_what_to_do() {
        for (status, code, message) in [
            (404, "NoSuchVersion", "The specified version does not exist."),
            (400, "InvalidArgument", "Invalid version id specified"),
            (405, "MethodNotAllowed", "The specified method is not allowed against this resource."),
        ] {
            let fake = Fake::always(s3_error(status, code, message));
            let error = source(&fake).fetch("a.wasm", Which::Version("3/L4"), MAX_SIZE).await.unwrap_err();
            assert_eq!(error.kind, SourceErrorKind::NotFound);
            insta::allow_duplicates! {
                insta::assert_snapshot!(error, @r#"s3://modules/plugins/a.wasm has no version "3/L4": where a handler is pinned to it, correct its version-id (`aws s3api list-object-versions --bucket modules --prefix plugins/a.wasm` lists those that there are)"#);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_module_and_a_missing_bucket_are_told_apart() {
        let fake = Fake::always(s3_error(404, "NoSuchKey", "The specified key does not exist."));
        let error = fetch(&fake, None, MAX_SIZE).await.unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::NotFound);
        insta::assert_snapshot!(error, @"s3://modules/plugins/a.wasm does not exist; upload it, or correct module in the policy");
        let fake = Fake::always(s3_error(404, "NoSuchBucket", "The specified bucket does not exist"));
        let error = fetch(&fake, None, MAX_SIZE).await.unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::SourceMissing);
        insta::assert_snapshot!(error, @r#"there is no bucket "modules", so no s3://modules/plugins/a.wasm; correct source in [modules]"#);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_names_both_permissions() {
        let fake = Fake::always(s3_error(403, "AccessDenied", "Access Denied"));
        let error = fetch(&fake, None, MAX_SIZE).await.unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::Denied);
        insta::assert_snapshot!(error, @"s3:GetObject for s3://modules/plugins/a.wasm: not allowed by IAM (AccessDenied: Access Denied, HTTP 403, request req-1); allow s3:GetObject for the role Hostler runs as; or there is no such object: S3 says so only to those who are also allowed s3:ListBucket on bucket modules");
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_nobody_can_read_is_as_one_that_is_forbidden() {
        for (status, code) in [
            (400, "InvalidRequest"),
            (400, "InvalidArgument"),
            (400, "KMS.DisabledException"),
            (403, "InvalidObjectState"),
            (403, "AccessDenied"),
        ] {
            let error = fetch(&Fake::always(s3_error(status, code, "why")), None, MAX_SIZE).await.unwrap_err();
            assert_eq!(error.kind, SourceErrorKind::Denied, "{code}");
            assert!(error.message.contains(code) && error.message.contains("why"), "{error}");
        }
        // That passes.
        let throttled = Fake::always(s3_error(400, "KMS.ThrottlingException", "why"));
        assert_eq!(fetch(&throttled, None, MAX_SIZE).await.unwrap_err().kind, SourceErrorKind::Unavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_elsewhere_names_its_region() {
        let moved = s3_error(301, "PermanentRedirect", "use the endpoint").header("x-amz-bucket-region", "us-east-1");
        let error = fetch(&Fake::always(moved), None, MAX_SIZE).await.unwrap_err();
        insta::assert_snapshot!(error, @"s3://modules/plugins/a.wasm is in another region (us-east-1); Hostler reads modules from its own region only");
    }

    #[tokio::test(start_paused = true)]
    async fn an_s3_that_is_faulty_silent_or_away_is_unavailable() {
        for reply in
            [s3_error(500, "InternalError", "We encountered an internal error."), Reply::Silence, Reply::Refused]
        {
            let error = fetch(&Fake::always(reply), None, MAX_SIZE).await.unwrap_err();
            assert_eq!(error.kind, SourceErrorKind::Unavailable);
            assert!(error.message.contains("s3://modules/plugins/a.wasm"), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_is_refused_unread() {
        let (fake, served) = endless(usize::MAX, Some(200 * 1024 * 1024));
        let error = fetch(&fake, None, MAX_SIZE).await.unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::TooLarge);
        insta::assert_snapshot!(error, @"s3://modules/plugins/a.wasm has 200.0 MiB (209715200 bytes), and max-size in [modules] is 32.0 MiB (33554432 bytes)");
        assert_eq!(served.load(Ordering::Relaxed), 0, "some of it was read");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_without_a_length_is_read_to_the_limit_and_no_further() {
        let (fake, served) = endless(usize::MAX, None);
        let error = fetch(&fake, None, 10 * 1024).await.unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::TooLarge);
        assert_eq!(served.load(Ordering::Relaxed), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn a_download_that_stalls_ends() {
        let (fake, _) = endless(3, None);
        let error = fetch(&fake, None, MAX_SIZE).await.unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::Unavailable);
        assert!(error.message.contains("the download of s3://modules/plugins/a.wasm"), "{error}");
    }
}
