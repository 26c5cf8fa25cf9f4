//! The documents in `docs/`, where they say what the code says too.
//!
//! `HOSTLER_UPDATE_DOCS=1` writes the parts that are made from the code anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

use std::fs;
use std::path::Path;

use hostler::reference;
use hostler::sim::World;
use serde_json::Value;

const BEGIN: &str =
    "<!-- The index is made from the code: HOSTLER_UPDATE_DOCS=1 cargo test -p hostler --test docs -->\n";
const END: &str = "<!-- The end of the index. -->\n";

/// Compares the index in a document with the one that `schema` gives, or writes it there.
#[track_caller]
fn has_index_of(document: &str, schema: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(document);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap_or_else(|| panic!("{document} has no line {BEGIN}"));
    let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("{document} has no line {END}"));
    let current = format!("{before}{BEGIN}\n{}\n{END}{after}", reference::index(schema));
    if std::env::var_os("HOSTLER_UPDATE_DOCS").is_some() {
        fs::write(&path, &current).unwrap();
    } else {
        assert!(
            text == current,
            "host/docs/{document} is old: run HOSTLER_UPDATE_DOCS=1 cargo test -p hostler --test docs"
        );
    }
}

/// The blocks of TOML in a document.
fn examples(document: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(document);
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned());
    blocks.collect()
}

#[test]
fn the_index_of_a_world_is_current() {
    has_index_of("world.md", &World::schema());
}

#[test]
fn every_key_of_a_world_says_what_it_means() {
    let index = reference::index(&World::schema());
    let silent: Vec<_> = index.lines().filter(|row| row.ends_with("|  |")).collect();
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn the_worlds_in_the_documents_are_worlds() {
    let examples = examples("world.md");
    assert!(!examples.is_empty());
    for example in examples {
        World::parse("docs/world.md", &example).unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}
