//! What the world says of an instance: facts, and what could not be had.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::services::{Service, Services};
use crate::capabilities::Ports;
use crate::policy::{NamePatterns, Onlooker};
use crate::ports::{ContainerInstance, GroupInstance, Instance, InstanceId, PortError, PortErrorKind, Task};

/// What is seen of an instance.
#[derive(Debug)]
pub struct Sight {
    /// The instance itself.
    pub(super) machine: Result<Instance, PortError>,
    /// As a member of its group.
    pub(super) member: Result<Option<GroupInstance>, PortError>,
    /// As a member of its cluster; none where its handler has nothing to do with ECS.
    pub(super) node: Option<Result<Option<Node>, PortError>>,
}

/// An instance as a member of its cluster.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) container_instance: ContainerInstance,
    pub(super) tasks: Result<Vec<Task>, PortError>,
    /// The services of these tasks.
    pub(super) services: Result<Vec<Service>, PortError>,
}

impl Sight {
    /// Looks at an instance, in the clusters that its handler knows. What cannot be had stops nothing else.
    pub async fn of(
        instance: &InstanceId,
        clusters: Option<Arc<NamePatterns>>,
        ports: &Ports,
        services: &dyn Services,
    ) -> Self {
        let onlooker = Onlooker(instance);
        let node = async {
            match clusters {
                Some(clusters) => Some(node(&onlooker, clusters, ports, services).await),
                None => None,
            }
        };
        let (machine, member, node) = tokio::join!(
            ports.ec2.describe_instance(onlooker.describe_instance()),
            ports.autoscaling.describe_instance(onlooker.describe_group_instance()),
            node,
        );
        Self { machine, member, node }
    }

    /// What it is in its cluster, where that is known.
    pub(super) fn node(&self) -> Option<&Node> {
        self.node.as_ref()?.as_ref().ok()?.as_ref()
    }

    /// EC2's word for where the instance is, if it is gone or going.
    pub(super) fn gone(&self) -> Option<&str> {
        match &self.machine {
            Ok(seen) if matches!(seen.state.as_str(), "shutting-down" | "terminated") => Some(&seen.state),
            Err(error) if error.kind == PortErrorKind::NotFound => Some("unknown"),
            _ => None,
        }
    }

    /// What could not be had, each with why.
    pub(super) fn unknown(&self) -> Vec<(&'static str, &PortError)> {
        let known = |error: &&PortError| error.kind != PortErrorKind::NotFound;
        let machine = self.machine.as_ref().err().filter(known).map(|error| ("the state of the instance", error));
        let member = self.member.as_ref().err().map(|error| ("its state in its group", error));
        let node = self.node.as_ref().and_then(|node| node.as_ref().err()).map(|error| ("its cluster", error));
        let tasks = self.node().and_then(|node| node.tasks.as_ref().err()).map(|error| ("its tasks", error));
        let services = self.node().and_then(|node| node.services.as_ref().err());
        let services = services.map(|error| ("what keeps its tasks", error));
        [machine, member, node, tasks, services].into_iter().flatten().collect()
    }
}

async fn node(
    onlooker: &Onlooker<'_>,
    clusters: Arc<NamePatterns>,
    ports: &Ports,
    services: &dyn Services,
) -> Result<Option<Node>, PortError> {
    let Some(seen) = ports.ecs.find_container_instance(onlooker.find_container_instance(clusters)).await? else {
        return Ok(None);
    };
    let tasks = ports.ecs.list_tasks(onlooker.list_tasks(seen.clone())).await;
    let listed = tasks.as_ref().map_or(&[][..], Vec::as_slice);
    let names: BTreeSet<_> = listed.iter().filter_map(|task| task.service().map(str::to_owned)).collect();
    let services = match Vec::from_iter(names) {
        none if none.is_empty() => Ok(Vec::new()),
        names => services.describe(&seen.cluster, &names).await,
    };
    Ok(Some(Node { container_instance: seen, tasks, services }))
}
