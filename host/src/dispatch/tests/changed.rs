//! What was taken under another policy, and what is noticed only after it has ended.

use super::*;

/// A pattern of the only handler that takes no termination.
const TAKES_OTHERS: &str = "detail-type = [\"EC2 Instance-launch Lifecycle Action\"]";

impl Host {
    /// The next process, with a policy in which the handler has another name, and takes other events.
    fn renamed(&self, guest: Vec<u8>) -> Self {
        let mut next = self.restarted(guest, "");
        let text = format!(
            "[modules]\nsource = \"dir:unused\"\nallow-unsigned = true\n[[handler]]\nname = \"another\"\n\
             module = \"module.wasm\"\n[handler.event]\nsource = [\"aws.autoscaling\"]\n{TAKES_OTHERS}\n"
        );
        next.dispatch.policy = Policy::parse("hostler.toml", &text).unwrap();
        next
    }

    async fn ends(&self, event: &Event) -> Worked {
        match self.dispatch.step(event, None).await {
            Ok(Step::Ended(End::Worked(worked))) => worked,
            other => panic!("it did not end: {other:?}"),
        }
    }
}

/// A host with an event that waits for its second attempt.
async fn with_work_under_way() -> Host {
    let host = host(Some(guests::again(60, 9)), "");
    assert!(matches!(host.dispatch.step(&terminating(), None).await, Ok(Step::Later { .. })));
    tokio::time::advance(Duration::from_secs(61)).await;
    host
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_keeps_its_handler_when_its_pattern_changes() {
    let host = with_work_under_way().await;
    let next = host.restarted(guests::done(), TAKES_OTHERS);
    let worked = next.ends(&terminating()).await;
    assert_eq!((worked.handler.as_str(), worked.attempts), ("under-test", 2));
    assert_eq!(next.told(), [format!("{INSTANCE} CONTINUE")]);
    // And what it does not take now is no more taken than before.
    assert_eq!(
        next.handle(Event { id: "other".into(), lifecycle_action: None, ..terminating() }).await,
        Ok(End::NoHandler)
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_by_a_handler_that_is_gone_is_given_up_as_policies_do_by_default() {
    let host = with_work_under_way().await;
    let worked = host.renamed(guests::done()).ends(&terminating()).await;
    let why = "the policy has no handler \"under-test\" any more, and none that takes the event".to_owned();
    assert_eq!((worked.decision, worked.attempts), (Decision::GaveUp { why }, 1));
    assert_eq!(worked.lifecycle, Some(Completion::Abandon));
}

#[tokio::test(start_paused = true)]
async fn what_a_person_has_ordered_is_carried_out_whatever_became_of_the_handler() {
    let host = with_work_under_way().await;
    let (instance, item) = (InstanceId::parse(INSTANCE).unwrap(), host.open().await.remove(0));
    host.dispatch.ledger.order(&instance, &item, LifecycleResult::Continue, "me").await.unwrap();
    let worked = host.renamed(guests::done()).ends(&terminating()).await;
    assert_eq!((worked.decision.as_str(), worked.lifecycle), ("ordered", Some(Completion::Continue)));
}

/// The event as it is noticed by the instance itself after `seconds`: without a token, and with the time at which it was noticed.
fn noticed(seconds: i64) -> Event {
    let mut event = terminating();
    event.time += SignedDuration::from_secs(seconds);
    event.id = format!("noticed-{seconds}");
    event.lifecycle_action.as_mut().unwrap().token = None;
    event
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_noticed_after_its_end_is_not_worked_on_again_unless_it_waits() {
    let host = host(Some(guests::done()), "");
    host.work(noticed(0)).await;
    tokio::time::advance(Duration::from_secs(600)).await;
    host.recorder.over.store(true, Ordering::SeqCst);
    assert!(matches!(host.handle(noticed(600)).await, Ok(End::Already(_))));
    // The instance has been in service again, by way of a warm pool.
    host.recorder.over.store(false, Ordering::SeqCst);
    assert!(matches!(host.handle(noticed(600)).await, Ok(End::Worked(_))));
}

#[tokio::test(start_paused = true)]
async fn what_was_left_to_its_hook_is_not_worked_on_again_when_it_is_noticed_again() {
    let host = host(Some(guests::error()), "[handler.finish]\nmax-attempts = 1\non-failure = \"leave\"");
    assert_eq!(host.work(noticed(0)).await.lifecycle, Some(Completion::Left));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(matches!(host.handle(noticed(60)).await, Ok(End::Already(_))));
    let beats = host.told().iter().filter(|told| *told == "heartbeat").count();
    assert_eq!(beats, 1, "its hook was to decide");
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_noticed_is_kept_alive_at_once() {
    // Nobody knows how long it has been waiting by then.
    let host = host(Some(guests::again(30, 2)), "");
    host.work(noticed(0)).await;
    assert_eq!(host.told(), ["heartbeat".to_owned(), format!("{INSTANCE} CONTINUE")]);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_lifecycle_action_is_known_by_its_id_whatever_time_it_tells() {
    let host = host(Some(guests::done()), "");
    let notice = |seconds| Event { lifecycle_action: None, id: "maintenance".to_owned(), ..noticed(seconds) };
    host.work(notice(0)).await;
    assert!(matches!(host.handle(notice(3_600)).await, Ok(End::Already(_))));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_over_before_aws_goes_on() {
    let sections = "[handler.grants]\necs = { clusters = [\"c\"], allow = [\"drain\"] }";
    let host = host(Some(guests::drain_of(INSTANCE)), sections);
    let mut event = terminating();
    event.deadline = Some(event.time + SignedDuration::from_secs(40));
    let began = Instant::now();
    host.work(event).await;
    assert!(began.elapsed() <= Duration::from_secs(36), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_was_left_to_its_hook_long_ago_says_nothing_of_an_action_that_waits_now() {
    let host = host(Some(guests::error()), "[handler.finish]\nmax-attempts = 1\non-failure = \"leave\"");
    host.work(noticed(0)).await;
    // The hook of tests waits for five minutes.
    tokio::time::advance(Duration::from_secs(400)).await;
    assert!(matches!(host.handle(noticed(400)).await, Ok(End::Worked(_))));
}

#[tokio::test(start_paused = true)]
async fn while_it_cannot_be_told_whether_an_action_waits_it_is_asked_again() {
    let host = host(Some(guests::done()), "");
    host.work(noticed(0)).await;
    tokio::time::advance(Duration::from_secs(600)).await;
    host.recorder.deaf.store(1, Ordering::SeqCst);
    let step = host.dispatch.step(&noticed(600), None).await;
    assert!(matches!(&step, Ok(Step::Later { note, .. }) if note.starts_with("it cannot be told")), "{step:?}");
    assert_eq!(host.open().await, []);
    // But not for ever: heartbeats may be forbidden.
    tokio::time::advance(Duration::from_secs(61)).await;
    host.recorder.deaf.store(1, Ordering::SeqCst);
    assert!(matches!(host.dispatch.step(&noticed(600), None).await, Ok(Step::Ended(End::Worked(_)))));
}

#[tokio::test(start_paused = true)]
async fn what_was_over_before_its_token_came_says_nothing_of_what_the_token_names() {
    let sections = "[handler.grants]\necs = { clusters = [\"c\"], allow = [\"drain\"] }";
    let host = host(Some(guests::drain_of(INSTANCE)), sections);
    host.recorder.over.store(true, Ordering::SeqCst);
    let event = noticed(0);
    let announced = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        host.dispatch.step(&terminating(), None).await
    };
    let (worked, announced) = tokio::join!(host.dispatch.step(&event, None), announced);
    assert!(matches!((worked, announced), (Ok(Step::Later { .. }), Ok(Step::Later { .. }))));
    let item = host.open().await.remove(0);
    assert!(item.token().is_some() && !item.over, "it is kept alive");
}

#[tokio::test(start_paused = true)]
async fn work_on_no_instance_keeps_its_handler_too() {
    let host = host(Some(guests::again(60, 2)), "");
    let event = Event { instance: None, lifecycle_action: None, id: "of nobody".to_owned(), ..terminating() };
    assert!(matches!(host.dispatch.step(&event, None).await, Ok(Step::Later { .. })));
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(host.restarted(guests::done(), TAKES_OTHERS).ends(&event).await.handler, "under-test");
}
