//! What Lambda hands over, answered for as a whole. The test plays Lambda: it receives, and deletes what does not fail.

use serde_json::json;

use super::*;
use crate::event::{Message, parse_message};
use crate::sim::queue::{DeadLetter, QueueCall};

impl Scene {
    /// One invocation with two minutes of time. Returns the messages that come again.
    async fn invoke(&self, inbox: &Arc<Inbox>) -> Vec<String> {
        let batch = self.queue.receive(10, Duration::ZERO, OF_THE_QUEUE).await.unwrap();
        let receipts: Vec<_> = batch.iter().map(|message| (message.id.clone(), message.receipt.clone())).collect();
        let read = |message: Received| {
            let said = parse_message(message.body.as_bytes(), Some(&here()));
            (message, said)
        };
        let closes = Instant::now() + Duration::from_secs(120);
        let brought = inbox.bring_batch_on(batch.into_iter().map(read).collect(), closes).await;
        let mut again: Vec<_> = brought.again().map(str::to_owned).collect();
        again.sort();
        let over = receipts.into_iter().filter(|(id, _)| !again.contains(id)).map(|(_, receipt)| receipt);
        self.queue.delete(&over.collect::<Vec<_>>()).await;
        again
    }
}

#[tokio::test(start_paused = true)]
async fn delays_are_set_last_and_nothing_shows_while_a_slow_neighbour_works() {
    let scene = scene(None, &[("slow", &[(25, Then::End)]), ("short", &[(0, Then::Later(5))])]);
    scene.send(&["slow", "short"]);
    assert_eq!(scene.invoke(&Arc::new(scene.inbox())).await, ["m2"]);
    insta::assert_snapshot!(scene.calls(), @"
    0ns receive m1 m2
    0ns hide m1 30s, m2 30s
    10s hide m1 30s, m2 30s
    20s hide m1 30s, m2 30s
    25s hide m2 1s
    25s delete m1
    ");
    // What it asked for is long past: it is due at once, not five seconds after its neighbour.
    assert_eq!(scene.queue.messages(), ["m2"]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_dies_costs_half_a_minute_whatever_the_queue_hides_for() {
    let scene = scene(None, &[("a", &[(60, Then::End)])]);
    scene.send(&["a"]);
    let inbox = Arc::new(scene.inbox());
    let killed = tokio::time::timeout(Duration::from_secs(15), scene.invoke(&inbox)).await;
    assert!(killed.is_err());
    let again = scene.queue.receive(10, Duration::from_secs(300), OF_THE_QUEUE).await.unwrap();
    assert_eq!((again.len(), scene.steps.began.elapsed().as_secs()), (1, 40), "10 s after the start it was extended");
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_hiding_fails_goes_back_all_the_same_and_takes_no_other_with_it() {
    let scene = scene(None, &[("a", &[(0, Then::Later(300))]), ("b", &[(0, Then::Later(300))])]);
    scene.send(&["a", "b"]);
    scene.queue.fail(QueueCall::Hide, Some("m1"), 2, PortErrorKind::Denied);
    assert_eq!(scene.invoke(&Arc::new(scene.inbox())).await, ["m1", "m2"]);
    insta::assert_snapshot!(scene.calls(), @"
    0ns receive m1 m2
    0ns hide m2 30s
    0ns hide m2 300s
    ");
    insta::assert_snapshot!(scene.said(&["messages", "first", "error", "meaning"]), @"
    ERROR messages that are worked on could not be hidden
      messages: 1
      first: m1
      error: ChangeMessageVisibilityBatch failed by order
      meaning: unless the next try succeeds they are received again while they are worked on, and the ledger has to keep the two apart
    ERROR messages could not be hidden until they are due
      messages: 1
      first: m1
      error: ChangeMessageVisibilityBatch failed by order
      meaning: they come again when the time is over for which they are hidden already, and wait on then: nothing is lost, but each time counts toward maxReceiveCount
    ");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_is_buried_at_once_and_nothing_else_is() {
    let scene = scene(None, &[("nobody", &[(0, Then::Nobody)])]);
    scene.queue.send("garbage {");
    scene.queue.send(r#"{"Service": "AWS Auto Scaling", "Event": "autoscaling:TEST_NOTIFICATION"}"#);
    scene.send(&["nobody"]);
    assert!(scene.invoke(&Arc::new(scene.inbox())).await.is_empty());
    let why = "not JSON: expected value at line 1 column 1, near `garbage {`".to_owned();
    assert_eq!(scene.queue.dead(), [DeadLetter { body: "garbage {".into(), why: Some(why) }]);
    insta::assert_snapshot!(scene.said(&["error", "message_id"]), @"
    ERROR not an event: sent to the dead-letter queue
      message_id: m1
      error: not JSON: expected value at line 1 column 1, near `garbage {`
    WARN no handler takes this event: acknowledged
    ");
    assert!(scene.queue.messages().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_dead_letter_queue_what_is_no_event_is_quoted_and_acknowledged() {
    let scene = scene(None, &[]);
    scene.queue.send(format!("garbage \u{1b}[2J{}", "x".repeat(1000)));
    assert!(scene.invoke(&Arc::new(scene.without_dead_letters())).await.is_empty());
    let said = scene.said(&["error", "body", "why"]).replace(&"x".repeat(280), "[280 times x]");
    insta::assert_snapshot!(said, @r"
    ERROR not an event
      error: not JSON: expected value at line 1 column 1, near `garbage  [2Jxxxxxxxxx`
      body: garbage \u{1b}[2J[280 times x]xxxxxxxx…
      why: acknowledged, since there is no dead-letter in [queue] to send it to
    ");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_buried_stays() {
    let scene = scene(None, &[]);
    scene.queue.send("garbage {");
    scene.queue.fail(QueueCall::Bury, Some("m1"), 1, PortErrorKind::Denied);
    let inbox = Arc::new(scene.inbox());
    assert_eq!(scene.invoke(&inbox).await, ["m1"]);
    // Nothing says that it was sent before it was.
    insta::assert_snapshot!(scene.said(&["error", "not_sent", "body", "meaning"]), @"
    ERROR not an event, and could not be sent to the dead-letter queue
      error: not JSON: expected value at line 1 column 1, near `garbage {`
      not_sent: SendMessage failed by order
      body: garbage {
      meaning: it stays in its queue, and sending it is tried again when it comes again
    ");
    sleep(FIRST_HIDE).await;
    assert!(scene.invoke(&inbox).await.is_empty());
    assert_eq!(scene.queue.dead().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_for_elsewhere_is_buried_or_left_to_the_queue() {
    let elsewhere = (0, Then::Elsewhere);
    let buried = scene(None, &[("a", &[elsewhere])]);
    buried.send(&["a"]);
    assert!(buried.invoke(&Arc::new(buried.inbox())).await.is_empty());
    assert!(buried.queue.dead()[0].why.as_deref().unwrap().contains("this host serves account 210987654321"));
    drop(buried);

    let left = scene(Some(4), &[("a", &[elsewhere; 4])]);
    left.send(&["a"]);
    let inbox = Arc::new(left.without_dead_letters());
    for _ in 0..4 {
        assert_eq!(left.invoke(&inbox).await, ["m1"]);
        sleep(FIRST_HIDE).await;
    }
    assert!(left.invoke(&inbox).await.is_empty());
    assert_eq!(left.queue.dead(), [DeadLetter { body: body("a").to_string(), why: None }]);
    assert_eq!(left.said(&[]).matches("cannot be handled here").count(), 3, "not a line each time");
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_a_failure_take_no_neighbour_with_them() {
    let scene = scene(None, &[("a", &[(1, Then::Panic)]), ("b", &[(1, Then::Fail)]), ("c", &[(2, Then::End)])]);
    scene.send(&["a", "b", "c"]);
    let inbox = Arc::new(scene.inbox());
    assert_eq!(scene.invoke(&inbox).await, ["m1", "m2"]);
    sleep(FIRST_HIDE).await;
    assert!(scene.invoke(&inbox).await.is_empty());
    insta::assert_snapshot!(scene.steps.log(), @"
    1s a Panic
    1s b Fail
    2s c End
    32s a End
    32s b End
    ");
}

#[tokio::test(start_paused = true)]
async fn a_message_about_two_instances_is_over_when_both_are() {
    let Ok(crate::event::Message::Events(events)) = parse_message(two_instances().as_bytes(), None) else {
        panic!("no events")
    };
    let [one, other] = [events[0].id.as_str(), events[1].id.as_str()];
    let scene = scene(None, &[(one, &[(0, Then::Later(40)), (0, Then::End)]), (other, &[(0, Then::Later(90))])]);
    scene.queue.send(two_instances());
    let inbox = Arc::new(scene.inbox());
    assert_eq!(scene.invoke(&inbox).await, ["m1"]);
    assert!(scene.calls().ends_with("hide m1 40s"), "{}", scene.calls());
    sleep(Duration::from_secs(40)).await;
    assert!(scene.invoke(&inbox).await.is_empty());
    assert_eq!(scene.steps.ended.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_given_twice_in_one_batch_is_worked_on_once() {
    let scene = scene(None, &[("a", &[(1, Then::Later(60)), (0, Then::End)])]);
    scene.send(&["a"]);
    scene.queue.give_twice(1);
    let inbox = Arc::new(scene.inbox());
    assert_eq!(scene.invoke(&inbox).await, ["m1"]);
    assert_eq!(scene.steps.log(), "1s a Later(60)");
    assert!(scene.calls().ends_with("1s hide m1 60s"), "by its newest receipt: {}", scene.calls());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_is_cut_off_in_time_for_an_answer() {
    let scene = scene(None, &[("a", &[(1000, Then::End)]), ("b", &[(0, Then::End)])]);
    scene.send(&["a", "b"]);
    assert_eq!(scene.invoke(&Arc::new(scene.inbox())).await, ["m1"]);
    assert_eq!(scene.steps.began.elapsed().as_secs(), 117);
    assert_eq!(scene.queue.messages(), ["m1"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_receives_are_stretched_until_the_deadline_and_then_the_queue_takes_it() {
    let scene = scene(Some(5), &[("a", &[(0, Then::Later(15)); 10])]);
    scene.send(&["a"]);
    let inbox = Arc::new(scene.inbox());
    let mut times = Vec::new();
    while scene.queue.dead().is_empty() {
        if !scene.invoke(&inbox).await.is_empty() {
            times.push(scene.steps.began.elapsed().as_secs());
        }
        sleep(Duration::from_secs(15)).await;
    }
    assert_eq!(times, [0, 900, 1800, 2700, 3600]);
    insta::assert_snapshot!(scene.said(&["receives", "max", "asked", "hide", "meaning"]), @"
    WARN messages of the queue can be received only a few times
      max: 5
      meaning: messages that wait are received again and again, so delays are stretched from the first on: set maxReceiveCount to 1000 in its redrive policy
    WARN comes again later than asked
      receives: 1
      max: 5
      asked: 15s
      hide: 900s
    WARN comes again later than asked
      receives: 2
      max: 5
      asked: 15s
      hide: 900s
    WARN comes again later than asked
      receives: 3
      max: 5
      asked: 15s
      hide: 900s
    WARN comes again later than asked
      receives: 4
      max: 5
      asked: 15s
      hide: 900s
    ERROR no receive is left
      receives: 5
      max: 5
      meaning: SQS moves it to the dead-letter queue next; what it asks for stays open in the ledger until the sweep adopts it. Set maxReceiveCount to 1000 in the redrive policy of the queue
    ");
}

#[tokio::test(start_paused = true)]
async fn without_the_queues_attributes_delays_are_as_asked() {
    let scene = scene(Some(2), &[("a", &[(0, Then::Later(15))])]);
    scene.send(&["a"]);
    scene.queue.fail(QueueCall::Attributes, None, 1, PortErrorKind::Denied);
    assert_eq!(scene.invoke(&Arc::new(scene.inbox())).await, ["m1"]);
    assert!(scene.calls().ends_with("hide m1 15s"), "{}", scene.calls());
    insta::assert_snapshot!(scene.said(&["error", "meaning"]), @"
    WARN the queue's attributes cannot be read
      error: GetQueueAttributes failed by order
      meaning: it is not known how often a message can be received, so delays are not stretched when that ends
    ");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_answer_costs_no_message_its_end() {
    let scene = scene(None, &[("done", &[(1, Then::End)]), ("waits", &[(1, Then::Later(60))])]);
    scene.send(&["done", "waits"]);
    scene.queue.fall_silent(QueueCall::Hide);
    assert_eq!(scene.invoke(&Arc::new(scene.inbox())).await, ["m2"]);
    assert!(scene.steps.began.elapsed() < Duration::from_secs(120), "the answer is there before the invocation ends");
}

#[tokio::test(start_paused = true)]
async fn of_a_message_about_a_thousand_instances_some_are_brought_on_at_once_and_all_of_them_in_the_end() {
    let mut body: Value = serde_json::from_str(&two_instances()).unwrap();
    let entity = |number| json!({ "entityValue": format!("i-{number:017x}") });
    body["detail"]["affectedEntities"] = (0..1_000).map(entity).collect();
    let Ok(Message::Events(events)) = parse_message(body.to_string().as_bytes(), None) else { panic!("no events") };
    let scripts: Vec<_> = events.iter().map(|event| (event.id.as_str(), &[(1, Then::End)][..])).collect();
    let scene = scene(None, &scripts);
    scene.queue.send(body.to_string());
    assert_eq!(scene.invoke(&Arc::new(scene.inbox())).await, [""; 0]);
    assert_eq!((*scene.steps.most_running.lock().unwrap(), scene.steps.ended.lock().unwrap().len()), (32, 1_000));
}
