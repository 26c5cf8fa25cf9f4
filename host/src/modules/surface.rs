//! A component from outside: what it imports and exports, as it says so itself.
//!
//! Read from what the validator has found, and not with a decoder of WIT: there are sound components that are no WIT, and such a
//! decoder stumbles over them. Everything here may be written by somebody who means harm.

use std::collections::{BTreeMap, BTreeSet};

use wasmparser::component_types::ComponentEntityType;
use wasmparser::{Parser, Payload, Validator};

use super::Refusal;
use crate::telemetry::visible;

/// The package of the contract.
pub(super) const PACKAGE: &str = "hostler:handler";

/// The function a plugin has to export.
pub(super) const EXPORT: &str = "handle";

/// No interface or function that we know has a name of half this length; what is longer is cut.
const NAME_CHARS: usize = 200;

/// What a component imports and exports, whether this host has it or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surface {
    /// The functions it imports, by interface. One that only types are taken from has none.
    pub imports: BTreeMap<String, BTreeSet<String>>,
    /// What it imports that is no interface, such as `the function f`.
    pub others: Vec<String>,
    /// The names of what it exports.
    pub exports: Vec<String>,
    /// Whether it exports the function that a plugin has to.
    pub handles: bool,
}

impl Surface {
    /// Looks at a component, or says what the bytes are instead.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.is_empty() {
            return Err(Refusal::because("is empty: the upload was cut off, or the build wrote nothing"));
        }
        if Parser::is_core_wasm(bytes) {
            return Err(Refusal::because(
                "is a core WebAssembly module, not a component: build it with `hostler build`, or wrap it with `wasm-tools component new`",
            ));
        }
        if !Parser::is_component(bytes) {
            return Err(Refusal::because("is not WebAssembly: it does not begin with the bytes of a component"));
        }
        Self::of_component(bytes).map_err(|error| {
            let message = error.message().lines().collect::<Vec<_>>().join(": ");
            let (at, size) = (error.offset(), bytes.len());
            Refusal::because(format!("is broken at byte {at} of {size}: {}", shown(&message)))
        })
    }

    fn of_component(bytes: &[u8]) -> wasmparser::Result<Self> {
        let types = Validator::new().validate_all(bytes)?;
        let mut surface = Self::default();
        // How many modules and components we are inside of: their imports and exports are their own affair.
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports {
                        let name = import?.name.name;
                        let item = types.component_item_for_import(name).map(|item| item.ty);
                        let other = |what: &str| format!("the {what} {}", shown(name));
                        match item {
                            Some(ComponentEntityType::Instance(instance)) => {
                                let exports = types[instance].exports.iter();
                                let functions =
                                    exports.filter(|(_, item)| matches!(item.ty, ComponentEntityType::Func(_)));
                                let functions = functions.map(|(name, _)| shown(name)).collect();
                                surface.imports.insert(shown(name), functions);
                            }
                            Some(ComponentEntityType::Func(_)) => surface.others.push(other("function")),
                            Some(ComponentEntityType::Module(_)) => surface.others.push(other("core module")),
                            Some(ComponentEntityType::Component(_)) => surface.others.push(other("component")),
                            Some(ComponentEntityType::Value(_)) => surface.others.push(other("value")),
                            Some(ComponentEntityType::Type { .. }) | None => {}
                        }
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports {
                        let name = export?.name.name;
                        let item = types.component_item_for_export(name).map(|item| item.ty);
                        surface.handles |= name == EXPORT && matches!(item, Some(ComponentEntityType::Func(_)));
                        surface.exports.push(shown(name));
                    }
                }
                _ => {}
            }
        }
        Ok(surface)
    }

    /// The version of the contract it is built for; none when it takes nothing from it.
    pub fn contract(&self) -> Option<&str> {
        let packages = self.imports.keys().map(|interface| package(interface));
        packages.filter(|(name, _)| *name == PACKAGE).map(|(_, version)| version).next()
    }

    /// Every function it imports: one of the contract as `ecs.drain`, any other with its interface in full.
    pub fn calls(&self) -> impl Iterator<Item = String> {
        self.imports.iter().flat_map(|(interface, functions)| {
            let ours = interface.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('/'));
            let name = ours.map_or(interface.as_str(), |ours| ours.split('@').next().unwrap_or(ours));
            functions.iter().map(move |function| format!("{name}.{function}"))
        })
    }
}

/// The package of an interface, and its version.
pub(super) fn package(interface: &str) -> (&str, &str) {
    let (name, version) = interface.rsplit_once('@').unwrap_or((interface, ""));
    (name.split('/').next().unwrap_or(name), version)
}

/// A name, or a message with names in it, such that it can be printed.
fn shown(text: &str) -> String {
    match text.char_indices().nth(NAME_CHARS) {
        Some((cut, _)) => format!("{}…", visible(&text[..cut])),
        None => visible(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::guests;

    fn surface(text: &str) -> Surface {
        Surface::read(&wat::parse_str(text).unwrap()).unwrap_or_else(|refusal| panic!("{text}: {refusal}"))
    }

    #[test]
    fn a_plugin_is_read() {
        let surface = Surface::read(&guests::chatty()).unwrap();
        assert_eq!((surface.contract(), surface.handles), (Some("0.1.0"), true));
        assert_eq!(surface.calls().collect::<Vec<_>>(), ["clock.now"]);
        let wasi = Surface::read(&guests::wasi()).unwrap();
        let calls = ["wasi:cli/environment@0.2.3.get-environment", "wasi:random/random@0.2.3.get-random-u64"];
        assert_eq!(wasi.calls().collect::<Vec<_>>(), calls);
    }

    #[test]
    fn what_is_within_a_component_is_its_own_affair() {
        let inner = r#"(component (core module (import "env" "f" (func)) (export "handle" (func 0)))
            (component $c (import "handle" (func)) (import "deep" (instance))))"#;
        assert_eq!(surface(inner), Surface::default());
    }

    #[test]
    fn a_function_is_handle_and_nothing_else_is() {
        assert!(surface(r#"(component (import "f" (func $f)) (export "handle" (func $f)))"#).handles);
        let instance = surface(r#"(component (import "i" (instance $i)) (export "handle" (instance $i)))"#);
        assert!(!instance.handles);
        assert_eq!(instance.exports, ["handle"]);
    }

    /// Sound components that are no WIT: a decoder of WIT panics on some of them.
    #[test]
    fn imports_that_are_no_interface_are_named() {
        for (import, named) in [
            (r#"(import "f" (func))"#, "the function f"),
            (r#"(import "a:b/c" (func))"#, "the function a:b/c"),
            (r#"(import "url=<http://example.com>" (func))"#, "the function url=<http://example.com>"),
            ("(import \"url=<\\1b[2J>\" (func))", "the function url=<\\u{1b}[2J>"),
            (r#"(import "m" (core module))"#, "the core module m"),
            (r#"(import "unlocked-dep=<a:b>" (component))"#, "the component unlocked-dep=<a:b>"),
        ] {
            assert_eq!(surface(&format!("(component {import})")).others, [named]);
        }
        let odd = surface(r#"(component (import "a:b/c" (instance (export "d:e/f" (func)) (export "i" (instance)))))"#);
        assert_eq!(odd.calls().collect::<Vec<_>>(), ["a:b/c.d:e/f"]);
        let long = surface(&format!(r#"(component (import "{}" (func)))"#, "x".repeat(50_000)));
        assert_eq!(long.others[0].chars().count(), "the function ".len() + NAME_CHARS + 1);
    }

    proptest::proptest! {
        /// Changed in a few bytes, a component is still parsed far.
        #[test]
        fn no_bytes_make_it_panic(
            whole in proptest::sample::select(vec![guests::drain_of("i-0123456789abcdef0"), guests::wasi()]),
            changes in proptest::collection::vec(proptest::prelude::any::<(proptest::sample::Index, u8)>(), 1..4),
        ) {
            let mut bytes = whole;
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = Surface::read(&bytes);
        }
    }
}
