//! Budgets that only a world which answers can spend, and a guest that traps on what it is answered.

use super::*;
use crate::sim::World;
use crate::testing;

/// A world of one instance, in which everything works: with so many tasks on it, and commands that answer so many bytes.
fn world(tasks: usize, output: usize) -> World {
    let instance = testing::INSTANCE;
    let (task, stdout) = (format!("[[task]]\ninstance = \"{instance}\"\n"), "x".repeat(output));
    let text = format!(
        "start = \"{}\"\naccount = \"123456789012\"\nregion = \"eu-central-1\"\n[[cluster]]\nname = \"c\"\n\
         [[instance]]\nid = \"{instance}\"\ncluster = \"c\"\n{}[[ssh]]\nstdout = \"{stdout}\"\n",
        testing::START,
        task.repeat(tasks)
    );
    World::parse("world.toml", &text).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a guest in the world, and says how often `operation` was done there.
async fn run_in_world(world: World, operation: &str, guest: &[u8], sections: &str) -> (Report, u32) {
    let sandbox = Sandbox::new(Capacity { attempts: 1, memory: 64 << 20 }, Pace::Virtual).unwrap();
    let module = sandbox.compile(guest, "digest".into()).unwrap();
    let handler = handler(sections);
    let wall = handler.limits.wall;
    let task = Task { handler, event: Arc::new(terminating()), attempt: 1, state: None, deadline: None, lease: None };
    let report = sandbox.run(sandbox.slot().await, &module, task, world.ports(), wall).await;
    (report, world.called().get(operation).copied().unwrap_or_default())
}

/// Runs `echo` again and again, with so many bytes on its standard input.
fn echoes(stdin: usize) -> Vec<u8> {
    let import =
        format!(r#"(import "hostler:handler/ssh@0.1.0" "exec" (func $exec (param {})))"#, ["i32"; 12].join(" "));
    let data = format!(r#"(data (i32.const 2048) "{}") (data (i32.const 2080) "echo")"#, testing::INSTANCE);
    let body = format!(
        "(drop (memory.grow (i32.const 100)))
        (loop
            ;; Where the host puts its answer, every time.
            (global.set $next (i32.const 65536))
            (call $exec
                (i32.const 2048) (i32.const {}) (i32.const 2080) (i32.const 4) (i32.const 0) (i32.const 0)
                (i32.const 1) (i32.const 65536) (i32.const {stdin}) (i32.const 0) (i32.const 0) (i32.const 512))
            (br_if 0 (i32.eqz (i32.load8_u (i32.const 512)))))
        unreachable",
        testing::INSTANCE.len()
    );
    guests::guest_with(&import, &data, &body)
}

const SSH: &str = "[handler.limits]\nssh = \"2MiB\"\n[handler.grants]\n\
    ssh = { user = \"u\", key = \"env:K\", host-keys = \"console\", max-output = \"1MiB\", commands = [[\"echo\"]] }";

#[tokio::test(start_paused = true)]
async fn what_commands_are_given_is_one_budget() {
    let (report, done) = run_in_world(world(0, 0), "ssh.exec", &echoes(1 << 20), SSH).await;
    assert_eq!(failure_of(report), "ssh budget of 2.0 MiB spent during ssh.exec");
    assert_eq!(done, 2, "the one that does not fit is not run");
}

#[tokio::test(start_paused = true)]
async fn what_commands_answer_is_of_the_same_budget() {
    let (report, done) = run_in_world(world(0, 300 << 10), "ssh.exec", &echoes(300 << 10), SSH).await;
    assert_eq!(failure_of(report), "ssh budget of 2.0 MiB spent during ssh.exec");
    assert_eq!(done, 3, "600 KiB each, and in the fourth there was no more room for what it is given");
}

#[tokio::test(start_paused = true)]
async fn what_a_command_answers_is_held_against_the_memory() {
    let limits = SSH.replace("ssh = \"2MiB\"", "memory = \"7MiB\"\nssh = \"16MiB\"");
    let (report, done) = run_in_world(world(0, 1_000_000), "ssh.exec", &echoes(1), &limits).await;
    assert_eq!((failure_of(report), done), ("memory budget of 7.0 MiB spent during ssh.exec".to_owned(), 1));
}

/// What is remembered of the tasks that were shown is not the guest's to see, and counts.
#[tokio::test(start_paused = true)]
async fn what_the_host_remembers_is_held_against_the_memory() {
    let import = r#"(import "hostler:handler/ecs@0.1.0" "list-tasks" (func $list (param i32 i32 i32)))"#;
    let data = format!(r#"(data (i32.const 2048) "{}")"#, testing::INSTANCE);
    let body = "(drop (memory.grow (i32.const 60))) (call $list (i32.const 2048) (i32.const 19) (i32.const 512)) i32.const 1024";
    let guest = guests::guest_with(import, &data, body);
    let sections = |memory| {
        format!(
            "[handler.limits]\nmemory = \"{memory}\"\n[handler.grants]\necs = {{ clusters = [\"c\"], allow = [\"read\"] }}"
        )
    };
    let list = async |memory| run_in_world(world(2_000, 0), "ecs.list-tasks", &guest, &sections(memory)).await.0;
    assert_eq!(list("16MiB").await.outcome, Outcome::Done);
    assert_eq!(failure_of(list("4MiB").await), "memory budget of 4.0 MiB spent during ecs.list-tasks");
}

#[tokio::test(start_paused = true)]
async fn a_trap_in_the_middle_of_a_mutation_leaves_a_line_that_says_it_happened() {
    let (log, _guard) = testing::log();
    let text = include_str!("../../../../tests/guests/hostile/trap-in-an-answer.wat");
    // The whole instance id this time.
    let guest = guests::hostile(&text.replace("(i32.const 9)", "(i32.const 19)"));
    let sections = "[handler.grants]\necs = { clusters = [\"c\"], allow = [\"drain\"] }";
    let (report, done) = run_in_world(world(0, 0), "ecs.drain", &guest, sections).await;
    assert_eq!(failure_of(report), "the plugin trapped: wasm trap: wasm `unreachable` instruction executed");
    assert_eq!(done, 1);
    let told = log.told();
    assert!(told.contains("call=\"ecs.drain\"") && told.contains("result=\"ok\""), "{told}");
}
