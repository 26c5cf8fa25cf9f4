//! The end of an item: decided once, and told to Auto Scaling by whoever lives to do it.

use super::*;
use crate::ledger::tests::scripted::Fate;

fn denied() -> Result<Answer, PortError> {
    Err(PortError::new(PortErrorKind::Denied, "no permission"))
}

fn lost() -> Result<Answer, PortError> {
    Err(PortError::new(PortErrorKind::Timeout, "no answer"))
}

/// What Auto Scaling is told, and how the event ends, when the host dies in the writes that have these fates, and the next one has a
/// plugin that would decide otherwise. `over` says that Auto Scaling has heard of the first call.
async fn killed(fates: impl IntoIterator<Item = Fate>, over: bool) -> (Vec<String>, End) {
    let first = host(Some(guests::done()), "");
    first.store.next(fates);
    first.killed_during(&terminating()).await;
    if over {
        first.recorder.answers.lock().unwrap().push(Ok(Answer::Over));
    }
    let next = first.restarted(guests::abandon(), "");
    let ended = next.handle(terminating()).await.unwrap();
    assert_eq!(next.open().await, []);
    (next.told(), ended)
}

fn told(result: &str, times: usize) -> Vec<String> {
    vec![format!("{INSTANCE} {result}"); times]
}

/// What was decided, how many attempts it took, and what became of the action.
fn words(end: &End) -> (&str, u32, Option<Completion>) {
    match end {
        End::Worked(worked) => (worked.decision.as_str(), worked.attempts, worked.lifecycle),
        End::Already(already) => (already.decision.as_str(), 0, already.lifecycle),
        other => panic!("{other}"),
    }
}

// The writes of an event that is done at once: the claim, the decision, the end, and its clearing.

#[tokio::test(start_paused = true)]
async fn what_is_not_written_is_not_decided() {
    let (heard, end) = killed([Fate::Done, Fate::DiesBefore], false).await;
    assert_eq!((heard, words(&end)), (told("ABANDON", 1), ("abandon", 2, Some(Completion::Abandon))));
}

#[tokio::test(start_paused = true)]
async fn a_host_killed_between_its_decision_and_the_call_has_decided() {
    let (heard, end) = killed([Fate::Done, Fate::DiesAfter], false).await;
    assert_eq!((heard, words(&end)), (told("CONTINUE", 1), ("done", 1, Some(Completion::Continue))));
}

#[tokio::test(start_paused = true)]
async fn a_host_killed_between_the_call_and_its_answer_has_decided() {
    for over in [false, true] {
        let first = host(Some(guests::done()), "");
        first.recorder.deadly.store(true, Ordering::SeqCst);
        first.killed_during(&terminating()).await;
        first.recorder.deadly.store(false, Ordering::SeqCst);
        first.recorder.answers.lock().unwrap().extend(over.then_some(Ok(Answer::Over)));
        let end = first.restarted(guests::abandon(), "").handle(terminating()).await.unwrap();
        // Over is no other's doing: it may well be ours.
        assert_eq!((first.told(), words(&end)), (told("CONTINUE", 2), ("done", 1, Some(Completion::Continue))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_killed_before_it_writes_the_end_is_repeated() {
    let (heard, end) = killed([Fate::Done, Fate::Done, Fate::DiesBefore], true).await;
    assert_eq!((heard, words(&end)), (told("CONTINUE", 2), ("done", 1, Some(Completion::Continue))));
}

#[tokio::test(start_paused = true)]
async fn a_host_killed_after_the_end_is_written_is_not_repeated() {
    for fates in [
        vec![Fate::Done, Fate::Done, Fate::DiesAfter],
        vec![Fate::Done, Fate::Done, Fate::Done, Fate::DiesBefore],
        vec![Fate::Done, Fate::Done, Fate::Done, Fate::DiesAfter],
    ] {
        let (heard, end) = killed(fates, true).await;
        assert_eq!((heard, words(&end)), (told("CONTINUE", 1), ("done", 0, Some(Completion::Continue))));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_stands_whatever_the_policy_says_later() {
    let patience = "[handler.finish]\nmax-attempts = 1\n";
    let first = host(Some(guests::error()), &format!("{patience}on-failure = \"continue\""));
    first.store.next([Fate::Done, Fate::DiesAfter]);
    first.killed_during(&terminating()).await;
    let next = first.restarted(guests::done(), &format!("{patience}on-failure = \"abandon\""));
    let end = next.handle(terminating()).await.unwrap();
    assert_eq!((next.told(), words(&end)), (told("CONTINUE", 1), ("gave-up", 1, Some(Completion::Continue))));
}

#[tokio::test(start_paused = true)]
async fn over_is_late_unless_a_call_of_ours_may_have_been_the_one() {
    for (answers, completion) in [
        (vec![Ok(Answer::Over)], Completion::Late),
        (vec![lost(), Ok(Answer::Over)], Completion::Continue),
        // Of the next step: what was refused for certain has done nothing.
        (vec![denied(), Ok(Answer::Over)], Completion::Late),
        (vec![lost(), denied(), Ok(Answer::Over)], Completion::Continue),
        (vec![lost(), lost(), lost(), Ok(Answer::Over)], Completion::Continue),
    ] {
        let host = host(Some(guests::done()), "");
        host.recorder.answers.lock().unwrap().extend(answers.clone());
        let mut stepped = host.dispatch.step(&terminating(), None).await;
        if let Err(error) = &stepped {
            assert!(matches!(error, DispatchError::NotCompleted { .. }), "{error}");
            stepped = host.dispatch.step(&terminating(), None).await;
        }
        let Ok(Step::Ended(end)) = stepped else { panic!("{answers:?}: {stepped:?}") };
        assert_eq!(words(&end), ("done", 1, Some(completion)), "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_killed_after_a_refusal_cannot_know_that_it_was_one() {
    let host = host(Some(guests::done()), "");
    host.recorder.answers.lock().unwrap().extend([denied(), Ok(Answer::Over)]);
    // Its claim, its decision, and that the call did nothing.
    host.store.next([Fate::Done, Fate::Done, Fate::DiesBefore]);
    host.killed_during(&terminating()).await;
    assert_eq!(words(&host.handle(terminating()).await.unwrap()), ("done", 1, Some(Completion::Continue)));
}

#[tokio::test(start_paused = true)]
async fn an_action_that_cannot_be_completed_is_kept_alive() {
    let host = host(Some(guests::done()), "");
    host.recorder.answers.lock().unwrap().push(denied());
    let mut event = terminating();
    // Its next heartbeat is due in ten seconds.
    event.time -= SignedDuration::from_secs(140);
    host.dispatch.step(&event, None).await.unwrap_err();
    assert_eq!(host.told(), [format!("{INSTANCE} CONTINUE"), "heartbeat".to_owned()]);
    assert_eq!(host.open().await[0].heartbeat, Some(host.dispatch.ports.clock.now()));
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_kept_while_auto_scaling_does_not_answer() {
    let host = host(Some(guests::done()), "");
    host.recorder.deadly.store(true, Ordering::SeqCst);
    let event = terminating();
    let told = tokio::time::timeout(Duration::from_secs(100), host.dispatch.step(&event, None));
    let other = async {
        tokio::time::sleep(Duration::from_secs(99)).await;
        host.restarted(guests::done(), "").dispatch.step(&event, None).await
    };
    let (_, other) = tokio::join!(told, other);
    assert!(matches!(other, Ok(Step::Later { note, .. }) if note.contains("works on")));
}

#[tokio::test(start_paused = true)]
async fn an_action_lives_while_its_completion_waits_for_its_turn() {
    let host = host(Some(guests::done()), "");
    host.recorder.turn.store(400, Ordering::SeqCst);
    host.work(terminating()).await;
    // The hook's timeout is 300 s.
    assert_eq!(host.told(), ["heartbeat".to_owned(), "heartbeat".to_owned(), format!("{INSTANCE} CONTINUE")]);
}
