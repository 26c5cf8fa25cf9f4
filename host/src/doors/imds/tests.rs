//! A node whose metadata service, Auto Scaling and dispatch do as they are told, under virtual time.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::doors::vitals::Vitals;
use crate::event::Transition;
use crate::ports::{AccountId, GroupName, HookName, Region};
use crate::testing::{self, INSTANCE, VirtualClock};

const SPOT: &str = r#"{"action": "terminate", "time": "2026-01-15T03:02:00Z"}"#;
const SPOT_EVENT: &str = "imds/spot/instance-action/i-0123456789abcdef0/terminate/2026-01-15T03:02:00Z";
const HOOK_EVENT: &str = "123456789012/eu-central-1/web/drain/i-0123456789abcdef0/autoscaling:EC2_INSTANCE_TERMINATING";

/// What the metadata service does.
#[derive(Default)]
struct Service {
    says: Mutex<HashMap<Item, &'static str>>,
    /// Items that are not answered.
    silent: Mutex<Vec<Item>>,
    /// When each question about the Spot instance came.
    asked: Mutex<Vec<Instant>>,
}

#[async_trait]
impl Metadata for Service {
    async fn item(&self, item: Item) -> Result<Option<String>, PortError> {
        if item == Item::SpotAction {
            self.asked.lock().unwrap().push(Instant::now());
        }
        if self.silent.lock().unwrap().contains(&item) {
            return Err(PortError::new(PortErrorKind::Unavailable, format!("{}: connection refused", item.path())));
        }
        Ok(self.says.lock().unwrap().get(&item).map(|text| (*text).to_owned()))
    }

    async fn identity(&self) -> Result<Identity, PortError> {
        unreachable!("the door is told who the instance is")
    }
}

/// What Auto Scaling answers, in order; the last one again and again.
#[derive(Default)]
struct Group {
    answers: Mutex<VecDeque<Result<Option<Member>, PortError>>>,
    asked: Mutex<u32>,
}

#[async_trait]
impl Membership for Group {
    async fn member(&self, instance: &InstanceId) -> Result<Option<Member>, PortError> {
        assert_eq!(instance.as_str(), INSTANCE);
        *self.asked.lock().unwrap() += 1;
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        answer.unwrap_or(Ok(None))
    }
}

/// Where events go: the ids, and the seconds since the start.
struct Taken {
    start: Instant,
    events: Mutex<Vec<(String, u64)>>,
    /// How many are not brought to their end before one is.
    failures: Mutex<u32>,
    /// How long each takes.
    takes: Mutex<Duration>,
}

#[async_trait]
impl Sink for Taken {
    async fn bring(&self, event: Event) -> bool {
        self.events.lock().unwrap().push((event.id, self.start.elapsed().as_secs()));
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        let mut failures = self.failures.lock().unwrap();
        let fails = *failures > 0;
        *failures = failures.saturating_sub(1);
        !fails
    }
}

impl Taken {
    fn new() -> Self {
        Self { start: Instant::now(), events: Mutex::default(), failures: Mutex::default(), takes: Mutex::default() }
    }
}

/// A door that polls every two seconds.
fn poller(
    metadata: Arc<dyn Metadata>,
    membership: Arc<dyn Membership>,
    sink: Arc<dyn Sink>,
    vitals: &mut Vitals,
) -> Poller {
    let every = Duration::from_secs(2);
    let identity = Identity {
        instance: InstanceId::parse(INSTANCE).unwrap(),
        account: AccountId::parse("123456789012").unwrap(),
        region: Region::parse("eu-central-1").unwrap(),
        availability_zone: "eu-central-1a".to_owned(),
    };
    let pulse = vitals.pulse("imds", Poller::turns_within(every));
    let readiness = vitals.readiness("imds");
    Poller { metadata, membership, sink, clock: Arc::new(VirtualClock::new()), identity, every, pulse, readiness }
}

/// The instance as a member of a group with a hook on termination.
fn member(state: &str) -> Result<Option<Member>, PortError> {
    let hooks = vec![(HookName::parse("drain").unwrap(), Transition::Terminating)];
    let group = GroupName::parse("web").unwrap();
    Ok(Some(Member { group, lifecycle_state: state.to_owned(), hooks }))
}

struct Node {
    service: Arc<Service>,
    group: Arc<Group>,
    taken: Arc<Taken>,
    vitals: Vitals,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Node {
    /// A node that is polled every two seconds from now on.
    fn new() -> Self {
        let (service, group) = (Arc::<Service>::default(), Arc::<Group>::default());
        let taken = Arc::new(Taken::new());
        let mut vitals = Vitals::default();
        let poller = poller(service.clone(), group.clone(), taken.clone(), &mut vitals);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(poller.run(async move { drop(stopped.await) }));
        Self { service, group, taken, vitals, stop, running }
    }

    fn says(&self, item: Item, text: &'static str) {
        self.service.says.lock().unwrap().insert(item, text);
    }

    fn says_nothing_of(&self, item: Item) {
        self.service.says.lock().unwrap().remove(&item);
    }

    fn falls_silent(&self, items: &[Item]) {
        *self.service.silent.lock().unwrap() = items.to_vec();
    }

    fn group_answers(&self, answers: impl IntoIterator<Item = Result<Option<Member>, PortError>>) {
        *self.group.answers.lock().unwrap() = answers.into_iter().collect();
    }

    /// Lets the time pass, and a little more, so that what happens at its end has happened.
    async fn after(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_millis(1000 * seconds + 1)).await;
    }

    fn taken(&self) -> Vec<(String, u64)> {
        self.taken.events.lock().unwrap().clone()
    }

    /// The seconds from each round to the next.
    fn pauses(&self) -> Vec<u64> {
        let asked = self.service.asked.lock().unwrap();
        asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn each_announcement_becomes_an_event_once() {
    let node = Node::new();
    node.after(3).await;
    node.says(Item::SpotAction, SPOT);
    node.says(Item::Rebalance, r#"{"noticeTime": "2026-01-15T03:00:00Z"}"#);
    node.after(300).await;
    let rebalance = "imds/events/recommendations/rebalance/i-0123456789abcdef0/2026-01-15T03:00:00Z";
    assert_eq!(node.taken(), [(rebalance.to_owned(), 4), (SPOT_EVENT.to_owned(), 4)]);
}

#[tokio::test(start_paused = true)]
async fn the_rounds_keep_their_rhythm_and_the_pulse_beats_with_them() {
    let node = Node::new();
    node.after(20).await;
    assert_eq!(node.pauses(), [2; 10]);
    assert!(node.vitals.unready().is_empty());
    node.running.abort();
    node.after(39).await;
    assert!(node.vitals.stopped().is_empty());
    node.after(2).await;
    assert_eq!(node.vitals.stopped().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_moved_to_another_time_is_another_event() {
    let node = Node::new();
    node.says(Item::SpotAction, SPOT);
    node.after(2).await;
    node.says(Item::SpotAction, r#"{"action": "terminate", "time": "2026-01-15T03:02:07Z"}"#);
    node.after(60).await;
    assert_eq!(node.taken(), [(SPOT_EVENT.to_owned(), 0), (SPOT_EVENT.replace("02:00Z", "02:07Z"), 4)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_withdrawn_is_forgotten_and_new_when_it_comes_back() {
    let node = Node::new();
    node.says(Item::SpotAction, SPOT);
    node.after(2).await;
    node.says_nothing_of(Item::SpotAction);
    node.after(10).await;
    node.says(Item::SpotAction, SPOT);
    node.after(10).await;
    assert_eq!(node.taken(), [(SPOT_EVENT.to_owned(), 0), (SPOT_EVENT.to_owned(), 14)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_withdrawn_while_it_is_under_way_is_not_begun_beside_itself() {
    let node = Node::new();
    *node.taken.takes.lock().unwrap() = Duration::from_secs(600);
    node.says(Item::SpotAction, SPOT);
    node.after(2).await;
    node.says_nothing_of(Item::SpotAction);
    node.after(10).await;
    node.says(Item::SpotAction, SPOT);
    node.after(300).await;
    assert_eq!(node.taken().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_brought_to_its_end_is_offered_again_less_and_less_often() {
    let node = Node::new();
    *node.taken.failures.lock().unwrap() = 4;
    node.says(Item::SpotAction, SPOT);
    node.after(600).await;
    let times: Vec<_> = node.taken().iter().map(|(_, second)| *second).collect();
    assert_eq!(times, [0, 2, 4, 8, 16]);
}

#[tokio::test(start_paused = true)]
async fn a_target_state_is_a_lifecycle_action_once_a_hook_holds_the_instance_back() {
    let node = Node::new();
    node.says(Item::TargetLifecycleState, "InService\n");
    node.group_answers([member("InService")]);
    node.after(600).await;
    assert_eq!((node.taken().len(), *node.group.asked.lock().unwrap()), (0, 1));

    node.group_answers([member("InService"), member("Terminating"), member("Terminating:Wait")]);
    node.says(Item::TargetLifecycleState, "Terminated");
    node.after(600).await;
    assert_eq!(node.taken(), [(HOOK_EVENT.to_owned(), 606)]);
    assert_eq!(*node.group.asked.lock().unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn auto_scaling_not_answering_is_said_once_and_asked_again_until_it_does() {
    let (log, _guard) = testing::log();
    let node = Node::new();
    let denied = || Err(PortError::new(PortErrorKind::Denied, "not allowed by IAM"));
    node.group_answers([denied(), denied(), denied(), member("Terminating:Wait")]);
    node.says(Item::TargetLifecycleState, "Terminated");
    node.after(60).await;
    assert_eq!(node.taken(), [(HOOK_EVENT.to_owned(), 8)]);
    insta::assert_snapshot!(log.told(), @r#"
    ERROR cannot tell which lifecycle actions hold this instance back; asking again until it is known error="not allowed by IAM" state="Terminated"
     INFO announced by instance metadata event="123456789012/eu-central-1/web/drain/i-0123456789abcdef0/autoscaling:EC2_INSTANCE_TERMINATING" kind="instance-terminating" instance="i-0123456789abcdef0"
    "#);
}

#[tokio::test(start_paused = true)]
async fn silence_is_said_once_lengthens_the_pauses_and_its_end_is_said() {
    let (log, _guard) = testing::log();
    let node = Node::new();
    node.after(1).await;
    node.falls_silent(&Item::ALL);
    node.after(119).await;
    assert_eq!(node.pauses(), [2, 2, 2, 4, 8, 16, 30, 30]);
    insta::assert_snapshot!(node.vitals.unready().join("\n"), @"imds: spot/instance-action: connection refused");
    assert!(node.vitals.stopped().is_empty(), "a loop that waits is alive");

    node.falls_silent(&[]);
    node.says(Item::SpotAction, SPOT);
    node.after(60).await;
    assert_eq!(node.taken(), [(SPOT_EVENT.to_owned(), 124)]);
    assert!(node.vitals.unready().is_empty());
    insta::assert_snapshot!(log.told(), @r#"
    ERROR the instance metadata service does not answer: what it announces is not noticed until it does error=spot/instance-action: connection refused
     INFO the instance metadata service answers again after=118s
     INFO announced by instance metadata event="imds/spot/instance-action/i-0123456789abcdef0/terminate/2026-01-15T03:02:00Z" kind="spot-interruption" instance="i-0123456789abcdef0"
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_misses_now_and_then_is_not_worth_a_line() {
    let (log, _guard) = testing::log();
    let node = Node::new();
    for round in 0..50 {
        node.falls_silent(if round % 2 == 0 { &Item::ALL } else { &[] });
        node.after(2).await;
    }
    assert!(node.pauses().iter().all(|pause| *pause == 2), "{:?}", node.pauses());
    assert_eq!(log.told(), "");
}

#[tokio::test(start_paused = true)]
async fn an_item_that_is_not_answered_does_not_hide_the_others_nor_withdraw_what_it_said() {
    let node = Node::new();
    node.says(Item::SpotAction, SPOT);
    node.after(2).await;
    node.falls_silent(&[Item::SpotAction]);
    node.says(Item::Rebalance, r#"{"noticeTime": "2026-01-15T03:00:00Z"}"#);
    node.after(100).await;
    node.falls_silent(&[]);
    node.after(100).await;
    assert_eq!(node.taken().len(), 2, "{:?}", node.taken());
    assert!(node.pauses().iter().all(|pause| *pause == 2), "{:?}", node.pauses());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_said_once() {
    let (log, _guard) = testing::log();
    let node = Node::new();
    node.says(Item::SpotAction, "maybe");
    node.after(60).await;
    insta::assert_snapshot!(log.told(), @"ERROR an announcement of the instance metadata that cannot be read error=spot/instance-action: not JSON: expected value at line 1 column 1, near `maybe`");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_never_answered_is_given_up() {
    struct Mute;
    #[async_trait]
    impl Metadata for Mute {
        async fn item(&self, _: Item) -> Result<Option<String>, PortError> {
            std::future::pending().await
        }
        async fn identity(&self) -> Result<Identity, PortError> {
            std::future::pending().await
        }
    }
    let mut vitals = Vitals::default();
    let poller = poller(Arc::new(Mute), Arc::new(Group::default()), Arc::new(Taken::new()), &mut vitals);
    poller.run(tokio::time::sleep(Duration::from_secs(600))).await;
    insta::assert_snapshot!(vitals.unready().join("\n"), @"imds: spot/instance-action: the instance metadata service did not answer within 5s");
}

#[tokio::test(start_paused = true)]
async fn stopping_begins_nothing_and_waits_for_what_is_under_way() {
    let node = Node::new();
    *node.taken.takes.lock().unwrap() = Duration::from_secs(30);
    node.says(Item::SpotAction, SPOT);
    node.after(1).await;
    node.stop.send(()).unwrap();
    node.service.says.lock().unwrap().insert(Item::Rebalance, r#"{"noticeTime": "2026-01-15T03:00:00Z"}"#);
    node.running.await.unwrap();
    assert_eq!(node.taken.start.elapsed().as_secs(), 30);
    assert_eq!(node.taken.events.lock().unwrap().len(), 1);
}
