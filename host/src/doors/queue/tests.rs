//! Both doors, with a queue in memory, under virtual time. What brings events on follows a script.

mod batch;
mod poller;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::clock::Clock;
use crate::dispatch::{DispatchError, End, Step};
use crate::event::Event;
use crate::ports::{AccountId, Place, PortErrorKind, Region};
use crate::sim::queue::SimQueue;
use crate::sim::{Blueprint, What, World};
use crate::testing::{VirtualClock, terminating};

/// What a step comes to, after some seconds.
#[derive(Debug, Clone, Copy)]
enum Then {
    End,
    Nobody,
    /// Later, in so many seconds.
    Later(i64),
    Fail,
    Elsewhere,
    Panic,
}

/// Brings events on as scripts say, by their tokens. One whose script is at its end has ended, and is found so from then on.
struct Scripts {
    scripts: Mutex<HashMap<String, VecDeque<(u64, Then)>>>,
    ended: Mutex<HashSet<String>>,
    /// What was done, with the time.
    log: Arc<Mutex<Vec<String>>>,
    running: Mutex<usize>,
    most_running: Mutex<usize>,
    clock: VirtualClock,
    began: Instant,
    /// From the start on.
    deadline: Duration,
}

/// Says that a step ended in the middle.
struct Cut<'a>(&'a Scripts, String);

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        self.0.note(format!("{} cut off", self.1));
        *self.0.running.lock().unwrap() -= 1;
    }
}

impl Scripts {
    fn note(&self, what: String) {
        self.log.lock().unwrap().push(format!("{:?} {what}", self.began.elapsed()));
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }
}

#[async_trait]
impl Steps for Scripts {
    async fn step(&self, event: &Event, _: Option<Instant>) -> Result<Step, DispatchError> {
        let id = event.id.clone();
        if self.ended.lock().unwrap().contains(&id) {
            self.note(format!("{id} found ended"));
            return Ok(Step::Ended(End::LeftAlone { hook: "ended".into() }));
        }
        let next = self.scripts.lock().unwrap().get_mut(&id).and_then(VecDeque::pop_front);
        let (seconds, then) = next.unwrap_or((0, Then::End));
        {
            let mut running = self.running.lock().unwrap();
            *running += 1;
            let mut most = self.most_running.lock().unwrap();
            *most = (*most).max(*running);
        }
        let cut = Cut(self, id.clone());
        sleep(Duration::from_secs(seconds)).await;
        std::mem::forget(cut);
        *self.running.lock().unwrap() -= 1;
        self.note(format!("{id} {then:?}"));
        match then {
            Then::End => {
                self.ended.lock().unwrap().insert(id);
                Ok(Step::Ended(End::LeftAlone { hook: "ended".into() }))
            }
            Then::Nobody => Ok(Step::Ended(End::NoHandler)),
            Then::Later(seconds) => {
                let at = self.now() + SignedDuration::from_secs(seconds);
                Ok(Step::Later { at, due: at, alive_until: None, note: "waiting".into() })
            }
            Then::Fail => Err(DispatchError::OutOfTime { event: id, note: "a failure".into() }),
            Then::Elsewhere => Err(DispatchError::Elsewhere {
                event: id,
                account: event.account.clone(),
                region: event.region.clone(),
                ours: Place { account: AccountId::parse("210987654321").unwrap(), region: event.region.clone() },
            }),
            Then::Panic => panic!("by order"),
        }
    }

    fn deadline(&self, _: &Event) -> Option<Timestamp> {
        let left = self.deadline.saturating_sub(self.began.elapsed());
        Some(self.now() + left)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// A queue, who brings on what comes from it, and what is said meanwhile.
struct Scene {
    queue: SimQueue,
    steps: Arc<Scripts>,
    world: World,
    _heard: DefaultGuard,
}

/// The visibility timeout of the queue: six times that of a Lambda function with two minutes.
const OF_THE_QUEUE: Duration = Duration::from_secs(720);

fn scene(max_receives: Option<u32>, scripts: &[(&str, &[(u64, Then)])]) -> Scene {
    let world = Blueprint::around(&[], None).world();
    let heard = tracing::subscriber::set_default(tracing_subscriber::registry().with(world.listener()));
    let scripts = scripts.iter().map(|(id, script)| ((*id).to_owned(), script.iter().copied().collect())).collect();
    let steps = Scripts {
        scripts: Mutex::new(scripts),
        ended: Mutex::default(),
        log: Arc::default(),
        running: Mutex::default(),
        most_running: Mutex::default(),
        clock: VirtualClock::new(),
        began: Instant::now(),
        deadline: Duration::from_secs(3600),
    };
    Scene { queue: SimQueue::new(OF_THE_QUEUE, max_receives), steps: Arc::new(steps), world, _heard: heard }
}

impl Scene {
    fn inbox(&self) -> Inbox {
        Inbox::new(Arc::new(self.queue.clone()), Some(Arc::new(self.queue.clone())), self.steps.clone())
    }

    fn without_dead_letters(&self) -> Inbox {
        Inbox { dead_letters: None, ..self.inbox() }
    }

    /// Sends a lifecycle action with each of these tokens.
    fn send(&self, tokens: &[&str]) {
        for token in tokens {
            self.queue.send(body(token).to_string());
        }
    }

    fn calls(&self) -> String {
        self.queue.calls().join("\n")
    }

    /// What was said, warnings and errors only, with what is named of the fields.
    fn said(&self, fields: &[&str]) -> String {
        let mut said = Vec::new();
        for entry in self.world.journal() {
            let What::Host(line) = entry.what else { continue };
            if !["WARN", "ERROR"].contains(&line.level) {
                continue;
            }
            let mut text = format!("{} {}", line.level, line.message);
            for (name, value) in line.fields.iter().filter(|(name, _)| fields.contains(name)) {
                text += &format!("\n  {name}: {value}");
            }
            said.push(text);
        }
        said.join("\n")
    }
}

fn body(token: &str) -> Value {
    let mut body = terminating().envelope;
    body["detail"]["LifecycleActionToken"] = token.into();
    body
}

/// An AWS Health event about two instances.
fn two_instances() -> String {
    include_str!("../../../../tests/events/health-two-instances.json").to_owned()
}

fn here() -> Region {
    Region::parse("eu-central-1").unwrap()
}

const DOWN: PortErrorKind = PortErrorKind::Unavailable;
