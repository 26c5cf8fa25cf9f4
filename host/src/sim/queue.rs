//! An SQS queue in memory, with its dead-letter queue, under tokio's clock.
//!
//! A standard queue: visibility timeouts, receive counts, `maxReceiveCount`, long polling. Not as AWS does it: messages come in the
//! order in which they became visible, and twice only by order.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::doors::queue::{Attributes, DeadLetters, Queue, Receipt, Received};
use crate::ports::{PortError, PortErrorKind};

/// The longest a message can be hidden from its receipt on ("ChangeMessageVisibility").
const LONGEST_HIDE: Duration = Duration::from_secs(12 * 60 * 60);

/// A queue. A handle: clones share one.
#[derive(Debug, Clone)]
pub struct SimQueue {
    attributes: Attributes,
    began: Instant,
    state: Arc<Mutex<State>>,
    arrived: Arc<Notify>,
}

/// A call that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueCall {
    /// GetQueueAttributes.
    Attributes,
    /// ReceiveMessage.
    Receive,
    /// ChangeMessageVisibilityBatch.
    Hide,
    /// DeleteMessageBatch.
    Delete,
    /// SendMessage to the dead-letter queue.
    Bury,
}

/// A message in the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// What it says.
    pub body: String,
    /// Why it was sent there; none if the queue's redrive policy moved it.
    pub why: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    messages: Vec<Held>,
    dead: Vec<DeadLetter>,
    /// How many messages and receipts there have been.
    sent: usize,
    received: usize,
    /// How many of the next messages are given twice.
    twice: usize,
    faults: VecDeque<QueueFault>,
    /// The call that is never answered, if there is one.
    silent: Option<QueueCall>,
    calls: Vec<String>,
}

#[derive(Debug)]
struct Held {
    id: String,
    body: String,
    receives: u32,
    visible: Instant,
    /// The newest receipt, and when that was.
    receipt: Option<(String, Instant)>,
}

/// A failure to come.
#[derive(Debug)]
struct QueueFault {
    call: QueueCall,
    /// Of this message alone.
    message: Option<String>,
    error: PortError,
}

impl SimQueue {
    /// An empty queue.
    pub fn new(visibility_timeout: Duration, max_receives: Option<u32>) -> Self {
        let attributes = Attributes { visibility_timeout, max_receives };
        Self { attributes, began: Instant::now(), state: Arc::default(), arrived: Arc::default() }
    }

    /// Puts a message into the queue, and returns its id: `m1`, `m2` and so on.
    pub fn send(&self, body: impl Into<String>) -> String {
        let mut state = self.lock();
        state.sent += 1;
        let id = format!("m{}", state.sent);
        let held = Held { id: id.clone(), body: body.into(), receives: 0, visible: Instant::now(), receipt: None };
        state.messages.push(held);
        self.arrived.notify_waiters();
        id
    }

    /// Gives the next `messages` twice, in one answer, each with two receipts.
    pub fn give_twice(&self, messages: usize) {
        self.lock().twice = messages;
    }

    /// Lets the next `times` of a call fail, with an error of this kind; of a message alone, if one is named, and not for its
    /// neighbours in a batch.
    pub fn fail(&self, call: QueueCall, message: Option<&str>, times: usize, kind: PortErrorKind) {
        let error = PortError::new(kind, format!("{} failed by order", call.operation()));
        let faults = (0..times).map(|_| QueueFault { call, message: message.map(str::to_owned), error: error.clone() });
        self.lock().faults.extend(faults);
    }

    /// Leaves every call of a kind without an answer from now on.
    pub fn fall_silent(&self, call: QueueCall) {
        self.lock().silent = Some(call);
    }

    /// Never ends if this call is left without an answer.
    async fn answers(&self, call: QueueCall) {
        let silent = self.lock().silent == Some(call);
        if silent {
            std::future::pending::<()>().await;
        }
    }

    /// The ids of the messages that have not been deleted, hidden ones among them.
    pub fn messages(&self) -> Vec<String> {
        self.lock().messages.iter().map(|held| held.id.clone()).collect()
    }

    /// What is in the dead-letter queue.
    pub fn dead(&self) -> Vec<DeadLetter> {
        self.lock().dead.clone()
    }

    /// Every call that did something, a line each, with the time since the queue was made.
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// What is visible now, or when something will be. What has been received too often goes to the dead-letter queue.
    fn take(&self, most: usize, hide: Duration) -> Result<Vec<Received>, Option<Instant>> {
        let now = Instant::now();
        let mut state = self.lock();
        let state = &mut *state;
        let spent = |held: &mut Held| {
            held.visible <= now && self.attributes.max_receives.is_some_and(|most| held.receives >= most)
        };
        for held in state.messages.extract_if(.., spent) {
            note(&mut state.calls, self.began, format!("redrive {}", held.id));
            state.dead.push(DeadLetter { body: held.body, why: None });
        }
        let mut given = Vec::new();
        state.messages.sort_by_key(|held| held.visible);
        for held in state.messages.iter_mut().take_while(|held| held.visible <= now) {
            let copies = if state.twice > 0 { 2 } else { 1 };
            if given.len() + copies > most {
                break;
            }
            state.twice = state.twice.saturating_sub(1);
            for _ in 0..copies {
                state.received += 1;
                held.receives += 1;
                let receipt = format!("{}-r{}", held.id, state.received);
                held.receipt = Some((receipt.clone(), now));
                held.visible = now + hide;
                let (id, body, receives) = (held.id.clone(), held.body.clone(), held.receives);
                given.push(Received { id, receipt: Receipt(receipt), at: now, body, receives });
            }
        }
        if given.is_empty() {
            return Err(state.messages.iter().map(|held| held.visible).min());
        }
        let ids = given.iter().map(|message| message.id.as_str()).collect::<Vec<_>>().join(" ");
        note(&mut state.calls, self.began, format!("receive {ids}"));
        Ok(given)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Queue for SimQueue {
    fn name(&self) -> &'static str {
        "simulated-queue"
    }

    async fn attributes(&self) -> Result<Attributes, PortError> {
        self.lock().fault(QueueCall::Attributes, None).map(|()| self.attributes)
    }

    async fn receive(&self, most: usize, wait: Duration, hide: Duration) -> Result<Vec<Received>, PortError> {
        self.lock().fault(QueueCall::Receive, None)?;
        let until = Instant::now() + wait;
        loop {
            let arrived = self.arrived.notified();
            let next = match self.take(most, hide) {
                Ok(messages) => return Ok(messages),
                Err(_) if Instant::now() >= until => return Ok(Vec::new()),
                Err(visible) => visible.map_or(until, |visible| visible.min(until)),
            };
            tokio::select! {
                () = arrived => {}
                () = sleep_until(next) => {}
            }
        }
    }

    async fn hide(&self, messages: &[(Receipt, Duration)]) -> Vec<Result<(), PortError>> {
        self.answers(QueueCall::Hide).await;
        let now = Instant::now();
        let mut state = self.lock();
        let mut told = Vec::new();
        if let Err(error) = state.fault(QueueCall::Hide, None) {
            return messages.iter().map(|_| Err(error.clone())).collect();
        }
        let mut hide_one = |receipt: &Receipt, hide: Duration| {
            let id = receipt.0.split('-').next().unwrap_or_default();
            state.fault(QueueCall::Hide, Some(id))?;
            let held = state.messages.iter_mut().find(|held| held.is(receipt) && held.visible > now);
            let Some((held, received)) =
                held.and_then(|held| Some((held.receipt.as_ref()?.1, held))).map(|(at, held)| (held, at))
            else {
                let why = "the message does not exist or is not available for visibility timeout change";
                return Err(PortError::new(PortErrorKind::Conflict, why));
            };
            if now + hide > received + LONGEST_HIDE {
                return Err(PortError::new(PortErrorKind::Invalid, "the total visibility timeout is beyond 12 hours"));
            }
            held.visible = now + hide;
            told.push(format!("{id} {hide:?}"));
            Ok(())
        };
        let answers = messages.iter().map(|(receipt, hide)| hide_one(receipt, *hide)).collect();
        state.told("hide", told, self.began);
        self.arrived.notify_waiters();
        answers
    }

    async fn delete(&self, messages: &[Receipt]) -> Vec<Result<(), PortError>> {
        self.answers(QueueCall::Delete).await;
        let mut state = self.lock();
        let mut told = Vec::new();
        if let Err(error) = state.fault(QueueCall::Delete, None) {
            return messages.iter().map(|_| Err(error.clone())).collect();
        }
        let mut delete_one = |receipt: &Receipt| {
            let id = receipt.0.split('-').next().unwrap_or_default();
            state.fault(QueueCall::Delete, Some(id))?;
            // With an old receipt nothing is deleted, and nothing is said about it.
            state.messages.retain(|held| !held.is(receipt));
            told.push(id.to_owned());
            Ok(())
        };
        let answers = messages.iter().map(&mut delete_one).collect();
        state.told("delete", told, self.began);
        answers
    }
}

#[async_trait]
impl DeadLetters for SimQueue {
    fn name(&self) -> &'static str {
        "simulated-dead-letters"
    }

    async fn check(&self) -> Result<(), PortError> {
        self.lock().fault(QueueCall::Bury, None)
    }

    async fn send(&self, message: &Received, why: &str) -> Result<(), PortError> {
        let mut state = self.lock();
        state.fault(QueueCall::Bury, Some(&message.id))?;
        state.dead.push(DeadLetter { body: message.body.clone(), why: Some(why.to_owned()) });
        state.told("bury", vec![message.id.clone()], self.began);
        Ok(())
    }
}

impl State {
    /// The failure that was ordered for this call, or for this message in it.
    fn fault(&mut self, call: QueueCall, message: Option<&str>) -> Result<(), PortError> {
        let ordered = |fault: &QueueFault| fault.call == call && fault.message.as_deref() == message;
        let fault = self.faults.iter().position(ordered).and_then(|position| self.faults.remove(position));
        fault.map_or(Ok(()), |fault| Err(fault.error))
    }

    fn told(&mut self, call: &str, mut messages: Vec<String>, began: Instant) {
        messages.sort();
        if !messages.is_empty() {
            note(&mut self.calls, began, format!("{call} {}", messages.join(", ")));
        }
    }
}

impl Held {
    /// Whether this is its newest receipt.
    fn is(&self, receipt: &Receipt) -> bool {
        self.receipt.as_ref().is_some_and(|(newest, _)| *newest == receipt.0)
    }
}

impl QueueCall {
    fn operation(self) -> &'static str {
        match self {
            Self::Attributes => "GetQueueAttributes",
            Self::Receive => "ReceiveMessage",
            Self::Hide => "ChangeMessageVisibilityBatch",
            Self::Delete => "DeleteMessageBatch",
            Self::Bury => "SendMessage",
        }
    }
}

fn note(calls: &mut Vec<String>, began: Instant, what: String) {
    let mut line = String::new();
    // Writing to a string cannot fail.
    let _ = write!(line, "{:?} {what}", began.elapsed());
    calls.push(line);
}
