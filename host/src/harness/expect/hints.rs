//! What is no failure, and should be known: of a case as it is written.

use std::time::Duration;

use super::{Expectation, story};
use crate::harness::case::Case;
use crate::harness::play::Played;

impl Expectation {
    /// What the author of the case should know, in words.
    pub(super) fn hints(&self, case: &Case, played: &Played) -> Vec<String> {
        let mut hints = Vec::new();
        hints.extend(story::traps(&played.journal).last().map(|trap| format!("an attempt failed: {trap}")));
        hints.extend(self.cpu(played));
        // What a case says and nobody meets is misspelt, or the case is not about what its author thinks it is about.
        hints.extend(played.idle_faults.iter().cloned());
        if case.own_world {
            hints.extend(played.idle_parts.iter().cloned());
        }
        let handler = &case.handler.name;
        let unread = case.settings.iter().filter(|setting| !story::reads(&played.journal, handler, setting));
        hints.extend(unread.map(|setting| format!("{handler} did not read its setting {setting}")));
        hints
    }

    fn cpu(&self, played: &Played) -> Option<String> {
        let limit = self.cpu_at_most?;
        let spent = story::attempts(&played.journal).filter_map(|line| line.field("cpu_ms").parse::<f64>().ok());
        let most = Duration::from_secs_f64(spent.fold(0.0, f64::max) / 1e3);
        let told = humantime::format_duration(limit);
        (most > limit)
            .then(|| format!("cpu-at-most: an attempt took {most:.1?} of CPU time, which is more than {told}"))
    }
}
