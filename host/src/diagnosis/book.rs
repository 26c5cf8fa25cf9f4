//! What blocks an instance, from what the ledger says of it; the world is heard where it knows better.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::sight::Sight;
use super::{Finding, cluster, notes};
use crate::clock::words::{brief, due, long, relative, to_the_second};
use crate::dispatch::{End, Worked};
use crate::ledger::{Ended, EndedItem, Finishing, Item, Open, Order, Standing};
use crate::lifecycle::LONGEST_HEARTBEAT_TIMEOUT;
use crate::policy::{Handler, OnFailure, Policy};
use crate::ports::{GroupInstance, InstanceId};

/// What is written about an instance.
#[derive(Debug, Clone, Copy)]
pub struct Book<'a> {
    /// The instance.
    pub instance: &'a InstanceId,
    /// Its open work.
    pub open: &'a Open,
    /// Its work that has ended.
    pub ended: &'a Ended,
    /// The plugins that its attempts have run and hosts run no more, by digest, each with why.
    pub given_up: &'a BTreeMap<String, String>,
    /// The policy at hand, which may be another than that of the hosts.
    pub policy: &'a Policy,
    /// The time.
    pub now: Timestamp,
}

impl Book<'_> {
    /// The open item that is to be told of: one that a person has given an order for, or else the one that worries most.
    pub(super) fn worst(&self) -> Option<&Item> {
        self.open.items.iter().min_by_key(|item| (ordered(item).is_none(), self.open.worry(item, self.now)))
    }

    /// The handler of the item, if the policy at hand has it.
    pub(super) fn handler(&self, item: &Item) -> Option<&Arc<Handler>> {
        self.policy.handlers.iter().find(|handler| handler.name == item.handler)
    }

    /// What blocks an open item: first the order of a person that waits, then what makes its work pointless, then what keeps it from
    /// being done, then what it waits for.
    pub(super) fn blocker(&self, item: &Item, sight: Option<&Sight>) -> Finding {
        let handler = self.handler(item).map(|handler| &**handler);
        let standing = self.open.standing(item, self.now);
        self.waits_for_a_host(item)
            .or_else(|| sight.and_then(|sight| gone(sight).or_else(|| over(item, sight))))
            .or_else(|| self.said_to_be_over(item))
            .or_else(|| self.of_standing(item, standing))
            .or_else(|| self.ran_what_is_given_up(item, standing))
            .or_else(|| notes::trouble(last_note(item)?, handler))
            .or_else(|| self.failing(item, handler))
            .or_else(|| cluster::blocker(sight?.node()?, handler))
            .unwrap_or_else(|| self.going_on(item, standing))
    }

    /// Auto Scaling has said so when a host sent a heartbeat.
    fn said_to_be_over(&self, item: &Item) -> Option<Finding> {
        item.over.then(|| {
            Finding::with(
                "Auto Scaling waits no longer: it has said so to a heartbeat, so that the hook has timed out, or was completed by \
                 another hand",
                "its work can still be brought to its end, and nothing depends on it: hostler finish",
            )
        })
    }

    fn of_standing(&self, item: &Item, standing: Standing) -> Option<Finding> {
        match standing {
            Standing::Overdue => Some(self.overdue(item)),
            Standing::Finishing => item.finishing.as_ref().map(|finishing| self.finishing(item, finishing)),
            Standing::Behind => self.open.held(self.now).map(|lease| {
                let (holder, since) = (&lease.holder, brief(self.now.duration_since(lease.since)));
                Finding::new(format!(
                    "{holder} works on other work for the same instance, for {since}: one thing at a time, this comes after it"
                ))
            }),
            // An order has been told of before.
            Standing::Ordered | Standing::Due | Standing::Waiting | Standing::Working => None,
        }
    }

    /// A person has given an order that no host has carried out yet.
    fn waits_for_a_host(&self, item: &Item) -> Option<Finding> {
        let order = ordered(item)?;
        let (result, by, ago) = (order.result.as_str(), &order.by, relative(order.at, self.now));
        let next = match (self.open.held(self.now), self.open.standing(item, self.now)) {
            (Some(lease), _) => {
                format!("{} is at work on the instance, and it is carried out after that", lease.holder)
            }
            (None, Standing::Overdue) => overdue(item, self.now),
            (None, _) => {
                format!("the next host that takes it up carries that out, {} or sooner", due(item.wake, self.now))
            }
        };
        Some(Finding::with(
            format!("{by} has ordered {result} for it {ago}; {next}"),
            "to carry it out at once, give the order again",
        ))
    }

    fn overdue(&self, item: &Item) -> Finding {
        Finding::with(overdue(item, self.now), nobody_comes(self.policy))
    }

    fn finishing(&self, item: &Item, finishing: &Finishing) -> Finding {
        let stands = unfinished(item, finishing, self.now);
        match finishing.result {
            None => Finding::new(stands),
            Some(_) => Finding::with(
                stands,
                "the host's log says what Auto Scaling answers; hostler finish tells it with your own credentials",
            ),
        }
    }

    /// Whatever it said, it says no more.
    fn ran_what_is_given_up(&self, item: &Item, standing: Standing) -> Option<Finding> {
        let why = self.given_up(item).filter(|_| standing != Standing::Working)?;
        let due = due(item.due, self.now);
        Some(Finding::with(
            format!(
                "the plugin that its last attempt ran is given up: {why}; the next attempt, with another if there is one, is due {due}"
            ),
            "mend the plugin and upload it; `hostler status --plugins` says what hosts know of it",
        ))
    }

    /// Why the plugin of its last attempt is run no more, if so.
    pub(super) fn given_up(&self, item: &Item) -> Option<&str> {
        self.given_up.get(&item.last_ended()?.module).map(String::as_str)
    }

    fn failing(&self, item: &Item, handler: Option<&Handler>) -> Option<Finding> {
        if item.interrupted > 1 {
            let attempts = item.interrupted;
            return Some(Finding::with(
                format!("its last {attempts} attempts ended with their host, or with the time that its door had"),
                "see whether hosts are killed (memory, deployments), and whether the function's timeout is longer than the \
                 handler's wall limit",
            ));
        }
        let times = match item.failures {
            0 => return None,
            1 => "its last attempt failed".to_owned(),
            failures => format!("its last {failures} attempts failed"),
        };
        let note = last_note(item).unwrap_or("it does not say why");
        let most =
            handler.map(|handler| format!("; after {} in a row {}", handler.finish.max_attempts, on_failure(handler)));
        Some(Finding::with(
            format!("{times}: {note}. The next is due {}{}", due(item.due, self.now), most.unwrap_or_default()),
            "mend the plugin and upload it: the next attempt runs the newest one",
        ))
    }

    /// Nothing is in the way: it is being worked on, or waits as its handler has asked.
    fn going_on(&self, item: &Item, standing: Standing) -> Finding {
        let lease = self.open.held(self.now).filter(|_| standing == Standing::Working);
        if let Some(lease) = lease {
            let since = brief(self.now.duration_since(lease.since));
            return Finding::new(format!("{} works on it, for {since}: attempt {}", lease.holder, item.attempts));
        }
        match last_note(item) {
            None => Finding::new(format!("nothing: its first attempt is due {}", due(item.due, self.now))),
            Some(note) => Finding::new(format!(
                "it waits, as its handler has asked: {note}; the next attempt is due {}",
                due(item.due, self.now)
            )),
        }
    }

    /// There is no open work. Somebody may be waiting all the same.
    pub(super) fn nothing_open(&self, sight: Option<&Sight>) -> Finding {
        let last = self.ended.items.last();
        // How long its hook waits is not known here. An end that is older than any does not tell why the instance waits now.
        let left = self.ended.items.iter().rfind(|end| end.is_left_to_its_hook(LONGEST_HEARTBEAT_TIMEOUT, self.now));
        let held = sight.and_then(|sight| sight.member.as_ref().ok()?.as_ref()).filter(|member| waits(member));
        match (held, left.or(last)) {
            (Some(member), Some(ended)) if left.is_some() => Finding::with(
                format!(
                    "its group {} holds it in {}, and will until the hook times out: {}",
                    member.group,
                    member.lifecycle_state,
                    self.ended(ended)
                ),
                "to let it go on at once",
            )
            .and(complete_by_hand(self.instance, member)),
            (Some(member), _) => Finding::with(
                format!(
                    "its group {} holds it in {}, and no host works on it: its event has not come here",
                    member.group, member.lifecycle_state
                ),
                match self.policy.sweep {
                    Some(_) => {
                        "see the rule that sends events; the sweep takes it up if a handler takes its event. To let it go on at once"
                    }
                    None => "see the rule that sends events, and add [sweep] to the policy. To let it go on at once",
                },
            )
            .and(complete_by_hand(self.instance, member)),
            (None, Some(ended)) => Finding::new(format!("nothing: no work is open for it; {}", self.ended(ended))),
            (None, None) => {
                let keep = self.policy.ledger.as_ref().map(|ledger| long(ledger.keep));
                let older = keep.map(|keep| format!(", or it ended more than {keep} ago")).unwrap_or_default();
                Finding::new(format!("nothing that the ledger knows: no event about it has come here{older}"))
            }
        }
    }

    fn ended(&self, ended: &EndedItem) -> String {
        format!("its last ended {}: {}", relative(ended.ended, self.now), end(ended))
    }
}

/// The instance is no longer there.
fn gone(sight: &Sight) -> Option<Finding> {
    let state = sight.gone()?;
    Some(Finding::with(
        format!("the instance is gone (EC2 says: {state}), so that nothing is left to be done on it"),
        "its handler should see that with its next attempt, and say done; to end it at once: hostler finish",
    ))
}

/// Auto Scaling has gone on.
fn over(item: &Item, sight: &Sight) -> Option<Finding> {
    let action = item.event.lifecycle_action.as_ref()?;
    let state = match sight.member.as_ref().ok()? {
        Some(member) if is_held(member) => return None,
        Some(member) => format!("is {}", member.lifecycle_state),
        None => "is in no group any more".to_owned(),
    };
    Some(Finding::with(
        format!(
            "Auto Scaling waits no longer: the instance {state}, so that hook {} has timed out, or was completed by another hand",
            action.hook
        ),
        "its work can still be brought to its end, and nothing depends on it: hostler finish",
    ))
}

/// The order of a person, as long as it waits.
fn ordered(item: &Item) -> Option<&Order> {
    item.order.as_ref().filter(|_| item.finishing.is_none())
}

/// What is known of an item that nobody comes for.
pub(crate) fn overdue(item: &Item, now: Timestamp) -> String {
    let (since, ago) = (to_the_second(item.wake), relative(item.wake, now));
    format!("its next step is overdue since {since} ({ago}): no host has come for it")
}

/// How far an item has come whose end is decided.
pub(crate) fn unfinished(item: &Item, finishing: &Finishing, now: Timestamp) -> String {
    let (decided, ago) = (&finishing.decision, relative(finishing.at, now));
    match finishing.result {
        None => format!("its end was decided {ago} ({decided}), and only has to be written down"),
        Some(result) => format!(
            "its end was decided {ago} ({decided}), and Auto Scaling could not be told {} yet; the next try is due {}",
            result.as_str(),
            due(item.due, now)
        ),
    }
}

/// What that is likely to mean by this policy, and what to do. A ledger does not tell a lost message from hosts that are down.
pub(crate) fn nobody_comes(policy: &Policy) -> String {
    let by_hand = "hostler finish or hostler abandon ends it";
    match (&policy.sweep, &policy.queue, &policy.imds) {
        (Some(sweep), ..) => format!(
            "see whether a host with [sweep] runs: it takes such work up, every {}; meanwhile {by_hand}",
            long(sweep.every)
        ),
        (None, Some(_), _) => format!(
            "see whether a host runs and receives from the queue. If one does, the message is probably lost: add [sweep] to the \
             policy, which takes such work up; meanwhile {by_hand}"
        ),
        (None, None, Some(_)) => format!(
            "see whether the agent on the instance runs: it takes its work up when it starts; if it cannot, {by_hand}"
        ),
        (None, None, None) => {
            format!("it goes on when its event is delivered again, or once a host has [sweep]; meanwhile {by_hand}")
        }
    }
}

/// What an end came to, in a line.
pub(crate) fn end(ended: &EndedItem) -> End {
    let EndedItem { handler, decision, attempts, lifecycle, .. } = ended.clone();
    End::Worked(Worked { handler, decision, attempts, lifecycle })
}

/// What the last attempt that has ended said.
pub(super) fn last_note(item: &Item) -> Option<&str> {
    Some(item.last_ended()?.note.as_str()).filter(|note| !note.is_empty())
}

/// What the host does after too many failures.
fn on_failure(handler: &Handler) -> &'static str {
    match handler.finish.on_failure {
        Some(OnFailure::Continue) => "the host gives up, with CONTINUE",
        Some(OnFailure::Abandon) => "the host gives up, with ABANDON",
        Some(OnFailure::Leave) => "the host gives up, and leaves it to the hook's timeout",
        None => "the host gives up, with ABANDON where the instance leaves",
    }
}

/// Whether a hook holds the instance back.
fn waits(member: &GroupInstance) -> bool {
    crate::sweep::waits(&member.lifecycle_state)
}

/// The same, or about to.
fn is_held(member: &GroupInstance) -> bool {
    let states = ["Pending", "Terminating", "Warmed:Pending", "Warmed:Terminating"];
    waits(member) || states.contains(&member.lifecycle_state.as_str())
}

/// The command without a host.
fn complete_by_hand(instance: &InstanceId, member: &GroupInstance) -> String {
    format!(
        "aws autoscaling complete-lifecycle-action --auto-scaling-group-name {} \
         --lifecycle-hook-name HOOK --instance-id {instance} --lifecycle-action-result CONTINUE",
        member.group
    )
}
