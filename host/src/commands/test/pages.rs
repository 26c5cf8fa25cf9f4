//! A page for each case that was played, with a picture of its run.

use std::collections::BTreeSet;
use std::path::Path;

use super::Outcome;
use crate::commands;
use crate::timeline::{self, Handled, Run};

/// Writes the pages to `folder`, in place of those that are there.
pub(super) fn write(folder: &Path, outcomes: &[Outcome]) -> anyhow::Result<()> {
    let mut names = BTreeSet::new();
    for outcome in outcomes {
        let Ok(verdict) = &outcome.result else { continue };
        let handled = verdict.deliveries.iter();
        let handled = handled.map(|(event, end)| Handled { event, end: end.as_ref().map_err(Clone::clone) }).collect();
        let page = timeline::html(&Run { start: verdict.start, handled, journal: &verdict.journal });
        let name = name(&outcome.found.title(), &mut names);
        commands::write(&folder.join(name), page.as_bytes())?;
    }
    Ok(())
}

/// What the page of a case is called: as the case, in letters that every file system takes. Cases of the same name are
/// numbered, in their order.
fn name(title: &str, taken: &mut BTreeSet<String>) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let title: String = title.chars().map(|c| if safe(c) { c } else { '-' }).collect();
    // A leading point would hide the page.
    let title = title.trim_start_matches('.');
    let numbered = (2..).map(|number| format!("{title}-{number}.html"));
    let mut names = std::iter::once(format!("{title}.html")).chain(numbered);
    // Numbers do not end before names do.
    names.find(|name| taken.insert(name.to_lowercase())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_has_a_page_of_its_own() {
        let mut taken = BTreeSet::new();
        let names = ["drain/late", "drain/spot/late", "drain-spot/late", "Drain/late", "../..", "drain/\u{e9} x"];
        assert_eq!(
            names.map(|title| name(title, &mut taken)),
            [
                "drain-late.html",
                "drain-spot-late.html",
                "drain-spot-late-2.html",
                "Drain-late-2.html",
                "-...html",
                "drain---x.html"
            ]
        );
    }
}
