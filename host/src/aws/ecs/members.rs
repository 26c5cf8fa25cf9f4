//! Which container instances the EC2 instances of a cluster have, asked about many at once.

use async_trait::async_trait;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::operation::list_container_instances::ListContainerInstancesOutput;

use super::{BATCH, PAGE, arns, container_instance, gone, id_of};
use crate::aws::batch::{Answers, Question, named};
use crate::aws::budget::Budget;
use crate::aws::error::Call;
use crate::ports::{ClusterName, ContainerInstance, InstanceId, PortError, PortErrorKind};

const LIST: &str = "ecs:ListContainerInstances";

/// "What are the container instances of these EC2 instances, in this cluster?" In any state but INACTIVE, which is what
/// ListContainerInstances leaves out when no status is asked for.
pub(super) struct Members {
    client: Client,
    budget: Budget,
}

impl Members {
    pub(super) fn new(client: Client, budget: Budget) -> Self {
        Self { client, budget }
    }
}

#[async_trait]
impl Question for Members {
    type Scope = ClusterName;
    type Key = InstanceId;
    type Answer = Vec<ContainerInstance>;

    const AT_MOST: usize = BATCH;

    async fn turn(&self) {
        self.budget.turn(LIST).await;
    }

    async fn ask(&self, cluster: &ClusterName, instances: Vec<InstanceId>) -> Result<Answers<Self>, PortError> {
        let asked = named(&instances, "instances");
        let call = Call::new(LIST, format!("{asked} in cluster {cluster}"));
        let list = self.client.list_container_instances().cluster(cluster.as_str()).filter(filter(&instances));
        let pages = list.into_paginator().page_size(PAGE).send();
        let take = |page: ListContainerInstancesOutput| (page.container_instance_arns, page.next_token);
        let arns = arns(&self.budget, &call, pages, take).await.map_err(|error| no_such_cluster(cluster, error))?;
        let mut answers = Answers::<Self>::new();
        for batch in arns.chunks(BATCH) {
            for found in self.describe(cluster, &asked, batch).await? {
                if !instances.contains(&found.instance) {
                    continue;
                }
                if let Ok(found_so_far) = answers.entry(found.instance.clone()).or_insert_with(|| Ok(Vec::new())) {
                    found_so_far.push(found);
                }
            }
        }
        Ok(answers)
    }
}

impl Members {
    async fn describe(
        &self,
        cluster: &ClusterName,
        asked: &str,
        batch: &[String],
    ) -> Result<Vec<ContainerInstance>, PortError> {
        let call = Call::new("ecs:DescribeContainerInstances", format!("{asked} in cluster {cluster}"));
        self.budget.turn(call.operation()).await;
        let answer = self
            .client
            .describe_container_instances()
            .cluster(cluster.as_str())
            .set_container_instances(Some(batch.to_vec()))
            .send()
            .await
            .map_err(|error| no_such_cluster(cluster, call.failed(&error)))?;
        let gone: Vec<_> = answer.failures().iter().map(|failure| gone(&call, failure)).collect::<Result<_, _>>()?;
        let described = answer.container_instances();
        // Without this, an answer that leaves one out would read as "not a member of the cluster". Whose it is, nobody knows.
        for arn in batch.iter().map(|arn| id_of(arn)) {
            let known =
                described.iter().filter_map(|found| found.container_instance_arn()).any(|found| id_of(found) == arn)
                    || gone.iter().any(|gone| id_of(gone) == arn);
            if !known {
                let what = format!("the answer says nothing of container instance {arn}");
                return Err(call.error(PortErrorKind::Unavailable, what));
            }
        }
        Ok(described.iter().filter_map(|found| container_instance(cluster, found)).collect())
    }
}

/// In the cluster query language ("Create expressions to define container instances for Amazon ECS tasks").
fn filter(instances: &[InstanceId]) -> String {
    match instances {
        [instance] => format!("ec2InstanceId=={instance}"),
        instances => {
            let quoted: Vec<_> = instances.iter().map(|instance| format!("'{instance}'")).collect();
            format!("ec2InstanceId in [{}]", quoted.join(","))
        }
    }
}

fn no_such_cluster(cluster: &ClusterName, error: PortError) -> PortError {
    if error.kind != PortErrorKind::NotFound {
        return error;
    }
    let remedy = "correct grants.ecs.clusters of the handler, or create the cluster";
    PortError::new(PortErrorKind::NotFound, format!("ECS has no cluster \"{cluster}\" here; {remedy} ({error})"))
}
