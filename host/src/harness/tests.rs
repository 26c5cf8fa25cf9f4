//! The harness itself under test: what it says of cases, and whether it finds what it is there to find.

mod case;
mod expect;
mod explore;
mod forms;
mod hints;
mod play;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Case, Plugins, Verdict};
use crate::testing::guests;

const INSTANCE: &str = "i-0123456789abcdef0";

/// Two handlers, of two plugins.
const POLICY: &str = r#"
[modules]
source = "dir:unused"
allow-unsigned = true
[[handler]]
name = "drain"
module = "drain.wasm"
event = { source = ["aws.autoscaling"], detail-type = ["EC2 Instance-terminate Lifecycle Action"] }
finish = { max-attempts = 3 }
grants.ecs = { clusters = ["prod"], allow = ["read", "drain"] }
[[handler]]
name = "spot"
module = "spot.wasm"
event = { source = ["aws.ec2"] }
"#;

/// What every case of these tests begins with: what a test adds starts on the next line.
const HEAD: &str = "policy = \"hostler.toml\"\nhandler = \"drain\"\nplugin = \"plugin.wasm\"\n";

const EVENT: &str = "[event]\nkind = \"instance-terminating\"\n";

/// What a case expects that a test says no more of.
const ANYTHING: &str =
    "\n[expect]\noutcome = [\"done\", \"abandoned\", \"gave-up\", \"no-handler\", \"left-alone\", \"not-completed\"]\n";

/// A folder with a policy, a plugin and a case.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("hostler.toml", POLICY).write("plugin.wasm", guests::done())
    }

    fn write(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.path(name), content).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The case of that text, or what is said of it: each mistake with its line.
    fn read(self, text: &str) -> Result<Case, String> {
        let expect = if text.contains("expect") || text.trim().is_empty() { "" } else { ANYTHING };
        let folder = self.write("case.toml", format!("{text}{expect}"));
        let here = folder.0.path().to_string_lossy().into_owned();
        Case::read(&folder.path("case.toml")).map_err(|error| {
            let super::CaseError::Mistaken(mistakes) = error else { return error.to_string().replace(&here, "HERE") };
            let told = mistakes.mistakes.iter().map(|mistake| format!("{}: {}", mistake.line, mistake.message));
            told.collect::<Vec<_>>().join("\n").replace(&here, "HERE")
        })
    }
}

/// A case of [`HEAD`], [`EVENT`] and `rest`.
fn case(rest: &str) -> Case {
    Folder::new().read(&format!("{HEAD}{EVENT}{rest}")).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// What comes of it with `guest` as the plugin.
fn verdict(guest: &[u8], rest: &str) -> Verdict {
    let case = case(rest);
    super::test(&case, &plugins(&case, guest), None)
}

/// How it deviates from what it expects; empty when it holds.
fn deviations(guest: &[u8], rest: &str) -> String {
    let deviations = verdict(guest, rest).deviations;
    deviations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// `guest` as every plugin of the case.
fn plugins(case: &Case, guest: &[u8]) -> Plugins {
    let mut plugins = Plugins::new(case.memory(), 1).unwrap();
    for path in case.plugins.values() {
        plugins.take(Path::new(path), guest).unwrap();
    }
    plugins
}
