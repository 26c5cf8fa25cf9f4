//! The host as an agent: its binary, as a process that lives until it is told to end.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::http::Request;
use crate::process::{Process, poll};
use crate::stack::REGION;

/// How long the agent may take to end, once it is asked to: [`Agent::SHUTDOWN`] and what a busy machine adds to it.
const TO_END: Duration = Duration::from_secs(15);

/// How long it may take to find out that it cannot serve: some calls to AWS, with all their tries.
const TO_REFUSE: Duration = Duration::from_secs(60);

/// How long a line of the log is waited for.
const LOG_DELAY: Duration = Duration::from_secs(30);

/// An agent that serves.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    folder: PathBuf,
}

/// What came of an agent that does not serve.
#[derive(Debug)]
pub struct Refusal {
    /// Its exit status; none if it had to be killed.
    pub status: Option<i32>,
    /// Why, as its last error says.
    pub why: String,
    /// Everything it wrote.
    pub log: String,
}

impl Agent {
    /// `shutdown` in its `[agent]`.
    pub const SHUTDOWN: Duration = Duration::from_secs(5);

    /// Starts one with a policy, to which its `[agent]` is added, in a folder of its own.
    pub fn start(folder: &Path, policy: &str, environment: &[(&'static str, String)]) -> Self {
        let alive = |port: u16| {
            let answer = Request::new("GET", "/livez", "").send((Ipv4Addr::LOCALHOST, port).into());
            answer.is_ok_and(|answer| answer.status == 200)
        };
        let process = Process::serve("the agent", folder, |port| command(folder, policy, environment, port), alive);
        Self { process, folder: folder.to_owned() }
    }

    /// Starts one that is to find that it cannot serve.
    pub fn refuses(folder: &Path, policy: &str, environment: &[(&'static str, String)]) -> Refusal {
        std::fs::create_dir_all(folder).expect("a folder can be made");
        // Any port will do: nobody asks it anything.
        let status = Process::run(folder, &command(folder, policy, environment, 0), TO_REFUSE);
        let last = lines(folder).into_iter().rfind(|line| line["level"] == "ERROR").unwrap_or_default();
        let why = last["error"].as_str().unwrap_or_default().to_owned();
        Refusal { status, why, log: written(folder) }
    }

    /// Its lines, in order.
    pub fn log(&self) -> Vec<Value> {
        lines(&self.folder)
    }

    /// The lines with this message, up to now.
    pub fn said(&self, message: &str) -> Vec<Value> {
        self.log().into_iter().filter(|line| line["message"] == message).collect()
    }

    /// Waits for a line with this message, and panics with the whole log when it does not come.
    pub fn hear(&self, message: &str) -> Value {
        let mut said = None;
        let heard = poll(LOG_DELAY, || {
            said = self.said(message).pop();
            said.is_some()
        });
        assert!(heard, "the agent does not say {message:?}:\n{}", written(&self.folder));
        said.unwrap_or_default()
    }

    /// Asks it to end, by SIGTERM, and waits for that: its exit status, and what it wrote. No status if it had to be killed.
    pub fn terminate(self) -> (Option<i32>, Vec<Value>) {
        (self.process.terminate(TO_END), lines(&self.folder))
    }
}

fn command(folder: &Path, policy: &str, environment: &[(&'static str, String)], port: u16) -> Command {
    let file = folder.join("hostler.toml");
    let agent = format!("[agent]\nlisten = \"127.0.0.1:{port}\"\nshutdown = \"{}s\"\n", Agent::SHUTDOWN.as_secs());
    std::fs::write(&file, format!("{agent}{policy}")).expect("the policy can be written");
    let mut command = Command::new(crate::host());
    command.args(["agent", "--policy"]).arg(file);
    command.env("AWS_REGION", REGION).env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.envs(environment.iter().cloned());
    command
}

fn written(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// The lines that are JSON objects: the last may be half written.
fn lines(folder: &Path) -> Vec<Value> {
    let log = written(folder);
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
}
