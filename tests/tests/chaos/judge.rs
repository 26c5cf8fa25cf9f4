//! What has to be true at the end, whatever happened on the way; and where it is not, what there is to find out why.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use hostler_tests::{ACCOUNT, Ended, REGION, Story, target};

use crate::scene::{DRAIN, Instance, LINGER, POISON, REFUSE, Scene};

/// How much of the evidence is shown: instances, lines of the log about each, and characters of a line or an object.
const INSTANCES: usize = 3;
const LINES: usize = 60;
const CHARACTERS: usize = 4000;

/// How many copies of a message the dead-letter queue may have, on the average.
const COPIES: usize = 3;

/// How it went.
pub(crate) struct Course {
    /// Messages sent at its beginning.
    pub(crate) sent: usize,
    /// How often a host was killed.
    pub(crate) kills: u32,
    /// From then to its end, or to where it was given up.
    pub(crate) took: Duration,
}

impl Scene {
    /// Shows the figures, and panics with the evidence unless all is well. `log` is what the hosts have written; it is kept under
    /// that name.
    pub(crate) fn judge(&self, course: &Course, name: &str, log: &[String]) {
        let stories = self.fleet.stack.autoscaling.stories(&self.fleet.group);
        // Past libtest, which keeps what is printed by a test that passes.
        let figures = format!("\n{}the log: {}\n", self.figures(course, &stories), keep(name, log));
        let _ = std::io::stderr().write_all(figures.as_bytes());

        let of_instances: Vec<_> = self
            .instances
            .iter()
            .filter_map(|instance| {
                let wrong = self.wrong_with(instance, &stories);
                (!wrong.is_empty()).then_some((instance, wrong))
            })
            .collect();
        let of_all = self.wrong_with_all(&stories);
        if of_instances.is_empty() && of_all.is_empty() {
            return;
        }
        let mut told = format!("{} instances came to a wrong end. {}\n", of_instances.len(), of_all.join("; "));
        for (instance, wrong) in of_instances.iter().take(INSTANCES) {
            let _ = writeln!(told, "\n{}: {}\n{}", instance.id, wrong.join("; "), self.evidence(instance, log));
        }
        panic!("{told}");
    }

    fn figures(&self, course: &Course, stories: &[Story]) -> String {
        let Course { sent, kills, took } = course;
        let (instances, seed) = (self.instances.len(), self.seed);
        let completed = |result: &str| {
            let results = stories.iter().flat_map(|story| &story.accepted);
            results.filter(|accepted| *accepted == result).count()
        };
        let refused: usize = stories.iter().map(|story| story.refused).sum();
        let mut figures = format!(
            "{instances} instances, {sent} messages, seed {seed}: {took:.0?}; the host was killed {kills} times\n\
             completions: {} CONTINUE, {} ABANDON, {refused} that came when it was over\n",
            completed("CONTINUE"),
            completed("ABANDON"),
        );
        for hook in [&DRAIN, &LINGER, &REFUSE] {
            let of_hook = || stories.iter().filter(|story| story.hook == hook.name);
            let heartbeats: usize = of_hook().map(|story| story.heartbeats).sum();
            let gap = of_hook().map(|story| story.longest_gap).max().unwrap_or_default();
            let (name, actions, timeout) = (hook.name, of_hook().count(), self.timeout(hook));
            let _ = writeln!(
                figures,
                "hook {name}: {actions} actions, {heartbeats} heartbeats, longest gap {gap:.1?} of {timeout:?}"
            );
        }
        figures + &self.storm.to_string()
    }

    /// What is wrong with the end of one instance.
    fn wrong_with(&self, instance: &Instance, stories: &[Story]) -> Vec<String> {
        let mut wrong = Vec::new();
        let hook = instance.hook;
        match stories.iter().find(|story| story.instance == instance.id) {
            Some(story) => {
                if story.end != Some(Ended::Completed(hook.result.into())) || story.accepted != [hook.result] {
                    wrong.push(format!("not completed once with {}: {story:?}", hook.result));
                }
                if story.longest_gap >= self.timeout(hook) {
                    wrong.push(format!("without a sign of life for {:?}", story.longest_gap));
                }
            }
            None => wrong.push("it has no story".to_owned()),
        }
        let status = self.fleet.stack.status(&self.fleet.cluster, &instance.container_instance);
        let task = self.fleet.task_status(&instance.task);
        let (to_be_drained, told_of) = (hook.name == DRAIN.name, instance.spot || instance.rebalance);
        let is = (status.as_str(), task.as_str());
        // What EC2 announces ends after two minutes, drained or not; but what nobody wanted drained is as it was.
        if to_be_drained && is != ("DRAINING", "STOPPED") {
            wrong.push(format!("not drained: it is {status}, its task {task}"));
        } else if !to_be_drained && !told_of && is != ("ACTIVE", "RUNNING") {
            wrong.push(format!("nobody wanted it drained: it is {status}, its task {task}"));
        }
        if self.fleet.objects(&key("open", instance)) != [""; 0] {
            wrong.push("something is open in the ledger".to_owned());
        }
        if self.fleet.objects(&key("ended", instance)).len() != 1 {
            wrong.push("the ledger does not tell its end".to_owned());
        }
        wrong
    }

    /// What is wrong with the whole of it.
    fn wrong_with_all(&self, stories: &[Story]) -> Vec<String> {
        let mut wrong = Vec::new();
        let (shown, hidden) = self.queue.counts();
        if shown + hidden > 0 {
            wrong.push(format!("in the queue are {shown} messages, and {hidden} hidden ones"));
        }
        let damaged = self.fleet.objects("ledger/damaged/");
        if !damaged.is_empty() {
            wrong.push(format!("the ledger was damaged: {damaged:?}"));
        }
        let mut lingering = stories.iter().filter(|story| story.hook == LINGER.name).peekable();
        if lingering.peek().is_some() && !lingering.any(|story| story.heartbeats > 0) {
            wrong.push(format!("no heartbeat kept any of the actions of hook {}", LINGER.name));
        }
        let dead = self.dead_letters.bodies();
        let missing = POISON.iter().filter(|poison| !dead.iter().any(|body| body == *poison));
        wrong.extend(missing.map(|poison| format!("{poison:?} is not in the dead-letter queue")));
        // A host that is killed between sending one there and deleting it leaves it twice; that must not go on for ever.
        if dead.len() > POISON.len() * COPIES {
            wrong.push(format!("{} messages are in the dead-letter queue", dead.len()));
        }
        let others = dead.iter().filter(|body| !POISON.contains(&body.as_str()));
        wrong.extend(others.map(|body| format!("in the dead-letter queue is {body}")));
        wrong
    }

    /// What the ledger and the log say about an instance.
    fn evidence(&self, instance: &Instance, log: &[String]) -> String {
        let mut evidence = String::new();
        for folder in ["open", "ended"] {
            for key in self.fleet.objects(&key(folder, instance)) {
                let _ = writeln!(evidence, "{key}: {}", cut(&self.fleet.object(&key)));
            }
        }
        let about: Vec<_> =
            log.iter().filter(|line| line.contains(&instance.id) || line.contains(instance.mark())).collect();
        let from = about.len().saturating_sub(LINES);
        let _ = writeln!(evidence, "the last of {} lines of the log about it:", about.len());
        about[from..].iter().for_each(|line| evidence += &(cut(line) + "\n"));
        evidence
    }
}

/// Where the ledger keeps an instance.
fn key(folder: &str, instance: &Instance) -> String {
    format!("ledger/{folder}/{ACCOUNT}/{REGION}/{}.json", instance.id)
}

fn cut(text: &str) -> String {
    text.trim().chars().take(CHARACTERS).collect()
}

/// Keeps the log beyond the test, whose own folder goes with it: where it is.
fn keep(name: &str, log: &[String]) -> String {
    let path = target().join("tmp").join(format!("chaos-{name}.log"));
    match std::fs::write(&path, log.join("\n")) {
        Ok(()) => path.display().to_string(),
        Err(error) => format!("no file: {error}"),
    }
}
