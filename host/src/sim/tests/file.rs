use super::*;

/// How many lines every file of these tests begins with: what a test adds starts on the next one.
fn first_line() -> usize {
    1 + HEAD.lines().count()
}

#[track_caller]
fn says(rest: &str, line: usize, message: &str) {
    assert_eq!(refused(rest), format!("{}: {message}", first_line() + line));
}

/// Another instance, in no group and no cluster.
fn second(keys: &str) -> String {
    format!("[[instance]]\nid = \"{OTHER}\"\n{keys}")
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let text = r#"
        acount = "123456789012"
        start = "yesterday"
        [[cluster]]
        [[instance]]
        id = "i-1"
        address = "10.0.1"
        [[instance]]
        id = "i-0aaaaaaaaaaaaaaa1"
        state = "runing"
        cluster = "prod"
        [[task]]
        stops-in = 20
        [[ssh]]
        exit-status = "none"
    "#;
    let text: Vec<_> = text.lines().skip(1).map(str::trim_start).collect();
    let error = World::parse("world.toml", &text.join("\n")).unwrap_err();
    insta::assert_snapshot!(error, @r#"
    the simulated world has mistakes
    world.toml:1:1: unknown key "acount", did you mean "account"? (allowed here: start, account, region, eventually-consistent, cluster, group, service, instance, task, ssh)
      1 | acount = "123456789012"
        | ^
    world.toml:2:9: "yesterday" is not an instant: write date, time and zone, such as "2026-01-15T03:00:00Z"
      2 | start = "yesterday"
        |         ^
    world.toml:3:1: name is missing: write name = "…"
      3 | [[cluster]]
        | ^
    world.toml:5:6: "i-1" is not an EC2 instance id (i- and 8 or 17 hexadecimal digits, such as i-0123456789abcdef0)
      5 | id = "i-1"
        |      ^
    world.toml:6:11: "10.0.1" is not an IP address: write one such as "10.0.1.17"
      6 | address = "10.0.1"
        |           ^
    world.toml:9:9: unknown value "runing", did you mean "running"? (allowed here: running, pending, shutting-down, terminated, stopping, stopped)
      9 | state = "runing"
        |         ^
    world.toml:10:11: i-0aaaaaaaaaaaaaaa1 refers to the cluster prod, which is not in the world; add a [[cluster]] for it
      10 | cluster = "prod"
         |           ^
    world.toml:12:12: the bare number 20 is not a time: give it a unit, such as "20s"
      12 | stops-in = 20
         |            ^
    world.toml:14:15: expected a whole number, found string "none"
      14 | exit-status = "none"
         |               ^
    "#);
}

#[test]
fn an_unknown_key_is_named_with_the_one_that_was_meant() {
    let message = refused("lifecycel-state = \"Terminating:Wait\"");
    assert!(message.starts_with("26: unknown key \"lifecycel-state\", did you mean \"lifecycle-state\"?"), "{message}");
    let message = refused("[[ssh]]\nexit_status = 1");
    assert!(message.starts_with("27: unknown key \"exit_status\", did you mean \"exit-status\"?"), "{message}");
    let message = refused("quantum = true");
    assert!(message.starts_with("26: unknown key \"quantum\" (allowed here: id, type, "), "{message}");
}

#[test]
fn a_key_that_has_to_be_there_is_asked_for() {
    says("[[cluster]]", 0, "name is missing: write name = \"…\"");
    says("[[instance]]", 0, "id is missing: write id = \"i-0123456789abcdef0\"");
    says("[[service]]", 0, "name is missing: write name = \"…\", as tasks give it in service");
    says(
        "[[group]]\nname = \"api\"\n[[group.hook]]\nname = \"a\"",
        2,
        "transition is missing: write transition = \"terminating\" or \"launching\"",
    );
}

#[test]
fn what_there_can_be_several_of_stands_in_double_brackets() {
    let error = World::parse("world.toml", "[instance]\nid = \"i-0aaaaaaaaaaaaaaa1\"").unwrap_err().to_string();
    assert!(error.contains("1:1: expected double brackets, [[…]], since there can be several of these"), "{error}");
}

#[test]
fn account_and_region_have_defaults() {
    let place = World::parse("world.toml", "").unwrap().place();
    assert_eq!((place.account.as_str(), place.region.as_str()), ("123456789012", "eu-central-1"));
    let place = World::parse("world.toml", "account = \"210987654321\"\nregion = \"us-east-1\"").unwrap().place();
    assert_eq!((place.account.as_str(), place.region.as_str()), ("210987654321", "us-east-1"));
}

#[test]
fn a_time_needs_its_unit_and_has_an_end() {
    says("registered-after = 30", 0, "the bare number 30 is not a time: give it a unit, such as \"30s\"");
    says(
        "registered-after = \"30\"",
        0,
        "\"30\" is not a time: write a number with its unit, such as \"60s\", \"500ms\" or \"1h\"",
    );
    says("registered-after = \"31d\"", 0, "registered-after is 31days, but has to be from 0s to 30days");
}

#[test]
fn an_instant_is_written_in_quotes() {
    says("launched-at = 2026-01-15T03:00:00Z", 0, "an instant is written in quotes: \"2026-01-15T03:00:00Z\"");
    says(
        "launched-at = \"yesterday\"",
        0,
        "\"yesterday\" is not an instant: write date, time and zone, such as \"2026-01-15T03:00:00Z\"",
    );
}

#[test]
fn an_address_is_one() {
    says(&second("address = \"10.0.1\""), 2, "\"10.0.1\" is not an IP address: write one such as \"10.0.1.17\"");
    says(&second("address = 10"), 2, "expected an IP address in quotes, such as \"10.0.1.17\", found integer 10");
}

#[test]
fn an_exit_status_is_a_byte() {
    says("[[ssh]]\nexit-status = 256", 1, "exit-status is 256, but has to be from 0 to 255");
    says("[[ssh]]\nexit-status = \"1\"", 1, "expected a whole number, found string \"1\"");
}

#[test]
fn a_reference_to_what_is_not_there_names_both_ends() {
    says(
        &second("cluster = \"pord\""),
        2,
        "i-0bbbbbbbbbbbbbbb2 refers to the cluster pord, which is not in the world; did you mean prod?",
    );
    says(
        &second("group = \"storage\""),
        2,
        "i-0bbbbbbbbbbbbbbb2 refers to the group storage, which is not in the world; add a [[group]] for it",
    );
    says(
        "[[task]]\nservice = \"api\"\ninstance = \"i-0aaaaaaaaaaaaaaa2\"",
        2,
        "the task api refers to the instance i-0aaaaaaaaaaaaaaa2, which is not in the world; \
         did you mean i-0aaaaaaaaaaaaaaa1?",
    );
    says(
        &second(&format!("[[task]]\nservice = \"api\"\ninstance = \"{OTHER}\"")),
        4,
        "the task api is on i-0bbbbbbbbbbbbbbb2, which is in no cluster; give the instance a cluster",
    );
    says(
        "[[ssh]]\ninstance = \"i-0cccccccccccccccc\"",
        1,
        "an ssh answer refers to the instance i-0cccccccccccccccc, which is not in the world; add a [[instance]] for it",
    );
    says(
        "[[service]]\nname = \"web\"\ncluster = \"pord\"\ndesired-count = 0",
        2,
        "the service web refers to the cluster pord, which is not in the world; did you mean prod?",
    );
}

#[test]
fn a_task_is_on_the_only_instance_unless_it_says_where() {
    let one = World::parse("world.toml", &format!("{HEAD}[[task]]\nservice = \"web\""));
    one.unwrap_or_else(|error| panic!("{error}"));
    says(
        &second("[[task]]\nservice = \"web\""),
        2,
        "the task web names no instance, and the world has 2 of them: write instance = \"i-…\"",
    );
}

#[test]
fn an_instance_is_in_one_cluster_at_most() {
    says(
        &format!("[[instance]]\nid = \"{INSTANCE}\"\ncluster = \"test\""),
        1,
        "i-0aaaaaaaaaaaaaaa1 is in two clusters, prod and test; an instance is a member of one at most",
    );
    says(&format!("[[instance]]\nid = \"{INSTANCE}\""), 1, "i-0aaaaaaaaaaaaaaa1 is there twice");
}

#[test]
fn things_are_there_once() {
    says("[[cluster]]\nname = \"prod\"", 1, "the cluster prod is there twice");
    says("[[group]]\nname = \"web\"", 1, "the group web is there twice");
    let hook = "[[group.hook]]\nname = \"a\"\ntransition = \"launching\"\n";
    says(&format!("[[group]]\nname = \"api\"\n{hook}{hook}"), 6, "the group api has the hook a twice");
    says(
        &second("address = \"10.0.1.17\""),
        2,
        "i-0bbbbbbbbbbbbbbb2 and i-0aaaaaaaaaaaaaaa1 have the same address, 10.0.1.17",
    );
    let service = "[[service]]\nname = \"web\"\ncluster = \"prod\"\ndesired-count = 0\n";
    says(&service.repeat(2), 5, "the service web is in prod twice");
}

#[test]
fn words_are_those_of_aws() {
    let message = refused("lifecycle-state = \"Terminating:wait\"");
    assert!(
        message.starts_with("26: unknown value \"Terminating:wait\", did you mean \"Terminating:Wait\"?"),
        "{message}"
    );
    says("health-status = \"fine\"", 0, "unknown value \"fine\" (allowed here: HEALTHY, UNHEALTHY)");
    let message = refused("[[group]]\nname = \"api\"\n[[group.hook]]\nname = \"a\"\ntransition = \"leaving\"");
    assert!(message.contains("30: unknown value \"leaving\" (allowed here: terminating, launching, "), "{message}");
}

#[test]
fn a_hook_has_times_that_auto_scaling_takes() {
    let hook = |keys: &str| {
        format!("[[group]]\nname = \"api\"\n[[group.hook]]\nname = \"a\"\ntransition = \"launching\"\n{keys}")
    };
    says(&hook("heartbeat-timeout = \"5s\""), 5, "heartbeat-timeout is 5s, but has to be from 30s to 2h");
    says(
        &hook("heartbeat-timeout = \"30s\"\nglobal-timeout = \"51m\""),
        6,
        "global-timeout is 51m, but has to be from 1s to 50m",
    );
}

#[test]
fn keys_that_mean_nothing_are_mistakes() {
    says(
        &second("lifecycle-state = \"InService\"\nregistered-after = \"3s\""),
        2,
        "i-0bbbbbbbbbbbbbbb2 has lifecycle-state, which means nothing without group = \"…\"\n\
         29: i-0bbbbbbbbbbbbbbb2 has registered-after, which means nothing without cluster = \"…\"",
    );
    says(
        "held-for = \"3s\"",
        0,
        "i-0aaaaaaaaaaaaaaa1 has held-for, and no hook holds it while it is InService; \
         write lifecycle-state = \"Terminating:Wait\"",
    );
    says(
        &second("reclaimed-after = \"3s\""),
        2,
        "i-0bbbbbbbbbbbbbbb2 has reclaimed-after, and is on-demand; write lifecycle = \"spot\"",
    );
    says("[[task]]\nstuck = true\nstops-in = \"3s\"", 2, "the task standalone has stops-in, and is stuck: choose one");
    says("[[task]]\ndaemon = true", 1, "the task standalone is a daemon of no service; write service = \"…\"");
    says(
        "[[task]]\nservice = \"web\"\nfamily = \"report\"",
        0,
        "a task of the service web and of no service (report) at once",
    );
}

#[test]
fn an_agent_goes_before_it_comes_back() {
    says(
        "agent-connected = false\nagent-disconnects-after = \"3s\"",
        1,
        "the agent of i-0aaaaaaaaaaaaaaa1 is not connected at the beginning: leave this out",
    );
    says(
        "registered-after = \"5s\"\nagent-disconnects-after = \"3s\"",
        1,
        "the agent of i-0aaaaaaaaaaaaaaa1 disconnects before it registers the instance: write more",
    );
    says(
        "agent-reconnects-after = \"3s\"",
        0,
        "i-0aaaaaaaaaaaaaaa1 has agent-reconnects-after, which means nothing without agent-disconnects-after = \"…\"",
    );
    says(
        "agent-disconnects-after = \"3s\"\nagent-reconnects-after = \"3s\"",
        1,
        "the agent of i-0aaaaaaaaaaaaaaa1 reconnects before it disconnects: write more",
    );
}

#[test]
fn a_service_has_a_cluster_tasks_and_limits_that_make_sense() {
    let service =
        |keys: &str| format!("[[service]]\nname = \"web\"\ncluster = \"prod\"\n{keys}\n[[task]]\nservice = \"web\"\n");
    says(
        "[[service]]\nname = \"web\"\n[[task]]\nservice = \"web\"",
        1,
        "the service web names no cluster, and the world has prod and test: write cluster = \"prod\"",
    );
    let error = World::parse("world.toml", "[[service]]\nname = \"web\"").unwrap_err().to_string();
    assert!(error.contains("the service web is in no cluster: add a [[cluster]]"), "{error}");
    says(
        "[[service]]\nname = \"web\"\ncluster = \"prod\"",
        1,
        "the service web has neither tasks nor desired-count: add a [[task]], or write desired-count",
    );
    says(&service("desired-count = 0"), 3, "web has desired-count = 0, and the world lists 1 of its tasks");
    says(&service("desired-count = 1001"), 3, "desired-count is 1001, but has to be from 0 to 1000");
    says(&service("minimum-healthy-percent = 101"), 3, "minimum-healthy-percent is 101, but has to be from 0 to 100");
    says(&service("maximum-percent = 99"), 3, "maximum-percent is 99, but has to be from 100 to 1000");
    says(
        &service("daemon = true\nmaximum-percent = 100"),
        4,
        "web is a daemon, one task to each container instance: leave maximum-percent out",
    );
    says(
        "[[service]]\nname = \"web\"\ncluster = \"prod\"\n[[task]]\nservice = \"web\"\ndaemon = true",
        5,
        "the [[service]] web says daemon = false; leave this out",
    );
}

#[test]
fn a_node_gives_one_answer() {
    says("[[ssh]]\nhang = true\nexit-status = 1", 2, "hang and exit-status at once: a node gives one answer");
    says(
        "[[ssh]]\nrefused = true\nwrong-host-key = true",
        2,
        "refused and wrong-host-key at once: a node gives one answer",
    );
    says("[[ssh]]\nexit-status = 1\nsignal = \"TERM\"", 2, "a command ended by the signal TERM has no exit status (1)");
    says("[[ssh]]\ncommand = []", 1, "a command without a program; leave `command` out to mean any");
    says("[[ssh]]\ncommand = [\"**\", \"x\"]", 1, "`**` stands for the last arguments, so it can only come last");
}

#[test]
fn a_lag_is_short() {
    let error = World::parse("world.toml", "eventually-consistent = \"6m\"").unwrap_err().to_string();
    assert!(error.contains("1:25: eventually-consistent is 6m, but has to be from 0s to 5m"), "{error}");
}

#[test]
fn what_is_far_too_large_is_refused() {
    let message = World::parse("world.toml", &"#".repeat(2 << 20)).unwrap_err().to_string();
    assert!(message.contains("1:1: the file has 2097152 bytes, and a world can have 1048576 at most"), "{message}");
}
