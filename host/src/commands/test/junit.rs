//! Results as JUnit's XML, which build servers read.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Outcome, report};
use crate::harness::{Deviation, Verdict};
use crate::telemetry::visible;
use crate::timeline;

/// Writes the results: a suite for each plugin, in the order of the cases.
pub(super) fn write(path: &Path, outcomes: &[Outcome], took: Duration) -> anyhow::Result<()> {
    let mut text = as_xml(outcomes, took).to_string().context("the results cannot be written as XML")?;
    text.push('\n');
    crate::commands::write(path, text.as_bytes())
}

fn as_xml(outcomes: &[Outcome], took: Duration) -> Report {
    let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
    for outcome in outcomes {
        let plugin = outcome.found.plugin.as_str();
        let suite = suites.entry(plugin).or_insert_with(|| TestSuite::new(plugin));
        suite.add_test_case(case(outcome));
    }
    let mut report = Report::new("hostler test");
    report.set_time(took).add_test_suites(suites.into_values());
    report
}

fn case(outcome: &Outcome) -> TestCase {
    let kind = match &outcome.result {
        Ok(verdict) if verdict.holds() => None,
        Ok(_) => Some(NonSuccessKind::Failure),
        Err(_) => Some(NonSuccessKind::Error),
    };
    let status = kind.map_or_else(TestCaseStatus::success, |kind| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(message(outcome)).set_description(report::why(outcome));
        status
    });
    let mut case = TestCase::new(&*outcome.found.name, status);
    case.set_classname(&*outcome.found.plugin).set_time(outcome.took);
    if let Ok(verdict @ Verdict { journal, .. }) = &outcome.result
        && !verdict.holds()
    {
        case.set_system_out(timeline::text(journal).join("\n"));
    }
    case
}

/// The first thing that is wrong, in one line.
fn message(outcome: &Outcome) -> String {
    match &outcome.result {
        Ok(verdict) => {
            verdict.deviations.first().map_or_else(String::new, |Deviation { what, expected, actual, .. }| {
                format!("{what}: expected {}, found {}", expected.join(", "), visible(&actual.join(", ")))
            })
        }
        Err(trouble) => trouble.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_written_as_every_command_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/results.xml");
        write(&path, &[], Duration::ZERO).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("<testsuites name=\"hostler test\""));
        let error = write(folder.path(), &[], Duration::ZERO).unwrap_err();
        assert!(error.to_string().ends_with("it is there, and is not a file"), "{error:#}");
    }
}
