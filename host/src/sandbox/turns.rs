//! Turns: guests that compute for long share the processors, and leave threads to everybody else.
//!
//! As many of them run at a time as there are processors, and the runtime has as many threads again. There, whoever has just begun, or
//! has an answer to take, waits for none of them: the system gives a thread that was idle its share at once. With one thread more than
//! processors it is those who begin again and again, and fail at once, that others wait for. `make bench` has the numbers (`hostile`).

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A runtime for a sandbox whose guests run in real time.
///
/// With tokio's defaults, whoever is beside spinning guests waits 300 ms and more: it looks for what else there is to do, and for
/// what has arrived, after so many of their slices.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2 * processors())
        .enable_all()
        .event_interval(1)
        .global_queue_interval(2)
        .build()
}

fn processors() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Those of a sandbox.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    /// As many as a machine can have in use.
    pub(super) fn of_this_machine() -> Self {
        Self::new(processors())
    }

    /// All of them, until they are dropped.
    #[cfg(test)]
    pub(super) async fn take_all(&self) -> OwnedSemaphorePermit {
        let all = u32::try_from(processors()).expect("no machine has so many");
        Arc::clone(&self.0).acquire_many_owned(all).await.expect("the semaphore is never closed")
    }

    fn new(turns: usize) -> Self {
        Self(Arc::new(Semaphore::new(turns)))
    }

    /// Waits until it is somebody's turn, after all who wait already. Their turn before has to be over.
    pub(super) fn wait(&self, turn: &Arc<Turn>) -> impl Future<Output = ()> + Send + 'static {
        let (turns, turn) = (Arc::clone(&self.0), Arc::clone(turn));
        async move {
            // Whoever else wants this thread gets it, be there turns or not.
            tokio::task::yield_now().await;
            // The semaphore is never closed, which is the only way for this to fail.
            if let Ok(permit) = turns.acquire_owned().await {
                turn.begin(permit);
            }
        }
    }
}

/// The turn of an attempt, when it has one.
#[derive(Debug, Default)]
pub(super) struct Turn(Mutex<Option<OwnedSemaphorePermit>>);

impl Turn {
    fn begin(&self, permit: OwnedSemaphorePermit) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
    }

    /// It is the next one's turn: the attempt waits for something.
    pub(super) fn end(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::sandbox::budget::Metered;

    type Wait = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

    fn poll(wait: &mut Wait) -> Poll<()> {
        wait.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn turns_are_taken_in_order_and_by_no_more_than_there_are() {
        let turns = Turns::new(1);
        let [first, second, third] = [(); 3].map(|()| Arc::<Turn>::default());
        turns.wait(&first).await;
        let mut next: Wait = Box::pin(turns.wait(&second));
        let mut last: Wait = Box::pin(turns.wait(&third));
        // Once to give way to others, and once to wait.
        for _ in 0..2 {
            assert!(poll(&mut next).is_pending() && poll(&mut last).is_pending());
        }
        first.end();
        assert!(poll(&mut last).is_pending(), "the last went before the next");
        assert!(poll(&mut next).is_ready());
        assert!(poll(&mut last).is_pending(), "two have the one turn");
        // An attempt that is dropped takes no turn with it.
        drop(second);
        assert!(poll(&mut last).is_ready());
    }

    #[tokio::test]
    async fn whoever_waits_for_an_answer_has_no_turn() {
        let turns = Turns::new(1);
        let [asks, other] = [(); 2].map(|()| Arc::<Turn>::default());
        let begun = turns.wait(&asks);
        let call = async move {
            begun.await;
            std::future::pending().await
        };
        let mut attempt: Wait = Box::pin(Metered::new(call, Arc::default(), asks));
        let mut next: Wait = Box::pin(turns.wait(&other));
        for _ in 0..2 {
            assert!(poll(&mut attempt).is_pending());
        }
        assert!(poll(&mut next).is_pending(), "it gives way to others first");
        assert!(poll(&mut next).is_ready());
    }
}
