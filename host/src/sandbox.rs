//! Runs a handler: a fresh store for each attempt, under the handler's limits, with nothing but its grants.
//!
//! Owns the engine, the budgets and the translation of the contract's types. Knows nothing of where modules come from, of
//! routing, or of what an outcome leads to.

mod attempt;
pub(crate) mod bounded;
mod budget;
mod code;
mod engine;
mod failure;
mod memory;
mod turns;
mod wasi;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Engine, Store, UpdateDeadline};

pub(crate) use attempt::Attempt;
pub use attempt::Task;
pub use code::Code;
pub use engine::Capacity;
pub use turns::runtime;

use crate::bindings::hostler::handler::types;
use crate::bindings::{Handler, HandlerPre};
use crate::capabilities::Ports;
use crate::capabilities::clock::unix_milliseconds;
use crate::outcome::{Failure, Outcome, Retry};
use bounded::{as_json, cut};
pub(crate) use budget::WASI;
use budget::{CpuMeter, HANDLES, Metered};
use failure::{failure, log_backtrace};
use turns::{Turn, Turns};

/// What one call may hand from guest to host, in bytes: enough for a file of a megabyte on standard input.
const HOSTCALL_BYTES: usize = 4 << 20;

/// The longest a guest runs before others get the thread, and it waits for its turn.
const SLICE: Duration = Duration::from_millis(2);

/// The longest `state` a handler may leave for its next attempt, in bytes as JSON writes them: it is kept in the ledger.
const STATE_BYTES: usize = 64 << 10;

/// What is kept of a note, or of a handler's error, in bytes.
const NOTE_BYTES: usize = 1 << 10;

/// How attempts share time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Real time: a guest that computes for long yields to others.
    Real,
    /// Virtual time: guests never yield, since a yield follows real time and would reorder tasks; and their random numbers are
    /// the same in every run.
    Virtual,
}

/// The place where guests run. One per process.
pub struct Sandbox {
    engine: Engine,
    linker: Linker<Attempt>,
    /// The address space behind each linear memory, in bytes: code has to be compiled for it.
    memory: u64,
    /// One permit for each slot of the pool.
    slots: Semaphore,
    turns: Turns,
    pace: Pace,
}

/// Room for one attempt: it ends with it.
pub struct Slot<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

/// A module that has been compiled and linked: everything about it that is the same for every attempt.
#[derive(Clone)]
pub struct Module {
    /// SHA-256 of the `.wasm`, in hexadecimal.
    pub digest: String,
    /// Size of the `.wasm`, in bytes.
    pub size: usize,
    pre: HandlerPre<Attempt>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").field("digest", &self.digest).field("size", &self.size).finish_non_exhaustive()
    }
}

/// What an attempt came to, and what it took.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it came to.
    pub outcome: Outcome,
    /// CPU time of the guest and of host code run for it.
    pub cpu: Duration,
    /// From start to end.
    pub wall: Duration,
    /// The most it held at once in memories, tables and the host, in bytes.
    pub peak_memory: u64,
    /// Host calls made.
    pub host_calls: u32,
    /// Log lines that did not fit the `log` and `log-lines` limits.
    pub log_dropped: u64,
}

impl Sandbox {
    /// Sets up engine, linker and the epoch thread.
    pub fn new(capacity: Capacity, pace: Pace) -> wasmtime::Result<Self> {
        let engine = engine::build(capacity)?;
        engine::tick(&engine)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        Handler::add_to_linker::<_, HasSelf<Attempt>>(&mut linker, |attempt| attempt)?;
        let slots = Semaphore::new(capacity.attempts as usize);
        Ok(Self { engine, linker, memory: capacity.memory, slots, turns: Turns::of_this_machine(), pace })
    }

    /// Room for one attempt, waited for as long as others have all of it. That is not the handler's time: no budget runs.
    pub async fn slot(&self) -> Slot<'_> {
        // The semaphore is never closed, which is the only way for this to fail.
        Slot { _permit: self.slots.acquire().await.ok() }
    }

    /// Runs one attempt. `wall` bounds it: the handler's limit, or what is left for it if that is less.
    pub async fn run(&self, _slot: Slot<'_>, module: &Module, task: Task, ports: Ports, wall: Duration) -> Report {
        let began = Instant::now();
        let ends = began + wall;
        let (meter, turn) = (Arc::new(CpuMeter::default()), Arc::new(Turn::default()));
        let event = wire_event(&task);
        let mut attempt = Attempt::new(task, ports, ends, self.pace, &meter);
        // Refused, it is remembered, and the first memory that the guest asks for is refused too.
        let _remembered = attempt.budget.keep(event.detail.len() + event.state.as_ref().map_or(0, String::len));
        let mut store = self.store(attempt, &meter, &turn);

        let call = async {
            let handler = module.pre.instantiate_async(&mut store).await?;
            handler.call_handle(&mut store, &event).await
        };
        let returned = tokio::time::timeout_at(ends, Metered::new(call, Arc::clone(&meter), turn)).await;

        let budget = &store.data().budget;
        let outcome = match returned {
            Ok(Ok(returned)) => outcome(returned),
            Ok(Err(error)) => {
                log_backtrace(&store.data().task, &error);
                Outcome::Failed(failure(&error, budget))
            }
            Err(_elapsed) => Outcome::Failed(Failure::Budget(budget.wall_spent(wall))),
        };
        Report {
            outcome,
            cpu: meter.spent(),
            wall: began.elapsed(),
            peak_memory: budget.peak_memory(),
            host_calls: budget.host_calls(),
            log_dropped: store.data().log.dropped(),
        }
    }

    fn store(&self, attempt: Attempt, meter: &Arc<CpuMeter>, turn: &Arc<Turn>) -> Store<Attempt> {
        let mut store = Store::new(&self.engine, attempt);
        store.limiter(|attempt| &mut attempt.budget);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        store.set_max_component_handles(HANDLES);
        store.set_epoch_deadline(1);
        let (meter, pace) = (Arc::clone(meter), self.pace);
        let (turns, turn) = (self.turns.clone(), Arc::clone(turn));
        store.epoch_deadline_callback(move |mut store| match store.data_mut().budget.look() {
            Some(spent) => Err(spent.into()),
            None if meter.since_its_turn() > SLICE && pace == Pace::Real => {
                meter.its_turn_is_over();
                Ok(UpdateDeadline::YieldCustom(1, Box::pin(turns.wait(&turn))))
            }
            None => Ok(UpdateDeadline::Continue(1)),
        });
        store
    }
}

/// The event in the contract's form.
fn wire_event(task: &Task) -> types::Event {
    let event = &task.event;
    types::Event {
        id: event.id.clone(),
        kind: event.kind.as_str().to_owned(),
        source: event.source.clone(),
        detail_type: event.detail_type.clone(),
        account: event.account.to_string(),
        region: event.region.to_string(),
        time: unix_milliseconds(event.time),
        instance: event.instance.as_ref().map(ToString::to_string),
        group: event.group.as_ref().map(ToString::to_string),
        deadline: task.deadline.map(unix_milliseconds),
        attempt: task.attempt,
        state: task.state.clone(),
        detail: event.detail(),
    }
}

/// What a handler returned, held to the contract's bounds.
fn outcome(returned: Result<types::Outcome, String>) -> Outcome {
    match returned {
        Ok(types::Outcome::Done) => Outcome::Done,
        Ok(types::Outcome::Abandon(why)) => Outcome::Abandon { why: cut(&why, NOTE_BYTES) },
        Ok(types::Outcome::Again(retry)) => match retry.state {
            Some(state) if as_json(&state) > STATE_BYTES => Outcome::Failed(Failure::Contract(format!(
                "the handler left a state of {} bytes (as JSON writes it) for its next attempt; at most {STATE_BYTES} are kept",
                as_json(&state)
            ))),
            state => Outcome::Again(Retry {
                after: Duration::from_secs(retry.after_seconds.into()),
                note: cut(&retry.note, NOTE_BYTES),
                state,
            }),
        },
        Err(why) => Outcome::Failed(Failure::Handler(cut(&why, NOTE_BYTES))),
    }
}

#[cfg(test)]
mod tests;
