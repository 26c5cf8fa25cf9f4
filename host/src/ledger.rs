//! The ledger: the durable record of work items, so that no event is lost and nothing is done twice.
//!
//! One object for each instance holds its open work items and the lease on it; hosts change it by compare-and-swap (`swap`), so
//! two events about one instance, or two deliveries of one, meet in a single write. Items that have ended are in another object,
//! which is written before the open one is cleared: a further delivery finds either the work or its end, never nothing.
//!
//! Owns what is written and the rules by which hosts share it. Knows nothing of plugins, of what is decided and why, or of who
//! works: it writes into a [`Store`], of which there are several.

mod check;
mod claim;
#[cfg(test)]
pub(crate) mod contract;
mod dir;
mod error;
mod held;
mod lately;
mod memory;
mod notes;
mod places;
mod record;
#[cfg(feature = "live")]
mod s3;
mod standing;
mod store;
mod swap;
mod telling;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::RngExt as _;
use tokio::sync::Mutex;

pub use check::{CheckError, check};
pub use claim::{CLOCK_SKEW, LEASE, Wanted};
pub use dir::DirStore;
pub use error::LedgerError;
pub use held::{Held, LeaseEnd};
pub use memory::MemoryStore;
pub use notes::Notes;
pub use record::{ATTEMPTS_TOLD, Ended, EndedItem, FORMAT, Finishing, Item, Lease, Occurs, Open, Order, Retried, Told};
#[cfg(feature = "live")]
pub use s3::S3Store;
pub use standing::{OVERDUE, Standing, Worry};
pub use store::{Listed, MAX_BYTES, Page, Store, Stored, Version, WriteError};

use crate::clock::Clock;
use crate::digest::sha256;
use crate::event::Event;
use crate::lifecycle::{Completion, LifecycleResult};
use crate::outcome::Decision;
use crate::ports::{InstanceId, Place, PortError};
use crate::side_by_side::side_by_side;
use claim::{Adoption, Verdict};
use record::Object;
use swap::Change;
use telling::Telling;

/// The ledger of a host.
pub struct Ledger {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    place: Place,
    /// What leases are held by, for people.
    holder: String,
    /// Whether damaged objects that are only read are left where they are.
    only_looks: bool,
}

/// What a claim comes to.
#[derive(Debug)]
pub enum Claim {
    /// It has ended already: this is a further delivery.
    Ended(EndedItem),
    /// Another works on the instance, or has died while it did: the item waits.
    Busy(Box<Item>, Lease),
    /// It waits for its time.
    NotDue(Box<Item>),
    /// It is ours, until the lease ends.
    Ours(Box<Held>),
}

impl Ledger {
    /// The ledger in `store`, of the account and region `place`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, place: Place, holder: impl Into<String>) -> Self {
        Self { store, clock, place, holder: holder.into(), only_looks: false }
    }

    /// The same, for a person: what is only read is not changed, damaged or not.
    pub fn only_looking(self) -> Self {
        Self { only_looks: true, ..self }
    }

    /// The same, and `tell` is told after each write that the store has answered it, and after each call that has failed, why.
    pub fn telling(self, tell: impl Fn(Result<(), &PortError>) + Send + Sync + 'static) -> Self {
        let Self { store, clock, place, holder, only_looks } = self;
        Self { store: Arc::new(Telling { store, tell: Box::new(tell) }), clock, place, holder, only_looks }
    }

    /// Makes sure that its store can carry it, as [`check`] does.
    pub async fn check(&self) -> Result<(), CheckError> {
        check(&*self.store, &*self.clock).await
    }

    /// Notes an event, and takes the lease on its instance if that is free and the event's work is due.
    pub async fn claim(&self, wanted: &Wanted<'_>) -> Result<Claim, LedgerError> {
        let subject = subject(wanted.event);
        let (key, item, lease) = (self.key::<Open>(&subject), wanted.event.work_item(), random());
        let (verdict, seen) = swap::change(&*self.store, &key, None, |open: &mut Open| {
            let items = open.items.len();
            // Told by the time of this try: an earlier one may have taken long.
            match claim::claim(open, wanted, (&lease, &self.holder), self.clock.now()) {
                (verdict, true) if open.items.len() > items => added(wanted.event, verdict),
                (verdict, true) => Change::Write(verdict),
                (verdict, false) => Change::Nothing(verdict),
            }
        })
        .await?;
        let Some(known) = seen.object.item(&item).cloned() else {
            return match verdict {
                Verdict::Full => Err(LedgerError::Full { place: self.store.locate(&key) }),
                // Others have worked on it, and ended it, before our own write was heard of.
                _ => Err(LedgerError::Lost { subject }),
            };
        };
        match verdict {
            Verdict::Full => Err(LedgerError::Full { place: self.store.locate(&key) }),
            Verdict::Busy(lease) => Ok(Claim::Busy(Box::new(known), lease)),
            Verdict::NotDue => Ok(Claim::NotDue(Box::new(known))),
            Verdict::Ours => {
                let until = Arc::new(LeaseEnd::default());
                until.set(seen.object.lease.as_ref().filter(|held| held.id == lease));
                let held = Held { key, lease, item, subject, until, seen: Mutex::new(seen) };
                self.unless_ended(held, &known).await
            }
        }
    }

    /// The claim on `item`, whose lease is in hand, unless it has ended.
    ///
    /// Only with the lease one can be sure: an end is written before its item is cleared away, so whoever has made the item anew
    /// after that finds the end. It may be any claim that does: of those that made it, any number may have died with their hosts.
    async fn unless_ended(&self, held: Held, item: &Item) -> Result<Claim, LedgerError> {
        let ended = swap::read::<Ended>(&*self.store, &self.key::<Ended>(&held.subject)).await;
        match ended.map(|ended| ended.object.covering(&held.item, &item.event).cloned()) {
            Ok(None) => Ok(Claim::Ours(Box::new(held))),
            Ok(Some(ended)) => {
                self.forget(&held).await?;
                Ok(Claim::Ended(ended))
            }
            Err(error) => {
                // The attempt that was written down is not made; it is no loss if that cannot be written either.
                let _ = self.release(&held, Item::take_back_attempt).await;
                Err(error)
            }
        }
    }

    /// Notes an event that nobody brings, to be brought again at `wake`: one that is new, or one whose time was before `dead`. False if
    /// somebody does bring it, or works on it; an error if there is no room for it.
    pub async fn adopt(&self, wanted: &Wanted<'_>, (dead, wake): (Timestamp, Timestamp)) -> Result<bool, LedgerError> {
        let key = self.key::<Open>(&subject(wanted.event));
        let (adoption, _) = swap::change(&*self.store, &key, None, |open: &mut Open| {
            let items = open.items.len();
            match claim::adopt(open, wanted, (dead, wake), self.clock.now()) {
                Adoption::Noted if open.items.len() > items => added(wanted.event, Adoption::Noted),
                Adoption::Noted => Change::Write(Adoption::Noted),
                left @ (Adoption::Brought | Adoption::Full) => Change::Nothing(left),
            }
        })
        .await?;
        match adoption {
            Adoption::Noted => Ok(true),
            Adoption::Brought => Ok(false),
            Adoption::Full => Err(LedgerError::Full { place: self.store.locate(&key) }),
        }
    }

    /// Makes the lease last longer.
    pub async fn renew(&self, held: &Held) -> Result<(), LedgerError> {
        self.note(held, |_| {}).await
    }

    /// Writes down what has become of the item, and makes the lease last longer.
    pub async fn note(&self, held: &Held, change: impl Fn(&mut Item)) -> Result<(), LedgerError> {
        self.with_lease(held, |open| {
            if let Some(item) = open.item_mut(&held.item) {
                change(item);
            }
            claim::renew(open, self.clock.now())
        })
        .await
    }

    /// Writes down what has become of the item, and gives the lease back.
    pub async fn release(&self, held: &Held, change: impl Fn(&mut Item)) -> Result<(), LedgerError> {
        self.with_lease(held, |open| {
            if let Some(item) = open.item_mut(&held.item) {
                change(item);
            }
            open.lease = None;
            true
        })
        .await
    }

    /// Writes down that the item has ended, and gives the lease back.
    pub async fn end(
        &self,
        held: &Held,
        decision: &Decision,
        lifecycle: Option<Completion>,
    ) -> Result<(), LedgerError> {
        let Some(item) = held.item().await else { return self.forget(held).await };
        let ended = item.at_its_end(decision.clone(), lifecycle, self.clock.now());
        swap::change(&*self.store, &self.key::<Ended>(&held.subject), None, |all: &mut Ended| {
            all.add(ended.clone());
            Change::Write(())
        })
        .await?;
        match self.forget(held).await {
            // Another has taken over. It repeats what was decided, if anything: but this occurrence has its end, and is open no more.
            Err(LedgerError::Lost { .. }) => self.clear(&held.key, &item).await,
            forgotten => forgotten,
        }
    }

    /// Writes down something about an item whoever works on it.
    pub async fn remark(&self, event: &Event, change: impl Fn(&mut Item)) -> Result<Option<Item>, LedgerError> {
        let (key, id) = (self.key::<Open>(&subject(event)), event.work_item());
        self.remark_at(&key, &id, change).await
    }

    /// Orders how an item ends, whatever its handler says. The item as it is then; none if it is not open.
    pub async fn order(
        &self,
        instance: &InstanceId,
        item: &Item,
        result: LifecycleResult,
        by: &str,
    ) -> Result<Option<Item>, LedgerError> {
        let at = self.clock.now();
        let key = self.key::<Open>(instance.as_str());
        self.remark_this(&key, item, |item| {
            item.order = Some(Order { result, by: by.to_owned(), at });
            // Its message may be hidden for hours: the sweep brings it.
            item.wake = item.wake.min(at);
        })
        .await
    }

    /// Makes an item due now, its failures forgiven, as `by` wants it. The item as it is then; none if it is not open.
    pub async fn retry(&self, instance: &InstanceId, item: &Item, by: &str) -> Result<Option<Item>, LedgerError> {
        let now = self.clock.now();
        let key = self.key::<Open>(instance.as_str());
        self.remark_this(&key, item, |item| {
            item.retried = Some(Retried { by: by.to_owned(), at: now, failures: item.failures });
            (item.failures, item.interrupted) = (0, 0);
            // What nobody has come for is not less overdue for it.
            (item.due, item.wake) = (now, item.wake.min(now));
        })
        .await
    }

    /// Puts an item back that was open elsewhere, due now: for a replay of what came of it.
    pub async fn restore(&self, item: &Item) -> Result<(), LedgerError> {
        let now = self.clock.now();
        swap::change(&*self.store, &self.key::<Open>(&subject(&item.event)), None, |open: &mut Open| {
            open.items.push(Item { due: now, ..item.clone() });
            Change::Write(())
        })
        .await
        .map(drop)
    }

    /// The open items of an instance.
    pub async fn open(&self, instance: &InstanceId) -> Result<Open, LedgerError> {
        self.look(&self.key::<Open>(instance.as_str())).await
    }

    /// The open item of an event, if there is one.
    pub async fn open_of(&self, event: &Event) -> Result<Option<Item>, LedgerError> {
        let open: Open = self.look(&self.key::<Open>(&subject(event))).await?;
        Ok(open.item(&event.work_item()).cloned())
    }

    /// The ended items of an instance.
    pub async fn ended(&self, instance: &InstanceId) -> Result<Ended, LedgerError> {
        self.look(&self.key::<Ended>(instance.as_str())).await
    }

    async fn look<O: Object>(&self, key: &str) -> Result<O, LedgerError> {
        look(&*self.store, key, self.only_looks).await
    }

    /// The open items of all instances, a page of objects at a time: begin with none, go on with the key that comes back. An object that
    /// cannot be read is reported in its place.
    pub async fn all_open(
        &self,
        after: Option<&str>,
    ) -> Result<(Vec<Result<Open, LedgerError>>, Option<String>), LedgerError> {
        let prefix = self.prefix::<Open>();
        let place = || self.store.locate(&prefix);
        let page =
            self.store.list(&prefix, after).await.map_err(|source| LedgerError::Read { place: place(), source })?;
        let next = page.objects.last().filter(|_| page.more).map(|object| object.key.clone());
        // What is called otherwise was put there by a person.
        let keys = page.objects.into_iter().map(|object| object.key).filter(|key| key.ends_with(".json"));
        Ok((self.look_at(keys).await, next))
    }

    /// Reads many objects, some at a time; in their order.
    async fn look_at<O: Object + 'static>(&self, keys: impl Iterator<Item = String>) -> Vec<Result<O, LedgerError>> {
        let read = keys.map(|key| {
            let (store, only_looks) = (Arc::clone(&self.store), self.only_looks);
            async move { look(&*store, &key, only_looks).await }
        });
        side_by_side(read).await
    }

    /// Removes the ends of instances of which nothing was written for longer than `keep`. How many.
    pub async fn sweep_ended(&self, keep: Duration) -> Result<usize, LedgerError> {
        let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
        let prefix = self.prefix::<Ended>();
        let (mut after, mut removed) = (None::<String>, 0);
        loop {
            let page = self.store.list(&prefix, after.as_deref()).await;
            let page = page.map_err(|source| LedgerError::Read { place: self.store.locate(&prefix), source })?;
            let before = self.clock.now().saturating_sub(keep).unwrap_or(Timestamp::MIN);
            for old in page.objects.iter().filter(|object| object.modified < before) {
                let swept = swap::change(&*self.store, &old.key, None, |all: &mut Ended| {
                    // Written again since it was listed: then it stays.
                    if all.items.last().is_some_and(|item| item.ended >= before) {
                        return Change::Nothing(());
                    }
                    all.items.clear();
                    Change::Write(())
                });
                match swept.await {
                    Ok((_, seen)) => removed += usize::from(seen.version.is_none()),
                    Err(error) => {
                        tracing::warn!(%error, "ended items could not be removed: the next sweep finds them again")
                    }
                }
            }
            match page.objects.last().filter(|_| page.more) {
                Some(last) => after = Some(last.key.clone()),
                None => return Ok(removed),
            }
        }
    }

    /// As [`Self::remark_at`], for this occurrence alone: while a person thought about it, it may have ended, and begun anew.
    async fn remark_this(
        &self,
        key: &str,
        seen: &Item,
        change: impl Fn(&mut Item),
    ) -> Result<Option<Item>, LedgerError> {
        self.remark_where(key, &seen.id, |item| item.is_same_as(seen), change).await
    }

    async fn remark_at(&self, key: &str, id: &str, change: impl Fn(&mut Item)) -> Result<Option<Item>, LedgerError> {
        self.remark_where(key, id, |_| true, change).await
    }

    async fn remark_where(
        &self,
        key: &str,
        id: &str,
        meant: impl Fn(&Item) -> bool,
        change: impl Fn(&mut Item),
    ) -> Result<Option<Item>, LedgerError> {
        let (item, _) = swap::change(&*self.store, key, None, |open: &mut Open| match open.item_mut(id) {
            Some(item) if meant(item) => {
                change(item);
                Change::Write(Some(item.clone()))
            }
            _ => Change::Nothing(None),
        })
        .await?;
        Ok(item)
    }

    /// Takes the item off the open ones, whoever holds the lease.
    async fn clear(&self, key: &str, item: &Item) -> Result<(), LedgerError> {
        let change = swap::change(&*self.store, key, None, |open: &mut Open| {
            let before = open.items.len();
            open.items.retain(|other| !other.is_same_as(item));
            if open.items.len() < before { Change::Write(()) } else { Change::Nothing(()) }
        });
        change.await.map(drop)
    }

    /// Takes the item off the open ones, and gives the lease back.
    async fn forget(&self, held: &Held) -> Result<(), LedgerError> {
        self.with_lease(held, |open| {
            open.items.retain(|item| item.id != held.item);
            open.lease = None;
            true
        })
        .await
    }

    /// Changes what is held, as long as it is, and as long as `change` thinks so too.
    async fn with_lease(&self, held: &Held, change: impl Fn(&mut Open) -> bool) -> Result<(), LedgerError> {
        let mut seen = held.seen.lock().await;
        let lost = || LedgerError::Lost { subject: held.subject.clone() };
        let (ours, now) = swap::change(&*self.store, &held.key, Some(seen.clone()), |open: &mut Open| {
            let ours = open.lease.as_ref().is_some_and(|lease| lease.id == held.lease);
            if ours && change(open) { Change::Write(true) } else { Change::Nothing(false) }
        })
        .await?;
        held.until.set(now.object.lease.as_ref().filter(|lease| lease.id == held.lease));
        *seen = now;
        if ours { Ok(()) } else { Err(lost()) }
    }

    fn prefix<O: Object>(&self) -> String {
        format!("{}/{}/{}/", O::FOLDER, self.place.account, self.place.region)
    }

    fn key<O: Object>(&self, subject: &str) -> String {
        format!("{}{subject}.json", self.prefix::<O>())
    }
}

/// Reads an object; `only_looks` says that it is left where it is if it is damaged.
async fn look<O: Object>(store: &dyn Store, key: &str, only_looks: bool) -> Result<O, LedgerError> {
    let seen = if only_looks { swap::look(store, key).await } else { swap::read(store, key).await };
    seen.map(|seen| seen.object)
}

/// What is to be done with an object that has a new item of `event`: a lifecycle action is kept out by no size of others.
fn added<T>(event: &Event, value: T) -> Change<T> {
    if event.lifecycle_action.is_some() { Change::AddAboveAll(value) } else { Change::Add(value) }
}

/// What the objects of an event are called: its instance, or, without one, a name of its own.
fn subject(event: &Event) -> String {
    // An event's id is anything its sender likes, so it does not become part of a key as it is.
    event.instance.as_ref().map_or_else(|| format!("event-{}", sha256(event.work_item())), ToString::to_string)
}

/// A mark that nobody else makes.
fn random() -> String {
    format!("{:016x}", rand::rng().random::<u64>())
}

#[cfg(test)]
pub(crate) mod tests;
