//! The invariants of the code map that the compiler does not hold by itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

use std::fs;
use std::path::{Path, PathBuf};

/// Every source file of the host, with its path below `src/`.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    let relative = |path: PathBuf| (path.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(&path).unwrap());
    found.into_iter().map(relative).collect()
}

/// Fails with every place where one of `words` stands in a file that `within` picks, comments left aside.
fn assert_absent(words: &[&str], within: impl Fn(&Path) -> bool) {
    let sources = sources();
    let picked: Vec<_> = sources.iter().filter(|(path, _)| within(path)).collect();
    assert!(!picked.is_empty(), "no file was looked at");
    let mut found = Vec::new();
    for (path, text) in picked {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(word) = words.iter().find(|word| code.contains(**word)) {
                found.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn below(path: &Path, modules: &[&str]) -> bool {
    modules.iter().any(|module| path.starts_with(module) || path == Path::new(&format!("{module}.rs")))
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"))
}

#[test]
fn event_policy_and_outcome_are_pure() {
    let io = ["aws_", "wasmtime", "std::fs", "tokio", "std::net::Tcp", "std::process", "std::env::"];
    assert_absent(&io, |path| below(path, &["event", "policy", "outcome", "ports", "reading"]) && !is_test(path));
}

#[test]
fn only_one_file_binds_the_contract() {
    assert_absent(&["bindgen!"], |path| path != Path::new("bindings.rs"));
}

#[test]
fn only_main_ends_the_process() {
    assert_absent(&["process::exit", "process::abort"], |path| path != Path::new("main.rs"));
}

#[test]
fn only_the_policy_grants() {
    assert_absent(&["Granted("], |path| !below(path, &["policy"]));
}

#[test]
fn only_a_diagnosis_looks_without_a_grant() {
    assert_absent(&["Onlooker"], |path| !below(path, &["diagnosis", "policy"]) && !is_test(path));
}

#[test]
fn handlers_cannot_reach_lifecycle_actions() {
    let lifecycle = ["crate::lifecycle", "CompleteLifecycle", "complete_lifecycle"];
    assert_absent(&lifecycle, |path| below(path, &["capabilities", "sandbox"]));
}

#[test]
fn what_is_written_down_does_not_depend_on_who_works() {
    assert_absent(&["crate::dispatch", "crate::sweep", "crate::doors"], |path| below(path, &["ledger", "lifecycle"]));
}
