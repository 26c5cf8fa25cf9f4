//! Whether bytes are a plugin this host can serve, said in words its author understands.
//!
//! Compared with our own contract before anything is compiled: wasmtime would name only the first import it lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use wit_parser::{Resolve, SourceMap};

use super::surface::{EXPORT, PACKAGE, Surface, package};

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

/// The packages of WASI 0.2, which are there with nothing in them, and what a plugin gets of each.
const WASI: [(&str, &str); 6] = [
    ("wasi:cli", "no arguments and no environment; standard output and error become log lines"),
    ("wasi:clocks", "the host's clocks"),
    ("wasi:filesystem", "no files"),
    ("wasi:io", "streams, to the log only"),
    ("wasi:random", "random numbers"),
    ("wasi:sockets", "no network"),
];

/// More reasons than these are only counted: whoever made the module decides how many there are.
const MOST_REASONS: usize = 20;

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
pub fn accept(bytes: &[u8]) -> Result<Surface, Refusal> {
    let surface = Surface::read(bytes)?;
    let reasons = reasons(&surface);
    if reasons.is_empty() { Ok(surface) } else { Err(Refusal { reasons }) }
}

/// Why this host cannot serve a component: nothing, when it can.
pub fn reasons(surface: &Surface) -> Vec<String> {
    let interfaces = surface.imports.iter().flat_map(|(interface, functions)| unknown(interface, functions));
    let others = surface.others.iter().map(|other| format!("imports {other}, which this host does not have"));
    let mut reasons: Vec<String> = interfaces.chain(others).collect();
    let more = reasons.len().saturating_sub(MOST_REASONS);
    reasons.truncate(MOST_REASONS);
    if more > 0 {
        reasons.push(format!("imports {more} things more that this host does not have"));
    }
    if !surface.handles {
        let exports: Vec<&str> = surface.exports.iter().take(MOST_REASONS).map(String::as_str).collect();
        let exports = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        reasons.push(format!(
            "exports {exports}, but not the function `{EXPORT}` of {PACKAGE}@{VERSION}: it is a component of another world",
            VERSION = contract().version
        ));
    }
    reasons
}

/// What a plugin gets of an interface of WASI 0.2: its package, and words for it.
pub fn wasi(interface: &str) -> Option<(&'static str, &'static str)> {
    let (package, version) = package(interface);
    WASI.into_iter().find(|(name, _)| *name == package && version.starts_with("0.2."))
}

/// What of an imported interface this host does not have.
fn unknown(interface: &str, functions: &BTreeSet<String>) -> Vec<String> {
    if let Some(known) = contract().interfaces.get(interface) {
        return functions
            .difference(known)
            .map(|function| format!("imports the function {function} of {interface}, which this host does not have"))
            .collect();
    }
    let (package, version) = package(interface);
    if package == PACKAGE && version != contract().version {
        return vec![format!(
            "imports {interface}: it is built for version {version} of the contract, and this host serves {}",
            contract().version
        )];
    }
    if wasi(interface).is_some() {
        return Vec::new();
    }
    let name = |interface: &str| interface.split('@').next().unwrap_or_default().to_owned();
    let known: Vec<String> = contract().interfaces.keys().map(|known| name(known)).collect();
    vec![format!(
        "imports {}, which this host does not have (it has {}, and WASI 0.2 with nothing in it)",
        name(interface),
        known.join(", ")
    )]
}

/// The contract as a table.
struct Contract {
    version: String,
    /// Functions by interface, as `hostler:handler/ecs@0.1.0`.
    interfaces: BTreeMap<String, BTreeSet<String>>,
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
    fn a_plugin_is_accepted() {
        assert_eq!(accept(&guests::chatty()).unwrap().calls().collect::<Vec<_>>(), ["clock.now"]);
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

    #[test]
    fn reasons_without_end_are_counted() {
        let imports: String = (0..100).map(|number| format!("(import \"f{number}\" (func))")).collect();
        let refusal = accept(&wat::parse_str(format!("(component {imports})")).unwrap()).unwrap_err();
        assert_eq!(refusal.reasons.len(), MOST_REASONS + 2);
        assert_eq!(refusal.reasons[MOST_REASONS], "imports 80 things more that this host does not have");
    }
}
