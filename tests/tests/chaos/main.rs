//! No event lost, no instance left stuck: hundreds of terminations, Spot warnings and copies of both, through a queue, to a host
//! that is killed again and again while AWS throttles, fails, stalls and loses answers.
//!
//! `HOSTLER_CHAOS_INSTANCES` and `HOSTLER_CHAOS_SEED` make it longer, or another one; `make chaos` is the long one. It shows its
//! figures whether it passes or not.

mod assassin;
mod judge;
mod scene;

use std::path::Path;
use std::time::{Duration, Instant};

use hostler_tests::{Agent, Chance, Function, events, poll};
use serde_json::json;

use crate::assassin::Assassin;
use crate::judge::Course;
use crate::scene::Scene;

/// How many instances there are unless the environment says otherwise, and what decides on chance.
const INSTANCES: u64 = 60;
const SEED: u64 = 7;

/// How much goes wrong in every service.
const RAGE: f64 = 0.08;

/// How long it is until a host is killed, in milliseconds: at the least, and how much longer at the most. Every third time is long
/// enough to sweep in, however slowly AWS answers.
const LIFE: (u64, usize) = (3_000, 8_000);
const LONG_LIFE: (u64, usize) = (18_000, 12_000);

/// How long the storm may last, and the whole may take after it, with as many instances as usual.
const STORM: Duration = Duration::from_secs(110);
const AFTER: Duration = Duration::from_secs(240);

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn instances() -> usize {
    usize::try_from(number("HOSTLER_CHAOS_INSTANCES", INSTANCES)).unwrap_or(usize::MAX)
}

fn scene(instances: usize) -> Scene {
    Scene::new(instances, number("HOSTLER_CHAOS_SEED", SEED))
}

/// How long it is until the next kill.
fn life(chance: &mut Chance, kills: u32) -> Duration {
    let (least, more) = if kills % 3 == 2 { LONG_LIFE } else { LIFE };
    Duration::from_millis(least + chance.below(more) as u64)
}

/// The logs of the agents in a folder, in the order in which they lived.
fn logs(folder: &Path, agents: u32) -> Vec<String> {
    let logs = (0..agents).map(|agent| std::fs::read_to_string(folder.join(agent.to_string()).join("log")));
    logs.flat_map(|log| log.unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn two_agents_that_are_killed_again_and_again_bring_everything_to_its_end_once() {
    let mut scene = scene(instances());
    let through_storm = scene.storm.environment();
    let assassin = Assassin::before(&through_storm, &scene.queue.url, scene.seed);
    let mut environment = scene.fleet.stack.environment();
    environment.extend(through_storm);
    environment.extend(assassin.environment());
    let (folder, policy) = (scene.fleet.stack.folder("agents"), scene.policy());
    let mut started = 0;
    let mut start = || {
        started += 1;
        Agent::start(&folder.join((started - 1).to_string()), &policy, &environment)
    };

    scene.storm.rage(RAGE);
    let sent = scene.begin();
    let began = Instant::now();
    let mut chance = Chance::new(scene.seed);
    let mut kills = 0;
    let mut agents = [Some(start()), Some(start())];
    while !scene.is_over() && began.elapsed() < STORM {
        // Which of them has made a call that was struck at, nobody sees: then both are killed.
        let struck = assassin.wait(life(&mut chance, kills));
        let doomed = if struck { vec![0, 1] } else { vec![chance.below(2)] };
        doomed.iter().for_each(|agent| agents[*agent] = None);
        for agent in doomed {
            agents[agent] = Some(start());
            kills += 1;
        }
        assassin.pardon();
    }
    scene.storm.calm();
    poll(AFTER * scene.scale, || {
        assassin.pardon();
        scene.is_over()
    });
    let took = began.elapsed();
    drop(agents);
    scene.judge(&Course { sent, kills, took }, "agent", &logs(&folder, started));
}

#[test]
fn a_lambda_function_that_is_killed_again_and_again_brings_everything_to_its_end_once() {
    let mut scene = scene(instances() / 2);
    let mut environment = scene.storm.environment();
    let assassin = Assassin::before(&environment, &scene.queue.url, scene.seed);
    environment.extend(assassin.environment());
    let function = Function::deploy(scene.fleet.stack, &scene.policy(), &environment);
    // As its schedule does it: EventBridge's own event.
    let sweep = || {
        let id = "33333333-3333-4333-8333-333333333333";
        function.invoke(&events::envelope("aws.events", "Scheduled Event", id, &json!({})));
    };

    let sent = scene.begin();
    scene.storm.rage(RAGE);
    let began = Instant::now();
    function.map(&scene.queue);
    let mut chance = Chance::new(scene.seed);
    let mut kills = 0;
    while !scene.is_over() && began.elapsed() < STORM {
        assassin.wait(life(&mut chance, kills));
        kills += function.kill();
        assassin.pardon();
        sweep();
    }
    scene.storm.calm();
    poll(AFTER * scene.scale, || {
        assassin.pardon();
        sweep();
        scene.is_over()
    });
    let took = began.elapsed();
    let log: Vec<_> = function.log().iter().map(ToString::to_string).collect();
    scene.judge(&Course { sent, kills, took }, "lambda", &log);
}
