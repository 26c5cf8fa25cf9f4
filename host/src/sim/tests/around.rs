//! Worlds that are made around events, and around what a file says of them.

use super::*;
use crate::ports::ClusterName;
use crate::reading::Reading;
use crate::sim::keys::File;

/// The picture of a world that is made around `events` and `text`, each instance and task a line.
fn around(text: &str, events: &[&Event]) -> String {
    let mut reading = Reading::new(text);
    let file: File = reading.read(text).expect("the file can be read");
    let cluster = Some(ClusterName::parse("prod").unwrap());
    let world = Blueprint::completed(&mut reading, file, events, cluster).world();
    let (mistakes, _) = reading.findings.finish();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    for event in events {
        world.deliver(event).unwrap_or_else(|error| panic!("{error}"));
    }
    let state = world.lock();
    let clusters: Vec<_> = state.clusters.iter().map(ClusterName::as_str).collect();
    let groups = state.groups.iter().map(|group| {
        let hooks: Vec<_> = group.hooks.iter().map(|hook| hook.name.as_str()).collect();
        format!("group {}: {}", group.name, hooks.join(", "))
    });
    let mut told = vec![format!("clusters: {}", clusters.join(", "))];
    told.extend(groups);
    drop(state);
    for instance in world.picture().instances {
        let (lifecycle, status) = (instance.lifecycle_state, instance.container_instance_status);
        let tasks: Vec<_> = instance.tasks.iter().map(|task| format!("{} {}", task.group, task.last_status)).collect();
        let lifecycle = lifecycle.unwrap_or("in no group");
        let status = status.unwrap_or("in no cluster");
        told.push(format!("{} {}, {lifecycle}, {status}: {}", instance.id, instance.state, tasks.join(", ")));
    }
    told.join("\n")
}

/// An event about the other instance.
fn of_another(mut event: Event) -> Event {
    event.instance = Some(id(OTHER));
    if let Some(action) = &mut event.lifecycle_action {
        action.instance = id(OTHER);
    }
    event
}

#[tokio::test(start_paused = true)]
async fn with_nothing_said_everything_is_made() {
    insta::assert_snapshot!(around("", &[&terminating("token")]), @"
    clusters: prod
    group web: drain
    i-0aaaaaaaaaaaaaaa1 running, Terminating:Wait, ACTIVE: service:web RUNNING, service:worker RUNNING, family:nightly-report RUNNING
    ");
}

#[tokio::test(start_paused = true)]
async fn each_event_finds_its_instance_its_group_and_its_hook() {
    let mut in_another_group = of_another(terminating("other"));
    let action = in_another_group.lifecycle_action.as_mut().unwrap();
    (action.group, action.hook) = (GroupName::parse("batch").unwrap(), HookName::parse("wait").unwrap());
    let spot = event(Kind::SpotInterruption, None);
    insta::assert_snapshot!(around("", &[&terminating("token"), &in_another_group, &spot]), @"
    clusters: prod
    group batch: wait
    group web: drain
    i-0aaaaaaaaaaaaaaa1 running, Terminating:Wait, ACTIVE: service:web RUNNING, service:worker RUNNING, family:nightly-report RUNNING
    i-0bbbbbbbbbbbbbbb2 running, Terminating:Wait, ACTIVE: service:web RUNNING, service:worker RUNNING, family:nightly-report RUNNING
    ");
}

#[tokio::test(start_paused = true)]
async fn what_is_said_stays() {
    let said = "[[cluster]]\nname = \"mine\"\n[[group]]\nname = \"web\"\n[[group.hook]]\nname = \"drain\"\ntransition = \"terminating\"\n\
                [[instance]]\nid = \"i-0aaaaaaaaaaaaaaa1\"\ngroup = \"web\"\n";
    insta::assert_snapshot!(around(said, &[&terminating("token")]), @"
    clusters: mine
    group web: drain
    i-0aaaaaaaaaaaaaaa1 running, Terminating:Wait, in no cluster:
    ");
}

#[tokio::test(start_paused = true)]
async fn tasks_that_are_said_are_all_there_are_and_run_on_the_events_instance() {
    let tasks = "[[task]]\nservice = \"api\"\n[[task]]\nfamily = \"report\"\ninstance = \"i-0bbbbbbbbbbbbbbb2\"";
    insta::assert_snapshot!(around(tasks, &[&terminating("token"), &of_another(terminating("other"))]), @"
    clusters: prod
    group web: drain
    i-0aaaaaaaaaaaaaaa1 running, Terminating:Wait, ACTIVE: service:api RUNNING
    i-0bbbbbbbbbbbbbbb2 running, Terminating:Wait, ACTIVE: family:report RUNNING
    ");
}

#[tokio::test(start_paused = true)]
async fn the_account_and_the_region_are_those_of_the_event() {
    let mut event = terminating("token");
    event.account = AccountId::parse("210987654321").unwrap();
    event.region = Region::parse("us-east-1").unwrap();
    let place = Blueprint::around(&[&event], None).world().place();
    assert_eq!((place.account, place.region), (event.account, event.region));
}

#[tokio::test(start_paused = true)]
async fn an_instance_on_its_way_into_service_has_no_tasks_yet() {
    let mut launching = terminating("token");
    launching.kind = Kind::InstanceLaunching;
    launching.lifecycle_action.as_mut().unwrap().transition = Transition::Launching;
    insta::assert_snapshot!(around("", &[&launching]), @"
    clusters: prod
    group web: drain
    i-0aaaaaaaaaaaaaaa1 running, Pending:Wait, ACTIVE:
    ");
}

#[tokio::test(start_paused = true)]
async fn without_a_cluster_that_is_granted_there_is_none() {
    let event = terminating("token");
    let world = Blueprint::around(&[&event], None).world();
    let picture = world.picture();
    assert_eq!((picture.instances[0].container_instance_status, picture.instances[0].tasks.len()), (None, 0));
}
