//! What `hostler test` costs, as ratios within one run: a case, a thousand cases, and the time from saving a handler to its
//! results.
//!
//! A case goes through the whole of the harness: a world and a runtime of its own, a fresh sandbox for each attempt of the real
//! plugin, judging. Compiling the plugin, which is done once however many cases there are, is beside it.

mod measure;

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use hostler::commands::new;
use hostler::harness::{self, Case, Plugins, Verdict};
use hostler::sim::What;
use tempfile::TempDir;

use crate::measure::{Row, timed};

const PLUGINS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins");

/// The case that is played.
const CASE: &str = "asg-lifecycle/cases/already-draining.toml";

/// More cases than any machine that measures plays at once.
const JOBS: u32 = 64;

/// Runs that are not counted, and runs that are.
const WARM_UP: usize = 100;
const COUNTED: usize = 2_000;

/// How many cases are many, and how often they are played.
const MANY: usize = 1_000;
const TIMES: usize = 5;

/// How often the handler is saved.
const SAVES: u64 = 10;

/// What is different in the handler with each save.
const SAVED: &str = "const STOP_STANDALONE_AFTER: Duration = Duration::from_secs(120);";

fn main() {
    let plugin = measure::plugin();
    let path = Path::new(PLUGINS).join(CASE);
    let case = read(&path);
    let mut plugins = Plugins::new(case.memory(), JOBS).expect("a sandbox");
    for path in case.plugins.values() {
        plugins.take(path, &plugin).expect("the host accepts the plugin");
    }
    let rows =
        [one(&case, &plugins), measure::compile(&plugin), many(&path, &plugins), explored(&case, &plugins), saved()];
    measure::show(&rows);
}

fn read(path: &Path) -> Case {
    Case::read(path).unwrap_or_else(|error| panic!("{error}"))
}

fn holds(verdict: &Verdict) {
    assert!(verdict.holds(), "{:?}", verdict.deviations);
}

/// One case, again and again.
fn one(case: &Case, plugins: &Plugins) -> Row {
    let verdict = harness::test(case, plugins, None);
    holds(&verdict);
    let calls = verdict.journal.iter().filter(|entry| matches!(entry.what, What::Call(_))).count();
    let play = || drop(harness::test(case, plugins, None));
    (0..WARM_UP).for_each(|_| play());
    (format!("one case, {calls} calls"), (0..COUNTED).map(|_| timed(play)).collect())
}

/// Many cases on all processors, each read from its file as `hostler test` does.
fn many(path: &Path, plugins: &Plugins) -> Row {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let play = || {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < MANY {
                        holds(&harness::test(&read(path), plugins, None));
                    }
                });
            }
        });
    };
    (format!("{MANY} cases on {threads} processors"), (0..TIMES).map(|_| timed(play)).collect())
}

/// One case under many seeds, on one processor.
fn explored(case: &Case, plugins: &Plugins) -> Row {
    let play = || holds(&harness::explore(case, plugins, 1..=MANY as u64));
    (format!("one case under {MANY} seeds"), vec![timed(play)])
}

/// From saving a handler to the results of all its cases: cargo's build of one changed line, and playing.
fn saved() -> Row {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = copy(&folder, "asg-lifecycle");
    // One of its cases is played with the other plugin, too.
    self::copy(&folder, "spot-interruption");
    let lib = copy.join("src/lib.rs");
    let text = fs::read_to_string(&lib).expect("the handler can be read");
    assert!(text.contains(SAVED), "{} has no line {SAVED}", lib.display());
    let mut watch = Watch::begin(&copy);
    watch.results();
    let save = |seconds: u64| {
        let began = Instant::now();
        let text = text.replace(SAVED, &SAVED.replace("120", &seconds.to_string()));
        fs::write(&lib, text).expect("the handler can be written");
        watch.results() - began
    };
    ("from saving a handler to the results of its cases".to_owned(), (121..=120 + SAVES).map(save).collect())
}

/// A copy of a plugin's package, which builds anywhere: what `hostler new` makes, with the plugin in it.
fn copy(folder: &TempDir, name: &str) -> PathBuf {
    let arguments = new::Arguments { name: name.to_owned(), lang: new::Language::Rust, path: folder.path().to_owned() };
    let copy = arguments.make().expect("a package");
    let package = Path::new(PLUGINS).join(name);
    fs::remove_dir_all(copy.join("cases")).expect("the cases of the template can go");
    for part in ["src", "cases", "hostler.toml"] {
        for entry in walkdir::WalkDir::new(package.join(part)) {
            let entry = entry.expect("the package can be read");
            let to = copy.join(entry.path().strip_prefix(&package).expect("it is within the package"));
            if entry.file_type().is_dir() {
                fs::create_dir_all(to).expect("a folder");
            } else {
                fs::copy(entry.path(), to).expect("a file can be copied");
            }
        }
    }
    copy
}

/// `hostler test --watch`, which ends with this.
struct Watch {
    process: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
}

impl Watch {
    fn begin(package: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hostler"));
        command.current_dir(package).args(["test", "--watch"]).env_remove("CARGO_TARGET_DIR");
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command can be started");
        let out = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let err = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        Self { process, out, err }
    }

    /// When the results are there. Returns once the command waits for the next save.
    fn results(&mut self) -> Instant {
        let summary = line_with(&mut self.out, "of simulated time");
        let there = Instant::now();
        assert!(!summary.contains("failed") && !summary.contains("not played"), "{summary}");
        line_with(&mut self.err, "waiting for a file to be saved");
        there
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It waits for saves without end, and may have ended by itself all the same.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn line_with(lines: &mut impl Iterator<Item = std::io::Result<String>>, text: &str) -> String {
    let mut found = lines.map(|line| line.expect("a line of text"));
    found.find(|line| line.contains(text)).unwrap_or_else(|| panic!("the command ended before it said {text:?}"))
}
