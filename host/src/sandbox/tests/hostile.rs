//! Hostile guests: one file of `tests/guests/hostile/` for each trick, whose head says how it is contained.

use std::path::Path;

use super::*;
use crate::policy::Handler;
use crate::policy::Wildcard;

/// What hostile guests are held to.
const LIMITS: &str = r#"
    [handler.limits]
    cpu = "200ms"
    wall = "10s"
    memory = "8MiB"
    host-calls = 100
    log = "64KiB"
    log-lines = 50
    [handler.grants]
    ecs = { clusters = ["c"], allow = ["drain"] }
"#;

/// A trick.
pub(super) struct Trick {
    /// The file's name, without its extension.
    pub(super) name: String,
    pub(super) text: String,
    /// How it is contained, with `*` for any run of characters.
    pub(super) contained: String,
}

pub(super) fn tricks() -> Vec<Trick> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/hostile");
    let files = std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "wat")).collect();
    files.sort();
    let tricks = files.iter().map(|path| {
        let text = std::fs::read_to_string(path).unwrap();
        let contained = text.lines().find_map(|line| line.strip_prefix(";; Contained: "));
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        Trick { contained: contained.unwrap_or_else(|| panic!("{name} does not say how")).to_owned(), name, text }
    });
    tricks.collect()
}

pub(super) fn limited() -> Arc<Handler> {
    handler(LIMITS)
}

/// What became of a guest: how it was contained, in words.
pub(super) async fn contained(sandbox: &Sandbox, component: &[u8], handler: &Arc<Handler>) -> String {
    match sandbox.compile(component, "digest".into()) {
        Ok(module) => told(&attempt(sandbox, &module, handler).await),
        Err(error) => format!("refused: {}", error.root_cause()),
    }
}

pub(super) async fn attempt(sandbox: &Sandbox, module: &Module, handler: &Arc<Handler>) -> Report {
    let (handler, wall) = (Arc::clone(handler), handler.limits.wall);
    let task = Task { handler, event: Arc::new(terminating()), attempt: 1, state: None, deadline: None, lease: None };
    sandbox.run(sandbox.slot().await, module, task, silent(), wall).await
}

pub(super) fn told(report: &Report) -> String {
    let told = match &report.outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::Abandon { why } => format!("abandoned: {why}"),
        Outcome::Again(Retry { after, note, .. }) => {
            format!("again after {}, noting {} bytes", humantime::format_duration(*after), note.len())
        }
        Outcome::Failed(failure) => failure.to_string(),
    };
    match report.log_dropped {
        0 => told,
        dropped => format!("{told}; {dropped} log lines dropped"),
    }
}

#[tokio::test(start_paused = true)]
async fn every_trick_is_contained_as_it_says() {
    let sandbox = Sandbox::new(Capacity { attempts: 2, memory: 64 << 20 }, Pace::Virtual).unwrap();
    let mut surprises = String::new();
    for trick in tricks() {
        let contained = contained(&sandbox, &guests::hostile(&trick.text), &limited()).await;
        if !Wildcard::name(&trick.contained).matches(&contained) {
            surprises += &format!(
                "{}: {contained}\n{:width$}not: {}\n",
                trick.name,
                "",
                trick.contained,
                width = trick.name.len() - 3
            );
        }
    }
    assert!(surprises.is_empty(), "\n{surprises}");
}
