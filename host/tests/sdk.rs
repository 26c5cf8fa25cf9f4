//! What `plugins/sdk` carries with it: its own copy of the contract, and the bindings generated from it.
//!
//! The generator is a dependency of this test and of nothing an author builds. `HOSTLER_UPDATE_SDK=1` writes both anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};
use wit_bindgen_rust::{Opts, Ownership};

const REMEDY: &str = "run HOSTLER_UPDATE_SDK=1 cargo test -p hostler --test sdk";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("host/ is in the workspace").to_owned()
}

fn update() -> bool {
    std::env::var_os("HOSTLER_UPDATE_SDK").is_some()
}

/// The files of a folder, by name.
fn folder(path: &Path) -> BTreeMap<String, String> {
    fs::read_dir(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .map(|entry| entry.expect("the folder can be listed").path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap()))
        .collect()
}

#[test]
fn the_sdk_carries_the_contract_as_it_is() {
    let contract = folder(&root().join("wit"));
    let copy = root().join("plugins/sdk/wit");
    if update() {
        fs::remove_dir_all(&copy).unwrap();
        fs::create_dir(&copy).unwrap();
        for (name, text) in &contract {
            fs::write(copy.join(name), text).unwrap();
        }
    }
    assert!(folder(&copy) == contract, "plugins/sdk/wit is not wit/: {REMEDY}");
}

#[test]
fn the_sdk_carries_the_bindings_of_the_contract() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some("handler")).unwrap();
    let options = Opts {
        format: true,
        generate_all: true,
        ownership: Ownership::Owning,
        runtime_path: Some("crate::runtime".to_owned()),
        pub_export_macro: true,
        export_macro_name: Some("export_handler".to_owned()),
        disable_run_ctors_once_workaround: true,
        additional_derive_attributes: vec!["PartialEq".to_owned()],
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).unwrap();
    let (_, source) = files.iter().next().expect("one file is generated");
    let source = String::from_utf8_lossy(source).into_owned();

    let path = root().join("plugins/sdk/src/bindings.rs");
    if update() {
        fs::write(&path, &source).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == source,
        "plugins/sdk/src/bindings.rs is not what wit/ gives: {REMEDY}"
    );
}
