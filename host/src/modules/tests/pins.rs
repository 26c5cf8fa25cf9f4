//! What a handler is pinned to, whatever is uploaded.

use super::signed::{Signed, digest};
use super::*;
use crate::testing::bucket::Bucket;

#[tokio::test(start_paused = true)]
async fn a_pin_is_kept_whatever_is_uploaded_and_however_old_it_is() {
    let signed = Signed::new(Bucket::versioned());
    signed.upload(&guests::done(), "1");
    signed.upload(&guests::abandon(), "2");
    let host = signed.host();
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::abandon())));
    let version = Pin::VersionId("v1".to_owned());
    assert_eq!(digest(&host, Some(&version)).await, Ok(sha256(guests::done())));
    let content = Pin::Sha256(sha256(guests::abandon()));
    assert_eq!(digest(&host, Some(&content)).await, Ok(sha256(guests::abandon())));
    signed.upload(&guests::spin(), "3");
    assert_eq!(digest(&host, Some(&content)).await, Ok(sha256(guests::abandon())));
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::spin())));
}

#[tokio::test(start_paused = true)]
async fn a_process_finds_what_it_is_pinned_to_among_earlier_versions() {
    let signed = Signed::new(Bucket::versioned());
    signed.upload(&guests::done(), "1");
    signed.upload(&guests::abandon(), "2");
    let pin = Pin::Sha256(sha256(guests::done()));
    assert_eq!(digest(&signed.host(), Some(&pin)).await, Ok(sha256(guests::done())));
    // Though the newest, or the very same, was deleted.
    *signed.bucket.deleted.lock().unwrap() = true;
    for is in [guests::done(), guests::abandon()] {
        let pin = Pin::Sha256(sha256(&is));
        assert_eq!(digest(&signed.host(), Some(&pin)).await, Ok(sha256(&is)));
    }
    let other = Pin::Sha256(sha256("other"));
    for pin in [None, Some(&other)] {
        let refusal = digest(&signed.host(), pin).await.unwrap_err();
        assert_eq!(refusal, "m.wasm is not there");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_could_read_is_found_as_soon_as_somebody_can() {
    let signed = Signed::new(Bucket::versioned());
    signed.upload(&guests::done(), "1");
    signed.upload(&guests::abandon(), "2");
    signed.bucket.hidden.lock().unwrap().push("v1".to_owned());
    let (host, pin) = (signed.host(), Pin::Sha256(sha256(guests::done())));
    assert!(digest(&host, Some(&pin)).await.is_err());
    signed.bucket.hidden.lock().unwrap().clear();
    assert_eq!(digest(&host, Some(&pin)).await, Ok(sha256(guests::done())));
}

#[tokio::test(start_paused = true)]
async fn a_pinned_module_has_to_be_signed_too() {
    let signed = Signed::new(Bucket::unversioned());
    signed.bucket.put(&guests::done(), None);
    let pin = Pin::Sha256(sha256(guests::done()));
    let refusal = digest(&signed.host(), Some(&pin)).await.unwrap_err();
    assert!(refusal.contains("is not signed, and only signed modules are taken"), "{refusal}");
    let other = Pin::Sha256(sha256("other"));
    let refusal = digest(&signed.host(), Some(&other)).await.unwrap_err();
    assert!(refusal.contains("has the SHA-256 ") && refusal.contains("and the handler is pinned to "), "{refusal}");
    assert!(refusal.ends_with(": upload that, or correct sha256 in the policy"), "{refusal}");
    let host = signed.host();
    for _ in 0..3 {
        assert_eq!(digest(&host, Some(&other)).await, Err(refusal.clone()), "it says the same each time");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_built_here_need_be_neither_signed_nor_what_is_pinned() {
    let signed = Signed::new(Bucket::unversioned());
    signed.bucket.put(&guests::done(), None);
    let sandbox = Sandbox::new(Capacity { attempts: 1, memory: 1 << 20 }, Pace::Virtual).expect("a sandbox");
    let (clock, policy) = (Arc::clone(&signed.clock), &signed.policy.modules);
    let modules = Modules::of_this_machine(signed.bucket.clone(), Arc::new(sandbox), clock, policy);
    let pin = Pin::Sha256(sha256("other"));
    assert_eq!(digest(&modules, Some(&pin)).await, Ok(sha256(guests::done())));
}
