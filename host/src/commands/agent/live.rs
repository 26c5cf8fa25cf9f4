//! The agent at work: its doors, what they share, and its end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Doors;
use crate::assemble;
use crate::aws::Aws;
use crate::aws::imds::InstanceMetadata;
use crate::dispatch::Dispatch;
use crate::doors::in_process::InProcess;
use crate::doors::ledger_watch::LedgerWatch;
use crate::doors::queue::{Inbox, Poller};
use crate::doors::sweeper::{Sweeper, Tidier};
use crate::doors::vitals::Vitals;
use crate::doors::{health, imds};
use crate::policy::{ImdsPolicy, Policy};
use crate::sweep::{Adopt, Sweep};

/// What is kept of the time for shutting down, at most, for attempts that are cut short to be written down, and their messages to be
/// handed back.
const TO_GIVE_BACK: Duration = Duration::from_secs(4);

/// What the doors have in common.
struct Agent {
    aws: Aws,
    dispatch: Arc<Dispatch>,
    in_process: Arc<InProcess>,
    vitals: Vitals,
    /// Becomes true when it is time to end.
    stopped: watch::Receiver<bool>,
    doors: JoinSet<anyhow::Result<()>>,
}

/// Serves until the process is asked to end. An error only if it cannot begin.
pub(super) async fn serve(policy: Policy, wanted: Doors) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let mut asked = Asked::listen().context("cannot listen for signals")?;
    // First, so that a second agent finds out before it takes anything.
    let listener = health::listen(policy.agent.listen).await?;
    let agent = tokio::select! {
        agent = Agent::open(policy, wanted, stopped) => agent?,
        signal = asked.wait() => {
            tracing::info!(signal, "asked to end before anything was taken");
            return Ok(());
        }
    };
    let Agent { dispatch, in_process, mut vitals, mut doors, .. } = agent;
    let ready = vitals.readiness("agent");
    ready.ready();
    let vitals = Arc::new(vitals);
    let answers = tokio::spawn(health::serve(listener, Arc::clone(&vitals)));

    let mut served = Ok(());
    let (mut serving, mut ends) = (false, None);
    loop {
        let over = at(ends);
        let mut begin_to_end = || {
            ready.not_ready("it is asked to end");
            ends = ends.or_else(|| Some(shut_down(&stop, &dispatch)));
        };
        tokio::select! {
            signal = asked.wait() => {
                if *stop.borrow() {
                    tracing::warn!(signal, "asked to end once more: at once");
                    ends = Some(Instant::now());
                    break;
                }
                tracing::info!(signal, "asked to end");
                begin_to_end();
            }
            () = vitals.ready(), if !serving && !*stop.borrow() => {
                serving = true;
                say_serving(&dispatch);
            }
            () = over => break,
            ended = doors.join_next() => match ended {
                None => break,
                Some(Ok(Ok(()))) => {}
                // One door that cannot serve ends the agent: half of it would look like the whole.
                Some(Ok(Err(error))) => {
                    served = served.and(Err(error));
                    begin_to_end();
                }
                Some(Err(panic)) => {
                    served = served.and(Err(panic).context("a fault of this host"));
                    begin_to_end();
                }
            },
        }
    }
    // A door that waits for an answer is left behind: its messages come again.
    if timeout_at(ends.unwrap_or_else(Instant::now), in_process.ended()).await.is_err() || !doors.is_empty() {
        tracing::warn!("work was still under way at the end: the ledger tells the next host");
    }
    answers.abort();
    tracing::info!("stopped");
    served
}

/// Ends then; never, if there is no time for it yet.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Says what is served, once: not before every door has found what it takes events from.
fn say_serving(dispatch: &Dispatch) {
    let (place, listen) = (&dispatch.place, dispatch.policy.agent.listen);
    let (policy, handlers) = (&dispatch.policy.digest, dispatch.policy.handlers.len());
    tracing::info!(policy, handlers, account = %place.account, region = %place.region, %listen, "serving");
}

/// Lets the doors take nothing more, and no further attempt begin; cuts those short that last longer than the policy allows. Returns
/// when the process has to be at its end.
fn shut_down(stop: &watch::Sender<bool>, dispatch: &Dispatch) -> Instant {
    stop.send_replace(true);
    dispatch.closing.begin();
    let (closing, shutdown) = (dispatch.closing.clone(), dispatch.policy.agent.shutdown);
    let ends = Instant::now() + shutdown;
    tokio::spawn(async move {
        sleep_until(ends - TO_GIVE_BACK.min(shutdown / 2)).await;
        closing.cut();
    });
    ends
}

impl Agent {
    /// Looks whether there is what an agent needs, and opens its doors.
    async fn open(policy: Policy, wanted: Doors, stopped: watch::Receiver<bool>) -> anyhow::Result<Self> {
        let aws = Aws::connect().await?;
        let mut vitals = Vitals::default();
        let dispatch = assemble::live(&aws, policy, None).await?;
        let (ledger, watch) = LedgerWatch::over(dispatch.ledger, vitals.readiness("ledger"));
        let dispatch = Arc::new(Dispatch { ledger, ..dispatch });
        assemble::has_ledger(&dispatch).await?;
        assemble::has_modules(&dispatch).await?;
        let in_process = Arc::new(InProcess::new(Arc::clone(&dispatch)));
        let mut agent = Self { aws, dispatch, in_process, vitals, stopped, doors: JoinSet::new() };
        if wanted.imds {
            agent.open_imds().await?;
        }
        if wanted.queue {
            agent.open_queue();
        }
        agent.until_stopped(watch.run(Arc::clone(&agent.dispatch)));
        agent.open_sweep();
        agent.keep_tidy();
        Ok(agent)
    }

    /// The door on the queue of the policy.
    fn open_queue(&mut self) {
        let Some(queue) = self.dispatch.policy.queue.as_ref() else { return };
        let dead_letters = queue.dead_letter.as_deref().map(|url| self.aws.dead_letters(url));
        let inbox = Inbox::new(self.aws.queue(&queue.url), dead_letters, self.dispatch.clone());
        let poller = Poller {
            inbox: Arc::new(inbox),
            region: self.dispatch.place.region.clone(),
            concurrency: usize::try_from(queue.concurrency).unwrap_or(usize::MAX),
            shutdown: self.dispatch.policy.agent.shutdown,
            pulse: self.vitals.pulse("queue", Poller::TURNS_WITHIN),
            readiness: self.vitals.readiness("queue"),
        };
        let stopped = told(self.stopped.clone());
        self.doors.spawn(async { Ok(poller.serve(stopped).await?) });
    }

    /// The door on what the instance is told, and what was open of it when the last process ended.
    async fn open_imds(&mut self) -> anyhow::Result<()> {
        let Some(ImdsPolicy { poll }) = self.dispatch.policy.imds.clone() else { return Ok(()) };
        let metadata = Arc::new(InstanceMetadata::of_environment()?);
        let identity = imds::Metadata::identity(&*metadata).await.context("cannot tell which instance this is")?;
        let place = &self.dispatch.place;
        ensure!(
            (&identity.account, &identity.region) == (&place.account, &place.region),
            "this instance is of account {} in {}, and our credentials are of account {} in {}: give the agent those of the instance's \
             own profile",
            identity.account,
            identity.region,
            place.account,
            place.region
        );
        let (in_process, instance) = (self.in_process.clone(), identity.instance.clone());
        let stopped = told(self.stopped.clone());
        self.doors.spawn(async move {
            tokio::select! {
                () = in_process.take_up(&instance) => {}
                () = stopped => {}
            }
            Ok(())
        });
        let poller = imds::Poller {
            metadata,
            membership: self.aws.membership(),
            sink: self.in_process.clone(),
            clock: Arc::clone(&self.dispatch.ports.clock),
            identity,
            every: poll,
            pulse: self.vitals.pulse("imds", imds::Poller::turns_within(poll)),
            readiness: self.vitals.readiness("imds"),
        };
        // Work on the instance itself may last for as long as the instance: what the end cuts off goes on after the next start.
        let stopped = told(self.stopped.clone());
        self.doors.spawn(async {
            poller.run(stopped).await;
            Ok(())
        });
        Ok(())
    }

    /// The sweep of the policy. What it finds goes to the queue, or is brought to its end here.
    fn open_sweep(&mut self) {
        let policy = &self.dispatch.policy;
        let Some(sweep) = policy.sweep.as_ref() else { return };
        let adopt: Arc<dyn Adopt> = match &policy.queue {
            Some(queue) => self.aws.adopts(&queue.url),
            None => self.in_process.clone(),
        };
        let sweeper = Sweeper {
            sweep: Sweep::new(self.dispatch.clone(), self.aws.groups(), adopt),
            every: sweep.every,
            pulse: self.vitals.pulse("sweep", Sweeper::turns_within(sweep.every)),
            readiness: self.vitals.readiness("sweep"),
        };
        self.until_stopped(sweeper.run());
    }

    /// What has ended long ago is let go of, for as long as the policy says.
    fn keep_tidy(&mut self) {
        let Some(ledger) = self.dispatch.policy.ledger.as_ref() else { return };
        let tidier = Tidier {
            dispatch: self.dispatch.clone(),
            keep: ledger.keep,
            pulse: self.vitals.pulse("tidy", Tidier::TURNS_WITHIN),
        };
        self.until_stopped(tidier.run());
    }

    /// A timer that has nothing to bring to its end.
    fn until_stopped(&mut self, timer: impl Future<Output = ()> + Send + 'static) {
        let stopped = told(self.stopped.clone());
        self.doors.spawn(async {
            tokio::select! {
                () = timer => {}
                () = stopped => {}
            }
            Ok(())
        });
    }
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
    async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
