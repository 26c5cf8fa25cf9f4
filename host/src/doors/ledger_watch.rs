//! Whether the ledger of an agent is to be had: told by what is done with it anyway, and tried now and then while that fails, so that
//! an agent without work notices when it is mended.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::vitals::Readiness;
use crate::clock::doubling;
use crate::dispatch::Dispatch;
use crate::ledger::Ledger;
use crate::ports::{PortError, PortErrorKind};

/// How soon a ledger is tried that is not to be had; the pause doubles with each time in vain, up to the longest. A probe that cannot be
/// removed stays.
const TRIED_AGAIN: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// What tries.
pub struct LedgerWatch {
    readiness: Arc<Readiness>,
}

impl LedgerWatch {
    /// Lets `readiness` follow what calls to `ledger` come to: it is ready from the first write on.
    pub fn over(ledger: Ledger, readiness: Readiness) -> (Ledger, Self) {
        let readiness = Arc::new(readiness);
        let told = Arc::clone(&readiness);
        let ledger = ledger.telling(move |answer| match answer {
            Ok(()) => told.ready(),
            Err(error) if is_of_one_object(error) => {}
            Err(error) => told.not_ready(error.to_string()),
        });
        (ledger, Self { readiness })
    }

    /// Tries again and again, for as long as it is polled.
    pub async fn run(self, dispatch: Arc<Dispatch>) {
        let mut in_vain = 1;
        loop {
            sleep(doubling(TRIED_AGAIN, in_vain, LONGEST_PAUSE)).await;
            if self.readiness.is_ready() {
                in_vain = 1;
                continue;
            }
            in_vain += 1;
            if let Err(error) = dispatch.ledger.check().await {
                self.readiness.not_ready(format!("{:#}", anyhow::Error::from(error)));
            }
        }
    }
}

/// Whether a failure says something of one object, and nothing of the store.
fn is_of_one_object(error: &PortError) -> bool {
    matches!(error.kind, PortErrorKind::Invalid | PortErrorKind::Conflict | PortErrorKind::Other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::tests::host;
    use crate::doors::vitals::Vitals;
    use crate::ledger::tests::scripted::{Fate, Scripted};
    use crate::testing::{VirtualClock, guests, terminating};

    #[tokio::test(start_paused = true)]
    async fn an_agent_is_not_ready_while_its_ledger_refuses_and_notices_by_itself_when_it_does_no_more() {
        let store = Arc::new(Scripted::default());
        let mut vitals = Vitals::default();
        let mut dispatch = host(Some(guests::done()), "").dispatch;
        let ledger = Ledger::new(store.clone(), Arc::new(VirtualClock::new()), dispatch.place.clone(), "this host");
        let (ledger, watch) = LedgerWatch::over(ledger, vitals.readiness("ledger"));
        dispatch.ledger = ledger;
        let dispatch = Arc::new(dispatch);
        assert_eq!(vitals.unready().len(), 1);
        dispatch.ledger.check().await.unwrap();
        assert!(vitals.unready().is_empty());

        // By an event, and by the first time it is tried again; that it can be read all the while changes nothing.
        store.next([Fate::Refused, Fate::Refused]);
        dispatch.step(&terminating(), None).await.unwrap_err();
        dispatch.ledger.all_open(None).await.unwrap();
        insta::assert_snapshot!(vitals.unready().join("\n"), @"ledger: s3:PutObject is not allowed");
        let trying = tokio::spawn(watch.run(Arc::clone(&dispatch)));
        sleep(TRIED_AGAIN + Duration::from_secs(1)).await;
        insta::assert_snapshot!(vitals.unready().join("\n"), @"ledger: the ledger in s3://bucket/ cannot be written: s3:PutObject is not allowed");
        sleep(TRIED_AGAIN * 2).await;
        assert!(vitals.unready().is_empty());
        trying.abort();
    }
}
