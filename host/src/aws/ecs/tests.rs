//! The port to ECS against a server that ignores filters, splits pages and forgets things.

mod thousand;

use std::sync::{Arc, Mutex};

use aws_sdk_ecs::Client;
use serde_json::{Value, json};

use super::find::{FoundLast, REMEMBERED};
use super::*;
use crate::aws::fake::{Fake, Received, Reply};
use crate::policy::NamePatterns;
use crate::ports::TaskArn;

const OURS: &str = "i-0123456789abcdef0";
const OTHER: &str = "i-00000000000000001";

/// A container instance as DescribeContainerInstances has it.
fn described(cluster: &str, id: &str, instance: &str, status: &str) -> Value {
    json!({
        "containerInstanceArn": format!("arn:aws:ecs:eu-central-1:123456789012:container-instance/{cluster}/{id}"),
        "ec2InstanceId": instance,
        "status": status,
        "agentConnected": true,
        "runningTasksCount": 3,
        "pendingTasksCount": 1,
    })
}

fn seen(status: &str) -> ContainerInstance {
    ContainerInstance {
        arn: "arn:aws:ecs:eu-central-1:123456789012:container-instance/prod/ours".into(),
        cluster: ClusterName::parse("prod").unwrap(),
        instance: InstanceId::parse(OURS).unwrap(),
        status: status.into(),
        agent_connected: true,
        running_tasks: 3,
        pending_tasks: 1,
    }
}

/// What the page of `all` is that `call` asks for, in the field `field`; filters are ignored.
fn page(call: &Received, field: &str, all: &[String]) -> Reply {
    let request = call.json();
    let size = request["maxResults"].as_u64().unwrap_or(100) as usize;
    let start: usize = request["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
    let end = all.len().min(start + size);
    let token = (end < all.len()).then(|| end.to_string());
    Reply::json(&json!({ field: all[start..end], "nextToken": token }))
}

/// The arns a Describe call asks for.
fn asked(call: &Received, field: &str) -> Vec<String> {
    serde_json::from_value(call.json()[field].clone()).unwrap()
}

/// An ECS with these clusters and container instances, which honours no filter.
fn ecs(clusters: Vec<(&'static str, Vec<Value>)>) -> Fake {
    Fake::new(move |call| {
        if call.operation == "ListClusters" {
            let arn = |name: &str| format!("arn:aws:ecs:eu-central-1:123456789012:cluster/{name}");
            return page(call, "clusterArns", &clusters.iter().map(|(name, _)| arn(name)).collect::<Vec<_>>());
        }
        let request = call.json();
        let Some((_, members)) = clusters.iter().find(|(name, _)| Some(*name) == request["cluster"].as_str()) else {
            return Reply::json_error(400, "ClusterNotFoundException", "Cluster not found.");
        };
        let arn = |member: &Value| member["containerInstanceArn"].as_str().unwrap().to_owned();
        match call.operation.as_str() {
            "ListContainerInstances" => {
                page(call, "containerInstanceArns", &members.iter().map(arn).collect::<Vec<_>>())
            }
            "DescribeContainerInstances" => {
                let asked = asked(call, "containerInstances");
                assert!(asked.len() <= 100, "ECS refuses more than 100 at once");
                let found: Vec<_> = members.iter().filter(|member| asked.contains(&arn(member))).collect();
                Reply::json(&json!({ "containerInstances": found, "failures": [] }))
            }
            other => panic!("unexpected call of {other}"),
        }
    })
}

fn port(fake: &Fake) -> AmazonEcs {
    AmazonEcs::new(Client::new(&fake.config()), Budget::new())
}

async fn find_in(fake: &Fake, clusters: &[&str]) -> Result<Option<ContainerInstance>, PortError> {
    find_again(&port(fake), clusters).await
}

async fn find_again(port: &AmazonEcs, clusters: &[&str]) -> Result<Option<ContainerInstance>, PortError> {
    let patterns = NamePatterns::new(clusters.iter().map(|name| (*name).to_owned()).collect()).unwrap();
    port.find(FindContainerInstance { instance: InstanceId::parse(OURS).unwrap(), clusters: Arc::new(patterns) }).await
}

fn operations(fake: &Fake) -> Vec<String> {
    fake.calls().into_iter().map(|call| call.operation).collect()
}

/// The clusters whose container instances were listed, in order.
fn searched(fake: &Fake) -> Vec<String> {
    let calls = fake.calls();
    let lists = calls.iter().filter(|call| call.operation == "ListContainerInstances");
    lists.map(|call| call.json()["cluster"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn our_container_instance_is_found_on_the_third_page_of_a_server_that_ignores_the_filter() {
    let mut members: Vec<Value> = (0..230).map(|n| described("prod", &format!("other-{n}"), OTHER, "ACTIVE")).collect();
    members.push(described("prod", "ours", OURS, "ACTIVE"));
    let fake = ecs(vec![("prod", members)]);
    assert_eq!(find_in(&fake, &["prod"]).await, Ok(Some(seen("ACTIVE"))));
    assert_eq!(
        operations(&fake),
        [vec!["ListContainerInstances"; 3], vec!["DescribeContainerInstances"; 3]].concat(),
        "a cluster that is named is not listed"
    );
    assert_eq!(fake.calls()[0].json()["filter"], format!("ec2InstanceId=={OURS}"));
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_container_instance_is_not_ours() {
    let fake =
        ecs(vec![("prod", vec![described("prod", "a", OTHER, "ACTIVE"), described("prod", "b", "mi-123", "ACTIVE")])]);
    assert_eq!(find_in(&fake, &["prod"]).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn patterns_are_matched_against_the_clusters_there_are() {
    let fake = ecs(vec![
        ("elsewhere", vec![described("elsewhere", "x", OURS, "ACTIVE")]),
        ("prod-a", vec![]),
        ("prod-b", vec![described("prod-b", "ours", OURS, "DRAINING")]),
    ]);
    let found = find_in(&fake, &["prod-*"]).await.unwrap().unwrap();
    assert_eq!((found.cluster.as_str(), found.status.as_str()), ("prod-b", "DRAINING"));
    assert!(fake.calls().iter().all(|call| call.json()["cluster"] != "elsewhere"), "a cluster not granted was asked");
}

#[tokio::test(start_paused = true)]
async fn a_registration_in_use_is_preferred_to_one_left_behind() {
    let fake = ecs(vec![
        ("old", vec![described("old", "stale", OURS, "DEREGISTERING")]),
        ("prod", vec![described("prod", "ours", OURS, "ACTIVE")]),
    ]);
    assert_eq!(find_in(&fake, &["old", "prod"]).await, Ok(Some(seen("ACTIVE"))));
    assert_eq!(find_in(&fake, &["old"]).await.unwrap().unwrap().status, "DEREGISTERING");
}

#[tokio::test(start_paused = true)]
async fn two_registrations_in_use_are_a_conflict_that_names_both() {
    let fake = ecs(vec![
        ("blue", vec![described("blue", "one", OURS, "ACTIVE")]),
        ("green", vec![described("green", "two", OURS, "DRAINING")]),
    ]);
    let error = find_in(&fake, &["blue", "green"]).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Conflict);
    insta::assert_snapshot!(error.message, @"i-0123456789abcdef0 is registered twice: arn:aws:ecs:eu-central-1:123456789012:container-instance/blue/one in cluster blue (ACTIVE) and arn:aws:ecs:eu-central-1:123456789012:container-instance/green/two in cluster green (DRAINING); deregister the one that is not in use");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_the_policy_names_and_ecs_does_not_know_is_an_error() {
    let error = find_in(&ecs(vec![("prod", vec![])]), &["prod", "pord"]).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound);
    insta::assert_snapshot!(error.message, @r#"ECS has no cluster "pord" here; correct grants.ecs.clusters of the handler, or create the cluster (ecs:ListContainerInstances for i-0123456789abcdef0 in cluster pord: ClusterNotFoundException: Cluster not found., HTTP 400, request req-1)"#);
}

#[tokio::test(start_paused = true)]
async fn a_named_cluster_that_is_missing_does_not_hide_the_instance_in_one_that_exists() {
    let fake = ecs(vec![("prod", vec![described("prod", "ours", OURS, "ACTIVE")])]);
    assert_eq!(find_in(&fake, &["pord", "prod", "tset"]).await, Ok(Some(seen("ACTIVE"))));
    assert_eq!(searched(&fake), ["pord", "prod", "tset"]);
    assert_eq!(find_in(&fake, &["pord", "pro*"]).await, Ok(Some(seen("ACTIVE"))));

    let left_behind = ecs(vec![("prod", vec![described("prod", "ours", OURS, "DEREGISTERING")])]);
    let error = find_in(&left_behind, &["pord", "prod", "tset"]).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound);
    assert!(error.message.starts_with("ECS has no cluster \"pord\" here; correct grants.ecs.clusters"), "{error}");

    let twice = ecs(vec![
        ("blue", vec![described("blue", "one", OURS, "ACTIVE")]),
        ("green", vec![described("green", "two", OURS, "ACTIVE")]),
    ]);
    assert_eq!(find_in(&twice, &["pord", "blue", "green"]).await.unwrap_err().kind, PortErrorKind::Conflict);
}

/// An ECS with the clusters `a`, `b` and `c`, and our instance in the one that is named at the time.
fn ecs_with_ours_in(place: &Arc<Mutex<&'static str>>) -> Fake {
    let place = Arc::clone(place);
    Fake::new(move |call| {
        let request = call.json();
        let is_here = request["cluster"].as_str() == Some(*place.lock().unwrap());
        let ours = described(*place.lock().unwrap(), "ours", OURS, "ACTIVE");
        match call.operation.as_str() {
            "ListClusters" => Reply::json(&json!({ "clusterArns": ["cluster/a", "cluster/b", "cluster/c"] })),
            "ListContainerInstances" if is_here => {
                Reply::json(&json!({ "containerInstanceArns": [ours["containerInstanceArn"]] }))
            }
            "ListContainerInstances" => Reply::json(&json!({ "containerInstanceArns": [] })),
            _ => Reply::json(&json!({ "containerInstances": [ours], "failures": [] })),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn the_cluster_an_instance_was_found_in_is_asked_first_and_verified() {
    let place = Arc::new(Mutex::new("b"));
    let fake = ecs_with_ours_in(&place);
    let port = port(&fake);
    let found = find_again(&port, &["*"]).await.unwrap().unwrap();
    assert_eq!((found.cluster.as_str(), searched(&fake)), ("b", vec!["a".into(), "b".into(), "c".into()]));

    let before = fake.calls().len();
    assert_eq!(find_again(&port, &["*"]).await, Ok(Some(found)));
    assert_eq!(operations(&fake)[before..], ["ListContainerInstances", "DescribeContainerInstances"]);
    assert_eq!(fake.calls()[before].json()["cluster"], "b");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_moved_is_found_again_and_one_that_left_is_forgotten() {
    let place = Arc::new(Mutex::new("b"));
    let fake = ecs_with_ours_in(&place);
    let port = port(&fake);
    let ours = InstanceId::parse(OURS).unwrap();
    find_again(&port, &["*"]).await.unwrap().unwrap();
    *place.lock().unwrap() = "c";
    let found = find_again(&port, &["*"]).await.unwrap().unwrap();
    assert_eq!((found.cluster.as_str(), searched(&fake)[3..].join(" ")), ("c", "b a b c".to_owned()));
    assert_eq!(port.found_last.of(&ours), Some(found.cluster));

    *place.lock().unwrap() = "nowhere";
    assert_eq!(find_again(&port, &["*"]).await, Ok(None));
    assert_eq!(port.found_last.of(&ours), None);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_not_granted_is_not_asked_though_the_instance_was_found_there() {
    let place = Arc::new(Mutex::new("b"));
    let fake = ecs_with_ours_in(&place);
    let port = port(&fake);
    find_again(&port, &["b"]).await.unwrap().unwrap();
    assert_eq!(find_again(&port, &["a", "c*"]).await, Ok(None));
    assert_eq!(searched(&fake), ["b", "a", "c"]);
}

#[test]
fn what_is_remembered_is_bounded() {
    let found_last = FoundLast::default();
    let numbered = |n: usize| InstanceId::parse(&format!("i-{n:017x}")).unwrap();
    let found = |n| ContainerInstance { instance: numbered(n), ..seen("ACTIVE") };
    (0..REMEMBERED).for_each(|n| found_last.remember(&found(n)));
    found_last.remember(&found(0));
    assert!(found_last.of(&numbered(1)).is_some(), "one that is known already needs no room");
    found_last.remember(&found(REMEMBERED));
    let left: Vec<_> = (0..=REMEMBERED).filter(|n| found_last.of(&numbered(*n)).is_some()).collect();
    assert_eq!(left, [REMEMBERED]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_deleted_since_the_instance_was_found_there_is_left_to_the_search() {
    let is_deleted = Arc::new(Mutex::new(false));
    let after = Arc::clone(&is_deleted);
    let fake = Fake::new(move |call| {
        let cluster = if *after.lock().unwrap() { "prod" } else { "blue" };
        let ours = described(cluster, "ours", OURS, "ACTIVE");
        match call.operation.as_str() {
            _ if call.json()["cluster"] != cluster => {
                Reply::json_error(400, "ClusterNotFoundException", "Cluster not found.")
            }
            "ListContainerInstances" => {
                Reply::json(&json!({ "containerInstanceArns": [ours["containerInstanceArn"]] }))
            }
            _ => Reply::json(&json!({ "containerInstances": [ours], "failures": [] })),
        }
    });
    let port = port(&fake);
    find_again(&port, &["blue", "prod"]).await.unwrap().unwrap();
    *is_deleted.lock().unwrap() = true;
    assert_eq!(find_again(&port, &["blue", "prod"]).await, Ok(Some(seen("ACTIVE"))));
    assert_eq!(searched(&fake), ["blue", "prod", "blue", "blue", "prod"]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_deleted_while_we_look_is_passed_over() {
    let fake = Fake::new(|call| match call.operation.as_str() {
        "ListClusters" => {
            Reply::json(&json!({ "clusterArns": ["arn:aws:ecs:eu-central-1:123456789012:cluster/prod-a"] }))
        }
        _ => Reply::json_error(400, "ClusterNotFoundException", "Cluster not found."),
    });
    assert_eq!(find_in(&fake, &["prod-*"]).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_leaves_one_out_is_no_proof_of_absence() {
    let answers = |failures: Value| {
        Fake::new(move |call| match call.operation.as_str() {
            "ListContainerInstances" => Reply::json(&json!({ "containerInstanceArns": [seen("ACTIVE").arn] })),
            _ => Reply::json(&json!({ "containerInstances": [], "failures": failures })),
        })
    };
    let error = find_in(&answers(json!([])), &["prod"]).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Unavailable);
    assert!(error.message.contains("says nothing of container instance ours"), "{error}");

    let gone = json!([{ "arn": seen("ACTIVE").arn, "reason": "MISSING" }]);
    assert_eq!(find_in(&answers(gone), &["prod"]).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_listing_without_end_is_an_error() {
    let fake = Fake::new(|call| {
        let page: u64 = call.json()["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let arns: Vec<_> =
            (0..100).map(|n| format!("arn:aws:ecs:eu-central-1:123456789012:cluster/c{page}-{n}")).collect();
        Reply::json(&json!({ "clusterArns": arns, "nextToken": (page + 1).to_string() }))
    });
    let error = find_in(&fake, &["prod-*"]).await.unwrap_err();
    assert!(error.message.contains("more than 10000 things are listed"), "{error}");
}

async fn drain_with(fake: &Fake, status: &str) -> Result<ContainerInstance, PortError> {
    port(fake).set_draining(Drain { container_instance: seen(status) }).await
}

#[tokio::test(start_paused = true)]
async fn draining_sets_the_one_container_instance_and_returns_it_as_it_is_then() {
    let answer = json!({ "containerInstances": [described("prod", "ours", OURS, "DRAINING")], "failures": [] });
    let fake = Fake::always(Reply::json(&answer));
    assert_eq!(drain_with(&fake, "ACTIVE").await, Ok(seen("DRAINING")));
    assert_eq!(
        fake.calls()[0].json(),
        json!({ "cluster": "prod", "containerInstances": [seen("ACTIVE").arn], "status": "DRAINING" })
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_drained_is_not_tried() {
    let fake = Fake::always(Reply::Refused);
    assert_eq!(drain_with(&fake, "DRAINING").await, Ok(seen("DRAINING")));
    let error = drain_with(&fake, "DEREGISTERING").await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Conflict);
    insta::assert_snapshot!(error.message, @"ecs:UpdateContainerInstancesState for i-0123456789abcdef0 in cluster prod: its container instance is DEREGISTERING, and only an ACTIVE one can be set to DRAINING");
    assert!(fake.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_a_good_answer_is_a_failure() {
    for (reason, kind) in [("MISSING", PortErrorKind::NotFound), ("INACTIVE", PortErrorKind::Conflict)] {
        let failures = json!([{ "arn": seen("ACTIVE").arn, "reason": reason }]);
        let fake = Fake::always(Reply::json(&json!({ "containerInstances": [], "failures": failures })));
        let error = drain_with(&fake, "ACTIVE").await.unwrap_err();
        assert_eq!(error.kind, kind);
        assert!(error.message.contains(reason) && error.message.contains(OURS), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_another_instance_is_not_believed() {
    let answer = json!({ "containerInstances": [described("prod", "ours", OTHER, "DRAINING")] });
    let error = drain_with(&Fake::always(Reply::json(&answer)), "ACTIVE").await.unwrap_err();
    assert!(error.message.contains("ECS answered about another instance"), "{error}");
}

fn task_arn(id: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:task/prod/{id}")
}

fn task(id: &str, last: &str, desired: &str) -> Value {
    json!({
        "taskArn": task_arn(id),
        "containerInstanceArn": seen("DRAINING").arn,
        "group": "service:web",
        "taskDefinitionArn": "arn:aws:ecs:eu-central-1:123456789012:task-definition/web:7",
        "lastStatus": last,
        "desiredStatus": desired,
        "startedAt": 1_767_323_045.5,
    })
}

/// An ECS with these tasks, listed by desired status and nothing else; what is listed and not there is MISSING.
fn tasks(listed_only: &'static [&'static str], tasks: Vec<Value>) -> Fake {
    Fake::new(move |call| match call.operation.as_str() {
        "ListTasks" => {
            let desired = call.json()["desiredStatus"].clone();
            let of_status = tasks.iter().filter(|task| task["desiredStatus"] == desired);
            let mut arns: Vec<_> = of_status.map(|task| task["taskArn"].as_str().unwrap().to_owned()).collect();
            arns.extend(listed_only.iter().map(|id| task_arn(id)));
            page(call, "taskArns", &arns)
        }
        "DescribeTasks" => {
            let asked = asked(call, "tasks");
            assert!(asked.len() <= 100, "ECS refuses more than 100 at once");
            let find = |arn: &String| tasks.iter().find(|task| task["taskArn"] == arn.as_str());
            let found: Vec<_> = asked.iter().filter_map(find).collect();
            let failures: Vec<_> = asked
                .iter()
                .filter(|arn| find(arn).is_none())
                .map(|arn| json!({ "arn": arn, "reason": "MISSING" }))
                .collect();
            Reply::json(&json!({ "tasks": found, "failures": failures }))
        }
        other => panic!("unexpected call of {other}"),
    })
}

async fn list_with(fake: &Fake) -> Result<Vec<Task>, PortError> {
    port(fake).unfinished_tasks(ListTasks { container_instance: seen("DRAINING") }).await
}

#[tokio::test(start_paused = true)]
async fn tasks_that_are_stopping_count_and_stopped_ones_do_not() {
    let fake = tasks(
        &["forgotten"],
        vec![task("a", "RUNNING", "RUNNING"), task("b", "DEACTIVATING", "STOPPED"), task("c", "STOPPED", "STOPPED")],
    );
    let found = list_with(&fake).await.unwrap();
    let seen: Vec<_> = found.iter().map(|task| (task.arn.as_str(), task.last_status.as_str())).collect();
    assert_eq!(seen, [(task_arn("a").as_str(), "RUNNING"), (task_arn("b").as_str(), "DEACTIVATING")]);
    assert_eq!(found[0].service(), Some("web"));
    assert_eq!(found[0].on.as_str(), OURS);
    assert_eq!(found[0].started_at, Some("2026-01-02T03:04:05.5Z".parse().unwrap()));
    let listed: Vec<_> = fake.calls()[..2].iter().map(|call| call.json()["desiredStatus"].clone()).collect();
    assert_eq!(listed, ["RUNNING", "STOPPED"], "the order matters: see list()");
}

#[tokio::test(start_paused = true)]
async fn more_than_a_hundred_tasks_are_described_in_batches() {
    let all = (0..250).map(|n| task(&format!("t{n:03}"), "RUNNING", if n % 2 == 0 { "RUNNING" } else { "STOPPED" }));
    let fake = tasks(&[], all.collect());
    assert_eq!(list_with(&fake).await.unwrap().len(), 250);
    let described = operations(&fake).iter().filter(|operation| *operation == "DescribeTasks").count();
    assert_eq!((operations(&fake).len(), described), (7, 3), "two pages of each status, three batches");
}

#[tokio::test(start_paused = true)]
async fn a_task_on_another_container_instance_is_not_ours() {
    let mut elsewhere = task("a", "RUNNING", "RUNNING");
    elsewhere["containerInstanceArn"] = json!("arn:aws:ecs:eu-central-1:123456789012:container-instance/prod/theirs");
    let mut short_arn = task("b", "RUNNING", "RUNNING");
    short_arn["containerInstanceArn"] = json!("arn:aws:ecs:eu-central-1:123456789012:container-instance/ours");
    let found = list_with(&tasks(&[], vec![elsewhere, short_arn])).await.unwrap();
    assert_eq!(found.iter().map(|task| task.arn.as_str()).collect::<Vec<_>>(), [task_arn("b")]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ecs_does_not_describe_never_reads_as_ended() {
    for (failures, expected) in [
        (json!([]), "says nothing of task"),
        (json!([{ "arn": task_arn("a"), "reason": "INTERNAL" }]), "ECS cannot tell: INTERNAL"),
    ] {
        let fake = Fake::new(move |call| match call.operation.as_str() {
            "ListTasks" => Reply::json(&json!({ "taskArns": [task_arn("a")] })),
            _ => Reply::json(&json!({ "tasks": [], "failures": failures })),
        });
        let error = list_with(&fake).await.unwrap_err();
        assert!(error.retryable() && error.message.contains(expected), "{error}");
    }
}

async fn stop_with(reply: Reply, reason: &str) -> (Fake, Result<(), PortError>) {
    let fake = Fake::always(reply);
    let request = StopTask {
        container_instance: seen("DRAINING"),
        task: TaskArn::parse(&task_arn("a")).unwrap(),
        reason: reason.into(),
    };
    let result = port(&fake).stop(request).await;
    (fake, result)
}

#[tokio::test(start_paused = true)]
async fn stopping_names_task_cluster_and_reason() {
    let (fake, result) = stop_with(Reply::json(&json!({ "task": {} })), "the node goes").await;
    assert_eq!(result, Ok(()));
    assert_eq!(fake.calls()[0].json(), json!({ "cluster": "prod", "task": task_arn("a"), "reason": "the node goes" }));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_gone_has_been_stopped_and_any_other_refusal_is_one() {
    let gone = Reply::json_error(400, "InvalidParameterException", "The referenced task was not found.");
    assert_eq!(stop_with(gone, "r").await.1, Ok(()));
    let other = Reply::json_error(400, "InvalidParameterException", "Long arn format must be used.");
    assert_eq!(stop_with(other, "r").await.1.unwrap_err().kind, PortErrorKind::Invalid);
}
