//! What the doors on queues make of a message.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{INSTANCE, in_virtual_time, now};
use crate::dispatch::{DispatchError, End, Step};
use crate::doors::queue::{Attributes, DeadLetters, Inbox, Queue, Receipt, Received, Steps};
use crate::event::{Event, parse_message};
use crate::ports::{AccountId, Place, PortError, PortErrorKind, Region};

/// The longest that SQS lets a message be hidden from its receipt on ("ChangeMessageVisibility").
const LONGEST_HIDE: Duration = Duration::from_secs(12 * 60 * 60);

/// The body of a message. What comes of its events, and how often it was received before, depends on its bytes.
///
/// It is deleted or comes again, and never both or neither; what is no event goes to the dead-letter queue at once; and SQS is asked for
/// nothing that it refuses.
pub fn queue(bytes: &[u8]) {
    let chance = chance(bytes);
    let body = String::from_utf8_lossy(bytes).into_owned();
    in_virtual_time(async {
        let said = parse_message(body.as_bytes(), Some(&here().region));
        let readable = said.is_ok();
        let queue = Arc::new(Seen { began: Instant::now(), chance, told: Mutex::default() });
        let inbox = Arc::new(Inbox::new(queue.clone(), Some(queue.clone()), Arc::new(Chance(chance))));
        let message = Received {
            id: "m1".to_owned(),
            receipt: Receipt("m1-r1".to_owned()),
            at: Instant::now(),
            body,
            receives: few(chance >> 7).max(1),
        };
        let closes = Instant::now() + Duration::from_secs(10 + (chance >> 17 & 0xff));
        let brought = inbox.bring_batch_on(vec![(message, said)], closes).await;
        let again = brought.again().count();
        inbox.delete(&brought).await;
        let told = queue.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let count = |what: Told| told.iter().filter(|told| **told == what).count();
        assert_eq!((count(Told::Deleted), again), if again == 0 { (1, 0) } else { (0, 1) }, "{told:?}");
        assert!(again == 0 || told.last() == Some(&Told::Hidden), "it comes again, whenever it likes: {told:?}");
        assert!(readable || (count(Told::Buried), again) == (1, 0), "what is no event is still there: {told:?}");
    });
}

/// A number that depends on every byte (FNV-1a).
fn chance(bytes: &[u8]) -> u64 {
    let mix = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// Up to a thousand or so: a count of receives.
fn few(chance: u64) -> u32 {
    u32::try_from(chance & 0x3ff).unwrap_or_default()
}

/// What is done to the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Hidden,
    Deleted,
    Buried,
}

/// A queue with one message, and its dead-letter queue, which see what they are asked for.
struct Seen {
    began: Instant,
    chance: u64,
    told: Mutex<Vec<Told>>,
}

impl Seen {
    fn tell(&self, told: Told) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }
}

#[async_trait]
impl Queue for Seen {
    fn name(&self) -> &'static str {
        "fuzzed-queue"
    }

    async fn attributes(&self) -> Result<Attributes, PortError> {
        let max_receives = (self.chance & 1 == 0).then_some(few(self.chance >> 27));
        Ok(Attributes { visibility_timeout: Duration::from_secs(720), max_receives })
    }

    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Received>, PortError> {
        Ok(Vec::new())
    }

    async fn hide(&self, messages: &[(Receipt, Duration)]) -> Vec<Result<(), PortError>> {
        let hide = |(_, hide): &(Receipt, Duration)| {
            assert!(self.began.elapsed() + *hide <= LONGEST_HIDE, "hidden for {hide:?}, which SQS refuses");
            self.tell(Told::Hidden);
            Ok(())
        };
        messages.iter().map(hide).collect()
    }

    async fn delete(&self, messages: &[Receipt]) -> Vec<Result<(), PortError>> {
        messages.iter().for_each(|_| self.tell(Told::Deleted));
        messages.iter().map(|_| Ok(())).collect()
    }
}

#[async_trait]
impl DeadLetters for Seen {
    fn name(&self) -> &'static str {
        "fuzzed-dead-letters"
    }

    async fn check(&self) -> Result<(), PortError> {
        Ok(())
    }

    async fn send(&self, _: &Received, why: &str) -> Result<(), PortError> {
        assert!(!why.is_empty() && !why.contains('\u{1b}'), "why: {why:?}");
        self.tell(Told::Buried);
        Ok(())
    }
}

/// Brings events on as chance has it.
struct Chance(u64);

impl Chance {
    /// Some time, from the first that there is to the last.
    fn time(&self) -> Timestamp {
        match self.0 >> 37 & 7 {
            0 => Timestamp::MIN,
            1 => Timestamp::MAX,
            2 => now(),
            _ => now() + Duration::from_secs(self.0 >> 40 & 0x1_ffff),
        }
    }
}

#[async_trait]
impl Steps for Chance {
    async fn step(&self, event: &Event, _: Option<Instant>) -> Result<Step, DispatchError> {
        let id = event.id.clone();
        tokio::time::sleep(Duration::from_millis(self.0 >> 20 & 0xffff)).await;
        let (at, due) = (self.time(), now());
        match self.0 % 7 {
            0 => Ok(Step::Ended(End::NoHandler)),
            1 => Ok(Step::Ended(End::LeftAlone { hook: "ended".to_owned() })),
            2 => Ok(Step::Later { at, due, alive_until: Some(at), note: id }),
            3 => Ok(Step::Later { at, due, alive_until: None, note: id }),
            4 => {
                let (account, region) = (event.account.clone(), event.region.clone());
                Err(DispatchError::Elsewhere { event: id, account, region, ours: here() })
            }
            5 => {
                let source = PortError::new(PortErrorKind::Throttled, "by chance");
                let (instance, result) = (INSTANCE.to_owned(), "CONTINUE");
                Err(DispatchError::NotCompleted { event: id, instance, result, source, again: at })
            }
            _ => Err(DispatchError::OutOfTime { event: id, note: "by chance".to_owned() }),
        }
    }

    fn deadline(&self, _: &Event) -> Option<Timestamp> {
        (self.0 & 2 == 0).then(|| self.time())
    }

    fn now(&self) -> Timestamp {
        now()
    }
}

fn here() -> Place {
    Place {
        account: AccountId::parse("123456789012").expect("an account"),
        region: Region::parse("eu-central-1").expect("a region"),
    }
}
