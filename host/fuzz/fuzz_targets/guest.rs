//! Modules that wasm-smith makes of the bytes, with the imports and exports of a plugin, wrapped as components. With HOSTLER_FUZZ_KEEP
//! set, the component is written there: as a seed of `module` it is played by the ordinary tests too.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Unstructured;
use wasm_smith::{Config, Module};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve, WorldId};

/// The contract, and a core module with all that a plugin can import and has to export.
static CONTRACT: LazyLock<(Resolve, WorldId, Vec<u8>)> = LazyLock::new(|| {
    let mut resolve = Resolve::default();
    let (package, _) =
        resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit")).expect("the contract resolves");
    let world = resolve.select_world(&[package], Some("handler")).expect("the contract has its world");
    let shape = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    (resolve, world, shape)
});

fn component(bytes: &[u8]) -> Option<Vec<u8>> {
    let (resolve, world, shape) = &*CONTRACT;
    let mut config = Config {
        available_imports: Some(shape.clone()),
        exports: Some(shape.clone()),
        max_memories: 4,
        max_tables: 8,
        ..Config::default()
    };
    // What the engine of the host does not have on.
    (config.gc_enabled, config.exceptions_enabled, config.threads_enabled) = (false, false, false);
    (config.memory64_enabled, config.shared_everything_threads_enabled, config.wide_arithmetic_enabled) =
        (false, false, false);
    let mut core = Module::new(config, &mut Unstructured::new(bytes)).ok()?.to_bytes();
    embed_component_metadata(&mut core, resolve, *world, StringEncoding::UTF8).ok()?;
    ComponentEncoder::default().module(&core).ok()?.encode().ok()
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| -> libfuzzer_sys::Corpus {
    let Some(component) = component(bytes) else { return libfuzzer_sys::Corpus::Reject };
    if let Some(path) = std::env::var_os("HOSTLER_FUZZ_KEEP") {
        std::fs::write(path, &component).expect("it can be kept");
    }
    hostler::fuzzing::module(&component);
    libfuzzer_sys::Corpus::Keep
});
