//! Signed modules: which version is taken, and which is not.

use super::signed::{Signed, crashes, digest, works};
use super::*;
use crate::testing::bucket::Bucket;

#[tokio::test(start_paused = true)]
async fn an_older_version_is_refused_by_every_host_and_the_newer_goes_on() {
    let signed = Signed::new(Bucket::unversioned());
    let (old, new) = (guests::done(), guests::abandon());
    signed.upload(&new, "2.0");
    let host = signed.host();
    assert_eq!(digest(&host, None).await, Ok(sha256(&new)));
    signed.upload(&old, "1.9.9");
    assert_eq!(digest(&host, None).await, Ok(sha256(&new)));
    // A process that has not seen the newer one.
    let refusal = digest(&signed.host(), None).await.unwrap_err();
    assert!(
        refusal.contains("is version 1.9.9, and version 2.0 was accepted before: sign it with a higher one, or pin"),
        "{refusal}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_older_version_is_refused_by_handlers_that_say_whom_they_trust_too() {
    let mut signed = Signed::new(Bucket::unversioned());
    let trust = &mut signed.policy.modules.trust;
    trust.of_modules.insert("m.wasm".to_owned(), std::mem::take(&mut trust.keys));
    signed.upload(&guests::abandon(), "2");
    assert_eq!(digest(&signed.host(), None).await, Ok(sha256(guests::abandon())));
    signed.upload(&guests::done(), "1");
    assert!(digest(&signed.host(), None).await.unwrap_err().contains("version 2 was accepted before"));
}

#[tokio::test(start_paused = true)]
async fn a_version_belongs_to_the_bytes_that_were_accepted_as_it() {
    let signed = Signed::new(Bucket::versioned());
    let (old, new) = (guests::done(), guests::abandon());
    let host = signed.host();
    signed.upload(&old, "2");
    assert_eq!(digest(&host, None).await, Ok(sha256(&old)));
    signed.upload(&new, "2.0");
    assert_eq!(digest(&host, None).await, Ok(sha256(&old)));
    let trouble = host.slot("m.wasm", None).lock().await.trouble.clone().unwrap().message;
    let expected = format!(
        "s3://bucket/m.wasm (version-id v2) was refused: it is version 2.0, as which SHA-256 {} was accepted before: sign it with a higher \
         one, or pin the handler to sha256 = \"{}\" to run it all the same",
        sha256(&old),
        sha256(&new)
    );
    assert_eq!(trouble, expected);
    assert_eq!(digest(&signed.host(), None).await, Ok(sha256(&old)));
    signed.upload(&new, "2.1");
    assert_eq!(digest(&host, None).await, Ok(sha256(&new)));
}

#[tokio::test(start_paused = true)]
async fn versions_that_are_times_are_told_as_such_to_those_who_number_theirs() {
    let signed = Signed::new(Bucket::unversioned());
    let host = signed.host();
    let mut refusals = Vec::new();
    for (newest, older) in [("1768446000", "1.4.0"), ("1768446001", "1768446000"), ("1768446001.1", "1.4.0")] {
        signed.upload(&guests::done(), newest);
        assert!(digest(&host, None).await.is_ok());
        signed.upload(&guests::abandon(), older);
        assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())));
        let trouble = host.slot("m.wasm", None).lock().await.trouble.clone().unwrap().message;
        refusals.push(trouble.split(", or pin").next().unwrap().to_owned());
    }
    insta::assert_snapshot!(refusals.join("\n"), @"
    s3://bucket/m.wasm was refused: it is version 1.4.0, and version 1768446000 was accepted before, which is the time of a signature without --version (2026-01-15T03:00:00Z): sign it without --version too
    s3://bucket/m.wasm was refused: it is version 1768446000, and version 1768446001 was accepted before: sign it with a higher one
    s3://bucket/m.wasm was refused: it is version 1.4.0, and version 1768446001.1 was accepted before: sign it with a higher one
    ");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_use_and_signed_again_is_a_newer_version_for_every_host() {
    let signed = Signed::new(Bucket::unversioned());
    let (mut host, other) = (signed.host(), signed.host());
    signed.upload(&guests::done(), "1");
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())));
    signed.upload(&guests::abandon(), "2");
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::abandon())));
    // It need not be compiled again.
    let compiler = std::mem::replace(&mut host.compiler, Compiler::Child(Child::of("/no/such/program".into())));
    signed.upload(&guests::abandon(), "4");
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::abandon())));
    assert_eq!(host.slot("m.wasm", None).lock().await.trouble, None);
    host.compiler = compiler;
    signed.upload(&guests::spin(), "3");
    for host in [&host, &other] {
        assert_ne!(digest(host, None).await, Ok(sha256(guests::spin())), "version 4 was accepted");
    }
    // It is no other plugin to go back to.
    crashes(&host).await;
    let slot = host.slot("m.wasm", None);
    assert_eq!(slot.lock().await.previous.as_ref().unwrap().module.digest, sha256(guests::done()));
    // Somebody takes the signature away, or puts another in its place.
    signed.bucket.put(&guests::abandon(), None);
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::abandon())));
    let trouble = slot.lock().await.trouble.clone().unwrap().message;
    assert!(trouble.contains("is not signed"), "{trouble}");
}

#[tokio::test(start_paused = true)]
async fn a_module_without_its_signature_leaves_the_signed_one_in_use() {
    let signed = Signed::new(Bucket::unversioned());
    signed.upload(&guests::done(), "1");
    let host = signed.host();
    digest(&host, None).await.unwrap();
    signed.bucket.put(&guests::abandon(), None);
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())));
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_for_its_signature_is_fetched_again_only_with_another_one() {
    let signed = Signed::new(Bucket::unversioned());
    signed.bucket.put(&guests::done(), None);
    let host = signed.host();
    for _ in 0..3 {
        assert!(digest(&host, None).await.is_err());
    }
    assert_eq!(*signed.bucket.fetched.lock().unwrap(), 1);
    // The same module, and so the same tag.
    signed.upload(&guests::done(), "1");
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())));
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_with_a_refused_newest_takes_the_newest_that_passes_where_versions_are_kept() {
    let signed = Signed::new(Bucket::versioned());
    signed.upload(&guests::done(), "1");
    signed.upload(&guests::abandon(), "2");
    signed.bucket.put(&guests::spin(), None);
    signed.bucket.put(b"garbage", None);
    let host = signed.host();
    for _ in 0..3 {
        assert_eq!(digest(&host, None).await, Ok(sha256(guests::abandon())));
    }
    assert_eq!(*signed.bucket.asked.lock().unwrap(), ["v3", "v2"], "each is looked at once");
    assert_eq!(*signed.bucket.fetched.lock().unwrap(), 1, "the newest too");
    signed.upload(&guests::spin(), "3");
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::spin())));
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_with_a_newest_that_nobody_can_read_takes_an_earlier_one_too() {
    let signed = Signed::new(Bucket::versioned());
    signed.upload(&guests::done(), "1");
    signed.bucket.put(b"encrypted with a key of the uploader's", None);
    *signed.bucket.unreadable.lock().unwrap() = true;
    let host = signed.host();
    assert!(host.check([("m.wasm", None)]).await.is_ok(), "a host does not start for want of the newest");
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())));
    // Where there is none, it is asked for again with each event.
    let signed = Signed::new(Bucket::unversioned());
    *signed.bucket.unreadable.lock().unwrap() = true;
    let host = signed.host();
    assert!(host.check([("m.wasm", None)]).await.is_err());
    assert_eq!(digest(&host, None).await, Err("m.wasm cannot be read".to_owned()));
    *signed.bucket.unreadable.lock().unwrap() = false;
    signed.upload(&guests::done(), "1");
    assert!(host.current("m.wasm", None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn many_uploads_hide_neither_what_has_worked_nor_what_is_pinned() {
    let signed = Signed::new(Bucket::versioned());
    signed.upload(&guests::done(), "1");
    let pin = Pin::Sha256(sha256(guests::done()));
    let host = signed.host();
    works(&host).await;
    for number in 0..50 {
        signed.bucket.put(format!("rubbish {number}").as_bytes(), None);
    }
    for pin in [None, Some(&pin)] {
        signed.bucket.asked.lock().unwrap().clear();
        assert_eq!(digest(&signed.host(), pin).await, Ok(sha256(guests::done())));
        assert_eq!(*signed.bucket.asked.lock().unwrap(), ["v1"], "it is known from before");
    }
}

#[tokio::test(start_paused = true)]
async fn many_uploads_keep_no_host_from_starting_with_what_others_have_accepted() {
    let signed = Signed::new(Bucket::versioned());
    signed.upload(&guests::done(), "1");
    assert!(digest(&signed.host(), None).await.is_ok());
    for number in 2..5 {
        signed.bucket.put(b"whatever it is", None);
        signed.bucket.hidden.lock().unwrap().push(format!("v{number}"));
    }
    *signed.bucket.unreadable.lock().unwrap() = true;
    assert_eq!(signed.host().check([("m.wasm", None)]).await, Ok(()));
    assert_eq!(*signed.bucket.asked.lock().unwrap(), ["v1"], "what hosts know comes first");
}

#[tokio::test(start_paused = true)]
async fn many_uploads_hide_neither_what_is_on_trial_nor_what_was_pinned_from_the_beginning() {
    let signed = Signed::new(Bucket::versioned());
    let host = signed.host();
    signed.upload(&guests::done(), "1");
    works(&host).await;
    // Accepted, and with no event yet.
    signed.upload(&guests::abandon(), "2");
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::abandon())));
    let (before, pin) = (signed.host(), Pin::Sha256(sha256(guests::spin())));
    signed.upload(&guests::spin(), "1");
    assert_eq!(digest(&before, Some(&pin)).await, Ok(sha256(guests::spin())));
    for number in 0..50 {
        signed.bucket.put(format!("rubbish {number}").as_bytes(), None);
    }
    for (pin, is, version) in [(None, guests::abandon(), "v2"), (Some(&pin), guests::spin(), "v3")] {
        signed.bucket.asked.lock().unwrap().clear();
        assert_eq!(digest(&signed.host(), pin).await, Ok(sha256(is)));
        assert_eq!(*signed.bucket.asked.lock().unwrap(), [version]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_what_another_host_has_accepted_gives_way_though_it_is_the_newest_upload() {
    for (bucket, expected) in [(Bucket::versioned(), guests::abandon()), (Bucket::unversioned(), guests::done())] {
        let signed = Signed::new(bucket);
        let (host, other) = (signed.host(), signed.host());
        signed.upload(&guests::done(), "2");
        assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())));
        signed.upload(&guests::abandon(), "3");
        assert_eq!(digest(&other, None).await, Ok(sha256(guests::abandon())));
        // Before the first host has seen it, somebody who has the older one uploads that again.
        signed.upload(&guests::done(), "2");
        assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())), "nobody waits for the other to compile");
        let trouble = host.slot("m.wasm", None).lock().await.trouble.clone().unwrap().message;
        assert!(
            trouble.contains("nothing newer: the one in use is version 2, and version 3 was accepted"),
            "{trouble}"
        );
        for _ in 0..3 {
            assert_eq!(digest(&host, None).await, Ok(sha256(&expected)));
            assert_eq!(digest(&other, None).await, Ok(sha256(guests::abandon())));
        }
        // The same bytes, which are known.
        signed.upload(&guests::done(), "4");
        assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_older_gives_way_though_nobody_can_read_the_newest_upload() {
    let signed = Signed::new(Bucket::versioned());
    let (host, other) = (signed.host(), signed.host());
    signed.upload(&guests::done(), "2");
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())));
    signed.upload(&guests::abandon(), "3");
    assert_eq!(digest(&other, None).await, Ok(sha256(guests::abandon())));
    signed.bucket.put(b"whatever it is", None);
    *signed.bucket.unreadable.lock().unwrap() = true;
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())), "nobody waits for the other to compile");
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::abandon())));
    // Where that is gone too, it is said.
    let late = signed.host();
    late.recall("m.wasm", None, None).await.unwrap();
    signed.bucket.remove("v2");
    let slot = late.slot("m.wasm", None);
    slot.lock().await.good = host.slot("m.wasm", None).lock().await.previous.clone();
    assert_eq!(digest(&late, None).await, Ok(sha256(guests::done())));
    let trouble = slot.lock().await.trouble.clone().unwrap().message;
    assert!(
        trouble.starts_with("m.wasm cannot be read; and s3://bucket/m.wasm has nothing newer: the one in use"),
        "{trouble}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_signed_again_is_found_under_its_newest_signature() {
    let signed = Signed::new(Bucket::versioned());
    let host = signed.host();
    for version in ["1", "3"] {
        signed.upload(&guests::done(), version);
        assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())));
        signed.bucket.put(b"rubbish", None);
        assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())));
    }
    assert_eq!(digest(&signed.host(), None).await, Ok(sha256(guests::done())));
    assert_eq!(*signed.bucket.asked.lock().unwrap(), ["v3"]);
}

#[tokio::test(start_paused = true)]
async fn what_this_machine_cannot_compile_keeps_no_process_from_an_earlier_version() {
    let signed = Signed::new(Bucket::versioned());
    signed.upload(&guests::done(), "1");
    assert!(digest(&signed.host(), None).await.is_ok());
    signed.upload(&guests::abandon(), "2");
    let next = signed.host();
    let work = async { Err(CompileError::Failed("it was killed".to_owned())) };
    let compiling = Compiling::new(None, Origin::built_here("newest"), work);
    next.slot("m.wasm", None).lock().await.compiling = Some(compiling);
    next.recall("m.wasm", None, None).await.unwrap();
    let plugin = next.current("m.wasm", None).await.unwrap();
    assert_eq!(plugin.module.digest, sha256(guests::done()));
    assert_eq!(digest(&next, None).await, Ok(sha256(guests::abandon())), "it is tried again");
}

/// A host for which version 1 has worked, and which runs version 2; rubbish was uploaded after them.
#[tokio::test(start_paused = true)]
async fn what_became_older_while_it_was_compiled_is_refused_and_taken_when_it_is_signed_again() {
    let signed = Signed::new(Bucket::unversioned());
    let (host, other) = (signed.host(), signed.host());
    signed.upload(&guests::done(), "2");
    assert!(digest(&other, None).await.is_ok());
    signed.upload(&guests::abandon(), "1");
    let Ok(Fetched::New(upload)) = signed.bucket.fetch("m.wasm", Which::Newest(None), 0).await else { panic!() };
    let (upload, told) = host.judge("m.wasm", None, upload).await.unwrap();
    let told = told.unwrap();
    let known = Some(upload.known());
    let module = host.sandbox.compile(&upload.bytes, told.digest.clone()).unwrap();
    let compiling = Compiling::new(known, told, async move { Ok(module) });
    host.slot("m.wasm", None).lock().await.compiling = Some(compiling);
    let refusal = digest(&host, None).await.unwrap_err();
    assert!(refusal.contains("is version 1, and version 2 was accepted before"), "{refusal}");
    signed.upload(&guests::abandon(), "3");
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::abandon())));
}

#[tokio::test(start_paused = true)]
async fn the_same_bytes_are_no_older_than_they_are_whatever_they_were_signed_as() {
    let signed = Signed::new(Bucket::unversioned());
    let (host, other) = (signed.host(), signed.host());
    signed.upload(&guests::done(), "1");
    works(&host).await;
    works(&other).await;
    signed.upload(&guests::done(), "3");
    assert_eq!(digest(&other, None).await, Ok(sha256(guests::done())));
    // The first host has not seen that.
    signed.upload(&guests::spin(), "4");
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::spin())));
    crashes(&host).await;
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())), "which it had all the time");
}

#[tokio::test(start_paused = true)]
async fn of_two_hosts_that_accept_a_version_at_once_the_second_gives_way() {
    let signed = Signed::new(Bucket::versioned());
    let (host, other) = (signed.host(), signed.host());
    signed.upload(&guests::done(), "1");
    works(&host).await;
    works(&other).await;
    // Both have looked whether they may, and now both do.
    signed.upload(&guests::abandon(), "2");
    let accepted = |digest: String, version: &str, id: &str| {
        let signed = Some(signature::Signed { by: signed.key.id(), version: version.parse().unwrap() });
        Origin { digest, signed, accepted: true, version_id: Some(id.to_owned()) }
    };
    let uploads = host.uploads.as_ref().unwrap();
    uploads.accept("m.wasm", &accepted(sha256(guests::abandon()), "2", "v2")).await.unwrap();
    let late = accepted(sha256(guests::done()), "2", "v3");
    uploads.accept("m.wasm", &late).await.unwrap();
    let module = host.current("m.wasm", None).await.unwrap().module.clone();
    uploads.tell("m.wasm", "other handler", &Plugin::new(module, late), &Sign::Ended).await.unwrap();
    for host in [&host, &other, &signed.host()] {
        assert_eq!(digest(host, None).await, Ok(sha256(guests::abandon())));
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_record_no_newer_version_is_taken_and_the_one_in_use_goes_on() {
    let signed = Signed::new(Bucket::unversioned());
    signed.upload(&guests::done(), "1");
    let host = signed.host();
    digest(&host, None).await.unwrap();
    signed.upload(&guests::abandon(), "2");
    signed.store.unreadable.lock().unwrap().extend([true, true]);
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())));
    let error = signed.host().current("m.wasm", None).await.unwrap_err();
    assert!(error.passes, "{error}");
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::abandon())));
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_while_a_version_is_noted_loses_it_for_nobody() {
    for (earlier, newest) in [(None, "1"), (Some("1"), "broken")] {
        let signed = Signed::new(Bucket::versioned());
        if let Some(version) = earlier {
            signed.upload(&guests::done(), version);
            signed.bucket.put(b"garbage", None);
        } else {
            signed.upload(&guests::done(), newest);
        }
        let host = signed.host();
        // At each point at which it waits.
        for polls in 1..100 {
            let mut asking = Box::pin(host.current("m.wasm", None));
            for _ in 0..polls {
                if polled_once(&mut asking).await.is_some() {
                    break;
                }
            }
        }
        assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())));
    }
}
