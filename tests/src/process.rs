//! Child processes that do not outlive the test, however it ends.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::target;

/// The shell that stands between: it leads a process group with the program in it, and kills all of that as soon as its
/// standard input ends or the program does. The other end of that pipe is ours, so the kernel closes it for us whether the test
/// ends well, panics or is killed; and what the program has started dies with it. Its process id and its exit status are left in files.
const KEEPER: &str =
    r#"{ "$@" </dev/null & echo $! >pid; wait $!; echo $? >status; kill -KILL 0; } & read -r _; kill -KILL 0"#;

/// The same for a folder. It may take a moment, until those who write there are dead.
const SWEEPER: &str = r#"read -r _; for _ in 1 2 3 4 5 6 7 8 9; do rm -rf "$1" 2>/dev/null && exit; sleep 0.2; done"#;

/// How long a server may take to come up: Python on a cold, busy machine.
const STARTUP: Duration = Duration::from_secs(60);

/// How often another port is tried, when something else has taken the free one in between.
const PORTS: usize = 5;

/// A folder that does not outlive the test.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    sweeper: Child,
}

impl Folder {
    /// Makes one below the target directory.
    pub(crate) fn new() -> Self {
        let parent = target().join("tmp");
        std::fs::create_dir_all(&parent).expect("a folder can be made below the target directory");
        let folder = tempfile::Builder::new().prefix("stack-").tempdir_in(parent);
        let path = folder.expect("a folder can be made below the target directory").keep();
        let mut sweeper = Command::new("sh");
        sweeper.args(["-c", SWEEPER, "sh"]).arg(&path).process_group(0).stdin(Stdio::piped());
        Self { path, sweeper: sweeper.spawn().expect("there is a shell") }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.sweeper.stdin.take());
        drop(self.sweeper.wait());
    }
}

/// A server that is up.
#[derive(Debug)]
pub struct Process {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    folder: PathBuf,
    keeper: Child,
}

impl Process {
    /// Starts a server on a free port: `command` makes its command line for a port, `ready` looks whether it is up.
    ///
    /// `folder` is made, is its working directory, and receives its `log`.
    pub fn serve(name: &str, folder: &Path, command: impl Fn(u16) -> Command, ready: impl Fn(u16) -> bool) -> Self {
        let mut log = String::new();
        for _ in 0..PORTS {
            let port = free_port();
            std::fs::create_dir_all(folder).expect("a folder can be made below the target directory");
            let mut process = Self { port, folder: folder.to_owned(), keeper: keep(folder, &command(port)) };
            let mut gone = false;
            let up = poll(STARTUP, || {
                gone = process.keeper.try_wait().is_ok_and(|status| status.is_some());
                gone || ready(port)
            });
            if up && !gone {
                return process;
            }
            log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            if !gone {
                break;
            }
        }
        panic!("{name} did not start. What it wrote:\n{log}");
    }

    /// Runs a program that ends by itself: its exit status, and none if it does not in so long. `folder` is as for a server.
    pub fn run(folder: &Path, command: &Command, patience: Duration) -> Option<i32> {
        std::fs::create_dir_all(folder).expect("a folder can be made below the target directory");
        Self { port: 0, folder: folder.to_owned(), keeper: keep(folder, command) }.ended(patience)
    }

    /// Asks the program to end, by SIGTERM, and waits for that: its exit status, and none if it does not in so long.
    pub fn terminate(self, patience: Duration) -> Option<i32> {
        let id: u32 = self.told("pid").expect("a server that is up has a process id");
        let signalled = Command::new("kill").args(["-TERM", &id.to_string()]).status();
        assert!(signalled.is_ok_and(|status| status.success()), "the program has ended before it was asked to");
        self.ended(patience)
    }

    fn ended(mut self, patience: Duration) -> Option<i32> {
        poll(patience, || self.keeper.try_wait().is_ok_and(|status| status.is_some()));
        self.told("status")
    }

    /// What the keeper has left in a file.
    fn told<T: FromStr>(&self, file: &str) -> Option<T> {
        std::fs::read_to_string(self.folder.join(file)).ok()?.trim().parse().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

/// Tries again, with growing pauses, until it is so; false when it never was.
pub fn poll(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(2);
    while !is_so() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
    true
}

fn keep(folder: &Path, command: &Command) -> Child {
    let log = File::create(folder.join("log")).expect("a log can be made");
    // Of a process before this one.
    ["pid", "status"].into_iter().for_each(|file| drop(std::fs::remove_file(folder.join(file))));
    let mut keeper = Command::new("sh");
    keeper.args(["-c", KEEPER, "sh"]).arg(command.get_program()).args(command.get_args());
    // Nothing of this machine's own configuration: proxies, credentials and the like would reach the host under test.
    keeper.env_clear().env("PATH", path()).env("HOME", folder).env("TMPDIR", folder);
    keeper.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    keeper.current_dir(folder).process_group(0);
    keeper.stdin(Stdio::piped()).stdout(log.try_clone().expect("a file can be opened twice")).stderr(log);
    keeper.spawn().expect("there is a shell")
}

/// The search path, with the places that a user's seldom has.
pub(crate) fn path() -> String {
    format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Finds a program on [`path`].
pub(crate) fn program(name: &str) -> PathBuf {
    let found = path().split(':').map(|folder| Path::new(folder).join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("there is no {name} on the PATH: `make test` installs it"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free loopback port");
    listener.local_addr().expect("a listener has an address").port()
}
