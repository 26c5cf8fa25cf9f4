//! Secrets are planted, and everything that a function writes and answers is searched for them.

use std::fs;

use hostler_tests::{Canary, Function, Node, assert_in_none, files, guest};

use crate::scene::Scene;

const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMIthatSignsForTheRoleOfTheFunction";
const SESSION_TOKEN: &str = "IQoJb3JpZ2luX2VjThatComesWithTheKeyOfTheFunction";

#[test]
fn secrets_are_in_nothing_that_a_function_writes_or_answers_though_its_plugin_crashes() {
    let mut scene = Scene::new();
    let stack = scene.fleet.stack;
    let folder = stack.folder(&stack.unique("recordings"));
    scene.upload(guest("probe"));
    for ending in ["", "panics = \"in the end\"\n"] {
        let node = Node::start(stack, &scene.instance.id);
        let private = fs::read_to_string(node.key()).expect("the key can be read");
        let public = fs::read_to_string(node.key().with_extension("pub")).expect("the key can be read");
        let marker = node.marker(if ending.is_empty() { "ends" } else { "crashes" });
        let policy = scene.policy(&format!(
            "[handler.finish]\nmax-attempts = 1\n[handler.grants]\n{}\n[handler.config]\ncommand = '[\"touch\", \"{}\"]'\n{ending}\
             [recordings]\nstore = \"dir:{}\"\n",
            node.grant(r#"[["touch", "*"]]"#).replace(&format!("file:{}", node.key().display()), "env:NUPROJ_KEY"),
            marker.display(),
            folder.display(),
        ));
        let environment = [
            ("HOSTLER_LOG", "trace".to_owned()),
            ("LOG_SENSITIVE_BODIES", "true".to_owned()),
            ("NUPROJ_KEY", private.clone()),
            // As Lambda gives them.
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
            ("AWS_SESSION_TOKEN", SESSION_TOKEN.to_owned()),
        ];
        let function = Function::deploy(stack, &policy, &environment);
        let event = scene.event();
        let invocation = function.invoke(&event);
        assert!(marker.exists(), "the command did not run: {}", invocation.payload);
        // The last line about the event: what was written before has come by then.
        function.lines("of its end", |line| line["message"] == "abandoned" || line["message"] == "gave up");

        let mut written = files(&folder);
        assert!(!written.is_empty(), "nothing was recorded");
        written.push(("the log".to_owned(), function.written().join("\n").into_bytes()));
        written.push(("the answer".to_owned(), invocation.payload.to_string().into_bytes()));
        let mut canaries = Canary::of_key("the key that logs in", &private, &public);
        canaries.push(Canary::new("the role's secret access key", SECRET_ACCESS_KEY.as_bytes()));
        canaries.push(Canary::new("the role's session token", SESSION_TOKEN.as_bytes()));
        assert_in_none(&canaries, &written);
        scene.next_event();
    }
}
