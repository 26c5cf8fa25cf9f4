//! The rules of the simulated world, one test for each.

mod around;
mod arrival;
mod ecs;
mod faults;
mod file;
mod history;
mod journal;
mod ledger;
mod lifecycle;
mod nodes;
mod picture;
mod service;
mod ssh;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::{Blueprint, What, World, WorldError};
use crate::event::{Event, Kind, LifecycleAction, Transition};
use crate::policy::{Drain, FindContainerInstance, ListTasks, NamePatterns, StopTask};
use crate::ports::{AccountId, ContainerInstance, GroupName, HookName, InstanceId, PortError, Region, Task, TaskArn};

const INSTANCE: &str = "i-0aaaaaaaaaaaaaaa1";
const OTHER: &str = "i-0bbbbbbbbbbbbbbb2";

/// One instance in a group with a hook, and in a cluster; `rest` is what a test adds.
fn world(rest: &str) -> World {
    let text = format!("{HEAD}{rest}");
    World::parse("world.toml", &text).unwrap_or_else(|error| panic!("{error}"))
}

const HEAD: &str = r#"
start = "2026-01-15T03:00:00Z"
account = "123456789012"
region = "eu-central-1"
[[cluster]]
name = "prod"
[[cluster]]
name = "test"
[[group]]
name = "web"
[[group.hook]]
name = "drain"
transition = "terminating"
heartbeat-timeout = "5m"
default-result = "CONTINUE"
[[group.hook]]
name = "prepare"
transition = "launching"
heartbeat-timeout = "2m"
[[instance]]
id = "i-0aaaaaaaaaaaaaaa1"
lifecycle = "spot"
address = "10.0.1.17"
group = "web"
cluster = "prod"
"#;

/// What is said about a world that does not come to be, each mistake with its line.
fn refused(rest: &str) -> String {
    let text = format!("{HEAD}{rest}");
    match World::parse("world.toml", &text) {
        Ok(_) => panic!("this is a world: {rest}"),
        Err(WorldError::File(mistakes)) => {
            let told = mistakes.mistakes.iter().map(|mistake| format!("{}: {}", mistake.line, mistake.message));
            told.collect::<Vec<_>>().join("\n")
        }
        Err(other) => panic!("{other}"),
    }
}

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lets virtual time pass.
async fn pass(time: u64) {
    tokio::time::sleep(seconds(time)).await;
}

fn find(world: &World, clusters: &[&str]) -> Result<Option<ContainerInstance>, PortError> {
    let patterns = NamePatterns::new(clusters.iter().map(|name| (*name).to_owned()).collect()).unwrap();
    world.find_in_clusters(&FindContainerInstance { instance: id(INSTANCE), clusters: Arc::new(patterns) })
}

fn member_of_prod(world: &World) -> ContainerInstance {
    find(world, &["prod"]).unwrap().expect("the instance is registered in prod")
}

fn drain(world: &World) -> Result<ContainerInstance, PortError> {
    world.set_draining(&Drain { container_instance: member_of_prod(world) })
}

fn list(world: &World) -> Vec<Task> {
    world.tasks_on(&ListTasks { container_instance: member_of_prod(world) }).unwrap()
}

/// The tasks that are left, as `group lastStatus desiredStatus`.
fn tasks(world: &World) -> Vec<String> {
    let told = |task: &Task| format!("{} {} {}", task.group.as_deref().unwrap(), task.last_status, task.desired_status);
    list(world).iter().map(told).collect()
}

fn stop(world: &World, task: &TaskArn) -> Result<(), PortError> {
    let container_instance = member_of_prod(world);
    world.stop_one(&StopTask { container_instance, task: task.clone(), reason: "going away".to_owned() })
}

fn state(world: &World) -> String {
    world.describe(&id(INSTANCE)).unwrap().state
}

fn lifecycle_state(world: &World) -> Option<String> {
    world.describe_member(&id(INSTANCE)).unwrap().map(|member| member.lifecycle_state)
}

/// What the world did by itself, as `seconds operation target: result`.
fn changes(world: &World) -> Vec<String> {
    let journal = world.journal();
    let changes = journal.iter().filter(|entry| matches!(entry.what, What::Change { .. }));
    changes.map(ToString::to_string).collect()
}

fn action(token: Option<&str>) -> LifecycleAction {
    LifecycleAction {
        group: GroupName::parse("web").unwrap(),
        hook: HookName::parse("drain").unwrap(),
        instance: id(INSTANCE),
        token: token.map(str::to_owned),
        transition: Transition::Terminating,
    }
}

/// An event about the instance, of the moment the world begins.
fn event(kind: Kind, lifecycle_action: Option<LifecycleAction>) -> Event {
    Event {
        id: "event".to_owned(),
        kind,
        source: String::new(),
        detail_type: String::new(),
        account: AccountId::parse("123456789012").unwrap(),
        region: Region::parse("eu-central-1").unwrap(),
        time: "2026-01-15T03:00:00Z".parse::<Timestamp>().unwrap(),
        instance: Some(id(INSTANCE)),
        group: lifecycle_action.as_ref().map(|action| action.group.clone()),
        deadline: None,
        lifecycle_action,
        envelope: json!({}),
    }
}

/// The event of the hook that holds the instance back on its way out.
fn terminating(token: &str) -> Event {
    event(Kind::InstanceTerminating, Some(action(Some(token))))
}
