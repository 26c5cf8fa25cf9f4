//! The ports on a recording: each call is answered as the same call was then, after the time it took then.
//!
//! Matched by operation and arguments, not by position: a plugin that asks in another order, or less, gets the same answers.
//! What was asked several times is answered by the time it is asked at, or in order if it changes something: see [`Answers`].
//! What was never asked is an error that says so; only Auto Scaling is answered for, so that another decision is seen to its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::answers::Answers;
use super::asked::Asked;
use super::file::{Call, Recording, Reply};
use crate::capabilities::Ports;
use crate::capabilities::autoscaling::AutoScaling;
use crate::capabilities::ec2::Ec2;
use crate::capabilities::ecs::Ecs;
use crate::capabilities::ssh::Ssh;
use crate::clock::Clock;
use crate::event::LifecycleAction;
use crate::lifecycle::{Answer, HookTimes, Lifecycle, LifecycleResult};
use crate::policy::{
    DescribeGroupInstance, DescribeInstance, Drain, Exec, FindContainerInstance, Granted, ListTasks,
    SetInstanceProtection, StopTask,
};
use crate::ports::{CommandOutput, ContainerInstance, GroupInstance, Instance, Place, PortError, PortErrorKind, Task};

/// How long a call is silent that nobody waited for when it was recorded: longer than anybody waits.
const SILENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// The outside world as a recording knows it. Its time is tokio's: run it on a runtime whose clock is paused.
pub struct Replay {
    answers: Mutex<Answers>,
    place: Place,
    start: Timestamp,
    began: Instant,
    door_closes: Option<Instant>,
}

impl Replay {
    /// The world of `recording`, from now on.
    pub fn of(recording: &Recording) -> Self {
        let (event, began) = (&recording.event, Instant::now());
        let door = recording.header.door_closes_after_ms.map(Duration::from_millis);
        Self {
            answers: Mutex::new(Answers::of(recording)),
            place: Place { account: event.account.clone(), region: event.region.clone() },
            start: recording.header.recorded_at,
            began,
            door_closes: door.and_then(|door| began.checked_add(door)),
        }
    }

    /// What handlers reach of it.
    pub fn ports(self: &Arc<Self>) -> Ports {
        let replay = || Arc::clone(self);
        Ports { ecs: replay(), autoscaling: replay(), ec2: replay(), ssh: replay(), clock: replay() }
    }

    /// Where it was recorded.
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// When the door closes, if it did then.
    pub fn door_closes(&self) -> Option<Instant> {
        self.door_closes
    }

    /// The answer to `asked`, now.
    fn next(&self, asked: &Asked) -> Option<Call> {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.answers().next(asked, passed)
    }

    fn knows(&self, asked: &Asked) -> bool {
        self.answers().know(asked)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer<T: DeserializeOwned>(&self, asked: Asked) -> Result<T, PortError> {
        let Some(call) = self.next(&asked) else {
            let message = format!("not in the recording: {asked}; what AWS would have answered is not known");
            return Err(PortError::new(PortErrorKind::Other, message));
        };
        let took = if call.reply == Reply::None { SILENCE } else { Duration::from_millis(call.took_ms) };
        tokio::time::sleep(took).await;
        match call.reply {
            Reply::Error(error) => Err(error),
            // Reading the recording has found each answer to be one of its operation.
            Reply::Answer(answer) => T::deserialize(answer).map_err(|error| {
                PortError::new(PortErrorKind::Other, format!("the recorded answer to {asked}: {error}"))
            }),
            Reply::None => {
                let message = format!("nobody waited for the answer to {asked} when it was recorded");
                Err(PortError::new(PortErrorKind::Timeout, message))
            }
        }
    }
}

impl Clock for Replay {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.began.elapsed()).unwrap_or(SignedDuration::MAX);
        self.start.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }
}

#[async_trait]
impl Ecs for Replay {
    /// A container instance in a cluster that the policy no longer grants would not be found, and is not.
    async fn find_container_instance(
        &self,
        request: Granted<FindContainerInstance>,
    ) -> Result<Option<ContainerInstance>, PortError> {
        let found: Option<ContainerInstance> = self.answer(Asked::from(&request)).await?;
        Ok(found.filter(|found| request.request().clusters.matches(found.cluster.as_str())))
    }

    async fn drain(&self, request: Granted<Drain>) -> Result<ContainerInstance, PortError> {
        self.answer(Asked::from(&request)).await
    }

    async fn list_tasks(&self, request: Granted<ListTasks>) -> Result<Vec<Task>, PortError> {
        self.answer(Asked::from(&request)).await
    }

    async fn stop_task(&self, request: Granted<StopTask>) -> Result<(), PortError> {
        self.answer(Asked::from(&request)).await
    }
}

#[async_trait]
impl AutoScaling for Replay {
    async fn describe_instance(
        &self,
        request: Granted<DescribeGroupInstance>,
    ) -> Result<Option<GroupInstance>, PortError> {
        self.answer(Asked::from(&request)).await
    }

    async fn set_instance_protection(&self, request: Granted<SetInstanceProtection>) -> Result<(), PortError> {
        self.answer(Asked::from(&request)).await
    }
}

#[async_trait]
impl Ec2 for Replay {
    async fn describe_instance(&self, request: Granted<DescribeInstance>) -> Result<Instance, PortError> {
        self.answer(Asked::from(&request)).await
    }
}

#[async_trait]
impl Ssh for Replay {
    async fn exec(&self, request: Granted<Exec>) -> Result<CommandOutput, PortError> {
        self.answer(Asked::from(&request)).await
    }
}

/// Auto Scaling's side. How often heartbeats are sent, and with which result the action is completed, may well be different now.
#[async_trait]
impl Lifecycle for Replay {
    async fn hook(&self, action: &LifecycleAction) -> Result<Option<HookTimes>, PortError> {
        self.answer(Asked::hook(action)).await
    }

    async fn heartbeat(&self, action: &LifecycleAction) -> Result<Answer, PortError> {
        let asked = Asked::heartbeat(action);
        if self.knows(&asked) { self.answer(asked).await } else { Ok(Answer::Accepted) }
    }

    async fn complete(&self, action: &LifecycleAction, result: LifecycleResult) -> Result<Answer, PortError> {
        let other = match result {
            LifecycleResult::Continue => LifecycleResult::Abandon,
            LifecycleResult::Abandon => LifecycleResult::Continue,
        };
        // Whether the action was over already did not depend on what it would have been told.
        let known =
            [result, other].map(|result| Asked::complete(action, result)).into_iter().find(|asked| self.knows(asked));
        match known {
            Some(asked) => self.answer(asked).await,
            None => Ok(Answer::Accepted),
        }
    }
}
