use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;

use super::round::*;
use super::*;
use crate::dispatch::tests::{Host, host};
use crate::dispatch::{Dispatch, End, Step};
use crate::event::{Event, LifecycleAction};
use crate::lifecycle::{Answer, Lifecycle, LifecycleResult};
use crate::ports::PortErrorKind;
use crate::testing::{INSTANCE, guests, terminating};

/// Auto Scaling with one group, and a place that takes events.
#[derive(Default)]
struct Around {
    waiting: Vec<Waiting>,
    hooks: Vec<Hook>,
    taken: Mutex<Vec<Event>>,
    /// What taking is answered, in order; a success after that.
    answers: Mutex<VecDeque<PortError>>,
    /// Whether whoever gives dies before it is taken.
    deadly: AtomicBool,
    /// What is answered to whether some of it still waits; that none does when there is nothing.
    behind: Mutex<Option<Result<bool, PortError>>>,
}

#[async_trait]
impl Groups for Around {
    async fn waiting(&self) -> Result<Vec<Waiting>, PortError> {
        Ok(self.waiting.clone())
    }

    async fn hooks(&self, _: &GroupName) -> Result<Vec<Hook>, PortError> {
        Ok(self.hooks.clone())
    }
}

#[async_trait]
impl Adopt for Around {
    async fn adopt(&self, event: &Event) -> Result<(), PortError> {
        if self.deadly.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        if let Some(error) = self.answers.lock().unwrap().pop_front() {
            return Err(error);
        }
        self.taken.lock().unwrap().push(event.clone());
        Ok(())
    }

    async fn is_behind(&self) -> Result<bool, PortError> {
        self.behind.lock().unwrap().clone().unwrap_or(Ok(false))
    }
}

/// Auto Scaling, in which instances wait for these hooks alone; it notes which of them it is asked about.
#[derive(Default)]
struct Holding {
    hooks: Vec<&'static str>,
    asked: Mutex<Vec<String>>,
    /// How long it takes to answer.
    slow: Duration,
}

#[async_trait]
impl Lifecycle for Holding {
    async fn hook(&self, _: &LifecycleAction) -> Result<Option<HookTimes>, PortError> {
        Ok(None)
    }

    async fn heartbeat(&self, action: &LifecycleAction) -> Result<Answer, PortError> {
        self.asked.lock().unwrap().push(action.hook.to_string());
        tokio::time::sleep(self.slow).await;
        Ok(if self.hooks.contains(&action.hook.as_str()) { Answer::Accepted } else { Answer::Over })
    }

    async fn complete(&self, _: &LifecycleAction, _: LifecycleResult) -> Result<Answer, PortError> {
        Ok(Answer::Over)
    }
}

impl Holding {
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// The sweep of a host that is the same but for this.
fn otherwise(sweep: Sweep, around: &Arc<Around>, change: impl FnOnce(Dispatch) -> Dispatch) -> Sweep {
    let dispatch = Arc::try_unwrap(sweep.dispatch).ok().unwrap();
    Sweep::new(Arc::new(change(dispatch)), around.clone(), around.clone())
}

fn waiting(state: &str) -> Waiting {
    Waiting {
        group: GroupName::parse("web").unwrap(),
        instance: InstanceId::parse(INSTANCE).unwrap(),
        lifecycle_state: state.to_owned(),
    }
}

fn hook(name: &str, transition: Transition) -> Hook {
    let times = HookTimes { heartbeat_timeout: Duration::from_secs(300), global_timeout: Duration::from_secs(30_000) };
    Hook { name: HookName::parse(name).unwrap(), transition, times, metadata: None }
}

/// A host, whose sweep sees the instance in that state, with a hook each way and one of ECS.
fn sweep(guest: Vec<u8>, policy: &str, state: &str) -> (Sweep, Arc<Around>, Arc<Mutex<Vec<String>>>) {
    let Host { dispatch, recorder, .. } = host(Some(guest), policy);
    let hooks = vec![
        hook("drain", Transition::Terminating),
        hook("boot", Transition::Launching),
        hook("ecs-managed-draining-termination-hook", Transition::Terminating),
    ];
    let waiting = Some(waiting(state)).into_iter().filter(|waiting| waits(&waiting.lifecycle_state)).collect();
    let around = Arc::new(Around { waiting, hooks, ..Around::default() });
    let sweep = Sweep::new(Arc::new(dispatch), around.clone(), around.clone());
    (sweep, around, recorder.told.clone())
}

impl Around {
    fn taken(&self) -> Vec<Event> {
        std::mem::take(&mut self.taken.lock().unwrap())
    }
}

async fn minutes(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
}

#[tokio::test(start_paused = true)]
async fn an_instance_whose_event_never_came_is_adopted_once_and_brought_to_its_end() {
    let (sweep, around, told) = sweep(guests::done(), "", "Terminating:Wait");
    assert_eq!(sweep.round().await.unwrap(), Swept { waiting: 1, open: 0, adopted: 1, failed: 0 });
    let [event] = around.taken().try_into().unwrap();
    assert_eq!((event.work_item(), event.kind), (terminating().work_item(), terminating().kind));
    assert_eq!(event.lifecycle_action.as_ref().unwrap().token, None);
    assert_eq!(*told.lock().unwrap(), ["heartbeat"], "it was not asked whether the action waits");

    // As long as whoever took it has time, it is covered.
    minutes(9).await;
    assert_eq!(sweep.round().await.unwrap(), Swept { waiting: 1, open: 1, adopted: 0, failed: 0 });

    // The real event, come late, is the same work.
    let Ok(Step::Ended(End::Worked(_))) = sweep.dispatch.step(&event, None).await else { panic!("it did not end") };
    let late = sweep.dispatch.step(&terminating(), None).await;
    assert!(matches!(late, Ok(Step::Ended(End::Already(_)))), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_dead_message_is_adopted_and_what_is_under_way_is_not() {
    let (sweep, around, _) = sweep(guests::again(60, 3), "", "InService");
    let step = sweep.dispatch.step(&terminating(), None).await;
    assert!(matches!(step, Ok(Step::Later { .. })), "{step:?}");
    minutes(3).await;
    assert_eq!(sweep.round().await.unwrap().adopted, 0);
    minutes(2).await;
    assert_eq!(sweep.round().await.unwrap().adopted, 1);
    assert_eq!(around.taken(), [terminating()], "the token is kept");
    assert_eq!(sweep.round().await.unwrap().adopted, 0, "adopted a second time");
    // Nobody came: the one who took it has died too.
    minutes(14).await;
    assert_eq!(sweep.round().await.unwrap().adopted, 1);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_would_take_is_tried_again_soon() {
    let (sweep, around, _) = sweep(guests::done(), "", "Terminating:Wait");
    let refused = PortError::new(PortErrorKind::Unavailable, "no queue");
    around.answers.lock().unwrap().push_back(refused);
    assert_eq!(sweep.round().await.unwrap(), Swept { waiting: 1, open: 0, adopted: 0, failed: 1 });
    minutes(1).await;
    assert_eq!(sweep.round().await.unwrap().adopted, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_about_to_be_given_away_when_the_host_died_is_given_away_soon() {
    let (sweep, around, _) = sweep(guests::done(), "", "Terminating:Wait");
    around.deadly.store(true, Ordering::SeqCst);
    let died = tokio::time::timeout(Duration::from_secs(1), sweep.round()).await;
    assert!(died.is_err(), "it lived: {died:?}");
    around.deadly.store(false, Ordering::SeqCst);
    // Another host might be about it as well as dead.
    assert_eq!(sweep.round().await.unwrap().adopted, 0);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(sweep.round().await.unwrap().adopted, 1);
    minutes(9).await;
    assert_eq!(sweep.round().await.unwrap().adopted, 0, "adopted a second time");
}

#[tokio::test(start_paused = true)]
async fn what_its_door_has_not_come_for_is_kept_alive_meanwhile() {
    // The hook waits for five minutes, so that a heartbeat is due after two and a half.
    let (sweep, around, told) = sweep(guests::again(250, 3), "", "InService");
    sweep.dispatch.step(&terminating(), None).await.unwrap();
    minutes(2).await;
    sweep.round().await.unwrap();
    assert!(told.lock().unwrap().is_empty(), "before its time");
    minutes(1).await;
    sweep.round().await.unwrap();
    sweep.round().await.unwrap();
    assert_eq!(*told.lock().unwrap(), ["heartbeat"]);
    assert!(around.taken().is_empty(), "its door may still come");
    let open = sweep.dispatch.ledger.open(&InstanceId::parse(INSTANCE).unwrap()).await.unwrap();
    assert_eq!(open.items[0].heartbeat, Some(terminating().time + SignedDuration::from_secs(180)));
}

#[tokio::test(start_paused = true)]
async fn what_the_policy_left_to_the_hook_is_left() {
    let leave = "[handler.finish]\nmax-attempts = 1\non-failure = \"leave\"";
    let (sweep, around, told) = sweep(guests::error(), leave, "Terminating:Wait");
    sweep.dispatch.step(&terminating(), None).await.unwrap();
    minutes(4).await;
    assert_eq!(sweep.round().await.unwrap(), Swept { waiting: 1, ..Swept::default() });
    assert!(around.taken().is_empty() && told.lock().unwrap().is_empty());
    // Nobody sends a heartbeat after that: what waits for longer than the hook's five minutes is another action.
    minutes(2).await;
    assert_eq!(sweep.round().await.unwrap().adopted, 1);
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_over_is_not_adopted() {
    let (sweep, around, _) = sweep(guests::done(), "", "Terminating:Wait");
    let holding = Arc::new(Holding::default());
    let sweep = otherwise(sweep, &around, |dispatch| Dispatch { lifecycle: holding.clone(), ..dispatch });
    for asked in [1, 0, 1] {
        assert_eq!(sweep.round().await.unwrap(), Swept { waiting: 1, ..Swept::default() });
        assert_eq!(holding.asked().len(), asked, "it is asked again after ten minutes, and not before");
        minutes(6).await;
    }
    assert!(around.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn which_way_an_instance_goes_is_told_by_where_it_waits_and_what_holds_it_back() {
    for (state, hook, origin, destination) in [
        ("Pending:Wait", "boot", "EC2", "AutoScalingGroup"),
        ("Warmed:Pending:Wait", "boot", "EC2", "WarmPool"),
        ("Warmed:Pending:Wait", "drain", "AutoScalingGroup", "WarmPool"),
        ("Terminating:Wait", "drain", "AutoScalingGroup", "EC2"),
        ("Warmed:Terminating:Wait", "drain", "WarmPool", "EC2"),
    ] {
        let (sweep, around, _) = sweep(guests::done(), "", state);
        let holding = Arc::new(Holding { hooks: vec![hook], ..Holding::default() });
        let sweep = otherwise(sweep, &around, |dispatch| Dispatch { lifecycle: holding.clone(), ..dispatch });
        sweep.round().await.unwrap();
        let [event] = around.taken().try_into().unwrap();
        assert_eq!(event.lifecycle_action.unwrap().hook.as_str(), hook, "{state}");
        let detail = &event.envelope["detail"];
        assert_eq!((&detail["Origin"], &detail["Destination"]), (&origin.into(), &destination.into()), "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_hook_wants_to_be_told_with_its_actions_is_what_patterns_see() {
    let blue = "detail.NotificationMetadata = [\"blue\"]";
    for (metadata, adopted) in [(None, 0), (Some("green"), 0), (Some("blue"), 1)] {
        let Host { dispatch, .. } = host(Some(guests::done()), blue);
        let drain = Hook { metadata: metadata.map(str::to_owned), ..hook("drain", Transition::Terminating) };
        let around =
            Arc::new(Around { waiting: vec![waiting("Terminating:Wait")], hooks: vec![drain], ..Around::default() });
        let sweep = Sweep::new(Arc::new(dispatch), around.clone(), around.clone());
        assert_eq!(sweep.round().await.unwrap().adopted, adopted, "{metadata:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_item_that_no_handler_takes_any_more_is_brought_all_the_same() {
    let (sweep, around, _) = sweep(guests::again(60, 3), "", "InService");
    sweep.dispatch.step(&terminating(), None).await.unwrap();
    minutes(10).await;
    let policy = crate::testing::policy("detail.LifecycleHookName = [\"other\"]");
    let sweep = otherwise(sweep, &around, |dispatch| Dispatch { policy, ..dispatch });
    assert_eq!(sweep.round().await.unwrap(), Swept { open: 1, adopted: 1, ..Swept::default() });
    assert_eq!(around.taken(), [terminating()]);
    let open = sweep.dispatch.ledger.open(&InstanceId::parse(INSTANCE).unwrap()).await.unwrap();
    assert_eq!(open.items[0].handler, "under-test", "who is to end it is not forgotten");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_has_brought_to_its_end_in_time_is_kept_alive_no_longer() {
    let (sweep, around, told) = sweep(guests::again(250, 9), "[handler.finish]\ndeadline = \"20m\"", "InService");
    sweep.dispatch.step(&terminating(), None).await.unwrap();
    let heartbeats = || told.lock().unwrap().len();
    minutes(19).await;
    sweep.round().await.unwrap();
    assert_eq!(heartbeats(), 1);
    minutes(3).await;
    sweep.round().await.unwrap();
    assert_eq!(heartbeats(), 2, "whoever comes may be a little late");
    minutes(3).await;
    sweep.round().await.unwrap();
    assert_eq!(heartbeats(), 2, "nobody has come");
    assert!(!around.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn heartbeats_that_are_not_answered_hold_up_no_round() {
    let (sweep, around, _) = sweep(guests::again(250, 9), "", "InService");
    // Thirty-two instances, each with an action that needs a heartbeat by now.
    let mut event = terminating();
    for number in 0..32 {
        let instance = InstanceId::parse(&format!("i-{number:017x}")).unwrap();
        event.instance = Some(instance.clone());
        event.lifecycle_action.as_mut().unwrap().instance = instance;
        sweep.dispatch.step(&event, None).await.unwrap();
    }
    let holding = Arc::new(Holding { hooks: vec!["drain"], slow: Duration::from_secs(3600), ..Holding::default() });
    let sweep = otherwise(sweep, &around, |dispatch| Dispatch { lifecycle: holding.clone(), ..dispatch });
    minutes(8).await;
    let start = tokio::time::Instant::now();
    assert_eq!(sweep.round().await.unwrap(), Swept { open: 32, adopted: 32, ..Swept::default() });
    assert_eq!((start.elapsed().as_secs(), holding.asked().len()), (10, 32), "sixteen at a time, five seconds each");
}

#[tokio::test(start_paused = true)]
async fn an_action_of_which_nothing_is_heard_in_time_is_left_to_the_next_round() {
    let (sweep, around, _) = sweep(guests::done(), "", "Terminating:Wait");
    let holding = Arc::new(Holding { hooks: vec!["drain"], slow: Duration::from_secs(3600), ..Holding::default() });
    let sweep = otherwise(sweep, &around, |dispatch| Dispatch { lifecycle: holding.clone(), ..dispatch });
    let start = tokio::time::Instant::now();
    assert_eq!(sweep.round().await.unwrap(), Swept { waiting: 1, failed: 1, ..Swept::default() });
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_late_is_not_given_again_while_the_queue_is_behind_and_what_was_never_given_is() {
    let (sweep, around, _) = sweep(guests::again(60, 3), "", "Terminating:Wait");
    let mut notice = terminating();
    (notice.id, notice.lifecycle_action) = ("notice".to_owned(), None);
    sweep.dispatch.step(&notice, None).await.unwrap();
    minutes(5).await;
    *around.behind.lock().unwrap() = Some(Ok(true));
    assert_eq!(sweep.round().await.unwrap(), Swept { waiting: 1, open: 1, adopted: 1, failed: 0 });
    let [event] = around.taken().try_into().unwrap();
    assert_eq!(event.work_item(), terminating().work_item());
    // What cannot be told holds up nothing.
    *around.behind.lock().unwrap() = Some(Err(PortError::new(PortErrorKind::Denied, "no permission")));
    assert_eq!(sweep.round().await.unwrap().adopted, 1);
    assert_eq!(around.taken(), [notice]);
}

#[tokio::test(start_paused = true)]
async fn what_is_late_for_long_is_given_again_however_far_the_queue_is_behind() {
    let (sweep, around, _) = sweep(guests::again(60, 3), "", "InService");
    sweep.dispatch.step(&terminating(), None).await.unwrap();
    *around.behind.lock().unwrap() = Some(Ok(true));
    minutes(15).await;
    assert_eq!(sweep.round().await.unwrap().adopted, 0);
    minutes(2).await;
    assert_eq!(sweep.round().await.unwrap().adopted, 1);
    // But not again and again, which would only add to what it is behind with.
    minutes(55).await;
    assert_eq!(sweep.round().await.unwrap().adopted, 0);
    minutes(25).await;
    assert_eq!(sweep.round().await.unwrap().adopted, 1);
}

#[tokio::test(start_paused = true)]
async fn an_instance_with_no_room_for_more_is_counted_among_what_failed() {
    let (sweep, around, _) = sweep(guests::again(200, 3), "", "Terminating:Wait");
    for number in 0..16 {
        let mut other = terminating();
        other.lifecycle_action.as_mut().unwrap().hook = HookName::parse(&format!("hook-{number}")).unwrap();
        sweep.dispatch.step(&other, None).await.unwrap();
    }
    assert_eq!(sweep.round().await.unwrap(), Swept { waiting: 1, open: 16, adopted: 0, failed: 1 });
    assert!(around.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_ledger_has_is_read_once_a_round_and_not_asked_about() {
    let Host { dispatch, recorder, store } = host(Some(guests::again(200, 3)), "");
    dispatch.step(&terminating(), None).await.unwrap();
    let (waiting, hooks) = (vec![waiting("Terminating:Wait")], vec![hook("drain", Transition::Terminating)]);
    let around = Arc::new(Around { waiting, hooks, ..Around::default() });
    let sweep = Sweep::new(Arc::new(dispatch), around.clone(), around);
    // What is read a second time cannot be.
    store.unreadable.lock().unwrap().extend([false, true]);
    assert_eq!(sweep.round().await.unwrap(), Swept { waiting: 1, open: 1, ..Swept::default() });
    assert_eq!(*store.unreadable.lock().unwrap(), [true]);
    assert!(recorder.told.lock().unwrap().is_empty(), "Auto Scaling was asked");
}

#[tokio::test(start_paused = true)]
async fn when_nothing_is_taken_the_rest_is_left_to_a_later_round() {
    let (sweep, around, _) = sweep(guests::again(60, 9), "", "InService");
    for number in 0..40 {
        let mut event = terminating();
        let instance = InstanceId::parse(&format!("i-{number:017x}")).unwrap();
        event.lifecycle_action.as_mut().unwrap().instance = instance.clone();
        event.instance = Some(instance);
        sweep.dispatch.step(&event, None).await.unwrap();
    }
    minutes(10).await;
    let refused = PortError::new(PortErrorKind::Unavailable, "no answer");
    around.answers.lock().unwrap().extend(vec![refused; 40]);
    assert_eq!(sweep.round().await.unwrap(), Swept { waiting: 0, open: 40, adopted: 0, failed: 3 });
    around.answers.lock().unwrap().clear();
    minutes(1).await;
    assert_eq!(sweep.round().await.unwrap(), Swept { waiting: 0, open: 40, adopted: 40, failed: 0 });
}

#[tokio::test(start_paused = true)]
async fn finding_out_what_waits_has_an_end_when_auto_scaling_does_not_answer() {
    let (sweep, around, _) = sweep(guests::done(), "", "Terminating:Wait");
    let instance = |number| InstanceId::parse(&format!("i-{number:017x}")).unwrap();
    let waiting = (0..600).map(|number| Waiting { instance: instance(number), ..waiting("Terminating:Wait") });
    let around = Arc::new(Around { waiting: waiting.collect(), hooks: around.hooks.clone(), ..Around::default() });
    let holding = Arc::new(Holding { slow: Duration::from_secs(3_600), ..Holding::default() });
    let sweep = otherwise(sweep, &around, |dispatch| Dispatch { lifecycle: holding.clone(), ..dispatch });
    let began = tokio::time::Instant::now();
    assert_eq!(sweep.round().await.unwrap(), Swept { waiting: 600, open: 0, adopted: 0, failed: 600 });
    assert!(began.elapsed() <= Duration::from_secs(70), "{:?}", began.elapsed());
    assert!(holding.asked().len() > 100);
}
