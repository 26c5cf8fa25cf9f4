//! The sections about the host itself: its ledger, where its events come from, and how it ends.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::super::file::{AgentSection, File, ImdsSection, LedgerSection, QueueSection, SweepSection};
use super::super::{AgentPolicy, ImdsPolicy, LedgerPolicy, Location, QueuePolicy, SweepPolicy};
use crate::reading::units::Time;
use crate::reading::{At, Reading, Section};

const DAY: u64 = 24 * 3600;

/// Where the agent listens unless the policy says otherwise.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9808);

/// The place that a section at `at` has to name.
pub(super) fn store(reading: &mut Reading<'_>, at: usize, store: Option<Location>) -> Option<Location> {
    reading.required(at, "store", store, "store = \"s3://BUCKET/PREFIX/\" or \"dir:PATH\"")
}

/// Sees to it that there is a ledger for what cannot do without.
pub(super) fn needs_a_ledger(reading: &mut Reading<'_>, file: &File) {
    let since = if file.sweep.is_some() {
        "a sweep asks the ledger which instances are being worked on"
    } else if file.queue.is_some() {
        "a message that comes again finds in the ledger what was done for it"
    } else if file.imds.is_some() {
        "an agent that starts again finds in the ledger what was under way on its instance"
    } else {
        return;
    };
    let example = format!("[ledger] with store = \"s3://BUCKET/PREFIX/\" or \"dir:PATH\" below it, since {since}");
    reading.required(0, "ledger", file.ledger.as_ref(), &example);
}

/// An agent on each node sees only its own folder there, and all instances in Auto Scaling.
pub(super) fn sweeps_for_all(reading: &mut Reading<'_>, at: usize, ledger: &LedgerPolicy) {
    if matches!(ledger.store, Location::Dir(_)) {
        let message = "[sweep] beside [imds], with a ledger in a folder: each node would take every instance that waits into a ledger of \
                       its own; write store = \"s3://BUCKET/PREFIX/\" in [ledger], or sweep from one host that has no [imds]";
        reading.findings.mistake(at, message);
    }
}

pub(super) fn ledger(reading: &mut Reading<'_>, At { at, value }: Section<LedgerSection>) -> Option<LedgerPolicy> {
    let section = value.0;
    let store = store(reading, at, section.store);
    let keep = Time::seconds(3600)..=Time::seconds(365 * DAY);
    let keep = reading.within("keep", section.keep, Time::seconds(7 * DAY), keep);
    Some(LedgerPolicy { store: store?, keep: keep.0 })
}

pub(super) fn queue(reading: &mut Reading<'_>, At { at, value }: Section<QueueSection>) -> Option<QueuePolicy> {
    let section = value.0;
    let url = reading.required(at, "url", section.url, "url = \"https://sqs.REGION.amazonaws.com/ACCOUNT/NAME\"");
    let concurrency = reading.count("concurrency", section.concurrency, 16, 1..=1_000);
    let (url, dead_letter) = (url?.value.0, section.dead_letter);
    if let Some(dead_letter) = &dead_letter
        && dead_letter.value.0 == url
    {
        let message = "dead-letter is the queue itself, so that what nobody can work on comes back: name another queue";
        reading.findings.mistake(dead_letter.at, message);
    }
    Some(QueuePolicy { url, dead_letter: dead_letter.map(|url| url.value.0), concurrency })
}

pub(super) fn imds(reading: &mut Reading<'_>, section: Section<ImdsSection>) -> ImdsPolicy {
    let poll = Time::seconds(1)..=Time::seconds(60);
    ImdsPolicy { poll: reading.within("poll", section.value.0.poll, Time::seconds(2), poll).0 }
}

pub(super) fn agent(reading: &mut Reading<'_>, section: Option<Section<AgentSection>>) -> AgentPolicy {
    let section = section.map(|section| section.value.0).unwrap_or_default();
    let shutdown = Time::seconds(1)..=Time::seconds(15 * 60);
    AgentPolicy {
        shutdown: reading.within("shutdown", section.shutdown, Time::seconds(20), shutdown).0,
        listen: section.listen.map_or(LISTEN, |listen| listen.0),
    }
}

pub(super) fn sweep(reading: &mut Reading<'_>, section: Section<SweepSection>) -> SweepPolicy {
    let every = Time::seconds(10)..=Time::seconds(3600);
    SweepPolicy { every: reading.within("every", section.value.0.every, Time::seconds(60), every).0 }
}
