//! Batches what waits: many questions about one thing each, few calls of AWS.
//!
//! A question that nobody else has goes at once. Those asked while a call waits for its turn, or is under way, gather and go together in
//! the next one, as many as AWS takes. Calls run on their own, so whoever stops waiting for an answer takes nothing from the others.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::ports::{PortError, PortErrorKind};

/// How long a call may hold up the next one: longer than AWS usually takes, and far shorter than a call that hangs.
const PATIENCE: Duration = Duration::from_secs(1);

/// A kind of question that AWS answers for many things in one call.
#[async_trait]
pub(super) trait Question: Send + Sync + 'static {
    /// What one call is confined to, such as a cluster.
    type Scope: Clone + Eq + Hash + Send + Sync + 'static;
    /// What is asked about.
    type Key: Clone + Eq + Hash + Send + Sync + 'static;
    /// What is said of it.
    type Answer: Clone + Send + 'static;

    /// How many keys one call takes.
    const AT_MOST: usize;

    /// Waits until AWS may be asked; keys gather meanwhile.
    async fn turn(&self);

    /// Asks about up to [`Self::AT_MOST`] keys, all different.
    ///
    /// An error is every caller's; what goes wrong with one key is an error in its answer. A key without an answer is one that AWS says
    /// nothing of.
    async fn ask(&self, scope: &Self::Scope, keys: Vec<Self::Key>) -> Result<Answers<Self>, PortError>;
}

/// What a call has brought.
pub(super) type Answers<Q> = HashMap<<Q as Question>::Key, Result<<Q as Question>::Answer, PortError>>;

/// Whoever waits for an answer.
type Caller<Q> = oneshot::Sender<Result<Option<<Q as Question>::Answer>, PortError>>;

/// The questions of one kind, of all work items.
pub(super) struct Batches<Q: Question>(Arc<Shared<Q>>);

struct Shared<Q: Question> {
    question: Q,
    /// A line for each scope in which somebody serves.
    lines: Mutex<HashMap<Q::Scope, Line<Q>>>,
}

/// The keys that wait for the next call, in order, and who asks about each.
struct Line<Q: Question> {
    keys: VecDeque<Q::Key>,
    callers: HashMap<Q::Key, Vec<Caller<Q>>>,
}

impl<Q: Question> Batches<Q> {
    pub(super) fn new(question: Q) -> Self {
        Self(Arc::new(Shared { question, lines: Mutex::default() }))
    }

    /// Asks about `key`, from now on, not only once the answer is waited for. None means that AWS says nothing of it.
    ///
    /// The answer is from after this moment: it may be shared with those who wait too, never with a call under way.
    pub(super) fn ask(
        &self,
        scope: &Q::Scope,
        key: Q::Key,
    ) -> impl Future<Output = Result<Option<Q::Answer>, PortError>> + Send + use<Q> {
        let (caller, answer) = oneshot::channel();
        if self.0.line_up(scope, key, caller) {
            tokio::spawn(Arc::clone(&self.0).serve(scope.clone()));
        }
        async { answer.await.unwrap_or_else(|_| Err(given_up())) }
    }
}

impl<Q: Question> Shared<Q> {
    /// Adds a caller to the line; true when nobody serves it yet.
    fn line_up(&self, scope: &Q::Scope, key: Q::Key, caller: Caller<Q>) -> bool {
        let mut lines = self.lock();
        let is_new = !lines.contains_key(scope);
        let line = lines.entry(scope.clone()).or_insert_with(Line::empty);
        match line.callers.entry(key) {
            Entry::Occupied(asked) => asked.into_mut().push(caller),
            Entry::Vacant(asked) => {
                line.keys.push_back(asked.key().clone());
                asked.insert(vec![caller]);
            }
        }
        is_new
    }

    /// Calls until nobody waits.
    async fn serve(self: Arc<Self>, scope: Q::Scope) {
        while self.somebody_waits(&scope) {
            self.question.turn().await;
            let batch = self.next(&scope);
            if batch.is_empty() {
                continue;
            }
            let call = tokio::spawn(Arc::clone(&self).call(scope.clone(), batch));
            // However it ends, its callers know by now; and if it has not ended, they go on waiting without us.
            let _ = tokio::time::timeout(PATIENCE, call).await;
        }
    }

    /// Whether anybody waits in the line. An empty one is closed, so that the next caller finds somebody to serve it.
    fn somebody_waits(&self, scope: &Q::Scope) -> bool {
        let mut lines = self.lock();
        let waits = lines.get_mut(scope).is_some_and(|line| {
            line.forget_who_left();
            !line.keys.is_empty()
        });
        if !waits {
            lines.remove(scope);
        }
        waits
    }

    /// The keys of the next call with their callers.
    fn next(&self, scope: &Q::Scope) -> Vec<(Q::Key, Vec<Caller<Q>>)> {
        let mut lines = self.lock();
        let Some(line) = lines.get_mut(scope) else { return Vec::new() };
        line.forget_who_left();
        let keys = line.keys.len().min(Q::AT_MOST);
        line.keys.drain(..keys).map(|key| line.callers.remove_entry(&key).unwrap_or((key, Vec::new()))).collect()
    }

    async fn call(self: Arc<Self>, scope: Q::Scope, batch: Vec<(Q::Key, Vec<Caller<Q>>)>) {
        let keys = batch.iter().map(|(key, _)| key.clone()).collect();
        let mut answers = self.question.ask(&scope, keys).await;
        for (key, callers) in batch {
            let answer = match &mut answers {
                Ok(answers) => answers.remove(&key).transpose(),
                Err(error) => Err(error.clone()),
            };
            for caller in callers {
                // Who has stopped waiting needs no answer.
                let _ = caller.send(answer.clone());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Q::Scope, Line<Q>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q: Question> Line<Q> {
    fn empty() -> Self {
        Self { keys: VecDeque::new(), callers: HashMap::new() }
    }

    fn forget_who_left(&mut self) {
        self.callers.retain(|_, callers| {
            callers.retain(|caller| !caller.is_closed());
            !callers.is_empty()
        });
        self.keys.retain(|key| self.callers.contains_key(key));
    }
}

impl<Q: Question> fmt::Debug for Batches<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").finish_non_exhaustive()
    }
}

/// What a call about `keys` is about, for messages: the key itself, or how many `things` they are.
pub(super) fn named<K: fmt::Display>(keys: &[K], things: &str) -> String {
    match keys {
        [key] => key.to_string(),
        keys => format!("{} {things}", keys.len()),
    }
}

/// The call has ended without an answer, with its runtime or by a panic.
fn given_up() -> PortError {
    PortError::new(PortErrorKind::Unavailable, "the call to AWS was given up before its answer")
}

#[cfg(test)]
mod tests;
