//! From a component to code: compiled here, or by another process of this program.

use wasmtime::component::Component;

use super::{HandlerPre, Module, Sandbox, engine};

/// Machine code of one component, for sandboxes whose handlers have the same `memory` at most.
///
/// It runs outside the sandbox's walls, since it is what builds them: there is none but what this program has compiled.
pub struct Code(Vec<u8>);

impl Code {
    /// Compiles a component for sandboxes of `memory` bytes, see [`Sandbox::memory`].
    pub fn compile(bytes: &[u8], memory: u64) -> wasmtime::Result<Self> {
        engine::compiling(memory)?.precompile_component(bytes).map(Self)
    }

    /// Takes bytes for code.
    ///
    /// # Safety
    ///
    /// They have to come from [`Code::compile`] in a process of this program, by a way that nobody else can write to: whoever chooses
    /// them chooses what this process does.
    #[expect(unsafe_code, reason = "the obligation is the caller's")]
    pub unsafe fn from_this_program(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The code, to be handed to another process.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Sandbox {
    /// The address space behind each linear memory, in bytes.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Compiles and links a component, on this thread: milliseconds for a Rust plugin, seconds for a Python one.
    pub fn compile(&self, bytes: &[u8], digest: String) -> wasmtime::Result<Module> {
        self.link(&Component::new(&self.engine, bytes)?, digest, bytes.len())
    }

    /// Links code. `digest` and `size` are those of the component it was compiled from.
    pub fn load(&self, code: &Code, digest: String, size: usize) -> wasmtime::Result<Module> {
        #[expect(unsafe_code, reason = "there is no code but what this program has compiled: see `Code`")]
        let component = unsafe { Component::deserialize(&self.engine, &code.0) }?;
        self.link(&component, digest, size)
    }

    fn link(&self, component: &Component, digest: String, size: usize) -> wasmtime::Result<Module> {
        let pre = HandlerPre::new(self.linker.instantiate_pre(component)?)?;
        Ok(Module { digest, size, pre })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Capacity, Pace};
    use crate::testing::guests;

    const MEMORY: u64 = 64 << 20;

    fn sandbox() -> Sandbox {
        Sandbox::new(Capacity { attempts: 1, memory: MEMORY }, Pace::Virtual).unwrap()
    }

    #[test]
    fn code_that_was_compiled_elsewhere_is_loaded() {
        let (sandbox, guest) = (sandbox(), guests::done());
        assert_eq!(sandbox.memory(), MEMORY);
        let code = Code::compile(&guest, MEMORY).unwrap();
        let module = sandbox.load(&code, "digest".into(), guest.len()).unwrap();
        assert_eq!((module.digest.as_str(), module.size), ("digest", guest.len()));
    }

    #[test]
    fn code_for_a_sandbox_of_another_memory_is_refused() {
        let code = Code::compile(&guests::done(), MEMORY / 2).unwrap();
        let error = sandbox().load(&code, "digest".into(), 1).unwrap_err();
        assert!(format!("{error:#}").contains("reservation"), "{error:#}");
    }
}
