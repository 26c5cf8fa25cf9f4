use super::*;
use crate::ports::PortErrorKind;

fn task(keys: &str) -> String {
    format!("[[task]]\ninstance = \"{INSTANCE}\"\n{keys}\n")
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_found_only_in_the_clusters_that_are_asked() {
    let world = world("");
    let found = find(&world, &["test", "prod"]).unwrap().unwrap();
    assert_eq!((found.cluster.as_str(), found.status.as_str(), found.instance), ("prod", "ACTIVE", id(INSTANCE)));
    assert_eq!(find(&world, &["test"]).unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_does_not_exist_is_an_error_that_names_it() {
    let error = find(&world(""), &["test", "prdo"]).unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound);
    assert_eq!(
        error.message,
        "there is no ECS cluster \"prdo\" in eu-central-1 (there are: prod, test); correct grants.ecs.clusters of the handler"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_does_not_exist_does_not_hide_the_instance_in_one_that_does() {
    let found = find(&world(""), &["prdo", "prod", "tset"]).unwrap().unwrap();
    assert_eq!((found.cluster.as_str(), found.status.as_str()), ("prod", "ACTIVE"));
    assert_eq!(find(&world(""), &["prdo", "pro*"]).unwrap().unwrap().cluster.as_str(), "prod");

    let not_live = world("registered-after = \"30s\"");
    let error = find(&not_live, &["prdo", "prod", "tset"]).unwrap_err();
    assert!(error.message.contains("\"prdo\""), "the first of them is named: {error}");
}

#[tokio::test(start_paused = true)]
async fn an_instance_may_register_late() {
    let world = world("registered-after = \"30s\"");
    assert_eq!(find(&world, &["prod"]).unwrap(), None);
    pass(29).await;
    assert_eq!(find(&world, &["prod"]).unwrap(), None);
    pass(1).await;
    assert_eq!(member_of_prod(&world).status, "ACTIVE");
}

#[tokio::test(start_paused = true)]
async fn draining_stops_service_tasks_and_leaves_standalone_ones() {
    let world = world(
        &[task("service = \"web\"\nstops-in = \"20s\""), task("family = \"report\"\nstops-in = \"5s\"")].concat(),
    );
    assert_eq!(member_of_prod(&world).running_tasks, 2);
    let drained = drain(&world).unwrap();
    assert_eq!(
        (drained.status.as_str(), drained.running_tasks),
        ("DRAINING", 1),
        "web is meant to stop, and counts no more"
    );
    assert_eq!(tasks(&world), ["service:web DEACTIVATING STOPPED", "family:report RUNNING RUNNING"]);
    pass(10).await;
    assert_eq!(tasks(&world), ["service:web STOPPING STOPPED", "family:report RUNNING RUNNING"]);
    pass(10).await;
    assert_eq!(tasks(&world), ["family:report RUNNING RUNNING"]);
    let left = list(&world).remove(0).arn;
    stop(&world, &left).unwrap();
    assert_eq!(tasks(&world), ["family:report STOPPING STOPPED"]);
    pass(5).await;
    assert!(tasks(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn draining_twice_changes_nothing() {
    let world = world(&task("service = \"web\"\nstops-in = \"20s\""));
    drain(&world).unwrap();
    pass(15).await;
    assert_eq!(drain(&world).unwrap().status, "DRAINING");
    pass(5).await;
    assert!(tasks(&world).is_empty(), "the second drain has put the end off");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_drains_already_stops_its_tasks_from_the_beginning() {
    let rest = ["container-instance-status = \"DRAINING\"\n".to_owned(), task("service = \"web\"")].concat();
    let world = world(&rest);
    assert_eq!(member_of_prod(&world).status, "DRAINING");
    pass(10).await;
    assert!(tasks(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_an_active_container_instance_can_be_drained() {
    let error = drain(&world("container-instance-status = \"DEREGISTERING\"")).unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Conflict);
    assert!(error.message.contains("i-0aaaaaaaaaaaaaaa1 in prod is DEREGISTERING: only an ACTIVE one"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn daemon_tasks_stop_last_but_do_not_wait_for_standalone_ones() {
    let world = world(
        &[
            task("service = \"agent\"\ndaemon = true\nstops-in = \"3s\""),
            task("service = \"web\"\nstops-in = \"20s\""),
            task("family = \"report\""),
        ]
        .concat(),
    );
    drain(&world).unwrap();
    pass(19).await;
    assert_eq!(tasks(&world)[0], "service:agent RUNNING RUNNING");
    // Nobody looks while both ends pass: the daemon's time still begins when the replica has stopped.
    pass(60).await;
    assert_eq!(tasks(&world), ["family:report RUNNING RUNNING"]);
    let told = changes(&world);
    assert!(told[1].starts_with("+20s world task stopped service:web"), "{told:#?}");
    assert!(told[2].starts_with("+20s world task stopping service:agent"), "{told:#?}");
    assert!(told[3].starts_with("+23s world task stopped service:agent"), "{told:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_stuck_task_never_stops() {
    let world = world(&[task("service = \"web\"\nstuck = true"), task("service = \"agent\"\ndaemon = true")].concat());
    drain(&world).unwrap();
    pass(24 * 60 * 60).await;
    assert_eq!(tasks(&world), ["service:web STOPPING STOPPED", "service:agent RUNNING RUNNING"]);
}

#[tokio::test(start_paused = true)]
async fn a_pending_service_task_stops_at_once_and_a_standalone_one_starts() {
    let world = world(
        &[task("service = \"web\"\nstarts-in = \"10s\""), task("family = \"report\"\nstarts-in = \"10s\"")].concat(),
    );
    assert_eq!(member_of_prod(&world).pending_tasks, 2);
    drain(&world).unwrap();
    assert_eq!(tasks(&world), ["family:report PENDING RUNNING"]);
    pass(10).await;
    assert_eq!(tasks(&world), ["family:report RUNNING RUNNING"]);
    assert_eq!(list(&world)[0].started_at, Some("2026-01-15T03:00:10Z".parse().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn with_the_agent_disconnected_tasks_are_never_reported_stopped() {
    let world = world(&["agent-connected = false\n".to_owned(), task("service = \"web\"")].concat());
    assert!(!drain(&world).unwrap().agent_connected);
    pass(3600).await;
    assert_eq!(tasks(&world), ["service:web RUNNING STOPPED"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_comes_back_stops_what_it_was_asked_to() {
    let keys = "agent-disconnects-after = \"5s\"\nagent-reconnects-after = \"1m\"\n";
    let tasks_of_it = [
        task("service = \"web\"\nstops-in = \"20s\""),
        task("family = \"early\"\nstops-in = \"10s\""),
        task("family = \"late\"\nstarts-in = \"30s\""),
    ];
    let world = world(&[keys.to_owned(), tasks_of_it.concat()].concat());
    let early = list(&world).remove(1).arn;
    stop(&world, &early).unwrap();
    pass(6).await;
    assert!(!member_of_prod(&world).agent_connected);
    drain(&world).unwrap();
    pass(53).await;
    let told = ["service:web RUNNING STOPPED", "family:early STOPPING STOPPED", "family:late PENDING RUNNING"];
    assert_eq!(tasks(&world), told, "nobody tells ECS what has become of them");
    pass(1).await;
    assert!(member_of_prod(&world).agent_connected);
    assert_eq!(tasks(&world), ["service:web DEACTIVATING STOPPED", "family:late RUNNING RUNNING"]);
    pass(20).await;
    assert_eq!(tasks(&world), ["family:late RUNNING RUNNING"]);
    let journal: Vec<_> = changes(&world).into_iter().map(|line| line.replace(" on i-0aaaaaaaaaaaaaaa1", "")).collect();
    insta::assert_snapshot!(journal.join("\n"), @"
    +0s world task stopping family:early 8051a197
    +5s world agent disconnected i-0aaaaaaaaaaaaaaa1
    +6s world task asked to stop service:web 87ff2aaa: its agent is disconnected
    +1m world agent reconnected i-0aaaaaaaaaaaaaaa1
    +1m world task stopping service:web 87ff2aaa
    +1m world task stopped family:early 8051a197
    +1m world task started family:late e7494669
    +1m 20s world task stopped service:web 87ff2aaa
    ");
}

#[tokio::test(start_paused = true)]
async fn stopping_a_task_that_has_ended_is_success_and_one_elsewhere_is_not_found() {
    let other = format!(
        "[[instance]]\nid = \"{OTHER}\"\ncluster = \"prod\"\n[[task]]\ninstance = \"{OTHER}\"\nservice = \"web\"\n{}",
        task("family = \"report\"")
    );
    let world = world(&other);
    let report = list(&world).remove(0).arn;
    stop(&world, &report).unwrap();
    pass(10).await;
    assert_eq!(stop(&world, &report), Ok(()));
    let patterns = Arc::new(NamePatterns::new(vec!["prod".to_owned()]).unwrap());
    let there = world.find_in_clusters(&FindContainerInstance { instance: id(OTHER), clusters: patterns });
    let elsewhere = world.tasks_on(&ListTasks { container_instance: there.unwrap().unwrap() }).unwrap().remove(0).arn;
    let error = stop(&world, &elsewhere).unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound);
    assert!(error.message.ends_with(&format!("{elsewhere} on {INSTANCE}")), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_container_instance_seen_before_may_be_gone() {
    let world = world("reclaimed-after = \"10s\"");
    let seen = member_of_prod(&world);
    pass(10).await;
    assert_eq!(find(&world, &["prod"]).unwrap(), None);
    let error = world.tasks_on(&ListTasks { container_instance: seen }).unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound);
    assert_eq!(error.message, "i-0aaaaaaaaaaaaaaa1 is no longer a container instance of the cluster prod");
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_container_instance_outlives_its_instance() {
    let world = world("reclaimed-after = \"10s\"\nagent-connected = false");
    assert_eq!(state(&world), "running");
    pass(60).await;
    assert_eq!(state(&world), "terminated");
    assert_eq!(member_of_prod(&world).status, "ACTIVE");
}
