//! Budgets that only a world which answers can spend, and a guest that traps on what it is answered.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::capabilities::Ports;
use crate::capabilities::ec2::Ec2;
use crate::capabilities::ecs::Ecs;
use crate::capabilities::ssh::Ssh;
use crate::policy::{DescribeInstance, Drain, Exec, FindContainerInstance, Granted, ListTasks, StopTask};
use crate::ports::{
    ClusterName, CommandOutput, ContainerInstance, Instance, InstanceId, PortError, Task as EcsTask, TaskArn,
};
use crate::testing;

/// A world of one instance, in which everything works. It counts what was really done.
#[derive(Default)]
struct World {
    /// How many tasks there are.
    tasks: usize,
    /// How many bytes a command answers.
    output: usize,
    done: AtomicUsize,
}

fn instance() -> InstanceId {
    InstanceId::parse(testing::INSTANCE).unwrap()
}

fn member() -> ContainerInstance {
    ContainerInstance {
        arn: "arn:aws:ecs:eu-central-1:123456789012:container-instance/c/0123456789abcdef".to_owned(),
        cluster: ClusterName::parse("c").unwrap(),
        instance: instance(),
        status: "DRAINING".to_owned(),
        agent_connected: true,
        running_tasks: 0,
        pending_tasks: 0,
    }
}

#[async_trait]
impl Ecs for World {
    async fn find_container_instance(
        &self,
        _: Granted<FindContainerInstance>,
    ) -> Result<Option<ContainerInstance>, PortError> {
        Ok(Some(member()))
    }
    async fn drain(&self, _: Granted<Drain>) -> Result<ContainerInstance, PortError> {
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(member())
    }
    async fn list_tasks(&self, _: Granted<ListTasks>) -> Result<Vec<EcsTask>, PortError> {
        let task = |n: usize| EcsTask {
            arn: TaskArn::parse(&format!("arn:aws:ecs:eu-central-1:123456789012:task/c/{n:032x}")).unwrap(),
            on: instance(),
            group: None,
            definition: String::new(),
            last_status: "RUNNING".to_owned(),
            desired_status: "RUNNING".to_owned(),
            started_at: None,
        };
        Ok((0..self.tasks).map(task).collect())
    }
    async fn stop_task(&self, _: Granted<StopTask>) -> Result<(), PortError> {
        unreachable!("no guest here stops a task")
    }
}

#[async_trait]
impl Ec2 for World {
    async fn describe_instance(&self, _: Granted<DescribeInstance>) -> Result<Instance, PortError> {
        Ok(Instance {
            instance: instance(),
            state: "running".to_owned(),
            lifecycle: "on-demand".to_owned(),
            instance_type: "t3.micro".to_owned(),
            availability_zone: "eu-central-1a".to_owned(),
            private_address: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))),
            launched_at: None,
            tags: Vec::new(),
        })
    }
}

#[async_trait]
impl Ssh for World {
    async fn exec(&self, _: Granted<Exec>) -> Result<CommandOutput, PortError> {
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(CommandOutput { exit_status: Some(0), stdout: vec![b'x'; self.output], ..CommandOutput::default() })
    }
}

/// Runs a guest in the world, and says how often something was done there.
async fn run_in_world(world: World, guest: &[u8], sections: &str) -> (Report, usize) {
    let sandbox = Sandbox::new(Capacity { attempts: 1, memory: 64 << 20 }, Pace::Virtual).unwrap();
    let module = sandbox.compile(guest, "digest".into()).unwrap();
    let (world, handler) = (Arc::new(world), handler(sections));
    let ports = Ports { ecs: world.clone(), ec2: world.clone(), ssh: world.clone(), ..silent() };
    let wall = handler.limits.wall;
    let task = Task { handler, event: Arc::new(terminating()), attempt: 1, state: None, deadline: None, lease: None };
    let report = sandbox.run(sandbox.slot().await, &module, task, ports, wall).await;
    (report, world.done.load(Ordering::Relaxed))
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
    ssh = { user = \"u\", key = \"env:K\", host-keys = \"console\", commands = [[\"echo\"]] }";

#[tokio::test(start_paused = true)]
async fn what_commands_are_given_is_one_budget() {
    let (report, done) = run_in_world(World::default(), &echoes(1 << 20), SSH).await;
    assert_eq!(failure_of(report), "ssh budget of 2.0 MiB spent during ssh.exec");
    assert_eq!(done, 2, "the one that does not fit is not run");
}

#[tokio::test(start_paused = true)]
async fn what_commands_answer_is_of_the_same_budget() {
    let (report, done) = run_in_world(World { output: 300 << 10, ..World::default() }, &echoes(300 << 10), SSH).await;
    assert_eq!(failure_of(report), "ssh budget of 2.0 MiB spent during ssh.exec");
    assert_eq!(done, 3, "600 KiB each, and in the fourth there was no more room for what it is given");
}

#[tokio::test(start_paused = true)]
async fn what_a_command_answers_is_held_against_the_memory() {
    let limits = SSH.replace("ssh = \"2MiB\"", "memory = \"7MiB\"\nssh = \"16MiB\"");
    let (report, done) = run_in_world(World { output: 1 << 20, ..World::default() }, &echoes(1), &limits).await;
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
            "[handler.limits]\nmemory = \"{memory}MiB\"\n[handler.grants]\necs = {{ clusters = [\"c\"], allow = [\"read\"] }}"
        )
    };
    let world = || World { tasks: 10_000, ..World::default() };
    let (report, _) = run_in_world(world(), &guest, &sections(16)).await;
    assert_eq!(report.outcome, Outcome::Done);
    let (report, _) = run_in_world(world(), &guest, &sections(6)).await;
    assert_eq!(failure_of(report), "memory budget of 6.0 MiB spent during ecs.list-tasks");
}

#[tokio::test(start_paused = true)]
async fn a_trap_in_the_middle_of_a_mutation_leaves_a_line_that_says_it_happened() {
    let (log, _guard) = testing::log();
    let text = include_str!("../../../../tests/guests/hostile/trap-in-an-answer.wat");
    // The whole instance id this time.
    let guest = guests::hostile(&text.replace("(i32.const 9)", "(i32.const 19)"));
    let sections = "[handler.grants]\necs = { clusters = [\"c\"], allow = [\"drain\"] }";
    let (report, done) = run_in_world(World::default(), &guest, sections).await;
    assert_eq!(failure_of(report), "the plugin trapped: wasm trap: wasm `unreachable` instruction executed");
    assert_eq!(done, 1);
    let told = log.told();
    assert!(told.contains("call=\"ecs.drain\"") && told.contains("result=\"ok\""), "{told}");
}
