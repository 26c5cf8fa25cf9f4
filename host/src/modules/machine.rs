//! What this machine has for a compiler, and what it has given it.

use std::time::Duration;

use sysinfo::{MemoryRefreshKind, Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System};

/// The memory that this process and its children may take, in bytes: that of the machine, or less in a container or a unit of systemd.
///
/// `u64::MAX` where it cannot be told.
pub(super) fn memory() -> u64 {
    let Ok(mut system) = System::new() else { return u64::MAX };
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let machine = system.total_memory();
    let limits = look_at(std::process::id(), ProcessRefreshKind::nothing(), Process::cgroup_limits).flatten();
    let allowed = limits.map_or(machine, |limits| limits.total_memory.min(machine));
    if allowed == 0 { u64::MAX } else { allowed }
}

/// The time that processors have given to a process and its threads; none once it is gone.
pub(super) fn processor_time(process: u32) -> Duration {
    let spent = look_at(process, ProcessRefreshKind::nothing().with_cpu(), Process::accumulated_cpu_time);
    Duration::from_millis(spent.unwrap_or_default())
}

/// What `what` sees of one process, whose id is `process`.
fn look_at<T>(process: u32, kind: ProcessRefreshKind, what: impl FnOnce(&Process) -> T) -> Option<T> {
    let mut system = System::new().ok()?;
    let pid = Pid::from_u32(process);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
    system.process(pid).map(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_some_memory_and_what_it_has_computed_is_known() {
        assert!((1 << 20..u64::MAX).contains(&memory()), "{}", memory());
        let spent = || processor_time(std::process::id());
        let before = spent();
        // Looking takes time too.
        assert!((0..1_000_000).any(|_| spent() > before));
    }

    #[test]
    fn a_process_that_is_gone_has_no_time() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(processor_time(child.id()), Duration::ZERO);
    }
}
