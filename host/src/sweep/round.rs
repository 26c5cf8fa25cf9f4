//! One round: what nobody brings to its end is found, noted in the ledger, and given to somebody.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rand::seq::SliceRandom as _;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::announcement::{announcement, transitions};
use super::over::Over;
use super::{Groups, Hook, Waiting};
use crate::dispatch::Dispatch;
use crate::event::Event;
use crate::ledger::{EndedItem, Item, LedgerError, Open, Wanted};
use crate::lifecycle::Answer;
use crate::ports::{GroupName, PortError, PortErrorKind};
use crate::recording::Recorder;
use crate::side_by_side::side_by_side;

/// How long after its time an item is taken for one that nobody brings. A queue may be behind, so this is
/// more than a moment; a copy too many is found to be one, but costs a receive.
const GRACE: SignedDuration = SignedDuration::from_mins(3);

/// How long after its time an item is given away even though the queue is behind: no backlog is waited for any longer.
const LONG_DEAD: SignedDuration = SignedDuration::from_mins(15);

/// How long it may take to give an item to somebody: when its host dies meanwhile, a round after that gives it again.
const GIVING: SignedDuration = SignedDuration::from_secs(30);

/// When an item that was given to somebody is looked at again, and when if who takes it was behind.
const LOOKED_AT_AGAIN: SignedDuration = SignedDuration::from_mins(10);
const LOOKED_AT_LATER: SignedDuration = SignedDuration::from_hours(1);

/// How many items are given away in one round: a backlog must not double itself.
const MOST_GIVEN: usize = 200;

/// How many in a row may be refused before the rest is left to the next round: each costs the seconds in which nobody answers.
const MOST_REFUSED: usize = 3;

/// How long one heartbeat of a round is waited for, and how long all of them: when Auto Scaling slows us down, the rest of the round
/// does not wait for it.
const BEAT: Duration = Duration::from_secs(5);
const BEATS: Duration = Duration::from_secs(60);

/// How long a round goes on finding out which actions wait unheard of.
const ASKING: Duration = Duration::from_secs(60);

/// Who brings an event to its end from here on.
#[async_trait]
pub trait Adopt: Send + Sync {
    /// Takes the event. An error leaves it to a later round.
    async fn adopt(&self, event: &Event) -> Result<(), PortError>;

    /// Whether some of what was given before still waits to be looked at. Then what seems to have died may only be late.
    async fn is_behind(&self) -> Result<bool, PortError>;
}

/// What a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Swept {
    /// Instances that lifecycle hooks hold back.
    pub waiting: usize,
    /// Work items that were open.
    pub open: usize,
    /// Of both, what nobody brought, and somebody was given.
    pub adopted: usize,
    /// What could not be looked at, or not be given to anybody: the next round tries again.
    pub failed: usize,
}

/// What looks.
pub struct Sweep {
    /// The policy, the ledger and the lifecycle actions.
    pub dispatch: Arc<Dispatch>,
    groups: Arc<dyn Groups>,
    adopt: Arc<dyn Adopt>,
    over: Arc<Over>,
}

/// How far a round has come.
#[derive(Default)]
struct Progress {
    swept: Swept,
    /// How many items it tried to give away, and how many of the last of them in a row were not taken.
    given: usize,
    refused: usize,
    /// Whether who takes them was behind.
    behind: bool,
}

/// What a round finds in the ledger. Items are kept without their stories: there may be thousands.
#[derive(Default)]
struct Found {
    /// The ids of all open items.
    known: HashSet<String>,
    /// Those that nobody works on, and whose lifecycle actions need a heartbeat.
    resting: Vec<Item>,
    /// Those that nobody came for: the oldest, as many as can be given away.
    dead: Vec<Item>,
}

/// A lifecycle action that may wait unheard of, announced as Auto Scaling would have.
struct Candidate {
    event: Event,
    heartbeat_timeout: Duration,
    handler: String,
    deadline: Timestamp,
}

impl Sweep {
    /// Looks where `groups` says that instances wait, and gives to `adopt` what it finds.
    pub fn new(dispatch: Arc<Dispatch>, groups: Arc<dyn Groups>, adopt: Arc<dyn Adopt>) -> Self {
        Self { dispatch, groups, adopt, over: Arc::default() }
    }

    /// Looks once, at everything. Fails as a whole only when Auto Scaling or the ledger cannot be asked at all.
    pub async fn round(&self) -> Result<Swept, SweepError> {
        let mut progress = Progress::default();
        let Found { known, resting, dead } = self.open_items(&mut progress.swept).await?;
        let giving = async {
            self.dead_messages(&dead, &mut progress).await;
            self.unheard_instances(&known, &mut progress).await
        };
        let ((), unheard) = tokio::join!(self.keep_alive(resting), giving);
        unheard?;
        let swept @ Swept { waiting, open, adopted, failed } = progress.swept;
        if adopted > 0 || failed > 0 {
            tracing::warn!(waiting, open, adopted, failed, "swept: what nobody brought to its end was found");
        } else {
            tracing::debug!(waiting, open, "swept: everything is being brought to its end");
        }
        Ok(swept)
    }

    async fn open_items(&self, swept: &mut Swept) -> Result<Found, SweepError> {
        let (mut found, mut after) = (Found::default(), None);
        loop {
            let (page, next) = self.dispatch.ledger.all_open(after.as_deref()).await?;
            for open in page {
                match open {
                    Ok(open) => {
                        swept.open += open.items.len();
                        found.add(open, self.now());
                    }
                    Err(error) => {
                        tracing::error!(%error, "swept past what cannot be read");
                        swept.failed += 1;
                    }
                }
            }
            found.dead.sort_by_key(|item| item.wake);
            found.dead.truncate(MOST_GIVEN);
            match next {
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// Sends the heartbeats that are due. Whoever brings an item is late, or dead: until that is found out its action has to live.
    async fn keep_alive(&self, mut resting: Vec<Item>) {
        // Whatever this round has no time for, the next begins with.
        resting.sort_by_key(|item| item.heartbeat.unwrap_or(item.event.time));
        let beats = resting.into_iter().map(|mut item| {
            let dispatch = Arc::clone(&self.dispatch);
            async move {
                let beat = timeout(BEAT, dispatch.keep_waiting_alive(&mut item, None, &Recorder::off())).await;
                if beat.is_err() {
                    let instance = item.instance().map(|instance| instance.as_str());
                    tracing::warn!(instance, "heartbeat not answered within {BEAT:?}; the next round tries again");
                }
            }
        });
        if timeout(BEATS, side_by_side(beats)).await.is_err() {
            tracing::warn!("not all heartbeats could be sent within {BEATS:?}; the next round begins with the oldest");
        }
    }

    /// Open items whose time is long past.
    async fn dead_messages(&self, dead: &[Item], progress: &mut Progress) {
        if dead.is_empty() {
            return;
        }
        let behind = self.is_behind(dead.len()).await;
        progress.behind = behind;
        let long_dead = self.now() - LONG_DEAD;
        for item in dead.iter().filter(|item| !behind || item.wake < long_dead) {
            // Who took it may have gone from the policy meanwhile: it is brought to its end all the same.
            let Item { event, handler, deadline, hook, .. } = item;
            let wanted = Wanted { event, handler, deadline: *deadline, hook: *hook };
            self.give_away(&wanted, "nobody has come for it", progress).await;
        }
    }

    /// Whether who takes items has not come to all of them yet: what is given once more then only adds to it.
    async fn is_behind(&self, late: usize) -> bool {
        let behind = self.adopt.is_behind().await;
        match &behind {
            Ok(true) => {
                tracing::info!(late, "messages wait in the queue: items that are late are left to them for now")
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "it cannot be told whether messages wait in the queue: as if none did");
            }
        }
        behind.unwrap_or(false)
    }

    /// Instances that wait, and whose event never came.
    async fn unheard_instances(&self, known: &HashSet<String>, progress: &mut Progress) -> Result<(), SweepError> {
        let mut candidates = self.candidates(known, &mut progress.swept).await?;
        // When there is no time for all of them, it is not always the same that are left out.
        candidates.shuffle(&mut rand::rng());
        let stop = Instant::now() + ASKING;
        let asked = candidates.into_iter().map(|candidate| {
            let (dispatch, over) = (Arc::clone(&self.dispatch), Arc::clone(&self.over));
            async move {
                let asked = Instant::now() < stop;
                let answer = if asked { Some(is_unheard(&dispatch, &over, &candidate).await) } else { None };
                (candidate, answer)
            }
        });
        let mut left_out = 0;
        for (Candidate { event, handler, deadline, .. }, answer) in side_by_side(asked).await {
            match answer {
                Some(Ok(true)) => {
                    let wanted = Wanted { event: &event, handler: &handler, deadline, hook: None };
                    self.give_away(&wanted, "its event never came", progress).await;
                }
                Some(Ok(false)) => {}
                Some(Err(error)) => {
                    tracing::error!(event = event.id, %error, "not swept");
                    progress.swept.failed += 1;
                }
                None => left_out += 1,
            }
        }
        if left_out > 0 {
            tracing::error!(left_out, "not all that wait could be asked about within {ASKING:?}: a later round does");
            progress.swept.failed += left_out;
        }
        Ok(())
    }

    /// What waits and is not known, of the groups whose hooks are.
    async fn candidates(&self, known: &HashSet<String>, swept: &mut Swept) -> Result<Vec<Candidate>, SweepError> {
        let mut by_group: BTreeMap<GroupName, Vec<Waiting>> = BTreeMap::new();
        for waiting in self.groups.waiting().await.map_err(SweepError::Groups)? {
            swept.waiting += 1;
            by_group.entry(waiting.group.clone()).or_default().push(waiting);
        }
        let mut candidates = Vec::new();
        for (group, waiting) in by_group {
            match self.groups.hooks(&group).await {
                Ok(hooks) => {
                    let actions = waiting.iter().flat_map(|waiting| hooks.iter().map(move |hook| (waiting, hook)));
                    candidates.extend(actions.filter_map(|(waiting, hook)| self.candidate(waiting, hook, known)));
                }
                Err(error) => {
                    let (group, instances) = (group.as_str(), waiting.len());
                    tracing::error!(group, instances, %error, "not swept: the group's hooks are not known");
                    swept.failed += 1;
                }
            }
        }
        Ok(candidates)
    }

    /// The action by which `hook` holds back the instance, if it can, a handler takes it, and it is not known. What was noted since the
    /// ledger was read is found when it is adopted.
    fn candidate(&self, waiting: &Waiting, hook: &Hook, known: &HashSet<String>) -> Option<Candidate> {
        if !transitions(&waiting.lifecycle_state).contains(&hook.transition) {
            return None;
        }
        let event = announcement(waiting, hook, &self.dispatch.place, self.now())?;
        let handler = self.dispatch.taker(&event)?;
        let id = event.work_item();
        if known.contains(&id) || self.over.knows(&id) {
            return None;
        }
        let deadline = self.dispatch.deadline(&event, handler);
        let (handler, heartbeat_timeout) = (handler.name.clone(), hook.times.heartbeat_timeout);
        Some(Candidate { event, heartbeat_timeout, handler, deadline })
    }

    /// Notes an event in the ledger and gives it to somebody.
    async fn give_away(&self, wanted: &Wanted<'_>, why: &str, progress: &mut Progress) {
        if progress.given >= MOST_GIVEN || progress.refused >= MOST_REFUSED {
            return;
        }
        progress.given += 1;
        let (event, handler, now) = (wanted.event, wanted.handler, self.now());
        let instance = event.instance.as_ref().map(|instance| instance.as_str());
        // Until it is given it passes for one that nobody brings, but for the sweeps of other hosts, which leave it to us so long.
        let giving = now - GRACE + GIVING;
        let given = match self.dispatch.ledger.adopt(wanted, (now - GRACE, giving)).await {
            Ok(true) => self.adopt.adopt(event).await.map_err(|error| error.to_string()),
            // Somebody has come for it meanwhile.
            Ok(false) => return,
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = given {
            tracing::error!(event = event.id, instance, why, error, "not adopted; a later round tries again");
            progress.swept.failed += 1;
            progress.refused += 1;
            if progress.refused == MOST_REFUSED {
                tracing::error!("{MOST_REFUSED} in a row were not adopted: the rest is left to a later round");
            }
            return;
        }
        progress.refused = 0;
        tracing::warn!(event = event.id, instance, handler, why, "adopted");
        progress.swept.adopted += 1;
        let looked_at_again = self.now() + if progress.behind { LOOKED_AT_LATER } else { LOOKED_AT_AGAIN };
        let noted = self.dispatch.ledger.remark(event, |item| {
            // Who was given it may have come for it by now.
            if item.wake == giving {
                item.wake = looked_at_again;
            }
        });
        if let Err(error) = noted.await {
            let meaning = "a later round gives it to somebody once more, who finds it under way";
            tracing::warn!(event = event.id, instance, %error, meaning, "it could not be written down that it was adopted");
        }
    }

    fn now(&self) -> Timestamp {
        self.dispatch.ports.clock.now()
    }
}

/// Whether this action waits, and nobody has noted it.
async fn is_unheard(dispatch: &Dispatch, over: &Over, candidate: &Candidate) -> Result<bool, SweepError> {
    let Candidate { event, heartbeat_timeout, .. } = candidate;
    let (Some(instance), Some(action)) = (&event.instance, &event.lifecycle_action) else { return Ok(false) };
    let (id, ended) = (event.work_item(), dispatch.ledger.ended(instance).await?);
    let is_left = |last: &EndedItem| last.is_left_to_its_hook(*heartbeat_timeout, dispatch.ports.clock.now());
    if ended.last(&id).is_some_and(is_left) {
        return Ok(false);
    }
    // A group can have several hooks, and Auto Scaling does not say which of them an instance waits for; but only an action that
    // waits takes a heartbeat.
    let asked = timeout(BEAT, dispatch.lifecycle.heartbeat(action)).await;
    let unanswered = |_| PortError::new(PortErrorKind::Timeout, format!("heartbeat not answered within {BEAT:?}"));
    match asked.map_err(unanswered).flatten().map_err(SweepError::Groups)? {
        Answer::Accepted => Ok(true),
        Answer::Over => {
            over.remember(id);
            Ok(false)
        }
    }
}

/// Why nothing was swept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SweepError {
    /// Auto Scaling cannot be asked.
    #[error("nothing was swept: {0}")]
    Groups(PortError),
    /// The ledger cannot be asked.
    #[error("nothing was swept: {0}")]
    Ledger(#[from] LedgerError),
}

impl Found {
    /// Sorts the items of one instance.
    fn add(&mut self, open: Open, now: Timestamp) {
        let worked_on = open.held(now).map(|lease| lease.item.clone());
        for mut item in open.items {
            (item.state, item.told) = (None, Vec::new());
            self.known.insert(item.id.clone());
            if item.wake < now - GRACE {
                self.dead.push(item.clone());
            }
            // Past its deadline whoever comes for it ends it. If nobody has, a heartbeat would only hold the instance for longer.
            let patience = item.deadline.saturating_add(GRACE).unwrap_or(Timestamp::MAX);
            let needs_one = item.next_heartbeat().is_some_and(|next| next <= now);
            if needs_one && now < patience && worked_on.as_ref() != Some(&item.id) {
                self.resting.push(item);
            }
        }
    }
}
