//! The tasks on a container instance that have not come to an end.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::operation::list_tasks::ListTasksOutput;
use aws_sdk_ecs::types::{self, DesiredStatus};
use jiff::Timestamp;

use super::{AmazonEcs, BATCH, PAGE, arns, gone, id_of};
use crate::aws::batch::{Answers, Question, named};
use crate::aws::budget::Budget;
use crate::aws::error::Call;
use crate::policy::ListTasks;
use crate::ports::{ClusterName, ContainerInstance, PortError, PortErrorKind, Task, TaskArn};

impl AmazonEcs {
    pub(super) async fn unfinished_tasks(&self, request: ListTasks) -> Result<Vec<Task>, PortError> {
        let ListTasks { container_instance: on } = request;
        let call = Call::new("ecs:ListTasks", format!("{} in cluster {}", on.instance, on.cluster));
        let mut listed = BTreeSet::new();
        // RUNNING first: a task that is told to stop between the two listings is then in one of them at least. ECS keeps
        // stopped tasks listed for about an hour, and those that are only stopping are among them.
        for desired in [DesiredStatus::Running, DesiredStatus::Stopped] {
            self.budget.turn(call.operation()).await;
            let list = self.client.list_tasks().cluster(on.cluster.as_str()).container_instance(&on.arn);
            let pages = list.desired_status(desired).into_paginator().page_size(PAGE).send();
            let take = |page: ListTasksOutput| (page.task_arns, page.next_token);
            listed.extend(arns(&self.budget, &call, pages, take).await?);
        }
        let asked: Vec<_> = listed.into_iter().map(|arn| (self.tasks.ask(&on.cluster, arn.clone()), arn)).collect();
        let mut tasks = Vec::new();
        for (answer, arn) in asked {
            match answer.await? {
                Some(Last::Seen(task)) => tasks.extend(unfinished(&call, &on, &arn, &task)?),
                Some(Last::Gone) => {}
                // An empty list is the proof of a drained instance, so a task we know nothing of must not fall out of it.
                None => {
                    let what = format!("DescribeTasks says nothing of task {arn}");
                    return Err(call.error(PortErrorKind::Unavailable, what));
                }
            }
        }
        Ok(tasks)
    }
}

/// "What are these tasks, of this cluster?", by their ARNs as they were listed.
pub(super) struct Described {
    client: Client,
    budget: Budget,
}

/// What ECS says of a task that was listed.
#[derive(Debug, Clone)]
pub(super) enum Last {
    Seen(Arc<types::Task>),
    /// Not even among the stopped ones any more.
    Gone,
}

impl Described {
    pub(super) fn new(client: Client, budget: Budget) -> Self {
        Self { client, budget }
    }
}

#[async_trait]
impl Question for Described {
    type Scope = ClusterName;
    type Key = String;
    type Answer = Last;

    const AT_MOST: usize = BATCH;

    async fn turn(&self) {
        self.budget.turn("ecs:DescribeTasks").await;
    }

    async fn ask(&self, cluster: &ClusterName, arns: Vec<String>) -> Result<Answers<Self>, PortError> {
        let call = Call::new("ecs:DescribeTasks", format!("{} in cluster {cluster}", named(&arns, "tasks")));
        let answer = self
            .client
            .describe_tasks()
            .cluster(cluster.as_str())
            .set_tasks(Some(arns.clone()))
            .send()
            .await
            .map_err(|error| call.failed(&error))?;
        let mut last: HashMap<String, Result<Last, PortError>> = HashMap::new();
        for failure in answer.failures() {
            // One without an ARN tells nothing of any task, so the one it is of is left without an answer.
            let id = id_of(failure.arn().unwrap_or_default()).to_owned();
            last.insert(id, gone(&call, failure).map(|_| Last::Gone));
        }
        for task in answer.tasks.unwrap_or_default() {
            let id = id_of(task.task_arn().unwrap_or_default()).to_owned();
            last.insert(id, Ok(Last::Seen(Arc::new(task))));
        }
        Ok(arns.into_iter().filter_map(|arn| last.remove(id_of(&arn)).map(|last| (arn, last))).collect())
    }
}

/// The task as a fact, unless it has ended or is on another container instance.
fn unfinished(call: &Call, on: &ContainerInstance, arn: &str, task: &types::Task) -> Result<Option<Task>, PortError> {
    let elsewhere = task.container_instance_arn().is_some_and(|found| id_of(found) != id_of(&on.arn));
    if elsewhere || task.last_status() == Some("STOPPED") {
        return Ok(None);
    }
    Ok(Some(Task {
        arn: TaskArn::parse(arn).map_err(|error| call.error(PortErrorKind::Other, error.to_string()))?,
        on: on.instance.clone(),
        group: task.group().map(str::to_owned),
        definition: task.task_definition_arn().unwrap_or_default().to_owned(),
        last_status: task.last_status().unwrap_or("UNKNOWN").to_owned(),
        desired_status: task.desired_status().unwrap_or("UNKNOWN").to_owned(),
        started_at: task
            .started_at()
            .and_then(|at| at.to_millis().ok())
            .and_then(|at| Timestamp::from_millisecond(at).ok()),
    }))
}
