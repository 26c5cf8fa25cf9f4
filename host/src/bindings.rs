//! The contract as Rust: the only `bindgen!`.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "handler",
    imports: { default: async | trappable },
    exports: { default: async },
    trappable_error_type: { "hostler:handler/types.error" => crate::capabilities::call::CallError },
});
