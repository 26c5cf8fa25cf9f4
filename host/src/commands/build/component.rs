//! From a core module to a component.

use anyhow::{Context, ensure};
use wit_component::ComponentEncoder;

use crate::modules::Surface;

/// A plugin, ready for the host.
#[derive(Debug)]
pub(super) struct Component {
    /// The component.
    pub(super) bytes: Vec<u8>,
    /// Every function it imports, such as `ecs.drain`: the complete list of its powers.
    pub(super) imports: Vec<String>,
}

impl Component {
    /// Makes a core module, as the SDK's bindings leave it, a component, and checks that it is a plugin.
    pub(super) fn encode(module: &[u8]) -> anyhow::Result<Self> {
        let bytes = ComponentEncoder::default()
            .validate(true)
            .module(module)
            .and_then(|mut encoder| encoder.encode())
            .context(
                "the module cannot be made a component; a crate that needs a browser or an operating system does that",
            )?;
        let surface = Surface::read(&bytes).context("the component cannot be read again")?;
        ensure!(
            surface.handles,
            "not a Hostler plugin: it does not export `handle`; end its lib.rs with hostler_plugin::export!(handle)"
        );
        Ok(Self { imports: surface.calls().collect(), bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The empty core module: magic and version.
    const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

    fn complaint(module: &[u8]) -> String {
        format!("{:#}", Component::encode(module).unwrap_err())
    }

    #[test]
    fn a_module_that_handles_nothing_is_no_plugin() {
        assert_eq!(
            complaint(EMPTY),
            "not a Hostler plugin: it does not export `handle`; end its lib.rs with hostler_plugin::export!(handle)"
        );
    }

    #[test]
    fn a_module_that_needs_something_else_is_told_so() {
        // (import "env" "f" (func)), written out.
        let module = [EMPTY, b"\x01\x04\x01\x60\0\0", b"\x02\x09\x01\x03env\x01f\0\0"].concat();
        let complaint = complaint(&module);
        assert!(
            complaint.starts_with("the module cannot be made a component; a crate that needs a browser"),
            "{complaint}"
        );
        assert!(complaint.contains("env"), "{complaint}");
    }

    #[test]
    fn what_is_no_module_is_an_error() {
        for module in [&b""[..], b"\0asm", b"not wasm at all"] {
            assert!(complaint(module).starts_with("the module cannot be made a component"), "{module:?}");
        }
    }
}
