//! The contract as Rust: the only `bindgen!`.

#![expect(missing_docs, unreachable_pub, reason = "generated; the documentation is in wit/")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "handler",
    imports: { default: async | trappable },
    exports: { default: async },
    trappable_error_type: { "hostler:handler/types.error" => crate::capabilities::call::CallError },
});
