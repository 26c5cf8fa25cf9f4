//! `hostler new`, and what one does with a new plugin next: with the real cargo, and without a network.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A plugin called `drain-web`, made by the command, in a folder where another cargo workspace begins.
struct Plugin(tempfile::TempDir);

impl Plugin {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        let made = hostler(folder.path(), &["new", "drain-web"]);
        assert_eq!(
            succeeded(&made),
            "made drain-web: a plugin that drains an instance before it goes. Now:\n\n  cd drain-web\n  hostler test --watch\n"
        );
        Self(folder)
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("drain-web")
    }
}

/// Runs the command in a folder, as if there were no network.
fn hostler(folder: &Path, arguments: &[&str]) -> Output {
    let mut hostler = offline(env!("CARGO_BIN_EXE_hostler"), folder);
    hostler.env_remove("HOSTLER_POLICY").env_remove("AWS_LAMBDA_RUNTIME_API");
    hostler.args(arguments).output().unwrap()
}

/// What is compiled is shared by the tests here, and kept for the next time.
fn offline(program: &str, folder: &Path) -> Command {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new");
    let mut command = Command::new(program);
    command.current_dir(folder).env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", target);
    command
}

/// What it printed.
#[track_caller]
fn succeeded(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    out.into_owned()
}

#[test]
fn a_new_plugin_passes_its_own_test() {
    let plugin = Plugin::new();
    let cargo = std::env::var("CARGO").unwrap();
    // Neither a registry's index nor a crate has ever been downloaded there, and cargo does not have to write the lock file.
    let home = tempfile::tempdir().unwrap();
    let tested = offline(&cargo, &plugin.folder()).env("CARGO_HOME", home.path()).args(["test", "--locked"]).output();
    let printed = succeeded(&tested.unwrap());
    assert!(printed.contains("test tests::the_instance_may_go_once_its_tasks_have_ended ... ok"), "{printed}");
}

#[test]
fn a_new_plugin_is_built_and_fits_its_policy() {
    let plugin = Plugin::new();
    let built = succeeded(&hostler(&plugin.folder(), &["build"]));
    assert!(built.starts_with("dist/drain-web.wasm: "), "{built}");
    let inspected = succeeded(&hostler(&plugin.folder(), &["inspect", "dist/drain-web.wasm"]));
    for line in [
        "  module: drain-web.wasm",
        "  contract: 0.1.0",
        "  set the event's container instance to DRAINING (ecs.drain): needs grants.ecs allow \"drain\"",
    ] {
        assert!(inspected.lines().any(|printed| printed == line), "{line:?} is not in\n{inspected}");
    }
    // Its policy grants what it needs, and nothing that it does not.
    let checked = succeeded(&hostler(&plugin.folder(), &["check", "dist/drain-web.wasm"]));
    assert_eq!(
        checked,
        "dist/drain-web.wasm fits hostler.toml\n\nhandler \"drain-web\" uses it, and grants all that it imports\n"
    );
}

#[test]
fn the_cases_of_a_new_plugin_hold_whatever_else_goes_wrong() {
    let plugin = Plugin::new();
    for arguments in [&["test"][..], &["test", "--seeds", "100"]] {
        let tested = succeeded(&hostler(&plugin.folder(), arguments));
        assert!(tested.lines().any(|line| line.starts_with("2 cases: 2 passed in ")), "{tested}");
    }
}
