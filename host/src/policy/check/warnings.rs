//! Patterns that are sound, and yet take events they should not, or none.

use serde_json::json;

use super::Seen;
use crate::event::KNOWN;
use crate::policy::Pattern;
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
    let misspelt = misspelt(event);
    if misspelt.is_empty() && could_match.is_empty() {
        reading.findings.warn(at, matches_nothing_known(event));
    }
    misspelt.into_iter().for_each(|message| reading.findings.warn(at, message));
    if let Some((first, _)) = seen.patterns.iter().find(|(_, earlier)| earlier == event) {
        let message = format!("no event gets here: handler {first:?} has the same pattern and comes first");
        reading.findings.warn(at, message);
    }
}

/// Detail-types that are nearly known ones.
fn misspelt(event: &Pattern) -> Vec<String> {
    let known = KNOWN.map(|known| known.detail_type);
    let unknown = event.texts(&["detail-type"]).into_iter().filter(|text| !known.contains(text));
    let meant = unknown.filter_map(|text| Some((text, nearest(text, &known)?)));
    meant.map(|(text, meant)| format!("Hostler knows no detail-type {text:?}: did you mean {meant:?}?")).collect()
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
