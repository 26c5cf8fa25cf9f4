use super::*;
use crate::sim::service::Strategy;

/// The world of the other tests with a second instance in the cluster, and a service `web` with tasks on the first.
fn two_instances(service: &str, tasks: usize) -> World {
    let second = format!("[[instance]]\nid = \"{OTHER}\"\ncluster = \"prod\"\n");
    serving(&second, service, tasks)
}

/// The world of the other tests with a service `web`.
fn serving(rest: &str, service: &str, tasks: usize) -> World {
    let task = format!("[[task]]\ninstance = \"{INSTANCE}\"\nservice = \"web\"\nstops-in = \"10s\"\n");
    world(&format!("{rest}[[service]]\nname = \"web\"\ncluster = \"prod\"\n{service}\n{}", task.repeat(tasks)))
}

/// What the world did by itself, without the ids of tasks.
fn told(world: &World) -> String {
    let name = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let is_id = |word: &str| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        words.into_iter().filter(|word| !is_id(word)).collect::<Vec<_>>().join(" ")
    };
    let lines: Vec<_> = changes(world).iter().map(|line| name(line)).collect();
    lines.join("\n").replace(INSTANCE, "first").replace(OTHER, "second")
}

#[tokio::test(start_paused = true)]
async fn with_a_minimum_of_100_replacements_run_before_old_tasks_stop() {
    let world = two_instances("", 2);
    drain(&world).unwrap();
    pass(60).await;
    assert!(tasks(&world).is_empty());
    insta::assert_snapshot!(told(&world), @"
    +0s world task placed service:web on second
    +0s world task placed service:web on second
    +20s world task started service:web on second
    +20s world task stopping service:web on first
    +20s world task started service:web on second
    +20s world task stopping service:web on first
    +30s world task stopped service:web on first
    +30s world task stopped service:web on first
    ");
}

#[tokio::test(start_paused = true)]
async fn a_maximum_of_150_moves_two_tasks_one_by_one() {
    let world = two_instances("maximum-percent = 150\nreplacements-start-in = \"5s\"", 2);
    drain(&world).unwrap();
    pass(60).await;
    assert!(tasks(&world).is_empty());
    insta::assert_snapshot!(told(&world), @"
    +0s world task placed service:web on second
    +5s world task started service:web on second
    +5s world task stopping service:web on first
    +15s world task stopped service:web on first
    +15s world task placed service:web on second
    +20s world task started service:web on second
    +20s world task stopping service:web on first
    +30s world task stopped service:web on first
    ");
}

#[tokio::test(start_paused = true)]
async fn with_a_minimum_of_50_half_of_the_tasks_stop_at_once() {
    let world = two_instances("minimum-healthy-percent = 50\nmaximum-percent = 100", 4);
    drain(&world).unwrap();
    pass(120).await;
    assert!(tasks(&world).is_empty());
    insta::assert_snapshot!(told(&world), @"
    +0s world task stopping service:web on first
    +0s world task stopping service:web on first
    +10s world task stopped service:web on first
    +10s world task placed service:web on second
    +10s world task stopped service:web on first
    +10s world task placed service:web on second
    +30s world task started service:web on second
    +30s world task stopping service:web on first
    +30s world task started service:web on second
    +30s world task stopping service:web on first
    +40s world task stopped service:web on first
    +40s world task placed service:web on second
    +40s world task stopped service:web on first
    +40s world task placed service:web on second
    +1m world task started service:web on second
    +1m world task started service:web on second
    ");
}

#[tokio::test(start_paused = true)]
async fn percentages_are_of_whole_tasks_the_minimum_rounded_up_and_the_maximum_down() {
    let limits = |minimum, maximum| match Strategy::replica(3, minimum, maximum) {
        Strategy::Replica { minimum, maximum, .. } => (minimum, maximum),
        Strategy::Daemon => panic!("a replica service"),
    };
    assert_eq!(limits(50, 150), (2, 4));
    assert_eq!(limits(0, 100), (0, 3));
    assert_eq!(limits(100, 200), (3, 6));
}

#[tokio::test(start_paused = true)]
async fn with_100_and_100_nothing_moves() {
    let world = two_instances("maximum-percent = 100", 2);
    drain(&world).unwrap();
    pass(24 * 60 * 60).await;
    assert_eq!(tasks(&world), ["service:web RUNNING RUNNING", "service:web RUNNING RUNNING"]);
    insta::assert_snapshot!(told(&world), @"+0s world service web: was unable to stop or start tasks during a deployment because of the service deployment configuration");
}

#[tokio::test(start_paused = true)]
async fn without_another_instance_the_drain_is_blocked_until_one_comes() {
    let alone = serving("", "", 1);
    drain(&alone).unwrap();
    pass(24 * 60 * 60).await;
    assert_eq!(tasks(&alone), ["service:web RUNNING RUNNING"]);
    insta::assert_snapshot!(told(&alone), @"+0s world service web: was unable to place a task because no container instance met all of its requirements");

    let late = format!("[[instance]]\nid = \"{OTHER}\"\ncluster = \"prod\"\nregistered-after = \"5m\"\n");
    let relieved = serving(&late, "", 1);
    drain(&relieved).unwrap();
    pass(600).await;
    assert!(tasks(&relieved).is_empty());
    insta::assert_snapshot!(told(&relieved), @"
    +0s world service web: was unable to place a task because no container instance met all of its requirements
    +5m world container instance registered second: ACTIVE in prod
    +5m world task placed service:web on second
    +5m 20s world task started service:web on second
    +5m 20s world task stopping service:web on first
    +5m 30s world task stopped service:web on first
    ");
}

#[tokio::test(start_paused = true)]
async fn only_an_active_and_connected_instance_of_the_cluster_takes_tasks() {
    for keys in [
        "cluster = \"test\"",
        "cluster = \"prod\"\nagent-connected = false",
        "cluster = \"prod\"\ncontainer-instance-status = \"DRAINING\"",
        "cluster = \"prod\"\nstate = \"stopped\"",
    ] {
        let world = serving(&format!("[[instance]]\nid = \"{OTHER}\"\n{keys}\n"), "", 1);
        drain(&world).unwrap();
        pass(600).await;
        assert_eq!(tasks(&world), ["service:web RUNNING RUNNING"], "with {keys}");
        assert!(!told(&world).contains("placed"), "on one with {keys}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pending_task_stops_at_once_and_is_replaced() {
    let second = format!("[[instance]]\nid = \"{OTHER}\"\ncluster = \"prod\"\n");
    let service = "[[service]]\nname = \"web\"\ncluster = \"prod\"\n";
    let task = format!("[[task]]\ninstance = \"{INSTANCE}\"\nservice = \"web\"\nstarts-in = \"1m\"\n");
    let world = world(&[second.as_str(), service, &task].concat());
    drain(&world).unwrap();
    assert!(tasks(&world).is_empty());
    insta::assert_snapshot!(told(&world), @"
    +0s world task stopped service:web on first
    +0s world task placed service:web on second
    ");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_stopped_is_replaced_where_there_is_room() {
    let alone = serving("", "", 1);
    let arn = list(&alone).remove(0).arn;
    stop(&alone, &arn).unwrap();
    assert_eq!(tasks(&alone), ["service:web DEACTIVATING STOPPED", "service:web PENDING RUNNING"]);
    assert_eq!(list(&alone)[1].definition, list(&alone)[0].definition);
    pass(20).await;
    assert_eq!(tasks(&alone), ["service:web RUNNING RUNNING"]);

    let world = two_instances("", 2);
    let arn = list(&world).remove(0).arn;
    stop(&world, &arn).unwrap();
    assert_eq!(tasks(&world), ["service:web DEACTIVATING STOPPED", "service:web RUNNING RUNNING"], "it is elsewhere");
}

#[tokio::test(start_paused = true)]
async fn stopping_a_task_on_a_draining_instance_helps_where_the_limits_do_not() {
    let world = two_instances("maximum-percent = 100", 1);
    drain(&world).unwrap();
    let arn = list(&world).remove(0).arn;
    stop(&world, &arn).unwrap();
    pass(60).await;
    assert!(tasks(&world).is_empty());
    insta::assert_snapshot!(told(&world), @"
    +0s world service web: was unable to stop or start tasks during a deployment because of the service deployment configuration
    +0s world task stopping service:web on first
    +10s world task stopped service:web on first
    +10s world task placed service:web on second
    +30s world task started service:web on second
    ");
}

#[tokio::test(start_paused = true)]
async fn tasks_lost_with_their_instance_are_replaced() {
    let second = format!("[[instance]]\nid = \"{OTHER}\"\ncluster = \"prod\"\n");
    let world = serving(&format!("reclaimed-after = \"1m\"\n{second}"), "", 1);
    assert_eq!(state(&world), "running");
    pass(90).await;
    insta::assert_snapshot!(told(&world), @"
    +1m world spot instance reclaimed first
    +1m world instance shutting down first
    +1m world container instance deregistered first: 1 task lost
    +1m world task placed service:web on second
    +1m 20s world task started service:web on second
    +1m 30s world instance terminated first
    +1m 30s world instance left its group first: web
    ");
}

#[tokio::test(start_paused = true)]
async fn a_service_starts_what_it_is_short_of() {
    let world = serving("", "desired-count = 3", 1);
    assert_eq!(tasks(&world).len(), 3);
    pass(20).await;
    assert_eq!(tasks(&world), ["service:web RUNNING RUNNING"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_service_spreads_its_tasks() {
    let world = two_instances("desired-count = 5", 1);
    assert_eq!(tasks(&world).len(), 3, "and two on the other");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_is_the_last_to_stop_and_not_replaced_there() {
    let second = format!("[[instance]]\nid = \"{OTHER}\"\ncluster = \"prod\"\n");
    let daemon = format!(
        "[[service]]\nname = \"agent\"\ncluster = \"prod\"\ndaemon = true\n\
         [[task]]\ninstance = \"{INSTANCE}\"\nservice = \"agent\"\n[[task]]\ninstance = \"{OTHER}\"\nservice = \"agent\"\n"
    );
    let world = serving(&[second, daemon].concat(), "", 1);
    drain(&world).unwrap();
    pass(60).await;
    assert!(tasks(&world).is_empty());
    insta::assert_snapshot!(told(&world), @"
    +0s world task placed service:web on second
    +20s world task started service:web on second
    +20s world task stopping service:web on first
    +30s world task stopped service:web on first
    +30s world task stopping service:agent on first
    +40s world task stopped service:agent on first
    ");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_runs_once_on_every_instance() {
    let late = format!("[[instance]]\nid = \"{OTHER}\"\ncluster = \"prod\"\nregistered-after = \"1m\"\n");
    let world = world(&format!("{late}[[service]]\nname = \"agent\"\ncluster = \"prod\"\ndaemon = true\n"));
    assert_eq!(tasks(&world), ["service:agent PENDING RUNNING"]);
    pass(20).await;
    let arn = list(&world).remove(0).arn;
    stop(&world, &arn).unwrap();
    pass(40).await;
    assert_eq!(tasks(&world), ["service:agent RUNNING RUNNING"], "another, in the place of the one stopped");
    insta::assert_snapshot!(told(&world), @"
    +0s world task placed service:agent on first
    +20s world task started service:agent on first
    +20s world task stopping service:agent on first
    +30s world task stopped service:agent on first
    +30s world task placed service:agent on first
    +50s world task started service:agent on first
    +1m world container instance registered second: ACTIVE in prod
    +1m world task placed service:agent on second
    ");
}

#[tokio::test(start_paused = true)]
async fn a_service_without_an_entry_stops_at_once_beside_one_that_waits() {
    let task = format!("[[task]]\ninstance = \"{INSTANCE}\"\nservice = \"api\"\n");
    let world = serving("", "", 1);
    drain(&world).unwrap();
    assert_eq!(tasks(&world), ["service:web RUNNING RUNNING"]);
    let both = serving(&format!("{task}\n"), "", 1);
    drain(&both).unwrap();
    assert_eq!(tasks(&both), ["service:api DEACTIVATING STOPPED", "service:web RUNNING RUNNING"]);
}
