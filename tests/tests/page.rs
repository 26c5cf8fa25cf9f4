//! The page of a simulated run, in a real browser: whether it can be read, and whether it tells what happened.

use std::path::{Path, PathBuf};
use std::process::Command;

use hostler_tests::{Browser, guest, host, plugin, repository};
use serde_json::Value;

/// What a node may write that wants to be more than text.
const HOSTILE: &str =
    "</td></svg><script>document.title='owned'</script><img src='http://127.0.0.1:1/x' onerror='owned()'>\\u001b[2J";

/// A folder with what a run needs, and the page it makes.
struct Scene {
    browser: Browser,
    policy: String,
    world: String,
}

impl Scene {
    /// The demo.
    fn new() -> Self {
        let browser = Browser::find();
        std::fs::write(browser.folder().join("asg-lifecycle.wasm"), plugin("asg-lifecycle"))
            .expect("a file can be made");
        Self { browser, policy: demo("hostler.toml"), world: demo("world.toml") }
    }

    /// Runs it, and says what was printed and where the page is.
    fn run(&self, name: &str) -> (String, PathBuf) {
        let folder = self.browser.folder();
        std::fs::write(folder.join("hostler.toml"), &self.policy).expect("a file can be made");
        std::fs::write(folder.join("world.toml"), &self.world).expect("a file can be made");
        let mut run = Command::new(host());
        run.current_dir(folder).args(["run", "--policy", "hostler.toml", "--world", "world.toml", "--modules", "."]);
        run.arg("--event").arg(repository().join("host/demo/terminate.json")).args(["--html", name]);
        let output =
            run.env_remove("AWS_LAMBDA_RUNTIME_API").env_remove("HOSTLER_LOG").output().expect("the host starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(errors, "", "{:?}", output.status);
        (String::from_utf8_lossy(&output.stdout).into_owned(), folder.join(name))
    }

    /// Plays a case of the plugin, and says where its page is.
    fn play(&self, case: &str) -> PathBuf {
        let pages = self.browser.folder().join("pages");
        let mut test = Command::new(host());
        test.current_dir(repository().join("plugins/asg-lifecycle")).env("CARGO_NET_OFFLINE", "true");
        test.arg("test").arg(format!("cases/{case}.toml")).arg("--html").arg(&pages);
        let output = test.output().expect("the host starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        pages.join(format!("asg-lifecycle-{case}.html"))
    }

    /// Looks at a page in windows of every size, and says what its table holds.
    #[track_caller]
    fn look(&self, page: &Path) -> Value {
        assert_eq!(self.browser.complaints(page), [""; 0]);
        let mut seen = Value::Null;
        for width in [360, 1200, 1600] {
            seen = self.browser.measure(page, width, include_str!("page.js"));
            assert_eq!(seen["width"], width);
            assert_eq!(seen["wrong"], Value::Array(Vec::new()), "{} at {width}", page.display());
            assert_eq!(seen["requests"], Value::Array(Vec::new()));
            assert_eq!(seen["scripts"], 1, "the probe alone");
            assert_eq!(seen["told"], seen["rows"].as_array().expect("rows").len(), "marks and rows");
        }
        seen
    }
}

fn demo(name: &str) -> String {
    std::fs::read_to_string(repository().join("host/demo").join(name)).expect("the demo can be read")
}

/// Fails with what only one of the two tells: the lines that were printed, or the rows of the page's table.
#[track_caller]
fn assert_same(printed: &str, rows: &Value) {
    let (mut from_lines, mut from_rows) = (from_lines(printed), from_rows(rows));
    from_lines.retain(|told| from_rows.iter().position(|other| other == told).map(|at| from_rows.remove(at)).is_none());
    assert!(
        from_lines.is_empty() && from_rows.is_empty(),
        "only in the lines: {from_lines:?}; in the rows: {from_rows:?}"
    );
}

/// What the lines of a run tell of the handler and the world, in a form in which the table can be compared: attempts by
/// their number, calls by their name, and changes and log lines in their own words.
fn from_lines(printed: &str) -> Vec<String> {
    let told = printed.lines().filter_map(|line| line.split_once("  "));
    told.filter_map(|(_, told)| match told {
        _ if told.starts_with("~ ") || told.starts_with("  | ") => Some(told.to_owned()),
        _ if told.starts_with("attempt ") => told.split_once(':').map(|(attempt, _)| attempt.to_owned()),
        _ if told.contains(" -> ") => call(told),
        _ => None,
    })
    .collect()
}

/// The same from the rows of the table.
fn from_rows(rows: &Value) -> Vec<String> {
    let told = |row: &Value| {
        let [sign, _, _, who, what, result] = [0, 1, 2, 3, 4, 5].map(|cell| row[cell].as_str().expect("a cell"));
        let and = |between: &str| if result.is_empty() { String::new() } else { format!("{between}{result}") };
        match (sign, who) {
            ("change", _) => Some(format!("~ {what}{}", and(": "))),
            ("says", "Handler") => Some(format!("  | {what}{}", and(" "))),
            ("done" | "again" | "abandon" | "failed", _) => Some(what.to_owned()),
            // EC2 is asked for an address by the host function of SSH, and not by the handler.
            (_, "Handler → ECS" | "Handler → SSH") => call(what),
            _ => None,
        }
    };
    rows.as_array().expect("rows").iter().filter_map(told).collect()
}

/// The name of a call. Tasks are listed by the host function that stops one too, which the log does not tell.
fn call(told: &str) -> Option<String> {
    told.split_whitespace().next().filter(|name| *name != "ecs.list-tasks").map(str::to_owned)
}

#[test]
fn the_page_of_the_demo_can_be_read_and_tells_everything() {
    let scene = Scene::new();
    let (printed, page) = scene.run("demo.html");
    let seen = scene.look(&page);
    assert_same(&printed, &seen["rows"]);
    assert_eq!(seen["counted"], 0, "everything has a mark");
}

#[test]
fn a_crowded_page_can_be_read_too() {
    let mut scene = Scene::new();
    // An hour of looking at a task that does not stop, every 15 s; and commands that take a minute, until none is left.
    scene.world = scene.world.replace("stops-in = \"3m\"", "stuck = true").replace("delay = \"1s\"", "delay = \"50s\"");
    let (printed, page) = scene.run("hour.html");
    let seen = scene.look(&page);
    assert_same(&printed, &seen["rows"]);
    assert!(seen["counted"].as_u64() > Some(100), "what has no place is counted: {}", seen["counted"]);

    scene.world = scene.world.replace("exit-status = 0\ndelay = \"50s\"", "hang = true");
    scene.look(&scene.run("hang.html").1);
}

#[test]
fn a_run_of_an_instant_has_a_page() {
    let mut scene = Scene::new();
    scene.policy = scene.policy.replace("command-before", "# command-before");
    scene.world = scene
        .world
        .replace("[[task]]\ninstance = \"i-0a1b2c3d4e5f60718\"", "[[task]]\ninstance = \"i-0b2c3d4e5f6071829\"");
    let (printed, page) = scene.run("instant.html");
    assert!(printed.contains("done after 1 attempt"), "{printed}");
    let seen = scene.look(&page);
    assert_same(&printed, &seen["rows"]);
}

#[test]
fn what_goes_wrong_in_a_case_is_seen() {
    let scene = Scene::new();
    let seen = scene.look(&scene.play("lost-answers"));
    let rows = seen["rows"].as_array().expect("rows").iter();
    let faults: Vec<_> = rows.filter(|row| row[0] == "fault").map(|row| (row[4].to_string(), &row[5])).collect();
    assert_eq!(faults.len(), 3, "{faults:?}");
    for ((what, result), call) in faults.iter().zip(["ecs.drain", "ecs.stop-task", "lifecycle.complete"]) {
        assert!(what.contains(call) && result.to_string().contains("fault answer-lost: it took effect"), "{faults:?}");
    }
}

#[test]
fn what_a_node_writes_stays_text() {
    let mut scene = Scene::new();
    let module = scene.browser.folder().join("asg-lifecycle.wasm");
    std::fs::write(module, guest("probe")).expect("a file can be made");
    scene.policy = scene.policy.replace("command-before =", "command =");
    scene.world = scene.world.replace("delay = \"1s\"", &format!("stdout = \"{HOSTILE}{}\"", "x".repeat(5_000)));
    let (printed, page) = scene.run("hostile.html");
    assert!(printed.contains("abandoned after 1 attempt"), "{printed}");
    let seen = scene.look(&page);
    assert!(seen["rows"].to_string().contains("<script>document.title='owned'</script>"), "{}", seen["rows"]);
}
