//! Batches of a question that AWS answers with the key itself.

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::*;

/// What a test sees and decides of the calls.
#[derive(Default)]
struct Calls {
    made: Mutex<Vec<Vec<u32>>>,
    /// How long a call takes, by its first key.
    takes: HashMap<u32, Duration>,
    /// Turns, where they are scarce.
    turns: Option<Semaphore>,
}

impl Calls {
    fn made(&self) -> Vec<Vec<u32>> {
        self.made.lock().unwrap().clone()
    }
}

struct Echo(Arc<Calls>);

/// A key of which nothing is said, one that is an error of its own, and one that fails the call.
const UNKNOWN: u32 = 404;
const WRONG: u32 = 400;
const FATAL: u32 = 500;

fn error(message: &str) -> PortError {
    PortError::new(PortErrorKind::Other, message)
}

#[async_trait]
impl Question for Echo {
    type Scope = &'static str;
    type Key = u32;
    type Answer = u32;

    const AT_MOST: usize = 100;

    async fn turn(&self) {
        if let Some(turns) = &self.0.turns {
            turns.acquire().await.unwrap().forget();
        }
    }

    async fn ask(&self, _: &Self::Scope, keys: Vec<u32>) -> Result<Answers<Self>, PortError> {
        self.0.made.lock().unwrap().push(keys.clone());
        tokio::time::sleep(self.0.takes.get(&keys[0]).copied().unwrap_or_default()).await;
        if keys.contains(&FATAL) {
            return Err(error("the call failed"));
        }
        let known = keys.into_iter().filter(|key| *key != UNKNOWN);
        Ok(known.map(|key| (key, if key == WRONG { Err(error("the key is wrong")) } else { Ok(key) })).collect())
    }
}

fn batches(calls: Calls) -> (Batches<Echo>, Arc<Calls>) {
    let calls = Arc::new(calls);
    (Batches::new(Echo(Arc::clone(&calls))), calls)
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_alone_goes_at_once() {
    let (batches, calls) = batches(Calls::default());
    let start = Instant::now();
    assert_eq!(batches.ask(&"prod", 1).await, Ok(Some(1)));
    assert_eq!(batches.ask(&"prod", 2).await, Ok(Some(2)));
    assert_eq!((calls.made(), start.elapsed()), (vec![vec![1], vec![2]], Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_together_goes_together_in_order_and_within_the_scope() {
    let (batches, calls) = batches(Calls::default());
    let asked: Vec<_> = (0..250).map(|key| batches.ask(&"prod", key)).collect();
    let elsewhere = batches.ask(&"test", 7);
    for (key, answer) in asked.into_iter().enumerate() {
        assert_eq!(answer.await, Ok(Some(u32::try_from(key).unwrap())));
    }
    assert_eq!(elsewhere.await, Ok(Some(7)));
    let made = calls.made();
    let by_scope: Vec<_> = made.iter().filter(|keys| keys.len() > 1).map(|keys| (keys[0], keys.len())).collect();
    assert_eq!(by_scope, [(0, 100), (100, 100), (200, 50)]);
    assert!(made.contains(&vec![7]), "{made:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_gather_while_a_call_waits_for_its_turn() {
    let (batches, calls) = batches(Calls { turns: Some(Semaphore::new(0)), ..Calls::default() });
    let first = batches.ask(&"prod", 1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let second = batches.ask(&"prod", 2);
    calls.turns.as_ref().unwrap().add_permits(1);
    assert_eq!((first.await, second.await), (Ok(Some(1)), Ok(Some(2))));
    assert_eq!(calls.made(), [[1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn keys_gather_while_a_call_is_under_way_but_not_for_long() {
    let slow = HashMap::from([(1, Duration::from_millis(300)), (2, Duration::from_secs(20))]);
    let (batches, calls) = batches(Calls { takes: slow, ..Calls::default() });
    let start = Instant::now();
    let first = batches.ask(&"prod", 1);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let (second, third) = (batches.ask(&"prod", 2), batches.ask(&"prod", 3));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(calls.made(), [[1]]);
    assert_eq!(first.await, Ok(Some(1)));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(calls.made(), [vec![1], vec![2, 3]]);

    assert_eq!(batches.ask(&"prod", 4).await, Ok(Some(4)), "a call that hangs holds nobody else up");
    assert_eq!(start.elapsed(), Duration::from_millis(300) + PATIENCE);
    assert_eq!((second.await, third.await), (Ok(Some(2)), Ok(Some(3))));
}

#[tokio::test(start_paused = true)]
async fn the_same_key_is_asked_once_but_never_of_a_call_under_way() {
    let slow = HashMap::from([(1, Duration::from_millis(300))]);
    let (batches, calls) = batches(Calls { takes: slow, ..Calls::default() });
    let together = [batches.ask(&"prod", 1), batches.ask(&"prod", 1)];
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(batches.ask(&"prod", 1).await, Ok(Some(1)));
    for answer in together {
        assert_eq!(answer.await, Ok(Some(1)));
    }
    assert_eq!(calls.made(), [[1], [1]], "the answer of the first call may be older than the third question");
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_takes_nothing_from_the_others() {
    let slow = HashMap::from([(1, Duration::from_millis(300))]);
    let (batches, calls) = batches(Calls { takes: slow, ..Calls::default() });
    let leaves_during_the_call = batches.ask(&"prod", 1);
    let stays = batches.ask(&"prod", 2);
    tokio::time::sleep(Duration::from_millis(1)).await;
    drop(leaves_during_the_call);
    let leaves_before_the_call = batches.ask(&"prod", 3);
    let (shared, with) = (batches.ask(&"prod", 4), batches.ask(&"prod", 4));
    drop((leaves_before_the_call, shared));
    assert_eq!((stays.await, with.await), (Ok(Some(2)), Ok(Some(4))));
    assert_eq!(calls.made(), [vec![1, 2], vec![4]]);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_everybody_has_left_is_served_again_later() {
    let (batches, calls) = batches(Calls { turns: Some(Semaphore::new(0)), ..Calls::default() });
    drop(batches.ask(&"prod", 1));
    tokio::time::sleep(Duration::from_millis(1)).await;
    calls.turns.as_ref().unwrap().add_permits(2);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(calls.made(), Vec::<Vec<u32>>::new());
    assert_eq!(batches.ask(&"prod", 2).await, Ok(Some(2)));
    assert!(batches.0.lock().is_empty(), "a scope that nobody asks about takes no memory");
}

#[tokio::test(start_paused = true)]
async fn an_error_is_of_everybody_in_the_call_and_of_nobody_else() {
    let (batches, _) = batches(Calls::default());
    let asked = [1, UNKNOWN, WRONG].map(|key| batches.ask(&"prod", key));
    let elsewhere = [FATAL, 2].map(|key| batches.ask(&"test", key));
    let mut answers = Vec::new();
    for answer in asked.into_iter().chain(elsewhere) {
        answers.push(answer.await.map_err(|error| error.message));
    }
    let failed = || Err("the call failed".to_owned());
    assert_eq!(answers, [Ok(Some(1)), Ok(None), Err("the key is wrong".to_owned()), failed(), failed()]);
    assert_eq!(batches.ask(&"test", 2).await, Ok(Some(2)));
}
