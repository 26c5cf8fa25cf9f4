//! Modules that are compiled in a child process, within its bounds.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

#[expect(dead_code, reason = "the library's tests take the others")]
#[path = "../src/testing/guests.rs"]
mod guests;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hostler::modules::{Child, CompileError, Compiler};
use hostler::sandbox::{Capacity, Module, Pace, Sandbox};
use tempfile::TempDir;

/// More than any test needs.
const LONG: Duration = Duration::from_secs(300);
const PLENTY: u64 = 1 << 30;

fn hostler() -> Child {
    Child::of(env!("CARGO_BIN_EXE_hostler").into())
}

async fn compile(child: Child, bytes: Vec<u8>) -> Result<Module, CompileError> {
    let sandbox = Sandbox::new(Capacity { attempts: 1, memory: 16 << 20 }, Pace::Real).unwrap();
    Compiler::Child(child).load(&Arc::new(sandbox), bytes).await
}

async fn refused(child: Child, bytes: Vec<u8>) -> String {
    match compile(child, bytes).await {
        Err(error @ CompileError::Refused(_)) => error.to_string(),
        other => panic!("it was not refused: {other:?}"),
    }
}

/// A program that does what `script` says instead of compiling, and its folder, which is `$0`'s.
///
/// Another process writes it: a file that this one has open cannot be run, and its children have it open for a moment.
fn program(script: &str) -> (Child, TempDir) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("program");
    let write = "printf '#!/bin/sh\n%s\n' \"$2\" >\"$1\" && chmod +x \"$1\"";
    let written = Command::new("sh").args(["-c", write, "sh"]).arg(&path).arg(script).status().unwrap();
    assert!(written.success());
    (Child::of(path), folder)
}

/// A plugin with so many functions that nobody calls, each of some work for a compiler.
fn large(functions: usize) -> Vec<u8> {
    let work = (0..40).fold("(local.get 0)".to_owned(), |work, _| format!("(i32.xor {work} (i32.load (local.get 0)))"));
    let functions = format!("(func (param i32) (result i32) {work})").repeat(functions);
    guests::guest_with(&functions, "", "i32.const 1024")
}

#[tokio::test]
async fn a_plugin_is_compiled_by_a_child_and_one_that_is_refused_has_its_reasons_from_there() {
    let module = compile(hostler(), guests::done()).await.unwrap();
    assert_eq!(module.digest.len(), 64);
    let garbage = refused(hostler(), b"#!/bin/sh\nreboot".to_vec()).await;
    assert!(garbage.starts_with("it is not WebAssembly"), "{garbage}");
}

#[tokio::test]
async fn compiling_takes_no_more_memory_than_it_may() {
    let large = large(3_000);
    assert!(compile(hostler().bounded(LONG, PLENTY, PLENTY), large.clone()).await.is_ok());
    let refusal = refused(hostler().bounded(LONG, 24 << 20, PLENTY), large).await;
    assert_eq!(refusal, "it takes more than 24.0 MiB of memory to compile: make it smaller");
    // Of which there is too much before it is compiled.
    let refusal = refused(hostler().bounded(LONG, 24 << 20, PLENTY), vec![0; 64 << 20]).await;
    assert_eq!(refusal, "it takes more than 24.0 MiB of memory to compile: make it smaller");
}

#[tokio::test]
async fn compiling_takes_no_longer_than_it_may() {
    let (child, _folder) = program("while :; do :; done");
    let child = child.bounded(Duration::from_millis(200), PLENTY, PLENTY);
    assert_eq!(refused(child, guests::done()).await, "it takes longer than 200ms to compile: make it smaller");
    // So does what takes our compiler too long.
    let child = hostler().bounded(Duration::from_millis(50), PLENTY, PLENTY);
    assert_eq!(refused(child, large(20_000)).await, "it takes longer than 50ms to compile: make it smaller");
}

/// The limits of the process itself hold where nobody is there any more to keep its time.
#[tokio::test]
async fn a_child_bounds_itself_and_does_not_outlive_its_host() {
    // What a shell starts beside itself has no input of its own.
    let host = "exec 3<&0; \"$0\" compile-module 1048576 268435456 7 <&3 & echo $!; wait";
    let mut host = Command::new("sh")
        .args(["-c", host, env!("CARGO_BIN_EXE_hostler")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It waits for its module.
    let _input = host.stdin.take().unwrap();
    let mut pid = String::new();
    BufReader::new(host.stdout.take().unwrap()).read_line(&mut pid).unwrap();
    let child = Path::new("/proc").join(pid.trim());
    let limit = |limits: &str, name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line[name.len()..].split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    // The last that it does to itself.
    let limits = until(|| {
        let limits = fs::read_to_string(child.join("limits")).unwrap();
        (limit(&limits, "Max file size") == ["0", "0"]).then_some(limits)
    })
    .await;
    assert_eq!(limit(&limits, "Max cpu time"), ["7", "8"]);
    assert_eq!(limit(&limits, "Max data size"), ["268435456", "268435456"]);
    assert_eq!(limit(&limits, "Max core file size"), ["0", "0"]);
    host.kill().unwrap();
    host.wait().unwrap();
    until(|| is_over(&child).then_some(())).await;
}

#[tokio::test]
async fn a_compiler_that_had_no_processor_says_nothing_of_the_module() {
    let (child, _folder) = program("exec sleep 1000");
    match compile(child.bounded(Duration::from_millis(50), PLENTY, PLENTY), guests::done()).await {
        Err(error @ CompileError::Failed(_)) => {
            let error = error.to_string();
            assert!(
                error.starts_with("it could not be compiled: in 500ms its compiler had a processor for "),
                "{error}"
            );
            assert!(error.ends_with(": this machine is too busy"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_becomes_too_much_code_is_refused() {
    let refusal = refused(hostler().bounded(LONG, PLENTY, 1 << 10), guests::done()).await;
    assert_eq!(refusal, "it becomes more than 1.0 KiB of code: make it smaller");
    // It is not read to its end, which it may not have.
    let (child, _folder) = program("exec yes");
    let refusal = refused(child.bounded(LONG, PLENTY, 1 << 10), guests::done()).await;
    assert_eq!(refusal, "it becomes more than 1.0 KiB of code: make it smaller");
    // One that says much else is not listened to for ever either.
    let (child, _folder) = program("exec yes >&2");
    let refusal = refused(child.bounded(LONG, PLENTY, PLENTY), guests::done()).await;
    assert!(refusal.starts_with("it is more than the compiler can take ("), "{refusal}");
}

#[tokio::test]
async fn a_compiler_that_crashes_takes_nobody_along() {
    let (child, _folder) = program("kill -SEGV $$");
    let refusal = refused(child, guests::done()).await;
    assert!(refusal.starts_with("it is more than the compiler can take (signal: 11 (SIGSEGV)"), "{refusal}");
}

#[tokio::test]
async fn a_child_has_nothing_of_the_hosts_environment() {
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let (child, folder) = program("tr '\\0' '\\n' </proc/$$/environ >\"$(dirname \"$0\")/environment\"; exit 1");
    refused(child, guests::done()).await;
    assert_eq!(fs::read_to_string(folder.path().join("environment")).unwrap(), "RAYON_NUM_THREADS=4\n");
}

#[tokio::test]
async fn a_child_ends_when_nobody_waits_for_it_any_more() {
    let (child, folder) = program("echo $$ >\"$0.part\" && mv \"$0.part\" \"$0.pid\"; exec sleep 1000");
    let pid = folder.path().join("program.pid");
    let compiling = tokio::spawn(compile(child, guests::done()));
    let pid = until(|| fs::read_to_string(&pid).ok()).await;
    compiling.abort();
    let process = Path::new("/proc").join(pid.trim());
    until(|| is_over(&process).then_some(())).await;
}

#[tokio::test]
async fn a_machine_that_does_not_let_the_compiler_work_says_nothing_of_the_module() {
    let (child, _folder) = program("echo 'its compiler cannot work here: no rights' >&2; exit 4");
    match compile(child, guests::done()).await {
        Err(error @ CompileError::Failed(_)) => {
            assert_eq!(error.to_string(), "it could not be compiled: its compiler cannot work here: no rights");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_compiler_that_is_killed_says_nothing_of_the_module() {
    let (child, _folder) = program("kill -KILL $$");
    match compile(child, guests::done()).await {
        Err(error @ CompileError::Failed(_)) => assert_eq!(
            error.to_string(),
            "it could not be compiled: its compiler was killed: has this machine too little memory?"
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_compiler_that_cannot_be_started_says_nothing_of_the_module() {
    match compile(Child::of("/no/such/program".into()), guests::done()).await {
        Err(error @ CompileError::Failed(_)) => {
            assert!(
                error.to_string().starts_with("it could not be compiled: /no/such/program: No such file"),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
}

/// Gone, or dead and not yet buried.
fn is_over(process: &Path) -> bool {
    fs::read_to_string(process.join("stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// What there is at last.
async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        match look() {
            Some(found) => return found,
            None => tokio::task::yield_now().await,
        }
    }
}
