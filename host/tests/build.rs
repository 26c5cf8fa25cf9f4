//! `hostler build` on whole packages, with the real cargo. Needs the guest toolchain, as the plugins themselves do.

use std::fs;
use std::path::{Path, PathBuf};

use hostler::commands::build::Arguments;

/// A plugin of its own, outside any workspace.
fn plugin(lib: &str) -> tempfile::TempDir {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/sdk").canonicalize().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let manifest = format!(
        "[package]\nname = \"example\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n\n\
         [dependencies]\nhostler-plugin = {{ path = {sdk:?} }}\n\n[workspace]\n"
    );
    fs::create_dir_all(folder.path().join("example/src")).unwrap();
    fs::write(folder.path().join("example/Cargo.toml"), manifest).unwrap();
    fs::write(folder.path().join("example/src/lib.rs"), lib).unwrap();
    folder
}

fn build(folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join("example");
    Arguments { paths: vec![path.clone()], out: None }.build()?;
    Ok(path.join("dist/example.wasm"))
}

const HANDLER: &str = r#"
use hostler_plugin::prelude::*;

fn handle(event: &Event) -> Result<Outcome> {
    ecs::drain(event.instance()?)?;
    Ok(Outcome::Done)
}

hostler_plugin::export!(handle);
"#;

#[test]
fn the_same_source_gives_the_same_component_wherever_it_is() {
    let (one, other) = (plugin(HANDLER), plugin(HANDLER));
    let one_bytes = fs::read(build(one.path()).unwrap()).unwrap();
    let other_bytes = fs::read(build(other.path()).unwrap()).unwrap();
    assert!(one_bytes == other_bytes, "two builds of the same source differ");
    let path = one.path().to_str().unwrap().as_bytes();
    assert!(!one_bytes.windows(path.len()).any(|window| window == path), "the component holds a path of this machine");
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
