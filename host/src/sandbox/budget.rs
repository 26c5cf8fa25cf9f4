//! Budgets of one attempt. The log's is kept where lines are written; the wall budget is a tokio timeout around the whole.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytesize::ByteSize;
use rustix::time::{ClockId, clock_gettime};
use wasmtime::ResourceLimiter;

use super::engine::{
    CORE_INSTANCES_PER_COMPONENT, MEMORIES_PER_COMPONENT, TABLE_ELEMENTS, TABLES_PER_COMPONENT, WASM_STACK_BYTES,
};
use super::memory::{Memory, TABLE_ELEMENT_BYTES};
use super::turns::Turn;
use crate::outcome::BudgetSpent;
use crate::policy::Limits;

/// CPU time of one attempt: that of its thread while it is being polled. Preemption is not charged, host code run for the guest is.
#[derive(Debug, Default)]
pub(crate) struct CpuMeter {
    /// Nanoseconds spent in polls that have ended.
    spent: AtomicU64,
    /// The thread's CPU clock when the present poll began, in nanoseconds; 0 outside of polls.
    poll_began: AtomicU64,
    /// What was spent when its last turn was over, in nanoseconds.
    turn_over: AtomicU64,
}

impl CpuMeter {
    /// Everything spent in polls that have ended.
    pub(super) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }

    /// Everything spent up to now. To be called from inside a poll.
    fn until_now(&self) -> Duration {
        self.spent() + self.this_poll()
    }

    /// What was spent since its last turn, in however many polls: to wait for something in between does not begin it anew, since there is
    /// what one can wait for that is there at once. To be called from inside a poll.
    pub(super) fn since_its_turn(&self) -> Duration {
        self.until_now().saturating_sub(Duration::from_nanos(self.turn_over.load(Ordering::Relaxed)))
    }

    /// It is the turn of others. To be called from inside a poll.
    pub(super) fn its_turn_is_over(&self) {
        let spent = u64::try_from(self.until_now().as_nanos()).unwrap_or(u64::MAX);
        self.turn_over.store(spent, Ordering::Relaxed);
    }

    /// What the present poll has spent, when called from inside one; outside there is none.
    fn this_poll(&self) -> Duration {
        match self.poll_began.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            began => Duration::from_nanos(thread_cpu().saturating_sub(began)),
        }
    }
}

/// The CPU clock of this thread, in nanoseconds.
fn thread_cpu() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// A future whose polls are charged to a meter, and whose turn ends with each.
pub(super) struct Metered<F> {
    /// Boxed and pinned, so that this needs no projection.
    inner: Pin<Box<F>>,
    meter: Arc<CpuMeter>,
    turn: Arc<Turn>,
}

impl<F: Future> Metered<F> {
    pub(super) fn new(inner: F, meter: Arc<CpuMeter>, turn: Arc<Turn>) -> Self {
        Self { inner: Box::pin(inner), meter, turn }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let began = thread_cpu();
        self.meter.poll_began.store(began, Ordering::Relaxed);
        let result = self.inner.as_mut().poll(cx);
        self.meter.spent.fetch_add(thread_cpu().saturating_sub(began), Ordering::Relaxed);
        self.meter.poll_began.store(0, Ordering::Relaxed);
        self.turn.end();
        result
    }
}

/// Handles a guest may hold at once: WASI's streams and pollables, and resources of its own.
pub(super) const HANDLES: usize = 1024;

/// What all of WASI's handles together are charged, from the first call on, since they cannot be counted one by one: what one
/// of them takes at most, its stream or pollable included.
const WASI_BYTES: u64 = HANDLES as u64 * 256;

/// What WASI is called where a budget ends in it. Which of its functions it was, the host is not told.
pub(crate) const WASI: &str = "a call of WASI";

/// Everything the attempt counts, against the handler's limits.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: Limits,
    cpu: Arc<CpuMeter>,
    memory: Memory,
    host_calls: u32,
    /// Bytes handed to commands and taken from them.
    ssh: u64,
    /// The host call under way, for the message of a budget that ends during it.
    during: Option<&'static str>,
    /// Remembered as the memory's refusals are, for the same reason.
    table_refused: bool,
    uses_wasi: bool,
    /// Whether WASI was called and the guest has not been seen running since.
    in_wasi: bool,
}

impl Budget {
    pub(super) fn new(limits: Limits, cpu: Arc<CpuMeter>) -> Self {
        let memory = Memory::new(limits.memory);
        Self {
            limits,
            cpu,
            memory,
            host_calls: 0,
            ssh: 0,
            during: None,
            table_refused: false,
            uses_wasi: false,
            in_wasi: false,
        }
    }

    /// Counts a host call and notes that it is under way. `handed` is what the guest has handed to it, in bytes.
    pub(crate) fn begin_call(&mut self, name: &'static str, handed: usize) -> Result<(), BudgetSpent> {
        self.during = Some(name);
        if self.host_calls >= self.limits.host_calls {
            return Err(self.spent("host-calls", self.limits.host_calls.to_string()));
        }
        self.host_calls += 1;
        self.hold(handed)
    }

    /// Charges what the host holds for the call under way, until it ends.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), BudgetSpent> {
        self.memory.hold(bytes as u64).map_err(|_refused| self.memory_of_host_spent())
    }

    /// Charges what the host holds until the attempt ends.
    pub(crate) fn keep(&mut self, bytes: usize) -> Result<(), BudgetSpent> {
        self.memory.keep(bytes as u64).map_err(|_refused| self.memory_of_host_spent())
    }

    /// Charges what a command is given, or has answered, in bytes.
    pub(crate) fn charge_ssh(&mut self, bytes: usize) -> Result<(), BudgetSpent> {
        self.ssh = self.ssh.saturating_add(bytes as u64);
        if self.ssh > self.limits.ssh {
            return Err(self.spent("ssh", ByteSize::b(self.limits.ssh).to_string()));
        }
        Ok(())
    }

    /// Notes that the host call has returned, and whether the CPU budget has ended in it.
    pub(crate) fn end_call(&mut self) -> Result<(), BudgetSpent> {
        self.memory.release();
        let spent = self.cpu_spent(self.cpu.until_now());
        self.during = None;
        spent.map_or(Ok(()), Err)
    }

    /// Notes a call of WASI. What it does is bounded where it does it; here it is told apart from the guest's own doing.
    pub(super) fn wasi_called(&mut self) {
        self.in_wasi = true;
        if !std::mem::replace(&mut self.uses_wasi, true) {
            // Refused, it is remembered, and found the next time the guest is looked at.
            let _remembered = self.memory.keep(WASI_BYTES);
        }
    }

    /// The guest is seen running: what ends it now is its own doing.
    pub(super) fn look(&mut self) -> Option<BudgetSpent> {
        self.in_wasi = false;
        self.cpu_spent(self.cpu.until_now())
    }

    pub(super) fn host_calls(&self) -> u32 {
        self.host_calls
    }

    pub(super) fn peak_memory(&self) -> u64 {
        self.memory.peak()
    }

    fn spent(&self, budget: &'static str, limit: String) -> BudgetSpent {
        BudgetSpent { budget, limit, during: self.during }
    }

    fn memory_of_host_spent(&self) -> BudgetSpent {
        self.spent("memory", self.memory.limit())
    }

    /// The memory budget, if something was refused.
    pub(super) fn memory_spent(&self) -> Option<BudgetSpent> {
        self.memory.was_refused().then(|| self.memory_of_host_spent())
    }

    /// The elements of a table, if one was refused more.
    pub(super) fn table_spent(&self) -> Option<BudgetSpent> {
        self.table_refused.then(|| self.spent("tables", format!("{TABLE_ELEMENTS} elements")))
    }

    fn cpu_spent(&self, spent: Duration) -> Option<BudgetSpent> {
        let limit = || humantime::format_duration(self.limits.cpu).to_string();
        (spent > self.limits.cpu).then(|| self.spent("cpu", limit()))
    }

    /// The wall budget of `limit`, spent.
    pub(super) fn wall_spent(&self, limit: Duration) -> BudgetSpent {
        let during = self.during.or(self.in_wasi.then_some(WASI));
        BudgetSpent { budget: "wall", limit: humantime::format_duration(limit).to_string(), during }
    }

    /// The stack, spent.
    pub(super) fn stack_spent(&self) -> BudgetSpent {
        self.spent("stack", ByteSize::b(WASM_STACK_BYTES as u64).to_string())
    }

    /// The handles, spent.
    pub(super) fn handles_spent(&self) -> BudgetSpent {
        let during = self.during.or(self.in_wasi.then_some(WASI));
        BudgetSpent { budget: "handles", limit: HANDLES.to_string(), during }
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current) as u64;
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && self.memory.grow(growth).is_ok())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            self.table_refused = true;
            return Ok(false);
        }
        let growth = (desired.saturating_sub(current) as u64) * TABLE_ELEMENT_BYTES;
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && self.memory.grow(growth).is_ok())
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_PER_COMPONENT as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_PER_COMPONENT as usize
    }

    fn tables(&self) -> usize {
        TABLES_PER_COMPONENT as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::handler;

    fn budget(limits: Limits) -> (Budget, Arc<CpuMeter>) {
        let meter = Arc::<CpuMeter>::default();
        (Budget::new(limits, Arc::clone(&meter)), meter)
    }

    #[tokio::test]
    async fn what_the_host_computes_for_a_guest_is_the_guests_and_the_call_is_named() {
        let limits = Limits { cpu: Duration::from_micros(100), ..handler("").limits.clone() };
        let (mut budget, meter) = budget(limits);
        let work = async move {
            budget.begin_call("ecs.drain", 0)?;
            while budget.cpu.until_now() <= Duration::from_micros(100) {}
            budget.end_call()
        };
        let spent = Metered::new(work, meter, Arc::default()).await.unwrap_err();
        assert_eq!(spent.to_string(), "cpu budget of 100us spent during ecs.drain");
    }

    #[test]
    fn what_wasi_holds_is_charged_once_and_counts_as_any_other_memory() {
        let (mut budget, _) = budget(Limits { memory: WASI_BYTES, ..handler("").limits.clone() });
        budget.wasi_called();
        budget.wasi_called();
        assert_eq!(budget.peak_memory(), WASI_BYTES);
        assert_eq!(budget.memory_spent(), None);
        assert!(budget.keep(1).is_err());
    }

    #[tokio::test]
    async fn what_is_computed_counts_until_others_had_the_thread_however_often_it_is_broken_off() {
        let meter = Arc::<CpuMeter>::default();
        let seen = Arc::clone(&meter);
        let work = async move {
            while seen.since_its_turn() < Duration::from_micros(100) {}
            tokio::task::yield_now().await;
            let carried = seen.since_its_turn();
            seen.its_turn_is_over();
            (carried, seen.since_its_turn())
        };
        let (carried, after) = Metered::new(work, meter, Arc::default()).await;
        assert!(carried >= Duration::from_micros(100), "a guest that waits for nothing would never wait for its turn");
        assert!(after < carried);
    }
}
