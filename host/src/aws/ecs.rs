//! The port to Amazon ECS.
//!
//! What the server filters, batches or claims is a hint here and never a proof: every container instance is recognised by the EC2
//! instance id ECS gives for it, and a task counts as ended only when ECS has said so of that very task.

mod find;
mod members;
mod services;
mod tasks;

use async_trait::async_trait;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{self, ContainerInstanceStatus};
use aws_smithy_async::future::pagination_stream::PaginationStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::batch::Batches;
use super::budget::Budget;
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
    budget: Budget,
    found_last: find::FoundLast,
    members: Batches<members::Members>,
    tasks: Batches<tasks::Described>,
}

impl AmazonEcs {
    pub(super) fn new(client: Client, budget: Budget) -> Self {
        Self {
            found_last: find::FoundLast::default(),
            members: Batches::new(members::Members::new(client.clone(), budget.clone())),
            tasks: Batches::new(tasks::Described::new(client.clone(), budget.clone())),
            client,
            budget,
        }
    }
}

#[async_trait]
impl Ecs for AmazonEcs {
    async fn find_container_instance(
        &self,
        request: Granted<FindContainerInstance>,
    ) -> Result<Option<ContainerInstance>, PortError> {
        self.find(request.into_request()).await
    }

    async fn drain(&self, request: Granted<Drain>) -> Result<ContainerInstance, PortError> {
        self.set_draining(request.into_request()).await
    }

    async fn list_tasks(&self, request: Granted<ListTasks>) -> Result<Vec<Task>, PortError> {
        self.unfinished_tasks(request.into_request()).await
    }

    async fn stop_task(&self, request: Granted<StopTask>) -> Result<(), PortError> {
        self.stop(request.into_request()).await
    }
}

impl AmazonEcs {
    async fn set_draining(&self, Drain { container_instance: seen }: Drain) -> Result<ContainerInstance, PortError> {
        let call =
            Call::new("ecs:UpdateContainerInstancesState", format!("{} in cluster {}", seen.instance, seen.cluster));
        match seen.status.as_str() {
            "ACTIVE" => {}
            "DRAINING" => return Ok(seen),
            status => {
                let what = format!("its container instance is {status}, and only an ACTIVE one can be set to DRAINING");
                return Err(call.error(PortErrorKind::Conflict, what));
            }
        }
        self.budget.turn(call.operation()).await;
        let answer = self
            .client
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

    async fn stop(&self, request: StopTask) -> Result<(), PortError> {
        let StopTask { container_instance: on, task, reason } = request;
        let call = Call::new("ecs:StopTask", format!("{task} on {}", on.instance));
        self.budget.turn(call.operation()).await;
        let result =
            self.client.stop_task().cluster(on.cluster.as_str()).task(task.as_str()).reason(reason).send().await;
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

/// The ARNs of a page, and the token of the next one.
type Page = (Option<Vec<String>>, Option<String>);

/// All the ARNs of a listing, whatever the number of pages. The first page has had its turn.
async fn arns<P, E>(
    budget: &Budget,
    call: &Call,
    mut pages: PaginationStream<Result<P, SdkError<E, HttpResponse>>>,
    take: fn(P) -> Page,
) -> Result<Vec<String>, PortError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let mut arns = Vec::new();
    while let Some(page) = pages.next().await {
        let (found, next) = take(page.map_err(|error| call.failed(&error))?);
        arns.extend(found.unwrap_or_default());
        if arns.len() > LISTED_AT_MOST {
            let what = format!("more than {LISTED_AT_MOST} things are listed; ECS has no clusters of that size");
            return Err(call.error(PortErrorKind::Other, what));
        }
        if next.is_some() {
            budget.turn(call.operation()).await;
        }
    }
    Ok(arns)
}

/// Of what ECS could not describe, the things that are gone. Any other failure leaves us not knowing, which is an error.
fn gone<'a>(call: &Call, failure: &'a types::Failure) -> Result<&'a str, PortError> {
    match (failure.reason(), failure.arn()) {
        (Some("MISSING"), Some(arn)) => Ok(arn),
        _ => Err(call.error(PortErrorKind::Unavailable, format!("ECS cannot tell: {}", failure_text(failure)))),
    }
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
