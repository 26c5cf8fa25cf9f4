//! What reads see when they lag behind.
//!
//! Amazon EC2's and Amazon ECS's APIs follow an eventual consistency model ("Eventual consistency in the Amazon EC2 API"; API
//! reference of ECS, RunTask): what a call has changed need not show in the next one. Here every read shows the whole world as it was one lag ago, no
//! more and no less, so that what is seen is always something that was, and the same run always sees the same. Writes act
//! on the world as it is, and answer with what they have made of it.

use std::time::Duration;

use super::node::Node;
use crate::ports::InstanceId;

/// The instances, and everything on them, as they have been for as long as reads lag behind.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    /// How far reads lag behind.
    pub(super) lag: Duration,
    /// Since when they were so, oldest first. The first is how the world began.
    versions: Vec<(Duration, Vec<Node>)>,
    /// When the world was last looked at: calls have changed it then, if at all.
    looked_at: Duration,
}

/// The instances as a read sees them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'s> {
    /// What time it is there.
    pub(super) now: Duration,
    pub(super) nodes: &'s [Node],
}

impl History {
    /// Keeps what the last look has left behind, before anything else changes.
    pub(super) fn keep_last(&mut self, nodes: &[Node]) {
        self.keep(self.looked_at, nodes);
    }

    /// Keeps how the instances are since `at`.
    pub(super) fn keep(&mut self, at: Duration, nodes: &[Node]) {
        if self.lag.is_zero() {
            return;
        }
        match &mut *self.versions {
            [_, .., (since, version)] if *since == at => *version = nodes.to_vec(),
            _ => self.versions.push((at, nodes.to_vec())),
        }
    }

    /// Lets time pass: what no read can see any longer is forgotten.
    pub(super) fn look(&mut self, now: Duration) {
        self.looked_at = now;
        let seen = self.seen_at(now);
        self.versions.drain(..seen);
    }

    /// The instances as a read sees them at `now`, when they are `nodes`.
    pub(super) fn seen<'s>(&'s self, now: Duration, nodes: &'s [Node]) -> Seen<'s> {
        match self.versions.get(self.seen_at(now)) {
            Some((_, nodes)) => Seen { now: now.saturating_sub(self.lag), nodes },
            None => Seen { now, nodes },
        }
    }

    /// Which version a read sees: the newest that is old enough, or the oldest.
    fn seen_at(&self, now: Duration) -> usize {
        self.versions.partition_point(|(since, _)| *since + self.lag <= now).saturating_sub(1)
    }
}

impl<'s> Seen<'s> {
    /// An instance, if it is there.
    pub(super) fn find(self, instance: &InstanceId) -> Option<&'s Node> {
        self.nodes.iter().find(|node| node.id == *instance)
    }
}
