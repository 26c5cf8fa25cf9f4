//! Brings events to their end within this process, for those that no queue brings again: what the instance is told of, and what the
//! sweep finds where there is no queue.
//!
//! Nothing here is durable, and nothing needs to be: what is open stands in the ledger, and is taken up again at the next start,
//! or by the sweep.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;

use super::imds::Sink;
use crate::dispatch::{Dispatch, DispatchError};
use crate::event::Event;
use crate::ledger::LedgerError;
use crate::ports::{InstanceId, PortError};
use crate::sweep::Adopt;

/// How long after a failure an event is brought again: what a queue does after a crash.
const AGAIN: Duration = Duration::from_secs(30);

/// The events under way in this process.
pub struct InProcess {
    dispatch: Arc<Dispatch>,
    under_way: Mutex<JoinSet<()>>,
}

impl InProcess {
    /// A process with nothing under way.
    pub fn new(dispatch: Arc<Dispatch>) -> Self {
        Self { dispatch, under_way: Mutex::default() }
    }

    /// Takes up what is open of an instance, as soon as the ledger can be read.
    pub async fn take_up(&self, instance: &InstanceId) {
        while let Err(error) = self.resume(instance).await {
            tracing::error!(%instance, %error, "what is open of this instance is not known; asking again in {AGAIN:?}");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Takes up what is open of an instance: what a process before this one was about when it ended.
    async fn resume(&self, instance: &InstanceId) -> Result<usize, LedgerError> {
        let open = self.dispatch.ledger.open(instance).await?;
        for item in &open.items {
            tracing::info!(event = item.event.id, %instance, attempts = item.attempts, "taken up again");
            self.begin(item.event.clone());
        }
        Ok(open.items.len())
    }

    /// Waits for everything that is under way; whoever ends the process makes it end. What is dropped before is left to the ledger as it is.
    pub async fn ended(&self) {
        let mut under_way = std::mem::take(&mut *self.under_way.lock().unwrap_or_else(PoisonError::into_inner));
        while under_way.join_next().await.is_some() {}
    }

    fn begin(&self, event: Event) {
        let dispatch = Arc::clone(&self.dispatch);
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        // What has ended meanwhile is let go of here, so that it does not gather.
        while under_way.try_join_next().is_some() {}
        under_way.spawn(async move {
            while !bring(&dispatch, &event).await && !dispatch.closing.has_begun() {
                let _ = tokio::time::timeout(AGAIN, dispatch.closing.begun()).await;
            }
        });
    }
}

/// Brings an event to its end, however long that takes. False if it has to be brought again.
async fn bring(dispatch: &Dispatch, event: &Event) -> bool {
    match dispatch.handle(event.clone(), None).await {
        // It never will be ours, and has been said so loudly.
        Ok(_) | Err(DispatchError::Elsewhere { .. }) => true,
        Err(_) => false,
    }
}

#[async_trait]
impl Sink for InProcess {
    async fn bring(&self, event: Event) -> bool {
        bring(&self.dispatch, &event).await
    }
}

#[async_trait]
impl Adopt for InProcess {
    async fn adopt(&self, event: &Event) -> Result<(), PortError> {
        self.begin(event.clone());
        Ok(())
    }

    /// Everything is begun as it comes.
    async fn is_behind(&self) -> Result<bool, PortError> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::tests::host;
    use crate::dispatch::{End, Step};
    use crate::testing::{INSTANCE, guests, terminating};

    #[tokio::test(start_paused = true)]
    async fn what_a_process_was_about_is_taken_up_by_the_next() {
        let dispatch = Arc::new(host(Some(guests::again(60, 2)), "").dispatch);
        assert!(matches!(dispatch.step(&terminating(), None).await, Ok(Step::Later { .. })));
        let next = InProcess::new(Arc::clone(&dispatch));
        let instance = InstanceId::parse(INSTANCE).unwrap();
        assert_eq!(next.resume(&instance).await.unwrap(), 1);
        tokio::time::sleep(Duration::from_secs(61)).await;
        let found = dispatch.step(&terminating(), None).await;
        assert!(matches!(found, Ok(Step::Ended(End::Already(_)))), "{found:?}");
        assert_eq!(next.resume(&instance).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_brought_again_and_what_is_elsewhere_is_not() {
        let mut host = host(Some(guests::done()), "");
        let mut elsewhere = terminating();
        elsewhere.account = crate::ports::AccountId::parse("210987654321").unwrap();
        let lifecycle = std::mem::replace(&mut host.dispatch.lifecycle, crate::dispatch::tests::deaf());
        let process = InProcess::new(Arc::new(host.dispatch));
        assert!(Sink::bring(&process, elsewhere).await);
        assert!(!Sink::bring(&process, terminating()).await);
        drop(lifecycle);
    }

    #[tokio::test(start_paused = true)]
    async fn to_stop_is_to_leave_it_to_the_ledger() {
        let dispatch = Arc::new(host(Some(guests::again(60, 2)), "").dispatch);
        let process = InProcess::new(Arc::clone(&dispatch));
        process.adopt(&terminating()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        dispatch.closing.begin();
        process.ended().await;
        let open = dispatch.ledger.open(&InstanceId::parse(INSTANCE).unwrap()).await.unwrap();
        assert_eq!((open.items[0].attempts, open.lease), (1, None));
    }
}
