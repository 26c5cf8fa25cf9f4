//! Plugins are uploaded while events stream in: good ones, and all that can be wrong with one.

use std::collections::{BTreeMap, BTreeSet};

use hostler_tests::{Agent, Node, Queue, Signer, events, guest, policy, poll, renamed};
use serde_json::{Value, json};

use crate::scene::{HOOK, SOON, Scene};

/// What the plugin of every version answers, but for its number.
const ANSWER: &str = "nothing was asked";
const NAME: &str = "probe.wasm";

/// What the agent says of a module that it does not take.
const NOT_TAKEN: &str = "module not taken: the last good one goes on";
const GIVEN_UP: &str = "a new plugin is given up: the one before it takes its place";

/// A bucket to which somebody uploads while events stream in.
struct Fire<'a> {
    scene: &'a Scene,
    queue: Queue<'a>,
    signer: Signer,
    stranger: Signer,
    sent: u32,
}

impl<'a> Fire<'a> {
    fn new(scene: &'a Scene) -> Self {
        let folder = scene.folder();
        let (signer, stranger) = (Signer::new(&folder.join("signer")), Signer::new(&folder.join("stranger")));
        scene.fleet.stack.keep_versions(&scene.fleet.bucket);
        Self { scene, queue: Queue::create(scene.fleet.stack, "events"), signer, stranger, sent: 0 }
    }

    /// A policy that takes what the signer has signed, and asks S3 before every event.
    fn policy(&self, handlers: &str) -> String {
        let trust = format!("refresh = \"0s\"\nmax-size = \"1MiB\"\n{}\n", self.signer.trusted);
        self.scene.policy_of_queue(&self.queue.url, handlers).replace("allow-unsigned = true\n", &trust)
    }

    fn put(&self, module: &[u8], minisig: &str) {
        let stack = self.scene.fleet.stack;
        stack.put_signed(&self.scene.fleet.bucket, &format!("plugins/{NAME}"), module, minisig);
    }

    fn upload(&self, module: &[u8], version: &str) {
        self.put(module, &self.signer.sign(module, NAME, version));
    }

    /// Sends so many terminations, each of an instance of its own.
    fn send(&mut self, count: u32) {
        let fleet = &self.scene.fleet;
        let bodies = (0..count).map(|_| {
            self.sent += 1;
            let instance = format!("i-{:017x}", self.sent);
            let token = fleet.hold_back(HOOK, &instance);
            events::termination(&fleet.group, HOOK, &instance, &token).to_string()
        });
        self.queue.send(&bodies.collect::<Vec<_>>());
    }

    /// Sends terminations until the agent has said `message` of something with this text in its field, and ten at least.
    fn stream_until(&mut self, agent: &Agent, message: &str, field: &str, text: &str) {
        let said = || {
            let lines = agent.said(message);
            lines.iter().any(|line| line[field].as_str().is_some_and(|said| said.contains(text)))
        };
        let mut rounds = 0;
        let heard = poll(SOON, || {
            if rounds < 3 || self.scene.completions().len() >= self.sent as usize {
                rounds += 1;
                self.send(4);
            }
            rounds >= 3 && said()
        });
        assert!(heard, "the agent does not say {message:?} of {text:?}: {:#?}", agent.log());
    }

    fn wait_until_all_are_completed(&self, agent: &Agent) {
        let all = poll(SOON, || self.scene.completions().len() >= self.sent as usize);
        assert!(all, "{} of {}: {:#?}", self.scene.completions().len(), self.sent, agent.log());
        assert!(self.scene.completions().iter().all(|(result, accepted)| result == "ABANDON" && *accepted));
        assert_eq!(self.scene.completions().len(), self.sent as usize, "an action was completed twice");
        assert!(poll(SOON, || self.queue.is_empty()), "a message is still there: {:#?}", agent.log());
    }
}

/// The plugin of a version: what it answers says which.
fn version(number: u32) -> Vec<u8> {
    assert!(number < 10);
    renamed(&guest("probe"), ANSWER, &format!("version {number} says so"))
}

/// The answers of each digest, of all attempts that came to an outcome.
fn answers(log: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut answers: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for line in log.iter().filter(|line| line["message"] == "attempt" && line["outcome"] == "abandon") {
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        answers.entry(text("module")).or_default().insert(text("note"));
    }
    answers
}

#[test]
fn whatever_is_uploaded_while_events_stream_in_none_is_lost_and_the_last_good_plugin_works_on() {
    let scene = Scene::new();
    let mut fire = Fire::new(&scene);
    fire.upload(&version(1), "1");
    // What would be a setting of the plugin that crashes is none of the others'.
    let handler = scene.handler("probe", "[handler.finish]\nmax-attempts = 9\n[handler.config]\ntrick = \"panic\"");
    let agent = scene.start("agent", &fire.policy(&handler), []);
    fire.stream_until(&agent, "attempt", "note", "version 1 says so");
    fire.upload(&version(2), "2");
    fire.stream_until(&agent, "attempt", "note", "version 2 says so");

    let over_reaching = renamed(&guest("probe"), "hostler:handler/config@", "hostler:handler/espher@");
    fire.upload(b"#!/bin/sh\nreboot", "3.1");
    fire.stream_until(&agent, NOT_TAKEN, "error", "it is not WebAssembly");
    fire.put(&version(3), "");
    fire.stream_until(&agent, NOT_TAKEN, "error", "none of minisign's");
    scene.fleet.upload("probe", version(4));
    fire.stream_until(&agent, NOT_TAKEN, "error", "is not signed");
    fire.put(&version(5), &fire.stranger.sign(&version(5), NAME, "3.2"));
    fire.stream_until(&agent, NOT_TAKEN, "error", "is signed by key");
    fire.upload(&over_reaching, "3.3");
    fire.stream_until(&agent, NOT_TAKEN, "error", "imports hostler:handler/espher");
    fire.upload(&vec![0; 2 << 20], "3.4");
    fire.stream_until(&agent, NOT_TAKEN, "error", "max-size in [modules] is 1.0 MiB");
    fire.upload(&version(6), "1.5");
    fire.stream_until(&agent, NOT_TAKEN, "error", "is version 1.5, and version 2 was accepted before");

    fire.upload(&version(7), "7");
    fire.stream_until(&agent, "attempt", "note", "version 7 says so");
    fire.upload(&guest("hostile"), "8");
    fire.stream_until(&agent, GIVEN_UP, "why", "3 attempts of handler \"terminating\" in a row crashed");
    fire.send(10);
    fire.wait_until_all_are_completed(&agent);

    let not_taken = agent.said(NOT_TAKEN);
    for (why, refusals) in [
        "it is not WebAssembly",
        "none of minisign's",
        "is not signed",
        "is signed by key",
        "imports hostler:handler/espher",
        "max-size in [modules] is 1.0 MiB",
        "is version 1.5, and version 2 was accepted before",
    ]
    .into_iter()
    .zip(1..)
    {
        // Others say that the bucket was slow.
        let says = |line: &&Value| line["error"].as_str().is_some_and(|error| error.contains(why));
        let said: Vec<_> = not_taken.iter().filter(says).map(|line| line["refusals"].as_i64()).collect();
        assert_eq!(said, [Some(refusals)], "{why}, once");
    }
    assert_eq!(agent.said(GIVEN_UP).len(), 1);
    let (status, log) = agent.terminate();
    assert_eq!(status, Some(0));
    let answers = answers(&log);
    let said: BTreeSet<_> = answers.values().flatten().map(String::as_str).collect();
    assert_eq!(said, BTreeSet::from(["version 1 says so", "version 2 says so", "version 7 says so"]));
    assert!(answers.values().all(|said| said.len() == 1), "half of one and half of another: {answers:?}");

    // A process that starts now finds a newest version that was given up, and before it those that were refused.
    let next = scene.start("next", &fire.policy(&handler), []);
    fire.send(5);
    fire.wait_until_all_are_completed(&next);
    assert_eq!(next.said("the newest version is not taken: an earlier one is used").len(), 1, "{:#?}", next.log());
    let (status, log) = next.terminate();
    let said: Vec<_> = self::answers(&log).into_values().flatten().collect();
    assert_eq!((status, said), (Some(0), vec!["version 7 says so".to_owned()]));
}

#[test]
fn an_attempt_that_is_under_way_ends_on_the_plugin_that_it_began_with() {
    let scene = Scene::new();
    let node = Node::start(scene.fleet.stack, &scene.instance.id);
    let fire = Fire::new(&scene);
    fire.upload(&version(1), "1");
    let [begun, go] = ["begun", "go"].map(|name| node.marker(name));
    let wait = format!("touch {}; while ! [ -e {} ]; do sleep 0.1; done", begun.display(), go.display());
    let command = json!(["sh", "-c", wait]).to_string();
    let grant = node.grant(r#"[["sh", "-c", "*"]]"#);
    let held = scene.handler("probe", &format!("[handler.grants]\n{grant}\n[handler.config]\ncommand = '{command}'\n"));
    let group = scene.fleet.stack.unique("nuproj-other");
    let other = [policy::handler("other", "probe"), policy::terminations(&group, HOOK)].concat();
    let agent = scene.start("agent", &fire.policy(&(held + &other)), []);
    fire.queue.send(&[scene.termination().to_string()]);
    assert!(poll(SOON, || begun.exists()), "the command does not begin: {:#?}", agent.log());

    fire.upload(&version(2), "2");
    let token = scene.fleet.stack.autoscaling.hold_back(&group, HOOK, "i-0000000000000beef");
    fire.queue.send(&[events::termination(&group, HOOK, "i-0000000000000beef", &token).to_string()]);
    let after = agent.hear("attempt");
    assert_eq!(after["note"], "version 2 says so");
    std::fs::write(&go, "").expect("a file can be made");
    scene.wait_until_completed(&agent, "ABANDON");
    let loaded: Vec<_> = agent.said("module loaded").iter().map(|line| line["digest"].clone()).collect();
    let attempts = agent.said("attempt");
    let held = attempts.iter().find(|line| line["handler"] == "terminating").expect("it has come to its outcome");
    assert_eq!((loaded.len(), &held["module"], &after["module"]), (2, &loaded[0], &loaded[1]));
    assert_eq!(agent.terminate().0, Some(0));
}
