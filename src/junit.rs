//! Results of tests as JUnit XML, which CI servers read.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use patchcord::{diagnostic::Diagnostic, testing::Outcome};

/// Returns one suite for each test file; a file that cannot be run is an error of its own.
pub(super) fn report(outcomes: &[Outcome], problems: &[Diagnostic]) -> anyhow::Result<String> {
    let mut report = Report::new("patchcord");
    for problem in problems {
        let file = problem.place.as_ref().map_or("-", |place| &*place.file);
        let status = non_success(
            NonSuccessKind::Error,
            problem,
            std::slice::from_ref(problem),
        );
        let mut suite = TestSuite::new(file);
        suite.add_test_case(case(file, "the file loads", status));
        report.add_test_suite(suite);
    }
    for tests in outcomes.chunk_by(|one, next| one.file == next.file) {
        let Some(first) = tests.first() else { continue };
        let mut suite = TestSuite::new(&*first.file);
        for outcome in tests {
            suite.add_test_case(test(outcome));
        }
        report.add_test_suite(suite);
    }
    Ok(report.to_string()?)
}

fn test(outcome: &Outcome) -> TestCase {
    let status = match outcome.problems.first() {
        Some(first) => non_success(NonSuccessKind::Failure, first, &outcome.problems),
        None => TestCaseStatus::success(),
    };
    let mut case = case(&outcome.file, &outcome.name, status);
    case.set_time(Duration::from_millis(outcome.milliseconds));
    if !outcome.log.is_empty() {
        case.set_system_out(outcome.log.join("\n"));
    }
    case
}

fn case(file: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(file);
    case
}

fn non_success(kind: NonSuccessKind, first: &Diagnostic, all: &[Diagnostic]) -> TestCaseStatus {
    let texts: Vec<_> = all.iter().map(ToString::to_string).collect();
    let mut status = TestCaseStatus::non_success(kind);
    status
        .set_message(&*first.message)
        .set_description(texts.join("\n\n"));
    status
}
