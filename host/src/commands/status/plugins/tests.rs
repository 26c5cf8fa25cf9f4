use super::super::HELP;
use super::*;
use crate::ledger::MemoryStore;
use crate::ledger::tests::scripted::Scripted;
use crate::modules::signature::{KeyId, Signed};
use crate::modules::signing::{NewKeys, SecretKey};
use crate::modules::{Origin, Sign, put_record};
use crate::testing::policy;

/// What `--plugins` says of a policy with three handlers and a record: of each kind of digest one.
async fn plugins(json: bool) -> String {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let [good, leaked] = [(), ()].map(|()| NewKeys::make(None).unwrap());
    let handler =
        |name: &str, rest: &str| format!("[[handler]]\nname = \"{name}\"\n{rest}\nevent.source = [\"aws.ec2\"]\n");
    let handlers = [
        handler("drain", "module = \"drain.wasm\""),
        handler("spot", &format!("module = \"drain.wasm\"\nsha256 = \"{}\"", "b".repeat(64))),
        handler("other", "module = \"other.wasm\""),
    ];
    let modules = format!("[modules]\nsource = \"s3://plugins/team/\"\ntrusted-keys = [{:?}]\n", good.trusted);
    let policy = Policy::parse("hostler.toml", &format!("{modules}{}", handlers.concat())).unwrap();
    let [good, leaked] = [good, leaked].map(|keys| SecretKey::read(&keys.secret, None).unwrap().id());
    let origin = |digit: &str, signed: Option<(KeyId, &str)>| {
        let signed = signed.map(|(by, version)| Signed { by, version: version.parse().unwrap() });
        Origin { signed, accepted: true, ..Origin::built_here(&digit.repeat(64)) }
    };
    let mut record = Record::default();
    record.note(&origin("a", Some((good, "1.0"))), "drain", &Sign::Ended, Some(3));
    record.accept(&Origin { accepted: false, ..origin("b", None) });
    record.accept(&origin("c", Some((leaked, "9"))));
    record.accept(&origin("d", Some((good, "1.1"))));
    for (digit, version, crashes) in [("d", "1.1", 2), ("e", "1.2", 3)] {
        for _ in 0..crashes {
            let crashed = Sign::Crashed("unreachable\u{1b}[2J".into());
            record.note(&origin(digit, Some((good, version))), "drain", &crashed, Some(3));
        }
    }
    put_record(&store, &policy.modules.source, "drain.wasm", &record).await;
    let mut out = Vec::new();
    let plugins = Plugins::read(&policy, &store).await;
    assert_eq!(plugins.tell(&mut out, json).unwrap(), READ);
    if !json {
        plugins.warn(&mut out).unwrap();
    }
    String::from_utf8(out).unwrap().replace(&good.to_string(), "GOOD").replace(&leaked.to_string(), "LEAKED")
}

#[tokio::test(start_paused = true)]
async fn of_each_plugin_it_is_told_what_is_accepted_on_trial_and_given_up() {
    insta::assert_snapshot!(plugins(false).await, @r#"
    s3://plugins/team/drain.wasm, for 2 handlers: drain, spot
      spot is pinned to sha256 bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
      eeeeeeeeeeee version 1.2 by key GOOD; given up: 3 attempts of handler "drain" in a row
        crashed; the last: unreachable\u{1b}[2J
      dddddddddddd version 1.1 by key GOOD, the newest; on trial for drain; crashes in a row
        for drain: 2
      cccccccccccc version 9 by key LEAKED, which is not trusted
      bbbbbbbbbbbb a handler was pinned to it
      aaaaaaaaaaaa version 1.0 by key GOOD; has worked for drain

    s3://plugins/team/other.wasm, for 1 handler: other
      hosts have told nothing of it yet: they do when it is accepted, ends an event or crashes

    the last new version of drain.wasm was given up: `hostler status --plugins` says why
    "#);
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_is_no_news_once_there_is_something_newer() {
    let keys = NewKeys::make(None).unwrap();
    let text = format!(
        "[modules]\nsource = \"dir:dist\"\ntrusted-keys = [{:?}]\n[[handler]]\nname = \"h\"\nmodule = \"m.wasm\"\n\
         event.source = [\"aws.ec2\"]\n",
        keys.trusted
    );
    let (policy, store) = (Policy::parse("hostler.toml", &text).unwrap(), Arc::new(MemoryStore::default()));
    let (by, store): (_, Arc<dyn Store>) = (SecretKey::read(&keys.secret, None).unwrap().id(), store);
    let origin = |digest: &str, version: &str| {
        let signed = Some(Signed { by, version: version.parse().unwrap() });
        Origin { signed, accepted: true, ..Origin::built_here(digest) }
    };
    let mut record = Record::default();
    record.note(&origin("good", "1"), "h", &Sign::Ended, Some(1));
    record.note(&origin("bad", "2"), "h", &Sign::Crashed("unreachable".into()), Some(1));
    let mut said = Vec::new();
    for resigned in ["1", "3"] {
        record.accept(&origin("good", resigned));
        put_record(&store, &policy.modules.source, "m.wasm", &record).await;
        let mut out = Vec::new();
        Plugins::read(&policy, &store).await.warn(&mut out).unwrap();
        said.push(!out.is_empty());
    }
    assert_eq!(said, [true, false]);
}

#[tokio::test(start_paused = true)]
async fn what_is_told_of_plugins_as_json_has_every_key_that_the_help_tells() {
    let text = plugins(true).await;
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut objects = vec![&lines[0], &lines[0]["newest"]];
    objects.extend(lines[0]["digests"].as_array().unwrap());
    for key in objects.into_iter().flat_map(|object| object.as_object().unwrap().keys()) {
        assert!(HELP.contains(&format!("`{key}`")), "{key}");
    }
    assert_eq!(lines[0]["newest"], serde_json::json!({ "version": "1.1", "digest": "d".repeat(64) }));
    assert_eq!((&lines[1]["module"], &lines[1]["newest"]), (&"other.wasm".into(), &serde_json::Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_a_line_and_hides_nothing_else() {
    let (store, policy) = (Arc::new(Scripted::default()), policy(""));
    store.unreadable.lock().unwrap().push_back(true);
    let (mut out, store): (_, Arc<dyn Store>) = (Vec::new(), store);
    let plugins = Plugins::read(&policy, &store).await;
    assert_eq!(plugins.tell(&mut out, false).unwrap(), PARTLY);
    plugins.tell(&mut out, true).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
    unused/module.wasm, for 1 handler: under-test
      what hosts know of it cannot be read: the ledger cannot be read,
        s3://bucket/modules/module-wasm-5c6d91c8cb8c69b7.json: no answer
    {"error":"the ledger cannot be read, s3://bucket/modules/module-wasm-5c6d91c8cb8c69b7.json: no answer","module":"module.wasm"}
    "#);
}
