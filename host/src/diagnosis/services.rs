//! ECS services, as far as they keep their tasks on an instance that is to go.

use async_trait::async_trait;

use crate::ports::{ClusterName, PortError};

/// Amazon ECS's side of the question. Capabilities cannot reach it.
#[async_trait]
pub trait Services: Send + Sync {
    /// The services of these names (DescribeServices). One that ECS does not know, or no longer, is not in the answer.
    async fn describe(&self, cluster: &ClusterName, names: &[String]) -> Result<Vec<Service>, PortError>;
}

/// An ECS service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// How its tasks are counted.
    pub strategy: Strategy,
    /// How many of its tasks run.
    pub running: u32,
    /// How many of its tasks are about to.
    pub pending: u32,
    /// What it says stands in its way; none since it reached a steady state.
    pub obstacle: Option<String>,
}

/// The scheduling strategy of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// REPLICA: so many tasks, wherever there is room.
    Replica {
        /// How many.
        desired: u32,
        /// `minimumHealthyPercent`.
        minimum_percent: u32,
        /// `maximumPercent`.
        maximum_percent: u32,
    },
    /// DAEMON: one task on each container instance.
    Daemon,
}

impl Service {
    /// How many tasks are to run, how many of them have to all the time, and how many there may be; none for a daemon.
    ///
    /// API reference, `DeploymentConfiguration`: the minimum is rounded up to whole tasks, the maximum down.
    pub(super) fn limits(&self) -> Option<(u32, u32, u32)> {
        let Strategy::Replica { desired, minimum_percent, maximum_percent } = self.strategy else { return None };
        let minimum = u64::from(desired) * u64::from(minimum_percent);
        let maximum = u64::from(desired) * u64::from(maximum_percent);
        let tasks = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Some((desired, tasks(minimum.div_ceil(100)), tasks(maximum / 100)))
    }
}

/// What a service says stands in its way, among its event messages, the newest first ("Amazon ECS service event messages").
///
/// ECS repeats none of them while nothing changes, so an old one holds until it is followed by a steady state.
pub fn obstacle<'e>(mut newest_first: impl Iterator<Item = &'e str>) -> Option<&'e str> {
    newest_first
        .find(|said| said.contains("unable to") || said.contains("has reached a steady state"))
        .filter(|said| said.contains("unable to"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_the_way_before_a_steady_state_no_longer_is() {
        let (stuck, steady, other) = (
            "(service web) was unable to place a task because no container instance met all of its requirements.",
            "(service web) has reached a steady state.",
            "(service web) registered 1 targets in (target-group x)",
        );
        assert_eq!(obstacle([other, stuck, steady].into_iter()), Some(stuck));
        assert_eq!(obstacle([other, steady, stuck].into_iter()), None);
        assert_eq!(obstacle([other].into_iter()), None);
    }

    #[test]
    fn percentages_are_of_whole_tasks() {
        let limits = |desired, minimum_percent, maximum_percent| {
            let strategy = Strategy::Replica { desired, minimum_percent, maximum_percent };
            Service { name: "web".into(), strategy, running: 0, pending: 0, obstacle: None }.limits()
        };
        assert_eq!(limits(3, 50, 150), Some((3, 2, 4)));
        assert_eq!(limits(1, 100, 199), Some((1, 1, 1)));
        assert_eq!(limits(u32::MAX, 100, 200), Some((u32::MAX, u32::MAX, u32::MAX)));
    }
}
