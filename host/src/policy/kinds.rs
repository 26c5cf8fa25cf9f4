//! Which events a pattern takes, of those that have a kind.

use super::Pattern;
use crate::event::{KNOWN, Kind};

/// The kinds of events that could match, in their order. [`Kind::Other`] is among them where any `detail-type` will do, and alone
/// where no known event could match.
pub(super) fn kinds(pattern: &Pattern) -> Vec<Kind> {
    let known = KNOWN.iter().filter(|known| pattern.could_match(&known.envelope()));
    let mut kinds: Vec<_> = known.map(|known| known.kind).collect();
    kinds.dedup();
    if kinds.is_empty() || !pattern.tests(&["detail-type"]) {
        kinds.push(Kind::Other);
    }
    kinds
}
