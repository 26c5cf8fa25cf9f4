//! ECS services, for who asks what keeps their tasks.

use async_trait::async_trait;
use aws_sdk_ecs::types::{self, SchedulingStrategy};

use super::AmazonEcs;
use crate::aws::error::Call;
use crate::diagnosis::{Service, Services, Strategy, obstacle};
use crate::ports::{ClusterName, PortError};

/// How many services one call describes (API reference).
const AT_ONCE: usize = 10;

/// The limits of a deployment that says nothing of them (API reference, `DeploymentConfiguration`, for replica services).
const MINIMUM_PERCENT: i32 = 100;
const MAXIMUM_PERCENT: i32 = 200;

#[async_trait]
impl Services for AmazonEcs {
    /// Asks at once: a person asks now and then, and AWS has a bucket of its own for it.
    async fn describe(&self, cluster: &ClusterName, names: &[String]) -> Result<Vec<Service>, PortError> {
        let mut services = Vec::new();
        for names in names.chunks(AT_ONCE) {
            let call = Call::new("ecs:DescribeServices", format!("{} in cluster {cluster}", names.join(", ")));
            let asked = self.client.describe_services().cluster(cluster.as_str()).set_services(Some(names.to_vec()));
            let answer = asked.send().await.map_err(|error| call.failed(&error))?;
            services.extend(answer.services().iter().filter_map(service));
        }
        Ok(services)
    }
}

/// What the SDK gives, as a fact; none of a service that is not there any more (it is INACTIVE for a while).
fn service(from: &types::Service) -> Option<Service> {
    if from.status() == Some("INACTIVE") {
        return None;
    }
    let count = |count: i32| u32::try_from(count).unwrap_or_default();
    let limits = from.deployment_configuration();
    let strategy = match from.scheduling_strategy() {
        Some(SchedulingStrategy::Daemon) => Strategy::Daemon,
        _ => Strategy::Replica {
            desired: count(from.desired_count()),
            minimum_percent: count(
                limits.and_then(|limits| limits.minimum_healthy_percent()).unwrap_or(MINIMUM_PERCENT),
            ),
            maximum_percent: count(limits.and_then(|limits| limits.maximum_percent()).unwrap_or(MAXIMUM_PERCENT)),
        },
    };
    Some(Service {
        name: from.service_name()?.to_owned(),
        strategy,
        running: count(from.running_count()),
        pending: count(from.pending_count()),
        obstacle: obstacle(from.events().iter().filter_map(|event| event.message())).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::Client;
    use serde_json::json;

    use super::*;
    use crate::aws::budget::Budget;
    use crate::aws::fake::{Fake, Reply};

    async fn described(fake: &Fake, names: &[String]) -> Result<Vec<Service>, PortError> {
        let ecs = AmazonEcs::new(Client::new(&fake.config()), Budget::new());
        ecs.describe(&ClusterName::parse("prod").unwrap(), names).await
    }

    #[tokio::test(start_paused = true)]
    async fn services_come_ten_at_a_time_with_what_is_in_their_way() {
        let names: Vec<_> = (0..11).map(|number| format!("s{number}")).collect();
        let fake = Fake::new(|call| {
            let asked = call.json()["services"].as_array().unwrap().clone();
            assert!(asked.len() <= 10, "ECS refuses more than 10 at once");
            let services = asked.iter().map(|name| {
                json!({
                    "serviceName": name, "status": "ACTIVE", "schedulingStrategy": "REPLICA", "desiredCount": 2,
                    "runningCount": 2, "pendingCount": 0,
                    "deploymentConfiguration": { "maximumPercent": 100, "minimumHealthyPercent": 50 },
                    "events": [
                        { "id": "2", "message": "(service web) was unable to place a task because ..." },
                        { "id": "1", "message": "(service web) has reached a steady state." },
                    ],
                })
            });
            Reply::json(&json!({ "services": services.collect::<Vec<_>>(), "failures": [] }))
        });
        let found = described(&fake, &names).await.unwrap();
        assert_eq!((found.len(), fake.calls().len()), (11, 2));
        let strategy = Strategy::Replica { desired: 2, minimum_percent: 50, maximum_percent: 100 };
        let obstacle = Some("(service web) was unable to place a task because ...".to_owned());
        assert_eq!(found[10], Service { name: "s10".into(), strategy, running: 2, pending: 0, obstacle });
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_gone_is_left_out_and_a_daemon_has_no_limits() {
        let fake = Fake::always(Reply::json(&json!({
            "services": [
                { "serviceName": "gone", "status": "INACTIVE" },
                { "serviceName": "agent", "status": "ACTIVE", "schedulingStrategy": "DAEMON", "runningCount": 3 },
            ],
            "failures": [{ "arn": "never", "reason": "MISSING" }],
        })));
        let found = described(&fake, &["gone".into(), "agent".into(), "never".into()]).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].strategy, found[0].running), (Strategy::Daemon, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_permission_the_error_names_it() {
        let fake = Fake::always(Reply::json_error(400, "AccessDeniedException", "no"));
        let error = described(&fake, &["web".into()]).await.unwrap_err();
        insta::assert_snapshot!(error.message, @"ecs:DescribeServices for web in cluster prod: not allowed by IAM (AccessDeniedException: no, HTTP 400, request req-1); allow ecs:DescribeServices for the role Hostler runs as");
    }
}
