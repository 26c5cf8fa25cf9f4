//! The cases of `asg-lifecycle` notice when it is broken, and say what is wrong with it.

use std::path::Path;
use std::process::Command;

use hostler_tests::{host, repository, target};
use serde_json::Value;

/// A way to break the plugin, the case that has to notice, and what it has to say.
struct Breakage {
    name: &'static str,
    /// What stands in `src/lib.rs`, and what is put in its place.
    edits: &'static [(&'static str, &'static str)],
    case: &'static str,
    says: &'static [&'static str],
}

const BREAKAGES: [Breakage; 5] = [
    Breakage {
        name: "drains the first instance it finds",
        edits: &[(
            "match drain.step(event)? {",
            "match drain.step(&Event { instance: Some(\"i-0aaaaaaaaaaaaaaa1\".into()), ..event.clone() })? {",
        )],
        case: "asg-lifecycle/neighbours",
        // The policy of this test lets it, so that it is the cases which notice.
        says: &[
            "never:",
            "- never * i-0aaaaaaaaaaaaaaa1*",
            "+ ecs.find-container-instance i-0aaaaaaaaaaaaaaa1",
            "instance i-0bbbbbbbbbbbbbbb2: container-instance-status",
            "- DRAINING",
            "+ ACTIVE",
        ],
    },
    Breakage {
        name: "forgets standalone tasks",
        edits: &[
            ("Drain::new().stop_standalone_after(STOP_STANDALONE_AFTER)", "Drain::new().stop_standalone_after(None)"),
            (
                "match drain.step(event)? {",
                "match drain.step(event)? {
                    Step::Wait(wait) if !wait.tasks.is_empty() && wait.tasks.iter().all(|task| task.service.is_none()) => {}",
            ),
        ],
        case: "asg-lifecycle/standalone-task",
        says: &[
            "calls:",
            "- ecs.stop-task family:nightly-report *",
            "+ nothing like it after ecs.drain",
            "tasks-lost-at-most:",
            "lost: family:nightly-report on i-0123456789abcdef0",
        ],
    },
    Breakage {
        name: "says done while tasks are stopping",
        edits: &[(
            "match drain.step(event)? {",
            "match drain.step(event)? {
                Step::Wait(wait) if !wait.tasks.is_empty() && wait.tasks.iter().all(|task| task.desired_status == \"STOPPED\") => {}",
        )],
        case: "asg-lifecycle/slow-tasks",
        says: &["tasks-lost-at-most:", "lost: service:web on", "task service:web on", "- STOPPED", "+ LOST"],
    },
    Breakage {
        name: "ignores a throttled answer",
        edits: &[(
            "match drain.step(event)? {",
            "match drain.step(event)? {
                Step::Wait(wait) if wait.tasks.is_empty() => {}",
        )],
        case: "asg-lifecycle/throttled",
        says: &["calls:", "- ecs.drain", "+ nothing like it after ecs.drain", "tasks-lost-at-most:", "lost: service:web on"],
    },
    Breakage {
        name: "loops inside one attempt",
        edits: &[
            (
                "match drain.step(event)? {",
                "let step = loop {
                    match drain.step(event)? {
                        Step::Wait(wait) => clock::sleep(wait.after)?,
                        step => break step,
                    }
                };
                match step {",
            ),
            ("Step::Wait(wait) => return Ok(progress.write(wait.into())),", "Step::Wait(_) => return Ok(progress.write(Outcome::Done)),"),
        ],
        case: "asg-lifecycle/slow-tasks",
        says: &["outcome:", "+ gave-up: ", "would outlast the attempt's wall budget: to wait longer, return `again`"],
    },
];

/// The plugins, in a workspace of their own that can be broken.
fn workspace(folder: &Path) {
    let manifest = read(&repository().join("Cargo.toml"));
    let members = r#"members = ["host", "plugins/*", "tests", "tests/guests/*"]"#;
    assert!(manifest.contains(members), "the members of the workspace are not as they were");
    write(&folder.join("Cargo.toml"), &manifest.replace(members, r#"members = ["plugins/*"]"#));
    for plugin in ["asg-lifecycle", "spot-interruption", "sdk"] {
        copy(&repository().join("plugins").join(plugin), &folder.join("plugins").join(plugin));
    }
    let policy = folder.join("plugins/asg-lifecycle/hostler.toml");
    let own = r#"ecs = { clusters = ["prod"],"#;
    write(&policy, &read(&policy).replace(own, &format!("{own} instances = \"any\",")));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("the folder can be read").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("a file can be copied");
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the file can be read")
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("the file can be written");
}

/// What the cases say, each by its name: nothing when it holds.
fn test(folder: &Path) -> Vec<(String, String)> {
    let output = Command::new(host())
        .args(["test", "plugins/asg-lifecycle", "--json"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target().join("breakages"))
        .env("CARGO_NET_OFFLINE", "true")
        .output()
        .expect("hostler can be run");
    let stdout = String::from_utf8(output.stdout).expect("what it prints is text");
    let lines = stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
    let told = lines.filter_map(|line| {
        let case = line["case"].as_str()?.to_owned();
        let deviations = line["deviations"].as_array().into_iter().flatten();
        let told: Vec<_> = deviations.map(deviation).collect();
        Some((case, told.join("\n") + line["error"].as_str().unwrap_or_default()))
    });
    let told: Vec<_> = told.collect();
    assert!(!told.is_empty(), "no case was played: {}", String::from_utf8_lossy(&output.stderr));
    told
}

/// A deviation as it is shown to people.
fn deviation(deviation: &Value) -> String {
    let lines = |key: &str, mark: &str| {
        let lines = deviation[key].as_array().into_iter().flatten();
        lines.map(|line| format!("\n{mark} {}", line.as_str().unwrap_or_default())).collect::<String>()
    };
    let what = deviation["what"].as_str().unwrap_or_default();
    format!("{what}:{}{}{}", lines("expected", "-"), lines("actual", "+"), lines("remarks", " "))
}

#[test]
fn a_broken_plugin_is_noticed_and_the_message_points_at_what_is_broken() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    workspace(folder.path());
    let source = folder.path().join("plugins/asg-lifecycle/src/lib.rs");
    let sound = read(&source);
    for Breakage { name, edits, case, says } in BREAKAGES {
        let broken = edits.iter().fold(sound.clone(), |text, (old, new)| {
            assert_eq!(text.matches(old).count(), 1, "{name}: {old:?} stands elsewhere than it did");
            text.replace(old, new)
        });
        write(&source, &broken);
        let told = test(folder.path());
        let (_, told) =
            told.iter().find(|(played, _)| played == case).unwrap_or_else(|| panic!("{name}: {case} is gone"));
        println!("--- {name}: {case}\n{told}\n");
        for expected in says {
            assert!(told.contains(expected), "{name}: {case} does not say {expected:?}, but:\n{told}");
        }
    }
    write(&source, &sound);
    let told = test(folder.path());
    assert!(told.iter().all(|(_, told)| told.is_empty()), "unbroken, every case holds: {told:?}");
}
