use std::net::IpAddr;

use super::*;
use crate::policy::{ClientKey, Exec, HostKeys};
use crate::ports::{CommandOutput, PortErrorKind};

fn exec(command: &[&str]) -> Exec {
    Exec {
        instance: id(INSTANCE),
        address: "10.0.1.17".parse::<IpAddr>().unwrap(),
        availability_zone: "eu-central-1a".to_owned(),
        port: 22,
        user: "ec2-user".to_owned(),
        key: ClientKey::InstanceConnect,
        host_keys: HostKeys::Console,
        command: command.iter().map(|argument| (*argument).to_owned()).collect(),
        stdin: None,
        connect_timeout: seconds(5),
        command_timeout: seconds(30),
        max_output: 8,
    }
}

async fn fails(world: &World, kind: PortErrorKind) -> String {
    let error = world.run(exec(&["sudo", "reboot"])).await.unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    error.message
}

async fn at(world: &World) -> u64 {
    world.lock().settle().as_secs()
}

#[tokio::test(start_paused = true)]
async fn answers_that_no_command_meets_are_known() {
    let world = world(&format!(
        r#"
[[ssh]]
command = ["docker", "**"]
[[ssh]]
instance = "{INSTANCE}"
command = ["docker", "ps"]
[[ssh]]
command = ["reboot"]
[[ssh]]
instance = "{INSTANCE}"
"#
    ));
    world.run(exec(&["docker", "ps"])).await.unwrap();
    let idle = world.idle_parts();
    insta::assert_snapshot!(idle.join("\n"), @r#"
    no command met the ssh answer to ["docker", "ps"] on i-0aaaaaaaaaaaaaaa1
    no command met the ssh answer to ["reboot"]
    "#);
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_that_fits_is_given() {
    let world = world(&format!(
        r#"
[[ssh]]
instance = "{INSTANCE}"
command = ["systemctl", "stop", "*"]
exit-status = 5
stderr = "no such unit, none at all"
[[ssh]]
command = ["docker", "**"]
stdout = "ok"
delay = "3s"
[[ssh]]
command = ["kill"]
signal = "TERM"
"#
    ));
    let stopped = world.run(exec(&["systemctl", "stop", "nginx"])).await.unwrap();
    assert_eq!(
        (stopped.exit_status, stopped.stderr.as_slice(), stopped.stderr_truncated),
        (Some(5), &b"no such "[..], true)
    );
    for docker in [&["docker"][..], &["docker", "ps", "-a"]] {
        let output = CommandOutput { exit_status: Some(0), stdout: b"ok".to_vec(), ..CommandOutput::default() };
        assert_eq!(world.run(exec(docker)).await, Ok(output));
    }
    assert_eq!(at(&world).await, 6, "two answers, each after three seconds");
    let killed = world.run(exec(&["kill"])).await.unwrap();
    assert_eq!((killed.exit_status, killed.signal.as_deref()), (None, Some("TERM")));
    let unknown = world.run(exec(&["systemctl", "stop", "nginx", "now"])).await.unwrap();
    assert_eq!(unknown.exit_status, Some(127));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_no_answer_fits_says_so() {
    let world = world("");
    let mut request = exec(&["uptime"]);
    request.max_output = 1000;
    let output = world.run(request).await.unwrap();
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "the simulated world has no ssh answer for [\"uptime\"] on i-0aaaaaaaaaaaaaaa1\n"
    );
}

#[tokio::test(start_paused = true)]
async fn a_command_that_hangs_or_takes_too_long_times_out() {
    for answer in ["hang = true", "delay = \"1h\""] {
        let world = world(&format!("[[ssh]]\n{answer}"));
        let message = fails(&world, PortErrorKind::Timeout).await;
        assert_eq!(
            message,
            "[\"sudo\", \"reboot\"] on i-0aaaaaaaaaaaaaaa1 has not ended within 30s; it may still be running"
        );
        assert_eq!(at(&world).await, 30);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_may_refuse_or_be_another() {
    let message = fails(&world("[[ssh]]\nrefused = true"), PortErrorKind::Unavailable).await;
    assert_eq!(message, "i-0aaaaaaaaaaaaaaa1 at 10.0.1.17:22 refuses the connection; is sshd running there?");
    let message = fails(&world("[[ssh]]\nwrong-host-key = true"), PortErrorKind::Denied).await;
    assert_eq!(
        message,
        "i-0aaaaaaaaaaaaaaa1 at 10.0.1.17 shows a host key that is not the one expected; nothing was sent to it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_not_there_cannot_be_reached() {
    for keys in ["state = \"stopped\"", "state = \"terminated\""] {
        let message = fails(&world(keys), PortErrorKind::Unavailable).await;
        assert_eq!(message, "i-0aaaaaaaaaaaaaaa1 at 10.0.1.17:22 is not reachable (no route to host)");
    }
    let mut moved = exec(&["uptime"]);
    moved.address = "10.0.1.99".parse().unwrap();
    assert_eq!(world("").run(moved).await.unwrap_err().kind, PortErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_node_reclaimed_while_a_command_runs_drops_the_connection_at_that_moment() {
    let world = world("reclaimed-after = \"12s\"\n[[ssh]]\ndelay = \"20s\"");
    let message = fails(&world, PortErrorKind::Unavailable).await;
    assert_eq!(message, "i-0aaaaaaaaaaaaaaa1 at 10.0.1.17:22 dropped the connection");
    assert_eq!(at(&world).await, 12);
    let told: Vec<_> = world.journal().iter().map(ToString::to_string).collect();
    assert_eq!(told[0], format!("+0s call  ssh.exec {INSTANCE} [\"sudo\", \"reboot\"]: error: {message} (after 12s)"));
    assert_eq!(told[1], format!("+12s world spot instance reclaimed {INSTANCE}"));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_caller_went_away_stays_unanswered() {
    let world = world("[[ssh]]\nhang = true");
    tokio::time::timeout(seconds(2), world.run(exec(&["uptime"]))).await.unwrap_err();
    assert_eq!(world.journal()[0].to_string(), format!("+0s call  ssh.exec {INSTANCE} [\"uptime\"]: no answer"));
}
