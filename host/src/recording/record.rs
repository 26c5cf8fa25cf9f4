//! Records beside the work, and never at its cost: what cannot be written is said once, and the work goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use tokio::time::Instant;

use super::asked::Asked;
use super::file::{Attempted, Call, Ended, Header, Line, Outcome, Part, Reply};
use super::store::{Recordings, Sink, name};
use crate::capabilities::Ports;
use crate::capabilities::autoscaling::AutoScaling;
use crate::capabilities::ec2::Ec2;
use crate::capabilities::ecs::Ecs;
use crate::capabilities::ssh::Ssh;
use crate::clock::Clock;
use crate::dispatch::{DispatchError, End};
use crate::event::LifecycleAction;
use crate::lifecycle::{Answer, HookTimes, Lifecycle, LifecycleResult};
use crate::outcome;
use crate::policy::{
    DescribeGroupInstance, DescribeInstance, Drain, Exec, FindContainerInstance, Granted, ListTasks,
    SetInstanceProtection, StopTask,
};
use crate::ports::{CommandOutput, ContainerInstance, GroupInstance, Instance, PortError, Task};

/// What is kept back of a recording's size for its last two lines.
const FOR_THE_END: usize = 64 << 10;

/// How long handing a whole recording over may take: the door is about to close,
const HANDING_OVER: Duration = Duration::from_secs(4);

/// and this long before it does, the recording is given up: work that has come to its end must not fail for it.
const TO_ANSWER: Duration = Duration::from_millis(500);

/// The recording of one event; or of none, and then it does nothing.
#[derive(Clone)]
pub struct Recorder(Option<Arc<Tape>>);

struct Tape {
    event: String,
    began: Instant,
    door_closes: Option<Instant>,
    lines: Mutex<Lines>,
}

struct Lines {
    /// None once writing has failed, or the recording is over.
    sink: Option<Sink>,
    written: usize,
    /// Whether it has become too long.
    cut: bool,
}

impl Recorder {
    /// Records nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Begins to record what an event comes to. `door_closes` is when its door does.
    pub fn begin(
        recordings: &Recordings,
        part: Part<'_>,
        (handler, policy): (&str, &str),
        clock: &dyn Clock,
        door_closes: Option<Instant>,
    ) -> Self {
        let (began, at) = (Instant::now(), clock.now());
        let closes = door_closes.map(|closes| milliseconds(closes.saturating_duration_since(began)));
        let event = part.event;
        let sink = match recordings.open(name(at, event)) {
            Ok(Some(sink)) => sink,
            Ok(None) => return Self::off(),
            Err(error) => {
                tracing::error!(event = event.id, %error, "not recorded: there is nowhere to write to");
                return Self::off();
            }
        };
        let lines = Mutex::new(Lines { sink: Some(sink), written: 0, cut: false });
        let tape = Tape { event: event.id.clone(), began, door_closes, lines };
        tape.write(&Header::new(at, closes, handler, policy, part), 0);
        Self(Some(Arc::new(tape)))
    }

    /// The ports of an attempt, recorded.
    pub fn ports(&self, ports: &Ports, attempt: u32) -> Ports {
        let Some(tape) = &self.0 else { return ports.clone() };
        let (tape, inner) = (Arc::clone(tape), ports.clone());
        let recorded = Arc::new(Recorded { tape, attempt: Some(attempt), inner });
        Ports {
            ecs: recorded.clone(),
            autoscaling: recorded.clone(),
            ec2: recorded.clone(),
            ssh: recorded,
            clock: Arc::clone(&ports.clock),
        }
    }

    /// The host's own port, recorded.
    pub fn lifecycle(&self, lifecycle: &Arc<dyn Lifecycle>) -> Arc<dyn Lifecycle> {
        let inner = Arc::clone(lifecycle);
        match &self.0 {
            Some(tape) => Arc::new(Recorded { tape: Arc::clone(tape), attempt: None, inner }),
            None => inner,
        }
    }

    /// Records how an attempt ended.
    pub fn attempted(&self, attempt: u32, module: &str, outcome: &outcome::Outcome) {
        let Some(tape) = &self.0 else { return };
        let state = match outcome {
            outcome::Outcome::Again(retry) => retry.state.clone(),
            _ => None,
        };
        let (at_ms, module) = (tape.now(), module.to_owned());
        let (outcome, note) = (outcome.as_str().to_owned(), outcome.note());
        tape.line(&Line::Attempt(Attempted { at_ms, attempt, module, outcome, note, state }));
    }

    /// Records the end, and lets go of the recording.
    pub async fn end(self, ended: &Result<End, DispatchError>) {
        let Some(tape) = self.0 else { return };
        tape.write(&Line::End(Ended { at_ms: tape.now(), outcome: Outcome::from(ended) }), 0);
        let Some(sink) = tape.lines().sink.take() else { return };
        let now = Instant::now();
        let left = tape.door_closes.map(|closes| closes.saturating_duration_since(now + TO_ANSWER));
        let patience = left.map_or(HANDING_OVER, |left| left.min(HANDING_OVER));
        let error = match tokio::time::timeout(patience, sink.close()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it was not taken within {patience:?}"),
        };
        tracing::error!(event = tape.event, error, "the recording is lost");
    }
}

impl Tape {
    fn now(&self) -> u64 {
        milliseconds(self.began.elapsed())
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line between the first and the last, unless the recording is long enough.
    fn line(&self, line: &Line) {
        self.write(line, FOR_THE_END);
    }

    /// Writes a line, with room left for `reserve` bytes more. It is short, so whoever calls waits for the disk.
    fn write(&self, line: &impl Serialize, reserve: usize) {
        let mut lines = self.lines();
        let Lines { sink, written, cut } = &mut *lines;
        let Some(open) = sink else { return };
        if *cut && reserve > 0 {
            return;
        }
        let Some(mut text) = self.encode(line) else { return };
        if *written + text.len() + reserve > open.max_bytes {
            *cut = true;
            let why = format!("it reached {} bytes, and was not continued", open.max_bytes);
            let Some(last) = self.encode(&Line::Cut(why)) else { return };
            text = last;
        }
        *written += text.len();
        if let Err(error) = open.write(&text) {
            tracing::error!(event = self.event, %error, "the recording ends here: it cannot be written; the work goes on");
            *sink = None;
        }
    }

    /// A line as it is written. None, loudly, for what has no JSON form, which no line here is without.
    fn encode(&self, line: &impl Serialize) -> Option<Vec<u8>> {
        match serde_json::to_vec(line) {
            Ok(mut text) => {
                text.push(b'\n');
                Some(text)
            }
            Err(error) => {
                tracing::error!(event = self.event, %error, "a line is missing in the recording: it has no JSON form");
                None
            }
        }
    }
}

/// A call under way. Dropped without an end, it is recorded as one that nobody waited for.
struct Pending<'t> {
    tape: &'t Tape,
    attempt: Option<u32>,
    began: Instant,
    /// None once it has ended.
    asked: Option<Asked>,
}

impl Pending<'_> {
    fn end(&mut self, reply: Reply) {
        let Some(asked) = self.asked.take() else { return };
        let at_ms = milliseconds(self.began.duration_since(self.tape.began));
        let took_ms = milliseconds(self.began.elapsed());
        self.tape.line(&Line::Call(Call { at_ms, attempt: self.attempt, asked, reply, took_ms }));
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.end(Reply::None);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Ports that record what goes through them.
struct Recorded<P> {
    tape: Arc<Tape>,
    attempt: Option<u32>,
    inner: P,
}

impl<P> Recorded<P> {
    /// Records a call: when it was made, what it was, and what came of it, even if nobody waits for that.
    async fn call<T: Serialize>(
        &self,
        asked: Asked,
        call: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let (tape, attempt) = (&*self.tape, self.attempt);
        let mut pending = Pending { tape, attempt, began: Instant::now(), asked: Some(asked) };
        let result = call.await;
        pending.end(match &result {
            // Facts are plain data, which always has a JSON form.
            Ok(fact) => Reply::Answer(serde_json::to_value(fact).unwrap_or_default()),
            Err(error) => Reply::Error(error.clone()),
        });
        result
    }
}

#[async_trait]
impl Ecs for Recorded<Ports> {
    async fn find_container_instance(
        &self,
        request: Granted<FindContainerInstance>,
    ) -> Result<Option<ContainerInstance>, PortError> {
        self.call(Asked::from(&request), self.inner.ecs.find_container_instance(request)).await
    }

    async fn drain(&self, request: Granted<Drain>) -> Result<ContainerInstance, PortError> {
        self.call(Asked::from(&request), self.inner.ecs.drain(request)).await
    }

    async fn list_tasks(&self, request: Granted<ListTasks>) -> Result<Vec<Task>, PortError> {
        self.call(Asked::from(&request), self.inner.ecs.list_tasks(request)).await
    }

    async fn stop_task(&self, request: Granted<StopTask>) -> Result<(), PortError> {
        self.call(Asked::from(&request), self.inner.ecs.stop_task(request)).await
    }
}

#[async_trait]
impl AutoScaling for Recorded<Ports> {
    async fn describe_instance(
        &self,
        request: Granted<DescribeGroupInstance>,
    ) -> Result<Option<GroupInstance>, PortError> {
        self.call(Asked::from(&request), self.inner.autoscaling.describe_instance(request)).await
    }

    async fn set_instance_protection(&self, request: Granted<SetInstanceProtection>) -> Result<(), PortError> {
        self.call(Asked::from(&request), self.inner.autoscaling.set_instance_protection(request)).await
    }
}

#[async_trait]
impl Ec2 for Recorded<Ports> {
    async fn describe_instance(&self, request: Granted<DescribeInstance>) -> Result<Instance, PortError> {
        self.call(Asked::from(&request), self.inner.ec2.describe_instance(request)).await
    }
}

#[async_trait]
impl Ssh for Recorded<Ports> {
    async fn exec(&self, request: Granted<Exec>) -> Result<CommandOutput, PortError> {
        self.call(Asked::from(&request), self.inner.ssh.exec(request)).await
    }
}

#[async_trait]
impl Lifecycle for Recorded<Arc<dyn Lifecycle>> {
    async fn hook(&self, action: &LifecycleAction) -> Result<Option<HookTimes>, PortError> {
        self.call(Asked::hook(action), self.inner.hook(action)).await
    }

    async fn heartbeat(&self, action: &LifecycleAction) -> Result<Answer, PortError> {
        self.call(Asked::heartbeat(action), self.inner.heartbeat(action)).await
    }

    async fn complete(&self, action: &LifecycleAction, result: LifecycleResult) -> Result<Answer, PortError> {
        self.call(Asked::complete(action, result), self.inner.complete(action, result)).await
    }
}
