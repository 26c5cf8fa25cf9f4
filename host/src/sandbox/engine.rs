//! The engine: one per process, with the settings every attempt shares.

use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

/// How often running guests are looked at. A guest is stopped at most this long, plus one scheduling delay, after its
/// budget is spent; a shorter tick costs more callbacks and buys nothing that an operator would notice.
const TICK: Duration = Duration::from_millis(2);

/// Core instances one component may hold. Python components, the largest known, hold about thirty.
pub(super) const CORE_INSTANCES_PER_COMPONENT: u32 = 64;

/// Linear memories and tables one component may hold.
pub(super) const MEMORIES_PER_COMPONENT: u32 = 4;
pub(super) const TABLES_PER_COMPONENT: u32 = 16;

/// Elements of one table: a JavaScript component needs 7,700.
pub(super) const TABLE_ELEMENTS: usize = 20_000;

/// Bytes of vmctx one instance may need; the default does not fit components with many imports.
const INSTANCE_BYTES: usize = 4 << 20;

/// Stack of a guest. Deep recursion ends in a trap, long before the host's own stack does.
pub(super) const WASM_STACK_BYTES: usize = 512 << 10;
/// Stack of the fibre a guest runs on: its own, and room for host functions.
const FIBRE_STACK_BYTES: usize = 2 << 20;

/// How many attempts can run at once, and how much memory each may have at most.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Attempts side by side; more of them wait.
    pub attempts: u32,
    /// The largest `memory` limit of any handler, in bytes.
    pub memory: u64,
}

/// How much of a memory, and of a table, is set back by writing zeros rather than by giving its pages to the system and
/// faulting them in again: what an ordinary Rust plugin touches.
const MEMORY_KEPT: usize = 1 << 20;
const TABLE_KEPT: usize = 64 << 10;

/// Builds the engine: pooled if the address space allows it, on demand (and said so) otherwise.
pub(super) fn build(capacity: Capacity) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(capacity.attempts)
        .total_core_instances(capacity.attempts * CORE_INSTANCES_PER_COMPONENT)
        .total_memories(capacity.attempts * MEMORIES_PER_COMPONENT)
        .total_tables(capacity.attempts * TABLES_PER_COMPONENT)
        .total_stacks(capacity.attempts)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(MEMORY_KEPT)
        .table_keep_resident(TABLE_KEPT)
        .max_memory_size(usize::try_from(capacity.memory)?);
    let mut pooled = settings(capacity.memory);
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&pooled).or_else(|error| {
        tracing::warn!(
            %error,
            attempts = capacity.attempts,
            memory = capacity.memory,
            "no pool for instances on this machine: each attempt allocates its own, which is slower"
        );
        compiling(capacity.memory)
    })
}

/// An engine without a pool: the code that it compiles runs in one with a pool too, if both reserve as much `memory`.
pub(super) fn compiling(memory: u64) -> wasmtime::Result<Engine> {
    Engine::new(&settings(memory))
}

/// What holds with and without a pool. `memory` is the address space that code expects behind a linear memory, in bytes.
fn settings(memory: u64) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .memory_reservation(memory)
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(FIBRE_STACK_BYTES);
    config
}

/// Advances the epoch until the engine is gone, on a thread of its own: a spinning guest can starve tokio's timers.
pub(super) fn tick(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new().name("epoch".into()).spawn(move || {
        loop {
            std::thread::sleep(TICK);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    })?;
    Ok(())
}
