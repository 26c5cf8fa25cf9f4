use super::*;
use crate::policy::Policy;
use crate::ports::ClusterName;

const OWN: &str = "i-0123456789abcdef0";
const OTHER: &str = "i-0fedcba9876543210";

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

/// The scope of a handler with these grants, for an event about [`OWN`].
fn scope(grants: &str) -> Scope {
    let text = format!(
        "[modules]\nsource = \"dir:dist\"\nallow-unsigned = true\n[[handler]]\nname = \"drain\"\nmodule = \"drain.wasm\"\n\
         event.source = [\"aws.ec2\"]\n[handler.grants]\n{grants}\n"
    );
    let policy = Policy::parse("hostler.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    Scope::new(Arc::clone(&policy.handlers[0]), Some(id(OWN)))
}

fn member(instance: &str, cluster: &str) -> ContainerInstance {
    ContainerInstance {
        arn: "arn:aws:ecs:eu-central-1:123456789012:container-instance/x".to_owned(),
        cluster: ClusterName::parse(cluster).unwrap(),
        instance: id(instance),
        status: "ACTIVE".to_owned(),
        agent_connected: true,
        running_tasks: 1,
        pending_tasks: 0,
    }
}

fn task(on: &str) -> Task {
    Task {
        arn: TaskArn::parse("arn:aws:ecs:eu-central-1:123456789012:task/prod/0123").unwrap(),
        on: id(on),
        group: None,
        definition: "arn:aws:ecs:eu-central-1:123456789012:task-definition/web:1".to_owned(),
        last_status: "RUNNING".to_owned(),
        desired_status: "RUNNING".to_owned(),
        started_at: None,
    }
}

fn group_member(instance: &str, group: &str) -> GroupInstance {
    GroupInstance {
        instance: id(instance),
        group: GroupName::parse(group).unwrap(),
        lifecycle_state: "InService".to_owned(),
        health_status: "HEALTHY".to_owned(),
        protected_from_scale_in: false,
        availability_zone: "eu-central-1a".to_owned(),
    }
}

fn node(instance: &str) -> Instance {
    Instance {
        instance: id(instance),
        state: "running".to_owned(),
        lifecycle: "on-demand".to_owned(),
        instance_type: "m7g.large".to_owned(),
        availability_zone: "eu-central-1a".to_owned(),
        private_address: Some(IpAddr::from([10, 0, 0, 1])),
        launched_at: None,
        tags: Vec::new(),
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn exec(scope: &Scope, on: &str, command: &str, timeout: Option<Duration>) -> Result<Exec, Denial> {
    scope.exec(&node(on), words(command), None, timeout).map(Granted::into_request)
}

const ECS: &str = "ecs = { clusters = [\"prod-*\", \"batch\"], allow = [\"read\", \"drain\", \"stop-task\"] }";
const SSH: &str = "ssh = { user = \"ec2-user\", key = \"env:KEY\", host-keys = \"console\", commands = [[\"docker\", \"ps\", \"**\"]], \
                   command-timeout = \"30s\" }";

#[test]
fn what_is_granted_is_allowed() {
    let scope = scope(&format!(
        "{ECS}\n{SSH}\nautoscaling = {{ groups = [\"web *\"], allow = [\"read\", \"protect\"] }}\nec2 = {{ allow = [\"read\"] }}"
    ));
    let find = scope.find_container_instance(EcsCall::Drain, id(OWN)).unwrap().into_request();
    assert!(find.instance == id(OWN) && find.clusters.matches("batch"));
    assert_eq!(scope.drain(member(OWN, "prod-1")).unwrap().into_request().container_instance, member(OWN, "prod-1"));
    assert!(scope.list_tasks(EcsCall::ListTasks, member(OWN, "batch")).is_ok());
    let stop = scope.stop_task(member(OWN, "batch"), &task(OWN), &"é".repeat(300)).unwrap().into_request();
    assert_eq!(stop.reason, "é".repeat(255));
    assert!(scope.describe_group_instance(AutoScalingCall::DescribeInstance, id(OWN)).is_ok());
    assert!(scope.reveal_group_instance(group_member(OWN, "web 1")).is_ok());
    assert!(scope.set_instance_protection(group_member(OWN, "web 1"), true).unwrap().into_request().protected);
    assert!(scope.describe_instance(id(OWN)).is_ok());
    assert!(scope.describe_for_exec(id(OWN), &words("docker ps")).is_ok());
    let run = exec(&scope, OWN, "docker ps -a", None).unwrap();
    assert_eq!(
        (run.port, run.user.as_str(), run.key, run.host_keys),
        (22, "ec2-user", ClientKey::Env("KEY".to_owned()), HostKeys::Console)
    );
    assert_eq!((run.command_timeout, run.connect_timeout), (Duration::from_secs(30), Duration::from_secs(10)));
}

#[test]
fn a_guest_can_shorten_the_commands_timeout_and_not_lengthen_it() {
    let scope = scope(SSH);
    let timeout =
        |seconds| exec(&scope, OWN, "docker ps", Some(Duration::from_secs(seconds))).unwrap().command_timeout.as_secs();
    assert_eq!((timeout(5), timeout(3600)), (5, 30));
}

#[test]
fn a_call_needs_what_it_is_made_for() {
    let drain = scope("ecs = { clusters = [\"*\"], allow = [\"drain\"] }");
    assert!(drain.find_container_instance(EcsCall::Drain, id(OWN)).is_ok());
    assert!(drain.find_container_instance(EcsCall::FindContainerInstance, id(OWN)).is_err());
    assert!(drain.list_tasks(EcsCall::StopTask, member(OWN, "a")).is_err());
    let stop = scope("ecs = { clusters = [\"*\"], allow = [\"stop-task\"] }");
    assert!(stop.list_tasks(EcsCall::StopTask, member(OWN, "a")).is_ok());
    assert!(stop.list_tasks(EcsCall::ListTasks, member(OWN, "a")).is_err());
    assert!(stop.drain(member(OWN, "a")).is_err());
    let protect = scope("autoscaling = { groups = [\"*\"], allow = [\"protect\"] }");
    assert!(protect.describe_group_instance(AutoScalingCall::SetInstanceProtection, id(OWN)).is_ok());
    assert!(protect.reveal_group_instance(group_member(OWN, "a")).is_err());
    assert!(scope(SSH).describe_instance(id(OWN)).is_err(), "ssh passed for ec2");
}

#[test]
fn any_instance_is_reached_only_when_the_policy_says_so() {
    let any = scope("ecs = { clusters = [\"batch\"], allow = [\"drain\"], instances = \"any\" }");
    assert!(any.drain(member(OTHER, "batch")).is_ok());
    assert!(any.drain(member(OTHER, "prod")).is_err());
    let own = scope(ECS);
    assert!(own.drain(member(OTHER, "batch")).is_err(), "what ECS answered is not what the event is about");
    assert!(own.find_container_instance(EcsCall::Drain, id(OTHER)).is_err());
    let nobody = Scope::new(own.handler, None);
    assert!(nobody.drain(member(OWN, "batch")).is_err());
}

/// Every refusal, as the operator and the plugin's author read it.
#[test]
fn a_denial_names_the_handler_the_call_the_rule_and_the_remedy() {
    fn denial<T: std::fmt::Debug>(result: Result<T, Denial>) -> String {
        result.expect_err("a denial").to_string()
    }
    let none = scope("");
    insta::assert_snapshot!(denial(none.find_container_instance(EcsCall::FindContainerInstance, id(OWN))), @r#"handler "drain" may not call ecs.find-container-instance on i-0123456789abcdef0: it has no ecs grant; to allow it, add ecs = { clusters = ["…"], allow = ["read"] } to its [handler.grants] (line 8)"#);
    insta::assert_snapshot!(denial(none.drain(member(OWN, "batch"))), @r#"handler "drain" may not call ecs.drain on i-0123456789abcdef0: it has no ecs grant; to allow it, add ecs = { clusters = ["…"], allow = ["drain"] } to its [handler.grants] (line 8)"#);
    insta::assert_snapshot!(denial(none.stop_task(member(OWN, "batch"), &task(OWN), "")), @r#"handler "drain" may not call ecs.stop-task on i-0123456789abcdef0: it has no ecs grant; to allow it, add ecs = { clusters = ["…"], allow = ["stop-task"] } to its [handler.grants] (line 8)"#);
    insta::assert_snapshot!(denial(none.reveal_group_instance(group_member(OWN, "web"))), @r#"handler "drain" may not call autoscaling.describe-instance on i-0123456789abcdef0: it has no autoscaling grant; to allow it, add autoscaling = { groups = ["…"], allow = ["read"] } to its [handler.grants] (line 8)"#);
    insta::assert_snapshot!(denial(none.set_instance_protection(group_member(OWN, "web"), true)), @r#"handler "drain" may not call autoscaling.set-instance-protection on i-0123456789abcdef0: it has no autoscaling grant; to allow it, add autoscaling = { groups = ["…"], allow = ["protect"] } to its [handler.grants] (line 8)"#);
    insta::assert_snapshot!(denial(none.describe_instance(id(OWN))), @r#"handler "drain" may not call ec2.describe-instance on i-0123456789abcdef0: it has no ec2 grant; to allow it, add ec2 = { allow = ["read"] } to its [handler.grants] (line 8)"#);
    insta::assert_snapshot!(denial(exec(&none, OWN, "uptime", None)), @r#"handler "drain" may not call ssh.exec on i-0123456789abcdef0: it has no ssh grant; to allow it, add ssh = { user = "…", key = "…", host-keys = "…", commands = [["…"]] } to its [handler.grants] (line 8)"#);

    let read = scope(
        "ecs = { clusters = [\"prod-*\", \"batch\"], allow = [\"read\"] }\nautoscaling = { groups = [\"web\"], allow = [\"read\"] }",
    );
    insta::assert_snapshot!(denial(read.drain(member(OWN, "batch"))), @r#"handler "drain" may not call ecs.drain on i-0123456789abcdef0: its ecs grant (line 9) allows only "read"; to allow it, add "drain" to grants.ecs.allow"#);
    insta::assert_snapshot!(denial(read.list_tasks(EcsCall::StopTask, member(OWN, "batch"))), @r#"handler "drain" may not call ecs.stop-task on i-0123456789abcdef0: its ecs grant (line 9) allows only "read"; to allow it, add "stop-task" to grants.ecs.allow"#);
    insta::assert_snapshot!(denial(read.set_instance_protection(group_member(OWN, "web"), true)), @r#"handler "drain" may not call autoscaling.set-instance-protection on i-0123456789abcdef0: its autoscaling grant (line 10) allows only "read"; to allow it, add "protect" to grants.autoscaling.allow"#);
    insta::assert_snapshot!(denial(read.list_tasks(EcsCall::ListTasks, member(OWN, "test"))), @r#"handler "drain" may not call ecs.list-tasks on i-0123456789abcdef0: its ecs grant (line 9) is for clusters "prod-*", "batch", and the instance is in "test"; to allow it, add "test" to grants.ecs.clusters"#);
    insta::assert_snapshot!(denial(read.reveal_group_instance(group_member(OWN, "other"))), @r#"handler "drain" may not call autoscaling.describe-instance on i-0123456789abcdef0: its autoscaling grant (line 10) is for groups "web", and the instance is in "other"; to allow it, add "other" to grants.autoscaling.groups"#);
    insta::assert_snapshot!(denial(read.find_container_instance(EcsCall::ListTasks, id(OTHER))), @r#"handler "drain" may not call ecs.list-tasks on i-0fedcba9876543210: its ecs grant (line 9) reaches only the event's own instance, i-0123456789abcdef0; to allow it, set grants.ecs.instances = "any""#);
    insta::assert_snapshot!(denial(Scope::new(Arc::clone(&read.handler), None).find_container_instance(EcsCall::ListTasks, id(OTHER))), @r#"handler "drain" may not call ecs.list-tasks on i-0fedcba9876543210: its ecs grant (line 9) reaches only the event's own instance, and this event names none; to allow it, set grants.ecs.instances = "any""#);

    let all = scope(&format!("{ECS}\n{SSH}"));
    insta::assert_snapshot!(denial(all.stop_task(member(OWN, "batch"), &task(OTHER), "")), @r#"handler "drain" may not call ecs.stop-task on i-0123456789abcdef0: the task arn:aws:ecs:eu-central-1:123456789012:task/prod/0123 is on another instance; stop only tasks that list-tasks gives for the instance"#);
    insta::assert_snapshot!(denial(exec(&all, OWN, "docker rm -f web", None)), @r#"handler "drain" may not call ssh.exec on i-0123456789abcdef0: no pattern in its ssh grant (line 10) matches ["docker", "rm", "-f", "web"]; to allow it, add the command, or a pattern for it, to grants.ssh.commands"#);
    insta::assert_snapshot!(denial(exec(&all, OTHER, "docker ps", None)), @r#"handler "drain" may not call ssh.exec on i-0fedcba9876543210: its ssh grant (line 10) reaches only the event's own instance, i-0123456789abcdef0; to allow it, set grants.ssh.instances = "any""#);
    insta::assert_snapshot!(denial(all.describe_for_exec(id(OWN), &["docker".to_owned(), "ps".to_owned(), "a\0b".to_owned()])), @r#"handler "drain" may not call ssh.exec on i-0123456789abcdef0: an argument holds a NUL byte, which no command can carry; pass such bytes on standard input"#);
    insta::assert_snapshot!(denial(all.describe_for_exec(id(OWN), &[])), @r#"handler "drain" may not call ssh.exec on i-0123456789abcdef0: no pattern in its ssh grant (line 10) matches []; to allow it, add the command, or a pattern for it, to grants.ssh.commands"#);
}

#[test]
fn a_denial_quotes_a_bounded_part_of_what_a_guest_wrote() {
    let huge = vec!["\u{1b}[31m".repeat(100_000), "x".repeat(1_000_000)];
    let denial = scope(SSH).describe_for_exec(id(OWN), &huge).unwrap_err().to_string();
    assert!(denial.len() < 600 && !denial.contains('\u{1b}'), "{denial}");
    let many = vec!["x".to_owned(); 1_000_000];
    assert!(scope(SSH).describe_for_exec(id(OWN), &many).unwrap_err().to_string().len() < 600);
}

#[test]
fn an_option_where_the_policy_writes_a_star_is_denied_and_told_why() {
    let scope = scope(&SSH.replace("[[\"docker\", \"ps\", \"**\"]]", "[[\"systemctl\", \"stop\", \"*\"]]"));
    assert!(exec(&scope, OWN, "systemctl stop nginx", None).is_ok());
    let denial = exec(&scope, OWN, "systemctl stop --root=/x", None).unwrap_err().to_string();
    insta::assert_snapshot!(denial, @r#"handler "drain" may not call ssh.exec on i-0123456789abcdef0: no pattern in its ssh grant (line 9) matches ["systemctl", "stop", "--root=/x"], since "*" stands for no argument that begins with -; to allow it, write that argument, or "-*" in its place, in grants.ssh.commands"#);
}

/// Whatever EC2 answers, or something that answers in its place.
#[test]
fn a_command_goes_to_the_address_that_ec2_gives_and_only_if_a_node_can_have_it() {
    let ssh =
        "ssh = { user = \"u\", key = \"env:KEY\", host-keys = \"console\", commands = [[\"id\"]], instances = \"any\"";
    let (plain, loopback) = (scope(&format!("{ssh} }}")), scope(&format!("{ssh}, loopback = true }}")));
    let at = |scope: &Scope, address: Option<&str>| {
        let seen = Instance { private_address: address.map(|address| address.parse().unwrap()), ..node(OWN) };
        scope.exec(&seen, words("id"), None, None).map(|granted| granted.into_request().address.to_string())
    };
    for fit in ["10.1.2.3", "2a05:d014::1"] {
        assert_eq!(at(&plain, Some(fit)).unwrap(), fit);
    }
    for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        assert!(at(&plain, Some(address)).is_err(), "{address}");
        assert_eq!(at(&loopback, Some(address)).unwrap(), address);
    }
    for address in
        ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "169.254.1.1", "fe80::1", "0.0.0.0", "224.0.0.1"]
    {
        assert!(at(&plain, Some(address)).is_err() && at(&loopback, Some(address)).is_err(), "{address}");
    }
    let told = [Some("127.0.0.1"), Some("::ffff:169.254.169.254"), None]
        .map(|address| at(&plain, address).unwrap_err().to_string());
    insta::assert_snapshot!(told.join("\n"), @r#"
    handler "drain" may not call ssh.exec on i-0123456789abcdef0: EC2 gives the address 127.0.0.1 for it, that of the machine that Hostler runs on, which its ssh grant (line 9) does not allow; to allow it, for tests against an emulator, set grants.ssh.loopback = true
    handler "drain" may not call ssh.exec on i-0123456789abcdef0: EC2 gives the address ::ffff:169.254.169.254 for it, that of the instance metadata service, which no node has; no policy can allow it: see who answers in the place of EC2
    handler "drain" may not call ssh.exec on i-0123456789abcdef0: EC2 gives no address for it (it is running); no policy can allow it
    "#);
}
