//! What one host reaches of the cloud, and what goes wrong on the way.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::actions;
use super::cloud::Cloud;
use super::host::{OwnClock, Power};
use super::trouble::Trouble;
use crate::capabilities::ecs::Ecs;
use crate::event::{Event, LifecycleAction};
use crate::ledger::{Page, Store, Stored, Version, WriteError};
use crate::lifecycle::{Answer, HookTimes, Lifecycle, LifecycleResult};
use crate::policy::{Drain, FindContainerInstance, Granted, ListTasks, StopTask};
use crate::ports::{ClusterName, ContainerInstance, GroupName, InstanceId, PortError, PortErrorKind, Task};
use crate::sweep::{Adopt, Groups, Hook, Waiting};

/// How long an answer is waited for that does not come.
const NO_ANSWER: Duration = Duration::from_secs(5);

/// How long the work of an attempt takes, in turn: less than it takes to renew a lease, less than a lease, and more.
const WORK: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(7), Duration::from_secs(25)];

/// What one host reaches of the cloud.
#[derive(Clone)]
pub(super) struct Reach {
    pub(super) cloud: Arc<Cloud>,
    pub(super) power: Arc<Power>,
    pub(super) host: usize,
    pub(super) clock: Arc<OwnClock>,
}

impl Reach {
    /// An operation of the host, with what goes wrong with it.
    async fn operate<T: Send + 'static, E: Failure>(
        &self,
        what: impl FnOnce() -> String,
        effect: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E> {
        let Some(trouble) = self.trouble(what, E::OF_A_WRITE) else { return effect.await };
        let error = |kind| Err(E::of(trouble, PortError::new(kind, format!("{trouble:?}"))));
        match trouble {
            Trouble::KilledBefore | Trouble::KilledAfter => {
                if trouble == Trouble::KilledAfter {
                    let _ = effect.await;
                }
                self.cloud.seen().figures.kills += 1;
                self.power.kill();
                std::future::pending().await
            }
            Trouble::FrozenBefore => {
                self.stand_still().await;
                effect.await
            }
            Trouble::FrozenAfter => {
                let answer = effect.await;
                self.stand_still().await;
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
            Trouble::ClockBack => {
                let answer = effect.await;
                self.clock.step_back();
                answer
            }
        }
    }

    async fn stand_still(&self) {
        self.power.freeze(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    /// What goes wrong with the next operation.
    fn trouble(&self, what: impl FnOnce() -> String, of_a_write: bool) -> Option<Trouble> {
        let (number, trouble) = {
            let mut seen = self.cloud.seen();
            seen.figures.operations += 1;
            let trouble = self.cloud.troubles.get(&seen.figures.operations).copied();
            seen.figures.struck += u32::from(trouble.is_some());
            seen.struck.extend(trouble.map(|trouble| (trouble, of_a_write)));
            (seen.figures.operations, trouble)
        };
        self.cloud.tell(|| {
            let trouble = trouble.map_or_else(String::new, |trouble| format!(": {trouble:?}"));
            format!("{number}. host {}: {}{trouble}", self.host, what())
        });
        trouble
    }
}

/// An error of an operation.
trait Failure: Send + 'static {
    /// Whether it is of those that write to the ledger.
    const OF_A_WRITE: bool;

    fn of(trouble: Trouble, error: PortError) -> Self;
}

impl Failure for PortError {
    const OF_A_WRITE: bool = false;

    fn of(_: Trouble, error: PortError) -> Self {
        error
    }
}

impl Failure for WriteError {
    const OF_A_WRITE: bool = true;

    /// As a store on S3 tells what went wrong with a write.
    fn of(trouble: Trouble, error: PortError) -> Self {
        match trouble {
            Trouble::Conflict | Trouble::Repeated => Self::Changed,
            _ => Self::Unknown(error),
        }
    }
}

#[async_trait]
impl Store for Reach {
    async fn read(&self, key: &str) -> Result<Option<Stored>, PortError> {
        let (cloud, of) = (Arc::clone(&self.cloud), key.to_owned());
        self.operate(|| format!("read {key}"), async move { Ok(cloud.read(&of)) }).await
    }

    async fn write(&self, key: &str, bytes: Vec<u8>, over: Option<&Version>) -> Result<Version, WriteError> {
        let what = if self.cloud.tells() { format!("write {key} {}", brief(&bytes)) } else { String::new() };
        let (cloud, of, over) = (Arc::clone(&self.cloud), key.to_owned(), over.cloned());
        let host = self.host;
        let effect = async move { cloud.replace(&of, over.as_ref(), Some(bytes), host) };
        self.operate(|| what, effect).await
    }

    async fn remove(&self, key: &str, version: &Version) -> Result<(), WriteError> {
        let (cloud, of, version) = (Arc::clone(&self.cloud), key.to_owned(), version.clone());
        let host = self.host;
        let effect = async move { cloud.replace(&of, Some(&version), None, host).map(drop) };
        self.operate(|| format!("remove {key}"), effect).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, PortError> {
        let (cloud, of, after) = (Arc::clone(&self.cloud), prefix.to_owned(), after.map(str::to_owned));
        self.operate(|| format!("list {prefix}"), async move { Ok(cloud.list(&of, after.as_deref())) }).await
    }

    fn locate(&self, key: &str) -> String {
        key.to_owned()
    }
}

/// What a written object says, for the story.
fn brief(bytes: &[u8]) -> String {
    let page: Value = serde_json::from_slice(bytes).expect("the ledger writes JSON");
    let items = page["items"].as_array().expect("items").iter().map(|item| {
        let id = item["id"].as_str().expect("an id").rsplit('/').take(3).collect::<Vec<_>>().join(" of ");
        let token = item["event"]["lifecycle_action"]["token"].as_str().unwrap_or("-");
        format!("{id} {token} #{} {}", item["attempts"], item["finishing"]["decision"])
    });
    let items = items.collect::<Vec<_>>().join(", ");
    format!("[{items}] leased to {} for {}", page["lease"]["holder"], page["lease"]["item"])
}

#[async_trait]
impl Lifecycle for Reach {
    async fn hook(&self, _: &LifecycleAction) -> Result<Option<HookTimes>, PortError> {
        self.operate(|| "hook".to_owned(), async { Ok(Some(actions::times())) }).await
    }

    async fn heartbeat(&self, action: &LifecycleAction) -> Result<Answer, PortError> {
        let (cloud, of) = (Arc::clone(&self.cloud), action.clone());
        let what = || format!("heartbeat of {} of {}, {:?}", action.hook, action.instance, action.token);
        self.operate(what, async move { Ok(cloud.heartbeat(&of)) }).await
    }

    async fn complete(&self, action: &LifecycleAction, result: LifecycleResult) -> Result<Answer, PortError> {
        let (cloud, action) = (Arc::clone(&self.cloud), action.clone());
        self.operate(|| "complete".to_owned(), async move { Ok(cloud.complete(&action, result)) }).await
    }
}

#[async_trait]
impl Groups for Reach {
    async fn waiting(&self) -> Result<Vec<Waiting>, PortError> {
        let cloud = Arc::clone(&self.cloud);
        self.operate(|| "which instances wait".to_owned(), async move { Ok(cloud.waiting()) }).await
    }

    async fn hooks(&self, group: &GroupName) -> Result<Vec<Hook>, PortError> {
        let group = group.clone();
        self.operate(|| "hooks of the group".to_owned(), async move { Ok(actions::hooks(&group)) }).await
    }
}

#[async_trait]
impl Adopt for Reach {
    async fn adopt(&self, event: &Event) -> Result<(), PortError> {
        let (cloud, sent) = (Arc::clone(&self.cloud), event.clone());
        let effect = async move {
            cloud.seen().figures.adopted += 1;
            cloud.queue.send(sent).expect("the queue outlives the hosts");
            Ok(())
        };
        self.operate(|| format!("send {}", event.id), effect).await
    }

    async fn is_behind(&self) -> Result<bool, PortError> {
        // Whoever brings messages does so at once.
        self.operate(|| "how many messages wait".to_owned(), async { Ok(false) }).await
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
        // Who is made to stand still by what it does beside this has begun no sooner than it stands.
        let freezes = power.freezes() - u32::from(power.left().is_some());
        let other = seen.at_work.insert(instance.clone(), (number, Arc::clone(power), freezes));
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
        self.operate(|| "find".to_owned(), async move { Ok(Some(found)) }).await
    }

    /// All of an attempt's work.
    async fn drain(&self, request: Granted<Drain>) -> Result<ContainerInstance, PortError> {
        let instance = request.request().container_instance.instance.clone();
        let at_work = AtWork::begin(self, &instance);
        let number = at_work.number;
        self.operate(|| format!("attempt {number} on {instance} begins"), async { Ok(()) }).await?;
        at_work.goes_on();
        tokio::time::sleep(WORK[number as usize % WORK.len()]).await;
        at_work.goes_on();
        self.operate(|| format!("attempt {number} on {instance} ends"), async { Ok(()) }).await?;
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
