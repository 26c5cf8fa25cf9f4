//! What is sound, and yet probably not meant: patterns that take events they should not, or none, and sections that are left out.

use serde_json::json;

use super::Seen;
use crate::event::{KNOWN, Known};
use crate::policy::{Location, Pattern, Policy};
use crate::reading::{Reading, nearest};

/// Warns of what the pattern `event`, which stands at `at`, probably does not mean.
pub(super) fn probably_not_meant(reading: &mut Reading<'_>, at: usize, event: &Pattern, seen: &Seen) {
    let could_match: Vec<_> = KNOWN.iter().filter(|known| event.could_match(&known.envelope())).collect();
    if !event.tests(&["detail", "LifecycleHookName"]) && could_match.iter().any(|known| known.is_lifecycle_action()) {
        reading.findings.warn(
            at,
            "this takes the lifecycle actions of every hook, other people's among them: name yours with \
             detail.LifecycleHookName = [\"…\"]",
        );
    }
    let mut misspelt = misspelt(event);
    if misspelt.is_empty() && could_match.is_empty() {
        reading.findings.warn(at, matches_nothing_known(event));
    }
    misspelt.extend(unknown_fields(event, &could_match));
    misspelt.into_iter().for_each(|message| reading.findings.warn(at, message));
    if let Some((first, _)) = seen.patterns.iter().find(|(_, earlier)| earlier == event) {
        let message = format!("no event gets here: handler {first:?} has the same pattern and comes first");
        reading.findings.warn(at, message);
    }
}

/// Warns of what the sections about the host leave out, and what will be missed one day.
pub(super) fn left_out(reading: &mut Reading<'_>, modules_at: usize, queue_at: usize, policy: &Policy) {
    let judges_versions =
        !policy.modules.trust.keys.is_empty() && policy.handlers.iter().any(|handler| handler.pin.is_none());
    if policy.ledger.is_none() && judges_versions {
        reading.findings.warn(
            modules_at,
            "there is no [ledger]: each process has to find out by itself which versions are old and which plugins crash, so that one \
             which has just started takes an old version; name a place for all of them, [ledger] with store = \"s3://BUCKET/PREFIX/\"",
        );
    }
    let Some(queue) = &policy.queue else { return };
    let envelopes = || KNOWN.iter().filter(|known| known.is_lifecycle_action()).map(Known::envelope);
    let takes_actions =
        envelopes().any(|action| policy.handlers.iter().any(|handler| handler.event.could_match(&action)));
    if policy.sweep.is_none() && takes_actions {
        reading.findings.warn(
            queue_at,
            "there is no [sweep]: EventBridge delivers as well as it can, and an instance whose event is lost waits until its hook \
             times out, unless a host sweeps; one that does is enough",
        );
    }
    if policy.ledger.as_ref().is_some_and(|ledger| matches!(ledger.store, Location::Dir(_))) {
        reading.findings.warn(
            queue_at,
            "[queue] with a ledger in a folder, which this machine alone can see: only one agent may take messages from this queue, or \
             two work on one instance; for more of them name a bucket, [ledger] with store = \"s3://BUCKET/PREFIX/\"",
        );
    }
    if queue.dead_letter.is_none() {
        reading.findings.warn(
            queue_at,
            "[queue] has no dead-letter: a message that is no event is only written to the log, and then deleted; name a queue for \
             such with dead-letter = \"https://sqs.REGION.amazonaws.com/ACCOUNT/NAME\"",
        );
    }
}

/// Detail-types of AWS that have no kind, and are nearly those of known ones.
const NEARLY_KNOWN: [&str; 4] = [
    "EC2 Command Status-change Notification",
    "EC2 Fast Launch State-change Notification",
    "EC2 Fleet State Change",
    "EC2 Spot Fleet State Change",
];

/// Whether only events that somebody else makes can match: what these are like, Hostler does not know.
fn is_of_others(event: &Pattern) -> bool {
    let sources = event.texts(&["source"]);
    event.tests(&["source"]) && !sources.is_empty() && sources.iter().all(|source| !source.starts_with("aws."))
}

/// Detail-types that are nearly known ones.
fn misspelt(event: &Pattern) -> Vec<String> {
    if is_of_others(event) {
        return Vec::new();
    }
    let known = KNOWN.map(|known| known.detail_type);
    let unknown = event.texts(&["detail-type"]).into_iter();
    let unknown = unknown.filter(|text| !known.contains(text) && !NEARLY_KNOWN.contains(text));
    let meant = unknown.filter_map(|text| Some((text, nearest(text, &known)?)));
    meant.map(|(text, meant)| format!("Hostler knows no detail-type {text:?}: did you mean {meant:?}?")).collect()
}

/// Fields that none of the events has that the pattern names by their detail-type.
fn unknown_fields(event: &Pattern, could_match: &[&Known]) -> Vec<String> {
    let named = event.texts(&["detail-type"]);
    let known: Vec<_> = could_match.iter().filter(|known| named.contains(&known.detail_type)).collect();
    let all_known =
        event.tests(&["detail-type"]) && named.iter().all(|name| known.iter().any(|known| known.detail_type == *name));
    if is_of_others(event) || known.is_empty() || !all_known {
        return Vec::new();
    }
    let fields: Vec<&str> = known.iter().flat_map(|known| known.fields).copied().collect();
    let unknown = event.fields_below(&["detail"]).into_iter().filter(|field| !fields.contains(field));
    let events = if let [one] = named[..] { format!("{one:?}") } else { "any of these events".to_owned() };
    unknown
        .map(|field| match nearest(field, &fields) {
            Some(meant) => format!("Hostler knows no field detail.{field} of {events}: did you mean detail.{meant}? Where it is missing, nothing matches"),
            None => format!("Hostler knows no field detail.{field} of {events}: where it is missing, nothing matches"),
        })
        .collect()
}

/// Why no known event could match, as far as one can tell.
fn matches_nothing_known(event: &Pattern) -> String {
    let named = event.texts(&["detail-type"]);
    let elsewhere = KNOWN
        .iter()
        .find(|known| named.contains(&known.detail_type) && !event.could_match(&json!({ "source": known.source })));
    match elsewhere {
        Some(known) => {
            format!("{:?} comes from the source {:?}, which this does not take", known.detail_type, known.source)
        }
        None => {
            "no event that Hostler knows matches this: any other reaches the handler as kind \"other\", which names no \
                 instance to act on"
                .to_owned()
        }
    }
}
