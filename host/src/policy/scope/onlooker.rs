//! What a person may look at who asks why an instance is still here: reads of one instance, whatever its handler is granted.
//!
//! Grants bind plugins. A person is bound by the permissions of their own credentials, which AWS judges.

use std::sync::Arc;

use super::{DescribeGroupInstance, DescribeInstance, FindContainerInstance, Granted, ListTasks};
use crate::policy::NamePatterns;
use crate::ports::{ContainerInstance, InstanceId};

/// Somebody who looks at one instance, and changes nothing. Plugins never get hold of it.
#[derive(Debug)]
pub struct Onlooker<'a>(pub &'a InstanceId);

impl Onlooker<'_> {
    /// The instance as a member of a cluster.
    pub fn find_container_instance(&self, clusters: Arc<NamePatterns>) -> Granted<FindContainerInstance> {
        Granted(FindContainerInstance { instance: self.0.clone(), clusters })
    }

    /// The tasks on it.
    pub fn list_tasks(&self, seen: ContainerInstance) -> Granted<ListTasks> {
        Granted(ListTasks { container_instance: seen })
    }

    /// The instance as a member of its group.
    pub fn describe_group_instance(&self) -> Granted<DescribeGroupInstance> {
        Granted(DescribeGroupInstance { instance: self.0.clone() })
    }

    /// The instance itself.
    pub fn describe_instance(&self) -> Granted<DescribeInstance> {
        Granted(DescribeInstance { instance: self.0.clone() })
    }
}
