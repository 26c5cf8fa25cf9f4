//! What is outside of the hosts: the ledger's store, Auto Scaling and ECS, with a judge's eye on all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use super::host::Power;
use super::trouble::Trouble;
use crate::capabilities::ecs::Ecs;
use crate::clock::Clock;
use crate::dispatch::Completion;
use crate::dispatch::lifecycle::{Answer, HookTimes, Lifecycle, LifecycleResult};
use crate::event::{Event, LifecycleAction};
use crate::ledger::{EndedItem, Item, Page, Store, Stored, Version, WriteError};
use crate::policy::{Drain, FindContainerInstance, Granted, ListTasks, StopTask};
use crate::ports::{ClusterName, ContainerInstance, InstanceId, PortError, PortErrorKind, Task};
use crate::testing::VirtualClock;

/// The hook's timeout.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(300);

/// How much longer a lifecycle action can be without a heartbeat for each thing that goes wrong: a message that is hidden, a lease
/// that has to end first, a process that stands still.
const FOR_EACH_TROUBLE: Duration = Duration::from_secs(90);

/// How long an answer is waited for that does not come.
const NO_ANSWER: Duration = Duration::from_secs(5);

/// How long the work of an attempt takes, in turn: less than it takes to renew a lease, less than a lease, and more.
const WORK: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(7), Duration::from_secs(25)];

pub(super) struct Cloud {
    /// The ledger's objects, each with the number of the write that made it: digests for versions would take most of a run.
    objects: Mutex<BTreeMap<String, (u64, Vec<u8>)>>,
    clock: Arc<VirtualClock>,
    began: Instant,
    troubles: BTreeMap<u32, Trouble>,
    seen: Mutex<Seen>,
    /// Whether the story is written down: that takes longer than the run.
    tells: bool,
}

/// What has been seen.
#[derive(Default)]
struct Seen {
    figures: Figures,
    writes: u64,
    story: Vec<String>,
    breaches: Vec<String>,
    actions: BTreeMap<String, Action>,
    /// Who works on which instance: the number of the attempt, what runs its host, and how often that had been frozen by then.
    at_work: BTreeMap<InstanceId, (u32, Arc<Power>, u32)>,
    /// Attempts whose host stood still while another took over: they must not go on.
    overtaken: BTreeSet<u32>,
    /// The first result that was written for each occurrence of an item: its id and token.
    decided: BTreeMap<(String, String), (String, Option<String>)>,
    ended: Vec<EndedItem>,
}

/// A lifecycle action.
struct Action {
    alive_at: Instant,
    longest: Duration,
    accepted: Vec<LifecycleResult>,
}

/// What runs came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    runs: u32,
    pub(super) operations: u32,
    struck: u32,
    attempts: u32,
    overtaken: u32,
    completions: u32,
    swept: u32,
    longest_gap: Duration,
}

impl Cloud {
    pub(super) fn new(troubles: BTreeMap<u32, Trouble>, tells: bool) -> Self {
        let clock = Arc::new(VirtualClock::new());
        Self { objects: Mutex::default(), clock, began: Instant::now(), troubles, seen: Mutex::default(), tells }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            let line = format!("{:>9.3}  {}", self.began.elapsed().as_secs_f64(), what());
            self.seen().story.push(line);
        }
    }

    pub(super) fn breach(&self, what: String) {
        self.tell(|| format!("BREACH: {what}"));
        self.seen().breaches.push(what);
    }

    pub(super) fn story(&self) -> String {
        self.seen().story.join("\n")
    }

    pub(super) fn figures(&self) -> Figures {
        let seen = self.seen();
        let longest_gap = seen.actions.values().map(|action| action.longest).max().unwrap_or_default();
        let completions = seen.actions.values().map(|action| action.accepted.len() as u32).sum();
        Figures { runs: 1, longest_gap, completions, ..seen.figures }
    }

    /// Auto Scaling begins the event's lifecycle action.
    pub(super) fn happens(&self, event: &Event) {
        let Some(action) = &event.lifecycle_action else { return };
        let token = action.token.clone().expect("actions of the model have tokens");
        let action = Action { alive_at: Instant::now(), longest: Duration::ZERO, accepted: Vec::new() };
        self.seen().actions.entry(token).or_insert(action);
    }

    /// The events of what is still open, for the sweep. Only what was written after its writer had given up may be.
    pub(super) fn left_open(&self) -> Vec<Event> {
        let objects = self.objects.lock().unwrap();
        let mut left = Vec::new();
        for (_, (_, bytes)) in objects.range("open/".to_owned().."open0".to_owned()) {
            for item in items::<Item>(bytes) {
                if item.wake > self.clock.now() {
                    self.breach(format!("{} is left open, to be brought at {}, and nobody does", item.id, item.wake));
                }
                left.push(item.event);
            }
        }
        if !left.is_empty() && !self.troubles.values().any(|trouble| *trouble == Trouble::Late) {
            self.breach(format!("{} items are left open", left.len()));
        }
        self.seen().figures.swept += u32::try_from(left.len()).expect("a few");
        left
    }

    /// Reads what the ledger holds when all messages are gone.
    pub(super) fn look_at_the_end(&self, events: &[Event]) {
        let objects = self.objects.lock().unwrap();
        let mut seen = self.seen();
        for (key, (_, bytes)) in objects.iter() {
            match key.strip_prefix("ended/") {
                Some(_) => seen.ended.extend(items::<EndedItem>(bytes)),
                None => seen.breaches.push(format!("{key} is left in the ledger")),
            }
        }
        for event in events {
            let (id, token) = (event.work_item(), token(event));
            let ends = seen.ended.iter().filter(|item| item.id == id && item.token == token).count();
            if ends != 1 {
                seen.breaches.push(format!("{} has {ends} ends", event.id));
            }
        }
    }

    /// What is not as it has to be, in a run with so many troubles.
    pub(super) fn breaches(&self, troubles: usize) -> Vec<String> {
        let seen = self.seen();
        let mut breaches = seen.breaches.clone();
        let excuse = FOR_EACH_TROUBLE * u32::try_from(troubles).expect("few troubles");
        for (token, action) in &seen.actions {
            if action.accepted.len() != 1 {
                breaches.push(format!("the action {token} was completed {:?}", action.accepted));
            }
            if action.longest > HEARTBEAT_TIMEOUT + excuse {
                breaches.push(format!("the action {token} was not kept alive for {:?}", action.longest));
            }
            let told =
                seen.ended.iter().find(|item| item.token.as_ref() == Some(token)).and_then(|item| item.lifecycle);
            let accepted = action.accepted.first().map(|result| match result {
                LifecycleResult::Continue => Completion::Continue,
                LifecycleResult::Abandon => Completion::Abandon,
            });
            if told != accepted {
                breaches.push(format!("the action {token} was completed with {accepted:?}, and its end says {told:?}"));
            }
        }
        for item in &seen.ended {
            // The handler ends the item in its third attempt; a trouble may cost one.
            let most = 3 + u32::try_from(troubles).expect("few troubles") * 2;
            if item.attempts > most {
                breaches.push(format!("{} took {} attempts; at most {most} are right", item.id, item.attempts));
            }
        }
        breaches
    }
}

fn token(event: &Event) -> Option<String> {
    event.lifecycle_action.as_ref()?.token.clone()
}

fn items<T: DeserializeOwned>(bytes: &[u8]) -> Vec<T> {
    let mut page: Value = serde_json::from_slice(bytes).expect("the ledger writes JSON");
    serde_json::from_value(page["items"].take()).expect("and what it reads")
}

/// What one host reaches of the cloud.
#[derive(Clone)]
pub(super) struct Reach {
    pub(super) cloud: Arc<Cloud>,
    pub(super) power: Arc<Power>,
    pub(super) host: usize,
    pub(super) clock: Arc<dyn Clock>,
}

impl Reach {
    /// An operation of the host, with what goes wrong with it. `refused` makes an error of what went wrong.
    async fn operate<T: Send + 'static, E: Send + 'static>(
        &self,
        what: impl FnOnce() -> String,
        effect: impl Future<Output = Result<T, E>> + Send + 'static,
        failed: impl Fn(Trouble, PortError) -> E,
    ) -> Result<T, E> {
        let number = {
            let mut seen = self.cloud.seen();
            seen.figures.operations += 1;
            seen.figures.operations
        };
        let trouble = self.cloud.troubles.get(&number).copied();
        self.cloud.tell(|| {
            let trouble = trouble.map_or_else(String::new, |trouble| format!(": {trouble:?}"));
            format!("{number}. host {}: {}{trouble}", self.host, what())
        });
        let Some(trouble) = trouble else { return effect.await };
        self.cloud.seen().figures.struck += 1;
        let error = |kind| Err(failed(trouble, PortError::new(kind, format!("{trouble:?}"))));
        match trouble {
            Trouble::KilledBefore | Trouble::KilledAfter => {
                if trouble == Trouble::KilledAfter {
                    let _ = effect.await;
                }
                self.power.kill();
                std::future::pending().await
            }
            Trouble::Frozen => {
                let answer = effect.await;
                self.power.freeze(Duration::from_secs(60));
                tokio::time::sleep(Duration::from_millis(1)).await;
                answer
            }
            Trouble::Throttled | Trouble::Conflict => error(PortErrorKind::Throttled),
            Trouble::NoAnswer => {
                tokio::time::sleep(NO_ANSWER).await;
                error(PortErrorKind::Timeout)
            }
            Trouble::AnswerLost => {
                let _ = effect.await;
                tokio::time::sleep(NO_ANSWER).await;
                error(PortErrorKind::Timeout)
            }
            Trouble::Repeated => {
                let _ = effect.await;
                error(PortErrorKind::Timeout)
            }
            Trouble::Late => {
                tokio::spawn(async move {
                    tokio::time::sleep(NO_ANSWER * 3).await;
                    let _ = effect.await;
                });
                tokio::time::sleep(NO_ANSWER).await;
                error(PortErrorKind::Timeout)
            }
            Trouble::Slow => {
                tokio::time::sleep(Duration::from_secs(2)).await;
                let answer = effect.await;
                tokio::time::sleep(Duration::from_secs(2)).await;
                answer
            }
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        what: impl FnOnce() -> String,
        effect: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> Result<T, PortError> {
        self.operate(what, effect, |_, error| error).await
    }
}

/// As a store on S3 tells what went wrong with a write.
fn not_written(trouble: Trouble, error: PortError) -> WriteError {
    match trouble {
        Trouble::Conflict | Trouble::Repeated => WriteError::Changed,
        _ => WriteError::Unknown(error),
    }
}

#[async_trait]
impl Store for Reach {
    async fn read(&self, key: &str) -> Result<Option<Stored>, PortError> {
        let (cloud, of) = (Arc::clone(&self.cloud), key.to_owned());
        self.ask(|| format!("read {key}"), async move { Ok(cloud.read(&of)) }).await
    }

    async fn write(&self, key: &str, bytes: Vec<u8>, over: Option<&Version>) -> Result<Version, WriteError> {
        let (cloud, of, over, written) = (Arc::clone(&self.cloud), key.to_owned(), over.cloned(), bytes.clone());
        let effect = async move { cloud.replace(&of, over.as_ref(), Some(written)) };
        self.operate(|| format!("write {key} {}", brief(&bytes)), effect, not_written).await
    }

    async fn remove(&self, key: &str, version: &Version) -> Result<(), WriteError> {
        let (cloud, of, version) = (Arc::clone(&self.cloud), key.to_owned(), version.clone());
        let effect = async move { cloud.replace(&of, Some(&version), None).map(drop) };
        self.operate(|| format!("remove {key}"), effect, not_written).await
    }

    async fn list(&self, _: &str, _: Option<&str>) -> Result<Page, PortError> {
        unreachable!("dispatch lists nothing")
    }

    fn locate(&self, key: &str) -> String {
        key.to_owned()
    }
}

/// What a written object says, for the story.
fn brief(bytes: &[u8]) -> String {
    let page: Value = serde_json::from_slice(bytes).expect("the ledger writes JSON");
    let items = page["items"].as_array().expect("items").iter().map(|item| {
        let id = item["id"].as_str().expect("an id").rsplit('/').take(2).collect::<Vec<_>>().join(" of ");
        format!("{id} #{} {}", item["attempts"], item["finishing"]["decision"])
    });
    let items = items.collect::<Vec<_>>().join(", ");
    format!("[{items}] leased to {} for {}", page["lease"]["holder"], page["lease"]["item"])
}

impl Cloud {
    fn read(&self, key: &str) -> Option<Stored> {
        let objects = self.objects.lock().unwrap();
        objects.get(key).map(|(write, bytes)| Stored { bytes: bytes.clone(), version: Version(write.to_string()) })
    }

    /// Compare-and-swap; without bytes the object goes.
    fn replace(&self, key: &str, over: Option<&Version>, bytes: Option<Vec<u8>>) -> Result<Version, WriteError> {
        let mut objects = self.objects.lock().unwrap();
        if objects.get(key).map(|(write, _)| Version(write.to_string())).as_ref() != over {
            return Err(WriteError::Changed);
        }
        let write = {
            let mut seen = self.seen();
            seen.writes += 1;
            seen.writes
        };
        match bytes {
            Some(bytes) => {
                self.look_at(&bytes);
                objects.insert(key.to_owned(), (write, bytes));
            }
            None => drop(objects.remove(key)),
        }
        Ok(Version(write.to_string()))
    }

    /// A written object: a result that is in it must be the first that was.
    fn look_at(&self, bytes: &[u8]) {
        const DECIDED: &[u8] = b"\"finishing\":{";
        if !bytes.windows(DECIDED.len()).any(|window| window == DECIDED) {
            return;
        }
        let page: Value = serde_json::from_slice(bytes).expect("the ledger writes JSON");
        for item in page["items"].as_array().expect("items").iter().filter(|item| item["finishing"].is_object()) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let key = (text(&item["id"]), text(&item["event"]["lifecycle_action"]["token"]));
            let finishing = &item["finishing"];
            let result = (text(&finishing["decision"]), finishing["tell"].as_str().map(str::to_owned));
            let first = self.seen().decided.entry(key.clone()).or_insert_with(|| result.clone()).clone();
            if first != result {
                self.breach(format!("{key:?} was decided to be {first:?}, and then {result:?}"));
            }
        }
    }

    /// The action that `wanted` means, as long as it waits.
    fn active<T>(&self, wanted: &LifecycleAction, then: impl FnOnce(&mut Action) -> T) -> Option<T> {
        let mut seen = self.seen();
        let action = seen.actions.get_mut(wanted.token.as_ref()?).filter(|action| action.accepted.is_empty())?;
        action.longest = action.longest.max(action.alive_at.elapsed());
        action.alive_at = Instant::now();
        Some(then(action))
    }

    fn complete(&self, action: &LifecycleAction, result: LifecycleResult) -> Answer {
        let token = action.token.clone().unwrap_or_default();
        let written: Vec<_> =
            self.seen().decided.iter().filter(|((_, of), _)| *of == token).map(|(_, of)| of.clone()).collect();
        if !matches!(&written[..], [(_, Some(written))] if written == result.as_str()) {
            self.breach(format!("{token} is completed with {}, and written is {written:?}", result.as_str()));
        }
        let accepted = self.active(action, |action| action.accepted.push(result));
        self.tell(|| format!("{token} is completed with {}: {accepted:?}", result.as_str()));
        if accepted.is_some() { Answer::Accepted } else { Answer::Over }
    }
}

#[async_trait]
impl Lifecycle for Reach {
    async fn hook(&self, _: &LifecycleAction) -> Result<Option<HookTimes>, PortError> {
        let times = HookTimes { heartbeat_timeout: HEARTBEAT_TIMEOUT, global_timeout: HEARTBEAT_TIMEOUT * 100 };
        self.ask(|| "hook".to_owned(), async move { Ok(Some(times)) }).await
    }

    async fn heartbeat(&self, action: &LifecycleAction) -> Result<Answer, PortError> {
        let (cloud, action) = (Arc::clone(&self.cloud), action.clone());
        let effect = async move { Ok(cloud.active(&action, |_| ()).map_or(Answer::Over, |()| Answer::Accepted)) };
        self.ask(|| "heartbeat".to_owned(), effect).await
    }

    async fn complete(&self, action: &LifecycleAction, result: LifecycleResult) -> Result<Answer, PortError> {
        let (cloud, action) = (Arc::clone(&self.cloud), action.clone());
        self.ask(|| "complete".to_owned(), async move { Ok(cloud.complete(&action, result)) }).await
    }
}

/// An attempt at work on an instance, until it is dropped.
struct AtWork<'a> {
    reach: &'a Reach,
    instance: InstanceId,
    number: u32,
}

impl<'a> AtWork<'a> {
    fn begin(reach: &'a Reach, instance: &InstanceId) -> Self {
        let mut seen = reach.cloud.seen();
        seen.figures.attempts += 1;
        let number = seen.figures.attempts;
        let power = &reach.power;
        let other = seen.at_work.insert(instance.clone(), (number, Arc::clone(power), power.freezes()));
        match other {
            // Who stands still does not work, and must not go on afterwards.
            Some((other, power, freezes)) if power.freezes() > freezes => {
                seen.overtaken.insert(other);
                seen.figures.overtaken += 1;
            }
            Some((other, ..)) => {
                let what = format!("attempt {number} on {instance} began while attempt {other} was under way");
                seen.breaches.push(what);
            }
            None => {}
        }
        Self { reach, instance: instance.clone(), number }
    }

    fn goes_on(&self) {
        if self.reach.cloud.seen().overtaken.contains(&self.number) {
            self.reach.cloud.breach(format!("attempt {} went on after another had taken over", self.number));
        }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let mut seen = self.reach.cloud.seen();
        if seen.at_work.get(&self.instance).is_some_and(|(number, ..)| *number == self.number) {
            seen.at_work.remove(&self.instance);
        }
    }
}

#[async_trait]
impl Ecs for Reach {
    async fn find_container_instance(
        &self,
        request: Granted<FindContainerInstance>,
    ) -> Result<Option<ContainerInstance>, PortError> {
        let found = container_instance(&request.request().instance);
        self.ask(|| "find".to_owned(), async move { Ok(Some(found)) }).await
    }

    /// All of an attempt's work.
    async fn drain(&self, request: Granted<Drain>) -> Result<ContainerInstance, PortError> {
        let instance = request.request().container_instance.instance.clone();
        let at_work = AtWork::begin(self, &instance);
        let number = at_work.number;
        self.ask(|| format!("attempt {number} on {instance} begins"), async { Ok(()) }).await?;
        at_work.goes_on();
        tokio::time::sleep(WORK[number as usize % WORK.len()]).await;
        at_work.goes_on();
        self.ask(|| format!("attempt {number} on {instance} ends"), async { Ok(()) }).await?;
        at_work.goes_on();
        Ok(container_instance(&instance))
    }

    async fn list_tasks(&self, _: Granted<ListTasks>) -> Result<Vec<Task>, PortError> {
        std::future::pending().await
    }

    async fn stop_task(&self, _: Granted<StopTask>) -> Result<(), PortError> {
        std::future::pending().await
    }
}

fn container_instance(instance: &InstanceId) -> ContainerInstance {
    ContainerInstance {
        arn: "arn:aws:ecs:eu-central-1:123456789012:container-instance/c/0".to_owned(),
        cluster: ClusterName::parse("c").expect("a name"),
        instance: instance.clone(),
        status: "ACTIVE".to_owned(),
        agent_connected: true,
        running_tasks: 0,
        pending_tasks: 0,
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.operations += other.operations;
        self.struck += other.struck;
        self.attempts += other.attempts;
        self.overtaken += other.overtaken;
        self.completions += other.completions;
        self.swept += other.swept;
        self.longest_gap = self.longest_gap.max(other.longest_gap);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, operations, struck, attempts, overtaken, completions, swept, longest_gap } = self;
        write!(
            f,
            "{runs} runs with {operations} operations, of which {struck} went wrong; {attempts} attempts, {overtaken} of them overtaken \
             while their hosts were frozen; {completions} actions completed, each once; {swept} items left to the sweep; the longest \
             without a heartbeat {longest_gap:.0?}"
        )
    }
}
