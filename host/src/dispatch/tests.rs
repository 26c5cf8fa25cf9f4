mod changed;
mod finish;
mod given_up;
mod judge;
mod leases;
mod model;
mod people;
mod waits;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::event::LifecycleAction;
use crate::ledger::tests::scripted::Scripted;
use crate::lifecycle::{Answer, Completion, HookTimes, LifecycleResult};
use crate::modules::{Fetched, Source, SourceError, SourceErrorKind, Upload, Which};
use crate::outcome::Decision;
use crate::ports::{AccountId, InstanceId, PortError, PortErrorKind, Region};
use crate::sandbox::{Capacity, Pace};
use crate::testing::{INSTANCE, guests, lifecycle, policy, silent, terminating};

/// Auto Scaling, with a hook of five minutes, that notes what it is told.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) told: Arc<Mutex<Vec<String>>>,
    /// How many heartbeats fail before one is accepted.
    deaf: AtomicUsize,
    /// Whether heartbeats are answered with that there is nothing to keep alive.
    over: AtomicBool,
    /// Whether the hook's times cannot be read.
    unknown: AtomicBool,
    /// Whether nobody answers when they are asked for.
    silent: AtomicBool,
    /// Whether whoever completes an action dies before the answer.
    deadly: AtomicBool,
    /// How many seconds completing waits for its turn.
    turn: AtomicU64,
    /// What completing is answered, in order; accepted after that.
    pub(crate) answers: Mutex<Vec<Result<Answer, PortError>>>,
}

#[async_trait]
impl Lifecycle for Recorder {
    async fn hook(&self, _: &LifecycleAction) -> Result<Option<HookTimes>, PortError> {
        if self.silent.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        if self.unknown.load(Ordering::SeqCst) {
            return Err(PortError::new(PortErrorKind::Denied, "no permission"));
        }
        Ok(Some(HookTimes { heartbeat_timeout: Duration::from_secs(300), global_timeout: Duration::from_secs(30_000) }))
    }

    async fn heartbeat(&self, _: &LifecycleAction) -> Result<Answer, PortError> {
        self.told.lock().unwrap().push("heartbeat".into());
        if self.deaf.load(Ordering::SeqCst) > 0 {
            self.deaf.fetch_sub(1, Ordering::SeqCst);
            return Err(PortError::new(PortErrorKind::Unavailable, "no answer"));
        }
        Ok(if self.over.load(Ordering::SeqCst) { Answer::Over } else { Answer::Accepted })
    }

    async fn complete(&self, action: &LifecycleAction, result: LifecycleResult) -> Result<Answer, PortError> {
        tokio::time::sleep(Duration::from_secs(self.turn.load(Ordering::SeqCst))).await;
        self.told.lock().unwrap().push(format!("{} {}", action.instance, result.as_str()));
        if self.deadly.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        let mut answers = self.answers.lock().unwrap();
        if answers.is_empty() { Ok(Answer::Accepted) } else { answers.remove(0) }
    }
}

/// Auto Scaling that refuses whatever it is told.
pub(crate) fn deaf() -> Arc<dyn Lifecycle> {
    let recorder = Recorder::default();
    let refused = || Err(PortError::new(PortErrorKind::Denied, "no permission"));
    recorder.answers.lock().unwrap().extend([refused(), refused()]);
    Arc::new(recorder)
}

/// A source with one module, or none.
struct Only(Option<Vec<u8>>);

#[async_trait]
impl Source for Only {
    async fn fetch(&self, _: &str, which: Which<'_>, _: u64) -> Result<Fetched, SourceError> {
        match &self.0 {
            Some(_) if matches!(which, Which::Newest(Some(_))) => Ok(Fetched::Unchanged),
            Some(bytes) => {
                Ok(Fetched::New(Upload { bytes: bytes.clone(), signature: None, tag: "1".into(), version_id: None }))
            }
            None => Err(SourceError { kind: SourceErrorKind::NotFound, message: "there is no such object".into() }),
        }
    }

    async fn earlier(&self, _: &str) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    fn locate(&self, module: &str) -> String {
        format!("s3://bucket/{module}")
    }
}

/// A host with one guest behind one handler, and what its Auto Scaling is told.
pub(crate) struct Host {
    pub(crate) dispatch: Dispatch,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) store: Arc<Scripted>,
}

pub(crate) fn host(guest: Option<Vec<u8>>, sections: &str) -> Host {
    over_it(guest, sections, silent(), Arc::default(), Arc::default())
}

/// A host over this ledger and this Auto Scaling.
fn over_it(
    guest: Option<Vec<u8>>,
    sections: &str,
    ports: Ports,
    recorder: Arc<Recorder>,
    store: Arc<Scripted>,
) -> Host {
    let policy = policy(sections);
    let sandbox = Arc::new(Sandbox::new(Capacity { attempts: 2, memory: 64 << 20 }, Pace::Virtual).expect("a sandbox"));
    let clock = Arc::clone(&ports.clock);
    let modules = Modules::of_this_machine(Arc::new(Only(guest)), Arc::clone(&sandbox), clock, &policy.modules);
    let place = Place {
        account: AccountId::parse("123456789012").expect("an account"),
        region: Region::parse("eu-central-1").expect("a region"),
    };
    let clock = Arc::clone(&ports.clock);
    let ledger = Ledger::new(store.clone(), clock, place.clone(), "this host");
    let dispatch = Dispatch {
        policy,
        modules,
        sandbox,
        ports,
        lifecycle: recorder.clone(),
        place,
        ledger,
        hooks: Hooks::default(),
        jitter: Jitter::None,
        closing: Closing::default(),
        recordings: None,
    };
    Host { dispatch, recorder, store }
}

impl Host {
    /// The next process after this one, with this plugin.
    fn restarted(&self, guest: Vec<u8>, sections: &str) -> Self {
        over_it(Some(guest), sections, self.dispatch.ports.clone(), self.recorder.clone(), self.store.clone())
    }

    /// A step in which the host is killed, and the time until its lease can be taken over.
    async fn killed_during(&self, event: &Event) {
        let step = tokio::time::timeout(Duration::from_secs(2), self.dispatch.step(event, None)).await;
        assert!(step.is_err(), "it lived: {step:?}");
        tokio::time::advance(Duration::from_secs(28)).await;
    }

    async fn open(&self) -> Vec<Item> {
        self.dispatch.ledger.open(&InstanceId::parse(INSTANCE).unwrap()).await.unwrap().items
    }

    async fn handle(&self, event: Event) -> Result<End, DispatchError> {
        self.dispatch.handle(event, None).await
    }

    async fn work(&self, event: Event) -> Worked {
        match self.handle(event).await {
            Ok(End::Worked(worked)) => worked,
            other => panic!("it was not worked on: {other:?}"),
        }
    }

    fn told(&self) -> Vec<String> {
        self.recorder.told.lock().unwrap().clone()
    }
}

fn launching() -> Event {
    lifecycle("EC2 Instance-launch Lifecycle Action", "autoscaling:EC2_INSTANCE_LAUNCHING", "drain")
}

#[tokio::test(start_paused = true)]
async fn done_completes_with_continue_and_abandon_with_abandon() {
    for (guest, completion, word) in
        [(guests::done(), Completion::Continue, "CONTINUE"), (guests::abandon(), Completion::Abandon, "ABANDON")]
    {
        let host = host(Some(guest), "");
        let worked = host.work(terminating()).await;
        assert_eq!((worked.attempts, worked.lifecycle), (1, Some(completion)));
        assert_eq!(host.told(), [format!("{INSTANCE} {word}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn again_comes_back_when_asked_with_heartbeats_between() {
    let host = host(Some(guests::again(200, 4)), "");
    let began = Instant::now();
    let worked = host.work(terminating()).await;
    assert_eq!((worked.decision, worked.attempts), (Decision::Done, 4));
    assert_eq!(began.elapsed(), Duration::from_secs(600));
    // Every 150 s, half of the hook's timeout: at 150, 300, 450 and, before the last attempt ended, 600.
    let heartbeats = host.told().iter().filter(|told| *told == "heartbeat").count();
    assert!((3..=4).contains(&heartbeats), "{heartbeats} heartbeats");
    assert_eq!(host.told().last().unwrap(), &format!("{INSTANCE} CONTINUE"));
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_end_as_the_policy_says() {
    for (on_failure, completion, told) in [
        ("", Completion::Abandon, vec![format!("{INSTANCE} ABANDON")]),
        ("on-failure = \"continue\"", Completion::Continue, vec![format!("{INSTANCE} CONTINUE")]),
        ("on-failure = \"leave\"", Completion::Left, vec![]),
    ] {
        let host = host(Some(guests::error()), &format!("[handler.finish]\nmax-attempts = 3\n{on_failure}"));
        let worked = host.work(terminating()).await;
        let why = "3 attempts in a row failed; the last: the handler returned an error: broken".to_owned();
        assert_eq!((worked.decision, worked.attempts), (Decision::GaveUp { why }, 3));
        assert_eq!((worked.lifecycle, host.told()), (Some(completion), told));
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_plugin_does_not_abandon_launching_instances() {
    let host = host(Some(guests::error()), "");
    assert_eq!(host.work(launching()).await.lifecycle, Some(Completion::Left));
    assert!(host.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_missing_module_is_a_failed_attempt_that_says_where_it_should_be() {
    let host = host(None, "[handler.finish]\nmax-attempts = 2");
    let Decision::GaveUp { why } = host.work(terminating()).await.decision else { panic!("it did not give up") };
    assert_eq!(why, "2 attempts in a row failed; the last: no module to run: there is no such object");
}

#[tokio::test(start_paused = true)]
async fn past_the_deadline_one_last_attempt_is_made() {
    let host = host(Some(guests::again(60, 100)), "[handler.finish]\ndeadline = \"150s\"");
    let began = Instant::now();
    let worked = host.work(terminating()).await;
    // At 0, 60, 120 and, the wait being shortened, 150 seconds.
    assert_eq!((worked.attempts, began.elapsed()), (4, Duration::from_secs(150)));
    let Decision::GaveUp { why } = worked.decision else { panic!("it did not give up") };
    assert_eq!(why, "the deadline, 2026-01-15T03:02:30Z, has passed: waiting");
    assert_eq!(host.told().last().unwrap(), &format!("{INSTANCE} ABANDON"));
}

#[tokio::test(start_paused = true)]
async fn when_the_door_closes_first_the_event_fails_and_nothing_is_completed() {
    let host = host(Some(guests::again(60, 100)), "");
    let closes = Instant::now() + Duration::from_secs(70);
    let error = host.dispatch.handle(terminating(), Some(closes)).await.unwrap_err().to_string();
    assert!(
        error.contains("waiting; the next attempt is due in 60s, and the time of this invocation is over"),
        "{error}"
    );
    // The action has to live until the event is delivered again.
    assert_eq!(host.told(), ["heartbeat"]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_the_door_cuts_short_is_not_the_handlers_failure() {
    // A call that never returns, under a wall budget of a minute; the door closes after thirty seconds.
    let sections =
        "[handler.finish]\nmax-attempts = 1\n[handler.grants]\necs = { clusters = [\"c\"], allow = [\"drain\"] }";
    let host = host(Some(guests::drain_of(INSTANCE)), sections);
    let began = Instant::now();
    let error = host.dispatch.handle(terminating(), Some(began + Duration::from_secs(30))).await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_secs(20));
    assert!(
        error.to_string().contains("attempt 1 was cut short: wall budget of 20s spent during ecs.drain"),
        "{error}"
    );
    assert_eq!(host.told(), ["heartbeat"]);

    let error = host.dispatch.handle(terminating(), Some(Instant::now() + Duration::from_secs(12))).await.unwrap_err();
    assert!(error.to_string().contains("no time is left for an attempt"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn before_the_deadline_of_aws_there_is_time_to_complete() {
    let host = host(Some(guests::again(30, 100)), "");
    let mut event = terminating();
    event.deadline = Some(event.time + SignedDuration::from_secs(120));
    let began = Instant::now();
    let Decision::GaveUp { why } = host.work(event).await.decision else { panic!("it did not give up") };
    assert_eq!(began.elapsed(), Duration::from_secs(110));
    assert_eq!(why, "the deadline, 2026-01-15T03:02:00Z, has passed: waiting");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_late_is_kept_alive_at_once_and_a_failed_heartbeat_is_followed_soon() {
    let host = host(Some(guests::again(10, 9)), "");
    host.recorder.deaf.store(1, Ordering::SeqCst);
    let mut event = terminating();
    // Older than half of the hook's five minutes.
    event.time -= SignedDuration::from_secs(200);
    host.work(event).await;
    // One at once, which fails, and one a quarter of 150 s later, within the 80 s that the work takes.
    assert_eq!(host.told().iter().filter(|told| *told == "heartbeat").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_completion_whose_answer_was_lost_is_not_late() {
    let host = host(Some(guests::done()), "");
    let lost = Err(PortError::new(PortErrorKind::Timeout, "no answer"));
    host.recorder.answers.lock().unwrap().extend([lost, Ok(Answer::Over)]);
    assert_eq!(host.work(terminating()).await.lifecycle, Some(Completion::Continue));
}

#[tokio::test(start_paused = true)]
async fn an_event_from_elsewhere_is_refused_and_nothing_is_called() {
    let host = host(Some(guests::done()), "");
    for (account, region) in [("210987654321", "eu-central-1"), ("123456789012", "us-east-1")] {
        let mut event = terminating();
        event.account = AccountId::parse(account).unwrap();
        event.region = Region::parse(region).unwrap();
        let error = host.handle(event).await.unwrap_err().to_string();
        assert!(error.contains(&format!("is of account {account} in {region}")), "{error}");
        assert!(error.contains("this host serves account 123456789012 in eu-central-1"), "{error}");
    }
    assert!(host.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_no_handler_takes_is_acknowledged() {
    let host = host(Some(guests::done()), "");
    let mut event = terminating();
    event.envelope["source"] = "aws.ec2".into();
    assert_eq!(host.handle(event).await, Ok(End::NoHandler));
    assert!(host.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_hooks_of_ecs_are_left_alone_unless_named() {
    let hook = "ecs-managed-draining-termination-hook";
    let event = || lifecycle("EC2 Instance-terminate Lifecycle Action", "autoscaling:EC2_INSTANCE_TERMINATING", hook);
    let unnamed = host(Some(guests::done()), "");
    assert_eq!(unnamed.handle(event()).await, Ok(End::LeftAlone { hook: hook.into() }));
    assert!(unnamed.told().is_empty());
    let named = host(Some(guests::done()), &format!("detail.LifecycleHookName = [\"{hook}\"]"));
    assert_eq!(named.work(event()).await.lifecycle, Some(Completion::Continue));
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_over_already_is_late() {
    let host = host(Some(guests::done()), "");
    host.recorder.answers.lock().unwrap().push(Ok(Answer::Over));
    assert_eq!(host.work(terminating()).await.lifecycle, Some(Completion::Late));
}

#[tokio::test(start_paused = true)]
async fn completing_is_tried_again_and_what_cannot_be_completed_is_an_error() {
    let throttled = || Err(PortError::new(PortErrorKind::Throttled, "slow down"));
    let host = host(Some(guests::done()), "");
    host.recorder.answers.lock().unwrap().extend([throttled(), throttled()]);
    assert_eq!(host.work(terminating()).await.lifecycle, Some(Completion::Continue));

    let host = self::host(Some(guests::done()), "");
    host.recorder.answers.lock().unwrap().push(Err(PortError::new(PortErrorKind::Denied, "no permission")));
    let error = host.handle(terminating()).await.unwrap_err().to_string();
    assert!(error.contains("could not be completed with CONTINUE: no permission"), "{error}");
}
