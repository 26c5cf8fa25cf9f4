//! What must be true at the end of every run, whatever went wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::actions::{Action, Ending, HEARTBEAT_TIMEOUT};
use super::cloud::{Cloud, Seen};
use super::host::SWEPT_EVERY;
use super::trouble::Trouble;
use crate::event::Event;
use crate::ledger::EndedItem;
use crate::lifecycle::{Completion, LifecycleResult};

/// How long a heartbeat can be late with nothing wrong: clocks differ by less than five seconds, and operations of a host take
/// their time.
const WITHOUT_TROUBLE: Duration = Duration::from_secs(10);

impl Cloud {
    /// What is not as it has to be, when nothing happens any more.
    pub(super) fn breaches(&self, events: &[Event]) -> Vec<String> {
        self.read_the_ends();
        let seen = self.seen();
        let mut breaches = seen.breaches.clone();
        breaches.extend(seen.actions.all().filter_map(|action| seen.not_kept_alive(action)));
        breaches.extend(seen.not_ended_once(events));
        let most = seen.most_attempts();
        let too_many = seen.ended.iter().filter(|item| item.attempts > most);
        let too_many = too_many.map(|item| format!("{} took {} attempts; {most} are right", item.id, item.attempts));
        breaches.extend(too_many);
        breaches
    }

    /// Reads the ends that the ledger holds, and nothing else should.
    fn read_the_ends(&self) {
        let objects = self.objects();
        let mut seen = self.seen();
        for (key, bytes) in objects {
            match key.strip_prefix("ended/") {
                Some(_) => seen.ended.extend(items::<EndedItem>(&bytes)),
                None => seen.breaches.push(format!("{key} is left in the ledger")),
            }
        }
    }
}

fn items<T: DeserializeOwned>(bytes: &[u8]) -> Vec<T> {
    let mut page: Value = serde_json::from_slice(bytes).expect("the ledger writes JSON");
    serde_json::from_value(page["items"].take()).expect("and what it reads")
}

impl Seen {
    /// How many attempts an item can take: three, in the last of which its handler ends it, and what troubles cost.
    fn most_attempts(&self) -> u32 {
        // Several can end a lease that each of them could not.
        let several = self.struck.len() > 2;
        3 + self.struck.iter().map(|(trouble, of_a_write)| trouble.attempts(*of_a_write && !several)).sum::<u32>()
    }

    /// Whether the action had to wait too long for a sign of life.
    ///
    /// One is due after half of the hook's timeout, so that the other half is for what goes wrong, and one trouble never takes as
    /// much. Several can, when they strike the same action one after another: then what each can take is added, and what comes to
    /// less than the timeout is promised. Four kills do.
    fn not_kept_alive(&self, action: &Action) -> Option<String> {
        let away = |(trouble, _): &(Trouble, bool)| match action.has_message {
            true => trouble.keeps_away(),
            // Whatever has gone wrong with a round, the next is there for it.
            false => trouble.keeps_away().max(SWEPT_EVERY),
        };
        let found = if action.has_message { Duration::ZERO } else { SWEPT_EVERY };
        let most = HEARTBEAT_TIMEOUT / 2 + WITHOUT_TROUBLE + found + self.struck.iter().map(away).sum::<Duration>();
        let is_promised = self.struck.len() <= 1 || most < HEARTBEAT_TIMEOUT;
        let (token, longest) = (action.token(), action.longest);
        let broken = (is_promised && longest >= HEARTBEAT_TIMEOUT) || longest > most;
        broken.then(|| format!("the action {token} was not kept alive for {longest:?}; {most:?} can happen"))
    }

    /// What has no end, or several, or one that is not what Auto Scaling was told.
    fn not_ended_once(&self, events: &[Event]) -> Vec<String> {
        let mut ends: BTreeMap<String, Vec<&EndedItem>> = BTreeMap::new();
        for item in &self.ended {
            let occurrence = self.actions.occurrence(&item.id, item.token.as_deref(), item.time);
            ends.entry(occurrence.unwrap_or_else(|| item.id.clone())).or_default().push(item);
        }
        let mut breaches = Vec::new();
        for action in self.actions.all() {
            match ends.remove(action.token()).as_deref() {
                Some([end]) if is_told(action, end) => {}
                // Nobody has ever heard of it.
                None if action.end == Some(Ending::TimedOut) && !action.has_message => {}
                end => {
                    breaches.push(format!("the action {} came to {:?}, and has {end:?}", action.token(), action.end))
                }
            }
        }
        for event in events.iter().filter(|event| event.lifecycle_action.is_none()) {
            let count = ends.remove(&event.id).map_or(0, |ends| ends.len());
            if count != 1 {
                breaches.push(format!("{} has {count} ends", event.id));
            }
        }
        breaches.extend(ends.keys().map(|id| format!("{id} has an end, and never happened")));
        breaches
    }
}

/// Whether the end says of the action what became of it.
fn is_told(action: &Action, end: &EndedItem) -> bool {
    match action.end {
        None => false,
        Some(Ending::Completed(LifecycleResult::Continue)) => end.lifecycle == Some(Completion::Continue),
        Some(Ending::Completed(LifecycleResult::Abandon)) => end.lifecycle == Some(Completion::Abandon),
        // Who was not heard when it said so cannot know that the timeout came before it.
        Some(Ending::TimedOut) => end.lifecycle.is_some(),
    }
}
