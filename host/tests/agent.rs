//! `hostler agent`, as a person or systemd meets it: what it says, and its exit codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

const POLICY: &str = r#"
[modules]
source = "dir:."
allow-unsigned = true
[[handler]]
name = "only"
module = "module.wasm"
[handler.event]
source = ["aws.autoscaling"]
detail.LifecycleHookName = ["drain"]
"#;

/// The command in a folder with this policy.
fn agent(folder: &TempDir, policy: &str) -> Command {
    fs::write(folder.path().join("hostler.toml"), policy).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hostler"));
    command.current_dir(folder.path()).arg("agent");
    command.env_remove("HOSTLER_POLICY").env_remove("HOSTLER_LOG").env_remove("AWS_LAMBDA_RUNTIME_API");
    command
}

#[track_caller]
fn ends(output: &Output, code: i32, says: &str) {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(says), "{says:?} is not in {said}");
}

#[test]
fn without_anything_to_take_events_from_it_says_what_to_add() {
    let folder = TempDir::new().unwrap();
    let says = "error: hostler.toml names nothing to take events from: add [queue]";
    ends(&agent(&folder, POLICY).output().unwrap(), 2, says);
    let only = agent(&folder, POLICY).args(["--only", "queue"]).output().unwrap();
    ends(&only, 2, "hostler.toml has no [queue] to take events from");
    let unknown = agent(&folder, POLICY).args(["--only", "bus"]).output().unwrap();
    ends(&unknown, 2, "[possible values: queue, imds]");
    let absent = agent(&folder, POLICY).args(["--policy", "absent.toml"]).output().unwrap();
    ends(&absent, 2, "cannot read the policy absent.toml");
}

/// The agent against a server that speaks just enough of STS and SQS.
#[cfg(feature = "live")]
mod live {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::process::{Child, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    const IDENTITY: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account>\
                            </GetCallerIdentityResult></GetCallerIdentityResponse>";

    /// What GetQueueAttributes is answered where there is a queue.
    const THERE: (u16, &str) = (200, r#"{"Attributes": {"VisibilityTimeout": "30"}}"#);

    /// Serves for as long as the test runs. `attributes` is what GetQueueAttributes is answered. Returns its address.
    fn server(attributes: (u16, &'static str)) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for connection in listener.incoming() {
                let connection = connection.unwrap();
                thread::spawn(move || answer(connection, attributes));
            }
        });
        address
    }

    fn answer(mut connection: TcpStream, attributes: (u16, &'static str)) {
        let mut reader = BufReader::new(connection.try_clone().unwrap());
        loop {
            let (mut target, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                let line = line.trim().to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                } else if let Some(value) = line.strip_prefix("x-amz-target:") {
                    value.trim().clone_into(&mut target);
                } else if line.is_empty() {
                    break;
                }
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let (status, body) = match target.as_str() {
                "" => (200, IDENTITY),
                "amazonsqs.getqueueattributes" => attributes,
                _ => (200, "{}"),
            };
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
            if connection.write_all(format!("{head}{body}").as_bytes()).is_err() {
                return;
            }
        }
    }

    fn serving(folder: &TempDir, endpoint: &str, policy: &str) -> Child {
        let ledger = "[ledger]\nstore = \"dir:ledger\"\n";
        let queue = format!("[queue]\nurl = \"{endpoint}/123456789012/events\"\n[agent]\nlisten = \"127.0.0.1:0\"\n");
        let mut command = agent(folder, &format!("{ledger}{queue}{policy}"));
        command.envs([
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("NO_PROXY", "127.0.0.1"),
        ]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn sigterm_ends_it_in_order() {
        let folder = TempDir::new().unwrap();
        let mut child = serving(&folder, &server(THERE), POLICY);
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(log.any(|line| line.unwrap().contains(r#""message":"serving""#)), "it ended before it served");
        let asked = Instant::now();
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(asked.elapsed() < Duration::from_secs(10), "an idle agent has nothing to wait for");
    }

    #[test]
    fn a_queue_that_is_missing_is_an_error_at_start() {
        let folder = TempDir::new().unwrap();
        let missing =
            r#"{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "The specified queue does not exist."}"#;
        let output = serving(&folder, &server((400, missing)), POLICY).wait_with_output().unwrap();
        ends(
            &output,
            5,
            "there is no such queue in eu-central-1, where Hostler is: correct url in [queue] of the policy",
        );
        assert!(!String::from_utf8_lossy(&output.stdout).contains("serving"), "it says that it serves");
    }

    #[test]
    fn a_folder_of_modules_that_is_missing_is_an_error_at_start() {
        let folder = TempDir::new().unwrap();
        let output =
            serving(&folder, &server(THERE), &POLICY.replace("dir:.", "dir:nowhere")).wait_with_output().unwrap();
        ends(
            &output,
            5,
            "no plugin can be had: nowhere/module.wasm is not there, nor is its folder; correct `source` in [modules]",
        );
    }
}
