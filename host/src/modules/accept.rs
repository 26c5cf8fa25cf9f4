//! Whether bytes are a plugin this host can serve, said in words its author understands.
//!
//! Compared with our own contract before anything is compiled: wasmtime would name only the first import it lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Resolve, SourceMap, WorldItem};

/// The contract, as it is published in `wit/`.
const CONTRACT: [(&str, &str); 9] = [
    ("types.wit", include_str!("../../../wit/types.wit")),
    ("ecs.wit", include_str!("../../../wit/ecs.wit")),
    ("autoscaling.wit", include_str!("../../../wit/autoscaling.wit")),
    ("ec2.wit", include_str!("../../../wit/ec2.wit")),
    ("ssh.wit", include_str!("../../../wit/ssh.wit")),
    ("config.wit", include_str!("../../../wit/config.wit")),
    ("log.wit", include_str!("../../../wit/log.wit")),
    ("clock.wit", include_str!("../../../wit/clock.wit")),
    ("world.wit", include_str!("../../../wit/world.wit")),
];

/// The packages of WASI 0.2 that are there, with nothing in them.
const WASI: [&str; 6] = ["wasi:cli", "wasi:clocks", "wasi:filesystem", "wasi:io", "wasi:random", "wasi:sockets"];

/// The function a plugin has to export.
const EXPORT: &str = "handle";

/// What a module imports: its functions, by interface. Interfaces it takes only types from are left out.
pub type Imports = BTreeMap<String, BTreeSet<String>>;

/// Why bytes are not a plugin this host can serve: every reason found, each in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", reasons.join("; "))]
pub struct Refusal {
    /// At least one.
    pub reasons: Vec<String>,
}

impl Refusal {
    pub(super) fn because(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()] }
    }
}

/// Looks at a module and says what it imports, or why it is refused.
pub fn accept(bytes: &[u8]) -> Result<Imports, Refusal> {
    let (resolve, world) = component(bytes)?;
    let world = &resolve.worlds[world];
    let mut imports = Imports::new();
    let mut reasons = Vec::new();
    for (key, item) in &world.imports {
        let name = resolve.name_world_key(key);
        match item {
            WorldItem::Interface { id, .. } => {
                let functions: BTreeSet<_> = resolve.interfaces[*id].functions.keys().cloned().collect();
                reasons.extend(unknown(&name, &functions));
                if !functions.is_empty() {
                    imports.insert(name, functions);
                }
            }
            WorldItem::Function(_) => {
                reasons.push(format!("imports the function {name}, which this host does not have"))
            }
            WorldItem::Type { .. } => {}
        }
    }
    let exports: Vec<String> = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
    let handles = world
        .exports
        .iter()
        .any(|(key, item)| resolve.name_world_key(key) == EXPORT && matches!(item, WorldItem::Function(_)));
    if !handles {
        let exports = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        reasons.push(format!(
            "exports {exports}, but not the function `{EXPORT}` of hostler:handler@{VERSION}: it is a component of another world",
            VERSION = contract().version
        ));
    }
    if reasons.is_empty() { Ok(imports) } else { Err(Refusal { reasons }) }
}

/// Decodes a component, or says what the bytes are instead.
fn component(bytes: &[u8]) -> Result<(Resolve, wit_parser::WorldId), Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::because("is empty: the upload was cut off, or the build wrote nothing"));
    }
    if wasmparser::Parser::is_core_wasm(bytes) {
        return Err(Refusal::because(
            "is a core WebAssembly module, not a component: build it with `hostler build`, or wrap it with `wasm-tools component new`",
        ));
    }
    if !wasmparser::Parser::is_component(bytes) {
        return Err(Refusal::because("is not WebAssembly: it does not begin with the bytes of a component"));
    }
    wasmparser::Validator::new().validate_all(bytes).map_err(|error| {
        Refusal::because(format!("is broken at byte {} of {}: {}", error.offset(), bytes.len(), error.message()))
    })?;
    match decode(bytes) {
        Ok(DecodedWasm::Component(resolve, world)) => Ok((resolve, world)),
        Ok(DecodedWasm::WitPackage(..)) => Err(Refusal::because("is a WIT package, not a component: it has no code")),
        Err(error) => Err(Refusal::because(format!("cannot be decoded: {error:#}"))),
    }
}

/// What of an imported interface this host does not have.
fn unknown(interface: &str, functions: &BTreeSet<String>) -> Vec<String> {
    let (name, version) = interface.rsplit_once('@').unwrap_or((interface, ""));
    let package = name.split('/').next().unwrap_or(name);
    if let Some(known) = contract().interfaces.get(interface) {
        return functions
            .difference(known)
            .map(|function| format!("imports the function {function} of {interface}, which this host does not have"))
            .collect();
    }
    if package == "hostler:handler" && version != contract().version {
        return vec![format!(
            "imports {interface}: it is built for version {version} of the contract, and this host serves {}",
            contract().version
        )];
    }
    if WASI.contains(&package) && version.starts_with("0.2.") {
        return Vec::new();
    }
    let known = contract().interfaces.keys().map(|name| name.split('@').next().unwrap_or(name)).collect::<Vec<_>>();
    vec![format!(
        "imports {name}, which this host does not have (it has {}, and WASI 0.2 with nothing in it)",
        known.join(", ")
    )]
}

/// The contract as a table.
struct Contract {
    version: String,
    /// Functions by interface, as `hostler:handler/ecs@0.1.0`.
    interfaces: Imports,
}

/// The version of the contract that this host serves.
pub(crate) fn contract_version() -> &'static str {
    &contract().version
}

fn contract() -> &'static Contract {
    static CONTRACT_TABLE: LazyLock<Contract> = LazyLock::new(|| {
        let mut sources = SourceMap::default();
        for (path, text) in CONTRACT {
            sources.push_str(path, text);
        }
        let group =
            sources.parse().map_err(|(_, error)| error).expect("the contract is part of this program and parses");
        let mut resolve = Resolve::default();
        let package = resolve.push_group(group).expect("the contract is part of this program and resolves");
        let version = resolve.packages[package].name.version.as_ref().map(ToString::to_string).unwrap_or_default();
        let interfaces = resolve.packages[package]
            .interfaces
            .values()
            .filter_map(|id| Some((resolve.id_of(*id)?, resolve.interfaces[*id].functions.keys().cloned().collect())));
        Contract { version, interfaces: interfaces.collect() }
    });
    &CONTRACT_TABLE
}

#[cfg(test)]
mod tests {
    use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
    use wit_parser::ManglingAndAbi;

    use super::*;
    use crate::testing::guests;

    /// A component of the world that `wit` ends with.
    fn of_world(wit: &str) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("test.wit", wit).expect("the test's WIT parses");
        let world = resolve.select_world(&[package], None).expect("it has one world");
        let mut core = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
        embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).expect("metadata fits");
        ComponentEncoder::default().module(&core).expect("the module fits").encode().expect("it encodes")
    }

    fn reasons(bytes: &[u8]) -> String {
        accept(bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_plugin_is_accepted_and_its_imports_are_named() {
        let imports = accept(&guests::chatty()).unwrap();
        let clock: BTreeSet<_> = ["now".to_owned()].into();
        assert_eq!(imports, Imports::from([("hostler:handler/clock@0.1.0".to_owned(), clock)]));
    }

    #[test]
    fn what_is_not_a_component_is_named_for_what_it_is() {
        assert!(reasons(b"").starts_with("is empty"));
        assert!(reasons(b"#!/bin/sh\nreboot").starts_with("is not WebAssembly"));
        assert!(reasons(b"\0asm\x01\0\0\0").starts_with("is a core WebAssembly module"));
        let whole = guests::done();
        let cut = reasons(&whole[..whole.len() / 2]);
        assert!(cut.starts_with("is broken at byte"), "{cut}");
    }

    #[test]
    fn a_component_of_another_world_is_refused() {
        let text = reasons(&of_world("package a:b; world w { export run: func(); }"));
        insta::assert_snapshot!(text, @"exports run, but not the function `handle` of hostler:handler@0.1.0: it is a component of another world");
    }

    #[test]
    fn every_import_the_host_lacks_is_named() {
        let text = reasons(&of_world(
            "package hostler:handler@0.1.0;
             interface foo { bar: func(); }
             interface ecs { destroy-cluster: func(); }
             world w { import foo; import ecs; export handle: func(); }",
        ));
        assert!(text.contains("imports hostler:handler/foo, which this host does not have"), "{text}");
        assert!(
            text.contains(
                "imports the function destroy-cluster of hostler:handler/ecs@0.1.0, which this host does not have"
            ),
            "{text}"
        );
    }

    #[test]
    fn another_version_of_the_contract_is_named() {
        let text = reasons(&of_world(
            "package hostler:handler@0.2.0; interface clock { now: func() -> u64; } world w { import clock; export handle: func(); }",
        ));
        assert!(text.contains("is built for version 0.2.0 of the contract, and this host serves 0.1.0"), "{text}");
    }
}
