//! The agent's door.

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::doors::vitals::Vitals;
use crate::sim::queue::QueueCall;

/// An agent at work.
struct Agent {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), PortError>>,
    vitals: Vitals,
}

impl Scene {
    fn agent(&self, concurrency: usize, shutdown: u64) -> Agent {
        let mut vitals = Vitals::default();
        let poller = Poller {
            inbox: Arc::new(self.inbox()),
            region: here(),
            concurrency,
            shutdown: Duration::from_secs(shutdown),
            pulse: vitals.pulse("queue", Poller::TURNS_WITHIN),
            readiness: vitals.readiness("queue"),
        };
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(poller.serve(async { drop(stopped.await) }));
        Agent { stop, serving, vitals }
    }
}

impl Agent {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap().unwrap();
    }
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn each_message_is_settled_when_it_is_through_and_waits_in_the_queue() {
    let scene = scene(None, &[("slow", &[(45, Then::End)]), ("short", &[(1, Then::Later(20)), (0, Then::End)])]);
    scene.send(&["slow", "short"]);
    let agent = scene.agent(10, 10);
    seconds(60).await;
    insta::assert_snapshot!(scene.calls(), @"
    0ns receive m1 m2
    1s hide m2 20s
    10s hide m1 30s
    20s hide m1 30s
    21s receive m2
    21s delete m2
    30s hide m1 30s
    40s hide m1 30s
    45s delete m1
    ");
    assert!(scene.queue.messages().is_empty());
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_deleted_comes_again_is_found_ended_and_deleted_then() {
    let scene = scene(None, &[("a", &[(1, Then::End)])]);
    scene.send(&["a"]);
    scene.queue.fail(QueueCall::Delete, Some("m1"), 1, DOWN);
    let agent = scene.agent(10, 10);
    seconds(60).await;
    insta::assert_snapshot!(scene.steps.log(), @"
    1s a End
    30s a found ended
    ");
    assert!(scene.queue.messages().is_empty());
    insta::assert_snapshot!(scene.said(&["messages", "first", "error", "meaning"]), @"
    ERROR messages that are over could not be deleted
      messages: 1
      first: m1
      error: DeleteMessageBatch failed by order
      meaning: they are received again, found ended, and deleted then
    ");
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_killed_loses_nothing() {
    let scene = scene(None, &[("a", &[(60, Then::End), (60, Then::End)])]);
    scene.send(&["a"]);
    let killed = scene.agent(10, 10);
    seconds(15).await;
    killed.serving.abort();
    let next = scene.agent(10, 10);
    seconds(120).await;
    insta::assert_snapshot!(scene.steps.log(), @"
    15s a cut off
    100s a End
    ");
    assert!(scene.queue.messages().is_empty());
    next.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_is_received_than_can_be_begun() {
    let tokens: Vec<String> = (0..25).map(|number| format!("t{number}")).collect();
    let scripts: Vec<(&str, &[(u64, Then)])> =
        tokens.iter().map(|token| (token.as_str(), &[(7, Then::End)][..])).collect();
    let scene = scene(None, &scripts);
    scene.send(&tokens.iter().map(String::as_str).collect::<Vec<_>>());
    let agent = scene.agent(12, 10);
    seconds(3).await;
    assert_eq!(*scene.steps.running.lock().unwrap(), 12);
    seconds(30).await;
    assert_eq!(*scene.steps.most_running.lock().unwrap(), 12);
    assert!(scene.queue.messages().is_empty());
    let receives = scene.queue.calls().iter().filter(|call| call.contains("receive")).count();
    assert!((3..=5).contains(&receives), "{}", scene.calls());
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_received_again_while_it_is_worked_on_is_not_begun_again() {
    let scene = scene(None, &[("a", &[(100, Then::End)])]);
    scene.send(&["a"]);
    // Extending fails until the message shows again.
    scene.queue.fail(QueueCall::Hide, Some("m1"), 3, DOWN);
    let agent = scene.agent(10, 10);
    seconds(120).await;
    assert_eq!(scene.steps.log(), "100s a End");
    assert!(scene.calls().contains("30s receive m1") && scene.queue.messages().is_empty(), "{}", scene.calls());
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn at_the_end_short_work_is_let_through_and_the_rest_is_cut_off_and_then_handed_back() {
    let scene = scene(None, &[("short", &[(6, Then::End)]), ("long", &[(100, Then::End), (0, Then::End)])]);
    scene.send(&["short", "long"]);
    let agent = scene.agent(10, 10);
    seconds(1).await;
    agent.stop().await;
    assert_eq!(scene.steps.began.elapsed().as_secs(), 9, "within ten seconds of the signal");
    insta::assert_snapshot!(format!("{}\n{}", scene.steps.log(), scene.calls()), @"
    6s short End
    9s long cut off
    0ns receive m1 m2
    6s delete m1
    9s hide m2 0ns
    ");
    // Another agent has it at once.
    let next = scene.agent(10, 10);
    seconds(1).await;
    assert!(scene.queue.messages().is_empty());
    next.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_agent_ends_at_once() {
    let scene = scene(None, &[]);
    let agent = scene.agent(10, 30);
    seconds(5).await;
    assert!(agent.vitals.unready().is_empty(), "it does not take a message to know that there is a queue");
    agent.stop().await;
    assert_eq!(scene.steps.began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_end_without_an_answer_of_sqs_is_an_end_in_time() {
    let scene = scene(None, &[("a", &[(100, Then::End)])]);
    scene.send(&["a"]);
    let agent = scene.agent(10, 10);
    seconds(1).await;
    scene.queue.fail(QueueCall::Hide, None, 10, DOWN);
    agent.stop().await;
    assert!(scene.said(&[]).contains("messages could not be handed back"), "{}", scene.said(&[]));
    assert_eq!(scene.queue.messages(), ["m1"]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_down_is_asked_less_and_less_and_served_when_it_is_back() {
    let scene = scene(None, &[]);
    scene.queue.fail(QueueCall::Receive, None, 12, DOWN);
    let agent = scene.agent(10, 10);
    scene.send(&["a"]);
    seconds(60).await;
    assert_eq!(agent.vitals.unready(), ["queue: ReceiveMessage failed by order"]);
    seconds(540).await;
    assert!(agent.vitals.unready().is_empty() && agent.vitals.stopped().is_empty());
    assert!(scene.queue.messages().is_empty());
    let times = scene.world.journal().into_iter().filter_map(|entry| match entry.what {
        What::Host(line) if line.message.starts_with("no messages can") => Some(entry.elapsed),
        What::Host(line) if line.message == "messages are received again" => Some(entry.elapsed),
        _ => None,
    });
    let times: Vec<_> = times.collect();
    assert_eq!(times.len(), 13, "{times:?}");
    for (failures, two) in times.windows(2).enumerate() {
        let (pause, longest) =
            (two[1] - two[0], Duration::from_secs(1 << failures.min(6)).min(Duration::from_secs(60)));
        assert!(pause >= longest / 2 && pause <= longest + Duration::from_millis(2), "{pause:?} of {longest:?}");
    }
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_was_never_there_is_an_error_and_one_that_goes_is_waited_for() {
    let nowhere = scene(None, &[]);
    nowhere.queue.fail(QueueCall::Receive, None, 1, PortErrorKind::NotFound);
    let agent = nowhere.agent(10, 10);
    assert_eq!(agent.serving.await.unwrap().unwrap_err().kind, PortErrorKind::NotFound);
    // Of its attributes, and of the dead-letter queue beside it.
    for call in [QueueCall::Attributes, QueueCall::Bury] {
        nowhere.queue.fail(call, None, 1, PortErrorKind::NotFound);
        let agent = nowhere.agent(10, 10);
        assert_eq!(agent.serving.await.unwrap().unwrap_err().kind, PortErrorKind::NotFound);
    }
    drop(nowhere);

    let scene = scene(None, &[]);
    let agent = scene.agent(10, 10);
    seconds(25).await;
    scene.queue.fail(QueueCall::Receive, None, 3, PortErrorKind::Denied);
    seconds(60).await;
    scene.send(&["a"]);
    seconds(60).await;
    assert!(scene.queue.messages().is_empty());
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_gives_a_message_only_a_few_times_is_warned_of_at_start() {
    let scene = scene(Some(5), &[]);
    scene.agent(10, 10).stop().await;
    insta::assert_snapshot!(scene.said(&["max", "meaning"]), @"
    WARN messages of the queue can be received only a few times
      max: 5
      meaning: messages that wait are received again and again, so delays are stretched from the first on: set maxReceiveCount to 1000 in its redrive policy
    ");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_answer_while_messages_are_hidden_holds_nothing_up() {
    let scene = scene(None, &[("slow", &[(14, Then::End)])]);
    scene.send(&["slow"]);
    scene.queue.fall_silent(QueueCall::Hide);
    let agent = scene.agent(10, 10);
    seconds(16).await;
    assert!(scene.queue.messages().is_empty(), "{}", scene.calls());
    agent.stop().await;
}
