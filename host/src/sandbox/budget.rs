//! Budgets of one attempt: CPU, memory, host calls. The log's is kept where lines are written; the wall budget is a tokio timeout around the whole.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::ResourceLimiter;

use crate::outcome::BudgetSpent;
use crate::policy::Limits;

/// CPU time of one attempt: that of its thread while it is being polled. Preemption is not charged, host code run for the guest is.
#[derive(Debug, Default)]
pub(super) struct CpuMeter {
    /// Nanoseconds spent in polls that have ended.
    spent: AtomicU64,
    /// The thread's CPU clock when the present poll began, in nanoseconds.
    poll_began: AtomicU64,
}

impl CpuMeter {
    /// Everything spent in polls that have ended.
    pub(super) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }

    /// What the present poll has spent. To be called from inside it.
    pub(super) fn this_poll(&self) -> Duration {
        Duration::from_nanos(thread_cpu().saturating_sub(self.poll_began.load(Ordering::Relaxed)))
    }
}

/// The CPU clock of this thread, in nanoseconds.
fn thread_cpu() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// A future whose polls are charged to a meter.
pub(super) struct Metered<F> {
    /// Boxed and pinned, so that this needs no projection.
    inner: Pin<Box<F>>,
    meter: Arc<CpuMeter>,
}

impl<F: Future> Metered<F> {
    pub(super) fn new(inner: F, meter: Arc<CpuMeter>) -> Self {
        Self { inner: Box::pin(inner), meter }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let began = thread_cpu();
        self.meter.poll_began.store(began, Ordering::Relaxed);
        let result = self.inner.as_mut().poll(cx);
        self.meter.spent.fetch_add(thread_cpu().saturating_sub(began), Ordering::Relaxed);
        result
    }
}

/// What one table element is charged: a function reference, and room for what it points to.
const TABLE_ELEMENT_BYTES: u64 = 16;

/// Memories, tables and instances one component may hold; more than any toolchain makes.
const MEMORIES: usize = 4;
const TABLES: usize = 16;
const INSTANCES: usize = 64;

/// Everything the attempt counts, against the handler's limits.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: Limits,
    /// Bytes of all memories and tables together, now and at most.
    memory: u64,
    peak_memory: u64,
    /// What the last growth was charged, to be taken back should it fail after all.
    last_growth: u64,
    /// Remembered, because a guest that is refused memory dies of something that looks like a panic.
    memory_refused: bool,
    host_calls: u32,
    /// The host call under way, for the message of a budget that ends during it.
    during: Option<&'static str>,
}

impl Budget {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, memory: 0, peak_memory: 0, last_growth: 0, memory_refused: false, host_calls: 0, during: None }
    }

    /// Counts a host call and notes that it is under way.
    pub(crate) fn begin_call(&mut self, name: &'static str) -> Result<(), BudgetSpent> {
        if self.host_calls >= self.limits.host_calls {
            let limit = self.limits.host_calls.to_string();
            return Err(BudgetSpent { budget: "host-calls", limit, during: Some(name) });
        }
        self.host_calls += 1;
        self.during = Some(name);
        Ok(())
    }

    /// Notes that the host call has returned.
    pub(crate) fn end_call(&mut self) {
        self.during = None;
    }

    pub(super) fn host_calls(&self) -> u32 {
        self.host_calls
    }

    pub(super) fn peak_memory(&self) -> u64 {
        self.peak_memory
    }

    /// The host call under way.
    pub(super) fn during(&self) -> Option<&'static str> {
        self.during
    }

    /// The memory budget, if a growth was refused.
    pub(super) fn memory_spent(&self) -> Option<BudgetSpent> {
        self.memory_refused.then(|| BudgetSpent {
            budget: "memory",
            limit: bytesize::ByteSize(self.limits.memory).display().iec().to_string(),
            during: self.during,
        })
    }

    /// The CPU budget, if `spent` is more than it.
    pub(super) fn cpu_spent(&self, spent: Duration) -> Option<BudgetSpent> {
        (spent > self.limits.cpu).then(|| BudgetSpent {
            budget: "cpu",
            limit: humantime::format_duration(self.limits.cpu).to_string(),
            during: self.during,
        })
    }

    /// The wall budget of `limit`, spent.
    pub(super) fn wall_spent(&self, limit: Duration) -> BudgetSpent {
        BudgetSpent { budget: "wall", limit: humantime::format_duration(limit).to_string(), during: self.during }
    }

    fn grow(&mut self, current: u64, desired: u64) -> bool {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        self.last_growth = 0;
        if total > self.limits.memory {
            self.memory_refused = true;
            return false;
        }
        self.last_growth = total - self.memory;
        self.memory = total;
        self.peak_memory = self.peak_memory.max(total);
        true
    }

    /// Takes back what a growth was charged that failed after it was allowed, past its own maximum or the pool's slot.
    fn take_back(&mut self) {
        self.memory -= std::mem::take(&mut self.last_growth);
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && self.grow(current as u64, desired as u64))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let (from, to) = (current as u64 * TABLE_ELEMENT_BYTES, desired as u64 * TABLE_ELEMENT_BYTES);
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && self.grow(from, to))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }

    fn tables(&self) -> usize {
        TABLES
    }
}
