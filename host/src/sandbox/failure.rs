//! Why a call into a guest did not return, in words that say whose bound it met.

use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::bounded::{cut, written};
use super::budget::Budget;
use super::{HOSTCALL_BYTES, NOTE_BYTES, Task};
use crate::capabilities::call::LeaseEnded;
use crate::outcome::{BudgetSpent, Failure};

/// What is kept of a backtrace, in bytes: a plugin's author names its functions, at any length.
const BACKTRACE_BYTES: usize = 4 << 10;

/// What wasmtime says when a call hands over more than [`HOSTCALL_BYTES`]. Its error has no public type.
const HOSTCALL_FUEL_SPENT: &str = "fuel allocated for hostcalls has been exhausted";

/// What wasmtime says when a guest holds more handles than the store allows. Its error has no public type either.
const HANDLES_SPENT: &str = "store handle limit exceeded";

/// Why a call into the guest did not return.
pub(super) fn failure(error: &wasmtime::Error, budget: &Budget) -> Failure {
    if let Some(spent) = error.downcast_ref::<BudgetSpent>() {
        return Failure::Budget(spent.clone());
    }
    if error.is::<LeaseEnded>() {
        return Failure::LeaseEnded;
    }
    if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        let message = format!("the plugin ended itself with exit status {status}, where a handler returns its outcome");
        return Failure::Contract(message);
    }
    let root = error.root_cause().to_string();
    if error.downcast_ref::<Trap>() == Some(&Trap::StackOverflow) {
        return Failure::Budget(budget.stack_spent());
    }
    if root.contains(HANDLES_SPENT) || matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return Failure::Budget(budget.handles_spent());
    }
    if root.contains(HOSTCALL_FUEL_SPENT) {
        return Failure::Contract(format!(
            "the plugin handed the host more than {} MiB in one call",
            HOSTCALL_BYTES >> 20
        ));
    }
    // A guest that was refused memory, or room in a table, dies of what looks like a panic.
    match budget.memory_spent().or_else(|| budget.table_spent()) {
        Some(spent) => Failure::Budget(spent),
        None => Failure::Trap(cut(&root, NOTE_BYTES)),
    }
}

/// Where in the guest it happened, on a line of its own: for the plugin's author.
pub(super) fn log_backtrace(task: &Task, error: &wasmtime::Error) {
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>()
        && tracing::enabled!(tracing::Level::DEBUG)
    {
        let (handler, event, attempt) = (task.handler.name.as_str(), task.event.id.as_str(), task.attempt);
        let backtrace = told(backtrace);
        tracing::debug!(handler, event, attempt, backtrace, "the attempt ended inside the plugin");
    }
}

/// A backtrace in text. Names that no compiler makes are cut before anybody tries to make sense of them, which takes its time.
fn told(backtrace: &WasmBacktrace) -> String {
    let names = backtrace.frames().iter().map(|frame| frame.func_name().unwrap_or("<unknown>"));
    if names.clone().all(|name| name.len() <= NOTE_BYTES) {
        return written(backtrace, BACKTRACE_BYTES);
    }
    cut(&names.map(|name| cut(name, NOTE_BYTES)).collect::<Vec<_>>().join("\n"), BACKTRACE_BYTES)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wasmtime::{Engine, Instance, Module, Store};

    use super::*;
    use crate::testing::handler;

    /// The backtrace of a function of this name that recurses without end.
    fn backtrace_of(name: &str) -> String {
        let text = format!("(module (func $down (@name \"{name}\") (export \"down\") (call $down)))");
        let engine = Engine::default();
        let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let down = instance.get_typed_func::<(), ()>(&mut store, "down").unwrap();
        told(down.call(&mut store, ()).unwrap_err().downcast_ref().expect("a backtrace"))
    }

    #[test]
    fn a_lease_that_has_ended_is_no_trap_of_the_plugin() {
        let budget = Budget::new(handler("").limits.clone(), Arc::default());
        let error = wasmtime::Error::from(LeaseEnded).context("in a call of the plugin");
        assert_eq!(failure(&error, &budget), Failure::LeaseEnded);
    }

    #[test]
    fn a_backtrace_names_functions_as_their_author_did() {
        let told = backtrace_of("_ZN4core3fmt5write17h0123456789abcdefE");
        assert!(told.contains("<unknown>!core::fmt::write::h"), "{told}");
    }

    /// Names are the author's, of any length and in any mangling, and are in each line.
    #[test]
    fn a_backtrace_of_names_of_megabytes_is_cut_and_nobody_makes_sense_of_them() {
        let parts = 1 << 18;
        for name in
            ["xxxx".repeat(parts), format!("_ZN{}E", "3abc".repeat(parts)), format!("_R{}", "CCCC".repeat(parts))]
        {
            let told = backtrace_of(&name);
            assert!(told.starts_with(&name[..NOTE_BYTES]) && told.len() < BACKTRACE_BYTES + 8, "{}", told.len());
        }
    }
}
