//! `hostler build` on whole packages, with the real cargo. Needs the guest toolchain, as the plugins themselves do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hostler::commands::build::Arguments;
use hostler::commands::new;

/// A plugin outside any workspace of ours, with the SDK unpacked beside its source.
fn plugin(lib: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let example = folder.path().join("example");
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/sdk");
    for part in ["src", "wit"] {
        copy(&sdk.join(part), &example.join("sdk").join(part));
    }
    fs::copy(sdk.join("Cargo.toml"), example.join("sdk/Cargo.toml")).unwrap();
    let manifest = "[package]\nname = \"example\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n\n\
                    [dependencies]\nhostler-plugin = { path = \"sdk\" }\n\n[workspace]\n";
    fs::create_dir_all(example.join("src")).unwrap();
    fs::write(example.join("Cargo.toml"), manifest).unwrap();
    fs::write(example.join("build.rs"), BUILD_SCRIPT).unwrap();
    fs::write(example.join("src/lib.rs"), lib).unwrap();
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

fn build(folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join("example");
    Arguments { paths: vec![path.clone()], out: None }.build()?;
    Ok(path.join("dist/example.wasm"))
}

/// Writes code that can panic, in a file whose path is of this machine.
const BUILD_SCRIPT: &str = r#"
fn main() {
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
    std::fs::write(out.join("generated.rs"), "fn wait(attempt: usize) -> u64 { [5, 10, 30][attempt] }").unwrap();
}
"#;

const HANDLER: &str = r#"
use hostler_plugin::prelude::*;

include!(concat!(env!("OUT_DIR"), "/generated.rs"));

fn handle(event: &Event) -> Result<Outcome> {
    ecs::drain(event.instance()?)?;
    Ok(Outcome::again(Duration::from_secs(wait(event.attempt as usize)), "draining"))
}

hostler_plugin::export!(handle);
"#;

#[test]
fn the_same_source_gives_the_same_component_wherever_it_is() {
    let (one, other) = (plugin(HANDLER), plugin(HANDLER));
    // And wherever cargo builds it.
    fs::create_dir(other.path().join(".cargo")).unwrap();
    fs::write(other.path().join(".cargo/config.toml"), "[build]\nbuild-dir = \"elsewhere\"\n").unwrap();
    let bytes = |folder: &tempfile::TempDir| fs::read(build(folder.path()).unwrap()).unwrap();
    let (one_bytes, other_bytes) = (bytes(&one), bytes(&other));
    assert!(other.path().join("elsewhere").exists(), "it was not built elsewhere");
    for (bytes, folder) in [(&one_bytes, &one), (&other_bytes, &other)] {
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds(folder.path().to_str().unwrap()), "the component holds a path of this machine");
        assert!(holds("generated.rs"), "the component does not say where it panics");
    }
    assert!(one_bytes == other_bytes, "two builds of the same source differ");
}

#[test]
fn what_is_no_plugin_is_not_built() {
    let message = |lib: &str| format!("{:#}", build(plugin(lib).path()).unwrap_err());
    assert_eq!(message("fn broken( {"), "example does not compile: cargo says why above");
    assert_eq!(
        message("pub fn idle() {}"),
        "example: not a Hostler plugin: it does not export `handle`; end its lib.rs with hostler_plugin::export!(handle)"
    );
}

#[test]
fn a_report_shows_why_a_plugin_does_not_compile() {
    let folder = tempfile::tempdir().unwrap();
    let (name, lang) = ("drain-nicely".to_owned(), new::Language::Rust);
    let plugin = new::Arguments { name, lang, path: folder.path().to_owned() }.make().unwrap();
    fs::write(plugin.join("src/lib.rs"), "\nfn broken( {").unwrap();
    let mut test = Command::new(env!("CARGO_BIN_EXE_hostler"));
    let output = test.current_dir(&plugin).args(["test", "--json", "--junit", "junit.xml"]).output().unwrap();
    let (json, junit) = (output.stdout, fs::read(plugin.join("junit.xml")).unwrap());
    for report in [json, junit].map(|bytes| String::from_utf8(bytes).unwrap()) {
        assert!(report.contains("drain-nicely does not compile:") && report.contains("src/lib.rs:2:"), "{report}");
    }
}
