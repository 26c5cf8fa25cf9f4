//! The documents in `docs/`, where they say what the code says too.
//!
//! `HOSTLER_UPDATE_DOCS=1` writes the parts that are made from the code anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hostler::commands::new;
use hostler::sim::World;
use hostler::{harness, reference};
use serde_json::Value;
use tempfile::TempDir;

const BEGIN: &str =
    "<!-- The index is made from the code: HOSTLER_UPDATE_DOCS=1 cargo test -p hostler --test docs -->\n";
const END: &str = "<!-- The end of the index. -->\n";

/// A command in a document, with what it prints below it.
const COMMAND: &str = "```console\n$ hostler ";

fn path(document: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(document)
}

fn text(document: &str) -> String {
    fs::read_to_string(path(document)).unwrap()
}

/// Compares a document with what it has to be, or writes it.
#[track_caller]
fn is(document: &str, current: &str) {
    if std::env::var_os("HOSTLER_UPDATE_DOCS").is_some() {
        fs::write(path(document), current).unwrap();
        return;
    }
    assert!(
        text(document) == current,
        "host/docs/{document} is old: run HOSTLER_UPDATE_DOCS=1 cargo test -p hostler --test docs"
    );
}

/// A document with the index that `schema` gives.
#[track_caller]
fn with_index(document: &str, schema: &Value) -> String {
    let text = text(document);
    let (before, rest) = text.split_once(BEGIN).unwrap_or_else(|| panic!("{document} has no line {BEGIN}"));
    let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("{document} has no line {END}"));
    format!("{before}{BEGIN}\n{}\n{END}{after}", reference::index(schema))
}

/// A document with what its commands print now. Where only real time is different, what was there stays.
fn with_output(text: &str, run: impl Fn(&[&str]) -> String) -> String {
    let mut parts = text.split(COMMAND);
    let mut current = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (block, after) = part.split_once("```").unwrap();
        let (arguments, shown) = block.split_once('\n').unwrap();
        let printed = run(&arguments.split(' ').collect::<Vec<_>>());
        let shown = if without_real_times(shown) == without_real_times(&printed) { shown } else { &printed };
        current += &format!("{COMMAND}{arguments}\n{shown}```{after}");
    }
    current
}

/// What was printed without times such as `18.8ms` and `2.43s`, and without the room they take.
fn without_real_times(printed: &str) -> Vec<Vec<&str>> {
    let is_real_time = |word: &&str| {
        let number = word.trim_end_matches(',').trim_end_matches('s').trim_end_matches('m');
        number.len() < word.len() && number.contains('.') && number.parse::<f64>().is_ok()
    };
    printed.lines().map(|line| line.split_whitespace().filter(|word| !is_real_time(word)).collect()).collect()
}

/// The blocks of TOML in a document.
fn examples(document: &str) -> Vec<String> {
    let text = text(document);
    let blocks = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned());
    blocks.collect()
}

/// The plugin that the cases in the documents are about, as `hostler new` makes it, with these cases.
struct Plugin {
    _folder: TempDir,
    root: PathBuf,
    /// The files of the cases.
    cases: Vec<String>,
}

impl Plugin {
    fn with(examples: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (name, lang) = ("drain-nicely".to_owned(), new::Language::Rust);
        let root = new::Arguments { name, lang, path: folder.path().to_owned() }.make().unwrap();
        let mut cases = Vec::new();
        for (index, example) in examples.iter().enumerate() {
            let named = example.lines().next().and_then(|line| line.strip_prefix("# cases/"));
            let (name, case) = match named {
                Some(name) => (name.to_owned(), example.clone()),
                None => (format!("part-{index}.toml"), completed(example)),
            };
            fs::write(root.join("cases").join(&name), case).unwrap();
            cases.push(format!("cases/{name}"));
        }
        Self { _folder: folder, root, cases }
    }

    /// Runs the command in the plugin's folder, and returns what it prints. What is compiled is kept for the next time.
    fn hostler(&self, arguments: &[&str]) -> String {
        let mut hostler = Command::new(env!("CARGO_BIN_EXE_hostler"));
        hostler.current_dir(&self.root).args(arguments);
        hostler.env("CARGO_NET_OFFLINE", "true");
        hostler.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("docs"));
        String::from_utf8(hostler.output().unwrap().stdout).unwrap()
    }
}

/// A part of a case, with what every case begins with.
fn completed(part: &str) -> String {
    if part.starts_with("policy = ") {
        return part.to_owned();
    }
    let event = if part.contains("[event]") { "" } else { "\n[event]\nkind = \"instance-terminating\"\n" };
    let expect = if part.contains("[expect]") { "" } else { "\n[expect]\noutcome = \"done\"\n" };
    format!("policy = \"../hostler.toml\"\nhandler = \"drain-nicely\"\n{part}{event}{expect}")
}

#[test]
fn the_document_of_worlds_is_current() {
    is("world.md", &with_index("world.md", &World::schema()));
}

#[test]
fn the_document_of_cases_is_current_and_its_cases_hold() {
    let examples = [examples("cases.md"), examples("../../README.md")].concat();
    let plugin = Plugin::with(&examples);
    let current = with_output(&with_index("cases.md", &harness::schema()), |arguments| plugin.hostler(arguments));
    is("cases.md", &current);

    // What becomes of the others is shown.
    let others =
        plugin.cases.iter().map(String::as_str).filter(|case| !current.contains(&format!("hostler test {case}")));
    let arguments: Vec<_> = ["test"].into_iter().chain(others).collect();
    assert!(arguments.len() > 1);
    let printed = plugin.hostler(&arguments);
    let summary = format!("{0} cases: {0} passed in ", arguments.len() - 1);
    assert!(printed.contains(&summary), "{printed}");
}

#[test]
fn the_schemas_for_editors_are_current() {
    is("world.schema.json", &format!("{:#}\n", World::schema()));
    is("case.schema.json", &format!("{:#}\n", harness::schema()));
}

#[test]
fn every_key_says_what_it_means() {
    for schema in [World::schema(), harness::schema()] {
        let index = reference::index(&schema);
        let silent: Vec<_> = index.lines().filter(|row| row.ends_with("|  |")).collect();
        assert!(silent.is_empty(), "{}", silent.join("\n"));
    }
}

#[test]
fn the_worlds_in_the_documents_are_worlds() {
    let examples = examples("world.md");
    assert!(!examples.is_empty());
    for example in examples {
        World::parse("docs/world.md", &example).unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}

/// The rows of all tables of promises in a document: each promise, and the tests that are named for it.
fn promises(text: &str) -> Vec<(String, Vec<String>)> {
    let mut promises = Vec::new();
    let mut within = false;
    for line in text.lines() {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        match cells[..] {
            ["Promise", "Tests"] => within = true,
            [promise, tests] if within && line.starts_with('|') && !promise.starts_with("---") => {
                let tests =
                    tests.split(", ").filter(|test| !test.is_empty()).map(|test| test.trim_matches('`').to_owned());
                promises.push((promise.to_owned(), tests.collect()));
            }
            _ => within &= line.starts_with('|'),
        }
    }
    promises
}

/// The names of all tests in the Rust files below a folder.
fn tests(folder: &Path, into: &mut HashSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            tests(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                if let Some((name, _)) = line.split_once("fn ").and_then(|(_, rest)| rest.split_once('(')) {
                    into.extend(std::mem::take(&mut is_test).then(|| name.to_owned()));
                }
            }
        }
    }
}

#[test]
fn every_promise_names_tests_that_there_are() {
    let promises = promises(&text("security.md"));
    assert!(promises.len() > 30, "only {} promises were found", promises.len());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut there = HashSet::new();
    for folder in ["host/src", "host/tests", "tests/src", "tests/tests"] {
        tests(&root.join(folder), &mut there);
    }
    for (promise, tests) in promises {
        assert!(!tests.is_empty(), "security.md promises {promise:?}, and names no test that holds it");
        for test in tests {
            assert!(there.contains(&test), "security.md promises {promise:?}, and there is no test {test:?}");
        }
    }
}
