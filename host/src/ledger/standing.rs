//! Where open work stands at some time. Pure: what the ledger holds of an instance and the time in, a word out.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::record::{Item, Lease, Open, Told};

/// How long after the time of its next step an item is overdue, at the most. A queue may be behind, and a message that a host has died
/// with is hidden for a while, so this is more than a moment.
pub const OVERDUE: SignedDuration = SignedDuration::from_mins(3);

/// And at the least: a third of the heartbeat timeout of its hook, so that there is time left to do something about it.
const SOONEST_OVERDUE: SignedDuration = SignedDuration::from_secs(45);

/// Where an open item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Nobody has brought it for so long that nobody will: its hosts are down, or its message is lost, and the sweep adopts it.
    Overdue,
    /// How it ends is decided; Auto Scaling is still to be told, or the ledger.
    Finishing,
    /// A person has said how it ends, and nobody has taken that up yet.
    Ordered,
    /// An attempt is due, or about to be.
    Due,
    /// It waits for its next attempt.
    Waiting,
    /// A host works on another item of the same instance.
    Behind,
    /// A host works on it.
    Working,
}

impl Standing {
    /// Every standing, the most worrying first.
    pub const ALL: [Self; 7] =
        [Self::Overdue, Self::Finishing, Self::Ordered, Self::Due, Self::Waiting, Self::Behind, Self::Working];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overdue => "overdue",
            Self::Finishing => "finishing",
            Self::Ordered => "ordered",
            Self::Due => "due",
            Self::Waiting => "waiting",
            Self::Behind => "behind",
            Self::Working => "working",
        }
    }
}

/// How worrying an open item is: the least is the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Worry {
    rank: u8,
    failures: Reverse<u32>,
    deadline: Timestamp,
}

impl Worry {
    /// Before everything of which something is known.
    pub const MOST: Self = Self { rank: 0, failures: Reverse(u32::MAX), deadline: Timestamp::MIN };
}

impl Item {
    /// How long after the time of its next step it is overdue.
    fn patience(&self) -> SignedDuration {
        let timeout = self.hook.and_then(|hook| SignedDuration::try_from(hook.heartbeat_timeout).ok());
        timeout.map_or(OVERDUE, |timeout| (timeout / 3).clamp(SOONEST_OVERDUE, OVERDUE))
    }

    /// The last attempt that came to its end.
    pub fn last_ended(&self) -> Option<&Told> {
        self.told.iter().rev().find(|told| told.ended.is_some())
    }
}

impl Open {
    /// How worrying one of its items is.
    pub fn worry(&self, item: &Item, now: Timestamp) -> Worry {
        let rank = match self.standing(item, now) {
            Standing::Overdue => 1,
            _ if item.deadline < now => 2,
            Standing::Finishing => 3,
            _ if item.failures > 0 => 4,
            _ => 5,
        };
        Worry { rank, failures: Reverse(item.failures), deadline: item.deadline }
    }

    /// The lease, as long as nobody else may take it.
    pub fn held(&self, now: Timestamp) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.holds(now))
    }

    /// Where one of its items stands.
    pub fn standing(&self, item: &Item, now: Timestamp) -> Standing {
        match self.held(now) {
            Some(lease) if lease.item == item.id => return Standing::Working,
            // The item's own time says nothing meanwhile: who brings it finds the instance busy, and comes again.
            Some(_) => return Standing::Behind,
            None => {}
        }
        match item {
            // Somebody may have edited it by hand, to any time.
            item if now.duration_since(item.wake) > item.patience() => Standing::Overdue,
            Item { finishing: Some(_), .. } => Standing::Finishing,
            Item { order: Some(_), .. } => Standing::Ordered,
            item if item.due <= now => Standing::Due,
            _ => Standing::Waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::ledger::{LEASE, Order};
    use crate::lifecycle::{HookTimes, LifecycleResult};
    use crate::testing::{START, open_item};

    fn now() -> Timestamp {
        START.parse().unwrap()
    }

    /// An item to be brought `wake` seconds from now, and due then.
    fn item(wake: i64) -> Item {
        let at = now() + SignedDuration::from_secs(wake);
        Item { due: at, wake: at, ..open_item() }
    }

    fn held(item: &str, since: i64) -> Lease {
        let since = now() + SignedDuration::from_secs(since);
        let (id, holder, item) = ("1".to_owned(), "worker-1".to_owned(), item.to_owned());
        Lease { id, holder, item, since, until: since + LEASE }
    }

    fn standing(item: Item, lease: Option<Lease>) -> Standing {
        Open { lease, items: vec![item.clone()], ..Open::default() }.standing(&item, now())
    }

    #[test]
    fn an_item_waits_is_due_and_is_overdue_once_nobody_has_come_for_long() {
        assert_eq!(standing(item(1), None), Standing::Waiting);
        assert_eq!(standing(item(0), None), Standing::Due);
        assert_eq!(standing(item(-180), None), Standing::Due);
        assert_eq!(standing(item(-181), None), Standing::Overdue);
        // Before the hook's timeout, whichever that is.
        for (timeout, late) in [(90, 46), (300, 101), (7_200, 181)] {
            let heartbeat_timeout = Duration::from_secs(timeout);
            let hook = Some(HookTimes { heartbeat_timeout, global_timeout: heartbeat_timeout * 100 });
            assert_eq!(standing(Item { hook, ..item(1 - late) }, None), Standing::Due, "{timeout}");
            assert_eq!(standing(Item { hook, ..item(-late) }, None), Standing::Overdue, "{timeout}");
        }
    }

    #[test]
    fn whoever_holds_the_lease_works_on_one_item_and_the_others_are_behind() {
        let mine = item(-600);
        let id = mine.id.clone();
        assert_eq!(standing(mine.clone(), Some(held(&id, -1))), Standing::Working);
        assert_eq!(standing(mine.clone(), Some(held("another", -1))), Standing::Behind);
        // Its host has died: the lease and the time for clocks that differ are over.
        assert_eq!(standing(mine.clone(), Some(held(&id, -24))), Standing::Working);
        assert_eq!(standing(mine, Some(held(&id, -25))), Standing::Overdue);
    }

    #[test]
    fn an_order_and_a_decision_come_before_the_time_of_the_next_attempt() {
        let order = Order { result: LifecycleResult::Continue, by: "me".into(), at: now() };
        assert_eq!(standing(Item { order: Some(order), ..item(60) }, None), Standing::Ordered);
    }

    #[test]
    fn what_nobody_brings_is_worse_than_what_is_late_and_that_than_what_fails() {
        let deadline = |seconds| now() + SignedDuration::from_secs(seconds);
        let sorted = [
            Item { deadline: deadline(60), ..item(-181) },
            Item { deadline: deadline(-1), ..item(60) },
            Item { failures: 3, ..item(60) },
            Item { failures: 1, ..item(60) },
            Item { deadline: deadline(60), ..item(60) },
            item(60),
        ];
        let worries: Vec<_> = sorted.iter().map(|item| Open::default().worry(item, now())).collect();
        assert!(worries.is_sorted() && Worry::MOST < worries[0], "{worries:?}");
    }

    #[test]
    fn the_words_are_those_of_the_json() {
        for standing in Standing::ALL {
            assert_eq!(serde_json::to_value(standing).unwrap(), standing.as_str());
        }
    }
}
