//! A folder to test in, and what came of it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::guests;

pub(crate) const INSTANCE: &str = "i-0123456789abcdef0";

pub(crate) const POLICY: &str = r#"
[modules]
source = "dir:unused"
allow-unsigned = true
[[handler]]
name = "drain"
module = "drain.wasm"
event = { source = ["aws.autoscaling"] }
grants.ecs = { clusters = ["prod"], allow = ["read", "drain"] }
"#;

/// What every case begins with, in a folder `cases` beside the policy.
pub(crate) const HEAD: &str = "policy = \"../hostler.toml\"\nhandler = \"drain\"\n";
pub(crate) const EVENT: &str = "[event]\nkind = \"instance-terminating\"\n";

/// Drained, whatever goes wrong on the way: the handler of `drain_blindly` does not see to it.
pub(crate) const DRAINED: &str = "[[expect.instance]]\ncontainer-instance-status = \"DRAINING\"\n";

/// A folder `drain` with a policy, a module for each guest, and cases.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        fs::create_dir_all(folder.path("cases")).unwrap();
        folder
            .write("hostler.toml", POLICY)
            .write("done.wasm", guests::done())
            .write("abandon.wasm", guests::abandon())
            .write("drain.wasm", guests::drain_of(INSTANCE))
            .write("blind.wasm", guests::drain_blindly(INSTANCE))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("drain").join(name)
    }

    pub(crate) fn write(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path(name), content).unwrap();
        self
    }

    /// Adds a case of `guest`, which expects `rest`.
    pub(crate) fn case(self, name: &str, guest: &str, rest: &str) -> Self {
        let expect = if rest.contains("expect") { "" } else { "[expect]\noutcome = [\"done\", \"abandoned\"]\n" };
        let text = format!("{HEAD}plugin = \"../{guest}.wasm\"\n{EVENT}{rest}{expect}");
        self.write(&format!("cases/{name}.toml"), text)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hostler"));
        command.current_dir(self.path("")).arg("test").args(arguments);
        command.env_remove("HOSTLER_POLICY").env_remove("HOSTLER_LOG").env_remove("AWS_LAMBDA_RUNTIME_API");
        command
    }

    pub(crate) fn test(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        let here = self.0.path().canonicalize().unwrap().display().to_string();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&here, "HERE");
        Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self
    }

    /// What was printed, with real times made alike, and the room that is left for them.
    pub(crate) fn shown(&self) -> String {
        let real = |word: &str| {
            let number = word.strip_suffix("ms").or_else(|| word.strip_suffix('s'));
            number.is_some_and(|number| number.contains('.') && number.parse::<f64>().is_ok())
        };
        let mut shown = String::new();
        for line in self.out.lines() {
            let mut words: Vec<&str> = Vec::new();
            for word in line.split(' ') {
                if real(word.trim_end_matches(',')) {
                    words.truncate(words.iter().rposition(|word| !word.is_empty()).map_or(0, |last| last + 1));
                    words.push(if word.ends_with(',') { "TOOK," } else { "TOOK" });
                } else {
                    words.push(word);
                }
            }
            shown.push_str(words.join(" ").trim_end());
            shown.push('\n');
        }
        shown
    }
}
