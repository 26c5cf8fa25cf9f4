use super::*;

/// How many lines every file of these tests begins with: what a test adds starts on the next one.
fn first_line() -> usize {
    1 + HEAD.lines().count()
}

#[track_caller]
fn says(rest: &str, line: usize, message: &str) {
    assert_eq!(refused(rest), format!("world.toml:{}: {message}", first_line() + line));
}

#[test]
fn an_unknown_key_is_named_with_the_one_that_was_meant() {
    says(
        "lifecycel-state = \"Terminating:Wait\"",
        0,
        "unknown key \"lifecycel-state\"; did you mean \"lifecycle-state\"?",
    );
    says("[[ssh]]\nexit_status = 1", 1, "unknown key \"exit_status\"; did you mean \"exit-status\"?");
    let message = refused("quantum = true");
    assert!(message.contains("unknown key `quantum`, expected one of `id`, `type`"), "{message}");
}

#[test]
fn a_time_needs_its_unit() {
    says(
        "registered-after = 30",
        0,
        "invalid type: integer `30`, expected a time in quotes with its unit, such as \"90s\" or \"5m\"",
    );
    let message = refused("registered-after = \"30\"");
    assert!(message.contains("\"30\" is not a time with its unit, such as \"90s\" or \"5m\""), "{message}");
    let message = refused("registered-after = \"100 years\"");
    assert!(message.ends_with("\"100 years\" is longer than 30 days, the longest a world knows"), "{message}");
}

#[test]
fn an_instant_is_written_in_quotes() {
    let message = refused("launched-at = 2026-01-15T03:00:00Z");
    assert!(message.contains("expected an instant in quotes, such as \"2026-01-15T03:00:00Z\""), "{message}");
    let message = refused("launched-at = \"yesterday\"");
    assert!(message.contains("\"yesterday\" is not an instant such as \"2026-01-15T03:00:00Z\""), "{message}");
}

#[test]
fn a_reference_to_what_is_not_there_names_both_ends() {
    let second = format!("[[instance]]\nid = \"{OTHER}\"\n");
    says(
        &format!("{second}cluster = \"pord\""),
        2,
        "i-0bbbbbbbbbbbbbbb2 refers to the cluster pord, which is not in the world; did you mean prod?",
    );
    says(
        &format!("{second}group = \"storage\""),
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
        &format!("{second}[[task]]\nservice = \"api\"\ninstance = \"{OTHER}\""),
        4,
        "the task api is on i-0bbbbbbbbbbbbbbb2, which is in no cluster; give the instance a cluster",
    );
    says(
        &format!("[[ssh]]\ninstance = \"{OTHER}\""),
        1,
        "an ssh answer refers to the instance i-0bbbbbbbbbbbbbbb2, which is not in the world; add a [[instance]] for it",
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
        &format!("[[instance]]\nid = \"{OTHER}\"\naddress = \"10.0.1.17\""),
        1,
        "i-0bbbbbbbbbbbbbbb2 and i-0aaaaaaaaaaaaaaa1 have the same address, 10.0.1.17",
    );
}

#[test]
fn words_are_those_of_aws() {
    says(
        "lifecycle-state = \"Terminating:wait\"",
        0,
        "lifecycle-state is \"Terminating:wait\"; did you mean \"Terminating:Wait\"?",
    );
    says("health-status = \"fine\"", 0, "health-status is \"fine\"; it can be HEALTHY, UNHEALTHY");
    let message = refused("[[group]]\nname = \"api\"\n[[group.hook]]\nname = \"a\"\ntransition = \"leaving\"");
    assert!(message.contains("transition is \"leaving\"; it can be terminating, launching, "), "{message}");
}

#[test]
fn a_hook_has_times_that_auto_scaling_takes() {
    let hook = |keys: &str| {
        format!("[[group]]\nname = \"api\"\n[[group.hook]]\nname = \"a\"\ntransition = \"launching\"\n{keys}")
    };
    says(&hook("heartbeat-timeout = \"5s\""), 3, "the heartbeat-timeout of the hook a must be from 30s to 2h");
    says(
        &hook("heartbeat-timeout = \"30s\"\nglobal-timeout = \"51m\""),
        3,
        "the global-timeout of the hook a must be 50m at most (48h or 100 heartbeat-timeouts)",
    );
}

#[test]
fn keys_that_mean_nothing_are_mistakes() {
    says(
        &format!("[[instance]]\nid = \"{OTHER}\"\nlifecycle-state = \"InService\"\nregistered-after = \"3s\""),
        1,
        "i-0bbbbbbbbbbbbbbb2 has registered-after, which means nothing without cluster = \"…\"\n\
         world.toml:28: i-0bbbbbbbbbbbbbbb2 has lifecycle-state, which means nothing without group = \"…\"",
    );
    let message = refused("held-for = \"3s\"");
    assert!(
        message.ends_with("i-0aaaaaaaaaaaaaaa1 has held-for, and no hook holds it while it is InService"),
        "{message}"
    );
    says(
        &format!("[[instance]]\nid = \"{OTHER}\"\nreclaimed-after = \"3s\""),
        1,
        "i-0bbbbbbbbbbbbbbb2 has reclaimed-after, and is on-demand; write lifecycle = \"spot\"",
    );
    let task = |keys: &str| format!("[[task]]\ninstance = \"{INSTANCE}\"\n{keys}");
    says(&task("stuck = true\nstops-in = \"3s\""), 1, "the task standalone has stops-in, and is stuck: choose one");
    says(&task("daemon = true"), 1, "the task standalone is a daemon of no service; write service = \"…\"");
    says(
        &task("service = \"web\"\nfamily = \"report\""),
        1,
        "a task of the service web and of no service (report) at once",
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
fn what_is_not_toml_or_far_too_large_is_refused() {
    let message = World::parse("world.toml", "account = ").unwrap_err().to_string();
    assert!(message.starts_with("world.toml:1: "), "{message}");
    let message = World::parse("world.toml", "region = \"eu-central-1\"").unwrap_err().to_string();
    assert_eq!(message, "world.toml:1: missing field `account`");
    let message = World::parse("world.toml", &"#".repeat(2 << 20)).unwrap_err().to_string();
    assert_eq!(message, "world.toml:1: the file has 2097152 bytes, and a world can have 1048576 at most");
}

#[test]
fn an_id_that_is_none_is_told_by_its_line() {
    let message = refused("[[instance]]\nid = \"i-1\"");
    assert!(message.starts_with("world.toml:27: \"i-1\" is not an EC2 instance id"), "{message}");
}
