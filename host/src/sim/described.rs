//! What Amazon ECS says of services in the simulated world.

use async_trait::async_trait;

use super::World;
use super::node::Phase;
use super::service::Strategy as Scheduling;
use crate::diagnosis::{Service, Services, Strategy};
use crate::ports::{ClusterName, PortError};

#[async_trait]
impl Services for World {
    /// API reference, DescribeServices. One that the world has no `[[service]]` for is unknown.
    async fn describe(&self, cluster: &ClusterName, names: &[String]) -> Result<Vec<Service>, PortError> {
        self.call(
            "ecs.describe-services",
            names.join(", "),
            |state, _| {
                let known = names.iter().filter_map(|name| state.service(cluster, name));
                let described = known.map(|index| {
                    let count = |wanted: fn(Phase) -> bool| {
                        let count = state.tasks_of(index).filter(|(.., task)| wanted(task.phase)).count();
                        u32::try_from(count).unwrap_or(u32::MAX)
                    };
                    let service = &state.services[index];
                    Service {
                        name: service.name.clone(),
                        strategy: strategy(service.strategy),
                        running: count(|phase| matches!(phase, Phase::Running | Phase::Unheard)),
                        pending: count(|phase| matches!(phase, Phase::Pending { .. })),
                        obstacle: service.said.map(|said| format!("(service {}) {said}", service.name)),
                    }
                });
                Ok(described.collect())
            },
            |described: &Vec<Service>| {
                let names: Vec<_> = described.iter().map(|service| service.name.as_str()).collect();
                names.join(", ")
            },
        )
    }
}

/// The world keeps whole tasks, so the percentages are those that come to as many.
fn strategy(strategy: Scheduling) -> Strategy {
    match strategy {
        Scheduling::Daemon => Strategy::Daemon,
        Scheduling::Replica { desired, minimum, maximum } => {
            let number = |tasks: usize| u32::try_from(tasks).unwrap_or(u32::MAX);
            let percent = |tasks: usize, up: bool| {
                let hundredfold = tasks * 100;
                number(if up { hundredfold.div_ceil(desired.max(1)) } else { hundredfold / desired.max(1) })
            };
            // Rounded the other way than they are read, so that they come to the same tasks again.
            let (minimum_percent, maximum_percent) = (percent(minimum, false), percent(maximum, true));
            Strategy::Replica { desired: number(desired), minimum_percent, maximum_percent }
        }
    }
}
