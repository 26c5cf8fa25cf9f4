//! The port to Amazon ECS.
//!
//! What the server filters, batches or claims is a hint here and never a proof: every container instance is recognised by the EC2
//! instance id ECS gives for it, and a task counts as ended only when ECS has said so of that very task.

mod find;
mod tasks;

use async_trait::async_trait;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{self, ContainerInstanceStatus};
use aws_smithy_async::future::pagination_stream::PaginationStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::error::Call;
use crate::capabilities::ecs::Ecs;
use crate::policy::{Drain, FindContainerInstance, Granted, ListTasks, StopTask};
use crate::ports::{ClusterName, ContainerInstance, InstanceId, PortError, PortErrorKind, Task};

/// How many container instances or tasks one Describe call takes, and one List call returns (API reference).
const BATCH: usize = 100;

/// [`BATCH`] as the page size that the List calls take.
const PAGE: i32 = 100;

/// How many things one listing may come to before it is taken for endless: twice ECS's quota of 5,000 container instances per cluster.
const LISTED_AT_MOST: usize = 10_000;

/// Amazon ECS.
#[derive(Debug)]
pub(super) struct AmazonEcs {
    client: Client,
    found_last: find::FoundLast,
}

impl AmazonEcs {
    pub(super) fn new(client: Client) -> Self {
        Self { client, found_last: find::FoundLast::default() }
    }
}

#[async_trait]
impl Ecs for AmazonEcs {
    async fn find_container_instance(
        &self,
        request: Granted<FindContainerInstance>,
    ) -> Result<Option<ContainerInstance>, PortError> {
        find::find(&self.client, &self.found_last, request.into_request()).await
    }

    async fn drain(&self, request: Granted<Drain>) -> Result<ContainerInstance, PortError> {
        drain(&self.client, request.into_request()).await
    }

    async fn list_tasks(&self, request: Granted<ListTasks>) -> Result<Vec<Task>, PortError> {
        tasks::list(&self.client, request.into_request()).await
    }

    async fn stop_task(&self, request: Granted<StopTask>) -> Result<(), PortError> {
        stop(&self.client, request.into_request()).await
    }
}

async fn drain(client: &Client, Drain { container_instance: seen }: Drain) -> Result<ContainerInstance, PortError> {
    let call = Call::new("ecs:UpdateContainerInstancesState", format!("{} in cluster {}", seen.instance, seen.cluster));
    match seen.status.as_str() {
        "ACTIVE" => {}
        "DRAINING" => return Ok(seen),
        status => {
            let what = format!("its container instance is {status}, and only an ACTIVE one can be set to DRAINING");
            return Err(call.error(PortErrorKind::Conflict, what));
        }
    }
    let answer = client
        .update_container_instances_state()
        .cluster(seen.cluster.as_str())
        .container_instances(&seen.arn)
        .status(ContainerInstanceStatus::Draining)
        .send()
        .await
        .map_err(|error| call.failed(&error))?;
    if let Some(failure) = answer.failures().first() {
        let kind = match failure.reason() {
            Some("MISSING") => PortErrorKind::NotFound,
            _ => PortErrorKind::Conflict,
        };
        return Err(call.error(kind, format!("ECS did not set it to DRAINING: {}", failure_text(failure))));
    }
    answer
        .container_instances()
        .iter()
        .filter_map(|found| container_instance(&seen.cluster, found))
        .find(|found| found.instance == seen.instance)
        .ok_or_else(|| {
            let what = format!("ECS answered about another instance than the one of {}", seen.arn);
            call.error(PortErrorKind::Other, what)
        })
}

async fn stop(client: &Client, request: StopTask) -> Result<(), PortError> {
    let StopTask { container_instance: on, task, reason } = request;
    let call = Call::new("ecs:StopTask", format!("{task} on {}", on.instance));
    let result = client.stop_task().cluster(on.cluster.as_str()).task(task.as_str()).reason(reason).send().await;
    match result {
        Ok(_) => Ok(()),
        // ECS forgets a task about an hour after its end: "The referenced task was not found."
        Err(error)
            if error.code() == Some("InvalidParameterException")
                && error.message().is_some_and(|message| message.contains("task was not found")) =>
        {
            Ok(())
        }
        Err(error) => Err(call.failed(&error)),
    }
}

/// What the SDK gives, as a fact; none when it is not an EC2 instance (ECS Anywhere has `mi-…`) or has no name.
fn container_instance(cluster: &ClusterName, from: &types::ContainerInstance) -> Option<ContainerInstance> {
    Some(ContainerInstance {
        arn: from.container_instance_arn()?.to_owned(),
        cluster: cluster.clone(),
        instance: InstanceId::parse(from.ec2_instance_id()?).ok()?,
        status: from.status().unwrap_or("UNKNOWN").to_owned(),
        agent_connected: from.agent_connected(),
        running_tasks: u32::try_from(from.running_tasks_count()).unwrap_or_default(),
        pending_tasks: u32::try_from(from.pending_tasks_count()).unwrap_or_default(),
    })
}

/// All the ARNs of a listing, whatever the number of pages.
async fn arns<E>(
    call: &Call,
    mut stream: PaginationStream<Result<String, SdkError<E, HttpResponse>>>,
) -> Result<Vec<String>, PortError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let mut arns = Vec::new();
    while let Some(arn) = stream.next().await {
        arns.push(arn.map_err(|error| call.failed(&error))?);
        if arns.len() > LISTED_AT_MOST {
            let what = format!("more than {LISTED_AT_MOST} things are listed; ECS has no clusters of that size");
            return Err(call.error(PortErrorKind::Other, what));
        }
    }
    Ok(arns)
}

/// The things ECS says are gone. Any other failure leaves us not knowing, which is an error.
fn missing<'a>(call: &Call, failures: &'a [types::Failure]) -> Result<Vec<&'a str>, PortError> {
    failures
        .iter()
        .map(|failure| match (failure.reason(), failure.arn()) {
            (Some("MISSING"), Some(arn)) => Ok(arn),
            _ => Err(call.error(PortErrorKind::Unavailable, format!("ECS cannot tell: {}", failure_text(failure)))),
        })
        .collect()
}

fn failure_text(failure: &types::Failure) -> String {
    let reason = failure.reason().unwrap_or("no reason given");
    match failure.detail() {
        Some(detail) => format!("{reason} ({detail})"),
        None => reason.to_owned(),
    }
}

/// The last part of an ARN: the id, the same in the long form of an ARN and in the short one of before 2021.
fn id_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests;
