//! The agent at work.

use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Doors;
use crate::assemble;
use crate::aws::Aws;
use crate::dispatch::Dispatch;
use crate::doors::queue::{Inbox, Poller};
use crate::doors::vitals::Vitals;
use crate::policy::Policy;
use crate::ports::PortError;

/// Serves until the process is asked to end. An error only if it cannot begin.
pub(super) async fn serve(policy: Policy, wanted: Doors) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let mut asked = Asked::listen().context("cannot listen for signals")?;
    let aws = Aws::connect().await?;
    let dispatch = Arc::new(assemble::live(&aws, policy, None)?);

    let mut vitals = Vitals::default();
    let mut doors: JoinSet<Result<(), PortError>> = JoinSet::new();
    if wanted.queue
        && let Some(poller) = poller(&aws, &dispatch, &mut vitals)
    {
        doors.spawn(poller.serve(told(stopped.clone())));
    }
    if wanted.imds {
        // The door of [imds] goes here, beside that of the queue: with `told(stopped.clone())`, and a pulse and a readiness of its own.
        anyhow::ensure!(
            wanted.queue,
            "this version does not watch the notices of the instance: take events from [queue]"
        );
        tracing::warn!("[imds] is not used by this version: the notices of the instance are not watched");
    }
    // What answers at `agent.listen` goes here: all vitals are known by now.
    let place = &dispatch.place;
    let (policy, handlers) = (&dispatch.policy.digest, dispatch.policy.handlers.len());
    tracing::info!(policy, handlers, account = %place.account, region = %place.region, "serving");

    let mut served = Ok(());
    loop {
        tokio::select! {
            signal = asked.to_end(), if !*stop.borrow() => {
                tracing::info!(signal, "asked to end");
                stop.send_replace(true);
            }
            ended = doors.join_next() => match ended {
                None => return served,
                Some(Ok(Ok(()))) => {}
                // One door that cannot serve ends the agent: half of it would look like the whole.
                Some(Ok(Err(error))) => {
                    served = served.and(Err(error.into()));
                    stop.send_replace(true);
                }
                Some(Err(panic)) => {
                    served = served.and(Err(panic).context("a fault of this host"));
                    stop.send_replace(true);
                }
            },
        }
    }
}

/// The door on the queue of the policy.
fn poller(aws: &Aws, dispatch: &Arc<Dispatch>, vitals: &mut Vitals) -> Option<Poller> {
    let (queue, agent) = (dispatch.policy.queue.as_ref()?, &dispatch.policy.agent);
    let dead_letters = queue.dead_letter.as_deref().map(|url| aws.dead_letters(url));
    let inbox = Inbox::new(aws.queue(&queue.url), dead_letters, dispatch.clone());
    Some(Poller {
        inbox: Arc::new(inbox),
        region: dispatch.place.region.clone(),
        concurrency: usize::try_from(queue.concurrency).unwrap_or(usize::MAX),
        shutdown: agent.shutdown,
        pulse: vitals.pulse("queue", Poller::TURNS_WITHIN),
        readiness: vitals.readiness("queue"),
    })
}

/// Ends when the doors are to stop.
async fn told(mut stopped: watch::Receiver<bool>) {
    // It cannot be dropped before it says so; and if it were, there would be nobody left to serve for.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// The signals by which a process is asked to end.
struct Asked {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Asked {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the signal, when one comes.
    async fn to_end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
