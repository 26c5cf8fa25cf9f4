//! The tasks on a container instance that have not come to an end.

use std::collections::BTreeSet;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{self, DesiredStatus};
use jiff::Timestamp;

use super::{BATCH, PAGE, arns, id_of, missing};
use crate::aws::error::Call;
use crate::policy::ListTasks;
use crate::ports::{ContainerInstance, PortError, PortErrorKind, Task, TaskArn};

pub(super) async fn list(client: &Client, request: ListTasks) -> Result<Vec<Task>, PortError> {
    let ListTasks { container_instance: on } = request;
    let call = Call::new("ecs:ListTasks", format!("{} in cluster {}", on.instance, on.cluster));
    let mut listed = BTreeSet::new();
    // RUNNING first: a task that is told to stop between the two listings is then in one of them at least. ECS keeps stopped
    // tasks listed for about an hour, and those that are only stopping are among them.
    for desired in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let listing = client
            .list_tasks()
            .cluster(on.cluster.as_str())
            .container_instance(&on.arn)
            .desired_status(desired)
            .into_paginator()
            .page_size(PAGE)
            .items()
            .send();
        listed.extend(arns(&call, listing).await?);
    }
    let listed: Vec<String> = listed.into_iter().collect();
    let mut tasks = Vec::new();
    for batch in listed.chunks(BATCH) {
        tasks.extend(describe(client, &on, batch).await?);
    }
    Ok(tasks)
}

async fn describe(client: &Client, on: &ContainerInstance, batch: &[String]) -> Result<Vec<Task>, PortError> {
    let call = Call::new("ecs:DescribeTasks", format!("{} in cluster {}", on.instance, on.cluster));
    let answer = client
        .describe_tasks()
        .cluster(on.cluster.as_str())
        .set_tasks(Some(batch.to_vec()))
        .send()
        .await
        .map_err(|error| call.failed(&error))?;
    let gone = missing(&call, answer.failures())?;
    let mut tasks = Vec::new();
    for arn in batch {
        let described =
            answer.tasks().iter().find(|task| task.task_arn().is_some_and(|found| id_of(found) == id_of(arn)));
        match described {
            Some(task) => tasks.extend(unfinished(&call, on, arn, task)?),
            None if gone.iter().any(|gone| id_of(gone) == id_of(arn)) => {}
            // An empty list is the proof of a drained instance, so a task we know nothing of must not fall out of it.
            None => {
                return Err(call.error(PortErrorKind::Unavailable, format!("the answer says nothing of task {arn}")));
            }
        }
    }
    Ok(tasks)
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
