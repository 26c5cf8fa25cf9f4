//! Plugins that are given up, and what is gone back to.

use super::signed::{Signed, crashes, digest, works};
use super::*;
use crate::testing::bucket::Bucket;

async fn before_rubbish() -> (Signed, Modules) {
    let signed = Signed::new(Bucket::versioned());
    let host = signed.host();
    signed.upload(&guests::done(), "1");
    works(&host).await;
    signed.upload(&guests::spin(), "2");
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::spin())));
    signed.bucket.put(b"rubbish", None);
    (signed, host)
}

#[tokio::test(start_paused = true)]
async fn crashes_with_an_attempt_on_another_host_between_them_are_not_in_a_row() {
    let (signed, host) = before_rubbish().await;
    let other = signed.host();
    let (ours, theirs) = (host.current("m.wasm", None).await.unwrap(), other.current("m.wasm", None).await.unwrap());
    let crash = Sign::Crashed("unreachable".to_owned());
    for (host, plugin, sign) in
        [(&host, &ours, &crash), (&host, &ours, &crash), (&other, &theirs, &Sign::Worked), (&host, &ours, &crash)]
    {
        host.tell("m.wasm", "h", plugin, sign).await;
    }
    assert!(!host.has_given_up("m.wasm", &ours.module.digest));
    for _ in 0..2 {
        host.tell("m.wasm", "h", &ours, &crash).await;
    }
    assert!(host.has_given_up("m.wasm", &ours.module.digest));
}

#[tokio::test(start_paused = true)]
async fn no_plugin_is_given_up_for_one_that_may_not_be_run_or_is_not_there() {
    // The key of the one before is trusted no more.
    let mut signed = Signed::new(Bucket::versioned());
    signed.upload(&guests::done(), "1");
    works(&signed.host()).await;
    let Signed { key, policy, .. } = Signed::new(signed.bucket.clone());
    (signed.key, signed.policy) = (key, policy);
    // The bucket has none but the newest, and the process began with that.
    let unversioned = Signed::new(Bucket::unversioned());
    unversioned.upload(&guests::done(), "1");
    works(&unversioned.host()).await;
    for signed in [signed, unversioned] {
        signed.upload(&guests::spin(), "2");
        let host = signed.host();
        assert_eq!(digest(&host, None).await, Ok(sha256(guests::spin())));
        crashes(&host).await;
        assert_eq!(digest(&host, None).await, Ok(sha256(guests::spin())), "it is all there is");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_too_old_is_gone_back_to_when_the_newer_one_is_given_up() {
    let (signed, _) = before_rubbish().await;
    // A process that has had the newer one alone.
    let next = signed.host();
    assert_eq!(digest(&next, None).await, Ok(sha256(guests::spin())));
    crashes(&next).await;
    assert_eq!(digest(&next, None).await, Ok(sha256(guests::done())));
}

#[tokio::test(start_paused = true)]
async fn what_was_looked_at_in_vain_is_looked_at_again_when_hosts_know_better() {
    let (signed, host) = before_rubbish().await;
    signed.bucket.remove("v2");
    let next = signed.host();
    assert!(digest(&next, None).await.is_err(), "version 2 was accepted, and is gone");
    crashes(&host).await;
    assert_eq!(digest(&next, None).await, Ok(sha256(guests::done())));
}

#[tokio::test(start_paused = true)]
async fn an_earlier_version_that_is_given_up_while_it_is_compiled_is_not_begun_with() {
    let (signed, other) = before_rubbish().await;
    let next = signed.host();
    refresh_is_due().await;
    let mut begins = Box::pin(next.current("m.wasm", None));
    while *signed.bucket.asked.lock().unwrap() != ["v2"] {
        assert!(polled_once(&mut begins).await.is_none(), "it begins with version 2");
    }
    crashes(&other).await;
    assert_eq!(begins.await.unwrap().module.digest, sha256(guests::done()));
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_while_a_newer_one_compiles_is_not_handed_out() {
    let (_, host) = before_rubbish().await;
    let plugin = host.current("m.wasm", None).await.unwrap();
    slow(&host, "m.wasm", Ok(guests::abandon())).await;
    let mut asking = Box::pin(host.current("m.wasm", None));
    assert!(polled_once(&mut asking).await.is_none(), "the newest is waited for");
    for _ in 0..3 {
        host.tell("m.wasm", "h", &plugin, &Sign::Crashed("unreachable".to_owned())).await;
    }
    assert_eq!(asking.await.unwrap().module.digest, sha256(guests::done()));
}

#[tokio::test(start_paused = true)]
async fn going_back_goes_to_nothing_older_than_what_another_host_has_accepted() {
    let signed = Signed::new(Bucket::versioned());
    let (host, other) = (signed.host(), signed.host());
    signed.upload(&guests::done(), "3");
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::done())));
    works(&host).await;
    // The first host sees nothing of this one.
    signed.upload(&guests::abandon(), "5");
    assert_eq!(digest(&other, None).await, Ok(sha256(guests::abandon())));
    signed.upload(&guests::spin(), "6");
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::spin())));
    crashes(&host).await;
    assert_eq!(digest(&host, None).await, Ok(sha256(guests::abandon())));
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_judged_anew_when_hosts_know_better() {
    for bucket in [Bucket::versioned(), Bucket::unversioned()] {
        let signed = Signed::new(bucket);
        let host = signed.host();
        signed.upload(&guests::done(), "1");
        works(&host).await;
        signed.upload(&guests::spin(), "3");
        assert_eq!(digest(&host, None).await, Ok(sha256(guests::spin())));
        // Refused, for there is version 3.
        signed.upload(&guests::abandon(), "2");
        assert_eq!(digest(&host, None).await, Ok(sha256(guests::spin())));
        crashes(&host).await;
        digest(&host, None).await.unwrap();
        assert_eq!(digest(&host, None).await, Ok(sha256(guests::abandon())));
    }
}
