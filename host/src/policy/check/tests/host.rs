//! Everything but handlers: where things are kept, where events come from, how a host ends.

use super::*;

#[test]
fn recordings_have_a_place_as_modules_do() {
    assert_eq!(sound(&with("")).recordings, None);
    let section = "[recordings]\nstore = \"dir:/var/lib/hostler/recordings\"\n";
    let folder = Location::Dir("/var/lib/hostler/recordings".into());
    assert_eq!(sound(&format!("{section}{MODULES}{HANDLER}")).recordings, Some(folder));
    insta::assert_snapshot!(mistakes(&format!("[recordings]\n{MODULES}{HANDLER}")), @r#"1:1: store is missing: write store = "s3://BUCKET/PREFIX/" or "dir:PATH""#);
    insta::assert_snapshot!(mistakes(&format!("[recordings]\nstore = \"/x\"\nkeep = \"7d\"\n{MODULES}{HANDLER}")), @r#"
    2:9: "/x" is not a place: write "s3://BUCKET/PREFIX/" or "dir:PATH"
    3:1: unknown key "keep" (allowed here: store)
    "#);
}

#[test]
fn a_ledger_has_a_place_and_a_memory() {
    let of = |ledger: &str| format!("[ledger]\n{ledger}{MODULES}{HANDLER}");
    assert_eq!(sound(&with("")).ledger, None);
    let store = Location::S3 { bucket: "bucket".to_owned(), prefix: "hostler/".to_owned() };
    let ledger = sound(&of("store = \"s3://bucket/hostler/\"\n")).ledger;
    assert_eq!(ledger, Some(LedgerPolicy { store, keep: Duration::from_secs(7 * 86_400) }));
    assert_eq!(warnings(&of("store = \"dir:ledger\"\n")), "");
    let ledger = sound(&of("store = \"dir:ledger\"\nkeep = \"1h\"\n")).ledger.unwrap();
    assert_eq!((ledger.store, ledger.keep), (Location::Dir("ledger".into()), Duration::from_secs(3600)));
    insta::assert_snapshot!(mistakes(&of("keep = \"59m\"\n")), @r#"
    1:1: store is missing: write store = "s3://BUCKET/PREFIX/" or "dir:PATH"
    2:8: keep is 59m, but has to be from 1h to 365days
    "#);
    insta::assert_snapshot!(mistakes(&of("store = \"/var/lib\"\nkeep = \"366d\"\n")), @r#"
    2:9: "/var/lib" is not a place: write "s3://BUCKET/PREFIX/" or "dir:PATH"
    3:8: keep is 366days, but has to be from 1h to 365days
    "#);
}

#[test]
fn a_queue_is_named_by_its_url() {
    let of = |queue: &str| format!("[queue]\n{queue}\n{LEDGER}{MODULES}{HANDLER}");
    let url = "https://sqs.eu-central-1.amazonaws.com/123456789012/hostler";
    assert_eq!(sound(&with("")).queue, None);
    let queue = sound(&of(&format!("url = \"{url}\""))).queue;
    assert_eq!(queue, Some(QueuePolicy { url: url.to_owned(), dead_letter: None, concurrency: 16 }));
    let local = "http://127.0.0.1:4566/000000000000/hostler";
    let queue = sound(&of(&format!("url = \"{local}\"\ndead-letter = \"{local}-dead\"\nconcurrency = 1000"))).queue;
    let dead_letter = Some(format!("{local}-dead"));
    assert_eq!(queue, Some(QueuePolicy { url: local.to_owned(), dead_letter, concurrency: 1_000 }));

    insta::assert_snapshot!(mistakes(&of("concurrency = 0")), @r#"
    1:1: url is missing: write url = "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
    2:15: concurrency is 0, but has to be from 1 to 1000
    "#);
    insta::assert_snapshot!(mistakes(&of("url = \"hostler\"")), @r#"2:7: "hostler" is not the URL of a queue: write "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME", which is what SQS calls QueueUrl"#);
    insta::assert_snapshot!(mistakes(&of(&format!("url = \"{url}.fifo\""))), @r#"2:7: "https://sqs.eu-central-1.amazonaws.com/123456789012/hostler.fifo" is not the URL of a queue: it is a FIFO queue, in which one instance that waits holds up all behind it; use a standard queue"#);
    insta::assert_snapshot!(mistakes(&of("url = \"http://127.0.0.1.example.com/123456789012/hostler\"")), @r#"2:7: "http://127.0.0.1.example.com/123456789012/hostler" is not the URL of a queue: messages go over https, or over http to 127.0.0.1"#);
    insta::assert_snapshot!(mistakes(&of(&format!("url = \"{url}\"\ndead-letter = \"{url}\""))), @"3:15: dead-letter is the queue itself, so that what nobody can work on comes back: name another queue");
    for bad in [
        "https:///123456789012/q",
        "https://sqs/12345678901/q",
        "https://sqs/123456789012/",
        "https://sqs/123456789012/a/b",
        "https://user@sqs/123456789012/q",
        "arn:aws:sqs:eu-central-1:123456789012:q",
        "https://sqs/123456789012/q?x",
    ] {
        assert!(mistakes(&of(&format!("url = \"{bad}\""))).contains("is not the URL of a queue"), "{bad}");
    }
}

#[test]
fn an_agent_shuts_down_in_time_and_answers_nobody_from_elsewhere() {
    let of = |agent: &str| format!("[agent]\n{agent}\n{MODULES}{HANDLER}");
    let listen = |address: &str| address.parse::<std::net::SocketAddr>().unwrap();
    let usual = AgentPolicy { shutdown: Duration::from_secs(20), listen: listen("127.0.0.1:9808") };
    assert_eq!(sound(&with("")).agent, usual);
    assert_eq!(sound(&of("")).agent, usual);
    let agent = sound(&of("shutdown = \"15m\"\nlisten = \"[::1]:0\"")).agent;
    assert_eq!(agent, AgentPolicy { shutdown: Duration::from_secs(900), listen: listen("[::1]:0") });
    insta::assert_snapshot!(mistakes(&of("shutdown = \"0s\"\nlisten = \"0.0.0.0:9808\"")), @r#"
    2:12: shutdown is 0s, but has to be from 1s to 15m
    3:10: "0.0.0.0:9808" can be reached from elsewhere, and the agent answers whoever asks: write "127.0.0.1:9808", and put a proxy in front of it that knows who may ask
    "#);
    insta::assert_snapshot!(mistakes(&of("listen = \"localhost:9808\"")), @r#"2:10: "localhost:9808" is not an address with a port: write "127.0.0.1:PORT" or "[::1]:PORT""#);
    insta::assert_snapshot!(mistakes(&of("listen = 9808")), @"2:10: expected a string, found integer 9808");
}

#[test]
fn metadata_is_asked_every_few_seconds() {
    let of = |imds: &str| format!("[imds]\n{imds}\n{LEDGER}{MODULES}{HANDLER}");
    assert_eq!(sound(&with("")).imds, None);
    assert_eq!(sound(&of("")).imds, Some(ImdsPolicy { poll: Duration::from_secs(2) }));
    assert_eq!(sound(&of("poll = \"1m\"")).imds, Some(ImdsPolicy { poll: Duration::from_secs(60) }));
    insta::assert_snapshot!(mistakes(&of("poll = \"500ms\"")), @"2:8: poll is 500ms, but has to be from 1s to 1m");
}

#[test]
fn a_sweep_asks_a_ledger() {
    let of = |sections: &str| format!("{sections}\n{MODULES}{HANDLER}");
    let ledger = "[ledger]\nstore = \"dir:ledger\"";
    assert_eq!(sound(&of(ledger)).sweep, None);
    assert_eq!(sound(&of(&format!("[sweep]\n{ledger}"))).sweep, Some(SweepPolicy { every: Duration::from_secs(60) }));
    let often = sound(&of(&format!("[sweep]\nevery = \"10s\"\n{ledger}"))).sweep;
    assert_eq!(often, Some(SweepPolicy { every: Duration::from_secs(10) }));
    insta::assert_snapshot!(mistakes(&of("[sweep]\nevery = \"2h\"")), @r#"
    1:1: ledger is missing: write [ledger] with store = "s3://BUCKET/PREFIX/" or "dir:PATH" below it, since a sweep asks the ledger which instances are being worked on
    2:9: every is 2h, but has to be from 10s to 1h
    "#);
    // A ledger that is there and wrong is not also missing.
    insta::assert_snapshot!(mistakes(&of("ledger = \"dir:ledger\"\n[sweep]")), @r#"1:10: expected a table, found string "dir:ledger""#);
}

#[test]
fn what_outlives_a_host_needs_a_ledger() {
    let queue = "[queue]\nurl = \"https://sqs.eu-central-1.amazonaws.com/123456789012/hostler\"\n";
    insta::assert_snapshot!(mistakes(&format!("{queue}{MODULES}{HANDLER}")), @r#"1:1: ledger is missing: write [ledger] with store = "s3://BUCKET/PREFIX/" or "dir:PATH" below it, since a message that comes again finds in the ledger what was done for it"#);
    insta::assert_snapshot!(mistakes(&format!("[imds]\n{MODULES}{HANDLER}")), @r#"1:1: ledger is missing: write [ledger] with store = "s3://BUCKET/PREFIX/" or "dir:PATH" below it, since an agent that starts again finds in the ledger what was under way on its instance"#);
    // Whatever needs it, it is missing once.
    let all = format!("{queue}[imds]\n[sweep]\n{MODULES}{HANDLER}");
    insta::assert_snapshot!(mistakes(&all), @r#"1:1: ledger is missing: write [ledger] with store = "s3://BUCKET/PREFIX/" or "dir:PATH" below it, since a sweep asks the ledger which instances are being worked on"#);
}

#[test]
fn nodes_with_ledgers_of_their_own_do_not_sweep_for_all() {
    let of = |sections: &str, store: &str| format!("{sections}[ledger]\nstore = \"{store}\"\n{MODULES}{HANDLER}");
    insta::assert_snapshot!(mistakes(&of("[imds]\n[sweep]\n", "dir:ledger")), @r#"2:1: [sweep] beside [imds], with a ledger in a folder: each node would take every instance that waits into a ledger of its own; write store = "s3://BUCKET/PREFIX/" in [ledger], or sweep from one host that has no [imds]"#);
    assert!(sound(&of("[imds]\n[sweep]\n", "s3://bucket/hostler/")).sweep.is_some());
    assert!(sound(&of("[sweep]\n", "dir:ledger")).sweep.is_some());
    assert!(sound(&of("[imds]\n", "dir:ledger")).imds.is_some());
}
