//! Which announcements stand, and how far each has been brought.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task;
use tokio::time::Instant;

use crate::clock::doubling;
use crate::event::Event;
use crate::event::imds::Item;

/// The wait before an event that was not brought to its end is offered again. It doubles each time, up to the longest: a Spot
/// instance has two minutes.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The announcements, by the ids of their events.
#[derive(Debug, Default)]
pub(super) struct Notices(BTreeMap<String, Notice>);

#[derive(Debug)]
struct Notice {
    item: Item,
    event: Event,
    /// Whether it is announced still. Without that it is kept only while it is under way.
    stands: bool,
    state: State,
    /// How often it has failed.
    failures: u32,
}

#[derive(Debug)]
enum State {
    /// To be offered from then on.
    Due(Instant),
    UnderWay(task::Id),
    Ended,
}

impl Notices {
    /// `item` announces these and nothing else: what is new among them is due, and what is not among them is forgotten.
    pub(super) fn announced(&mut self, item: Item, events: Vec<Event>, now: Instant) {
        for notice in self.0.values_mut().filter(|notice| notice.item == item) {
            notice.stands = false;
        }
        for event in events {
            self.0.entry(event.id.clone()).and_modify(|notice| notice.stands = true).or_insert_with(|| Notice {
                item,
                event,
                stands: true,
                state: State::Due(now),
                failures: 0,
            });
        }
        self.forget();
    }

    /// Hands those that are due to `begin`, which tells the task that brings them to their end.
    pub(super) fn offer(&mut self, now: Instant, mut begin: impl FnMut(Event) -> task::Id) {
        for notice in self.0.values_mut() {
            if matches!(notice.state, State::Due(at) if at <= now) {
                notice.state = State::UnderWay(begin(notice.event.clone()));
            }
        }
    }

    /// The task is over, and has brought its event to the end or not.
    pub(super) fn over(&mut self, task: task::Id, brought: bool, now: Instant) {
        let under_way = |notice: &&mut Notice| matches!(notice.state, State::UnderWay(by) if by == task);
        if let Some(notice) = self.0.values_mut().find(under_way) {
            notice.state = if brought { State::Ended } else { State::Due(now + wait(notice.failures)) };
            notice.failures = notice.failures.saturating_add(u32::from(!brought));
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.0.retain(|_, notice| notice.stands || matches!(notice.state, State::UnderWay(_)));
    }
}

/// The wait after so many failures before.
pub(super) fn wait(failures: u32) -> Duration {
    doubling(FIRST_WAIT, failures.saturating_add(1), LONGEST_WAIT)
}
