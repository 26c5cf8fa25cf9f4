//! The bucket as a store, as S3 answers by its documents.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::aws::fake::{Fake, Received, Reply};
use crate::digest::sha256;
use crate::ledger::{check, contract};
use crate::testing::silent;

fn store(fake: &Fake) -> S3Store {
    S3Store::new(Client::new(&fake.config()), "state", "hostler/")
}

fn s3_error(status: u16, code: &str, message: &str) -> Reply {
    Reply::xml(status, &format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
}

fn denied() -> Reply {
    s3_error(403, "AccessDenied", "Access Denied")
}

fn no_bucket() -> Reply {
    s3_error(404, "NoSuchBucket", "The specified bucket does not exist")
}

fn seen() -> Version {
    Version("\"seen\"".to_owned())
}

/// The objects of a bucket, by key.
type Objects = Arc<Mutex<BTreeMap<String, String>>>;

fn etag(body: &str) -> String {
    format!("\"{}\"", sha256(body))
}

/// Does to a bucket what S3 would ("Add preconditions to S3 operations with conditional requests").
fn answer(objects: &Objects, asked: &Received) -> Reply {
    let mut objects = objects.lock().unwrap();
    let (path, query) = asked.uri.split_once('?').unwrap_or((&asked.uri, ""));
    let key = path.splitn(4, '/').nth(3).unwrap_or_default().to_owned();
    let is = objects.get(&key).map(|body| etag(body));
    if asked.if_none_match.as_deref() == Some("*") && is.is_some() {
        return s3_error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
    }
    match (&asked.if_match, &is) {
        (Some(_), None) => return s3_error(404, "NoSuchKey", "The specified key does not exist."),
        (Some(wanted), Some(is)) if wanted != is => {
            return s3_error(
                412,
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
            );
        }
        _ => {}
    }
    match (asked.method.as_str(), objects.get(&key)) {
        ("GET", _) if key.is_empty() => list(&objects, query),
        ("GET", Some(body)) => Reply::new(200, body.clone()).header("etag", etag(body)),
        ("GET", None) => s3_error(404, "NoSuchKey", "The specified key does not exist."),
        ("PUT", _) => {
            objects.insert(key, asked.body.clone());
            Reply::new(200, "").header("etag", etag(&asked.body))
        }
        _ => {
            objects.remove(&key);
            Reply::new(204, "")
        }
    }
}

fn list(objects: &BTreeMap<String, String>, query: &str) -> Reply {
    let value = |name: &str| {
        let value = query.split('&').find_map(|field| field.strip_prefix(name)).unwrap_or_default();
        value.replace("%2F", "/")
    };
    let (prefix, after) = (value("prefix="), value("start-after="));
    let mut found = objects.keys().filter(|key| key.starts_with(&prefix) && (after.is_empty() || **key > after));
    let contents: String = found
        .by_ref()
        .take(1_000)
        .map(|key| {
            format!("<Contents><Key>{key}</Key><LastModified>2026-01-15T03:00:00.000Z</LastModified></Contents>")
        })
        .collect();
    let truncated = found.next().is_some();
    Reply::xml(200, &format!("<ListBucketResult>{contents}<IsTruncated>{truncated}</IsTruncated></ListBucketResult>"))
}

/// A bucket with nothing in it.
fn bucket() -> (Fake, Objects) {
    let objects = Objects::default();
    let answering = objects.clone();
    (Fake::new(move |asked| answer(&answering, asked)), objects)
}

#[tokio::test(start_paused = true)]
async fn it_keeps_the_contract() {
    let (fake, objects) = bucket();
    contract::holds(&store(&fake)).await;
    assert!(objects.lock().unwrap().keys().all(|key| key.starts_with("hostler/")));
}

#[tokio::test(start_paused = true)]
async fn a_long_list_comes_in_pages() {
    let (fake, _) = bucket();
    contract::pages(&store(&fake), 1_000).await;
}

#[tokio::test(start_paused = true)]
async fn it_can_carry_a_ledger() {
    let (fake, objects) = bucket();
    assert_eq!(check(&store(&fake), &*silent().clock).await, Ok(()));
    assert!(objects.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_somebody_made_by_hand_is_no_object() {
    let (fake, objects) = bucket();
    for key in ["hostler/", "hostler/open/", "hostler/open/a.json"] {
        objects.lock().unwrap().insert(key.to_owned(), String::new());
    }
    let page = store(&fake).list("", None).await.unwrap();
    let modified = "2026-01-15T03:00:00Z".parse().unwrap();
    assert_eq!(page.objects, [Listed { key: "open/a.json".to_owned(), modified }]);
}

/// What a write and a removal come to when S3 answers so.
async fn changes(reply: &Reply) -> [WriteError; 2] {
    let fake = Fake::always(reply.clone());
    let (store, seen) = (store(&fake), seen());
    let written = store.write("a", b"{}".to_vec(), Some(&seen)).await.unwrap_err();
    [written, store.remove("a", &seen).await.unwrap_err()]
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_not_as_it_was_seen_has_changed() {
    for reply in [
        s3_error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"),
        s3_error(409, "ConditionalRequestConflict", "A conflicting operation occurred"),
        s3_error(404, "NoSuchKey", "The specified key does not exist."),
    ] {
        assert_eq!(changes(&reply).await, [WriteError::Changed, WriteError::Changed]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_may_have_taken_effect() {
    for reply in [
        s3_error(500, "InternalError", "We encountered an internal error."),
        s3_error(503, "SlowDown", "Please reduce your request rate."),
        s3_error(400, "RequestTimeout", "Your socket connection was not read from in time"),
        Reply::Silence,
        Reply::Refused,
    ] {
        let changes = changes(&reply).await;
        assert!(changes.iter().all(|change| matches!(change, WriteError::Unknown(_))), "{changes:?}");
    }
    let without_etag = Fake::always(Reply::new(200, ""));
    let written = store(&without_etag).write("a", b"{}".to_vec(), None).await.unwrap_err();
    insta::assert_snapshot!(written, @"s3:PutObject for s3://state/hostler/a: the answer has no ETag, by which S3 tells one version from another");
}

#[tokio::test(start_paused = true)]
async fn the_retry_of_a_write_that_took_effect_finds_it_changed() {
    let (objects, tries) = (Objects::default(), Mutex::new(0));
    let answering = objects.clone();
    let fake = Fake::new(move |asked| {
        let mut tries = tries.lock().unwrap();
        *tries += 1;
        let reply = answer(&answering, asked);
        if *tries == 1 { Reply::Silence } else { reply }
    });
    assert_eq!(store(&fake).write("a", b"mine".to_vec(), None).await, Err(WriteError::Changed));
    assert_eq!(store(&fake).read("a").await.unwrap().unwrap().bytes, b"mine");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_the_permission() {
    let fake = Fake::always(denied());
    let [written, removed] = changes(&denied()).await;
    assert!(matches!((&written, &removed), (WriteError::Refused(_), WriteError::Refused(_))));
    insta::assert_snapshot!(written, @"s3:PutObject for s3://state/hostler/a: not allowed by IAM (AccessDenied: Access Denied, HTTP 403, request req-1); allow s3:PutObject for the role Hostler runs as; its condition, If-Match, needs s3:GetObject too");
    insta::assert_snapshot!(removed, @"s3:DeleteObject for s3://state/hostler/a: not allowed by IAM (AccessDenied: Access Denied, HTTP 403, request req-1); allow s3:DeleteObject for the role Hostler runs as; its condition, If-Match, needs s3:GetObject too");
    insta::assert_snapshot!(store(&fake).read("a").await.unwrap_err(), @"s3:GetObject for s3://state/hostler/a: not allowed by IAM (AccessDenied: Access Denied, HTTP 403, request req-1); allow s3:GetObject for the role Hostler runs as; or there is no such object: S3 says so only to those who are also allowed s3:ListBucket on bucket state");
    insta::assert_snapshot!(store(&fake).list("open/", None).await.unwrap_err(), @"s3:ListBucket for s3://state/hostler/open/: not allowed by IAM (AccessDenied: Access Denied, HTTP 403, request req-1); allow s3:ListBucket for the role Hostler runs as");
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_not_there_is_no_object_that_is_not_there() {
    let fake = Fake::always(no_bucket());
    let told = store(&fake).read("a").await.unwrap_err();
    assert_eq!(told.kind, PortErrorKind::NotFound);
    insta::assert_snapshot!(told, @r#"s3:GetObject for s3://state/hostler/a: there is no bucket "state"; create it, or correct store in [ledger]"#);
    let changes = changes(&no_bucket()).await;
    assert!(changes.iter().all(|change| matches!(change, WriteError::Refused(_))), "{changes:?}");
    let error = check(&store(&fake), &*silent().clock).await.unwrap_err();
    insta::assert_snapshot!(error, @"the ledger in s3://state/hostler/ cannot be listed");
    let why = std::error::Error::source(&error).unwrap();
    assert!(
        why.to_string().ends_with("there is no bucket \"state\"; create it, or correct store in [ledger]"),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_only_read_carries_no_ledger() {
    let fake = Fake::new(|asked| match asked.method.as_str() {
        "GET" => Reply::xml(200, "<ListBucketResult></ListBucketResult>"),
        _ => denied(),
    });
    let error = check(&store(&fake), &*silent().clock).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    let key = source.split("probe/").nth(1).unwrap().split(':').next().unwrap();
    insta::assert_snapshot!(format!("{error}: {}", source.replace(key, "KEY")), @"the ledger in s3://state/hostler/ cannot be written: s3:PutObject for s3://state/hostler/probe/KEY: not allowed by IAM (AccessDenied: Access Denied, HTTP 403, request req-1); allow s3:PutObject for the role Hostler runs as; its condition, If-Match, needs s3:GetObject too");
}

#[tokio::test(start_paused = true)]
async fn a_bucket_elsewhere_names_its_region() {
    let moved = s3_error(301, "PermanentRedirect", "use the endpoint").header("x-amz-bucket-region", "us-east-1");
    insta::assert_snapshot!(store(&Fake::always(moved)).list("", None).await.unwrap_err(), @r#"s3:ListBucket for s3://state/hostler/: bucket "state" is in another region (us-east-1); name one in Hostler's own region as store in [ledger]"#);
}

#[tokio::test(start_paused = true)]
async fn an_object_is_read_up_to_the_bound() {
    let large = (MAX_BYTES + 1).to_string();
    let fake = Fake::always(Reply::new(200, "x").header("etag", "\"v\"").header("content-length", large));
    insta::assert_snapshot!(store(&fake).read("a").await.unwrap_err(), @"s3:GetObject for s3://state/hostler/a: it has more than 8.0 MiB, and no more is read");
}
