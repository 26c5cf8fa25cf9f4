//! A thousand instances at once, within what ECS allows an account.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::*;

const INSTANCES: usize = 1000;

/// "Request throttling for the Amazon ECS API", cluster resource read actions.
const BURST: usize = 100;
const A_SECOND: usize = 20;

fn numbered(n: usize) -> InstanceId {
    InstanceId::parse(&format!("i-{n:017x}")).unwrap()
}

/// An ECS that honours filters, with two tasks on each instance: one runs, and one is stopping.
fn crowded() -> Fake {
    Fake::new(|call| {
        let request = call.json();
        match call.operation.as_str() {
            "ListContainerInstances" => {
                let filter = request["filter"].as_str().unwrap();
                let asked = filter.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
                let asked = asked.filter(|word| word.starts_with("i-"));
                let arns: Vec<_> =
                    asked.map(|id| described("prod", id, id, "")["containerInstanceArn"].clone()).collect();
                assert!(arns.len() <= 100, "the answer has a second page");
                Reply::json(&json!({ "containerInstanceArns": arns }))
            }
            "DescribeContainerInstances" => {
                let found = asked(call, "containerInstances").into_iter().map(|arn| {
                    let id = id_of(&arn);
                    described("prod", id, id, "DRAINING")
                });
                Reply::json(&json!({ "containerInstances": found.collect::<Vec<_>>() }))
            }
            "ListTasks" => {
                let on = id_of(request["containerInstance"].as_str().unwrap());
                Reply::json(&json!({ "taskArns": [task_arn(&format!("{on}-{}", request["desiredStatus"]))] }))
            }
            "DescribeTasks" => {
                let found = asked(call, "tasks").into_iter().map(|arn| {
                    let on = id_of(&arn).rsplit_once('-').unwrap().0.to_owned();
                    let mut task = task(id_of(&arn), "DEACTIVATING", "STOPPED");
                    task["containerInstanceArn"] = described("prod", &on, &on, "")["containerInstanceArn"].clone();
                    task
                });
                Reply::json(&json!({ "tasks": found.collect::<Vec<_>>() }))
            }
            other => panic!("unexpected call of {other}"),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_thousand_instances_stay_within_the_bucket_and_share_their_calls() {
    let fake = crowded();
    let port = Arc::new(port(&fake));
    let clusters = Arc::new(NamePatterns::new(vec!["prod".to_owned()]).unwrap());
    let mut looks = JoinSet::new();
    for n in 0..INSTANCES {
        let (port, clusters) = (Arc::clone(&port), Arc::clone(&clusters));
        looks.spawn(async move {
            let found = port.find(FindContainerInstance { instance: numbered(n), clusters }).await.unwrap().unwrap();
            assert_eq!(found.instance, numbered(n));
            let tasks = port.unfinished_tasks(ListTasks { container_instance: found }).await.unwrap();
            assert_eq!(tasks.len(), 2);
            assert!(tasks.iter().all(|task| task.on == numbered(n)));
        });
    }
    looks.join_all().await;

    let calls = fake.calls();
    let mut a_second = BTreeMap::<u64, usize>::new();
    let mut of = BTreeMap::<&str, usize>::new();
    for call in &calls {
        *a_second.entry((call.at - calls[0].at).as_secs()).or_default() += 1;
        *of.entry(&call.operation).or_default() += 1;
    }
    for (second, calls) in a_second {
        let allowed = if second == 0 { BURST + A_SECOND } else { A_SECOND };
        assert!(calls <= allowed, "{calls} calls in second {second}");
    }
    assert_eq!(of["ListContainerInstances"], INSTANCES / 100);
    assert_eq!(of["DescribeContainerInstances"], INSTANCES / 100);
    assert_eq!(of["ListTasks"], 2 * INSTANCES, "ECS lists the tasks of one container instance at a time");
    assert!(of["DescribeTasks"] <= 2 * INSTANCES / 50, "{of:?}");
}

#[tokio::test(start_paused = true)]
async fn two_instances_in_one_call_are_told_apart() {
    let fake =
        ecs(vec![("prod", vec![described("prod", "ours", OURS, "ACTIVE"), described("prod", "b", OTHER, "DRAINING")])]);
    let port = port(&fake);
    let clusters = Arc::new(NamePatterns::new(vec!["prod".to_owned()]).unwrap());
    let find = |id| {
        port.find(FindContainerInstance { instance: InstanceId::parse(id).unwrap(), clusters: Arc::clone(&clusters) })
    };
    let (ours, other, nobody) = tokio::join!(find(OURS), find(OTHER), find("i-00000000000000009"));
    assert_eq!(ours, Ok(Some(seen("ACTIVE"))));
    assert_eq!(
        other.unwrap().unwrap().arn,
        described("prod", "b", OTHER, "")["containerInstanceArn"].as_str().unwrap()
    );
    assert_eq!(nobody, Ok(None));
    assert_eq!(operations(&fake), ["ListContainerInstances", "DescribeContainerInstances"]);
    let filter = format!("ec2InstanceId in ['{OURS}','{OTHER}','i-00000000000000009']");
    assert_eq!(fake.calls()[0].json()["filter"], filter);
}
