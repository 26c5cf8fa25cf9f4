//! `hostler test --watch`, while files are saved.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use crate::folder::{DRAINED, Folder};
use crate::guests;

/// Tells each line of `from` as it comes.
fn tell(from: impl Read + Send + 'static, to: &Sender<String>) {
    let to = to.clone();
    std::thread::spawn(move || BufReader::new(from).lines().map_while(Result::ok).all(|line| to.send(line).is_ok()));
}

/// Waits for a line that begins so; nobody needs a minute for that.
#[track_caller]
fn wait(lines: &Receiver<String>, beginning: &str) {
    let mut passed = Vec::new();
    loop {
        match lines.recv_timeout(Duration::from_secs(60)) {
            Ok(line) if line.starts_with(beginning) => return,
            Ok(line) => passed.push(line),
            Err(error) => panic!("no line begins with {beginning:?} ({error}):\n{}", passed.join("\n")),
        }
    }
}

#[test]
fn watching_plays_again_what_is_saved() {
    let folder = Folder::new().case("left", "done", "[expect]\noutcome = \"done\"\n");
    let mut command = folder.command(&["--watch"]);
    let mut watching = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (to, lines) = mpsc::channel();
    tell(watching.stdout.take().unwrap(), &to);
    tell(watching.stderr.take().unwrap(), &to);

    wait(&lines, "1 case: 1 passed");
    // A case is changed, a case is added, a plugin is changed, and a case is broken and mended.
    let folder = folder.case("left", "abandon", "[expect]\noutcome = \"done\"\n");
    wait(&lines, "1 case: 0 passed, 1 failed");
    let folder = folder.case("drained", "drain", DRAINED);
    wait(&lines, "2 cases: 1 passed, 1 failed");
    let folder = folder.write("abandon.wasm", guests::done());
    wait(&lines, "2 cases: 2 passed");
    let folder = folder.write("cases/left.toml", "");
    wait(&lines, "2 cases: 1 passed, 1 not played");
    let _folder = folder.case("left", "done", "[expect]\noutcome = \"done\"\n");
    wait(&lines, "2 cases: 2 passed");
    watching.kill().unwrap();
    watching.wait().unwrap();
}
