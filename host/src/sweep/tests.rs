use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;

use super::round::*;
use super::*;
use crate::dispatch::tests::{Host, host};
use crate::dispatch::{End, Step};
use crate::event::Event;
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
    Hook { name: HookName::parse(name).unwrap(), transition, times }
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
    let sweep = Sweep { dispatch: Arc::new(dispatch), groups: around.clone(), adopt: around.clone() };
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
    assert_eq!(sweep.round().await.unwrap(), Swept { waiting: 1, ..Swept::default() });
    assert!(around.taken().is_empty() && told.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_over_is_not_adopted() {
    let (sweep, around, _) = sweep(guests::done(), "", "Terminating:Wait");
    let over = crate::dispatch::tests::over();
    let dispatch = Arc::try_unwrap(sweep.dispatch).ok().unwrap();
    let sweep = Sweep { dispatch: Arc::new(crate::dispatch::Dispatch { lifecycle: over, ..dispatch }), ..sweep };
    assert_eq!(sweep.round().await.unwrap(), Swept { waiting: 1, ..Swept::default() });
    assert!(around.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_instance_on_its_way_in_is_told_from_one_on_its_way_out() {
    for (state, hook, destination) in [
        ("Pending:Wait", "boot", "AutoScalingGroup"),
        ("Warmed:Pending:Wait", "boot", "WarmPool"),
        ("Terminating:Wait", "drain", "EC2"),
        ("Warmed:Terminating:Wait", "drain", "EC2"),
    ] {
        let (sweep, around, _) = sweep(guests::done(), "", state);
        sweep.round().await.unwrap();
        let [event] = around.taken().try_into().unwrap();
        assert_eq!(event.lifecycle_action.unwrap().hook.as_str(), hook, "{state}");
        assert_eq!(event.envelope["detail"]["Destination"], destination, "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_item_that_no_handler_takes_any_more_is_named() {
    let (sweep, around, _) = sweep(guests::again(60, 3), "", "InService");
    sweep.dispatch.step(&terminating(), None).await.unwrap();
    minutes(10).await;
    let dispatch = Arc::try_unwrap(sweep.dispatch).ok().unwrap();
    let policy = crate::testing::policy("detail.LifecycleHookName = [\"other\"]");
    let sweep = Sweep { dispatch: Arc::new(crate::dispatch::Dispatch { policy, ..dispatch }), ..sweep };
    assert_eq!(sweep.round().await.unwrap(), Swept { open: 1, failed: 1, ..Swept::default() });
    assert!(around.taken().is_empty());
}
