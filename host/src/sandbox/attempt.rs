//! The state of one attempt: what its store holds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::budget::{Budget, CpuMeter, HANDLES};
use super::{Pace, wasi};
use crate::capabilities::Ports;
use crate::capabilities::log::GuestLog;
use crate::event::Event;
use crate::ledger::LeaseEnd;
use crate::policy::{Handler, Scope};
use crate::ports::{ContainerInstance, InstanceId, TaskArn};

/// One run of a handler for an event, as it is asked for.
#[derive(Clone)]
pub struct Task {
    /// The handler, with its grants and limits.
    pub handler: Arc<Handler>,
    /// The event.
    pub event: Arc<Event>,
    /// 1 on the first.
    pub attempt: u32,
    /// What the previous attempt left.
    pub state: Option<String>,
    /// When AWS, or the policy, goes on whatever the handler does.
    pub deadline: Option<Timestamp>,
    /// When the lease on the instance ends: after it nothing is changed; none if there is no lease.
    pub lease: Option<Arc<LeaseEnd>>,
}

/// What the host functions work on.
pub(crate) struct Attempt {
    pub(crate) task: Task,
    pub(crate) scope: Scope,
    pub(crate) ports: Ports,
    pub(crate) budget: Budget,
    pub(crate) log: GuestLog,
    /// When the wall budget ends.
    pub(crate) ends: Instant,
    /// Container instances already found in this attempt, so that a call does not search for them again.
    pub(crate) found: HashMap<InstanceId, ContainerInstance>,
    /// Tasks shown to the guest in this attempt, with the instance each ran on.
    pub(crate) listed: HashSet<(InstanceId, TaskArn)>,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Attempt {
    pub(crate) fn new(task: Task, ports: Ports, ends: Instant, pace: Pace, cpu: &Arc<CpuMeter>) -> Self {
        let log = GuestLog::new(&task.handler.name, &task.event.id, task.attempt, &task.handler.limits);
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Self {
            scope: Scope::new(Arc::clone(&task.handler), task.event.instance.clone()),
            budget: Budget::new(task.handler.limits.clone(), Arc::clone(cpu)),
            ends,
            found: HashMap::new(),
            listed: HashSet::new(),
            wasi: wasi::empty(&task, &ports, &log, pace),
            log,
            table,
            task,
            ports,
        }
    }
}

impl WasiView for Attempt {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Every function of WASI begins here.
        self.budget.wasi_called();
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
