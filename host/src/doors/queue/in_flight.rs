//! The messages that are worked on, side by side.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::Received;
use super::inbox::{Fate, Inbox};
use crate::event::{Message, ParseError};

/// Messages with the tasks that bring them on.
pub(super) struct InFlight {
    inbox: Arc<Inbox>,
    running: JoinSet<Fate>,
    messages: HashMap<String, Received>,
    /// The message of each task.
    ids: HashMap<Id, String>,
}

impl InFlight {
    pub(super) fn new(inbox: &Arc<Inbox>) -> Self {
        Self { inbox: Arc::clone(inbox), running: JoinSet::new(), messages: HashMap::new(), ids: HashMap::new() }
    }

    /// Begins to bring a message on. One that is worked on already is not begun again: SQS gives some messages twice. What is
    /// told the queue about it needs its newest receipt.
    pub(super) fn begin(&mut self, message: Received, said: Result<Message, ParseError>, closes: Option<Instant>) {
        if let Some(known) = self.messages.get_mut(&message.id) {
            tracing::debug!(message_id = message.id, "received again while it is worked on");
            *known = message;
            return;
        }
        let inbox = Arc::clone(&self.inbox);
        let id = message.id.clone();
        self.messages.insert(id.clone(), message.clone());
        let task = self.running.spawn(async move { inbox.bring_on(&message, said, closes).await });
        self.ids.insert(task.id(), id);
    }

    /// The next message that is through; none if there is none in flight. Loses nothing when it is dropped.
    pub(super) async fn next(&mut self) -> Option<(Received, Fate)> {
        loop {
            let ended = self.running.join_next_with_id().await?;
            if let Some(through) = self.through(ended) {
                return Some(through);
            }
        }
    }

    /// A message that is through by now.
    pub(super) fn ready(&mut self) -> Option<(Received, Fate)> {
        let ended = self.running.try_join_next_with_id()?;
        self.through(ended)
    }

    /// The messages in flight.
    pub(super) fn messages(&self) -> impl Iterator<Item = &Received> {
        self.messages.values()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Ends the work on all of them where it is. Returns the ones that came through all the same, and the ones that did not.
    pub(super) async fn cut_off(mut self) -> (Vec<(Received, Fate)>, Vec<Received>) {
        self.running.abort_all();
        let mut through = Vec::new();
        while let Some(done) = self.next().await {
            through.push(done);
        }
        (through, self.messages.into_values().collect())
    }

    /// What came of a task; nothing if it was cut off.
    fn through(&mut self, ended: Result<(Id, Fate), JoinError>) -> Option<(Received, Fate)> {
        let (task, fate) = match ended {
            Ok((task, fate)) => (task, fate),
            Err(error) if error.is_cancelled() => return None,
            // A fault of ours, which must not take the neighbours with it.
            Err(panic) => {
                let message = self.ids.get(&panic.id());
                tracing::error!(message_id = message, error = %panic, "a fault of this host: the message comes again");
                (panic.id(), self.inbox.after_failure(None))
            }
        };
        let id = self.ids.remove(&task)?;
        Some((self.messages.remove(&id)?, fate))
    }
}
