//! What crosses a port: ids, facts and failures, as plain data.
//!
//! A *port* is a trait over the outside world. The traits stand beside the code that uses them (`capabilities`, `modules`,
//! `dispatch`); what they speak is here, so that `event`, `policy` and the simulated world know neither the AWS SDK nor wasmtime.

mod bytes;
mod error;
mod facts;
mod ids;

pub use error::{PortError, PortErrorKind};
pub use facts::{CommandOutput, ContainerInstance, GroupInstance, Instance, Place, Task};
pub use ids::{AccountId, ClusterName, GroupName, HookName, IdError, InstanceId, Region, TaskArn};
